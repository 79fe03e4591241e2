# SPDX-License-Identifier: Apache-2.0
"""Attach again and detach, whatever each side of a volume reports of its size by then.

Every combination of two sides, single and multipath; attach and extend are in ``test_sizes``.
"""

import contextlib
import itertools
import pathlib

import pytest

from os_brick import exception
from os_brick.initiator.connectors import iscsi
from tests import breadth
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

MIB = 1 << 20
SIDES = (
    'full',
    'no capacity',  # ALUA: unavailable
    'standby',
    'shrunk',
    'short read',
    'becoming ready',
    'offline',
    'transport-offline',
)
# Through these a flush reaches the volume.
SOUND = ('full', 'shrunk', 'short read', 'no capacity', 'becoming ready')
CASES = list(itertools.product(SIDES, SIDES))


class Stage:
    """A volume that is attached over two sides."""

    def __init__(self, host: fake_host.Host, *, several: bool) -> None:
        self.host = host
        self.target = host.target('t1', portals=2)
        self.unit = self.target.luns[1] = array.Unit()
        self.props = self.target.properties(plural=True)
        self.brick = iscsi.ISCSIConnector(None, use_multipath=several)
        self.before = host.snapshot()
        self.info = self.brick.connect_volume(self.props)
        host.settle()
        self.disks = dict(host.disks)

    def put(self, sides: tuple[str, ...]) -> None:
        """Have the sides report something, which the kernel has seen."""
        unit = self.unit
        for port, side in enumerate(sides, 1):
            disk = next((d for d in self.host.disks.values() if d.session.port == port), None)
            if side in ('no capacity', 'becoming ready'):
                unit.without_capacity.add(port)
            if side == 'standby':
                unit.standby_at.add(port)
            if side == 'short read':
                unit.short_at.add(port)
            if side == 'shrunk':
                unit.smaller_at[port] = 32
            if disk:
                with self.host.guard:
                    self._show(disk, side)

    def _show(self, disk: fake_host.Disk, side: str) -> None:
        self.host._rescan(disk)
        if side in ('offline', 'transport-offline'):
            self.host.set_state(disk, side)
        if side == 'becoming ready':
            port = disk.session.port
            self.host.clock.after(3, lambda: self.unit.without_capacity.discard(port))

    def mend(self) -> None:
        unit = self.unit
        for found in (unit.without_capacity, unit.standby_at, unit.short_at, unit.smaller_at):
            found.clear()
        with self.host.guard:
            for disk in list(self.host.disks.values()):
                self.host.set_state(disk, 'running')
                self.host._rescan(disk)

    def size(self, path: str) -> int:
        text = self.host.tree.at(f'/sys/class/block/{self.host.node(path)}/size').read_text()
        return int(text) * 512


def cases(several: bool) -> list[tuple[str, str]]:
    """Half of them in CI, the other half for the other kind of attach."""
    return [
        sides
        for number, sides in enumerate(CASES)
        if breadth.EVERYTHING or (number + number // len(SIDES)) % 2 == several
    ]


BOTH = [(sides, several) for several in (False, True) for sides in cases(several)]


@pytest.mark.parametrize(('sides', 'several'), BOTH)
def test_attach_again_with_any_sides(
    tmp_path: pathlib.Path, sides: tuple[str, str], several: bool
) -> None:
    """It ends in the same device, as large as it was, or in an error; no good path is lost."""
    with fake_host.Host(tmp_path) as host:
        stage = Stage(host, several=several)
        was = stage.size(stage.info['path']) if several else 64 * MIB
        stage.put(sides)
        begun = host.clock.monotonic()
        with contextlib.suppress(exception.BrickException):
            again = stage.brick.connect_volume(stage.props)
            size = stage.size(again['path'])
            assert size in ({was} if several else {was, 32 * MIB})
            assert len(host.tree.at(again['path']).read_bytes()) == 4096
        assert host.clock.monotonic() - begun < 60
        used = sides if several else sides[:1]
        if set(used) == {'full'} or ('full' in sides and 'shrunk' not in sides):
            assert again['scsi_wwn'] == stage.unit.wwid
        if several and host.maps:
            (found,) = host.maps.values()
            assert found.sectors * 512 == was
            good = [d for d in stage.disks.values() if sides[d.session.port - 1] == 'full']
            assert all(disk in found.disks for disk in good)
        host.settle()
        stage.mend()
        host.settle()
        stage.brick.disconnect_volume(stage.props, stage.info)
        assert host.snapshot() == stage.before


@pytest.mark.parametrize(('sides', 'several'), BOTH)
def test_detach_with_any_sides(
    tmp_path: pathlib.Path, sides: tuple[str, str], several: bool
) -> None:
    """What was written is safe first; a side that is bad by then keeps nothing from going."""
    with fake_host.Host(tmp_path) as host:
        stage = Stage(host, several=several)
        stage.put(sides)
        begun = host.clock.monotonic()
        reads = [side for side in (sides if several else sides[:1]) if side in SOUND]
        try:
            stage.brick.disconnect_volume(stage.props, stage.info)
        except exception.BrickException:
            assert not reads, 'there was a side to flush through'
            stage.brick.disconnect_volume(stage.props, stage.info, force=True, ignore_errors=True)
        else:
            assert [unit.name for unit in host.reached] or not reads
        assert host.clock.monotonic() - begun < 120
        assert not host.disks
        assert not host.maps
        assert host.snapshot() == stage.before
