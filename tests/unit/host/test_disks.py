# SPDX-License-Identifier: Apache-2.0
"""The disk behind one path: what was at the address before, and which disk is there after."""

from collections.abc import Callable, Iterator
import dataclasses
import pathlib

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import disks, inquiry, lun_state, scsi
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host, Session
from tests.unit.host import two_volumes

NOTHING = lun_state.UNATTENDED


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """sda and sdb are gold, sdc is silver; nothing has been scanned at LUN 2 of silver's target."""
    with two_volumes.attached(tmp_path) as found:
        yield found


def find(
    host: Host,
    session: Session,
    lun: int,
    *,
    is_new: bool = False,
    seconds: float = 20,
    scan: Callable[[], None] | None = None,
    waiting: lun_state.Waiting = NOTHING,
) -> disks.Disk:
    address = scsi.Address(session.host, 0, 0, lun)

    def look() -> None:
        host.find_lun(session, lun)

    deadline = wait.Deadline.after(seconds)
    scans = disks.Scans(scan or look, [0, 2, 5])
    return disks.find(address, scans, deadline, is_new=is_new, waiting=waiting)


def test_a_disk_that_a_scan_brings(host: Host) -> None:
    session = host.disks['sdc'].session
    session.target.luns[2] = array.Unit('tin', megabytes=96)
    found = find(host, session, 2, is_new=True)
    assert (found.name, found.size_bytes, found.is_new) == ('sdd', 96 << 20, True)
    assert found.identity.wwid == session.target.luns[2].wwid
    assert two_volumes.units(host) == {
        'sda': 'gold',
        'sdb': 'gold',
        'sdc': 'silver',
        'sdd': 'tin',
    }


def test_a_volume_that_the_array_maps_late_is_scanned_for_again(host: Host) -> None:
    session = host.disks['sdc'].session
    host.clock.after(3, lambda: session.target.luns.update({2: array.Unit('tin')}))
    assert find(host, session, 2, is_new=True).name == 'sdd'


def test_a_volume_that_does_not_come(host: Host) -> None:
    session = host.disks['sdc'].session
    before = host.snapshot()
    with pytest.raises(exception.VolumeDeviceNotFound, match=f'{session.host}:0:0:2'):
        find(host, session, 2, is_new=True)
    assert host.snapshot() == before


def test_an_adapter_that_has_no_such_lun_says_so_at_once(host: Host) -> None:
    def refuse() -> None:
        raise OSError(22, 'Invalid argument')

    begun = host.clock.monotonic()
    with pytest.raises(exception.VolumeDeviceNotFound, match='Invalid argument'):
        find(host, host.disks['sdc'].session, 2, is_new=True, scan=refuse)
    assert host.clock.monotonic() - begun < 5


def test_a_disk_that_is_there_is_asked_and_stays(host: Host) -> None:
    disk = host.disks['sdc']
    answered: list[str] = []
    waiting = lun_state.Waiting(on_response=lambda: answered.append('sdc'))
    two_volumes.unit(host, 'sdc').megabytes = 96  # It has grown meanwhile.
    found = find(host, disk.session, 1, waiting=waiting)
    assert (found.name, found.size_bytes, found.is_new) == ('sdc', 96 << 20, False)
    assert found.identity.wwid == disk.unit.wwid
    assert answered == ['sdc']
    assert host.disks['sdc'] is disk


def test_a_stale_disk_is_replaced(host: Host) -> None:
    """The array has given the LUN to tin; silver, whose disk it was, was never detached."""
    old = host.disks['sdc']
    two_volumes.remap(host, 'sdc', array.Unit('tin'))
    found = find(host, old.session, 1)
    assert found.identity.wwid == two_volumes.unit(host, 'sdc').wwid
    assert found.is_new
    assert host.disks[found.name] is not old
    assert not host.flushes


def test_a_stale_disk_in_use_stays(host: Host) -> None:
    two_volumes.remap(host, 'sdc', array.Unit('tin'))
    host.tree.file('/proc/self/mountinfo', '36 25 8:32 / /srv rw - xfs /dev/sdc rw\n')
    before = host.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch, match='mount on /srv'):
        find(host, host.disks['sdc'].session, 1)
    assert host.snapshot() == before


@pytest.mark.parametrize('is_new', [True, False])
def test_a_disk_without_capacity_is_told_and_an_error(host: Host, is_new: bool) -> None:
    """One that this operation has not noted as its own is taken back here."""
    session = host.disks['sdc'].session
    session.target.luns[2] = array.Unit('tin', without_capacity={1})
    stalls: list[int] = []
    waiting = lun_state.Waiting(on_stall=lambda: stalls.append(1), ready_seconds=1)
    with pytest.raises(exception.PathNotReady):
        find(host, session, 2, is_new=is_new, waiting=waiting)
    host.settle()
    assert stalls == [1]
    assert ('sdd' in host.disks) is is_new


def test_a_wait_that_is_called_off_ends(host: Host) -> None:
    def check() -> None:
        raise exception.VolumeInUse(device='x', holder='a detach')

    with pytest.raises(exception.VolumeInUse):
        find(host, host.disks['sdc'].session, 2, waiting=lun_state.Waiting(check=check))


def known(host: Host, name: str) -> disks.Disk:
    """A disk as an attach has it from its first answer."""
    session = host.disks[name].session
    return find(host, session, 1)


CONFIRMED = [
    # What is at the LUN when it is asked again, and what that is.
    ('gold', None),
    ('silent', None),
    ('tin', exception.VolumeIdentityMismatch),
    ('nothing', inquiry.NothingMapped),
]


@pytest.mark.parametrize(('now', 'error'), CONFIRMED)
def test_a_disk_is_confirmed(host: Host, now: str, error: type[Exception] | None) -> None:
    disk = known(host, 'sdc')
    units = {
        'gold': two_volumes.unit(host, 'sdc'),
        'silent': array.Unit('silver', unresponsive=True),
        'tin': array.Unit('tin'),
        'nothing': None,
    }
    two_volumes.remap(host, 'sdc', units[now])
    if error is None:
        disks.confirm([disk], wait.Deadline.after(30))
    else:
        with pytest.raises(error):
            disks.confirm([disk], wait.Deadline.after(30))
    assert 'sdc' in host.disks


def test_disks_of_one_volume(host: Host) -> None:
    gold, other, silver = (known(host, name) for name in ('sda', 'sdb', 'sdc'))
    disks.require_same_volume([gold, other])
    disks.require_same_volume([silver])
    with pytest.raises(exception.VolumeIdentityMismatch, match='sdc'):
        disks.require_same_volume([gold, other, silver])
    with pytest.raises(exception.VolumeIdentityMismatch, match='sdb'):
        disks.require_same_volume([gold, dataclasses.replace(other, size_bytes=1)])


def test_the_volume_that_the_caller_expects(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    disk = known(host, 'sda')
    for wwid in (None, disk.identity.wwid, disk.identity.wwid.upper()):
        disks.require_expected(disk, wwid)
    assert not caplog.records
    disks.require_expected(disk, 'mpatha')  # A map's name tells nothing of a disk.
    assert 'cannot be compared' in caplog.text
    with pytest.raises(exception.VolumeIdentityMismatch):
        disks.require_expected(disk, host.disks['sdc'].unit.wwid)


@pytest.mark.parametrize('is_disk', [True, False])
@pytest.mark.parametrize('kind', [SystemExit, OSError, exception.VolumeDeviceNotFound])
def test_whatever_ends_a_replacement_takes_it_back(
    host: Host, kind: type[BaseException], is_disk: bool
) -> None:
    """The caller has not noted what comes in the place of a stale disk, be it a disk yet or not."""
    two_volumes.remap(host, 'sdc', array.Unit('tin'))
    old = host.disks['sdc']
    host.has_disk_driver = is_disk

    def end() -> None:
        if host.disks.get('sdc', old) is not old:
            raise kind

    with pytest.raises(kind):
        find(host, old.session, 1, waiting=lun_state.Waiting(check=end))
    host.settle()
    assert 'sdc' not in host.disks


def test_what_was_there_before_stays_after_an_error(host: Host) -> None:
    """The kernel has it, and no disk yet."""
    session = host.disks['sdc'].session
    session.target.luns[2] = array.Unit('tin')
    host.has_disk_driver = False
    host.find_lun(session, 2)
    before = host.snapshot()

    def end() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        find(host, session, 2, waiting=lun_state.Waiting(check=end))
    assert host.snapshot() == before
