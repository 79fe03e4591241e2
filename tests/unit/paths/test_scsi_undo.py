# SPDX-License-Identifier: Apache-2.0
"""What takes back disks, maps and WWIDs leaves what another volume, or another attach, has."""

from collections.abc import Iterator
import contextlib
import json
import pathlib
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import handed, undo, wait
from os_brick.host import multipathd, scsi
from os_brick.initiator.connectors import iscsi
from os_brick.paths import scsi_undo
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host, Map
from tests.unit.host import two_volumes


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """sda and sdb are gold, sdc is silver; no map is there."""
    with two_volumes.attached(tmp_path) as found:
        yield found


def replay(verb: undo.Verb[..., Any], *args: Any) -> list[str]:
    """Have a step written down, and run by another process."""
    todo = undo.Undo()
    todo.add(verb, *args)
    return undo.replay(json.loads(json.dumps(todo.steps())))


def hand_out(*names: str) -> handed.Mark:
    mark = handed.Mark()
    mark.set({name: scsi.number_of(name) for name in names})
    return mark


def use(host: Host, device: str) -> None:
    """Have a file system of the device mounted."""
    number = host.tree.at(f'/sys/class/block/{device}/dev').read_text().strip()
    line = f'36 1 {number} / /srv rw shared:1 - ext4 /dev/whatever rw\n'
    host.tree.file('/proc/self/mountinfo', line)


def address(host: Host, name: str) -> scsi.Address:
    return scsi.Address.parse(host.disks[name].address)


def test_a_map_over_new_disks_alone_goes(host: Host) -> None:
    two_volumes.map_gold(host)
    assert replay(scsi_undo.discard_maps, ['sda', 'sdb'], 20.0) == []
    assert not host.maps


@pytest.mark.parametrize('case', ['another disk', 'handed out', 'in use'])
def test_a_map_that_is_not_ours_alone_stays(host: Host, case: str) -> None:
    two_volumes.map_gold(host)
    disks = ['sda', 'sdb']
    if case == 'another disk':
        disks = ['sda']
    elif case == 'handed out':
        hand_out('sdb')
    else:
        use(host, 'dm-0')
    replay(scsi_undo.discard_maps, disks, 20.0)
    assert {disk.name for disk in host.maps['dm-0'].disks} == {'sda', 'sdb'}


def test_the_wwid_of_a_volume_without_a_map_is_forgotten(host: Host) -> None:
    gold, silver = (host.disks[name].unit.wwid for name in ('sda', 'sdc'))
    for wwid in (gold, silver):
        multipathd.remember(wwid)
    two_volumes.map_gold(host)
    assert replay(scsi_undo.forget_wwids, [gold, silver]) == []
    known = host.tree.at('/etc/multipath/wwids').read_text()
    assert gold in known
    assert silver not in known


def test_a_disk_goes_and_again_does_nothing(host: Host) -> None:
    place = address(host, 'sdc')
    for _ in range(2):
        scsi_undo.delete_new_disk(place, 20.0)
    assert two_volumes.units(host) == {'sda': 'gold', 'sdb': 'gold'}


def test_one_below_a_map_leaves_the_map_its_other_disk(host: Host) -> None:
    two_volumes.map_gold(host)
    scsi_undo.delete_new_disk(address(host, 'sdb'), 20.0)
    assert 'sdb' not in host.disks
    assert {disk.name for disk in host.maps['dm-0'].disks} == {'sda'}


def test_the_wwid_goes_with_the_last_disk_of_a_map_that_multipathd_has_made(host: Host) -> None:
    """No path of the attach was open, so that none of its steps names the WWID."""
    assert host.claim('sda')
    assert host.claim('sdb')
    wwid = host.disks['sda'].unit.wwid
    listed = host.tree.at('/etc/multipath/wwids')
    assert f'/{wwid}/' in listed.read_text().splitlines()
    scsi_undo.delete_new_disk(address(host, 'sda'), 20.0)
    assert f'/{wwid}/' in listed.read_text().splitlines()  # Its map is there.
    scsi_undo.delete_new_disk(address(host, 'sdb'), 20.0)
    assert not host.maps
    assert wwid not in listed.read_text()


@pytest.mark.parametrize('case', ['mounted', 'claimed', 'handed out', 'map open'])
def test_one_that_something_uses_stays(host: Host, case: str) -> None:
    if case == 'mounted':
        use(host, 'sdc')
    elif case == 'claimed':
        host.claims.add('sdc')
    elif case == 'handed out':
        hand_out('sdc')
    else:
        assert host.claim('sdc')
        host.maps['dm-0'].open_count = 1
    with pytest.raises(exception.VolumeInUse, match='/dev/sdc'):
        scsi_undo.delete_new_disk(address(host, 'sdc'), 20.0)
    assert 'sdc' in host.disks


def test_udev_has_the_map_open_for_a_moment(host: Host) -> None:
    """multipathd made it a moment ago, and udev reads it: it is not in use."""
    assert host.claim('sdc')
    host.maps['dm-0'].open_count = 1
    host.clock.after(2, lambda: setattr(host.maps['dm-0'], 'open_count', 0))
    scsi_undo.delete_new_disk(address(host, 'sdc'), 20.0)
    assert 'sdc' not in host.disks
    assert not host.maps


def test_a_mark_that_was_taken_back_keeps_nothing(host: Host) -> None:
    mark = hand_out('sdc')
    assert replay(handed.drop, mark.name) == []
    scsi_undo.delete_new_disk(address(host, 'sdc'), 20.0)
    assert 'sdc' not in host.disks


def test_a_map_of_two_disks_does_not_keep_one_of_them(host: Host) -> None:
    """What uses the map uses the other disk as well, so that this one is not needed."""
    two_volumes.map_gold(host)
    host.maps['dm-0'].open_count = 1
    scsi_undo.require_unused('sda', wait.Deadline.after(20))


def lose_paths(host: Host, *, opened: int = 1) -> Map:
    """The transport gives up the disks of the one map, which a machine runs on: it queues."""
    (found,) = host.maps.values()
    found.open_count, found.queues = 1, True
    for disk in found.disks.copy():
        host.remove_disk(disk)
    found.open_count = opened
    host.settle()
    assert found.queues
    return found


def attach_lost(host: Host, *, opened: int = 1) -> tuple[iscsi.ISCSIConnector, Any, Map]:
    """A volume has been attached by two paths, and has lost both; udev is busy from then on."""
    target = host.target('lost', portals=2)
    target.luns[1] = array.Unit('lost')
    props = target.properties(plural=True)
    brick = iscsi.ISCSIConnector(None, use_multipath=True)
    brick.connect_volume(props)
    host.settle()
    found = lose_paths(host, opened=opened)
    host.told_seconds = 3600.0
    return brick, props, found


def test_a_map_without_a_path_queues_on_when_a_new_disk_of_its_volume_goes(host: Host) -> None:
    """The map is not over the disk yet, as udev is busy: what it holds back is not to fail."""
    two_volumes.map_gold(host)
    session = host.disks['sda'].session
    found = lose_paths(host)
    host.told_seconds = 3600.0
    host.find_lun(session, 1)
    host.clock.sleep(0.1)
    (name,) = [name for name, disk in host.disks.items() if disk.unit.name == 'gold']
    with contextlib.suppress(exception.BrickException):
        scsi_undo.delete_new_disk(address(host, name), 20.0)
    assert host.maps == {found.name: found}
    assert found.queues


def test_a_map_without_a_path_queues_on_when_an_attach_fails(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disks come back by its scan, and do not answer who they are."""
    with Host(tmp_path) as host:
        brick, props, found = attach_lost(host)
        monkeypatch.setattr(host, 'inquire', lambda _address, _number: None)
        with pytest.raises(exception.BrickException):
            brick.connect_volume(props)
        assert host.maps == {found.name: found}
        assert found.queues


@pytest.mark.parametrize('opened', [1, 0], ids=['open', 'between two users'])
def test_a_map_without_a_path_queues_on_when_multipathd_gives_it_none(
    tmp_path: pathlib.Path, opened: int
) -> None:
    """The disks come back by the scan of an attach, and multipathd has no time for them."""
    with Host(tmp_path) as host:
        brick, props, found = attach_lost(host, opened=opened)
        host.multipath_refusal = 'timeout'
        with contextlib.suppress(exception.BrickException):
            brick.connect_volume(props)
        assert host.maps == {found.name: found}
        assert found.queues
