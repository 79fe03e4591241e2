# SPDX-License-Identifier: Apache-2.0
"""A disk in each state that the kernel has for it, and a capacity that is not there yet.

Whole attaches over the same states are in ``connectors/test_lun_states``.
"""

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import lun_state, scsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host


@pytest.fixture
def disk(host: fake_host.Host) -> fake_host.Disk:
    """A disk that a scan has brought."""
    target = host.target('t1')
    target.luns[1] = array.Unit('gold')
    session = host.log_in(target, target.portals[0])
    host.find_lun(session, 1)
    host.settle()
    (found,) = host.disks.values()
    return found


def where(disk: fake_host.Disk) -> scsi.Address:
    return scsi.Address.parse(disk.address)


def await_running(disk: fake_host.Disk) -> bool:
    return lun_state.await_running(disk.name, where(disk), wait.Deadline.after(20))


def test_one_that_runs(disk: fake_host.Disk) -> None:
    assert await_running(disk)
    assert not lun_state.is_going(where(disk))


def test_one_that_is_offline_is_set_running(host: fake_host.Host, disk: fake_host.Disk) -> None:
    host.set_state(disk, 'offline')
    assert await_running(disk)
    assert scsi.state_at(where(disk)) == 'running'


@pytest.mark.parametrize('state', ['blocked', 'quiesce', 'transport-offline', 'created'])
def test_one_that_stays_as_it_is(host: fake_host.Host, disk: fake_host.Disk, state: str) -> None:
    host.set_state(disk, state)
    with pytest.raises(exception.PathNotReady, match=state):
        await_running(disk)


def test_one_that_is_blocked_for_a_moment(host: fake_host.Host, disk: fake_host.Disk) -> None:
    host.set_state(disk, 'blocked')
    host.clock.after(0.5, lambda: host.set_state(disk, 'running'))
    assert await_running(disk)


@pytest.mark.parametrize('state', ['cancel', 'deleted'])
def test_one_that_is_going(host: fake_host.Host, disk: fake_host.Disk, state: str) -> None:
    host.set_state(disk, state)
    assert lun_state.is_going(where(disk))
    host.clock.after(0.5, lambda: host.remove_disk(disk))
    assert not await_running(disk)


def capacity(disk: fake_host.Disk, seconds: float = 10.0) -> int:
    waiting = lun_state.Waiting(ready_seconds=seconds)
    return lun_state.capacity_bytes(disk.name, where(disk), wait.Deadline.after(60), waiting)


def test_a_capacity(disk: fake_host.Disk) -> None:
    assert capacity(disk) == 64 << 20


def test_one_that_comes_with_another_rescan(host: fake_host.Host, disk: fake_host.Disk) -> None:
    unit = disk.session.target.luns[1]
    unit.without_capacity = {1}
    host._rescan(disk)
    host.clock.after(2.0, unit.without_capacity.clear)
    assert capacity(disk) == 64 << 20


def test_one_that_is_there_from_the_start_is_not_told_of(disk: fake_host.Disk) -> None:
    stalls: list[int] = []
    waiting = lun_state.Waiting(on_stall=lambda: stalls.append(1))
    lun_state.capacity_bytes(disk.name, where(disk), wait.Deadline.after(5), waiting)
    assert stalls == []


def test_one_that_does_not_come(host: fake_host.Host, disk: fake_host.Disk) -> None:
    disk.session.target.luns[1].without_capacity = {1}
    host._rescan(disk)
    with pytest.raises(exception.PathNotReady, match='no capacity'):
        capacity(disk, 1.0)
