# SPDX-License-Identifier: Apache-2.0
"""A target with two volumes, whose disks are on the host."""

from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host


def scanned(host: fake_host.Host) -> array.Target:
    """A target with the volumes gold and silver, both scanned."""
    found = host.target('t1')
    found.luns |= {1: array.Unit('gold'), 2: array.Unit('silver')}
    session = host.log_in(found, found.portals[0])
    for lun in (1, 2):
        host.find_lun(session, lun)
    host.settle()
    return found


def disk_of(host: fake_host.Host, lun: int) -> fake_host.Disk:
    """The disk of one of them."""
    return next(disk for disk in host.disks.values() if disk.lun == lun)
