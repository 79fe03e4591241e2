# SPDX-License-Identifier: Apache-2.0
"""Plans of an NVMe attach, as a table: which controllers a portal has, to the steps of its path."""

import dataclasses
import json
from typing import Any

import pytest

from os_brick.core import trace
from os_brick.plans import nvme_attach as plans
from os_brick.plans.nvme_attach import FoundController, Verb

PATH, GOLD = 'namespace 1 at portal 10.0.0.1:4420', 'UUID 0a0f'
LIVE, LATE = FoundController('nvme1', is_live=True), FoundController('nvme0', is_live=False)
FORGET = {'else': 'forget this use of it'}
DISCONNECT = {'else': 'disconnect, unless another volume is behind it'}
CONNECT = {'verb': 'connect', 'path': PATH, **DISCONNECT}
FIND = {'verb': 'find namespace', 'path': PATH, 'identity': GOLD}


@pytest.mark.parametrize(
    ('found', 'may_ask', 'first'),
    [
        ((), True, [{'verb': 'ask portal', 'path': PATH}, CONNECT]),
        # RDMA and Fibre Channel: this host's network does not lead there.
        ((), False, [CONNECT]),
        # A second connection would not be made beside it.
        (
            *((LATE,), True),
            [{'verb': 'wait for controller', 'path': PATH, 'controller': 'nvme0', **FORGET}],
        ),
    ],
    ids=['none', 'none, not TCP', 'reconnecting'],
)
def test_what_follows_from_the_controllers(
    found: tuple[FoundController, ...], may_ask: bool, first: list[dict[str, Any]]
) -> None:
    steps = plans.path_steps(PATH, found, GOLD, may_ask=may_ask)
    assert [step.as_dict() for step in steps] == [*first, FIND]


@pytest.mark.parametrize('found', [(LIVE,), (LATE, LIVE), (LIVE, FoundController('nvme2', True))])
def test_the_first_live_controller_is_used(found: tuple[FoundController, ...]) -> None:
    steps = plans.path_steps(PATH, found, GOLD, may_ask=True)
    assert [step.as_dict() for step in steps] == [
        {'verb': 'use controller', 'path': PATH, 'controller': 'nvme1', **FORGET},
        {**FIND, 'controller': 'nvme1'},
    ]
    assert plans.controller_of(steps, Verb.USE_CONTROLLER) == 'nvme1'
    assert not plans.has(steps, Verb.CONNECT)


@pytest.mark.parametrize(
    ('is_multipath', 'last'),
    [(True, 'wait until it can be read'), (False, 'use the first path by which it can be read')],
)
def test_a_whole_attach(is_multipath: bool, last: str) -> None:
    paths = [
        plans.path_steps('one', (LIVE,), GOLD, may_ask=True),
        plans.path_steps('two', (), '', may_ask=True),
    ]
    plan = plans.attach('gold', paths, GOLD, is_multipath=is_multipath)
    assert str(plan).splitlines() == [
        'Attach of gold:',
        '  use controller path=one controller=nvme1',
        f'  find namespace path=one controller=nvme1 identity={GOLD}',
        '  ask portal path=two',
        '  connect path=two',
        '  find namespace path=two',
        f'  {last} identity={GOLD}',
    ]
    found = plan.as_dict()
    assert json.loads(json.dumps(found)) == found
    assert found['attach of'] == 'gold'


@pytest.mark.parametrize('is_live', [True, False])
def test_a_plan_is_about_the_controller_and_not_about_its_name(is_live: bool) -> None:
    one, other = (
        plans.path_steps(PATH, [FoundController('nvme1', is_live, number=n)], '', may_ask=True)
        for n in (7, 8)
    )
    assert one != other
    assert one[0].as_dict()['number'] == 7


def test_without_steps_there_is_no_controller() -> None:
    assert plans.controller_of((), Verb.USE_CONTROLLER) == ''


HOST = plans.FoundHost('nqn.lab:me', 'b1', has_module=True, has_name=True, has_id=True)


def portal(*found: FoundController) -> plans.FoundPath:
    return plans.FoundPath('tcp 10.0.0.1:4420', found)


@pytest.mark.parametrize(
    ('host', 'verbs'),
    [
        (HOST, []),
        (dataclasses.replace(HOST, has_module=False), ['load module']),
        (dataclasses.replace(HOST, has_name=False, has_id=False), ['make name', 'make ID']),
        # Then there is nothing by which to connect.
        (plans.FoundHost('', '', has_module=True, has_name=True, has_id=False), []),
    ],
)
def test_what_a_host_lacks_is_made_and_stays(host: plans.FoundHost, verbs: list[str]) -> None:
    found = [step.as_dict() for step in plans.preparation(host)]
    assert [step['verb'] for step in found] == verbs
    assert all('stays' in step['else'] for step in found)


@pytest.mark.parametrize(
    ('found', 'says'),
    [
        (portal(), 'no controller'),
        (portal(FoundController('nvme1', True, state='live')), 'nvme1 is live'),
        (
            portal(FoundController('nvme1', True, state='live', is_plain=True)),
            'nvme1 is live, without TLS',
        ),
        (portal(FoundController('nvme0', False, state='connecting')), 'nvme0 is connecting'),
    ],
)
def test_what_is_there_now(found: plans.FoundPath, says: str) -> None:
    lines = plans.now(
        'nqn.lab:me, b1', [found], ['/dev/nvme0n1 (uuid.7) behind nvme1'], is_native=True
    )
    assert f'tcp 10.0.0.1:4420: {says}' in lines
    assert any('nqn.lab:me' in line for line in lines)
    assert lines[-1] == 'namespace is here: /dev/nvme0n1 (uuid.7) behind nvme1'
    lines = plans.now('nqn.lab:me, b1', [found], [], is_native=False)
    assert lines[-1] == 'namespace is not behind these portals yet'
    assert any('multipath is off' in line for line in lines)


@pytest.mark.parametrize(
    ('risks', 'says'),
    [
        (plans.Risks(paths=2, wanted=1, is_multipath=True), ['joins later']),
        (plans.Risks(paths=2, wanted=2, is_multipath=True), ['fewer than 2']),
        (plans.Risks(paths=2), ['the next is tried']),
        (plans.Risks(has_nsid=True), ['number', 'vol_uuid']),
        (plans.Risks(), ['only namespace', 'vol_uuid']),
        (plans.Risks(is_unique=True, has_nsid=True), ['another namespace', 'not used']),
        (plans.Risks(wants_tls=True, plain=('nvme1',)), ['nvme1', 'TLS', 'not used']),
        (plans.Risks(has_secret=True), ['does not accept the secret']),
    ],
)
def test_what_could_happen(risks: plans.Risks, says: list[str]) -> None:
    text = '\n'.join(plans.could(risks))
    assert all(each in text for each in says)
    assert 'taken back' in text


@pytest.mark.parametrize('plain', [FoundController('nvme1', True, is_plain=True)])
def test_a_connection_without_tls_is_none_of_ours_to_warn_of_without_a_key(
    plain: FoundController,
) -> None:
    assert 'TLS' not in ' '.join(plans.could(plans.Risks(plain=(plain.name,))))


def test_what_may_be_the_namespace_is_told() -> None:
    lines = plans.now('me', [], [], ['/dev/nvme0n1', '/dev/nvme0n2'], is_native=True)
    assert lines[-1] == 'namespace may be one of: /dev/nvme0n1; /dev/nvme0n2'


@pytest.mark.parametrize('is_unique', [True, False])
@pytest.mark.parametrize('paths', [1, 2])
def test_words_are_not_masked_as_secrets(is_unique: bool, paths: int) -> None:
    """The command masks what it prints: "secret: no" would be taken for one."""
    words = {'has_secret': True, 'wants_tls': True, 'plain': ('nvme1',)}
    told = plans.could(plans.Risks(paths=paths, is_unique=is_unique, **words))  # type: ignore[arg-type]
    assert trace.masked(list(told)) == list(told)
    steps = [plans.Step(verb).as_dict() for verb in Verb]
    assert trace.masked(steps) == steps
