# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel volumes come and go: what the host looks like before, in between, and after."""

from collections.abc import Iterator
import pathlib
import time
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception, opts
from os_brick.initiator.connectors import fibre_channel
from tests.unit.fakehost import array, fabric

EITHER = pytest.mark.parametrize('multipath', [False, True])

Host = fabric.FabricHost


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with Host(tmp_path) as found:
        yield found


@pytest.fixture
def storage(host: Host) -> fabric.Storage:
    """An array of two ports with one volume, LUN 1; two adapters see both."""
    found = host.storage(ports=2)
    found.luns[1] = array.Unit('gold')
    for _ in range(2):
        host.adapter(found)
    return found


def connector(multipath: bool = True) -> fibre_channel.FibreChannelConnector:
    return fibre_channel.FibreChannelConnector(None, use_multipath=multipath)


BY_UUID = '/dev/disk/by-id/dm-uuid-mpath-'


def link_of(storage: fabric.Storage, adapter: int = 0) -> str:
    """udev's link to the volume's disk through one adapter and the first port of the array."""
    place = f'pci-0000:00:0{4 + adapter}.0'
    return f'/dev/disk/by-path/{place}-fc-0x{storage.ports[0]}-lun-1'


def mount(host: Host, number: str, place: str = '/srv') -> None:
    line = f'36 1 {number} / {place} rw shared:1 - ext4 /dev/whatever rw\n'
    host.tree.file('/proc/self/mountinfo', line)


@EITHER
def test_a_whole_life(host: Host, storage: fabric.Storage, multipath: bool) -> None:
    before = host.snapshot()
    props = storage.properties()
    asked = dict(props)
    brick = connector(multipath)
    info = brick.connect_volume(props)
    host.settle()
    assert props == asked
    wwid = storage.luns[1].wwid
    if multipath:
        assert info == {
            'type': 'block',
            'path': f'{BY_UUID}{wwid}',
            'scsi_wwn': wwid,
            'multipath_id': wwid,
        }
        assert len(host.maps['dm-0'].disks) == 4
    else:
        assert info == {'type': 'block', 'path': link_of(storage), 'scsi_wwn': wwid}
        assert len(host.disks) == 1
    device = 'dm-0' if multipath else 'sda'
    assert host.commands == []
    storage.luns[1].megabytes = 96
    assert brick.extend_volume(props) == 96 << 20
    shown = {
        host.tree.at(f'/sys/block/{name}/size').read_text() for name in (*host.disks, *host.maps)
    }
    assert shown == {f'{96 * 2048}\n'}
    assert host.node(info['path']) == device
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before
    assert device in host.flushes
    assert host.commands == []


@EITHER
def test_attach_twice_is_the_same_volume(
    host: Host, storage: fabric.Storage, multipath: bool
) -> None:
    before = host.snapshot()
    brick = connector(multipath)
    info = brick.connect_volume(storage.properties())
    host.settle()
    between, scans = host.snapshot(), len(host.scans)
    assert brick.connect_volume(storage.properties()) == info
    assert host.snapshot() == between
    assert len(host.scans) == scans
    brick.disconnect_volume(storage.properties(), info)
    assert host.snapshot() == before


@EITHER
def test_detach_by_a_wwid_in_upper_case(
    host: Host, storage: fabric.Storage, multipath: bool
) -> None:
    before = host.snapshot()
    brick = connector(multipath)
    info = brick.connect_volume(storage.properties())
    brick.disconnect_volume(storage.properties(), {'scsi_wwn': info['scsi_wwn'].upper()})
    assert host.snapshot() == before


@EITHER
def test_a_scan_that_ends_during_the_detach(
    host: Host, storage: fabric.Storage, multipath: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port has just logged in: the kernel scans all of it, and the array still maps the LUN."""
    before = host.snapshot()
    brick = connector(multipath)
    info = brick.connect_volume(storage.properties())
    host.settle()
    storage.luns[2] = array.Unit('silver')
    scanned: list[str] = []

    def remove_and_find(disk: Any) -> None:
        fabric.FabricHost.remove_disk(host, disk)
        if disk.lun == 1 and disk.address not in scanned:
            scanned.append(disk.address)
            host.find_lun(disk.session, 1)

    monkeypatch.setattr(host, 'remove_disk', remove_and_find)
    brick.disconnect_volume(storage.properties(), info)
    assert len(scanned) == (4 if multipath else 1)
    assert host.snapshot() == before


def test_a_name_that_another_volume_gets_during_the_flush(
    host: Host, storage: fabric.Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone else removes the disk, and the next one that comes is called like it."""
    brick = connector(multipath=False)
    info = brick.connect_volume(storage.properties())
    host.settle()
    storage.luns[2] = array.Unit('silver')
    (gold,) = host.disks.values()

    def flush_and_replace(name: str) -> None:
        fabric.FabricHost.flushed(host, name)
        host.remove_disk(gold)
        host.find_lun(gold.session, 2)
        host.settle()

    monkeypatch.setattr(host, 'flushed', flush_and_replace)
    brick.disconnect_volume(storage.properties(), info)
    ((name, disk),) = host.disks.items()
    assert (name, disk.unit.name) == (gold.name, 'silver')
    assert host.tree.at(f'/sys/block/{name}/size').exists()


@EITHER
@pytest.mark.parametrize('device_info', [None, {}, 'the properties'])
def test_detach_knows_the_volume_by_its_properties(
    host: Host, storage: fabric.Storage, multipath: bool, device_info: Any
) -> None:
    """Nova hands over the connection properties as ``device_info``."""
    before = host.snapshot()
    brick = connector(multipath)
    props = storage.properties()
    info = brick.connect_volume(props)
    if device_info:
        device_info = props = {**props, 'device_path': info['path']}
    brick.disconnect_volume(props, device_info)
    assert host.snapshot() == before


@EITHER
def test_only_the_lun_asked_for_is_scanned(
    host: Host, storage: fabric.Storage, multipath: bool
) -> None:
    """And only on adapters that see the array's port, and behind that port alone."""
    other = host.storage()
    other.luns[1] = array.Unit('foreign')
    host.see(host.adapters[0], other, other.ports[0])
    blind = host.adapter(other)
    storage.luns[2] = array.Unit('silver')
    info = connector(multipath).connect_volume(storage.properties())
    host.settle()
    assert {disk.unit.name for disk in host.disks.values()} == {'gold'}
    assert len(host.scans) == (4 if multipath else 1)
    assert all(line.endswith(' 1') and '-' not in line for _, line in host.scans)
    assert blind.host not in {number for number, _ in host.scans}
    connector(multipath).disconnect_volume(storage.properties(), info)


@EITHER
def test_other_luns_of_the_ports_stay(host: Host, storage: fabric.Storage, multipath: bool) -> None:
    storage.luns[2] = array.Unit('silver')
    brick = connector(multipath)
    kept = brick.connect_volume(storage.properties(2))
    before = host.snapshot()
    info = brick.connect_volume(storage.properties(1))
    assert info['scsi_wwn'] == storage.luns[1].wwid
    brick.disconnect_volume(storage.properties(1), info)
    assert host.snapshot() == before
    assert host.node(kept['path']) in {*host.disks, *host.maps}


def test_the_map_says_which_adapter_uses_which_port(host: Host, storage: fabric.Storage) -> None:
    before = host.snapshot()
    first, second = host.adapters
    zones = {
        first.wwpn.upper(): [storage.ports[0], '500a0980ffffffff'],
        second.wwpn: [storage.ports[1].upper()],
    }
    props = storage.properties(initiator_target_map=zones)
    brick = connector()
    info = brick.connect_volume(props)
    host.settle()
    assert {(d.session.adapter.wwpn, d.session.wwpn) for d in host.disks.values()} == {
        (first.wwpn, storage.ports[0]),
        (second.wwpn, storage.ports[1]),
    }
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


@EITHER
def test_detach_takes_disks_of_other_adapters_along(
    host: Host, storage: fabric.Storage, multipath: bool
) -> None:
    """The kernel may have scanned by itself what the map leaves out: known by identity only."""
    before = host.snapshot()
    first, second = host.adapters
    props = storage.properties(initiator_target_map={first.wwpn: storage.ports})
    brick = connector(multipath)
    info = brick.connect_volume(props)
    host.settle()
    host.find_lun(second.remotes[0], 1)
    host.settle()
    assert len(host.disks) == (3 if multipath else 2)
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


@EITHER
def test_another_volume_behind_an_adapter_that_is_left_out_stays(
    host: Host, storage: fabric.Storage, multipath: bool
) -> None:
    first, second = host.adapters
    foreign = host.storage()
    foreign.luns[1] = array.Unit('foreign')
    remote = host.see(second, foreign, storage.ports[0])
    host.find_lun(remote, 1)
    before = host.snapshot()
    props = storage.properties(initiator_target_map={first.wwpn: storage.ports})
    brick = connector(multipath)
    info = brick.connect_volume(props)
    brick.disconnect_volume(props, None)
    assert host.snapshot() == before
    assert info['scsi_wwn'] == storage.luns[1].wwid


def test_a_lun_for_each_port(host: Host) -> None:
    before = host.storage(ports=2)
    gold = array.Unit('gold')
    before.behind = {before.ports[0]: {5: gold}, before.ports[1]: {7: gold}}
    host.adapter(before)
    empty = host.snapshot()
    props = before.properties(target_wwns=before.ports, target_luns=['5', 7])
    brick = connector()
    info = brick.connect_volume(props)
    host.settle()
    assert {disk.lun for disk in host.disks.values()} == {5, 7}
    brick.disconnect_volume(props, info)
    assert host.snapshot() == empty


@EITHER
@pytest.mark.parametrize(('lun', 'mode', 'kernel'), [(300, 'SAM2', 16684), (3, 'SAM3-flat', 16387)])
def test_addressing(
    host: Host, storage: fabric.Storage, multipath: bool, lun: int, mode: str, kernel: int
) -> None:
    before = host.snapshot()
    storage.luns[kernel] = array.Unit('flat')
    props = storage.properties(lun, addressing_mode=mode)
    brick = connector(multipath)
    info = brick.connect_volume(props)
    assert info['scsi_wwn'] == storage.luns[kernel].wwid
    (first, *_) = brick.get_volume_paths(props)
    assert first.endswith(f'-lun-0x{kernel:04x}000000000000')
    storage.luns[kernel].megabytes = 96
    assert brick.extend_volume(props) == 96 << 20
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_two_remote_ports_of_one_name(host: Host) -> None:
    """Both are targets of their own, and both are used."""
    storage = host.storage()
    storage.luns[1] = array.Unit()
    adapter = host.adapter(storage)
    host.see(adapter, storage, storage.ports[0])
    before = host.snapshot()
    brick = connector()
    info = brick.connect_volume(storage.properties())
    host.settle()
    assert len(host.maps['dm-0'].disks) == 2
    brick.disconnect_volume(storage.properties(), info)
    assert host.snapshot() == before


# Identity.


@EITHER
def test_a_stale_disk_is_replaced(host: Host, storage: fabric.Storage, multipath: bool) -> None:
    before = host.snapshot()
    brick = connector(multipath)
    props = storage.properties()
    brick.connect_volume(props)
    storage.luns[1] = array.Unit('other', megabytes=96)
    info = brick.connect_volume(props)
    assert info['scsi_wwn'] == storage.luns[1].wwid
    assert all(disk.unit is storage.luns[1] for disk in host.disks.values())
    brick.disconnect_volume(props, info)
    left = host.snapshot()
    wwids = left.pop('/etc/multipath/wwids')
    before.pop('/etc/multipath/wwids')
    assert left == before
    assert storage.luns[1].wwid not in wwids


@EITHER
def test_a_stale_disk_in_use_is_no_volume(
    host: Host, storage: fabric.Storage, multipath: bool
) -> None:
    brick = connector(multipath)
    props = storage.properties()
    old = storage.luns[1]
    brick.connect_volume(props)
    mount(host, '253:0' if multipath else '8:0')
    if not multipath:  # The other paths are free: leave only the one that is in use.
        props['target_wwn'], props['initiator_target_map'] = (
            storage.ports[0],
            {host.adapters[0].wwpn: storage.ports},
        )
    storage.luns[1] = array.Unit('other')
    before = host.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        brick.connect_volume(props)
    for word in (old.wwid, storage.luns[1].wwid, 'mount on /srv'):
        assert word in str(caught.value)
    assert host.snapshot() == before


def test_ports_that_disagree_are_no_volume(host: Host, storage: fabric.Storage) -> None:
    storage.behind[storage.ports[1]] = {1: array.Unit('silver')}
    before = host.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        connector().connect_volume(storage.properties())
    assert storage.luns[1].wwid in str(caught.value)
    assert storage.behind[storage.ports[1]][1].wwid in str(caught.value)
    assert host.snapshot() == before


@EITHER
def test_another_volume_than_expected(host: Host, storage: fabric.Storage, multipath: bool) -> None:
    before = host.snapshot()
    other = array.Unit('other').wwid
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        connector(multipath).connect_volume(storage.properties(expected_wwid=other))
    assert other in str(caught.value)
    assert storage.luns[1].wwid in str(caught.value)
    assert host.snapshot() == before


@EITHER
def test_what_took_the_place_of_a_stale_disk_is_taken_back(
    host: Host, storage: fabric.Storage, multipath: bool
) -> None:
    """It is not the volume that the caller expects either."""
    before = host.snapshot()
    connector(multipath).connect_volume(storage.properties())
    host.settle()
    storage.luns[1] = array.Unit('other')
    wanted = array.Unit('wanted').wwid
    with pytest.raises(exception.VolumeIdentityMismatch, match=wanted):
        connector(multipath).connect_volume(storage.properties(expected_wwid=wanted))
    left = host.snapshot()
    assert not host.disks
    for each in (before, left):
        each.pop('/etc/multipath/wwids')
    assert left == before


def test_a_map_that_multipathd_builds_during_the_detach_goes_as_well(
    host: Host, storage: fabric.Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """multipathd hears late of a disk, and has a map over it when it goes: neither the map nor
    the WWID stays."""
    before = host.snapshot()
    props = storage.properties()
    info = connector().connect_volume(props)
    host.settle()
    remove = host.remove_disk

    def remove_as_it_becomes_known(disk: Any) -> None:
        found = None
        if len(host.disks) == 1:
            host.claim(disk.name)
            found = host.map_over(disk.name)
            assert found is not None
            found.open_count = 1  # multipathd is at it still.
        remove(disk)
        if found is not None:
            found.open_count = 0

    monkeypatch.setattr(host, 'remove_disk', remove_as_it_becomes_known)
    connector().disconnect_volume(props, info)
    assert host.snapshot() == before


@EITHER
@pytest.mark.parametrize('force', [False, True])
def test_detach_leaves_a_disk_that_is_another_volume(
    host: Host, storage: fabric.Storage, multipath: bool, force: bool
) -> None:
    brick = connector(multipath)
    brick.connect_volume(storage.properties())
    before = host.snapshot()
    info = {'type': 'block', 'path': '/dev/sdz', 'scsi_wwn': array.Unit('other').wwid}
    wanted = exception.ExceptionChainer if force else exception.VolumeIdentityMismatch
    with pytest.raises(wanted, match=info['scsi_wwn']):
        brick.disconnect_volume(storage.properties(), info, force=force)
    assert host.snapshot() == before


def test_detach_of_disks_that_disagree_takes_the_one_that_was_used(
    host: Host, storage: fabric.Storage
) -> None:
    """No one says which volume it was but the path: the other one stays."""
    silver = array.Unit('silver')
    storage.behind[storage.ports[0]] = {1: silver}
    for remote in host.adapters[0].remotes:
        host.find_lun(remote, 1)
    host.settle()
    used = next(disk for disk in host.disks.values() if disk.unit is not silver)
    connector(multipath=False).disconnect_volume(
        storage.properties(), {'path': f'/dev/{used.name}'}
    )
    assert [disk.unit for disk in host.disks.values()] == [silver]


def test_a_path_of_another_volume_is_not_believed(host: Host, storage: fabric.Storage) -> None:
    """The volume is not here; the path that it had is another volume's map by now."""
    storage.luns[2] = array.Unit('silver')
    brick = connector()
    info = brick.connect_volume(storage.properties(2))
    before = host.snapshot()
    brick.disconnect_volume(storage.properties(1), {'path': info['path']}, force=True)
    assert host.snapshot() == before


# What is not there.


@EITHER
def test_a_port_that_no_adapter_sees(host: Host, storage: fabric.Storage, multipath: bool) -> None:
    """Ports and LUN are in the message; nothing is left; the scan time-out holds."""
    before = host.snapshot()
    begun = host.clock.monotonic()
    props = storage.properties(7, target_wwn=['500a0980deadbeef'])
    with pytest.raises(exception.NoFibreChannelVolumeDeviceFound) as caught:
        connector(multipath).connect_volume(props)
    assert host.clock.monotonic() - begun < opts.current().scan_seconds + 2
    for word in ('500a0980deadbeef', 'LUN 7', host.adapters[1].wwpn):
        assert word in str(caught.value)
    assert host.snapshot() == before
    assert host.scans == []


@EITHER
def test_lun_absent(host: Host, storage: fabric.Storage, multipath: bool) -> None:
    before = host.snapshot()
    begun = host.clock.monotonic()
    with pytest.raises(exception.NoFibreChannelVolumeDeviceFound) as caught:
        connector(multipath).connect_volume(storage.properties(9))
    assert host.clock.monotonic() - begun < opts.current().scan_seconds + 10
    for word in (*storage.ports, 'LUN 9'):
        assert word in str(caught.value)
    assert host.snapshot() == before


def test_no_adapter(host: Host) -> None:
    with pytest.raises(exception.NoFibreChannelHostsFound):
        connector().connect_volume(host.storage().properties())


def test_no_adapter_of_the_map_is_here(host: Host, storage: fabric.Storage) -> None:
    props = storage.properties(initiator_target_map={'2100000000000000': storage.ports})
    with pytest.raises(exception.NoFibreChannelVolumeDeviceFound, match='none of them in init'):
        connector().connect_volume(props)


@EITHER
def test_detach_of_what_is_not_here_says_so(
    host: Host, storage: fabric.Storage, multipath: bool, caplog: pytest.LogCaptureFixture
) -> None:
    before = host.snapshot()
    connector(multipath).disconnect_volume(storage.properties(), None)
    assert host.snapshot() == before
    assert f'LUN 1 of port {storage.ports[0]}' in caplog.text


def test_grow_of_what_is_not_here(host: Host, storage: fabric.Storage) -> None:
    with pytest.raises(exception.VolumePathsNotFound, match='LUN 1'):
        connector().extend_volume(storage.properties())


# Faults of the fabric.


def test_a_dead_port_is_not_waited_for_and_comes_back(host: Host, storage: fabric.Storage) -> None:
    before = host.snapshot()
    dead = host.adapters[1]
    host.pull(dead)
    begun = host.clock.monotonic()
    brick = connector()
    props = storage.properties()
    info = brick.connect_volume(props)
    assert host.clock.monotonic() - begun < 8
    host.settle()
    assert len(host.maps['dm-0'].disks) == 2
    host.plug(dead)
    _await_disks(host, 4)
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_a_port_that_dies_in_the_scan_comes_back(host: Host) -> None:
    """No one has said that the volume is not behind it."""
    storage = host.storage(ports=2)
    storage.luns[1] = array.Unit()
    storage.behind[storage.ports[1]] = {}
    host.adapter(storage, sees=[0])
    second = host.adapter(storage, sees=[1])
    host.clock.after(0.3, lambda: host.pull(second))
    brick = connector()
    info = brick.connect_volume(storage.properties())
    host.settle()
    assert len(host.maps['dm-0'].disks) == 1
    storage.behind.clear()
    host.plug(second)
    _await_disks(host, 2)
    brick.disconnect_volume(storage.properties(), info)
    assert not host.disks


def _await_disks(host: Host, count: int) -> None:
    """Late paths try again in real time."""
    for _ in range(400):
        if len(host.maps['dm-0'].disks) == count:
            return
        time.sleep(0.05)
        host.clock.sleep(0.05)
    raise AssertionError(f'{len(host.maps["dm-0"].disks)} disks')


def test_the_only_port_comes_back_in_time(host: Host) -> None:
    storage = host.storage()
    storage.luns[1] = array.Unit()
    adapter = host.adapter(storage)
    host.pull(adapter)
    host.clock.after(5, lambda: host.plug(adapter))
    info = connector(multipath=False).connect_volume(storage.properties())
    assert info['scsi_wwn'] == storage.luns[1].wwid


def test_single_path_goes_on_with_the_next_path(host: Host, storage: fabric.Storage) -> None:
    """The array shows the volume at its second port alone."""
    storage.behind[storage.ports[0]] = {}
    before = host.snapshot()
    brick = connector(multipath=False)
    info = brick.connect_volume(storage.properties())
    assert host.disk_of(info['path']).session.wwpn == storage.ports[1]
    brick.disconnect_volume(storage.properties(), info)
    assert host.snapshot() == before


def test_a_port_without_the_volume_is_left_out(host: Host, storage: fabric.Storage) -> None:
    storage.behind[storage.ports[0]] = {}
    before = host.snapshot()
    brick = connector()
    info = brick.connect_volume(storage.properties())
    _await_disks(host, 2)
    brick.disconnect_volume(storage.properties(), info)
    assert host.snapshot() == before


@pytest.mark.parametrize(('force', 'ignore'), [(True, True), (True, False)])
def test_a_forced_detach_of_a_map_that_queues(
    host: Host, storage: fabric.Storage, force: bool, ignore: bool
) -> None:
    before = host.snapshot()
    brick = connector()
    props = storage.properties()
    info = brick.connect_volume(props)
    host.settle()
    host.maps['dm-0'].queues = True
    for adapter in host.adapters:
        host.pull(adapter)
    begun = host.clock.monotonic()
    try:
        brick.disconnect_volume(props, info, force=force, ignore_errors=ignore)
    except exception.ExceptionChainer:
        assert not ignore
    assert host.clock.monotonic() - begun <= cfg.CONF.os_brick.operation_timeout
    for adapter in host.adapters:
        host.plug(adapter)
    assert host.snapshot() == before


def test_grow_with_a_dead_path(host: Host, storage: fabric.Storage) -> None:
    brick = connector()
    props = storage.properties()
    info = brick.connect_volume(props)
    host.settle()
    host.lose(host.adapters[0].remotes[0])
    storage.luns[1].megabytes = 96
    assert brick.extend_volume(props) == 96 << 20
    assert host.maps['dm-0'].sectors == 96 * 2048
    assert len(host.maps['dm-0'].disks) == 3
    host.find(host.adapters[0].remotes[0])
    brick.disconnect_volume(props, info)
    assert not host.disks


@EITHER
def test_a_volume_that_has_become_smaller(
    host: Host, storage: fabric.Storage, multipath: bool
) -> None:
    """An error with both sizes: what uses the device would write beyond its end."""
    brick = connector(multipath)
    info = brick.connect_volume(storage.properties())
    before = storage.luns[1].megabytes
    storage.luns[1].megabytes = before // 2
    with pytest.raises(exception.VolumeHasShrunk, match=f'{before << 20}.*{before // 2 << 20}'):
        brick.extend_volume(storage.properties())
    brick.disconnect_volume(storage.properties(), info)


def test_multipathd_stopped(host: Host, storage: fabric.Storage) -> None:
    host.multipathd_runs = False
    before = host.snapshot()
    with pytest.raises(exception.BrickException, match='multipathd'):
        connector().connect_volume(storage.properties(enforce_multipath=True))
    assert host.snapshot() == before
    info = connector().connect_volume(storage.properties())
    assert 'multipath_id' not in info
    connector().disconnect_volume(storage.properties(), info)
    assert host.snapshot() == before


def test_multipathd_does_not_want_the_disks(host: Host, storage: fabric.Storage) -> None:
    host.multipath_refusal = 'blacklisted'
    before = host.snapshot()
    info = connector().connect_volume(storage.properties())
    assert host.disk_of(info['path']).unit is storage.luns[1]
    connector().disconnect_volume(storage.properties(), info)
    assert host.snapshot() == before


@EITHER
def test_a_holder_is_named_and_kept(host: Host, storage: fabric.Storage, multipath: bool) -> None:
    brick = connector(multipath)
    before = host.snapshot()
    info = brick.connect_volume(storage.properties())
    mount(host, '253:0' if multipath else '8:0')
    attached = host.snapshot()
    with pytest.raises(exception.VolumeInUse, match='mount on /srv'):
        brick.disconnect_volume(storage.properties(), info)
    assert host.snapshot() == attached
    host.tree.file('/proc/self/mountinfo')
    brick.disconnect_volume(storage.properties(), info)
    assert host.snapshot() == before


@EITHER
def test_encrypted_volumes_have_a_link(
    host: Host, storage: fabric.Storage, multipath: bool
) -> None:
    before = host.snapshot()
    brick = connector(multipath)
    props = storage.properties(encrypted=True)
    info = brick.connect_volume(props)
    device = f'{BY_UUID}{storage.luns[1].wwid}' if multipath else link_of(storage)
    assert info['path'] == '/dev/disk/by-id/os-brick' + device.replace('/', '+')
    assert host.node(info['path']) == ('dm-0' if multipath else 'sda')
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


@EITHER
def test_link_not_made(host: Host, storage: fabric.Storage, multipath: bool) -> None:
    device = f'{BY_UUID}{storage.luns[1].wwid}' if multipath else link_of(storage)
    host.tree.file(f'/dev/disk/by-id/os-brick{device.replace("/", "+")}/full')
    before = host.snapshot()
    with pytest.raises(OSError, match=r'os-brick\+dev\+'):
        connector(multipath).connect_volume(storage.properties(encrypted=True))
    assert host.snapshot() == before


# Scans of all that an adapter has.


def test_a_driver_that_shows_no_targets(host: Host) -> None:
    """The LUN is found by a wide scan; what else that brings is removed again."""
    host.tells_nothing = True
    storage, foreign = host.storage(), host.storage()
    storage.luns[1], foreign.luns[1] = array.Unit('gold'), array.Unit('foreign')
    adapter = host.adapter(storage)
    host.see(adapter, foreign, foreign.ports[0])
    before = host.snapshot()
    brick = connector(multipath=False)
    info = brick.connect_volume(storage.properties())
    assert info['scsi_wwn'] == storage.luns[1].wwid
    assert (adapter.host, '- - 1') in host.scans
    host.settle()
    assert {disk.unit.name for disk in host.disks.values()} == {'gold'}
    brick.disconnect_volume(storage.properties(), info)
    assert host.snapshot() == before


# Questions.


def test_volume_paths(host: Host, storage: fabric.Storage) -> None:
    """On raw properties, straight after the connector is made."""
    brick = connector()
    props = storage.properties()
    assert brick.get_volume_paths(props) == []
    info = brick.connect_volume(props)
    names = {
        f'/dev/disk/by-path/pci-0000:00:{number:02x}.0-fc-0x{wwpn}-lun-1'
        for number in (4, 5)
        for wwpn in storage.ports
    }
    assert set(brick.get_volume_paths(props)) == names
    assert set(brick.get_all_available_volumes()) == names
    assert brick.check_valid_device(info['path'])
    brick.disconnect_volume(props, info)
    assert brick.get_volume_paths(props) == []


def test_connector_properties(host: Host) -> None:
    get = fibre_channel.FibreChannelConnector.get_connector_properties
    assert get(None) == {}
    online, offline, nvme = (host.adapter() for _ in range(3))
    host.set_adapter(offline, 'Linkdown')
    types = ['0x00'] * 32
    types[6] = '0x01'
    host.tree.value(f'{nvme.base}/fc_host/host{nvme.host}/supported_fc4s', ' '.join(types))
    assert get(None) == {'wwpns': [online.wwpn], 'wwnns': [online.wwnn]}
    host.set_adapter(online, 'Offline')
    assert get(None) == {}
    host.tree.remove(f'{offline.base}/fc_host/host{offline.host}/port_name')
    assert get(None) == {}


class TestStablePath:
    """The path is udev's link, as in 7.1.1: callers keep it across a reboot."""

    @EITHER
    def test_the_link_is_waited_for(
        self, host: Host, storage: fabric.Storage, multipath: bool
    ) -> None:
        host.makes_links = False
        link = f'{BY_UUID}{storage.luns[1].wwid}' if multipath else link_of(storage)
        device = '/dev/dm-0' if multipath else '/dev/sda'
        host.clock.after(2, lambda: host.tree.link(link, device))
        info = connector(multipath).connect_volume(storage.properties())
        assert info['path'] == link
        assert host.node(link) == device.rpartition('/')[2]

    @EITHER
    def test_the_device_node_where_no_link_comes(
        self, host: Host, storage: fabric.Storage, multipath: bool
    ) -> None:
        """udev is stopped, or its rules are others. Detach works by the node as well."""
        host.makes_links = False
        before = host.snapshot()
        begun = host.clock.monotonic()
        brick = connector(multipath)
        info = brick.connect_volume(storage.properties())
        assert info['path'] == ('/dev/dm-0' if multipath else '/dev/sda')
        assert host.clock.monotonic() - begun < 10
        brick.disconnect_volume(storage.properties(), info)
        assert host.snapshot() == before

    def test_a_link_that_leads_elsewhere_is_not_returned(
        self, host: Host, storage: fabric.Storage
    ) -> None:
        """Left by a disk that has gone: its name may be another volume's by now."""
        host.makes_links = False
        host.tree.file('/dev/sdz')
        host.tree.link(link_of(storage), '/dev/sdz')
        info = connector(multipath=False).connect_volume(storage.properties())
        assert info['path'] == '/dev/sda'

    @EITHER
    def test_after_a_reboot_the_kept_path_is_the_same_volume(
        self, host: Host, storage: fabric.Storage, multipath: bool
    ) -> None:
        """Another volume has come first and has got the kernel's names."""
        storage.luns[2] = array.Unit('silver')
        brick = connector(multipath)
        kept = brick.connect_volume(storage.properties(1))
        brick.disconnect_volume(storage.properties(1), kept)
        other = brick.connect_volume(storage.properties(2))
        again = brick.connect_volume(storage.properties(1))
        assert again == kept
        assert host.disk_of(kept['path']).unit is storage.luns[1]
        brick.disconnect_volume(storage.properties(1), kept)
        assert host.disk_of(other['path']).unit is storage.luns[2]
