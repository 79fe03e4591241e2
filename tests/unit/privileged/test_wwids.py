# SPDX-License-Identifier: Apache-2.0
"""The file of WWIDs that multipath knows: what others wrote stays."""

from collections.abc import Iterator
import fcntl
import os
import pathlib
import threading

import pytest

from os_brick import exception
from os_brick.core import files
from os_brick.privileged import wwids

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
    assert wwids.add(ONE)
    assert not wwids.add(ONE)
    assert file.read_text() == f'{HEAD}/{TWO}/\n/{ONE}/\n'


def test_removed(file: pathlib.Path) -> None:
    file.parent.mkdir()
    file.write_text(f'{HEAD}/{ONE}/\n/{TWO}/\n/{ONE}/\n')
    assert wwids.remove(ONE)
    assert not wwids.remove(ONE)
    assert file.read_text() == f'{HEAD}/{TWO}/\n'


def test_neither_file_nor_directory(file: pathlib.Path) -> None:
    assert not wwids.remove(ONE)
    assert not file.parent.exists()
    assert wwids.add(ONE)
    assert file.read_text().splitlines()[-1] == f'/{ONE}/'
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_wwid_within_another_stays(file: pathlib.Path) -> None:
    file.parent.mkdir()
    file.write_text(f'{HEAD}/{ONE}0/\n#/{ONE}/\n')
    assert not wwids.remove(ONE)
    assert wwids.add(ONE)
    assert file.read_text() == f'{HEAD}/{ONE}0/\n#/{ONE}/\n/{ONE}/\n'


def test_a_last_line_without_an_end(file: pathlib.Path) -> None:
    file.parent.mkdir()
    file.write_text(f'/{TWO}/')
    wwids.add(ONE)
    assert file.read_text().splitlines() == [f'/{TWO}/', f'/{ONE}/']


@pytest.mark.parametrize('wwid', ['', '-w', 'a/b', 'a\nb', '../x', 'a b', 'x' * 200])
def test_hostile(file: pathlib.Path, wwid: str) -> None:
    for act in (wwids.add, wwids.remove):
        with pytest.raises(exception.InvalidParameterValue):
            act(wwid)
    assert not file.exists()


def test_side_by_side(file: pathlib.Path) -> None:
    names = [f'36{number:030x}' for number in range(6)]
    threads = [threading.Thread(target=wwids.add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {line.strip('/') for line in file.read_text().splitlines()} >= set(names)


def test_who_keeps_the_file_locked_is_not_waited_for_for_ever(
    file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wwids, '_LOCK_SECONDS', 0.3)
    file.parent.mkdir()
    file.write_text(HEAD)
    with open(file, 'r+') as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        with pytest.raises(exception.OperationTimedOut, match='wwids'):
            wwids.add(ONE)
    assert file.read_text() == HEAD
    assert os.listdir(file.parent) == ['wwids']
