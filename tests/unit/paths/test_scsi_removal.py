# SPDX-License-Identifier: Apache-2.0
"""A volume looked at for its detach: which disks are its own, who is kept away, what stays."""

from collections.abc import Iterator
import pathlib
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import locks, teardown, wait
from os_brick.host import scsi, survey
from os_brick.paths import scsi_removal
from os_brick.request import iscsi as request_iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """sda and sdb are gold, sdc is silver; no map is there."""
    with two_volumes.attached(tmp_path) as found:
        yield found


def request(host: Host, **more: Any) -> request_iscsi.IscsiRequest:
    """What a caller passes of gold."""
    props = host.disks['sda'].session.target.properties(plural=True, **more)
    return request_iscsi.IscsiRequest.parse(props)


def places(host: Host, *names: str) -> survey.Places:
    return survey.Places(tuple(scsi.Address.parse(host.disks[name].address) for name in names))


def look(host: Host, *names: str, **more: Any) -> scsi_removal.Volume:
    return scsi_removal.look(request(host, **more), places(host, *names), 'gold by two paths')


def remove(volume: scsi_removal.Volume) -> None:
    scsi_removal.remove(volume, teardown.Teardown(teardown.OnError.RAISE), wait.Deadline.after(60))


def wwid_of(host: Host, name: str) -> str:
    found: str = host.disks[name].unit.wwid
    return found


def test_the_disks_on_its_paths_are_its_own_and_go(host: Host) -> None:
    two_volumes.map_gold(host)
    volume = look(host, 'sda', 'sdb')
    assert set(volume.require()) == {'sda', 'sdb'}
    remove(volume)
    assert two_volumes.units(host) == {'sdc': 'silver'}
    assert not host.maps


def test_a_disk_of_another_volume_on_its_paths_is_not(host: Host) -> None:
    volume = look(host, 'sda', 'sdc', expected_wwid=wwid_of(host, 'sda'))
    assert 'sdc' not in volume.disks
    silver, gold = places(host, 'sdc', 'sda').named
    assert volume.is_kept_from(silver)
    assert not volume.is_kept_from(gold)
    assert not volume.is_kept_from(scsi.Address(9, 0, 0, 1))  # Nothing is there.


def test_what_is_not_here_is_named(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    volume = scsi_removal.look(request(host), survey.Places(()), 'gold by two paths')
    with pytest.raises(exception.VolumePathsNotFound, match='no disk of gold by two paths'):
        volume.require()
    remove(volume)
    assert 'Detach: There is no disk of gold by two paths' in caplog.text
    assert len(host.disks) == 3


@pytest.mark.parametrize('known', ['its disks', 'the caller', 'the name of its map'])
def test_who_reaches_it_by_other_paths_is_kept_away(host: Host, known: str) -> None:
    gold = wwid_of(host, 'sda')
    named, more = places(host, 'sda'), {}
    if known != 'its disks':
        named, more = survey.Places(()), {'expected_wwid': gold}
    if known == 'the name of its map':
        two_volumes.map_gold(host)
        more = {'expected_wwid': host.tree.at('/sys/block/dm-0/dm/name').read_text().strip()}
    deadline = wait.Deadline.after(5)
    with (
        scsi_removal.identity_lock(request(host, **more), named, deadline),
        pytest.raises(exception.OperationTimedOut),
        locks.hold_identity(gold, wait.Deadline.after(0)),
    ):
        pass


def test_a_stale_disk_on_its_paths_is_not_who_is_kept_away(host: Host) -> None:
    asked = request(host, expected_wwid=wwid_of(host, 'sda'))
    with (
        scsi_removal.identity_lock(asked, places(host, 'sdc'), wait.Deadline.after(5)),
        locks.hold_identity(wwid_of(host, 'sdc'), wait.Deadline.after(1)),
    ):
        pass


@pytest.mark.parametrize(
    ('name', 'wwid', 'is_another'),
    [('sda', 'sda', False), ('sda', 'sdc', True), ('sda', '', False), ('sda', 'mpatha', False)],
)
def test_only_what_is_certain_is_another(
    host: Host, name: str, wwid: str, is_another: bool
) -> None:
    wanted = wwid_of(host, wwid) if wwid in host.disks else wwid
    assert scsi_removal.is_another(name, wanted or None) is is_another


def test_what_a_failing_attach_has_added_goes(host: Host) -> None:
    two_volumes.map_gold(host)
    scsi_removal.take_back(['sda', 'sdb'], wait.Deadline.after(60))
    assert two_volumes.units(host) == {'sdc': 'silver'}
    assert not host.maps


@pytest.mark.parametrize('how', ['mounted', 'claimed'])
def test_unless_something_uses_it_by_now(
    host: Host, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    if how == 'mounted':
        two_volumes.map_gold(host)
        number = host.tree.at('/sys/class/block/dm-0/dev').read_text().strip()
        line = f'36 1 {number} / /srv rw shared:1 - ext4 /dev/whatever rw\n'
        host.tree.file('/proc/self/mountinfo', line)
    else:
        host.claims.add('sda')
    scsi_removal.take_back(['sda', 'sdb'], wait.Deadline.after(60))
    assert len(host.disks) == 3
    assert 'What a failed attach has made stays' in caplog.text


def test_a_step_that_fails_keeps_no_other_from_its_turn(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    two_volumes.map_gold(host)
    two_volumes.remap(host, 'sda', array.Unit('tin'))
    scsi_removal.take_back(['sda', 'sdb'], wait.Deadline.after(60))
    assert two_volumes.units(host) == {'sdc': 'silver'}
