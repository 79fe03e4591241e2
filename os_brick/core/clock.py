# SPDX-License-Identifier: Apache-2.0
"""The one place that reads the time and pauses, so that a test can own both."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import time
from typing import Protocol


class Clock(Protocol):
    """What tells the time in seconds and pauses."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Pause the calling thread."""


class _SystemClock:
    # Looked up in `time` at every call: services may patch `time.sleep`.
    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


_current: Clock = _SystemClock()


def monotonic() -> float:
    """Seconds since an arbitrary start; never goes back."""
    return _current.monotonic()


def wall() -> float:
    """Seconds since 1970, for people and for other processes; it may go back."""
    return time.time()


def sleep(seconds: float) -> None:
    """Pause the calling thread for so many seconds."""
    _current.sleep(seconds)


@contextlib.contextmanager
def use(clock: Clock) -> Iterator[None]:
    """Have the whole process follow ``clock`` for a while; a seam for tests."""
    global _current  # noqa: PLW0603 the seam itself
    before, _current = _current, clock
    try:
        yield
    finally:
        _current = before
