# SPDX-License-Identifier: Apache-2.0
"""The plan of a replicated volume: the steps of its members, what is made for all, the array."""

import pytest

from os_brick.plans import mirror, nvme_attach, steps
from os_brick.plans.nvme_attach import Step, Verb

NAME = Step(Verb.MAKE_NAME, value='nqn.host')


def member(what: str) -> nvme_attach.Attach:
    return steps.Plan(
        'attach', what, (NAME, Step(Verb.CONNECT, what), Step(Verb.FIND, what)), ('n',), ('c',)
    )


@pytest.mark.parametrize('is_single', [True, False])
@pytest.mark.parametrize('running', [(), ('md127',)])
def test_attach(running: tuple[str, ...], *, is_single: bool) -> None:
    plan = mirror.attach(
        'gold',
        [member('one'), member('two')],
        running,
        mirror.Volume(count=2, is_single=is_single, is_encrypted=True),
    )
    found = plan.as_dict()
    assert [each['verb'] for each in found['steps']] == [
        'make name',
        *['connect', 'find namespace'] * 2,
        *('read what members have on them', 'have array run', 'make link'),
    ]
    array = found['steps'][-2]
    assert array['object'] == 'gold'
    assert ('else' in array) is not bool(running)
    assert found['now'] == ['n', *[f'array {each} is over members' for each in running]]
    assert any('used itself' in line for line in found['could']) is is_single
    assert found['could'].count('c') == 1
