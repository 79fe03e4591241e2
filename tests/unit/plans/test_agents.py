# SPDX-License-Identifier: Apache-2.0
"""Plans of vendors' volumes: what is known here decides what is checked, the agent's answer not."""

import pytest

from os_brick.plans import acts, agents
from os_brick.plans.agents import Verb

DEVICE = agents.Device('/dev/one', 7, 1 << 30)
LINK = acts.Act(acts.Link.REMOVE, '/dev/link')


def verbs(plan: acts.Plan) -> list[str]:
    return [str(each.verb) for each in plan.steps]


def found(agent: str = 'gateway', *devices: agents.Device, **more: object) -> agents.Found:
    return agents.Found('volume one', agent, devices, **more)  # type: ignore[arg-type]


def test_huawei() -> None:
    attach = agents.huawei('attach', 'one', '/bin/sds')
    assert verbs(attach) == ['ask', 'order attach', 'ask', 'wait for device']
    assert attach.steps[1].back.startswith('order detach, unless')
    assert verbs(agents.huawei('detach', 'one', '/bin/sds')) == ['order detach']


@pytest.mark.parametrize('has_limits', [True, False])
@pytest.mark.parametrize('is_here', [True, False])
def test_powerflex_is_mapped_at_a_gateway(*, is_here: bool, has_limits: bool) -> None:
    here = [DEVICE] if is_here else []
    plan = agents.powerflex_attach(
        found('gateway', *here), 'l', has_limits=has_limits, is_encrypted=True
    )
    limits = ['order limits'] if has_limits else []
    assert verbs(plan) == ['ask', 'order attach', *limits, 'wait for device', 'make link']
    # Another attachment may have mapped what is here.
    assert bool(plan.steps[1].back) is not is_here


def test_powerflex_that_cinder_maps_is_waited_for_and_never_unmapped() -> None:
    plan = agents.powerflex_attach(found(''), 'l', has_limits=False, is_encrypted=False)
    assert verbs(plan) == ['wait for device']
    plan = agents.powerflex_detach(found('', DEVICE), [LINK])
    assert verbs(plan) == ['check users', 'flush', 'remove link']
    assert 'once Cinder has unmapped' in plan.could[-1]


@pytest.mark.parametrize('force', [True, False])
def test_powerflex_goes_from_the_top_down(*, force: bool) -> None:
    check = [] if force else ['check users']
    plan = agents.powerflex_detach(found('gateway', DEVICE), [LINK], force=force)
    last = ['order detach', 'wait until device has gone', 'remove link']
    assert verbs(plan) == ['ask', *check, 'flush', *last]
    # What has no link may be it, and is not waited for.
    plan = agents.powerflex_detach(found('gateway', doubtful=(DEVICE,)), [], force=force)
    assert verbs(plan) == ['ask', *check, 'flush', 'order detach']
    assert any('no link leads to /dev/one' in line for line in plan.now)


def test_sizes() -> None:
    assert verbs(agents.powerflex_extend(found('gateway', DEVICE))) == [
        *('ask', 'ask', 'have client look anew', 'wait for size')
    ]
    assert verbs(agents.powerflex_extend(found('', DEVICE))) == [
        *('have client look anew', 'wait for size')
    ]
    assert verbs(agents.storpool_extend(found('cluster', DEVICE))) == ['ask', 'wait for size']


def test_storpool() -> None:
    plan = agents.storpool_attach(found(), 'rw', is_encrypted=False)
    assert verbs(plan) == ['ask', 'order attach', 'wait for device', 'read']
    assert plan.steps[1].value == 'rw'
    plan = agents.storpool_detach(found('cluster', DEVICE), [])
    assert verbs(plan) == ['ask', 'check users', 'flush', 'order detach', Verb.AWAIT_GONE]
    assert verbs(agents.storpool_detach(found(), [])) == ['ask', 'order detach']


@pytest.mark.parametrize(('is_changed', 'words'), [(True, 'was changed'), (False, 'is as')])
def test_vmware(*, is_changed: bool, words: str) -> None:
    plan = agents.vmware_detach('disk', 'server', '/copies/one', is_changed=is_changed)
    assert verbs(plan) == ['write back if changed', 'remove file']
    assert words in plan.now[0]
    assert agents.vmware_attach('disk', 'server', '/copies').steps[0].back == 'remove the copy'
