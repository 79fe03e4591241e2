# SPDX-License-Identifier: Apache-2.0
"""Files that are received are there as a whole or not at all, and a change of one is seen."""

import os
import pathlib

import pytest

from os_brick.core import scratch


def names(place: pathlib.Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def receive(place: pathlib.Path, *parts: bytes, prefix: str = 'v1') -> scratch.Incoming:
    with scratch.Incoming(str(place), prefix, '.vmdk') as file:
        for part in parts:
            file.write(part)
        own = [name for name in names(place) if scratch.is_of(name, prefix, '.vmdk.part')]
        assert len(own) == 1
        file.finish()
    return file


def test_a_file(tmp_path: pathlib.Path) -> None:
    place = tmp_path / 'new' / 'directory'
    file = receive(place, b'a' * 5, b'', b'b')
    assert pathlib.Path(file.path).read_bytes() == b'aaaaab'
    assert scratch.look(file.path) == (6, file.modified)
    assert b''.join(scratch.parts(file.path, scratch.look(file.path))) == b'aaaaab'
    assert os.stat(file.path).st_mode & 0o777 == 0o600
    scratch.require_readable(file.path)


@pytest.mark.parametrize('act', ['write', 'truncate', 'append nothing', 'replace', 'touch'])
def test_what_is_a_change(tmp_path: pathlib.Path, act: str) -> None:
    """At once, without a pause; opening a file for writing alone is none."""
    file = receive(tmp_path, b'abc')
    path = pathlib.Path(file.path)
    if act == 'write':
        with open(path, 'r+b') as opened:
            opened.write(b'abc')
    elif act == 'truncate':
        path.write_bytes(b'')
    elif act == 'append nothing':
        with open(path, 'ab'):
            pass
    elif act == 'replace':
        other = tmp_path / 'other'
        other.write_bytes(b'abc')
        other.replace(path)
    else:
        path.touch()
    _size, modified = scratch.look(file.path)
    assert (modified != file.modified) == (act != 'append nothing')


@pytest.mark.parametrize('error', [OSError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path: pathlib.Path, error: type[BaseException]) -> None:
    def fail(file: scratch.Incoming) -> None:
        with file:
            file.write(b'half')
            raise error

    with pytest.raises(error):
        fail(scratch.Incoming(str(tmp_path), 'v1', '.vmdk'))
    assert not names(tmp_path)


def test_what_a_killed_process_has_left(tmp_path: pathlib.Path) -> None:
    """Its own goes; those of other prefixes, and files that are complete, stay."""
    stale = tmp_path / 'v1-00000000.vmdk.part'
    others = ['v1-11111111.vmdk', 'v10-22222222.vmdk.part', 'v1-x.raw.part', 'v1.vmdk.part']
    others.append('v1-2-33333333.vmdk.part')
    for name in (stale.name, *others):
        (tmp_path / name).write_bytes(b'x')
    file = receive(tmp_path, b'new')
    assert names(tmp_path) == sorted([*others, pathlib.Path(file.path).name])


@pytest.mark.parametrize('kind', ['link', 'directory', 'fifo', 'missing'])
def test_what_is_not_a_file(tmp_path: pathlib.Path, kind: str) -> None:
    path = tmp_path / 'a.vmdk'
    if kind == 'link':
        path.symlink_to('/etc/hostname')
    elif kind == 'directory':
        path.mkdir()
    elif kind == 'fifo':
        os.mkfifo(path)
    with pytest.raises(OSError, match=r'regular|No such file'):
        scratch.look(str(path))
