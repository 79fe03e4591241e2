# SPDX-License-Identifier: Apache-2.0
"""The oracle of the functional tests knows our lock files from other files of their inode."""

import fcntl
import os
import pathlib

import pytest

from tests.functional.lab import oracle


@pytest.fixture
def file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(oracle, 'lock_paths', [str(tmp_path)])
    found = tmp_path / 'os-brick-volume-123'
    found.touch()
    return found


def test_a_lock_of_ours(file: pathlib.Path) -> None:
    assert not oracle.locks()
    with file.open('w') as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        assert oracle.locks() == {f'{file} held by {os.getpid()}'}
    assert not oracle.locks()


def test_a_lock_on_another_file_system(file: pathlib.Path) -> None:
    """multipathd's lock on its PID file in /run, whose inode is that of a file of ours in /tmp."""
    ours = oracle._place(file)
    line = '1: POSIX  ADVISORY  WRITE 4711 {} 0 EOF'
    there = {ours: file}
    assert list(oracle._holders(line.format(ours), there)) == [f'{file} held by 4711']
    other = f'00:fe:{file.stat().st_ino}'
    assert not list(oracle._holders(line.format(other), there))
