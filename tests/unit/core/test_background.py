# SPDX-License-Identifier: Apache-2.0
"""Work that goes on until it is done or called off."""

import subprocess
import sys
import threading

import pytest

from os_brick import exception
from os_brick.core import background

PAUSES = background.Pauses(0.001, 0.004)
LONG = background.Pauses(30.0, 30.0)


def test_until_it_is_done() -> None:
    ended = threading.Event()
    tries: list[int] = []

    def step(_called_off: threading.Event) -> bool:
        tries.append(len(tries))
        if len(tries) == 2:
            raise OSError('not yet')
        if len(tries) == 4:
            ended.set()
        return len(tries) == 4

    background.follow(['key'], 'a step', step, PAUSES)
    assert ended.wait(10)
    assert tries == [0, 1, 2, 3]


def test_called_off() -> None:
    begun, tries = threading.Event(), []

    def step(_called_off: threading.Event) -> bool:
        tries.append(1)
        begun.set()
        return False

    background.follow(['key'], 'a step', step, PAUSES)
    assert begun.wait(10)
    background.stop('key')
    for thread in threading.enumerate():
        if thread.name == 'os-brick a step':
            thread.join(10)
            assert not thread.is_alive()
    count = len(tries)
    assert not threading.Event().wait(0.05)
    assert len(tries) == count


def test_only_what_belongs_to_the_key_is_called_off() -> None:
    ended = threading.Event()
    background.stop('none')
    background.follow(['mine'], 'mine', lambda _: ended.set() or True, PAUSES)  # type: ignore[func-returns-value]
    background.stop('other')
    assert ended.wait(10)


def test_called_off_before_it_began() -> None:
    tries: list[int] = []
    background.follow(['key'], 'a step', lambda _: bool(tries.append(1)), LONG)  # type: ignore[func-returns-value]
    background.stop('key')
    for thread in threading.enumerate():
        if thread.name == 'os-brick a step':
            thread.join(10)
    assert tries == []


@pytest.mark.parametrize('name', ['key', 'wwid'])
def test_found_by_each_of_its_names(name: str) -> None:
    tries: list[int] = []
    names = ['key', 'wwid', '']
    background.follow(names, 'a step', lambda _: bool(tries.append(1)), LONG)  # type: ignore[func-returns-value]
    background.stop('')
    background.stop('other')
    assert not any(work.called_off.is_set() for work in background._of([name]))
    background.stop(name)
    assert background.stop_all(10)
    assert tries == []


def test_interrupt_interrupts_and_does_not_end() -> None:
    interrupted, tries = threading.Event(), threading.Event()
    background.follow(
        ['key'],
        'a step',
        lambda _: tries.set() or False,
        PAUSES,
        interrupted.set,  # type: ignore[func-returns-value]
    )
    background.interrupt('key')
    assert interrupted.is_set()
    tries.clear()
    assert tries.wait(10)
    assert background.stop_all(10)


def test_an_exiting_interpreter_waits_for_what_is_under_way() -> None:
    """The work is called off and has the time to take back what it has made."""
    code = """
import sys, threading, time
import pytest

from os_brick.core import background
begun = threading.Event()
def step(called_off):
    begun.set()
    called_off.wait(10)
    time.sleep(0.2)
    print('taken back', flush=True)
    return True
background.follow(['key'], 'a step', step, background.Pauses(0.001, 0.001))
begun.wait(10)
sys.exit(3)
"""
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (3, 'taken back\n'), done.stderr


def test_pauses_grow_further_while_a_path_is_not_ready() -> None:
    """A volume that becomes ready takes minutes; a path that is away may be back at once."""
    pauses = background.Pauses(1.0, 10.0)
    not_ready = exception.PathNotReady(device='sda', why='it reports no capacity')
    found, pause = [], pauses.first
    for error in [None, OSError(), OSError(), OSError(), *[not_ready] * 4, OSError()]:
        pause = pauses.after(pause, error)
        found.append(pause)
    assert found == [2, 4, 8, 10, 20, 40, 60, 60, 10]
