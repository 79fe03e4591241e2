# SPDX-License-Identifier: Apache-2.0
"""Files that services share: what is made for a group, and what is believed."""

import os
import pathlib
import stat

import pytest

from os_brick.core import shared_files


def _mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_made_for_its_group_whatever_the_umask(tmp_path: pathlib.Path) -> None:
    before = os.umask(0o077)
    try:
        shared_files.make(f'{tmp_path}/locks/x')
    finally:
        os.umask(before)
    assert _mode(tmp_path / 'locks/x') == 0o660
    assert (tmp_path / 'locks/x').read_bytes() == b''


def test_a_file_that_is_there_keeps_its_content(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'x').write_text('old')
    shared_files.make(f'{tmp_path}/x')
    assert (tmp_path / 'x').read_text() == 'old'


def test_a_link_is_not_followed(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'victim').write_text('theirs')
    (tmp_path / 'victim').chmod(0o600)
    (tmp_path / 'x').symlink_to('victim')
    with pytest.raises(OSError, match='symbolic link'):
        shared_files.make(f'{tmp_path}/x')
    assert _mode(tmp_path / 'victim') == 0o600


def test_a_fifo_is_neither_used_nor_waited_for(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / 'x')
    with pytest.raises(OSError, match='Not a regular file'):
        shared_files.make(f'{tmp_path}/x')
    with (
        shared_files.directory(str(tmp_path)) as directory,
        pytest.raises(OSError, match='Not a regular file'),
    ):
        shared_files.read_trusted(directory, 'x', 100)


@pytest.mark.parametrize(
    ('mode', 'is_safe'),
    [(0o755, True), (0o770, True), (0o2770, True), (0o1777, True), (0o777, False)],
)
def test_a_directory_in_which_anyone_replaces_files_is_not_used(
    tmp_path: pathlib.Path, mode: int, is_safe: bool
) -> None:
    (tmp_path / 'd').mkdir()
    (tmp_path / 'd').chmod(mode)
    if is_safe:
        with shared_files.directory(f'{tmp_path}/d') as directory:
            assert os.listdir(directory) == []
    else:
        with pytest.raises(PermissionError), shared_files.directory(f'{tmp_path}/d'):
            pass


def test_a_directory_is_made_only_on_demand(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError), shared_files.directory(f'{tmp_path}/d'):
        pass
    with shared_files.directory(f'{tmp_path}/d', 0o700):
        assert _mode(tmp_path / 'd') == 0o700


@pytest.mark.parametrize(
    ('mode', 'largest', 'expected'),
    [
        (0o660, 100, b'content'),
        (0o660, 7, b'content'),
        (0o660, 6, OSError),
        (0o662, 100, PermissionError),
    ],
)
def test_what_is_believed(
    tmp_path: pathlib.Path, mode: int, largest: int, expected: bytes | type[OSError]
) -> None:
    (tmp_path / 'x').write_text('content')
    (tmp_path / 'x').chmod(mode)
    with shared_files.directory(str(tmp_path)) as directory:
        assert shared_files.read_trusted(directory, 'none', largest) is None
        if isinstance(expected, bytes):
            assert shared_files.read_trusted(directory, 'x', largest) == expected
        else:
            with pytest.raises(expected):
                shared_files.read_trusted(directory, 'x', largest)


@pytest.mark.skipif(os.geteuid() != 0, reason='gives files to other users')
@pytest.mark.parametrize(
    ('owner', 'group', 'directory_mode', 'is_believed'),
    [
        (0, 0, 0o1777, True),
        (1234, 0, 0o1777, False),
        (1234, 0, 0o2770, True),
        (1234, 1234, 0o2770, False),
    ],
)
def test_whose_files_are_believed(
    tmp_path: pathlib.Path, owner: int, group: int, directory_mode: int, is_believed: bool
) -> None:
    """Root's always; in a directory for one group, that group's."""
    (tmp_path / 'd').mkdir()
    (tmp_path / 'd').chmod(directory_mode)
    (tmp_path / 'd/x').write_text('content')
    os.chown(tmp_path / 'd/x', owner, group)
    with shared_files.directory(f'{tmp_path}/d') as directory:
        if is_believed:
            assert shared_files.read_trusted(directory, 'x', 100) == b'content'
        else:
            with pytest.raises(PermissionError):
                shared_files.read_trusted(directory, 'x', 100)


def test_a_file_is_known_by_its_number(tmp_path: pathlib.Path) -> None:
    assert shared_files.inode(f'{tmp_path}/x') == 0
    (tmp_path / 'x').write_text('')
    number = (tmp_path / 'x').stat().st_ino
    assert shared_files.inode(f'{tmp_path}/x') == number
    (tmp_path / 'link').symlink_to('x')
    assert shared_files.inode(f'{tmp_path}/link') not in (0, number)


def test_a_directory_that_was_removed_while_open(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'd').mkdir()
    with shared_files.directory(f'{tmp_path}/d') as directory:
        assert not shared_files.is_removed(directory)
        (tmp_path / 'd').rmdir()
        assert shared_files.is_removed(directory)
