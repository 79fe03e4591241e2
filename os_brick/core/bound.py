# SPDX-License-Identifier: Apache-2.0
"""By when the operation of a thread ends, for what is far below it and is not told otherwise.

A step is given its time limit by its caller. This is for what comes on top of one, which no caller
counts: the start of the privileged daemon, a wait for one of its threads, a wait for several steps
side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import math
import threading

from os_brick.core import clock


class _Local(threading.local):
    at: float = math.inf


_local = _Local()


def at() -> float:
    """By when this thread's operation ends, on :func:`clock.monotonic`; infinite without one."""
    return _local.at


def remaining() -> float:
    """Seconds that are left; 0 when it has passed, and infinite without an operation."""
    return max(0.0, _local.at - clock.monotonic())


def within(seconds: float) -> float:
    """So many seconds, or those that are left, if these are fewer."""
    return min(seconds, remaining())


def share(part: float, least: float) -> float:
    """A part of the seconds that are left, and at least ``least``; without an operation these."""
    left = remaining()
    return least if math.isinf(left) else max(least, left * part)


@contextlib.contextmanager
def until(moment: float) -> Iterator[None]:
    """Have this thread's operation end by a moment, or sooner if it does already."""
    before = _local.at
    _local.at = min(before, moment)
    try:
        yield
    finally:
        _local.at = before
