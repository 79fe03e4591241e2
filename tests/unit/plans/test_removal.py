# SPDX-License-Identifier: Apache-2.0
"""Whose a device is, and what is removed in which order: a table of hosts."""

import dataclasses
import json
from typing import Any

import pytest

from os_brick.model import vpd
from os_brick.plans import removal

ANY = 'LUN 1 of target t'
GOLD, SILVER = '36001405' + 'a' * 25, '36001405' + 'b' * 25


def identity(wwid: str) -> vpd.UnitIdentity:
    return vpd.UnitIdentity(wwid, '', frozenset({wwid} - {''}))


def disk(name: str, wwid: str = GOLD, *maps: str, named: bool = True) -> removal.FoundDisk:
    number = 100 + ord(name[-1])
    return removal.FoundDisk(name, number, f'2:0:0:{number}', identity(wwid), named, maps)


def found(
    *disks: removal.FoundDisk, maps: tuple[removal.FoundMap, ...] = (), kept: str = ''
) -> removal.Found:
    return removal.Found(disks, maps, kept=(kept,) if kept else ())


def a_map(name: str, wwid: str, *disks: str) -> removal.FoundMap:
    return removal.FoundMap(name, wwid, disks)


CASES: list[tuple[str, removal.Found, str, Any]] = [
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
def test_whose_it_is(host: removal.Found, wwid: str, wanted: Any) -> None:
    choice = removal.choose(host, removal.Wanted(ANY, wwid))
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
    choice = removal.choose(found(*disks, maps=maps, kept=kept), removal.Wanted(ANY, wwid))
    assert ('sdb' in choice.names) is (wwid == SILVER)
    assert ('dm-0' in [each.name for each in choice.maps]) is (wwid == SILVER)


def steps(choice: removal.Choice, *links: removal.FoundLink, wwid: str = '') -> list[str]:
    return [str(step) for step in removal.plan(choice, removal.Wanted(ANY, wwid), links).steps]


def test_a_map_goes_before_its_disks_and_after_its_flush() -> None:
    host = found(
        disk('sda', GOLD, 'dm-0'),
        disk('sdb', GOLD, 'dm-0'),
        maps=(a_map('dm-0', GOLD, 'sda', 'sdb'),),
    )
    wanted = removal.Wanted(ANY)
    links = (
        removal.FoundLink('/dev/disk/by-id/os-brick+dev+dm-0', 'dm-0'),
        removal.FoundLink('/dev/disk/by-id/os-brick+dev+dm-9', 'dm-9'),
    )
    assert steps(removal.choose(host, wanted), *links) == [
        'check users sda, sdb',
        f'resume dm-0 of {GOLD}',
        f'flush dm-0 of {GOLD} (sda, sdb)',
        'unlink /dev/disk/by-id/os-brick+dev+dm-0',
        f'remove map dm-0 of {GOLD}',
        'forget paths sda, sdb',
        'remove disks sda, sdb',
        'wait until multipathd has forgotten sda, sdb',
        f'remove late map of {GOLD}',
        f'forget WWID of {GOLD}',
    ]


def test_one_disk() -> None:
    choice = removal.choose(found(disk('sda')), removal.Wanted(ANY))
    assert steps(choice) == [
        'check users sda',
        'forget paths sda',
        'flush sda (sda)',
        'remove disks sda',
        'wait until multipathd has forgotten sda',
        f'remove late map of {GOLD}',
        f'forget WWID of {GOLD}',
    ]


def test_what_is_unclear_is_refused_and_nothing_else_is_done() -> None:
    choice = removal.choose(found(disk('sda'), disk('sdb', SILVER)), removal.Wanted(ANY))
    (only,) = removal.plan(choice, removal.Wanted(ANY)).steps
    assert only.verb is removal.Verb.REFUSE
    assert ANY in only.notes[0]


@pytest.mark.parametrize(
    ('link', 'device', 'passed', 'goes'),
    [
        ('/l+sda', 'sda', '', True),
        ('/l+sdx', 'sdx', '', False),
        ('/l+sdx', 'sdx', '/l+sdx', False),
        ('/l+sdx', '', '/l+sdx', True),
        ('/l+sdx', '', '', False),
    ],
)
def test_only_the_volumes_own_link_goes(link: str, device: str, passed: str, goes: bool) -> None:
    wanted = removal.Wanted(ANY, link=passed)
    choice = removal.choose(found(disk('sda')), wanted)
    assert removal.own_links(choice, wanted, [removal.FoundLink(link, device)]) == [link] * goes


def test_a_plan_is_plain_data() -> None:
    disks = [disk(name, GOLD, 'dm-0') for name in ('sda', 'sdb')]
    host = found(*disks, maps=(a_map('dm-0', GOLD, 'sda', 'sdb'),))
    plan = removal.plan(removal.choose(host, removal.Wanted(ANY)), removal.Wanted(ANY))
    text = json.dumps(plan.as_dict())
    assert json.loads(text) == plan.as_dict()
    assert plan.as_dict()['steps'][2] == {
        'verb': 'flush',
        'device': 'dm-0',
        'wwid': GOLD,
        'disks': [{'name': 'sda', 'number': 197}, {'name': 'sdb', 'number': 198}],
    }
    assert str(plan).startswith(f'Removal of {ANY}:\n  check users sda')


def test_a_stale_disk_is_neither_flushed_nor_removed_unasked() -> None:
    stale = disk('sda', GOLD, 'dm-0')
    plan = removal.discard(stale, [a_map('dm-0', GOLD, 'sda')], SILVER)
    verbs = [step.verb for step in plan.steps]
    assert removal.Verb.FLUSH not in verbs
    removed = verbs.index(removal.Verb.REMOVE_DISKS)
    assert verbs.index(removal.Verb.CHECK_CLAIMS) < removed
    assert verbs.index(removal.Verb.CHECK_USERS) < verbs.index(removal.Verb.CHECK_OPEN) < removed
    assert [step.wwid for step in plan.steps if step.verb is removal.Verb.FORGET_WWID] == [GOLD]


def test_a_map_with_other_disks_stays_when_a_stale_one_goes() -> None:
    stale = disk('sda', GOLD, 'dm-0')
    plan = removal.discard(stale, [a_map('dm-0', GOLD, 'sda', 'sdb')], SILVER)
    assert removal.Verb.REMOVE_MAP not in [step.verb for step in plan.steps]
    assert removal.Verb.CHECK_OPEN in [step.verb for step in plan.steps]


@pytest.mark.parametrize(
    ('disks', 'kept', 'flushed'),
    [
        (('sda',), (), ['sda', 'dm-0']),
        (('sda', 'sdb'), (), ['dm-0']),
        (('sda', 'sdb'), ('dm-0',), ['dm-0']),
        (('sda', 'sdb'), ('sdb',), ['sdb', 'dm-0']),
        # A name that is another device's by now.
        (('sda', 'sdb'), ('sdz',), ['dm-0']),
    ],
)
def test_a_disk_below_a_map_is_flushed_if_it_may_have_been_used(
    disks: tuple[str, ...], kept: tuple[str, ...], flushed: list[str]
) -> None:
    here = found(*(disk(each, GOLD, 'dm-0') for each in disks), maps=(a_map('dm-0', GOLD, *disks),))
    here = dataclasses.replace(here, kept=kept)
    plan = removal.plan(removal.choose(here, removal.Wanted(ANY)), removal.Wanted(ANY))
    assert [step.device for step in plan.steps if step.verb is removal.Verb.FLUSH] == flushed
