# SPDX-License-Identifier: Apache-2.0
"""Work that goes on until it is done or called off."""

import threading

from os_brick.core import background

PAUSES = (0.001, 0.004)


def test_until_it_is_done() -> None:
    ended = threading.Event()
    tries: list[int] = []

    def step() -> bool:
        tries.append(len(tries))
        if len(tries) == 2:
            raise OSError('not yet')
        if len(tries) == 4:
            ended.set()
        return len(tries) == 4

    background.follow('key', 'a step', step, PAUSES)
    assert ended.wait(10)
    assert tries == [0, 1, 2, 3]


def test_called_off() -> None:
    begun, tries = threading.Event(), []

    def step() -> bool:
        tries.append(1)
        begun.set()
        return False

    background.follow('key', 'a step', step, PAUSES)
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
    background.stop('nobody')
    background.follow('mine', 'mine', lambda: ended.set() or True, (0.05, 0.05))  # type: ignore[func-returns-value]
    background.stop('other')
    assert ended.wait(10)


def test_called_off_before_it_began() -> None:
    tries: list[int] = []
    background.follow('key', 'a step', lambda: bool(tries.append(1)), (30.0, 30.0))  # type: ignore[func-returns-value]
    background.stop('key')
    for thread in threading.enumerate():
        if thread.name == 'os-brick a step':
            thread.join(10)
    assert tries == []
