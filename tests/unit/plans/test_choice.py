# SPDX-License-Identifier: Apache-2.0
"""Whose a device is: a table of hosts."""

from typing import Any

import pytest

from os_brick.plans import choice as plans
from tests.unit.plans.found import ANY, GOLD, SILVER, a_map, disk, found

CASES: list[tuple[str, plans.Found, str, Any]] = [
    # What, the host, the caller's identity, and: own, others, maps, foreign maps; or why not.
    ('nothing is here', found(), '', ('', '', '', '')),
    ('nothing is here, with an identity', found(kept='sdq'), GOLD, ('', '', '', '')),
    ('its disk, by its path', found(disk('sda')), '', ('sda', '', '', '')),
    ('its disk, which is who it should be', found(disk('sda')), GOLD, ('sda', '', '', '')),
    ('in upper case', found(disk('sda')), GOLD.upper(), ('sda', '', '', '')),
    ('another one', found(disk('sda', SILVER)), GOLD, ('', 'sda', '', '')),
    ('nothing is known of it', found(disk('sda', '')), GOLD, ('sda', '', '', '')),
    ('an identity that tells nothing', found(disk('sda')), 'mpathq', ('sda', '', '', '')),
    (
        'a name on another path is not a reason',
        found(disk('sda'), disk('sdb', SILVER, named=False), kept='sdb'),
        '',
        ('sda', '', '', ''),
    ),
    (
        'the same volume on another path',
        found(disk('sda'), disk('sdb', named=False)),
        '',
        ('sda sdb', '', '', ''),
    ),
    (
        'the volume on another path only, by the identity of the caller',
        found(disk('sdb', named=False)),
        GOLD,
        ('sdb', '', '', ''),
    ),
    (
        'only a name that the caller has kept',
        found(disk('sdb', SILVER, named=False), kept='sdb'),
        '',
        'nothing but the name',
    ),
    (
        'a map without disks, by its name only',
        found(maps=(a_map('dm-3', SILVER),), kept='dm-3'),
        '',
        'nothing but the name',
    ),
    (
        'a map without disks, by its WWID',
        found(maps=(a_map('dm-3', GOLD),), kept='dm-3'),
        GOLD,
        ('', '', 'dm-3', ''),
    ),
    (
        'paths that lead to different volumes',
        found(disk('sda'), disk('sdb', SILVER)),
        '',
        'different volumes',
    ),
    (
        'the one that was used decides',
        found(disk('sda'), disk('sdb', SILVER), kept='sdb'),
        '',
        ('sdb', 'sda', '', ''),
    ),
    (
        'the map that was used decides',
        found(
            disk('sda'),
            disk('sdb', SILVER, 'dm-3'),
            maps=(a_map('dm-3', SILVER, 'sdb'),),
            kept='dm-3',
        ),
        '',
        ('sdb', 'sda', 'dm-3', ''),
    ),
    (
        'all below its map, whatever path they are on',
        found(
            disk('sda', GOLD, 'dm-0'),
            disk('sdb', GOLD, 'dm-0', named=False),
            maps=(a_map('dm-0', GOLD, 'sda', 'sdb'),),
        ),
        '',
        ('sda sdb', '', 'dm-0', ''),
    ),
    (
        'a disk that is another volume by now, below the map of this one',
        found(
            disk('sda', GOLD, 'dm-0'),
            disk('sdb', SILVER, 'dm-0', named=False),
            maps=(a_map('dm-0', GOLD, 'sda', 'sdb'),),
        ),
        '',
        ('sda sdb', '', 'dm-0', ''),
    ),
    (
        'its disk below the map of another volume, which stays',
        found(
            disk('sda', GOLD, 'dm-7'),
            disk('sdx', SILVER, 'dm-7', named=False),
            maps=(a_map('dm-7', SILVER, 'sda', 'sdx'),),
        ),
        '',
        ('sda', '', '', 'dm-7'),
    ),
]


@pytest.mark.parametrize(
    ('host', 'wwid', 'wanted'), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_whose_it_is(host: plans.Found, wwid: str, wanted: Any) -> None:
    choice = plans.choose(host, plans.Wanted(ANY, wwid))
    if len(wanted) > 4:
        assert wanted in choice.unclear
        assert not choice.disks
        assert not choice.maps
        return
    assert choice.unclear == ''
    parts = (choice.disks, choice.others, choice.maps, choice.foreign)
    assert tuple(' '.join(each.name for each in part) for part in parts) == wanted


@pytest.mark.parametrize('wwid', ['', GOLD, SILVER, 'mpathq'])
@pytest.mark.parametrize('kept', ['', 'sda', 'sdb', 'dm-0'])
@pytest.mark.parametrize('named', [True, False])
def test_no_disk_elsewhere_without_an_identity(wwid: str, kept: str, named: bool) -> None:
    """Whatever the caller has kept: on another path only its own identity makes a disk ours."""
    here = disk('sda') if named else None
    far = disk('sdb', SILVER, 'dm-0', named=False)
    maps = (a_map('dm-0', SILVER, 'sdb'),)
    disks = tuple(filter(None, (here, far)))
    choice = plans.choose(found(*disks, maps=maps, kept=kept), plans.Wanted(ANY, wwid))
    assert ('sdb' in choice.names) is (wwid == SILVER)
    assert ('dm-0' in [each.name for each in choice.maps]) is (wwid == SILVER)


DISKS = [(), (disk('sda'),), (disk('sdb', SILVER),), (disk('sdc', GOLD, 'dm-0'),)]


@pytest.mark.parametrize('noted', ['', GOLD, SILVER, 'mpatha'])
@pytest.mark.parametrize('wwid', ['', GOLD, SILVER])
@pytest.mark.parametrize('elsewhere', [(), (disk('sdx', named=False),)])
@pytest.mark.parametrize('more', DISKS)
@pytest.mark.parametrize('disks', DISKS)
def test_what_is_noted_only_forbids(
    disks: tuple[plans.FoundDisk, ...],
    more: tuple[plans.FoundDisk, ...],
    elsewhere: tuple[plans.FoundDisk, ...],
    wwid: str,
    noted: str,
) -> None:
    """Whatever is here: the choice is the one without the note, or there is none."""
    every = tuple(dict.fromkeys((*disks, *more, *elsewhere)))
    here = found(*every, maps=(a_map('dm-0', GOLD, 'sdc'),))
    without = plans.choose(here, plans.Wanted(ANY, wwid=wwid))
    chosen = plans.choose(here, plans.Wanted(ANY, wwid=wwid, noted=noted))
    assert chosen == without or (chosen.unclear and not (chosen.disks or chosen.maps))
    if wwid or not noted:
        assert chosen == without


def test_a_stale_disk_below_the_map_of_the_volume() -> None:
    """Rescanned after its LUN became another volume: what is left of the attach goes."""
    here = found(disk('sda', SILVER, 'dm-0'), maps=(a_map('dm-0', GOLD, 'sda'),))
    chosen = plans.choose(here, plans.Wanted(ANY, noted=GOLD))
    assert chosen == plans.choose(here, plans.Wanted(ANY))
    assert chosen.names == ('sda',)
    assert not chosen.unclear


def test_a_volume_that_has_moved_since_its_attach() -> None:
    chosen = plans.choose(found(disk('sda', SILVER)), plans.Wanted(ANY, noted=GOLD))
    assert GOLD in chosen.unclear
    assert 'sda' in chosen.unclear
    assert 'scsi_wwn' in chosen.unclear


def test_disks_that_are_about_to_go_leave_no_wwid_in_multipaths_file() -> None:
    """A detach was ended: they report nothing any more, and the next one is told."""
    wanted = plans.Wanted('gold', wwid=GOLD)
    assert plans.choose(found(disk('sda', '')), wanted).wwids == (GOLD,)
    assert plans.choose(found(disk('sda')), wanted).wwids == (GOLD,)
    assert plans.choose(found(disk('sda', '')), plans.Wanted('gold')).wwids == ()
