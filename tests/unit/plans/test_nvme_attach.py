# SPDX-License-Identifier: Apache-2.0
"""Plans of an NVMe attach, as a table: which controllers a portal has, to the steps of its path."""

import json
from typing import Any

import pytest

from os_brick.plans import nvme_attach as plans
from os_brick.plans.nvme_attach import FoundController, Verb

PATH, GOLD = 'namespace 1 at portal 10.0.0.1:4420', 'UUID 0a0f'
LIVE, LATE = FoundController('nvme1', is_live=True), FoundController('nvme0', is_live=False)
FIND = {'verb': 'find namespace', 'path': PATH, 'identity': GOLD}


@pytest.mark.parametrize(
    ('found', 'may_ask', 'first'),
    [
        ((), True, [{'verb': 'ask portal', 'path': PATH}, {'verb': 'connect', 'path': PATH}]),
        # RDMA and Fibre Channel: this host's network does not lead there.
        ((), False, [{'verb': 'connect', 'path': PATH}]),
        # A second connection would not be made beside it.
        (
            *((LATE,), True),
            [{'verb': 'wait for controller', 'path': PATH, 'controller': 'nvme0'}],
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
        {'verb': 'use controller', 'path': PATH, 'controller': 'nvme1'},
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


def test_without_steps_there_is_no_controller() -> None:
    assert plans.controller_of((), Verb.USE_CONTROLLER) == ''
