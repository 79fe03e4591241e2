# SPDX-License-Identifier: Apache-2.0
"""When objects of a C library end: once, after the last use, and not in a forked process."""

import itertools
import subprocess
import sys
import threading

import pytest

from os_brick.core import clock, lifetimes, native, wait


def test_what_is_shared_ends_after_the_last_use_in_every_order() -> None:
    """Two users and the owner come and go in any order that their own steps allow."""
    orders = set(itertools.permutations(['a', 'a', 'b', 'b', 'owner']))
    for order in orders:
        ended: list[str] = []
        shared = lifetimes.Shared('it', ended.append)
        using: dict[str, bool] = {}
        given_up = False
        for who in order:
            if who == 'owner':
                shared.give_up()
                shared.give_up()
                given_up = True
            elif who not in using:
                using[who] = shared.use()
                assert using[who] is not given_up, order
            elif using[who]:
                using[who] = False
                shared.let_go()
            assert bool(ended) is (given_up and not any(using.values())), order
        assert ended == ['it'], order


@pytest.mark.native
def test_what_is_shared_by_threads_ends_once_and_never_in_use() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _number in range(20):
            _race()
    finally:
        sys.setswitchinterval(interval)


def _race() -> None:
    ended: list[str] = []
    wrong: list[str] = []
    shared = lifetimes.Shared('it', ended.append)

    def use() -> None:
        for _number in range(50):
            if shared.use():
                wrong.extend(ended)
                shared.let_go()

    threads = [threading.Thread(target=use) for _number in range(3)]
    threads += [threading.Thread(target=shared.give_up) for _number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (ended, wrong) == (['it'], [])


@pytest.mark.native
def test_an_act_is_done_once_and_the_second_caller_waits_for_it() -> None:
    once = lifetimes.Once()
    log: list[str] = []

    def act() -> None:
        log.append('begins')
        clock.sleep(0.1)
        log.append('ends')

    def run() -> None:
        assert once.run(30, act)
        log.append('returned')

    threads = [threading.Thread(target=run) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log == ['begins', 'ends', *['returned'] * 4]
    assert once.run(0, act)
    assert len(log) == 6


@pytest.mark.native
def test_callers_wait_within_the_limit_of_the_first_together() -> None:
    once = lifetimes.Once()
    goes_on: list[bool] = []
    ends = wait.Deadline.after(30)
    assert not once.run(0.05, lambda: wait.holds(lambda: bool(goes_on), ends))
    begin = clock.monotonic()
    assert not once.run(30, lambda: None)
    with native.blocking():
        assert not once.run(30, lambda: None)
    assert clock.monotonic() - begin < 10
    goes_on.append(True)
    assert wait.holds(lambda: once.run(0, lambda: None), wait.Deadline.after(30))


def test_an_error_is_told_to_one_and_the_act_is_not_done_again() -> None:
    once = lifetimes.Once()
    acts: list[int] = []

    def act() -> None:
        acts.append(1)
        raise OSError('told')

    with pytest.raises(OSError, match='told'):
        once.run(30, act)
    assert once.run(30, act)
    assert acts == [1]


@pytest.mark.native
def test_a_forked_process_never_destroys_what_it_inherits() -> None:
    """Neither when it drops it nor when its interpreter ends; its own it destroys."""
    code = """
import gc, os, sys
from os_brick.core import lifetimes

class Native:
    def __del__(self):  # as that of a binding, which calls the library
        os.write(1, b'destroyed')

kept = lifetimes.Owned('image gold', Native())
dropped = lifetimes.Owned('image silver', Native())
child = os.fork()
if not child:
    assert kept.is_inherited
    try:
        kept.check()
    except OSError as error:
        print(error, flush=True)
    del dropped
    gc.collect()
    mine = lifetimes.Owned('image lead', Native())
    mine.check()
    del mine
    gc.collect()
    print(' own', flush=True)
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
kept.check()
print('parent', flush=True)
"""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, check=False
    )
    assert done.stderr == ''
    assert done.stdout == (
        '[Errno 9] image gold was opened before this process was forked; open it again here\n'
        'destroyed own\n'
        'parent\n'
        'destroyeddestroyed'
    )
