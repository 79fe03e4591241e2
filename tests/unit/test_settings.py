# SPDX-License-Identifier: Apache-2.0
"""What is configured, as a value that is read once an operation."""

import dataclasses

from oslo_config import cfg
import pytest

from os_brick import opts
from os_brick.core import locks, operation
from os_brick.model import settings

GIVEN = {
    'operation_timeout': 33.0,
    'scan_timeout': 7.0,
    'nvmeof_queue_size': 64,
    'nvmeof_nr_io_queues': 2,
    'nvmeof_ctrl_loss_tmo': 600,
    'nvmeof_reconnect_delay': 3,
    'nvmeof_fast_io_fail_tmo': 4,
    'nvmeof_keep_alive_tmo': 5,
    'nvmeof_io_policy': 'numa',
    'nvmeof_dhchap_secret': 'DHHC-1:00:host:',
    'nvmeof_dhchap_ctrl_secret': 'DHHC-1:00:ctrl:',
    'nvmeof_tls_psk': 'NVMeTLSkey-1:01:key:',
    'luks_format': 'unsigned',
    'luks_format_again': True,
    'luks_header_backup': True,
}


@pytest.fixture
def configured():
    """Sets options for one test."""
    names = []

    def configure(**options):
        for name, value in options.items():
            cfg.CONF.set_override(name, value, group='os_brick')
            names.append(name)

    yield configure
    for name in names:
        cfg.CONF.clear_override(name, group='os_brick')


def test_every_option_is_in_the_value(configured):
    configured(**GIVEN)
    found = opts.current()
    assert (found.operation_seconds, found.scan_seconds) == (33.0, 7.0)
    assert dataclasses.asdict(found.nvme) == {
        name.removeprefix('nvmeof_'): value
        for name, value in GIVEN.items()
        if name.startswith('nvmeof_')
    }
    assert found.luks == settings.Luks('unsigned', True, True)


@pytest.mark.parametrize(
    ('operation_timeout', 'seconds'), [(10.0, 20.0), (120.0, 20.0), (600.0, 100.0)]
)
def test_a_host_whose_operations_take_longer_has_longer_scans(
    configured, operation_timeout, seconds
):
    configured(operation_timeout=operation_timeout)
    assert opts.current().scan_seconds == seconds
    configured(scan_timeout=30.0)
    assert opts.current().scan_seconds == 30.0


def test_the_defaults_are_those_of_the_options():
    cfg.CONF.clear_override('state_path', group='os_brick')  # Of conftest.
    plain = settings.Settings()
    found = opts.current()
    assert dataclasses.replace(found, nvme=plain.nvme) == plain


@pytest.mark.parametrize(
    ('attempts', 'interval', 'seconds'), [(4, 1, 14), (1, 1, 2), (2, 3, 6), (3, 2, 12)]
)
def test_the_legacy_options_of_a_map_make_one_limit(configured, attempts, interval, seconds):
    configured(wait_mpath_device_attempts=attempts, wait_mpath_device_interval=interval)
    assert opts.current().map_ready_seconds == seconds


def test_no_secret_in_its_repr(configured):
    configured(**GIVEN)
    for secret in ('DHHC', 'TLSkey'):
        assert secret not in repr(opts.current())


def test_an_operation_keeps_what_was_configured_when_it_began(configured, tmp_path):
    """A service may read its configuration anew at any time (SIGHUP)."""
    configured(lock_path=str(tmp_path), scan_timeout=20.0)
    lock = (locks.VOLUME, 'v')
    with operation.begin('connect', None, lock, opts.current()) as op:
        configured(scan_timeout=0.5)
        assert op.settings.scan_seconds == 20.0
    assert opts.current().scan_seconds == 0.5
