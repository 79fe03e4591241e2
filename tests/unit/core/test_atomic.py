# SPDX-License-Identifier: Apache-2.0
"""Files that change as a whole."""

from collections.abc import Iterator
import concurrent.futures
import multiprocessing
import os
import pathlib
import threading

import pytest

from os_brick.core import atomic, files


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
    atomic.replace('/etc/x', b'new', mode)
    assert (root / 'etc/x').read_text() == 'new'
    assert (root / 'etc/x').stat().st_mode & 0o7777 == mode
    assert os.listdir(root / 'etc') == ['x']


def test_replace_is_never_seen_half_done(root: pathlib.Path) -> None:
    (root / 'etc/x').write_text('old')
    with open(root / 'etc/x') as before:
        atomic.replace('/etc/x', b'new' * 100_000)
        assert before.read() == 'old'
    assert (root / 'etc/x').read_text() == 'new' * 100_000


def test_replace_that_fails_leaves_the_old_file(root: pathlib.Path) -> None:
    (root / 'etc/x').write_text('old')
    with pytest.raises(TypeError):
        atomic.replace('/etc/x', 'text')  # type: ignore[arg-type]
    assert os.listdir(root / 'etc') == ['x']
    assert (root / 'etc/x').read_text() == 'old'
    with pytest.raises(FileNotFoundError):
        atomic.replace('/nowhere/x', b'new')


def _create(root: str, text: str) -> str:
    with files.use(root):
        return atomic.create('/etc/nvme/hostid', text)


def test_create_gives_every_thread_the_same_text(root: pathlib.Path) -> None:
    """Six threads of the root daemon: 200 times of 200 at least one got an error."""
    for number in range(20):
        path = f'/etc/nvme{number}/hostid'
        ready = threading.Barrier(6)

        def make(text: str, path: str = path, ready: threading.Barrier = ready) -> str:
            ready.wait()
            return atomic.create(path, text)

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
    assert atomic.create('/etc/x', 'new\n') == 'new'
    assert (root / 'etc/x').read_text() == 'new\n'


def test_create_leaves_what_is_there(root: pathlib.Path) -> None:
    (root / 'etc/x').write_text('theirs\n')
    (root / 'etc').chmod(0o555)
    assert atomic.create('/etc/x', 'new') == 'theirs'


def test_create_follows_a_link_of_the_operators(root: pathlib.Path) -> None:
    """An image's /etc may lead to a place that can be written."""
    (root / 'var').mkdir()
    (root / 'etc/x').symlink_to('../var/x')
    assert atomic.create('/etc/x', 'new') == 'new'
    assert (root / 'etc/x').is_symlink()
    assert (root / 'var/x').read_text() == 'new'


def test_replace_puts_a_file_in_the_place_of_a_link(root: pathlib.Path) -> None:
    (root / 'victim').write_text('theirs')
    (root / 'etc/x').symlink_to('../victim')
    atomic.replace('/etc/x', b'new')
    assert (root / 'victim').read_text() == 'theirs'
    assert (root / 'etc/x').read_text() == 'new'
