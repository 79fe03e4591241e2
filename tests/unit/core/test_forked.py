# SPDX-License-Identifier: Apache-2.0
"""A lock that a thread of the parent holds is free in a forked process."""

from collections.abc import Callable
import os
import signal
import threading

import pytest

from os_brick.core import forked


def in_child(act: Callable[[], bool]) -> bool:
    """What a forked process says; one that waits for ever is ended."""
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        os._exit(0 if act() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.native  # It forks beside a thread.
def test_what_a_thread_of_the_parent_holds_is_free_in_the_child() -> None:
    known = ['of the parent']
    guard = forked.Guard(known.clear)
    is_held, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        with guard:
            is_held.set()
            goes_on.wait(30)

    def act() -> bool:
        with guard:
            return not known

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert is_held.wait(10)
        assert in_child(act)
    finally:
        goes_on.set()
        thread.join()
    assert known == ['of the parent']


def test_a_fork_inside_the_block() -> None:
    """The child leaves the block, too, and can enter it again."""
    guard = forked.Guard()

    def act() -> bool:
        guard.__exit__()
        with guard:
            return True

    with guard:
        assert in_child(act)
    with guard:
        pass


def test_an_error_lets_go() -> None:
    guard = forked.Guard()
    with pytest.raises(KeyError), guard:
        raise KeyError
    with guard:
        pass
