# SPDX-License-Identifier: Apache-2.0
"""One try to open one path: what it has made, its share of the volume's lock, and its end."""

from __future__ import annotations

from collections.abc import Callable
import threading

from os_brick.core import locks, undo, wait
from os_brick.plans import verdicts


class Attempt:
    """What a driver is given for one try.

    :ivar deadline: by when the path is to be open.
    :ivar ask: whether a portal that does not answer is not worth a try.
    :ivar clean_up_seconds: how long a step that takes something back may take.
    :ivar made: what takes back what the attempt has made.
    :ivar is_begun: whether it may have made something; like the next two read under the guard.
    :ivar is_called_off: whether it is to end.
    :ivar is_responding: whether it is worth waiting for.
    """

    def __init__(
        self,
        what: str,
        guard: threading.Condition,
        lock: locks.Hold,
        deadline: wait.Deadline,
        is_wanted: Callable[[], bool],
        *,
        ask: bool,
        clean_up_seconds: float,
    ) -> None:
        """Start with nothing made.

        :param guard: what the state is read and written under.
        :param lock: the volume's lock, which the attempt shares from its first act on.
        """
        self._what = what
        self._guard = guard
        self._lock = lock
        self._is_wanted = is_wanted
        self.is_begun = False
        self.is_called_off = False
        self.is_responding = False
        self.deadline = deadline
        self.ask = ask
        self.clean_up_seconds = clean_up_seconds
        self.made = undo.Undo()

    @property
    def is_wanted(self) -> bool:
        """Whether the path is of use to anyone still."""
        with self._guard:
            is_called_off = self.is_called_off
        return not is_called_off and self._is_wanted()

    def respond(self) -> None:
        """Note that the portal has answered, so that the path is worth waiting for."""
        with self._guard:
            self.is_responding = True

    def stall(self) -> None:
        """Note that its device is not ready: only an attach without another path waits for it."""
        with self._guard:
            self.is_responding = False

    def begin(self) -> None:
        """To be called before each act that makes something: shares the volume's lock.

        :raises CalledOff: if nothing is to be made any more.
        """
        with self._guard:
            self._require_wanted()
            if not self.is_begun:
                self._lock.share()
                self.is_begun = True

    def check(self) -> None:
        """To be called while something is waited for.

        :raises CalledOff: if the path is not wanted any more.
        """
        with self._guard:
            self._require_wanted()

    def _require_wanted(self) -> None:
        if self.is_called_off:
            raise verdicts.CalledOff(path=self._what)

    def call_off(self, *, unless_begun: bool = False) -> None:
        """Have it end before its next act; the caller holds the guard.

        :param unless_begun: only if it has made nothing.
        """
        if not (unless_begun and self.is_begun):
            self.is_called_off = True

    def end(self) -> None:
        """Give its share of the lock back: what it has made has another owner, or is gone."""
        with self._guard:
            is_begun, self.is_begun = self.is_begun, False
            self._guard.notify_all()
        if is_begun:
            self._lock.release()
