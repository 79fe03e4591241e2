# SPDX-License-Identifier: Apache-2.0
"""Whatever the kernel has at a namespace's place ends in the volume, or in an error that names it.

The states are those of Linux 6.12 (drivers/nvme/host/core.c, fabrics.c, multipath.c); the table
is in doc/source/contributor/nvme_states.rst. Each attach is tried twice: what was repaired is, and
what was not is said again in the same words, and leaves nothing behind either time.
"""

from collections.abc import Callable, Iterator
import dataclasses
import pathlib
import re
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import process
from os_brick.initiator.connectors import nvmeof
from tests.unit import seams
from tests.unit.fakehost import nvme

MIB = 1 << 20


@pytest.fixture(params=[True, False], ids=['native', 'no multipath'])
def fabric(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[nvme.Fabric]:
    cfg.CONF.set_override('lock_path', str(tmp_path / 'locks'), group='os_brick')
    # What succeeds does not wait for it.
    cfg.CONF.set_override('scan_timeout', 15, group='os_brick')
    cfg.CONF.set_override('operation_timeout', 60, group='os_brick')
    with (
        process.use(seams.Programs({})),
        nvme.Fabric(tmp_path / 'root', native=request.param) as found,
    ):
        yield found
    for name in ('lock_path', 'scan_timeout', 'operation_timeout'):
        cfg.CONF.clear_override(name, group='os_brick')


@dataclasses.dataclass
class Place:
    """A host, a subsystem with one volume, and a controller that is there already (or none)."""

    fabric: nvme.Fabric
    subsystem: nvme.Subsystem
    volume: nvme.Volume
    controller: str = ''

    @property
    def props(self) -> dict[str, Any]:
        portals = [(address, '4420', 'rdma') for address in sorted(self.subsystem.portals)]
        return {
            'target_nqn': self.subsystem.nqn,
            'portals': portals,
            'vol_uuid': self.volume.uuid,
        }


def in_state(state: str) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        place.controller = place.fabric.connect_by_hand(place.subsystem)
        place.fabric.becomes(place.controller, state)

    return prepare


def with_ana(state: str) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        place.fabric.ana[min(place.subsystem.portals)] = state

    return prepare


def has(**what: Any) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        for name, value in what.items():
            setattr(place.volume, name, value)

    return prepare


def nothing_in_dev(place: Place) -> None:
    place.fabric.has_udev = False


def stale(place: Place) -> None:
    """The number was another volume's when the kernel looked last."""
    new, place.subsystem.namespaces[1] = place.volume, nvme.Volume('earlier')
    place.controller = place.fabric.connect_by_hand(place.subsystem)
    place.subsystem.namespaces[1] = new


def grown_unseen(place: Place) -> None:
    place.controller = place.fabric.connect_by_hand(place.subsystem)
    place.volume.size += 32 * MIB


def shrunk_unseen(place: Place) -> None:
    place.controller = place.fabric.connect_by_hand(place.subsystem)
    place.volume.size -= 32 * MIB


def mapped_unseen(place: Place) -> None:
    """The kernel has looked before the namespace was there."""
    del place.subsystem.namespaces[1]
    place.controller = place.fabric.connect_by_hand(place.subsystem)
    place.subsystem.namespaces[1] = place.volume


def removed_and_added_again(place: Place) -> None:
    mapped_unseen(place)
    place.fabric.scan(place.controller)
    del place.subsystem.namespaces[1]
    place.fabric.scan(place.controller)
    place.subsystem.namespaces[1] = place.volume


def not_mapped(place: Place) -> None:
    del place.subsystem.namespaces[1]


def twin_elsewhere(place: Place) -> None:
    """Another subsystem shows a namespace with the same names."""
    other = place.fabric.subsystem('other')
    other.namespaces[5] = nvme.Volume('copy', twin=place.volume)
    place.fabric.connect_by_hand(other)


GOOD = {
    'nothing': lambda _place: None,
    'a live controller': in_state('live'),
    'deleting': in_state('deleting'),
    'deleting without I/O': in_state('deleting (no IO)'),
    'dead': in_state('dead'),
    'non-optimized': with_ana('non-optimized'),
    'the number was another volume': stale,
    'the kernel has an earlier, smaller size': grown_unseen,
    'the kernel has an earlier, larger size': shrunk_unseen,
    'mapped after the kernel looked': mapped_unseen,
    'removed and added again': removed_and_added_again,
    'reserved by another host': has(reserved=True),
}
BAD = {
    'new': (in_state('new'), 'nvme0 .*is new'),
    'resetting': (in_state('resetting'), 'nvme0 .*is resetting'),
    'connecting': (in_state('connecting'), 'nvme0 .*is connecting'),
    'inaccessible': (with_ana('inaccessible'), 'is inaccessible'),
    'persistent loss': (with_ana('persistent-loss'), 'is persistent-loss'),
    'change': (with_ana('change'), 'is change'),
    'not mapped': (not_mapped, 'does not show it'),
    'not added by the kernel': (has(shown=False), 'does not show it'),
    'the same names in another subsystem': (twin_elsewhere, 'has the same identity'),
    'no capacity': (has(size=0), 'no capacity|not active'),
    'a format that the kernel does not take': (
        has(supported=False, power=17),
        'does not support the format.*blocks of 131072',
    ),
    'a short read': (has(readable=512), '512'),
    'no node': (nothing_in_dev, 'node in /dev'),
}


def place_of(fabric: nvme.Fabric, prepare: Callable[[Place], None]) -> Place:
    subsystem = fabric.subsystem('place')
    subsystem.namespaces[1] = volume = nvme.Volume('gold')
    found = Place(fabric, subsystem, volume)
    prepare(found)
    return found


@pytest.mark.parametrize('state', GOOD)
def test_what_ends_in_the_volume(fabric: nvme.Fabric, state: str) -> None:
    place = place_of(fabric, GOOD[state])
    props = place.props
    brick = nvmeof.NVMeOFConnector(None, use_multipath=True)
    for _again in range(2):
        info = brick.connect_volume(props)
        shown = {
            (volume.name, size)
            for known in fabric.shown.values()
            for volume, size in known.values()
        }
        assert ('gold', place.volume.size) in shown
        assert fabric.uuid_of(info['path']) == place.volume.uuid
    assert brick.extend_volume(props) == place.volume.size


@pytest.mark.parametrize('state', BAD)
def test_what_ends_in_an_error_that_names_it(fabric: nvme.Fabric, state: str) -> None:
    cfg.CONF.set_override('scan_timeout', 0.3, group='os_brick')
    prepare, words = BAD[state]
    place = place_of(fabric, prepare)
    props = place.props
    before = fabric.snapshot()
    brick = nvmeof.NVMeOFConnector(None, use_multipath=True)
    for _again in range(2):
        with pytest.raises(exception.BrickException) as caught:
            brick.connect_volume(props)
        assert re.search(words, str(caught.value)), caught.value
        assert fabric.snapshot() == before


def test_the_old_namespace_behind_a_controller_of_another_host_name(fabric: nvme.Fabric) -> None:
    """The kernel does not add the new one while that controller shows the old one: it is told."""
    place = place_of(fabric, stale)
    there = fabric.root / f'sys/class/nvme-fabrics/ctl/{place.controller}/hostnqn'
    there.write_text('nqn.2026-11.org.lab:another\n')
    props = place.props
    info = nvmeof.NVMeOFConnector(None, use_multipath=True).connect_volume(props)
    assert fabric.uuid_of(info['path']) == place.volume.uuid


def test_a_volume_that_shrank_is_not_cut(fabric: nvme.Fabric) -> None:
    """Neither below the caller's feet nor silently."""
    place = place_of(fabric, GOOD['nothing'])
    brick = nvmeof.NVMeOFConnector(None, use_multipath=True)
    props = place.subsystem.properties(1)
    info = brick.connect_volume(props)
    size = fabric.root / 'sys/class/block' / info['path'].rpartition('/')[2] / 'size'
    place.volume.size = 32 * MIB
    with pytest.raises(exception.VolumeHasShrunk, match=f'{64 * MIB}.*{32 * MIB}'):
        brick.extend_volume(props)
    assert size.read_text() == str(64 * MIB >> 9)
    place.volume.size = 0
    with pytest.raises(exception.VolumePathsNotFound, match='no capacity'):
        brick.extend_volume(props)
    assert size.read_text() == str(64 * MIB >> 9)


@pytest.mark.parametrize('state', ['inaccessible', 'persistent-loss', 'change'])
def test_growth_is_asked_of_a_path_that_takes_io(fabric: nvme.Fabric, state: str) -> None:
    # Without multipath the first path is given up after it; the fixture takes it back.
    cfg.CONF.set_override('scan_timeout', 2, group='os_brick')
    subsystem = fabric.subsystem('paths', 2)
    subsystem.namespaces[1] = nvme.Volume('gold')
    fabric.ana[min(subsystem.portals)] = state
    brick = nvmeof.NVMeOFConnector(None, use_multipath=True)
    props = subsystem.properties(1)
    info = brick.connect_volume(props)
    subsystem.namespaces[1].size = 96 * MIB
    assert brick.extend_volume(props) == 96 * MIB
    brick.disconnect_volume(props, info)
    assert not fabric.controllers
