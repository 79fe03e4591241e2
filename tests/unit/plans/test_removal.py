# SPDX-License-Identifier: Apache-2.0
"""What is removed in which order, of what is the volume's."""

import dataclasses
import json

import pytest

from os_brick.plans import choice as plans_choice
from os_brick.plans import removal
from tests.unit.plans.found import ANY, GOLD, SILVER, a_map, disk, found


def steps(choice: plans_choice.Choice, *links: plans_choice.FoundLink, wwid: str = '') -> list[str]:
    return [str(step) for step in removal.plan(choice, plans_choice.Wanted(ANY, wwid), links).steps]


def test_a_map_goes_before_its_disks_and_after_its_flush() -> None:
    host = found(
        disk('sda', GOLD, 'dm-0'),
        disk('sdb', GOLD, 'dm-0'),
        maps=(a_map('dm-0', GOLD, 'sda', 'sdb'),),
    )
    wanted = plans_choice.Wanted(ANY)
    links = (
        plans_choice.FoundLink('/dev/disk/by-id/os-brick+dev+dm-0', 'dm-0'),
        plans_choice.FoundLink('/dev/disk/by-id/os-brick+dev+dm-9', 'dm-9'),
    )
    assert steps(plans_choice.choose(host, wanted), *links) == [
        'check users sda, sdb',
        f'resume dm-0 of {GOLD}',
        f'flush dm-0 of {GOLD} (sda, sdb)',
        f'check that it is not open: dm-0 of {GOLD}',
        'unlink /dev/disk/by-id/os-brick+dev+dm-0',
        f'remove map dm-0 of {GOLD}',
        'forget paths sda, sdb',
        'remove disks sda, sdb',
        'wait until multipathd has forgotten sda, sdb',
        f'remove late map of {GOLD}',
        f'forget WWID of {GOLD}',
    ]


def test_one_disk() -> None:
    choice = plans_choice.choose(found(disk('sda')), plans_choice.Wanted(ANY))
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
    choice = plans_choice.choose(found(disk('sda'), disk('sdb', SILVER)), plans_choice.Wanted(ANY))
    (only,) = removal.plan(choice, plans_choice.Wanted(ANY)).steps
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
    wanted = plans_choice.Wanted(ANY, link=passed)
    choice = plans_choice.choose(found(disk('sda')), wanted)
    assert (
        removal.own_links(choice, wanted, [plans_choice.FoundLink(link, device)]) == [link] * goes
    )


def test_a_plan_is_plain_data() -> None:
    disks = [disk(name, GOLD, 'dm-0') for name in ('sda', 'sdb')]
    host = found(*disks, maps=(a_map('dm-0', GOLD, 'sda', 'sdb'),))
    plan = removal.plan(
        plans_choice.choose(host, plans_choice.Wanted(ANY)), plans_choice.Wanted(ANY)
    )
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
    plan = removal.plan(
        plans_choice.choose(here, plans_choice.Wanted(ANY)), plans_choice.Wanted(ANY)
    )
    assert [step.device for step in plan.steps if step.verb is removal.Verb.FLUSH] == flushed
