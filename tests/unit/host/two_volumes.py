# SPDX-License-Identifier: Apache-2.0
"""A host with two SCSI volumes: gold by two paths (sda and sdb), silver by one (sdc)."""

from collections.abc import Iterator
import contextlib
import pathlib

from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host, Map


@contextlib.contextmanager
def attached(place: pathlib.Path) -> Iterator[Host]:
    """The host, without multipath maps."""
    with Host(place) as found:
        for name, portals in (('gold', 2), ('silver', 1)):
            target = found.target(name, portals=portals)
            target.luns[1] = array.Unit(name)
            for portal in target.portals:
                found.find_lun(found.log_in(target, portal), 1)
        found.settle()
        yield found


def unit(host: Host, disk: str) -> array.Unit:
    """The volume that is at a disk's LUN now."""
    found: array.Unit = host.disks[disk].session.target.luns[1]
    return found


def remap(host: Host, disk: str, new: array.Unit | None) -> None:
    """The array gives the LUN of a disk to another volume, or to none; the host is not told."""
    luns = host.disks[disk].session.target.luns
    luns.pop(1)
    if new is not None:
        luns[1] = new


def map_gold(host: Host) -> Map:
    """multipathd makes the map dm-0 over both disks of gold."""
    assert host.claim('sda')
    assert host.claim('sdb')
    return host.maps['dm-0']


def units(host: Host) -> dict[str, str]:
    """The disks, and which volume each is to the kernel."""
    return {name: disk.unit.name for name, disk in host.disks.items()}


@contextlib.contextmanager
def behind_one_port(place: pathlib.Path) -> Iterator[Host]:
    """Another host: gold by one path (sda) below the map dm-0, and silver (sdb) without a map."""
    with Host(place) as found:
        target = found.target()
        target.luns = {1: array.Unit('gold'), 2: array.Unit('silver')}
        session = found.log_in(target, target.portals[0])
        for lun in target.luns:
            found.find_lun(session, lun)
        found.settle()
        assert found.claim('sda')
        yield found
