# SPDX-License-Identifier: Apache-2.0
"""``os_brick.setup``, the options, and what hangs on the package itself."""

import ast
from collections.abc import Callable, Iterator
import logging
import os
import pathlib
import re
import sys
from typing import Any

from oslo_concurrency import lockutils
from oslo_config import cfg
import pytest

import os_brick
from os_brick import constants, i18n, opts
from os_brick.core import locks, wait

Set = Callable[[str, str, Any], None]


@pytest.fixture
def conf() -> Iterator[Set]:
    changed: list[tuple[str, str]] = []
    lockutils.get_lock_path(cfg.CONF)  # registers the group oslo_concurrency

    def override(group: str, name: str, value: Any) -> None:
        cfg.CONF.set_override(name, value, group=group)
        changed.append((group, name))

    yield override
    for group, name in changed:
        cfg.CONF.clear_override(name, group=group)
    cfg.CONF.clear_default('lock_path', group='os_brick')


def test_setup_takes_over_the_lock_path_as_a_default(conf: Set) -> None:
    conf('oslo_concurrency', 'lock_path', '/var/lock/nova')
    os_brick.setup(cfg.CONF)
    os_brick.setup(cfg.CONF)
    assert cfg.CONF.os_brick.lock_path == '/var/lock/nova'
    conf('os_brick', 'lock_path', '/var/lock/brick')
    os_brick.setup(cfg.CONF)
    assert cfg.CONF.os_brick.lock_path == '/var/lock/brick'


def test_setup_makes_a_relative_path_that_of_the_start(
    conf: Set, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    conf('oslo_concurrency', 'lock_path', 'locks')
    os_brick.setup(cfg.CONF)
    monkeypatch.chdir('/')
    assert cfg.CONF.os_brick.lock_path == f'{tmp_path}/locks'
    assert locks.directory() == f'{tmp_path}/locks'


def test_setup_without_a_lock_path(conf: Set) -> None:
    conf('oslo_concurrency', 'lock_path', None)
    os_brick.setup(cfg.CONF)
    assert cfg.CONF.os_brick.lock_path is None


def test_a_relative_path_stays_where_it_was_first_used(
    conf: Set,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    # A name of its own: what it means is remembered for the whole process.
    conf('os_brick', 'lock_path', 'locks-of-this-test')
    assert locks.directory() == f'{tmp_path}/locks-of-this-test'
    monkeypatch.chdir('/')
    with locks.hold(locks.VOLUME, 'one', wait.Deadline.after(5)):
        assert locks.directory() == f'{tmp_path}/locks-of-this-test'
    assert os.listdir(tmp_path / 'locks-of-this-test')
    [warning] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert 'lock_path' in warning
    assert f'{tmp_path}/locks-of-this-test' in warning


def test_what_is_imported_is_required() -> None:
    root = pathlib.Path(os_brick.__file__).parent
    trees = [ast.parse(path.read_text()) for path in root.rglob('*.py')]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    found = {
        *(node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module),
        *(each.name for node in nodes if isinstance(node, ast.Import) for each in node.names),
    }
    packages = {name.partition('.')[0] for name in found}
    required = {
        re.split(r'[<>=!~;# \[]', line)[0].replace('.', '_').replace('-', '_')
        for line in (root.parent / 'requirements.txt').read_text().splitlines()
        if not line.startswith('#')
    }
    required = required - {'PyYAML'} | {'yaml'}
    observers = {'opentelemetry', 'osprofiler', 'prometheus_client'}
    optional = {'rados', 'rbd', 'oslo_vmware', *observers}
    assert packages - {'os_brick', *sys.stdlib_module_names} - optional == required


def test_unknown_keywords_give_one_warning(conf: Set, caplog: pytest.LogCaptureFixture) -> None:
    os_brick.setup(cfg.CONF, later=1, even_later=2)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == ['os_brick.setup ignores unknown keywords: even_later, later']


def test_a_private_configuration_is_refused() -> None:
    with pytest.raises(cfg.NoSuchOptError):
        os_brick.setup(cfg.ConfigOpts())


@pytest.mark.parametrize(
    ('name', 'default'),
    [
        ('wait_mpath_device_attempts', 4),
        ('wait_mpath_device_interval', 1),
        ('operation_timeout', 120),
        ('scan_timeout', None),
    ],
)
def test_defaults(name: str, default: float | None) -> None:
    assert cfg.CONF.os_brick[name] == default


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('wait_mpath_device_attempts', 0),
        ('wait_mpath_device_interval', 0),
        ('operation_timeout', 0),
        ('scan_timeout', -1),
    ],
)
def test_limits(conf: Set, name: str, value: float) -> None:
    with pytest.raises(ValueError, match='Should be greater'):
        conf('os_brick', name, value)


def test_list_opts_is_for_the_sample_generator() -> None:
    [(group, options)] = opts.list_opts()
    assert group == 'os_brick'
    assert {option.name for option in options} == {
        'extra_root_programs',
        'lock_path',
        'luks_format',
        'luks_format_again',
        'luks_header_backup',
        'nvmeof_ctrl_loss_tmo',
        'nvmeof_dhchap_ctrl_secret',
        'nvmeof_dhchap_secret',
        'nvmeof_fast_io_fail_tmo',
        'nvmeof_io_policy',
        'nvmeof_keep_alive_tmo',
        'nvmeof_nr_io_queues',
        'nvmeof_queue_size',
        'nvmeof_reconnect_delay',
        'nvmeof_tls_psk',
        'operation_timeout',
        'scan_timeout',
        'state_path',
        'wait_mpath_device_attempts',
        'wait_mpath_device_interval',
    }
    assert all(option.help for option in options)


def test_secure_log_lets_only_errors_through() -> None:
    assert os_brick.SECURE_LOG.logger.name == 'brick_privsep_hide_output'
    assert os_brick.SECURE_LOG.logger.level == logging.ERROR


def test_words() -> None:
    assert constants.SCSI_ADDRESSING_MODES == ('transparent', 'SAM', 'SAM2', 'SAM3-flat')
    assert i18n.DOMAIN == 'os-brick'
    assert i18n._('text') == 'text'
