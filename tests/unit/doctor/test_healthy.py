# SPDX-License-Identifier: Apache-2.0
"""The doctor has nothing to say of a host with twenty volumes of a transport that are well."""

from collections.abc import Callable, Iterator
import contextlib
import pathlib

import pytest

from os_brick.core import wait
from os_brick.doctor import examine, readers
from os_brick.host import inventory, notes
from os_brick.initiator.connectors import fibre_channel, iscsi
from os_brick.model.inventory import State
from tests.unit.doctor.conftest import ids
from tests.unit.fakehost import array, fabric, surroundings
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost import nvme as fake_nvme

COUNT = 20


@contextlib.contextmanager
def over_iscsi(place: pathlib.Path) -> Iterator[None]:
    """Ten LUNs of each of two targets, two portals each."""
    with fake_host.Host(place) as host:
        surroundings.furnish(host)
        connector = iscsi.ISCSIConnector(None, use_multipath=True)
        for name in ('one', 'two'):
            target = host.target(name, portals=2)
            for lun in range(COUNT // 2):
                target.luns[lun] = array.Unit(f'{name}{lun}')
                connector.connect_volume(target.properties(lun, plural=True))
        host.settle()
        assert (len(host.maps), len(host.disks)) == (COUNT, 2 * COUNT)
        yield


@contextlib.contextmanager
def over_fibre_channel(place: pathlib.Path) -> Iterator[None]:
    """Two adapters see both ports of the array: four paths each."""
    with fabric.FabricHost(place) as host:
        surroundings.furnish(host)
        storage = host.storage(ports=2)
        for _ in range(2):
            host.adapter(storage)
        connector = fibre_channel.FibreChannelConnector(None, use_multipath=True)
        for lun in range(COUNT):
            storage.luns[lun] = array.Unit(f'fc{lun}')
            connector.connect_volume(storage.properties(lun))
        host.settle()
        assert (len(host.maps), len(host.disks)) == (COUNT, 4 * COUNT)
        yield


@contextlib.contextmanager
def over_nvme(place: pathlib.Path) -> Iterator[None]:
    """Five namespaces of each of four subsystems, two portals each; connected by another program.

    The controllers come before the host's daemons: their doubles' threads end with the storage.
    """
    with fake_nvme.configured(place) as root, fake_nvme.Fabric(root) as storage:
        for name in ('one', 'two', 'three', 'four'):
            subsystem = storage.subsystem(name, portals=2)
            for nsid in range(1, COUNT // 4 + 1):
                subsystem.namespaces[nsid] = fake_nvme.Volume(f'{name}{nsid}')
            for address in sorted(subsystem.portals):
                storage.by_hand(subsystem, address)
        with fake_host.Host(place) as host:
            around = surroundings.furnish(host)
            around.tree.value('/etc/nvme/hostnqn', fake_nvme.HOST)
            around.tree.value('/etc/nvme/hostid', fake_nvme.HOST.rpartition(':')[2])
            yield


TRANSPORTS = (over_iscsi, over_fibre_channel, over_nvme)


@pytest.mark.parametrize('transport', TRANSPORTS, ids=lambda each: str(each.__name__))
def test_twenty_volumes_that_are_well_have_no_finding(
    transport: Callable[[pathlib.Path], contextlib.AbstractContextManager[None]],
    tmp_path: pathlib.Path,
    state_path: str,
) -> None:
    with transport(tmp_path):
        found = readers.read(wait.Deadline.after(30), is_root=True)
        result = examine.examine(found, {})
        volumes = inventory.read().volumes
        noted = notes.every(state_path).notes
    assert [volume.state for volume in volumes] == [State.OK] * COUNT
    assert {volume.ready_paths for volume in volumes} == {
        4 if transport is over_fibre_channel else 2
    }
    assert len(noted) == (0 if transport is over_nvme else COUNT)
    assert ids(result) == set()
    assert result.unread == ()
    assert result.exit_code == 0
