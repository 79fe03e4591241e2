# SPDX-License-Identifier: Apache-2.0
"""Files of the host, through a root that a test may set."""

from collections.abc import Iterator
import concurrent.futures
import multiprocessing
import os
import pathlib
import threading

import pytest

from os_brick.core import files


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    (tmp_path / 'etc').mkdir()
    with files.use(str(tmp_path)):
        yield tmp_path


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """The privsep daemon has 0."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize('mode', [0o600, 0o644])
def test_replace_gives_the_mode_whatever_the_umask(
    root: pathlib.Path, umask: int, mode: int
) -> None:
    files.replace('/etc/x', 'new', mode)
    assert (root / 'etc/x').read_text() == 'new'
    assert (root / 'etc/x').stat().st_mode & 0o7777 == mode
    assert os.listdir(root / 'etc') == ['x']


def test_replace_is_never_seen_half_done(root: pathlib.Path) -> None:
    (root / 'etc/x').write_text('old')
    with open(root / 'etc/x') as before:
        files.replace('/etc/x', 'new' * 100_000)
        assert before.read() == 'old'
    assert (root / 'etc/x').read_text() == 'new' * 100_000


def test_replace_that_fails_leaves_the_old_file(root: pathlib.Path) -> None:
    (root / 'etc/x').write_text('old')
    with pytest.raises(UnicodeEncodeError):
        files.replace('/etc/x', '\udcff')
    with pytest.raises(TypeError):
        files.replace_bytes('/etc/x', 'text')  # type: ignore[arg-type]
    assert os.listdir(root / 'etc') == ['x']
    assert (root / 'etc/x').read_text() == 'old'
    with pytest.raises(FileNotFoundError):
        files.replace('/nowhere/x', 'new')


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


def _create(root: str, text: str) -> str:
    with files.use(root):
        return files.create('/etc/nvme/hostid', text)


def test_create_gives_every_thread_the_same_text(root: pathlib.Path) -> None:
    """Six threads of the root daemon: 200 times of 200 at least one got an error."""
    for number in range(20):
        path = f'/etc/nvme{number}/hostid'
        ready = threading.Barrier(6)

        def make(text: str, path: str = path, ready: threading.Barrier = ready) -> str:
            ready.wait()
            return files.create(path, text)

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            made = list(pool.map(make, 'abcdef'))
        assert set(made) == {files.read(path)}
        assert files.names(f'/etc/nvme{number}') == ['hostid']


@pytest.mark.native
def test_create_gives_every_process_the_same_text(root: pathlib.Path) -> None:
    with multiprocessing.get_context('spawn').Pool(4) as pool:
        made = pool.starmap(_create, [(str(root), letter * 1000) for letter in 'abcdefgh'])
    assert set(made) == {files.read('/etc/nvme/hostid')}


@pytest.mark.parametrize('content', ['', '\n', ' \n\n', '\0' * 37, '\0\n'])
def test_create_replaces_what_a_crash_has_left(root: pathlib.Path, content: str) -> None:
    (root / 'etc/x').write_text(content)
    assert files.create('/etc/x', 'new\n') == 'new'
    assert (root / 'etc/x').read_text() == 'new\n'


def test_create_leaves_what_is_there(root: pathlib.Path) -> None:
    (root / 'etc/x').write_text('theirs\n')
    (root / 'etc').chmod(0o555)
    assert files.create('/etc/x', 'new') == 'theirs'


def test_create_follows_a_link_of_the_operators(root: pathlib.Path) -> None:
    """An image's /etc may lead to a place that can be written."""
    (root / 'var').mkdir()
    (root / 'etc/x').symlink_to('../var/x')
    assert files.create('/etc/x', 'new') == 'new'
    assert (root / 'etc/x').is_symlink()
    assert (root / 'var/x').read_text() == 'new'


def test_replace_puts_a_file_in_the_place_of_a_link(root: pathlib.Path) -> None:
    (root / 'victim').write_text('theirs')
    (root / 'etc/x').symlink_to('../victim')
    files.replace('/etc/x', 'new')
    assert (root / 'victim').read_text() == 'theirs'
    assert (root / 'etc/x').read_text() == 'new'
