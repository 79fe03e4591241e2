# SPDX-License-Identifier: Apache-2.0
"""Plans of an attach, as tables: what is found of a path, to the steps on it."""

import json

import pytest

from os_brick.plans import attach

GOLD = '36001405ffffffffffffffffffffffff'
WANTED = attach.Wanted()
PATH = 'LUN 1 of target iqn.x at portal 10.0.0.1:3260'


def session(number: int, *, live: bool = True, known: bool = False) -> attach.FoundSession:
    return attach.FoundSession(number, live, f'{number}:0:0:1', known)


def lines(steps: tuple[attach.Step, ...]) -> list[str]:
    """A step on a line: its verb, session and address."""
    found = []
    for step in steps:
        assert step.path == PATH
        number = '' if step.session is None else str(step.session)
        found.append(' '.join(filter(None, (step.verb, number, step.address, step.wwid))))
    return found


NEW = ['make node record', 'log in', 'scan', f'verify identity {GOLD}']


@pytest.mark.parametrize(
    ('sessions', 'wanted', 'expected'),
    [
        ([], attach.Wanted(GOLD), ['ask portal', *NEW]),
        # A card of its own: this host's network tells nothing about its portals.
        ([], attach.Wanted(GOLD, may_ask=False), NEW),
        (
            *([session(3)], attach.Wanted(GOLD)),
            ['use session 3', 'scan 3 3:0:0:1', f'verify identity 3 3:0:0:1 {GOLD}'],
        ),
        # The disk is there: nothing is made, and it is asked who it is.
        (
            *([session(3, known=True)], attach.Wanted()),
            ['use session 3', 'verify identity 3 3:0:0:1'],
        ),
        # node.session.nr_sessions = 2.
        (
            *([session(3, known=True), session(4)], attach.Wanted()),
            [
                *('use session 3', 'use session 4', 'scan 4 4:0:0:1'),
                *('verify identity 3 3:0:0:1', 'verify identity 4 4:0:0:1'),
            ],
        ),
        (
            *([session(3), session(4)], attach.Wanted(every_session=False)),
            ['use session 3', 'scan 3 3:0:0:1', 'verify identity 3 3:0:0:1'],
        ),
        # A session that has failed is not used where another one works.
        (
            *([session(3, live=False), session(4, known=True)], attach.Wanted()),
            ['use session 4', 'verify identity 4 4:0:0:1'],
        ),
        # Its iscsid tries to get it back: no second one, and no question to the portal.
        (
            *([session(3, live=False)], attach.Wanted()),
            ['wait for session 3', 'scan', 'verify identity'],
        ),
    ],
)
def test_an_iscsi_path(
    sessions: list[attach.FoundSession], wanted: attach.Wanted, expected: list[str]
) -> None:
    assert lines(attach.iscsi_path(PATH, sessions, wanted)) == expected


@pytest.mark.parametrize(
    ('found', 'expected'),
    [
        (attach.FoundPort(True, '1:0:2:1', False), ['scan 1:0:2:1', 'verify identity 1:0:2:1']),
        (attach.FoundPort(True, '1:0:2:1', True), ['verify identity 1:0:2:1']),
        (
            attach.FoundPort(False, '1:0:2:1', False),
            ['check that the port is online', 'scan 1:0:2:1', 'verify identity 1:0:2:1'],
        ),
        (
            attach.FoundPort(False, '1:0:2:1', True),
            ['check that the port is online', 'verify identity 1:0:2:1'],
        ),
    ],
)
def test_a_fibre_channel_path(found: attach.FoundPort, expected: list[str]) -> None:
    assert lines(attach.fibre_channel_path(PATH, found, attach.Wanted())) == expected


@pytest.mark.parametrize(
    ('is_multipath', 'last'),
    [(True, 'build multipath map'), (False, 'use the first disk that can be read')],
)
def test_the_whole_plan_is_json(is_multipath: bool, last: str) -> None:
    wanted = attach.Wanted(GOLD)
    paths = [attach.iscsi_path(PATH, [session(3, known=True)], wanted)]
    plan = attach.attach('iscsi iqn.x 1', paths, wanted, is_multipath=is_multipath).as_dict()
    back = {'else': 'remove it unless it has other disks, and forget its WWID'}
    assert plan == {
        'attach of': 'iscsi iqn.x 1',
        'steps': [
            {'verb': 'use session', 'path': PATH, 'session': 3},
            {
                'verb': 'verify identity',
                'path': PATH,
                'session': 3,
                'address': '3:0:0:1',
                'wwid': GOLD,
            },
            {'verb': last, 'wwid': GOLD, **(back if is_multipath else {})},
        ],
    }
    assert json.loads(json.dumps(plan)) == plan


def test_what_takes_each_step_back() -> None:
    """What is only looked at or asked needs nothing; what is made is taken back."""
    new = attach.iscsi_path(PATH, [], attach.Wanted(GOLD))
    found = {step.verb.value: step.taken_back_by for step in new}
    assert {verb for verb, back in found.items() if back} == {'make node record', 'log in', 'scan'}
    assert 'log out' in found['log in']
    (known,) = attach.fibre_channel_path(PATH, attach.FoundPort(True, '1:0:2:1', True), WANTED)
    assert 'else' not in known.as_dict()
