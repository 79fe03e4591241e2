# SPDX-License-Identifier: Apache-2.0
"""Devices that were handed out are left alone by every process, until they are gone."""

from collections.abc import Iterator
import os
import pathlib
import subprocess
import sys

from oslo_config import cfg
import pytest

from os_brick.core import handed

MARKER = """
import sys
from oslo_config import cfg
from os_brick import opts
from os_brick.core import handed
cfg.CONF([], project='x', default_config_files=[])
cfg.CONF.set_override('lock_path', sys.argv[1], group='os_brick')
handed.Mark([4711])
print('marked', flush=True)
sys.stdin.readline()
handed.gone([4711])
print('gone', flush=True)
sys.stdin.readline()
handed.Mark([4711])
print('marked', flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: pathlib.Path) -> Iterator[str]:
    cfg.CONF.set_override('lock_path', str(tmp_path), group='os_brick')
    yield str(tmp_path)
    cfg.CONF.clear_override('lock_path', group='os_brick')


def test_by_another_process(place: str) -> None:
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}
    words = [sys.executable, '-c', MARKER, place]
    with subprocess.Popen(words, text=True, **pipes) as child:  # type: ignore[call-overload]
        for said, is_handed_out in (('marked', True), ('gone', False), ('marked', True)):
            assert child.stdout.readline() == f'{said}\n'
            assert handed.is_handed_out(4711) is is_handed_out
            assert handed.is_handed_out(4711) is is_handed_out  # A look changes nothing.
            assert not handed.is_handed_out(4712)
            mine = handed.Mark([4711])
            assert handed.is_handed_out(4711)
            mine.drop()
            assert handed.is_handed_out(4711) is is_handed_out
            child.stdin.write('on\n')
            child.stdin.flush()
        child.wait(10)
    assert not handed.is_handed_out(4711)


def test_two_attaches_of_one_process() -> None:
    one, two = handed.Mark([7, 8]), handed.Mark([7])
    one.drop()
    one.drop()
    assert handed.is_handed_out(7)
    assert not handed.is_handed_out(8)
    two.drop()
    assert not handed.is_handed_out(7)


def test_one_that_has_gone_is_forgotten() -> None:
    handed.Mark([7]), handed.Mark([7])
    handed.gone([7, 9])
    assert not handed.is_handed_out(7)


def test_a_device_without_a_number_is_no_device() -> None:
    handed.Mark([0])
    assert not handed.is_handed_out(0)


def test_a_fork_has_handed_out_nothing_and_sees_what_its_parent_has() -> None:
    mark = handed.Mark([7])
    child = os.fork()
    if child == 0:
        os._exit(0 if handed.is_handed_out(7) and not handed.is_handed_out(8) else 1)
    assert os.waitpid(child, 0)[1] == 0
    mark.drop()


def test_without_a_directory_of_locks() -> None:
    cfg.CONF.set_override('lock_path', None, group='os_brick')
    mark = handed.Mark([7])
    assert handed.is_handed_out(7)
    assert not handed.is_handed_out(8)
    mark.drop()
    assert not handed.is_handed_out(7)
