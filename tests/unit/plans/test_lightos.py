# SPDX-License-Identifier: Apache-2.0
"""Plans of LightOS: the file of a volume, and what another attachment has left."""

import pytest

from os_brick.plans import acts, lightos, nvme_removal
from os_brick.plans.lightos import Verb


@pytest.mark.parametrize('has_file', [True, False])
@pytest.mark.parametrize('has_name', [True, False])
def test_attach(*, has_name: bool, has_file: bool) -> None:
    found = lightos.Found('one', 'client', '/etc/f', has_file, ('c is live',), (), has_name)
    plan = lightos.attach(found, 'UUID 1', is_encrypted=True)
    verbs = [str(each.verb) for each in plan.steps]
    name = [] if has_name else ['make name']
    assert verbs == [
        *name,
        *('ask client', 'write file', 'wait until it can be read', 'make link'),
    ]
    # Another attachment of the volume may have written the file that is there.
    assert plan.steps[len(name) + 1].back == ('it stays' if has_file else 'remove it')
    assert plan.now[0] == 'c is live'


def test_a_host_that_is_not_connected() -> None:
    plan = lightos.attach(lightos.Found('one', 'c', '/f', False), 'UUID 1', is_encrypted=False)
    assert plan.now == ('this host is not connected to the cluster', '/f is missing')


def test_detach_ends_with_what_tells_of_it() -> None:
    choice = nvme_removal.choose(nvme_removal.Found(), nvme_removal.Wanted('one', _identity()))
    last = (*lightos.told('one', has_monitor=True), acts.Act(Verb.REMOVE_FILE, '/f'))
    plan = lightos.removal(nvme_removal.plan([choice], keep_connected=True), last)
    assert [each.verb for each in plan.steps] == [Verb.TELL_MONITOR, Verb.REMOVE_FILE]
    assert lightos.told('one', has_monitor=False) == ()


def _identity() -> nvme_removal.fabrics.NamespaceIdentity:
    return nvme_removal.fabrics.NamespaceIdentity(uuid='0a0f5d5e-0b1c-4d5e-9c55-0123456789ab')
