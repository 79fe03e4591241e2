# SPDX-License-Identifier: Apache-2.0
"""Paths opened one after the other, by a driver that needs no host."""

from collections.abc import Iterator
import pathlib

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import undo, wait
from os_brick.paths import engine
from tests.unit.paths.doubles import HOST, Assembly, Driver, begin, leave


@pytest.fixture(autouse=True)
def _host(tmp_path: pathlib.Path) -> Iterator[None]:
    HOST.clear()
    cfg.CONF.set_override('lock_path', str(tmp_path), group='os_brick')
    yield
    cfg.CONF.clear_override('lock_path', group='os_brick')


def gone(path: str) -> exception.VolumeDeviceNotFound:
    return exception.VolumeDeviceNotFound(f'{path} has no disk')


def first(driver: Driver, *paths: str, bad: str = '') -> str:
    def use(opened: str, deadline: wait.Deadline, alone: undo.Undo) -> str:
        alone.add(leave, f'device of {opened}')
        HOST.add(f'device of {opened}')
        if opened == bad:
            raise gone(opened)
        return f'/dev/{opened}'

    with begin() as op:
        return engine.open_first(driver, Assembly(), paths, op, use)


def test_the_first_path_that_can_be_used_is_used_alone() -> None:
    assert first(Driver(), 'a', 'b') == '/dev/a'
    assert {'a', 'device of a'} == HOST


def test_one_that_cannot_be_opened_is_taken_back_before_the_next() -> None:
    assert first(Driver(a=gone('a')), 'a', 'b') == '/dev/b'
    assert {'b', 'device of b'} == HOST


def test_so_is_one_whose_device_cannot_be_used() -> None:
    assert first(Driver(), 'a', 'b', bad='a') == '/dev/b'
    assert {'b', 'device of b'} == HOST


def test_without_a_path_all_of_them_are_named_and_nothing_is_left() -> None:
    with pytest.raises(exception.VolumeDeviceNotFound, match=r'a has no disk.*b has no disk'):
        first(Driver(a=gone('a'), b=gone('b')), 'a', 'b')
    assert set() == HOST


def test_what_is_raised_is_not_logged_as_well(caplog: pytest.LogCaptureFixture) -> None:
    """A command prints both: an operator reads each failure once."""
    with pytest.raises(exception.VolumeDeviceNotFound):
        first(Driver(a=gone('a'), b=gone('b')), 'a', 'b')
    warnings = [record.getMessage() for record in caplog.records if record.levelname == 'WARNING']
    assert warnings == ['a cannot be used: a has no disk']


def test_the_last_path_is_logged_where_another_one_explains(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = exception.VolumeIdentityMismatch(device='/dev/a', expected='gold', actual='lead')
    with pytest.raises(exception.VolumeIdentityMismatch):
        first(Driver(a=wrong, b=gone('b')), 'a', 'b')
    assert 'b cannot be used: b has no disk' in caplog.text


def test_what_the_host_lacks_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    missing = exception.HostNotReady(missing='iscsiadm', remedy='Install it.')
    with pytest.raises(exception.HostNotReady):
        first(Driver(a=missing, b=missing), 'a', 'b')
    assert set() == HOST
    assert 'iscsiadm' not in caplog.text


def test_a_path_that_does_without_what_the_host_lacks_is_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A session that the firmware has made needs no iscsiadm."""
    missing = exception.HostNotReady(missing='iscsiadm', remedy='Install it.')
    assert first(Driver(a=missing), 'a', 'b') is not None
    assert 'iscsiadm' not in caplog.text
