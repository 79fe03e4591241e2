# SPDX-License-Identifier: Apache-2.0
"""A SCSI volume is made usable: the disks and maps before, and what its user gets after."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import disks, map_offers, scsi, volume
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """sda and sdb are gold, sdc is silver; no map is there."""
    with two_volumes.attached(tmp_path) as found:
        yield found


def known(host: Host, *names: str) -> list[disks.Disk]:
    """Disks as an attach has them from their first answer."""
    deadline = wait.Deadline.after(30)
    return [
        disks.find(
            scsi.Address.parse(host.disks[name].address),
            disks.Scans(lambda: None, []),
            deadline,
            is_new=False,
        )
        for name in names
    ]


def open_map(opened: list[disks.Disk]) -> volume.Device:
    return volume.open_multipath(opened, 5, wait.Deadline.after(60))


def test_one_disk(host: Host) -> None:
    (disk,) = known(host, 'sdc')
    device = volume.open_single(disk, wait.Deadline.after(30))
    assert (device.path, device.wwid, device.is_multipath) == (
        '/dev/sdc',
        host.disks['sdc'].unit.wwid,
        False,
    )
    assert not host.maps


def test_a_map_over_all_disks_and_no_others(host: Host) -> None:
    device = open_map(known(host, 'sda', 'sdb'))
    host.settle()
    assert (device.path, device.wwid) == ('/dev/dm-0', host.disks['sda'].unit.wwid)
    assert device.is_multipath
    assert {disk.name for disk in host.maps['dm-0'].disks} == {'sda', 'sdb'}


REFUSED = [
    # What is at the LUN by now, and the error.
    ('tin', exception.VolumeIdentityMismatch),
    # It does not answer a read, which comes before the question who it is.
    ('nothing', exception.VolumeDeviceNotFound),
]


@pytest.mark.parametrize(('now', 'error'), REFUSED)
@pytest.mark.parametrize('is_map', [True, False])
def test_what_has_changed_since_the_first_answer_is_not_handed_out(
    host: Host, now: str, error: type[Exception], is_map: bool
) -> None:
    opened = known(host, 'sda')
    two_volumes.remap(host, 'sda', array.Unit('tin') if now == 'tin' else None)
    with pytest.raises(error):
        open_map(opened) if is_map else volume.open_single(opened[0], wait.Deadline.after(30))


@pytest.mark.parametrize('now', ['tin', 'nothing', 'silent'])
def test_a_foreign_disk_leaves_a_map_that_was_there(host: Host, now: str) -> None:
    """sdb was gold when multipathd took it; the caller names sda's path only."""
    found = two_volumes.map_gold(host)
    # sdb leads to a target of its own from now on.
    session = host.disks['sdb'].session
    session.target = array.Target('gold-2', 0)
    if now != 'nothing':
        session.target.luns[1] = array.Unit(now, unresponsive=now == 'silent')
    device = open_map(known(host, 'sda'))
    host.settle()
    assert device.name == 'dm-0'
    # One that does not answer may be gold still, by a path that has failed.
    assert {disk.name for disk in found.disks} == ({'sda', 'sdb'} if now == 'silent' else {'sda'})
    assert ('sdb' in host.disks) is (now == 'silent')
    assert not [unit for unit in host.reached if unit.name == 'tin']


def test_a_volume_smaller_than_its_map_is_refused(host: Host) -> None:
    found = two_volumes.map_gold(host)
    two_volumes.unit(host, 'sda').megabytes = 32
    with pytest.raises(exception.VolumeHasShrunk) as caught:
        open_map(known(host, 'sda', 'sdb'))
    assert (caught.value.size, caught.value.before) == (32 << 20, 64 << 20)
    assert found.sectors == 64 * 2048


def test_a_disk_without_a_wwid_gets_no_map(host: Host) -> None:
    session = host.disks['sdc'].session
    session.target.luns[2] = array.Unit('tin', names=[])
    host.find_lun(session, 2)
    host.settle()
    before = host.snapshot()
    with pytest.raises(map_offers.NotClaimed, match='no WWID'):
        open_map(known(host, 'sdd'))
    assert host.snapshot() == before


def test_a_map_that_takes_no_io(host: Host) -> None:
    found = two_volumes.map_gold(host)
    begun = host.clock.monotonic()
    found.is_suspended = True
    with pytest.raises(exception.VolumeDeviceNotFound, match='suspended'):
        volume.require_ready('dm-0', wait.Deadline.after(3))
    assert host.clock.monotonic() - begun >= 3
    host.clock.after(1, lambda: setattr(found, 'is_suspended', False))
    volume.require_ready('dm-0', wait.Deadline.after(3))


def test_disks_below_the_same_maps(host: Host) -> None:
    assert volume.disks_of(['sda']) == ['sda']
    two_volumes.map_gold(host)
    assert volume.disks_of(['sda']) == ['sda', 'sdb']
    assert volume.disks_of(['sdc', 'sdb']) == ['sdc', 'sdb', 'sda']
