# SPDX-License-Identifier: Apache-2.0
"""Disks that were handed out are left alone by every process, until they are gone."""

from collections.abc import Iterator
import os
import pathlib
import shutil
import subprocess
import sys

from oslo_config import cfg
import pytest

from os_brick.core import files, handed

MARKER = """
import shutil, sys
from oslo_config import cfg
from os_brick import opts
from os_brick.core import files, handed
cfg.CONF([], project='x', default_config_files=[])
cfg.CONF.set_override('lock_path', sys.argv[1], group='os_brick')
def marked(disks):
    mark = handed.Mark()
    mark.set(disks)
    return mark
with files.use(sys.argv[2]):
    number = files.inode('/sys/block/sda/device')
    mark = marked({'sda': number})
    for said in ('marked', 'dropped', 'marked', 'gone'):
        if said == 'dropped':
            handed.drop(mark.name)
        elif said == 'marked' and not handed.is_handed_out(number):
            marked({'sda': number})
        elif said == 'gone':
            shutil.rmtree(sys.argv[2] + '/sys/block/sda')
            handed.forget_gone()
        print(said, flush=True)
        sys.stdin.readline()
"""


def marked(disks: dict[str, int]) -> handed.Mark:
    mark = handed.Mark()
    mark.set(disks)
    return mark


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A host with the disks sda and sdb."""
    place = tmp_path / 'root'
    for name in ('sda', 'sdb'):
        (place / 'sys/block' / name / 'device').mkdir(parents=True)
    cfg.CONF.set_override('lock_path', str(tmp_path / 'locks'), group='os_brick')
    (tmp_path / 'locks').mkdir()
    with files.use(str(place)):
        handed.forget_gone()
        yield place
    cfg.CONF.clear_override('lock_path', group='os_brick')


def number(name: str) -> int:
    return files.inode(f'/sys/block/{name}/device')


def test_by_another_process(root: pathlib.Path) -> None:
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}
    words = [sys.executable, '-c', MARKER, str(root.parent / 'locks'), str(root)]
    sda, sdb = number('sda'), number('sdb')
    with subprocess.Popen(words, text=True, **pipes) as child:  # type: ignore[call-overload]
        for said in ('marked', 'dropped', 'marked', 'gone'):
            assert child.stdout.readline() == f'{said}\n'
            for _ in range(2):  # A look changes nothing.
                assert handed.is_handed_out(sda) is (said == 'marked')
            assert not handed.is_handed_out(sdb)
            mine = marked({'sda': sda})
            assert handed.is_handed_out(sda)
            handed.drop(mine.name)
            assert handed.is_handed_out(sda) is (said == 'marked')
            child.stdin.write('on\n')
            child.stdin.flush()
        child.wait(10)
    assert not handed.is_handed_out(sda)


def test_two_attaches_of_one_process(root: pathlib.Path) -> None:
    sda, sdb = number('sda'), number('sdb')
    one, two = marked({'sda': sda, 'sdb': sdb}), marked({'sda': sda})
    handed.drop(one.name)
    handed.drop(one.name)
    assert handed.is_handed_out(sda)
    assert not handed.is_handed_out(sdb)
    handed.drop(two.name)
    assert not handed.is_handed_out(sda)


def test_one_that_has_gone_is_forgotten(root: pathlib.Path) -> None:
    """Its name may be the next disk's, which another attach has brought."""
    sda = number('sda')
    marked({'sda': sda})
    marked({'sda': sda})
    (root / 'sys/block/sda/other').mkdir()
    shutil.rmtree(root / 'sys/block/sda/device')
    (root / 'sys/block/sda/other').rename(root / 'sys/block/sda/device')
    assert number('sda') != sda
    handed.forget_gone()
    assert not handed.is_handed_out(sda)
    assert not handed.is_handed_out(number('sda'))


def test_a_disk_without_a_number_is_no_disk(root: pathlib.Path) -> None:
    marked({'sdz': 0})
    assert not handed.is_handed_out(0)


def test_a_fork_has_handed_out_nothing_and_sees_what_its_parent_has(root: pathlib.Path) -> None:
    sda, sdb = number('sda'), number('sdb')
    mark = marked({'sda': sda})
    child = os.fork()
    if child == 0:
        os._exit(0 if handed.is_handed_out(sda) and not handed.is_handed_out(sdb) else 1)
    assert os.waitpid(child, 0)[1] == 0
    handed.drop(mark.name)


def test_without_a_directory_of_locks(root: pathlib.Path) -> None:
    cfg.CONF.set_override('lock_path', None, group='os_brick')
    sda = number('sda')
    mark = marked({'sda': sda})
    assert handed.is_handed_out(sda)
    assert not handed.is_handed_out(number('sdb'))
    handed.drop(mark.name)
    assert not handed.is_handed_out(sda)


def test_a_mark_that_was_interrupted_is_dropped_without_another_ones(root: pathlib.Path) -> None:
    """Who sets it remembers first how it is dropped."""
    sda = number('sda')
    theirs, mine = marked({'sda': sda}), handed.Mark()
    handed.drop(mine.name)
    assert handed.is_handed_out(sda)
    handed.drop(theirs.name)
    assert not handed.is_handed_out(sda)
