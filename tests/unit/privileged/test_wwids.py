# SPDX-License-Identifier: Apache-2.0
"""The file of WWIDs that multipath knows: what others wrote stays."""

from collections.abc import Iterator
import fcntl
import os
import pathlib
import threading

import pytest

from os_brick import exception
from os_brick.core import bound, clock, files, process
from os_brick.host import multipathd
from os_brick.privileged import wwids
from tests.unit import seams

SECONDS = 5.0
ONE, TWO = '36001405e07e81c20cf5935f5225765f0', '1Linux_scsi_debug_2000'
HEAD = """\
# Multipath wwids, Version : 1.0
# NOTE: This file is automatically maintained by multipath and multipathd.
#
# Valid WWIDs:
"""


@pytest.fixture
def file(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    with files.use(str(tmp_path)):
        (tmp_path / 'etc').mkdir()
        yield tmp_path / 'etc/multipath/wwids'


def test_added_once(file: pathlib.Path) -> None:
    file.parent.mkdir()
    file.write_text(f'{HEAD}/{TWO}/\n')
    assert wwids.add(ONE, SECONDS)
    assert not wwids.add(ONE, SECONDS)
    assert file.read_text() == f'{HEAD}/{TWO}/\n/{ONE}/\n'


def test_removed(file: pathlib.Path) -> None:
    file.parent.mkdir()
    file.write_text(f'{HEAD}/{ONE}/\n/{TWO}/\n/{ONE}/\n')
    assert wwids.remove(ONE, SECONDS)
    assert not wwids.remove(ONE, SECONDS)
    assert file.read_text() == f'{HEAD}/{TWO}/\n'


def test_neither_file_nor_directory(file: pathlib.Path) -> None:
    assert not wwids.remove(ONE, SECONDS)
    assert not file.parent.exists()
    assert wwids.add(ONE, SECONDS)
    assert file.read_text().splitlines()[-1] == f'/{ONE}/'
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_wwid_within_another_stays(file: pathlib.Path) -> None:
    file.parent.mkdir()
    file.write_text(f'{HEAD}/{ONE}0/\n#/{ONE}/\n')
    assert not wwids.remove(ONE, SECONDS)
    assert wwids.add(ONE, SECONDS)
    assert file.read_text() == f'{HEAD}/{ONE}0/\n#/{ONE}/\n/{ONE}/\n'


def test_a_last_line_without_an_end(file: pathlib.Path) -> None:
    file.parent.mkdir()
    file.write_text(f'/{TWO}/')
    wwids.add(ONE, SECONDS)
    assert file.read_text().splitlines() == [f'/{TWO}/', f'/{ONE}/']


@pytest.mark.parametrize('wwid', ['', '-w', 'a/b', 'a\nb', '../x', 'a b', 'x' * 200])
def test_hostile(file: pathlib.Path, wwid: str) -> None:
    for act in (wwids.add, wwids.remove):
        with pytest.raises(exception.InvalidParameterValue):
            act(wwid, SECONDS)
    assert not file.exists()


def test_side_by_side(file: pathlib.Path) -> None:
    names = [f'36{number:030x}' for number in range(6)]
    threads = [threading.Thread(target=wwids.add, args=(name, SECONDS)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {line.strip('/') for line in file.read_text().splitlines()} >= set(names)


def test_who_keeps_the_file_locked_is_not_waited_for_for_ever(file: pathlib.Path) -> None:
    file.parent.mkdir()
    file.write_text(HEAD)
    with open(file, 'r+') as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        with pytest.raises(exception.OperationTimedOut, match='wwids'):
            wwids.add(ONE, 0.3)
    assert file.read_text() == HEAD
    assert os.listdir(file.parent) == ['wwids']


@pytest.mark.native
def test_an_operation_waits_for_the_file_in_proportion_to_its_time(
    file: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a host with 64 attaches at once the lock came after more than 5 s."""
    monkeypatch.setattr(multipathd, '_WWIDS_SECONDS', 0.1)
    file.parent.mkdir()
    file.write_text(HEAD)
    with open(file, 'r+') as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        assert not multipathd.remember(ONE)
        assert 'the lock of /etc/multipath/wwids' in caplog.text
        later = threading.Timer(0.5, fcntl.lockf, (held, fcntl.LOCK_UN))
        later.start()
        with bound.until(clock.monotonic() + 30):
            assert multipathd.remember(ONE)
        later.join()
    assert file.read_text() == f'{HEAD}/{ONE}/\n'


TAILS = [b'', b'\n', b'\r\n', b'\0\0\0', b'\xff\xfe no text', b'\n\n\n']


@pytest.mark.parametrize('tail', TAILS)
@pytest.mark.parametrize('head', [b'', HEAD.encode(), b'\0' * 512, f'/{TWO}/\r\n'.encode()])
def test_what_others_wrote_stays_byte_for_byte(
    file: pathlib.Path, head: bytes, tail: bytes
) -> None:
    file.parent.mkdir()
    before = head + tail
    file.write_bytes(before)
    assert wwids.add(ONE, SECONDS)
    added = file.read_bytes()
    assert added.startswith(before)
    assert added.endswith(f'/{ONE}/\n'.encode())
    file.write_bytes(added + b'# behind\x85\r\n')
    assert wwids.remove(ONE, SECONDS)
    end = b'' if not before or before.endswith(b'\n') else b'\n'
    assert file.read_bytes() == before + end + b'# behind\x85\r\n'


def test_multipaths_own_lines_with_something_behind_them(file: pathlib.Path) -> None:
    file.parent.mkdir()
    file.write_bytes(f'/{ONE}/\r\n/{TWO}/\n'.encode())
    assert not wwids.add(ONE, SECONDS)
    assert wwids.remove(ONE, SECONDS)
    assert file.read_text() == f'/{TWO}/\n'


@pytest.mark.parametrize('kind', ['directory', 'fifo', 'large', 'directory is a file', 'dangling'])
def test_what_cannot_be_used_is_named(file: pathlib.Path, kind: str) -> None:
    if kind == 'directory is a file':
        file.parent.write_text('theirs')
    elif kind == 'dangling':
        file.parent.symlink_to('nowhere')
    else:
        file.parent.mkdir()
    if kind == 'directory':
        file.mkdir()
    elif kind == 'fifo':
        os.mkfifo(file)
    elif kind == 'large':
        with open(file, 'wb') as large:
            large.truncate(1 << 30)
    with pytest.raises(exception.BrickException, match=wwids.FILE):
        wwids.add(ONE, SECONDS)


def test_where_nothing_can_be_written(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only /etc is in the way of a change only."""
    file.parent.mkdir()
    file.write_text(f'{HEAD}/{TWO}/\n')
    real = os.open

    def read_only(path: str, flags: int, *words: int, **keywords: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, 'Read-only file system', path)
        return real(path, flags, *words, **keywords)

    monkeypatch.setattr(os, 'open', read_only)
    with process.use(seams.Programs({})):  # Isolated calls in this process.
        assert not wwids.add(TWO, SECONDS)
        assert not wwids.remove(ONE, SECONDS)
        for act in (lambda: wwids.add(ONE, SECONDS), lambda: wwids.remove(TWO, SECONDS)):
            with pytest.raises(exception.BrickException, match=f'{wwids.FILE}.*Read-only'):
                act()


def test_a_link_is_followed(file: pathlib.Path) -> None:
    """As multipath's tools follow it."""
    file.parent.mkdir()
    real = file.parent.parent / 'real'
    real.write_text(HEAD)
    file.symlink_to(real)
    assert wwids.add(ONE, SECONDS)
    assert file.is_symlink()
    assert real.read_text() == f'{HEAD}/{ONE}/\n'
