# SPDX-License-Identifier: Apache-2.0
"""The one loop that waits, and the deadline that every wait of an operation obeys."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import math
from typing import TypeVar

from os_brick import exception
from os_brick.core import clock

T = TypeVar('T')

# sysfs answers in 0.03 ms, so the first looks may be close together; the kernel's and
# multipathd's answers that take longer than a second are not worth ten looks a second more.
FIRST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.1
GROWTH = 1.5
# A step gets a moment even after the deadline: many have nothing to do, or next to nothing.
LEAST_LIMIT_SECONDS = 0.1
# The share of an operation's time for which one program that others keep busy is waited for.
PATIENCE_SHARE = 1 / 3


@dataclasses.dataclass(frozen=True, slots=True)
class Deadline:
    """The moment by which something has to be done.

    :ivar at: in seconds of :func:`clock.monotonic`.
    :ivar seconds: how long was given, for messages.
    """

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline that lies so many seconds ahead."""
        return cls(clock.monotonic() + seconds, seconds)

    def within(self, seconds: float) -> Deadline:
        """The sooner of this deadline and one ``seconds`` ahead."""
        other = Deadline.after(seconds)
        return other if other.at < self.at else self

    def leaving(self, share: float) -> Deadline:
        """An earlier deadline, which leaves a share of what remains for cleaning up."""
        return self.within(self.remaining * (1 - share))

    @property
    def remaining(self) -> float:
        """Seconds that are left; 0 when it has passed."""
        return max(0.0, self.at - clock.monotonic())

    def patience(self, least: float, share: float = PATIENCE_SHARE) -> Deadline:
        """The sooner of this deadline and that of the patience with a program that is busy.

        A share of the time that was given, and at least ``least`` seconds: on a host with much to
        do an operation is given more time, and each program of others needs more of it.
        """
        return self.within(max(least, self.seconds * share))

    def limit(self, longest: float = math.inf) -> float:
        """What is left as a time limit of one step in seconds; a moment if nothing is."""
        return max(LEAST_LIMIT_SECONDS, min(self.remaining, longest))

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.remaining <= 0


def poll(probe: Callable[[], T | None], deadline: Deadline) -> T | None:
    """The first answer of ``probe`` that is not ``None``, or ``None`` if the deadline passes."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        answer = probe()
        if answer is not None:
            return answer
        remaining = deadline.remaining
        if remaining <= 0:
            return None
        clock.sleep(min(pause, remaining))
        pause = min(pause * GROWTH, LONGEST_PAUSE_SECONDS)


def until(probe: Callable[[], T | None], deadline: Deadline, what: str) -> T:
    """The first answer of ``probe`` that is not ``None``.

    :param what: what is waited for, for the message of the error.
    :raises OperationTimedOut: if the deadline passes first.
    """
    answer = poll(probe, deadline)
    if answer is None:
        raise exception.OperationTimedOut(what=what, seconds=round(deadline.seconds, 1))
    return answer


def holds(condition: Callable[[], bool], deadline: Deadline) -> bool:
    """Whether ``condition`` came true before the deadline passed."""
    return poll(lambda: condition() or None, deadline) is not None
