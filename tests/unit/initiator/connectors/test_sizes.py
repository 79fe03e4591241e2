# SPDX-License-Identifier: Apache-2.0
"""A size is a size: sides without capacity, sides that differ, and a volume that has shrunk."""

import itertools
import pathlib
import time
from typing import Any

import pytest

from os_brick import exception
from os_brick.initiator.connectors import fibre_channel, iscsi
from tests.unit.fakehost import array, fabric
from tests.unit.fakehost import host as fake_host

MIB = 1 << 20
# What READ CAPACITY tells on one side: nothing, the size, or what it was before it grew.
SIDES = ('none', 'full', 'old')
TWO_SIDES = list(itertools.product(SIDES, repeat=2))


def connector(*, several: bool) -> iscsi.ISCSIConnector:
    return iscsi.ISCSIConnector(None, use_multipath=several)


def volume(host: fake_host.Host, portals: int = 2) -> tuple[array.Target, array.Unit]:
    target = host.target('t1', portals=portals)
    unit = target.luns[1] = array.Unit()
    return target, unit


def put(unit: array.Unit, sides: tuple[str, ...]) -> None:
    unit.without_capacity = {port for port, side in enumerate(sides, 1) if side == 'none'}
    unit.smaller_at = {port: 32 for port, side in enumerate(sides, 1) if side == 'old'}


def size_of(host: fake_host.Host, info: dict[str, Any]) -> int:
    name = host.tree.at(info['path']).resolve().name
    return int(host.tree.at(f'/sys/class/block/{name}/size').read_text()) * 512


@pytest.mark.parametrize('several', [False, True])
@pytest.mark.parametrize('sides', TWO_SIDES)
def test_attach_with_any_sides(host: fake_host.Host, sides: tuple[str, str], several: bool) -> None:
    """A device of 0 bytes is never handed out, and good sides are used without delay."""
    target, unit = volume(host)
    put(unit, sides)
    before = host.snapshot()
    begun = host.clock.monotonic()
    properties = target.properties(plural=True)
    if set(sides) == {'none'} or (several and set(sides) == {'full', 'old'}):
        text = (
            'no capacity' if 'none' in sides else f'{32 * MIB}.*{64 * MIB}|{64 * MIB}.*{32 * MIB}'
        )
        with pytest.raises(exception.BrickException, match=text):
            connector(several=several).connect_volume(properties)
        assert host.snapshot() == before
        return
    info = connector(several=several).connect_volume(properties)
    expected = [{'full': 64 * MIB, 'old': 32 * MIB}[side] for side in sides if side != 'none']
    assert size_of(host, info) == expected[0]
    # Far below the scan time-out. Time passes in jumps where a thread waits for a processor.
    assert host.clock.monotonic() - begun < 9
    if several:
        assert len(host.maps['dm-0'].disks) == len(expected)
    again = connector(several=several).connect_volume(properties)
    assert again == info
    connector(several=several).disconnect_volume(properties, info)
    assert not host.disks
    assert not host.maps


@pytest.mark.parametrize('several', [False, True])
@pytest.mark.parametrize('sides', TWO_SIDES)
def test_extend_with_any_sides(host: fake_host.Host, sides: tuple[str, str], several: bool) -> None:
    """It returns a size that the device has, never 0, and a map never shrinks."""
    target, unit = volume(host)
    unit.megabytes = 32
    properties = target.properties(plural=True)
    info = connector(several=several).connect_volume(properties)
    unit.megabytes = 64
    put(unit, sides)
    used = set(sides if several else sides[:1])
    if used == {'none'}:
        with pytest.raises(exception.VolumePathsNotFound, match='no capacity'):
            connector(several=several).extend_volume(properties)
    else:
        size = connector(several=several).extend_volume(properties)
        assert size == (32 if 'old' in used else 64) * MIB
        assert size_of(host, info) == size
    put(unit, ('full', 'full'))
    connector(several=several).disconnect_volume(properties, info)
    assert not host.disks
    assert not host.maps


@pytest.mark.parametrize('several', [False, True])
def test_a_volume_that_shrank(host: fake_host.Host, several: bool) -> None:
    target, unit = volume(host)
    properties = target.properties(plural=True)
    info = connector(several=several).connect_volume(properties)
    unit.megabytes = 32
    with pytest.raises(exception.VolumeHasShrunk, match=f'{64 * MIB}.*{32 * MIB}'):
        connector(several=several).extend_volume(properties)
    if several:
        assert size_of(host, info) == 64 * MIB
        with pytest.raises(exception.VolumeHasShrunk):
            connector(several=True).connect_volume(properties)
        assert size_of(host, info) == 64 * MIB
        assert len(host.maps['dm-0'].disks) == 2
    connector(several=several).disconnect_volume(properties, info)
    assert not host.disks
    assert connector(several=several).connect_volume(properties)['path'] == info['path']
    assert size_of(host, info) == 32 * MIB


def test_a_side_that_has_no_capacity_joins_when_it_has_one(host: fake_host.Host) -> None:
    target, unit = volume(host)
    put(unit, ('full', 'none'))
    connector(several=True).connect_volume(target.properties(plural=True))
    assert len(host.maps['dm-0'].disks) == 1
    put(unit, ('full', 'full'))
    ends = time.monotonic() + 10
    while len(host.maps['dm-0'].disks) < 2 and time.monotonic() < ends:
        time.sleep(0.01)
        host.clock.sleep(0.2)
    assert len(host.maps['dm-0'].disks) == 2


@pytest.mark.parametrize('several', [False, True])
@pytest.mark.parametrize('bad', [1, 2])
def test_fibre_channel_with_an_unavailable_port(
    tmp_path: pathlib.Path, bad: int, several: bool
) -> None:
    with fabric.FabricHost(tmp_path) as host:
        storage = host.storage(ports=2)
        host.adapter(storage)
        for number, remote in enumerate(host.adapters[0].remotes, 1):
            remote.port = number
        unit = storage.luns[1] = array.Unit()
        unit.without_capacity = {bad}
        found = fibre_channel.FibreChannelConnector(None, use_multipath=several)
        begun = host.clock.monotonic()
        info = found.connect_volume(storage.properties())
        assert size_of(host, info) == 64 * MIB
        assert host.clock.monotonic() - begun < 9


class Storage:
    """What a target of iSCSI and an array of Fibre Channel have in common here."""

    def __init__(self, host: Any, kind: str) -> None:
        if kind == 'iscsi':
            target = host.target('t1', portals=2)
            self.props = target.properties(plural=True)
        else:
            target = host.storage(ports=2)
            host.adapter(target)
            self.props = target.properties()
        self.kind = kind
        self.unit = target.luns[1] = array.Unit()

    def connector(self, *, several: bool) -> Any:
        if self.kind == 'iscsi':
            return iscsi.ISCSIConnector(None, use_multipath=several)
        return fibre_channel.FibreChannelConnector(None, use_multipath=several)


HOSTS = {'iscsi': fake_host.Host, 'fc': fabric.FabricHost}
KINDS = pytest.mark.parametrize('kind', list(HOSTS))


@KINDS
@pytest.mark.parametrize('several', [False, True])
def test_a_volume_that_another_host_has_reserved(
    tmp_path: pathlib.Path, kind: str, several: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """INQUIRY says who it is; the conflict is the device's own answer."""
    with HOSTS[kind](tmp_path) as host:
        storage = Storage(host, kind)
        before = host.snapshot()
        storage.unit.reserved = True
        begun = host.clock.monotonic()
        brick = storage.connector(several=several)
        info = brick.connect_volume(storage.props)
        assert info['scsi_wwn'] == storage.unit.wwid
        (warning,) = (each for each in caplog.messages if 'reserved by another host' in each)
        assert host.node(info['path']) in warning
        assert host.clock.monotonic() - begun < 9
        assert brick.connect_volume(storage.props) == info
        # A flush meets the conflict as well: nothing is removed before the data is safe.
        if not several:
            with pytest.raises(exception.BrickException, match=host.node(info['path'])):
                brick.disconnect_volume(storage.props, info)
            assert host.disks
        storage.unit.reserved = False
        brick.disconnect_volume(storage.props, info)
        assert host.snapshot() == before
