# SPDX-License-Identifier: Apache-2.0
"""The search for a namespace behind one controller: found, repaired by a look, or named."""

from collections.abc import Callable
import re

import pytest

from os_brick import exception
from os_brick.core import clock, wait
from os_brick.host import nvme, nvme_search
from os_brick.model import fabrics
from tests.unit.fakehost import clock as fake_clock
from tests.unit.fakehost import nvme as fake_nvme


class Place:
    """A subsystem with one volume, and a controller."""

    def __init__(self, fabric: fake_nvme.StrikingFabric) -> None:
        self.fabric = fabric
        self.subsystem = fabric.subsystem('one')
        self.gold = self.subsystem.namespaces[1] = fake_nvme.Volume('gold')
        self.name = fabric.connect_by_hand(self.subsystem)
        self.identity = fabrics.NamespaceIdentity(uuid=self.gold.uuid)

    def search(self, seconds: float = 0.3, *, is_new: bool = False, **names: object) -> str:
        """The path that is found, or the error's text."""
        identity = fabrics.NamespaceIdentity(**names) if names else self.identity  # type: ignore[arg-type]
        (controller,) = nvme.controllers(self.subsystem.nqn)
        deadline = wait.Deadline.after(seconds)
        search = nvme_search.Search(identity, controller, deadline, is_new=is_new)
        found = wait.poll(search.look, deadline)
        if found is not None:
            return found.name
        error = search.failure('volume')
        return f'{type(error).__name__}: {error}'


@pytest.fixture
def place(fabric: fake_nvme.StrikingFabric) -> Place:
    return Place(fabric)


def test_found(place: Place) -> None:
    assert place.search() == 'nvme50c0n1'
    assert place.search(nsid=1) == 'nvme50c0n1'
    assert place.search(nguid=place.gold.nguid, nsid=7) == 'nvme50c0n1'


def replaced(place: Place) -> None:
    place.subsystem.namespaces[1] = fake_nvme.Volume('silver')
    for _twice in range(2):
        place.fabric.scan(place.name)
    place.subsystem.namespaces[1] = place.gold


def mapped_later(place: Place) -> None:
    del place.subsystem.namespaces[1]
    place.fabric.scan(place.name)
    place.subsystem.namespaces[1] = place.gold


def grown(place: Place) -> None:
    place.gold.size += 1 << 20


@pytest.mark.parametrize('happen', [replaced, mapped_later, grown])
def test_repaired_by_a_look(place: Place, happen: Callable[[Place], None]) -> None:
    """The kernel had looked before; it is asked to look again, and at once."""
    happen(place)
    assert place.search(2.0) == 'nvme50c0n1'
    (path,) = nvme.paths(place.name)
    assert nvme.size_bytes(path) == place.gold.size


def unmapped(place: Place) -> None:
    del place.subsystem.namespaces[1]


def another(place: Place) -> None:
    place.subsystem.namespaces[1] = fake_nvme.Volume('silver')


def no_capacity(place: Place) -> None:
    place.gold.size = 0


def unsupported(place: Place) -> None:
    place.gold.supported, place.gold.power = False, 17


def twin(place: Place) -> None:
    unmapped(place)
    place.fabric.scan(place.name)
    other = place.fabric.subsystem('other')
    other.namespaces[5] = fake_nvme.Volume('copy', twin=place.gold)
    place.fabric.connect_by_hand(other)
    place.subsystem.namespaces[1] = place.gold


@pytest.mark.parametrize(
    ('happen', 'words'),
    [
        (unmapped, 'does not show it to this host'),
        (another, 'does not show it to this host'),
        (no_capacity, 'reports no capacity for namespace nvme50c0n1'),
        (unsupported, r'does not support the format .* in blocks of 131072'),
        (twin, '/dev/nvme51n5 of subsystem nqn.2026-11.org.lab:other has the same identity'),
    ],
)
def test_named(place: Place, happen: Callable[[Place], None], words: str) -> None:
    happen(place)
    for _twice in range(2):
        place.fabric.scan(place.name)
    assert re.search(words, place.search())


def test_its_number_is_another_volumes(place: Place) -> None:
    another(place)
    found = place.search(uuid=place.gold.uuid, nsid=1)
    assert found.startswith('VolumeIdentityMismatch')
    assert place.gold.uuid in found
    assert place.subsystem.namespaces[1].uuid in found


def test_several_that_nothing_tells_apart(place: Place) -> None:
    place.subsystem.namespaces[2] = fake_nvme.Volume('silver')
    place.fabric.scan(place.name)
    (controller,) = nvme.controllers(place.subsystem.nqn)
    deadline = wait.Deadline.after(0.3)
    nothing = fabrics.NamespaceIdentity()
    search = nvme_search.Search(nothing, controller, deadline, is_new=False)
    with pytest.raises(exception.VolumeDeviceNotFound, match='nvme50c0n1, nvme50c0n2'):
        search.look()


def test_the_other_controllers_look_too(fabric: fake_nvme.StrikingFabric) -> None:
    """The kernel adds no namespace while another controller shows an earlier one in its place."""
    subsystem = fabric.subsystem('one', portals=2)
    subsystem.namespaces[1] = fake_nvme.Volume('earlier')
    first, second = sorted(subsystem.portals)
    fabric.by_hand(subsystem, first)
    gold = subsystem.namespaces[1] = fake_nvme.Volume('gold')
    name = fabric.by_hand(subsystem, second)
    assert nvme.paths(name) == []
    controller = next(each for each in nvme.controllers(subsystem.nqn) if each.name == name)
    wanted = fabrics.NamespaceIdentity(uuid=gold.uuid)
    deadline = wait.Deadline.after(4)
    search = nvme_search.Search(wanted, controller, deadline, is_new=True)
    found = wait.poll(search.look, deadline)
    assert found is not None
    assert found.identity.uuid == gold.uuid


@pytest.mark.parametrize(
    ('is_new', 'age', 'acts'), [(True, 0.0, 0), (True, 1.1, 1), (False, 0.0, 1)]
)
def test_what_the_kernel_has_just_asked_is_not_asked_again(
    place: Place, is_new: bool, age: float, acts: int
) -> None:
    """Behind a controller that was just made; not for long: an array may change its mind."""
    (controller,) = nvme.controllers(place.subsystem.nqn)
    with clock.use(fake_clock.Clock()):
        deadline = wait.Deadline.after(10)
        search = nvme_search.Search(place.identity, controller, deadline, is_new=is_new)
        clock.sleep(age)
        before = place.fabric.acts
        found = search.look()
    assert found is not None
    assert place.fabric.acts - before == acts


@pytest.mark.parametrize(
    ('happen', 'words'),
    [
        (unsupported, r'does not support the format .* in blocks of 131072'),
        (no_capacity, 'reports no capacity for namespace nvme50c0n1'),
    ],
)
def test_a_namespace_without_a_size_is_asked_behind_a_new_controller(
    place: Place, happen: Callable[[Place], None], words: str
) -> None:
    happen(place)
    place.fabric.scan(place.name)
    assert re.search(words, place.search(is_new=True))
