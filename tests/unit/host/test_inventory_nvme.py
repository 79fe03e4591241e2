# SPDX-License-Identifier: Apache-2.0
"""NVMe namespaces: which name identifies one, and which paths take I/O."""

import pathlib

from os_brick.host import inventory
from os_brick.model.inventory import State
from tests.unit.fakehost import nvme as fake_nvme


def test_a_path_whose_ana_state_takes_no_io(tmp_path: pathlib.Path) -> None:
    with fake_nvme.configured(tmp_path) as root, fake_nvme.Fabric(root) as host:
        subsystem = host.subsystem('s1', portals=2)
        subsystem.namespaces[1] = fake_nvme.Volume('gold', has_uuid=False)
        first, second = sorted(subsystem.portals)
        host.ana[second] = 'inaccessible'
        for address in (first, second):
            host.by_hand(subsystem, address)
        [volume] = inventory.read().volumes
    assert volume.state is State.DEGRADED
    assert [path.trouble for path in volume.paths] == ['', 'inaccessible']
    assert volume.identity.startswith('nguid.') or volume.identity.startswith('uuid.')


def test_without_native_multipath_each_path_is_a_volume(tmp_path: pathlib.Path) -> None:
    with fake_nvme.configured(tmp_path) as root, fake_nvme.Fabric(root, native=False) as host:
        subsystem = host.subsystem('s1')
        subsystem.namespaces[1] = fake_nvme.Volume('gold')
        name = host.by_hand(subsystem, min(subsystem.portals))
        [volume] = inventory.read().volumes
    assert (volume.device, [path.device for path in volume.paths]) == (f'{name}n1', [f'{name}n1'])
