# SPDX-License-Identifier: Apache-2.0
"""So many at a time, first come, first served; none waits for one that hangs."""

from collections.abc import Callable
import threading
import time

import pytest

from os_brick.core import clock, turns, wait
from tests.unit import seams

LONG = 30.0


def nothing() -> None:
    """Nothing has been called off."""


def take(turn: turns.Turn, seconds: float = LONG) -> None:
    turn.take(wait.Deadline.after(seconds), nothing)


def eventually(condition: Callable[[], bool]) -> bool:
    ends = time.monotonic() + 10
    while not condition() and time.monotonic() < ends:
        time.sleep(0.002)
    return condition()


def waiting(of: turns.Turns, count: int) -> bool:
    return eventually(lambda: len(of._waiting) == count)


class Threads:
    """Threads that take a turn, in the order in which they are started."""

    def __init__(self, of: turns.Turns) -> None:
        self.of = of
        self.order: list[int] = []
        self.threads: list[threading.Thread] = []

    def start(self, turn: turns.Turn, seconds: float = LONG) -> None:
        number, queued = len(self.threads), len(self.of._waiting)

        def run() -> None:
            take(turn, seconds)
            self.order.append(number)

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()
        assert waiting(self.of, queued + 1)

    def join(self) -> list[int]:
        for each in self.threads:
            each.join(10)
            assert not each.is_alive()
        return self.order


@pytest.mark.native
def test_first_come_first_served() -> None:
    of = turns.Turns(1)
    first, *others = [turns.Turn(of) for _ in range(6)]
    take(first)
    threads = Threads(of)
    for each in others:
        threads.start(each)
    first.give(counts=True)
    for number, each in enumerate(others):
        assert eventually(lambda number=number: len(threads.order) == number + 1)  # type: ignore[misc]
        each.give(counts=True)
    assert threads.join() == [0, 1, 2, 3, 4]


def test_so_many_at_a_time() -> None:
    of = turns.Turns(3)
    for _ in range(3):
        take(turns.Turn(of))
    late = turns.Turn(of)
    began = time.monotonic()
    take(late, 0.05)  # Its deadline passes: it goes on.
    assert 0.04 < time.monotonic() - began < 5


def test_the_threads_of_one_operation_share_its_turn() -> None:
    of = turns.Turns(1)
    mine = turns.Turn(of)
    for _ in range(3):
        take(mine)
    mine.give(counts=True)
    take(mine)  # Late paths wait for nothing.
    take(turns.Turn(of))


@pytest.mark.native
def test_one_that_is_given_up_leaves_the_queue() -> None:
    """While it waits: the next one does not wait for it, nor it for the next."""
    of = turns.Turns(1)
    first, second, third = (turns.Turn(of) for _ in range(3))
    take(first)
    threads = Threads(of)
    threads.start(second)
    threads.start(third)
    second.give(counts=True)
    assert eventually(lambda: threads.order == [0])
    first.give(counts=True)
    assert threads.join() == [0, 1]


@pytest.mark.native
def test_what_is_called_off_raises_while_it_waits() -> None:
    of = turns.Turns(1)
    take(turns.Turn(of))
    turn = turns.Turn(of)

    def check() -> None:
        raise RuntimeError('called off')

    with pytest.raises(RuntimeError, match='called off'):
        turn.take(wait.Deadline.after(LONG), check)
    turn.give(counts=True)
    assert not of._waiting


def test_one_that_hangs_is_not_counted_for_ever() -> None:
    """It holds up no other for longer than a few times what turns have taken lately."""
    with clock.use(time_passes := seams.Clock()):
        of = turns.Turns(1)
        for _ in range(20):
            turn = turns.Turn(of)
            take(turn)
            time_passes.now += 0.8
            turn.give(counts=True)
        take(turns.Turn(of))  # Hangs, and is never given back.
        late = turns.Turn(of)
        time_passes.now += 1.5
        take(late, 0)
        assert late not in of._taken
        time_passes.now += 1.5
        take(late, 0)
        assert late in of._taken


def test_turns_that_end_in_an_error_do_not_tell_how_long_turns_take() -> None:
    """Two waves of logins that hang at one array: the attaches to others wait for seconds."""
    with clock.use(time_passes := seams.Clock()):
        of = turns.Turns(4)
        usual = turns.Turn(of)
        take(usual)
        time_passes.now += 2
        usual.give(counts=True)
        for _wave in range(2):
            hanging = [turns.Turn(of) for _ in range(4)]
            for each in hanging:
                take(each)
            time_passes.now += 85
            for each in hanging:
                each.give(counts=False)
        for _ in range(4):
            take(turns.Turn(of))
        other = turns.Turn(of)
        time_passes.now += 6.5
        take(other, 0)
        assert other in of._taken


@pytest.mark.parametrize(('processors', 'limit'), [(None, 4), (1, 4), (2, 4), (8, 16), (64, 128)])
def test_the_limit_follows_the_processors(processors: int | None, limit: int) -> None:
    assert turns.limit_of(processors) == limit
