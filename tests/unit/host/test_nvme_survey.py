# SPDX-License-Identifier: Apache-2.0
"""What there is of a namespace: the facts that a plan is made of."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick.host import nvme, nvme_refs, nvme_survey
from os_brick.model import fabrics
from os_brick.plans import nvme_removal as plans
from tests.unit.fakehost import nvme as fake_nvme


@pytest.fixture(params=[True, False], ids=['native', 'no multipath'])
def fabric(
    tmp_path: pathlib.Path, request: pytest.FixtureRequest
) -> Iterator[fake_nvme.StrikingFabric]:
    with fake_nvme.striking(tmp_path, native=request.param) as found:
        yield found


def places(
    subsystem: fake_nvme.Subsystem, *, host: str | None = None, volume: str = 'volume'
) -> nvme_survey.Places:
    portals = [fabrics.NvmePortal('rdma', each, '4420') for each in sorted(subsystem.portals)]
    return nvme_survey.Places(subsystem.nqn, tuple(portals), host, volume)


def wanted(**names: str | int) -> plans.Wanted:
    return plans.Wanted('namespace', fabrics.NamespaceIdentity(**names))  # type: ignore[arg-type]


def test_nothing_is_here(fabric: fake_nvme.StrikingFabric) -> None:
    subsystem = fabric.subsystem('one')
    assert nvme_survey.for_removal(places(subsystem), wanted(nsid=1)) == plans.Found()


def test_everything_behind_the_controllers_at_its_portals(
    fabric: fake_nvme.StrikingFabric,
) -> None:
    one, two = fabric.subsystem('one', portals=2), fabric.subsystem('two')
    one.namespaces |= {1: fake_nvme.Volume('gold'), 2: fake_nvme.Volume('silver')}
    two.namespaces |= {1: fake_nvme.Volume('tin')}
    names = [fabric.by_hand(one, each) for each in sorted(one.portals)]
    fabric.connect_by_hand(two)
    gold = wanted(uuid=one.namespaces[1].uuid)
    found = nvme_survey.for_removal(places(one), gold)
    assert [each.name for each in found.controllers] == names
    assert len(found.paths) == 4
    heads = list(dict.fromkeys(fabric.head(name, 1) for name in names))
    assert [each.name for each in found.heads] == heads
    assert all(each.number and each.users == () for each in found.heads)
    assert nvme_survey.namespace(places(one), gold).heads == ()
    one.portals.pop()
    assert len(nvme_survey.namespace(places(one), gold).controllers) == 1
    assert nvme_survey.namespace(places(one, host='another'), gold).controllers == ()


def test_users(fabric: fake_nvme.StrikingFabric) -> None:
    subsystem = fabric.subsystem('one')
    volume = subsystem.namespaces[1] = fake_nvme.Volume('gold')
    head = fabric.head(fabric.connect_by_hand(subsystem), 1)
    fabric.file('/proc/swaps', f'Filename Type\n/dev/{head} partition\n')
    gold = wanted(uuid=volume.uuid)
    (found,) = nvme_survey.for_removal(places(subsystem), gold).heads
    assert found.users == (f'swap space {head}',)
    (found,) = nvme_survey.for_removal(places(subsystem), gold, with_users=False).heads
    assert found.users is None


def test_a_number_that_was_attached_as_another_volume(fabric: fake_nvme.StrikingFabric) -> None:
    """Only where nothing but a number tells: names that no other namespace has need no table."""
    subsystem = fabric.subsystem('one')
    volume = subsystem.namespaces[1] = fake_nvme.Volume('gold')
    name = fabric.connect_by_hand(subsystem)
    (controller,), (path,) = nvme.controllers(subsystem.nqn), nvme.paths(name)
    nvme_refs.confirm(controller, 'another volume', 'token', str(path.identity))
    for identity, foreign in (
        (wanted(nsid=1), {str(path.identity)}),
        (wanted(uuid=volume.uuid), set()),
    ):
        found = nvme_survey.namespace(places(subsystem), identity)
        assert found.foreign == foreign
        assert bool(plans.choose(found, identity).paths) is not bool(foreign)
    own = nvme_survey.namespace(places(subsystem, volume='another volume'), wanted(nsid=1))
    assert own.foreign == frozenset()


def test_states_of_controllers_that_have_gone(fabric: fake_nvme.StrikingFabric) -> None:
    subsystem = fabric.subsystem('one', portals=2)
    names = [fabric.by_hand(subsystem, each) for each in sorted(subsystem.portals)]
    for controller in nvme.controllers(subsystem.nqn):
        nvme_refs.confirm(controller, 'volume', 'token', 'gold')
    gone = nvme.controllers(subsystem.nqn)[0]
    assert nvme_survey.for_removal(places(subsystem), wanted(nsid=1)).locks == ()
    fabric.lose(names[0])
    assert nvme_survey.for_removal(places(subsystem), wanted(nsid=1)).locks == (gone.lock,)
