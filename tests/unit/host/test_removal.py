# SPDX-License-Identifier: Apache-2.0
"""SCSI devices are taken away: the host before, what happens meanwhile, and the host after."""

from collections.abc import Iterator
import contextlib
import pathlib

import pytest

from os_brick import exception
from os_brick.core import teardown, wait
from os_brick.host import removal, scsi, survey
from os_brick.plans import choice as plans_choice
from os_brick.plans import removal as plans
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes

ALL = {'sda': 'gold', 'sdb': 'gold', 'sdc': 'silver'}


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with two_volumes.attached(tmp_path) as found:
        assert two_volumes.units(found) == ALL
        yield found


def remove(*names: str, force: bool = False) -> None:
    removal.remove_disks(names, teardown.RAISING, wait.Deadline.after(120), force=force)


def mount(host: Host, number: str) -> None:
    host.tree.file('/proc/self/mountinfo', f'36 25 {number} / /srv rw - xfs /dev/x rw\n')


@pytest.mark.parametrize('is_mapped', [True, False])
def test_a_volume_goes_with_its_map_and_nothing_else_does(host: Host, is_mapped: bool) -> None:
    if is_mapped:
        two_volumes.map_gold(host)
    remove('sda', 'sdb')
    host.settle()
    assert two_volumes.units(host) == {'sdc': 'silver'}
    assert not host.maps
    assert set(host.paths_known) <= {'sdc'}
    assert {each.name for each in host.reached} == {'gold'}


def test_a_volume_in_use_stays_as_it_is(host: Host) -> None:
    two_volumes.map_gold(host)
    mount(host, '253:0')
    before = host.snapshot()
    with pytest.raises(exception.VolumeInUse, match='mount on /srv'):
        remove('sda', 'sdb')
    assert host.snapshot() == before
    assert not host.flushes


def test_what_is_open_keeps_its_map_and_its_links(host: Host) -> None:
    """A link of ours goes before the map, and leads to it again if the map stays."""
    two_volumes.map_gold(host)
    link = '/dev/disk/by-id/os-brick+dev+dm-0'
    host.tree.at(link).symlink_to('/dev/dm-0')
    host.maps['dm-0'].open_count = 1
    found = survey.of_disks(['sda', 'sdb'])
    wanted = plans_choice.Wanted('gold')
    ours = [plans_choice.FoundLink(link, 'dm-0')]
    plan = plans.plan(plans_choice.choose(found, wanted), wanted, ours)
    with pytest.raises(exception.VolumeInUse):
        removal.run(plan, teardown.RAISING, wait.Deadline.after(120))
    assert two_volumes.units(host) == ALL
    assert host.tree.at(link).readlink() == pathlib.Path('/dev/dm-0')
    host.maps['dm-0'].open_count = 0
    removal.run(plan, teardown.RAISING, wait.Deadline.after(120))
    assert two_volumes.units(host) == {'sdc': 'silver'}
    assert not host.tree.at(link).is_symlink()


def remove_while_sda_becomes_tin(host: Host, number: int) -> bool:
    """At the act with that number sda goes, and the next disk is called so; whether it came."""
    silver, is_struck, acts = host.disks['sdc'].session, False, len(host.acts)

    def strike(_what: str) -> None:
        nonlocal is_struck
        if len(host.acts) - 1 == acts + number and 'sda' in host.disks:
            is_struck = True
            host.remove_disk(host.disks['sda'])
            silver.target.luns[2] = array.Unit('tin')
            host.find_lun(silver, 2)

    host.before_act = strike
    with contextlib.suppress(exception.BrickException):
        remove('sda', 'sdb')
    host.settle()
    return is_struck


@pytest.mark.parametrize('is_mapped', [True, False])
def test_another_volume_that_gets_a_name_meanwhile_stays(
    tmp_path: pathlib.Path, is_mapped: bool
) -> None:
    for number in range(99):
        with two_volumes.attached(tmp_path / str(number)) as host:
            if is_mapped:
                two_volumes.map_gold(host)
            if not remove_while_sda_becomes_tin(host, number):
                break  # The removal was over, or sda had gone before.
            assert two_volumes.units(host)['sda'] == 'tin'
            assert 'tin' not in [each.name for each in host.reached]
    assert number >= 2


STALE = [
    # What is at sda's LUN now; whether sda has gone after it was looked at.
    ('gold', False),
    ('tin', True),
    ('nothing', True),
]


@pytest.mark.parametrize(('now', 'goes'), STALE)
@pytest.mark.parametrize('is_mapped', [True, False])
def test_a_stale_disk_goes_unflushed(host: Host, now: str, goes: bool, is_mapped: bool) -> None:
    if is_mapped:
        assert host.claim('sda')
    new = {'gold': two_volumes.unit(host, 'sda'), 'tin': array.Unit('tin'), 'nothing': None}[now]
    two_volumes.remap(host, 'sda', new)
    answered: list[bool] = []
    found = removal.discard_if_stale(
        'sda', wait.Deadline.after(120), lambda: answered.append('sda' in host.disks)
    )
    host.settle()
    assert answered == [True]
    assert (found is None) is goes
    assert two_volumes.units(host) == {k: v for k, v in ALL.items() if k != 'sda' or not goes}
    assert bool(host.maps) is (is_mapped and not goes)
    assert not host.flushes


def test_a_stale_disk_in_use_is_an_error_and_stays(host: Host) -> None:
    mount(host, '8:0')
    two_volumes.remap(host, 'sda', array.Unit('tin'))
    gold = host.disks['sda'].unit.wwid
    before = host.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch, match='mount on /srv') as caught:
        removal.discard_if_stale('sda', wait.Deadline.after(120))
    assert gold in str(caught.value.expected)
    assert host.snapshot() == before


@pytest.mark.parametrize('is_used', [True, False])
def test_a_foreign_disk_leaves_the_map(host: Host, is_used: bool) -> None:
    found = two_volumes.map_gold(host)
    if is_used:
        mount(host, '8:16')
    foreign = {'sdb': scsi.number_of('sdb')}
    if is_used:
        with pytest.raises(exception.VolumeIdentityMismatch, match='mount on /srv'):
            removal.evict(foreign, 'dm-0', 'gold', wait.Deadline.after(120))
    else:
        removal.evict(foreign, 'dm-0', 'gold', wait.Deadline.after(120))
    assert [disk.name for disk in found.disks] == (['sda', 'sdb'] if is_used else ['sda'])
    assert ('sdb' in host.disks) is is_used


def test_a_disk_of_the_name_of_a_foreign_one_is_not_evicted(host: Host) -> None:
    two_volumes.map_gold(host)
    before = host.snapshot()
    removal.evict({'sdb': scsi.number_of('sdb') + 1}, 'dm-0', 'gold', wait.Deadline.after(120))
    assert host.snapshot() == before
