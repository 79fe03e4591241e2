# SPDX-License-Identifier: Apache-2.0
"""Calls that block: in a service with green threads, in one with threads, and when it is killed."""

import pathlib
import subprocess
import sys
import textwrap
import threading

import pytest

from os_brick.core import native

ROOT = pathlib.Path(__file__).parents[3]
GREEN = """
    import eventlet
    eventlet.monkey_patch()
    from eventlet import patcher
    import threading
    from os_brick.core import native
    sleep = patcher.original('time').sleep  # as a C library does: eventlet does not know of it
    ticks = []

    def tick():
        while True:
            ticks.append(1)
            eventlet.sleep(0.01)

    eventlet.spawn(tick)
"""


def _green(code: str) -> str:
    """Run in a process that eventlet has patched; returns what it prints."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', textwrap.dedent(GREEN) + textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_call_answers_and_raises() -> None:
    assert native.call(int, '12') == 12
    with pytest.raises(ValueError, match='twelve'):
        native.call(int, 'twelve')


def test_green_threads_run_while_a_call_blocks() -> None:
    code = """
        native.call(sleep, 0.5)
        assert len(ticks) > 10, ticks
        ticks.clear()
        with native.blocking():
            native.call(sleep, 0.2)
        assert len(ticks) < 3, ticks
        print(native.call(int, '12'), native.call(native.call, int, '13'))
    """
    assert _green(code) == '12 13'


def test_what_is_made_for_a_green_thread_that_was_killed_is_released() -> None:
    code = """
        made, released = [], []

        def make():
            sleep(0.3)
            made.append('image')
            return 'image'

        def whole():
            native.made(make, released.append)

        thread = eventlet.spawn(whole)
        eventlet.sleep(0.1)
        thread.kill()
        eventlet.sleep(0.6)
        with eventlet.Timeout(0.1, False):
            whole()
        eventlet.sleep(0.6)
        print(made, released)
    """
    assert _green(code) == "['image', 'image'] ['image', 'image']"


def test_a_turn_is_taken_by_green_threads_and_by_those_of_the_pool() -> None:
    code = """
        turn = native.Turn('it')
        inside, seen = [], []

        def use():
            with turn.taken(30):
                inside.append(1)
                seen.append(len(inside))
                native.call(sleep, 0.02)
                inside.pop()

        threads = [eventlet.spawn(use) for number in range(5)]
        threads += [eventlet.spawn(eventlet.tpool.execute, use) for number in range(5)]
        for thread in threads:
            thread.wait()
        print(seen)
    """
    assert _green('import eventlet.tpool\n' + textwrap.dedent(code)) == str([1] * 10)


def test_what_is_made_is_released_if_no_one_gets_it() -> None:
    released: list[str] = []
    assert native.made(lambda: 'it', released.append) == 'it'
    assert not released

    def fails() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        native.made(fails, released.append)
    assert not released


@pytest.mark.parametrize('kind', [KeyboardInterrupt, SystemExit, OSError])
def test_an_error_of_any_kind_arrives(kind: type[BaseException]) -> None:
    """A thread of eventlet's pool would end with some of them, and its caller wait for ever."""
    code = f"""
        def fails():
            raise {kind.__name__}('it')

        try:
            native.call(fails)
        except {kind.__name__} as error:
            print(error, [native.call(int, '1') for number in range(30)] == [1] * 30)
    """
    assert _green(code) == 'it True'


def test_what_has_a_time_limit_ends_or_goes_on() -> None:
    ends = threading.Event()
    assert native.ended_within(30, lambda: None)
    with pytest.raises(OSError, match='told'):
        native.ended_within(30, lambda: (_ for _ in ()).throw(OSError('told')))
    assert not native.ended_within(0.01, lambda: ends.wait(30))
    ends.set()
    with native.blocking():
        assert native.ended_within(0, lambda: None)


def test_what_has_a_time_limit_lets_green_threads_run() -> None:
    code = """
        done = []
        assert native.ended_within(30, lambda: sleep(0.3))
        assert len(ticks) > 10, ticks
        assert not native.ended_within(0.1, lambda: [sleep(0.3), done.append(1)])
        eventlet.sleep(0.5)
        print(done)
    """
    assert _green(code) == '[1]'


def test_turns_follow_each_other() -> None:
    turn = native.Turn('it')
    inside: list[int] = []
    seen: list[int] = []

    def use() -> None:
        for _number in range(50):
            with turn.taken(30):
                inside.append(1)
                seen.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=use) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 200


def test_a_turn_that_does_not_come_is_a_timeout_that_says_what_for() -> None:
    turn = native.Turn('image rbd/gold')
    with (
        turn.taken(1),
        pytest.raises(TimeoutError, match='image rbd/gold is in use by another thread'),
        turn.taken(0.05),
    ):
        pass
    with turn.taken(0):
        pass
