# SPDX-License-Identifier: Apache-2.0
"""A volume that has gone without a detach leaves its link, and another one has its device's name.

No link leads to another volume once that is attached, and none is left when all have detached.
"""

from collections.abc import Callable, Iterator
import pathlib
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import utils
from os_brick.host import links, notes
from os_brick.initiator.connectors import iscsi, nvmeof
from tests.unit.fakehost import array, nvme
from tests.unit.fakehost import host as fake_host


@pytest.fixture(params=[True, False], ids=['native', 'no multipath'])
def fabric(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[nvme.Fabric]:
    with nvme.striking(tmp_path, native=request.param) as found:
        yield found


@pytest.fixture
def subsystem(fabric: nvme.Fabric) -> nvme.Subsystem:
    """One with the volumes gold and silver."""
    found = fabric.subsystem('one')
    found.namespaces |= {1: nvme.Volume('gold'), 2: nvme.Volume('silver')}
    return found


@pytest.fixture
def brick() -> nvmeof.NVMeOFConnector:
    return nvmeof.NVMeOFConnector(None, use_multipath=True)


def give(fabric: nvme.Fabric, subsystem: nvme.Subsystem, volume: nvme.Volume) -> None:
    """The array gives the first number to another volume, and the kernel looks."""
    subsystem.namespaces[1] = volume
    for name in list(fabric.controllers) * 2:
        fabric.scan(name)


def leads() -> dict[str, str]:
    return {link: links.where(link) for link in links.every()}


@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
def test_the_next_volume_is_not_encrypted(
    fabric: nvme.Fabric, subsystem: nvme.Subsystem, brick: nvmeof.NVMeOFConnector, order: Any
) -> None:
    gold = subsystem.properties(1, encrypted=True)
    kept = brick.connect_volume(gold)
    device = links.where(kept['path'])
    give(fabric, subsystem, nvme.Volume('bronze'))
    assert leads() == {kept['path']: device}
    bronze = subsystem.properties(1)
    attached = brick.connect_volume(bronze)
    assert attached['path'] == device
    assert not leads()
    callers = [(gold, kept), (bronze, attached)]
    for number in order:
        brick.disconnect_volume(*callers[number])
    assert not leads()
    assert not fabric.controllers


@pytest.mark.parametrize('is_told', [True, False])
def test_no_one_attaches_the_next_volume(
    fabric: nvme.Fabric, subsystem: nvme.Subsystem, brick: nvmeof.NVMeOFConnector, is_told: bool
) -> None:
    """The detach removes its link, though a device of that name is still here."""
    gold, silver = (subsystem.properties(number, encrypted=number == 1) for number in (1, 2))
    kept = brick.connect_volume(gold)
    brick.connect_volume(silver)
    give(fabric, subsystem, nvme.Volume('bronze'))
    device = links.where(kept['path'])
    brick.disconnect_volume(gold, kept if is_told else None)
    assert (fabric.root / device[1:]).exists()
    assert not leads()


@pytest.mark.parametrize('target', ['', '/dev/mapper/crypt-bronze'])
def test_the_next_volume_is_encrypted_too(
    fabric: nvme.Fabric, subsystem: nvme.Subsystem, brick: nvmeof.NVMeOFConnector, target: str
) -> None:
    """The link is its own then, wherever its encryptor points it; the detach of gold leaves it."""
    gold = subsystem.properties(1, encrypted=True)
    kept = brick.connect_volume(gold)
    give(fabric, subsystem, nvme.Volume('bronze'))
    bronze = subsystem.properties(1, encrypted=True)
    attached = brick.connect_volume(bronze)
    assert attached == kept
    if target:
        fabric.file(target, '')
        links.restore(kept['path'], target)
    before = leads()
    brick.disconnect_volume(gold, kept)
    assert leads() == before
    brick.disconnect_volume(bronze, attached)
    assert not leads()


def test_its_encryptor_has_ended(
    fabric: nvme.Fabric, subsystem: nvme.Subsystem, brick: nvmeof.NVMeOFConnector
) -> None:
    """The link leads to content that is not there any more."""
    kept = brick.connect_volume(subsystem.properties(1, encrypted=True))
    links.restore(kept['path'], '/dev/mapper/crypt-gold')
    give(fabric, subsystem, nvme.Volume('bronze'))
    brick.connect_volume(subsystem.properties(1))
    assert not leads()


def test_a_link_of_the_same_volume_stays(
    fabric: nvme.Fabric, subsystem: nvme.Subsystem, brick: nvmeof.NVMeOFConnector
) -> None:
    """Whatever the volume is called by a second caller, who is not told that it is encrypted."""
    first = subsystem.properties(1, encrypted=True)
    kept = brick.connect_volume(first)
    before = leads()
    second = subsystem.properties(1)
    second.pop('vol_uuid')
    for props in (second, {**second, 'volume_nguid': subsystem.namespaces[1].nguid}):
        brick.connect_volume({**props, 'ns_id': 1})
        assert leads() == before
    brick.disconnect_volume(first, kept)
    assert not leads()


def test_the_name_of_the_link_is_another_one(
    fabric: nvme.Fabric, subsystem: nvme.Subsystem, brick: nvmeof.NVMeOFConnector
) -> None:
    """As of a map of multipath, whose link has its WWID, and leads to dm-3; nothing is noted of it,
    so that it may be of this volume, attached by an earlier release."""
    brick.connect_volume(subsystem.properties(1))
    (name,) = fabric.controllers
    node = f'/dev/{fabric.head(name, 2)}'
    other = f'{links.PREFIX}+dev+disk+by-id+nvme-of-one-that-has-gone'
    links.restore(other, node)
    attached = brick.connect_volume(subsystem.properties(2, encrypted=True))
    assert leads() == {attached['path']: node, other: node}


@pytest.mark.parametrize('multipath', [False, True])
@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
def test_disks(host: fake_host.Host, multipath: bool, order: Any) -> None:
    """A session ends, and the next disk or map has the name of the one before."""
    one, other = host.target('a'), host.target('b')
    one.luns[1], other.luns[1] = array.Unit('gold', 64), array.Unit('silver', 128)
    brick = iscsi.ISCSIConnector(None, use_multipath=multipath)
    gold, silver = one.properties(encrypted=True), other.properties()
    kept = brick.connect_volume(gold)
    device = links.where(kept['path'])
    host.settle()
    for found in list(host.maps.values()):
        host.remove_map(found)
    for session in list(host.sessions.values()):
        host.log_out(session)
    host.settle()
    assert leads() == {kept['path']: device}
    attached = brick.connect_volume(silver)
    assert attached['path'] == device
    assert not leads()
    callers = [(gold, kept), (silver, attached)]
    for number in order:
        brick.disconnect_volume(*callers[number])
    assert not leads()


@pytest.mark.parametrize('multipath', [False, True])
def test_disks_that_others_attach(host: fake_host.Host, multipath: bool) -> None:
    """The detach removes its link, though another program has a device of that name."""
    one, other = host.target('a'), host.target('b')
    one.luns[1], other.luns[1] = array.Unit('gold', 64), array.Unit('silver', 128)
    brick = iscsi.ISCSIConnector(None, use_multipath=multipath)
    gold = one.properties(encrypted=True)
    kept = brick.connect_volume(gold)
    device = links.where(kept['path'])
    host.settle()
    for found in list(host.maps.values()):
        host.remove_map(found)
    for session in list(host.sessions.values()):
        host.log_out(session)
    host.settle()
    brick.connect_volume(other.properties())
    links.restore(kept['path'], device)  # As if that had not removed it.
    brick.disconnect_volume(gold, kept)
    assert not leads()
    assert host.tree.at(device).exists()


@pytest.mark.parametrize('multipath', [False, True])
@pytest.mark.parametrize('times', [1, 2, 3])
def test_attached_again_as_one_that_is_not_encrypted(
    host: fake_host.Host, multipath: bool, times: int
) -> None:
    """The volume's note has no link any more then, which is no proof that no one has it."""
    target = host.target('a')
    target.luns[1] = array.Unit('gold')
    brick = iscsi.ISCSIConnector(None, use_multipath=multipath)
    kept = brick.connect_volume(target.properties(encrypted=True))
    before = leads()
    assert list(before) == [kept['path']]
    for _ in range(times):
        brick.connect_volume(target.properties())
    assert leads() == before


def unlink(note: pathlib.Path) -> None:
    note.unlink()


def break_off(note: pathlib.Path) -> None:
    note.write_text('{')


def hide(note: pathlib.Path) -> None:
    """The next service has a state path of its own."""
    place = note.parent.with_name(f'{note.parent.name}-cinder')
    place.mkdir(mode=0o755)
    cfg.CONF.set_override('state_path', str(place), group='os_brick')


@pytest.mark.parametrize('change', [unlink, break_off, hide])
def test_a_link_without_a_note_that_can_be_read_stays(
    host: fake_host.Host, state_path: str, change: Callable[[pathlib.Path], None]
) -> None:
    """As of a volume that an older release, or another service, has attached."""
    target = host.target('a')
    target.luns[1] = array.Unit('gold')
    kept = iscsi.ISCSIConnector(None).connect_volume(target.properties(encrypted=True))
    before = leads()
    assert list(before) == [kept['path']]
    (note,) = pathlib.Path(state_path).glob(f'{notes.NOTE}*')
    change(note)
    iscsi.ISCSIConnector(None).connect_volume(target.properties())
    assert leads() == before


def test_the_disk_has_come_back(host: fake_host.Host) -> None:
    """The same volume's disk has the same name, and another number: the link is right again."""
    target = host.target('a')
    target.luns[1] = array.Unit('gold')
    brick = iscsi.ISCSIConnector(None)
    brick.connect_volume(target.properties(encrypted=True))
    before = leads()
    (session,) = host.sessions.values()
    host.remove_disk(host.disks['sda'])
    host.find_lun(session, 1)
    host.settle()
    assert list(host.disks) == ['sda']
    brick.connect_volume(target.properties())
    assert leads() == before


class Theirs:
    """A connector of another package, which notes nothing."""

    @utils.connect_volume_prepare_result
    def connect_volume(self, _properties: dict[str, Any]) -> dict[str, Any]:
        return {'type': 'block', 'path': '/dev/sda'}


def test_a_connector_of_another_package(host: fake_host.Host) -> None:
    """It attaches a volume as an encrypted one, and again as one that is not."""
    target = host.target('a')
    target.luns[1] = array.Unit('gold')
    host.find_lun(host.log_in(target, target.portals[0]), 1)
    host.settle()
    kept = Theirs().connect_volume({'encrypted': True})
    assert leads() == {kept['path']: '/dev/sda'}
    Theirs().connect_volume({})
    assert leads() == {kept['path']: '/dev/sda'}
