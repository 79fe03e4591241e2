# SPDX-License-Identifier: Apache-2.0
"""When attach and detach of a shared target are kept apart, and by which file."""

from collections.abc import Iterator
import pathlib
import subprocess
import sys
from typing import Any
from unittest import mock

from oslo_concurrency import lockutils
from oslo_config import cfg
import pytest

from os_brick.core import files
from os_brick.initiator import utils


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    vars(utils).pop('ISCSI_SUPPORTS_MANUAL_SCAN', None)
    yield
    vars(utils).pop('ISCSI_SUPPORTS_MANUAL_SCAN', None)


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    (tmp_path / 'sbin').mkdir()
    with files.use(str(tmp_path)):
        yield tmp_path


@pytest.fixture
def locks(tmp_path: pathlib.Path) -> Iterator[dict[str, pathlib.Path]]:
    lockutils.get_lock_path(cfg.CONF)
    paths = {group: tmp_path / group for group in ('os_brick', 'oslo_concurrency')}
    for group, path in paths.items():
        cfg.CONF.set_override('lock_path', str(path), group=group)
    yield paths
    for group in paths:
        cfg.CONF.clear_override('lock_path', group=group)


class TestManualScan:
    @pytest.mark.parametrize(
        ('content', 'supported'),
        [(b'\x7fELF\0node.session.scan\0', True), (b'node.session', False), (None, False)],
    )
    def test_is_read_from_the_program(
        self, root: pathlib.Path, content: bytes | None, supported: bool
    ) -> None:
        if content is not None:
            (root / 'sbin/iscsiadm').write_bytes(content)
        assert utils.check_manual_scan() is supported
        assert utils.ISCSI_SUPPORTS_MANUAL_SCAN is supported

    def test_is_found_out_once(self, root: pathlib.Path) -> None:
        assert utils.ISCSI_SUPPORTS_MANUAL_SCAN is False
        (root / 'sbin/iscsiadm').write_bytes(b'node.session.scan')
        assert utils.ISCSI_SUPPORTS_MANUAL_SCAN is False

    def test_can_be_replaced(self, root: pathlib.Path) -> None:
        with mock.patch.object(utils, 'ISCSI_SUPPORTS_MANUAL_SCAN', True):
            assert utils.ISCSI_SUPPORTS_MANUAL_SCAN is True
        assert utils.ISCSI_SUPPORTS_MANUAL_SCAN is False

    def test_other_names_are_none(self) -> None:
        with pytest.raises(AttributeError, match='OTHER'):
            _ = utils.OTHER


def _locked(device: Any, path: pathlib.Path) -> bool:
    with utils.guard_connection(device):
        return (path / 'os-brick-uuid').exists()


@pytest.mark.parametrize(
    ('shared', 'manual', 'locks_it'),
    [
        (False, True, False),
        (False, False, False),
        ('absent', True, False),
        ('absent', False, False),
        (True, True, False),
        (True, False, True),
        (None, True, True),
        (None, False, True),
    ],
)
def test_when_it_locks(
    shared: Any, manual: bool, locks_it: bool, locks: dict[str, pathlib.Path]
) -> None:
    device = {'service_uuid': 'uuid', 'shared_targets': shared}
    if shared == 'absent':
        del device['shared_targets']
    with mock.patch.object(utils, 'ISCSI_SUPPORTS_MANUAL_SCAN', manual):
        assert _locked(device, locks['os_brick']) is locks_it
    assert not locks['oslo_concurrency'].exists()


def test_no_uuid_is_read_without_need(locks: dict[str, pathlib.Path]) -> None:
    with utils.guard_connection({'shared_targets': False}):
        pass
    with pytest.raises(KeyError), utils.guard_connection({'shared_targets': None}):
        pass


def test_without_a_directory_of_our_own_it_is_oslos(locks: dict[str, pathlib.Path]) -> None:
    cfg.CONF.set_override('lock_path', None, group='os_brick')
    device = {'service_uuid': 'uuid', 'shared_targets': None}
    assert _locked(device, locks['oslo_concurrency'])


TRY = 'import fcntl, sys; fcntl.lockf(open(sys.argv[1], "a"), fcntl.LOCK_EX | fcntl.LOCK_NB)'


def _is_free(path: pathlib.Path) -> bool:
    """Whether another process gets the lock; one's own always does."""
    return subprocess.run([sys.executable, '-c', TRY, path], check=False).returncode == 0


def test_the_lock_keeps_other_processes_out(locks: dict[str, pathlib.Path]) -> None:
    file = locks['os_brick'] / 'os-brick-uuid'
    with utils.guard_connection({'service_uuid': 'uuid', 'shared_targets': None}):
        assert not _is_free(file)
    assert _is_free(file)
