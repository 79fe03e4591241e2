# SPDX-License-Identifier: Apache-2.0
"""Growth of a namespace: what its subsystem reports is what its device shows, or an error."""

from collections.abc import Callable, Iterator
import dataclasses
import logging
import pathlib

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import block, nvme_growth, nvme_survey
from os_brick.plans.nvme_removal import FoundArray
from tests.unit.fakehost import mirrors
from tests.unit.fakehost import nvme as fake_nvme
from tests.unit.host.one_namespace import Here


def deadline(seconds: float = 5) -> wait.Deadline:
    return wait.Deadline.after(seconds)


def grow(here: Here) -> int:
    return nvme_growth.grow(here.paths[0].identity, here.paths, deadline())


@pytest.mark.parametrize(
    ('happen', 'error', 'words'),
    [
        (
            lambda fabric, here: setattr(here.volume, 'size', 32 << 20),
            exception.VolumeHasShrunk,
            'n1 .*has 67108864 bytes, and its volume has 33554432',
        ),
        (
            lambda fabric, here: setattr(here.volume, 'size', 0),
            exception.VolumePathsNotFound,
            'no capacity',
        ),
        (
            lambda fabric, here: here.subsystem.namespaces.update({1: fake_nvme.Volume('silver')}),
            exception.VolumeIdentityMismatch,
            'NSID 1',
        ),
        (
            lambda fabric, here: [fabric.becomes(name, 'connecting') for name in here.names],
            exception.VolumePathsNotFound,
            'nvme0 is connecting',
        ),
        (
            lambda fabric, here: here.subsystem.namespaces.clear(),
            exception.VolumePathsNotFound,
            'Identify of namespace 1',
        ),
    ],
    ids=['shrunk', 'no capacity', 'another volume', 'no path', 'unmapped'],
)
def test_not_grown(
    fabric: fake_nvme.StrikingFabric,
    here: Here,
    happen: Callable[[fake_nvme.StrikingFabric, Here], object],
    error: type[Exception],
    words: str,
) -> None:
    happen(fabric, here)
    before = block.size_bytes(here.head)
    identity = here.paths[0].identity
    with pytest.raises(error, match=words):
        nvme_growth.grow(identity, here.paths, deadline())
    assert block.size_bytes(here.head) == before


def test_grown(fabric: fake_nvme.StrikingFabric, here: Here) -> None:
    here.volume.size = 96 << 20
    fabric.becomes(here.names[0], 'connecting')
    assert nvme_growth.grow(here.paths[0].identity, here.paths, deadline()) == 96 << 20
    assert block.size_bytes(here.head) == 96 << 20


def test_the_plans_are_what_is_done(here: Here, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, 'os_brick')
    here.volume.size = 96 << 20
    grow(here)
    plans = [r.getMessage() for r in caplog.records if r.getMessage().startswith('Growth of ')]
    assert [text.splitlines()[0] for text in plans] == [f'Growth of /dev/{here.head}:'] * 2
    assert [text.count('ask for size') for text in plans] == [2, 0]
    assert [text.count('rescan device=') for text in plans] == [0, 2]
    caplog.clear()
    assert grow(here) == 96 << 20
    assert not [r for r in caplog.records if 'rescan' in r.getMessage()]


def test_a_device_that_goes_while_its_namespace_grows(
    fabric: fake_nvme.StrikingFabric, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name, and another size, may be another namespace's by then."""
    here.volume.size = 96 << 20
    read = block.size_bytes
    reads: list[str] = []

    def gone(name: str) -> int:
        reads.append(name)
        if len(reads) == 2:
            for each in list(here.names):
                fabric.delete(each)
        return read(name)

    monkeypatch.setattr(block, 'size_bytes', gone)
    with pytest.raises(exception.VolumeDeviceNotFound, match='has gone while'):
        grow(here)


MEMBERS = ('nvme1n1', 'nvme2n1')


@pytest.fixture
def array(tmp_path: pathlib.Path) -> Iterator[FoundArray]:
    """That of two members, which have grown."""
    with mirrors.Mirrors(tmp_path) as host:
        for number, member in enumerate(MEMBERS):
            host.member(member, mirrors.superblock(number=number))
        host.array(MEMBERS)
        for member in MEMBERS:
            host.tree.value(f'/sys/class/block/{member}/size', 40960)
        yield nvme_survey.array('md127')


def test_an_array_uses_the_new_size_of_its_members(array: FoundArray) -> None:
    assert nvme_growth.grow_array(array, deadline(60)) == (40960 - 2048) * 512


@pytest.mark.parametrize('change', [{'number': 1}, {'uuid': 'another'}])
def test_another_array_by_now_is_not_grown(array: FoundArray, change: dict[str, object]) -> None:
    before = block.size_bytes(array.name)
    with pytest.raises(exception.VolumeIdentityMismatch, match='/dev/md127'):
        nvme_growth.grow_array(dataclasses.replace(array, **change), deadline(60))
    assert block.size_bytes(array.name) == before
