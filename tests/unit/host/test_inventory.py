# SPDX-License-Identifier: Apache-2.0
"""What one look finds of the volumes of each transport, on hosts in a directory."""

import pathlib

from os_brick.host import inventory
from os_brick.model.inventory import Host, State, Volume
from tests.unit.fakehost import array, fabric
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost import nvme as fake_nvme
from tests.unit.fakehost.fixtures import host as host  # noqa: PLC0414 the fixture

MOUNTINFO = '/proc/self/mountinfo'


def mapped(host: fake_host.Host, name: str = 't1', portals: int = 2, lun: int = 1) -> array.Unit:
    """A volume behind several portals, with its map."""
    target = host.target(name, portals=portals)
    unit = target.luns[lun] = array.Unit(name)
    for portal in target.portals:
        host.find_lun(host.log_in(target, portal), lun)
    host.settle()
    for disk in list(host.disks.values()):
        if disk.unit is unit:
            host.claim(disk.name)
    return unit


def only(found: Host) -> Volume:
    [volume] = found.volumes
    return volume


def test_a_map_over_iscsi(host: fake_host.Host) -> None:
    unit = mapped(host)
    volume = only(inventory.read())
    assert (volume.device, volume.kind, volume.protocol) == ('dm-0', 'multipath', 'iscsi')
    assert (volume.identity, volume.size_bytes) == (unit.wwid, 64 << 20)
    assert (volume.ready_paths, volume.expected_paths, volume.state) == (2, 2, State.OK)
    first, second = volume.paths
    assert (first.device, first.address, first.lun) == ('sda', '3:0:0:1', 1)
    assert (first.link, first.link_state, first.host) == ('session1', 'LOGGED_IN', 'host3')
    target = host.targets[0]
    assert {first.target, second.target, volume.target} == {target.iqn}
    assert [first.remote, second.remote] == [str(portal) for portal in target.portals]
    assert first.identity == unit.wwid


def test_a_lost_session_degrades_and_two_fail(host: fake_host.Host) -> None:
    mapped(host)
    first, second = host.sessions.values()
    host.cut(first)
    volume = only(inventory.read())
    assert (volume.state, volume.ready_paths) == (State.DEGRADED, 1)
    assert volume.paths[0].trouble == 'transport-offline, session1 FAILED'
    host.cut(second)
    assert only(inventory.read()).state is State.FAILED


def test_a_disk_without_a_map(host: fake_host.Host) -> None:
    target = host.target()
    target.luns[3] = array.Unit()
    host.find_lun(host.log_in(target, target.portals[0]), 3)
    host.settle()
    volume = only(inventory.read())
    assert (volume.device, volume.kind, volume.state) == ('sda', 'disk', State.OK)
    assert [path.lun for path in volume.paths] == [3]


def test_fibre_channel(tmp_path: pathlib.Path) -> None:
    with fabric.FabricHost(tmp_path) as host:
        storage = host.storage(ports=1)
        adapter = host.adapter(storage)
        storage.luns[9] = array.Unit()
        host.find_lun(adapter.remotes[0], 9)
        host.settle()
        found = inventory.read()
        [path] = only(found).paths
        assert (path.transport, path.lun, path.link) == ('fc', 9, 'rport-2:0-0')
        assert (path.local, path.remote) == (adapter.wwpn, storage.ports[0])
        assert [(port.name, port.state) for port in found.ports] == [('host2', 'Online')]
        host.lose(adapter.remotes[0])
        host.settle()
        volume = only(inventory.read())
        assert (volume.state, volume.paths[0].link_state) == (State.FAILED, 'Blocked')


def test_nvme(tmp_path: pathlib.Path) -> None:
    with fake_nvme.configured(tmp_path) as root, fake_nvme.Fabric(root) as host:
        subsystem = host.subsystem('s1', portals=2)
        subsystem.namespaces[3] = fake_nvme.Volume('gold')
        names = [host.by_hand(subsystem, address) for address in sorted(subsystem.portals)]
        volume = only(inventory.read())
        assert (volume.device, volume.protocol) == ('nvme50n3', 'nvme-rdma')
        assert volume.identity == f'uuid.{subsystem.namespaces[3].uuid}'
        assert (volume.target, volume.state) == (subsystem.nqn, State.OK)
        assert [path.link for path in volume.paths] == names
        assert [path.remote for path in volume.paths] == ['10.0.0.1:4420', '10.0.0.2:4420']
        assert {path.lun for path in volume.paths} == {3}
        host.becomes(names[0], 'connecting')
        assert only(inventory.read()).state is State.DEGRADED


def test_nothing_is_changed_and_nothing_is_asked(host: fake_host.Host) -> None:
    mapped(host)
    before, acts = host.snapshot(), list(host.acts)
    inventory.read(everything=True)
    assert (host.snapshot(), host.acts, host.commands) == (before, acts, [])
