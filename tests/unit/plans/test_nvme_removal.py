# SPDX-License-Identifier: Apache-2.0
"""Which namespace is the caller's, and what is taken away in which order: a table of hosts."""

import json
from typing import Any

import pytest

from os_brick.model import fabrics
from os_brick.plans import nvme_removal as removal

NQN = 'nqn.2026-11.org.lab:one'
GOLD, SILVER = 'a' * 8 + '-1111-4111-8111-' + 'a' * 12, 'b' * 8 + '-1111-4111-8111-' + 'b' * 12


def controller(number: int) -> fabrics.Controller:
    portal = fabrics.NvmePortal('tcp', f'10.0.0.{number + 1}', '4420')
    return fabrics.Controller(f'nvme{number}', NQN, portal, '7', number=900 + number)


def path(name: str, uuid: str = '', nsid: int = 1) -> fabrics.Path:
    identity = fabrics.NamespaceIdentity(uuid=uuid or None, nsid=nsid)
    return fabrics.Path(name, f'nvme{name[name.index("c") + 1]}', identity)


def found(
    *paths: fabrics.Path, foreign: str = '', locks: tuple[str, ...] = (), users: Any = ()
) -> removal.Found:
    names = sorted({int(each.controller.removeprefix('nvme')) for each in paths})
    return removal.Found(
        tuple(controller(number) for number in names),
        paths,
        tuple(
            removal.FoundHead(head, 500 + int(head[-1]), users)
            for head in dict.fromkeys(each.head for each in paths)
        ),
        frozenset({foreign} - {''}),
        locks,
    )


def wanted(*, used: str | None = None, **names: Any) -> removal.Wanted:
    return removal.Wanted('namespace', fabrics.NamespaceIdentity(**names), used)


CASES: list[tuple[str, removal.Found, removal.Wanted, str, str]] = [
    # What, the host, what the caller knows, and: own paths, undecided paths.
    ('nothing is here', found(), wanted(uuid=GOLD), '', ''),
    ('by its name', found(path('nvme5c0n1', GOLD)), wanted(uuid=GOLD), 'nvme5c0n1', ''),
    ('another one', found(path('nvme5c0n1', SILVER)), wanted(uuid=GOLD), '', ''),
    (
        'every path to it',
        found(path('nvme5c0n1', GOLD), path('nvme5c1n1', GOLD), path('nvme5c0n2', SILVER, 2)),
        wanted(uuid=GOLD),
        'nvme5c0n1 nvme5c1n1',
        '',
    ),
    (
        'a name decides, whatever device the caller has kept',
        found(path('nvme5c0n1', GOLD)),
        wanted(uuid=GOLD, used='nvme9n9'),
        'nvme5c0n1',
        '',
    ),
    (
        'by its number',
        found(path('nvme5c0n1', GOLD), path('nvme5c0n2', SILVER, 2)),
        wanted(nsid=2),
        'nvme5c0n2',
        '',
    ),
    (
        'a number, and the device that the caller has kept is another one',
        found(path('nvme5c0n1', GOLD)),
        wanted(nsid=1, used='nvme5n7'),
        '',
        'nvme5c0n1',
    ),
    (
        'a number that another volume has by now',
        found(path('nvme5c0n1', GOLD), foreign=f'UUID {GOLD}, NSID 1'),
        wanted(nsid=1, used='nvme5n1'),
        '',
        '',
    ),
    (
        'the only namespace',
        found(path('nvme5c0n1', GOLD), path('nvme5c1n1', GOLD)),
        wanted(),
        'nvme5c0n1 nvme5c1n1',
        '',
    ),
    (
        'the only namespace, and there are two',
        found(path('nvme5c0n1', GOLD), path('nvme5c0n2', SILVER, 2)),
        wanted(),
        '',
        'nvme5c0n1 nvme5c0n2',
    ),
    (
        'the only namespace, and the device that was used tells it',
        found(path('nvme5c0n1', GOLD), path('nvme5c0n2', SILVER, 2)),
        wanted(used='nvme5n2'),
        'nvme5c0n2',
        '',
    ),
    (
        'the only namespace besides another volume',
        found(
            path('nvme5c0n1', GOLD),
            path('nvme5c0n2', SILVER, 2),
            foreign=f'UUID {GOLD}, NSID 1',
        ),
        wanted(),
        'nvme5c0n2',
        '',
    ),
]


@pytest.mark.parametrize(
    ('host', 'volume', 'own', 'undecided'),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_which_one_it_is(
    host: removal.Found, volume: removal.Wanted, own: str, undecided: str
) -> None:
    choice = removal.choose(host, volume)
    assert ' '.join(each.name for each in choice.paths) == own
    assert ' '.join(each.name for each in choice.undecided) == undecided
    assert bool(choice.unclear) == bool(undecided)
    assert not set(choice.paths) & set(choice.others)


def steps(*choices: removal.Choice, array: removal.FoundArray | None = None) -> list[str]:
    return [str(step) for step in removal.plan(choices, array).steps]


ONE = [
    'check users and flush nvme5n1',
    f'leave controller nvme0 of {NQN} at tcp 10.0.0.1:4420 (UUID {GOLD}, NSID 1)',
    'wait until the kernel has removed nvme5n1',
]


def test_one_namespace() -> None:
    choice = removal.choose(found(path('nvme5c0n1', GOLD)), wanted(uuid=GOLD))
    assert steps(choice) == ONE


def test_what_is_used_is_flushed_only_where_the_removal_goes_on() -> None:
    """So the two are steps of their own then: one fails, and the other is done."""
    choice = removal.choose(found(path('nvme5c0n1', GOLD)), wanted(uuid=GOLD))
    first, second, *rest = map(str, removal.plan([choice], flush_used=True).steps)
    assert (first, second) == ('check users nvme5n1', 'flush nvme5n1')
    assert rest == ONE[1:]


def test_the_plan_says_what_a_controller_shows_besides() -> None:
    host = found(path('nvme5c0n1', GOLD), path('nvme5c0n2', SILVER, 2))
    (leave,) = [
        step
        for step in removal.plan([removal.choose(host, wanted(uuid=GOLD))]).steps
        if step.verb is removal.Verb.LEAVE
    ]
    assert leave.names == (f'UUID {GOLD}, NSID 1',)
    assert leave.notes == ('also shows nvme5c0n2',)


def test_a_controller_at_its_portals_is_left_though_it_does_not_show_the_namespace() -> None:
    """The array has unmapped it first."""
    choice = removal.choose(found(path('nvme5c0n2', SILVER, 2)), wanted(uuid=GOLD))
    (leave,) = removal.plan([choice]).steps
    assert leave.verb is removal.Verb.LEAVE
    assert leave.names == ()


def test_nothing_is_here_and_nothing_is_done() -> None:
    assert steps(removal.choose(found(), wanted(uuid=GOLD))) == []


def test_what_was_kept_about_a_controller_that_has_gone_is_forgotten_last() -> None:
    lock = f'{NQN} tcp 10.0.0.9 4420'
    choices = [
        removal.choose(found(path('nvme5c0n1', GOLD), locks=(lock,)), wanted(uuid=GOLD)),
        removal.choose(found(locks=(lock,)), wanted(uuid=SILVER)),
    ]
    assert steps(*choices) == [*ONE, f'forget controllers that have gone {lock}']


def test_what_is_unclear_is_refused_before_anything_is_done() -> None:
    """A member that cannot be told from another volume, after one that can."""
    clear = removal.choose(found(path('nvme5c0n1', GOLD)), wanted(uuid=GOLD))
    unclear = removal.choose(found(path('nvme6c1n1', SILVER)), wanted(nsid=1, used='nvme6n3'))
    plan = removal.plan([clear, unclear], removal.FoundArray('md127', 4))
    first, *rest = plan.steps
    assert first.verb is removal.Verb.REFUSE
    assert '/dev/nvme6n1' in first.notes[0]
    assert 'nvme6n1' not in [step.device for step in rest]
    assert all(step.controllers == (controller(0),) for step in rest if step.controllers)


@pytest.mark.parametrize(
    ('is_running', 'has_member', 'is_flushed'),
    [(True, True, True), (False, True, False), (True, False, False)],
)
def test_an_array_goes_before_its_members(
    is_running: bool, has_member: bool, is_flushed: bool
) -> None:
    members = [
        removal.choose(found(path('nvme5c0n1', GOLD), users=None), wanted(uuid=GOLD)),
        removal.choose(found(path('nvme6c1n2', SILVER, 2), users=None), wanted(uuid=SILVER)),
    ]
    array = removal.FoundArray('md127', 4, 'u', is_running, has_member)
    plan = removal.plan(members, array)
    verbs = [(step.verb, step.device) for step in plan.steps]
    assert verbs == [
        (removal.Verb.CHECK_ARRAY, 'md127'),
        *[(removal.Verb.FLUSH_ARRAY, 'md127')] * is_flushed,
        (removal.Verb.STOP_ARRAY, 'md127'),
        (removal.Verb.CHECK_USERS, 'nvme5n1'),
        (removal.Verb.CHECK_USERS, 'nvme6n2'),
        (removal.Verb.FLUSH, 'nvme5n1'),
        (removal.Verb.FLUSH, 'nvme6n2'),
        (removal.Verb.LEAVE, ''),
        (removal.Verb.WAIT_GONE, 'nvme5n1'),
        (removal.Verb.LEAVE, ''),
        (removal.Verb.WAIT_GONE, 'nvme6n2'),
    ]


def test_without_native_multipath_each_path_is_a_device() -> None:
    both = found(
        fabrics.Path('nvme0n1', 'nvme0', fabrics.NamespaceIdentity(uuid=GOLD, nsid=1)),
        fabrics.Path('nvme1n1', 'nvme1', fabrics.NamespaceIdentity(uuid=GOLD, nsid=1)),
    )
    plan = removal.plan([removal.choose(both, wanted(uuid=GOLD))])
    flushed = [
        (step.device, [each.name for each in step.paths])
        for step in plan.steps
        if step.verb is removal.Verb.FLUSH
    ]
    assert flushed == [('nvme0n1', ['nvme0n1']), ('nvme1n1', ['nvme1n1'])]


def test_a_plan_is_plain_data() -> None:
    host = found(path('nvme5c0n1', GOLD), users=('mount on /srv',))
    plan = removal.plan([removal.choose(host, wanted(uuid=GOLD))])
    plain = plan.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain['removal of'] == 'namespace'
    assert plain['steps'][0] == {
        'verb': 'check users and flush',
        'device': 'nvme5n1',
        'number': 501,
        'paths': [
            {'name': 'nvme5c0n1', 'controller': 'nvme0', 'identity': {'uuid': GOLD, 'nsid': 1}}
        ],
        'users': ['mount on /srv'],
    }
    assert plain['steps'][1]['controllers'] == [
        {
            'name': 'nvme0',
            'nqn': NQN,
            'portal': {'transport': 'tcp', 'address': '10.0.0.1', 'port': '4420'},
            'id': '7',
            'number': 900,
        }
    ]
    assert str(plan).startswith('Removal of namespace:\n  check users and flush nvme5n1 mount')


def test_a_plan_tells_nothing_was_looked_for_from_nothing_was_found() -> None:
    for users, plain in ((None, {}), ((), {'users': []})):
        host = found(path('nvme5c0n1', GOLD), users=users)
        step = removal.plan([removal.choose(host, wanted(uuid=GOLD))]).steps[0].as_dict()
        assert {key: step[key] for key in step if key == 'users'} == plain


def test_controllers_of_another_program_are_left_connected() -> None:
    """Nothing is waited for, either: the namespace shows until the array unmaps it."""
    host = found(path('nvme5c0n1', GOLD), path('nvme5c1n1', GOLD), users=())
    choice = removal.choose(host, wanted(uuid=GOLD))
    steps = removal.plan([choice], keep_connected=True).steps
    assert [step.verb for step in steps] == [
        removal.Verb.FLUSH_UNUSED,
        removal.Verb.FREE,
    ]
    assert steps[-1].controllers == host.controllers
    assert steps[-1].names == (str(host.paths[0].identity),)
