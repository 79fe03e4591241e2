# SPDX-License-Identifier: Apache-2.0
"""The discovery client's files on a host in a directory."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick import exception
from os_brick.core import files, undo
from os_brick.host import lightos
from os_brick.model import lightos as model
from os_brick.model import settings

UUID = '6bbb54a0-6a7c-4b7c-9c57-0d0f3a1b2c3d'
CLIENT = settings.DiscoveryClient()
ENTRY = model.Entry(UUID, 'nqn.2014-08.org.nvmexpress:uuid:x', 'nqn.x:a', (('10.0.0.1', '8009'),))


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    found = tmp_path / model.DIRECTORY[1:]
    found.mkdir(parents=True)
    with files.use(str(tmp_path)):
        yield found


def test_a_new_file_is_taken_back(place: pathlib.Path) -> None:
    steps = undo.Undo()
    lightos.add(CLIENT, ENTRY, steps)
    (path,) = place.iterdir()
    assert path.read_text() == model.text(ENTRY)
    assert lightos.has_file(CLIENT, UUID)
    steps.take_back()
    assert not list(place.iterdir())


@pytest.mark.parametrize('before', ['another attachment made it', ''])
def test_a_file_that_was_there_stays(place: pathlib.Path, before: str) -> None:
    path = place / f'{UUID}.conf'
    path.write_text(before)
    steps = undo.Undo()
    lightos.add(CLIENT, ENTRY, steps)
    assert not steps.steps()
    assert path.read_text() == model.text(ENTRY)


def test_a_link_is_replaced(place: pathlib.Path) -> None:
    """And what it leads to is not written to."""
    other = place.parent / 'other'
    other.write_text('mine')
    (place / f'{UUID}.conf').symlink_to(other)
    lightos.add(CLIENT, ENTRY, undo.Undo())
    assert other.read_text() == 'mine'
    assert not (place / f'{UUID}.conf').is_symlink()


def test_without_the_directory(place: pathlib.Path) -> None:
    place.rmdir()
    steps = undo.Undo()
    with pytest.raises(exception.BrickException, match='lightos_discovery_client_dir_path'):
        lightos.add(CLIENT, ENTRY, steps)
    steps.take_back()
    assert not steps.failures


def test_whether_it_is_installed(place: pathlib.Path) -> None:
    """Where the directory above it is there, root is asked: others may not look into that."""
    assert lightos.is_installed(CLIENT)
    place.rmdir()
    assert not lightos.is_installed(CLIENT)
    place.parent.rmdir()
    assert not lightos.is_installed(CLIENT)


def test_another_directory_than_roots(place: pathlib.Path) -> None:
    other = settings.DiscoveryClient(directory='/etc')
    with pytest.raises(exception.InvalidParameterValue, match='root daemon has'):
        lightos.add(other, ENTRY)
