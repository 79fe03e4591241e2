# SPDX-License-Identifier: Apache-2.0
"""Files of the host, through a root that a test may set."""

from collections.abc import Iterator
import os
import pathlib

import pytest

from os_brick.core import files


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    (tmp_path / 'etc').mkdir()
    with files.use(str(tmp_path)):
        yield tmp_path


def test_write_needs_a_file_and_never_makes_one(root: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write('/etc/scan', '1')
    assert os.listdir(root / 'etc') == []
    (root / 'etc/scan').write_text('')
    files.write('/etc/scan', '0 0 1')
    assert (root / 'etc/scan').read_text() == '0 0 1'


def test_read(root: pathlib.Path) -> None:
    (root / 'etc/x').write_bytes(b' a\xffb \n')
    assert files.read('/etc/x') == 'a\N{REPLACEMENT CHARACTER}b'
    assert files.read_bytes('/etc/x') == b' a\xffb \n'
    assert files.read_or('/etc/x') == files.read('/etc/x')
    assert files.read_or('/etc/none') == ''
    assert files.read_or('/etc', 'it is a directory') == 'it is a directory'
    with pytest.raises(FileNotFoundError):
        files.read('/etc/none')


def test_paths_are_the_hosts(root: pathlib.Path) -> None:
    (root / 'sys/devices/sda').mkdir(parents=True)
    (root / 'sys/block').mkdir()
    (root / 'sys/block/sda').symlink_to('../devices/sda')
    (root / 'sys/block/gone').symlink_to('../devices/gone')
    assert files.realpath('/sys/block/sda') == '/sys/devices/sda'
    assert files.realpath('/sys/block/none') == '/sys/block/none'
    assert files.readlink('/sys/block/sda') == '../devices/sda'
    assert files.glob('/sys/block/*') == ['/sys/block/gone', '/sys/block/sda']
    assert files.names('/sys/block') == ['gone', 'sda']
    assert files.names('/sys/none') == []
    assert files.exists('/sys/block/sda')
    assert not files.exists('/sys/block/gone')
    assert files.is_link('/sys/block/gone')
    assert files.is_directory('/sys/block/sda')
    assert files.real('/x') == f'{root}/x'


def test_the_root_comes_back(tmp_path: pathlib.Path) -> None:
    with files.use(str(tmp_path)):
        assert files.names('/') == []
    assert files.names('/') == sorted(os.listdir('/'))
    assert files.real('/x') == '/x'


def test_directories_that_are_made_are_no_other_users(tmp_path: pathlib.Path) -> None:
    """The daemon's umask is 0; those above the last one were open to every user (0777)."""
    before = os.umask(0)
    try:
        files.make_directories(str(tmp_path / 'a' / 'b' / 'c'), 0o700)
        files.make_directories(str(tmp_path / 'a' / 'b' / 'c'), 0o700)
    finally:
        os.umask(before)
    assert [(tmp_path / each).stat().st_mode & 0o7777 for each in ('a', 'a/b', 'a/b/c')] == [
        *(0o755, 0o755, 0o700)
    ]


def test_a_file_in_the_place_of_a_directory(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'a').touch()
    for path in ('a', 'a/b'):
        with pytest.raises(OSError, match=r'File exists|Not a directory'):
            files.make_directories(str(tmp_path / path), 0o755)


def test_only_one_place_makes_directories_with_those_above() -> None:
    package = pathlib.Path(files.__file__).parents[1]
    users = [path for path in package.rglob('*.py') if 'os.makedirs(' in path.read_text()]
    assert [path.relative_to(package).as_posix() for path in users] == ['core/files.py']
