# SPDX-License-Identifier: Apache-2.0
"""A limit to what goes on side by side in this process: first come, first served.

Udev runs programs for each new disk and map. Where many volumes are attached at once, all of them
share the processors with udev's work for all others, and each is ready about when the last one is.
A few at a time take as long in all, but most of them are ready much sooner, and none runs into its
limits because of the others (``doc/source/contributor/benchmark.rst`` has the measurement).

It is a limit to load, and protects nothing: one that takes much longer than others do is not
counted any more, so that what hangs holds up no other, and one whose deadline passes goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
import functools
import os
import threading

from os_brick.core import clock, wait

# Attaches whose disks and maps udev is at work on, for each processor; measured with 2, emulated:
# see the page of the benchmark.
_FOR_EACH_PROCESSOR = 2
_LEAST = 4
# A turn is not counted any more after so many times what turns have taken lately, and not before
# so many seconds.
_LONG = 3.0
_LONG_SECONDS = 1.0
# The share of the last turn in what turns take.
_NEWEST = 0.25
# The next one is woken; this is for one that is not counted any more, or called off.
_LOOK_SECONDS = 0.5


class Turns:
    """So many turns at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._waiting: deque[Turn] = deque()
        self._taken: dict[Turn, float] = {}
        self._usual_seconds = 0.0
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """In a process forked from this one: no thread that waits or works is here."""
        self._changed = threading.Condition()
        self._waiting.clear()
        self._taken.clear()

    def take(self, turn: Turn, deadline: wait.Deadline, check: Callable[[], object]) -> None:
        """Return when it is this one's turn, or the deadline has passed.

        Several threads may take the same turn; it is given back once.

        :param check: called while it waits; may raise.
        """
        while True:
            with self._changed:
                if self._is_admitted(turn) or deadline.passed:
                    return
                self._changed.wait(min(_LOOK_SECONDS, deadline.remaining))
            check()

    def _is_admitted(self, turn: Turn) -> bool:
        if turn.has_ended or turn in self._taken:
            return True
        if turn not in self._waiting:
            self._waiting.append(turn)
        now = clock.monotonic()
        longest = max(_LONG_SECONDS, self._usual_seconds * _LONG)
        counted = sum(now - since < longest for since in self._taken.values())
        if self._waiting[0] is not turn or counted >= self._limit:
            return False
        self._waiting.popleft()
        self._taken[turn] = now
        self._changed.notify_all()
        return True

    def give(self, turn: Turn, *, counts: bool) -> None:
        """End a turn, also one that was never taken; the next one begins.

        :param counts: whether it tells how long turns take. One that ended in an error does not:
            an array whose logins hang would make a hang the usual case, for which all others wait.
        """
        with self._changed:
            turn.has_ended = True
            if turn in self._waiting:
                self._waiting.remove(turn)
            since = self._taken.pop(turn, None)
            if since is not None and counts:
                seconds = clock.monotonic() - since
                self._usual_seconds += (seconds - self._usual_seconds) * _NEWEST
            self._changed.notify_all()


class Turn:
    """One operation's turn. ``has_ended`` is written under the guard of its ``Turns``."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.has_ended = False

    def take(self, deadline: wait.Deadline, check: Callable[[], object]) -> None:
        """See :meth:`Turns.take`."""
        self._turns.take(self, deadline, check)

    def give(self, *, counts: bool) -> None:
        """See :meth:`Turns.give`."""
        self._turns.give(self, counts=counts)


def limit_of(processors: int | None) -> int:
    """How many turns there are at a time on a host with so many processors."""
    return max(_LEAST, _FOR_EACH_PROCESSOR * (processors or 1))


@functools.cache
def of_udev() -> Turns:
    """The turns of attaches whose disks and maps udev works on.

    Made by the first attach: a service that has imported this before eventlet patched ``threading``
    would wait with a lock that stops all of its green threads.
    """
    return Turns(limit_of(os.cpu_count()))
