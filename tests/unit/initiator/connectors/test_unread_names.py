# SPDX-License-Identifier: Apache-2.0
"""The kernel has read only the serial number, or no name at all, of a disk on one of the paths."""

import contextlib

import pytest

from os_brick import exception
from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host


@pytest.mark.parametrize('kernel_reads', [(0x80,), ()])
@pytest.mark.parametrize('several', [False, True])
def test_detach_leaves_a_disk_that_contradicts_one_of_the_volumes(
    host: fake_host.Host, several: bool, kernel_reads: tuple[int, ...]
) -> None:
    """Its serial number contradicts the other disk's; without one the device itself is asked."""
    one, two = host.target('one'), host.target('two')
    one.luns[1] = two.luns[1] = array.Unit('disk')
    props = {
        'target_portals': [str(two.portals[0]), str(one.portals[0])],
        'target_iqns': [two.iqn, one.iqn],
        'target_luns': [1, 1],
    }
    info = iscsi.ISCSIConnector(None, use_multipath=True).connect_volume(props)
    for disk in [disk for disk in host.disks.values() if disk.session.target is two]:
        host.remove_disk(disk)
    host.settle()
    two.luns[1] = array.Unit('disk', kernel_reads=kernel_reads)
    other = iscsi.ISCSIConnector(None).connect_volume(two.properties())
    in_use = host.disk_of(other['path'])
    with contextlib.suppress(exception.BrickException):
        iscsi.ISCSIConnector(None, use_multipath=several).disconnect_volume(props, info)
    assert list(host.disks.values()) == [in_use]
