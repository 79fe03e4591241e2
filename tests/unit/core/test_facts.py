# SPDX-License-Identifier: Apache-2.0
"""Facts of the entries of a directory are read once, and never of another entry's."""

import pathlib

import pytest

from os_brick.core import facts, files


class Entries:
    """Links in a directory, as sysfs has them, and a reader that tells what it read."""

    def __init__(self, root: pathlib.Path) -> None:
        self.place = root / 'class'
        self.place.mkdir()
        self.read: list[str] = []
        self._grave = root / 'grave'
        self._grave.mkdir()

    def make(self, name: str, fact: str) -> None:
        (self.place / name).symlink_to(fact)

    def replace(self, name: str, fact: str) -> None:
        # Kept: sysfs gives no number twice.
        (self.place / name).rename(self._grave / f'{name}-{len(list(self._grave.iterdir()))}')
        self.make(name, fact)

    def fact(self, name: str) -> str | None:
        self.read.append(name)
        try:
            return files.readlink(f'/class/{name}')
        except OSError:
            return None


@pytest.fixture
def entries(tmp_path: pathlib.Path) -> Entries:
    return Entries(tmp_path)


def test_facts(tmp_path: pathlib.Path, entries: Entries) -> None:
    known = facts.Facts('/class', entries.fact, lambda fact: fact != 'not yet')
    with files.use(str(tmp_path)):
        assert known.all() == {}
        entries.make('a', 'gold')
        entries.make('b', 'not yet')
        assert known.all() == {'a': 'gold', 'b': 'not yet'}
        assert sorted(entries.read) == ['a', 'b']
        # What is final is not read again; what is not, is.
        assert known.all() == {'a': 'gold', 'b': 'not yet'}
        assert sorted(entries.read) == ['a', 'b', 'b']
        # Another entry of the same name is another one.
        entries.replace('a', 'silver')
        entries.replace('b', 'tin')
        assert known.all() == {'a': 'silver', 'b': 'tin'}
        (entries.place / 'a').rename(tmp_path / 'gone')
        assert known.all() == {'b': 'tin'}
        (tmp_path / 'gone').unlink()
    del entries.read[:]
    with files.use(str(tmp_path)):
        # What was read of another host is void.
        assert known.all() == {'b': 'tin'}
        assert entries.read == ['b']


def test_an_entry_that_goes_while_it_is_read(tmp_path: pathlib.Path, entries: Entries) -> None:
    """It is left out, and kept neither as itself nor as a later one of that name."""
    entries.make('a', 'gold')

    def vanishing(name: str) -> str | None:
        entries.replace(name, 'silver')
        (entries.place / name).rename(tmp_path / 'gone')
        return entries.fact(name)

    def replaced(name: str) -> str | None:
        entries.replace(name, 'silver')
        return entries.fact(name)

    with files.use(str(tmp_path)):
        assert facts.Facts('/class', vanishing).all() == {}
        entries.make('a', 'gold')
        known = facts.Facts('/class', replaced)
        assert known.all() == {'a': 'silver'}
        # It was listed as gold: silver's number is not known, and it is read again.
        del entries.read[:]
        assert known.all() == {'a': 'silver'}
        assert entries.read == ['a']
