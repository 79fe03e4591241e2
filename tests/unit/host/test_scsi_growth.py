# SPDX-License-Identifier: Apache-2.0
"""A SCSI volume that has grown on its array: what its disks and its map show then."""

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import block, scsi_growth
from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

MIB = 1 << 20


@pytest.fixture
def target(host: fake_host.Host) -> array.Target:
    """A volume of 64 MiB, attached by two paths."""
    found = host.target('t1', portals=2)
    found.luns[1] = array.Unit('gold')
    iscsi.ISCSIConnector(None, use_multipath=True).connect_volume(found.properties(plural=True))
    return found


def grow(host: fake_host.Host) -> tuple[int, list[str]]:
    return scsi_growth.grow([min(host.disks)], wait.Deadline.after(60))


def sizes(host: fake_host.Host) -> set[int]:
    return {block.size_bytes(name) // MIB for name in (*host.disks, 'dm-0')}


def test_what_there_is_before(host: fake_host.Host, target: array.Target) -> None:
    found = scsi_growth.look([min(host.disks)])
    assert {disk.name for disk in found.disks} == set(host.disks)
    assert found.map is not None
    assert (found.map.name, found.map.wwid) == ('dm-0', target.luns[1].wwid)
    assert found.size_bytes == 64 * MIB


def test_every_disk_and_the_map_grow_though_one_was_named(
    host: fake_host.Host, target: array.Target
) -> None:
    target.luns[1].megabytes = 96
    assert grow(host) == (96 * MIB, [])
    assert sizes(host) == {96}


def test_what_has_grown_before_stays_so(host: fake_host.Host, target: array.Target) -> None:
    target.luns[1].megabytes = 96
    grow(host)
    before = host.snapshot()
    assert grow(host) == (96 * MIB, [])
    assert host.snapshot() == before


def test_a_dead_disk_leaves_the_map_and_is_named(
    host: fake_host.Host, target: array.Target
) -> None:
    dead = max(host.disks)
    host.set_state(host.disks[dead], 'offline')
    target.luns[1].megabytes = 96
    assert grow(host) == (96 * MIB, [dead])
    assert block.size_bytes('dm-0') == 96 * MIB
    assert [disk.name for disk in host.maps['dm-0'].disks] == [min(host.disks)]


def test_a_volume_that_has_shrunk_keeps_its_map(host: fake_host.Host, target: array.Target) -> None:
    target.luns[1].megabytes = 32
    with pytest.raises(exception.VolumeHasShrunk) as caught:
        grow(host)
    assert (caught.value.size, caught.value.before) == (32 * MIB, 64 * MIB)
    assert block.size_bytes('dm-0') == 64 * MIB


def test_without_a_live_disk_each_is_named(host: fake_host.Host, target: array.Target) -> None:
    for disk in host.disks.values():
        host.set_state(disk, 'offline')
    with pytest.raises(exception.VolumePathsNotFound) as caught:
        grow(host)
    for name in host.disks:
        assert f'{name} is offline' in str(caught.value)


def test_a_disk_that_is_another_volume_by_now(host: fake_host.Host, target: array.Target) -> None:
    target.luns[1] = array.Unit('silver', megabytes=96)
    with pytest.raises(exception.VolumeIdentityMismatch):
        grow(host)
    assert block.size_bytes('dm-0') == 64 * MIB
