# SPDX-License-Identifier: Apache-2.0
"""Time in which a pause takes no time, and things happen while it passes."""

from collections.abc import Callable
import heapq
import itertools
import threading
import time

# While one thread pauses the others get a chance to come to their own pause: pauses that
# threads make side by side pass side by side.
_BREATH_SECONDS = 0.0005


class Clock:
    """The real clock, and on top of it all the time that someone wanted to sleep."""

    def __init__(self) -> None:
        self._skipped = 0.0
        self._guard = threading.Lock()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    def sleep(self, seconds: float) -> None:
        wake = self.monotonic() + seconds
        time.sleep(_BREATH_SECONDS)
        with self._guard:
            self._skipped += max(0.0, wake - self.monotonic())
        self.happen()

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Have something happen so many seconds from now, if someone waits that long."""
        entry = (self.monotonic() + seconds, next(self._numbers), event)
        with self._guard:
            heapq.heappush(self._events, entry)

    def happen(self) -> None:
        """Have happen what is due."""
        while True:
            with self._guard:
                if not self._events or self._events[0][0] > self.monotonic():
                    return
                event = heapq.heappop(self._events)[2]
            event()

    def catch_up(self) -> None:
        """Pass the time until nothing is due any more."""
        while self._events:
            self.sleep(max(0.0, self._events[0][0] - self.monotonic()))
