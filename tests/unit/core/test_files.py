# SPDX-License-Identifier: Apache-2.0
"""Files of the host, through a root that a test may set."""

from collections.abc import Callable, Iterator
import concurrent.futures
import os
import pathlib
import re
import time
from typing import Any

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


class Calls:
    """The calls of the operating system that files has made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        for name in ('open', 'readv', 'fstat', 'lstat', 'stat', 'readlink', 'close'):
            monkeypatch.setattr(os, name, self._noted(name, getattr(os, name)))

    def _noted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            self.names.append(name)
            return function(*args, **keywords)

        return call


def test_what_a_value_of_sysfs_costs(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attach reads 50 to 300 of them; each call of the system takes 0.1 ms in the guest."""
    (root / 'sys').mkdir()
    (root / 'sys/state').write_text('running\n')
    (root / 'etc/x').write_text('running\n')
    calls = Calls(monkeypatch)
    assert files.read('/sys/state') == 'running'
    assert calls.names == ['open', 'readv', 'close']
    calls.names.clear()
    assert files.read('/etc/x') == 'running'
    assert calls.names == ['open', 'readv', 'readv', 'close']


def test_what_a_link_of_sysfs_costs(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python asks for each part of a path, and again after each link."""
    (root / 'sys/devices/pci/host2/target/2:0:0:1').mkdir(parents=True)
    (root / 'sys/block').symlink_to('devices/pci')
    calls = Calls(monkeypatch)
    place = '/sys/block/host2/target/2:0:0:1'
    assert files.realpath(place) == '/sys/devices/pci/host2/target/2:0:0:1'
    assert calls.names == ['open', 'readlink', 'close']


@pytest.mark.parametrize('size', [0, 1, 4095, 4096, 4097, 70_000, 200_000])
@pytest.mark.parametrize('directory', ['sys', 'etc'])
def test_files_of_any_size(root: pathlib.Path, directory: str, size: int) -> None:
    (root / 'sys').mkdir()
    data = bytes(number % 251 for number in range(size))
    (root / directory / 'x').write_bytes(data)
    path = f'/{directory}/x'
    assert files.read_bytes(path) == data
    assert files.read_bytes(path, size) == data
    if size:
        with pytest.raises(OSError, match='more than'):
            files.read_bytes(path, size - 1)


def test_no_more_memory_is_asked_for_than_there_is_to_read(
    root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory for the largest file that is allowed took 16 ms in the guest, each detach."""
    (root / 'etc/wwids').write_text('/1/\n')
    read, sizes = os.readv, []

    def noted(file: int, buffers: list[bytearray]) -> int:
        sizes.append(sum(map(len, buffers)))
        return read(file, buffers)

    monkeypatch.setattr(os, 'readv', noted)
    assert files.read_regular('/etc/wwids', 32 << 20) == b'/1/\n'
    assert max(sizes) <= 1 << 16


def test_what_epoll_takes_no_descriptor_of() -> None:
    """eventlet's os.read and os.write have its hub wait for what is not a regular file; of a disk,
    a directory or /dev/nvme-fabrics that was EPERM, and a later wait of another thread failed.
    """
    assert files.read_or('/etc', 'it is a directory') == 'it is a directory'
    assert files.read_bytes('/dev/null') == b''
    files.write('/dev/null', 'nqn=nqn.2026-11.org.lab:x')
    time.sleep(0.01)


def test_what_eventlet_has_changed_is_not_called() -> None:
    package = pathlib.Path(files.__file__).parents[1]
    users = [
        path.name
        for path in package.rglob('*.py')
        if path.name != 'descriptors.py'
        and re.search(r'\bos\.(read|write|fdopen)\(', path.read_text())
    ]
    assert users == []


@pytest.mark.native  # The opening of a pipe waits for its other end, and all green threads with it.
def test_what_comes_in_pieces_is_read_to_its_end(root: pathlib.Path) -> None:
    """As /proc/mounts does, where a line ends."""
    os.mkfifo(root / 'etc/pipe')
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = pool.submit(files.read_bytes, '/etc/pipe')
        with open(root / 'etc/pipe', 'wb', buffering=0) as pipe:
            for piece in (b'one\n', b'two\n', b'x' * 100_000):
                pipe.write(piece)
        assert found.result() == b'one\ntwo\n' + b'x' * 100_000


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
