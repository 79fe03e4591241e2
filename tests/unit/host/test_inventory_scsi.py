# SPDX-License-Identifier: Apache-2.0
"""A SCSI disk as a path: why it takes no I/O, in the kernel's words."""

import pytest

from os_brick.host import inventory, inventory_scsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost.fixtures import host as host  # noqa: PLC0414 the fixture


@pytest.mark.parametrize(
    ('access', 'trouble'),
    [('active/optimized', ''), ('active/non-optimized', ''), ('standby', 'standby')],
)
def test_access_of_alua(host: fake_host.Host, access: str, trouble: str) -> None:
    target = host.target()
    target.luns[1] = array.Unit()
    host.find_lun(host.log_in(target, target.portals[0]), 1)
    host.settle()
    host.tree.value(f'{host.disks["sda"].device}/access_state', access)
    [path] = inventory.read().paths
    assert (path.access, path.trouble, path.is_usable) == (access, trouble, not trouble)


def test_the_host_of_a_virtual_port_is_its_own() -> None:
    place = '../../devices/pci0/host1/vport-1:0-0/host5/rport-5:0-1/target5:0:1/5:0:1:2/block/sdc'
    assert inventory_scsi._host_of(place) == 'host5'
