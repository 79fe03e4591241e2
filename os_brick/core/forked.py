# SPDX-License-Identifier: Apache-2.0
"""What a forked process must not take over from its parent: locks that a thread may have held."""

from __future__ import annotations

from collections.abc import Callable
import os
import threading


class Guard:
    """A lock between the threads of a process, for a ``with`` block; a forked process has its own.

    A thread that is not there may have held the parent's at that moment, and never lets go of it.
    """

    def __init__(self, forget: Callable[[], object] = lambda: None) -> None:
        """It is free.

        :param forget: called in a forked process, in its only thread, once the lock is new: what
            the lock guards is the parent's.
        """
        self._lock = self._held = threading.Lock()
        self._forget = forget
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._forget()

    def __enter__(self) -> None:
        lock = self._lock
        lock.acquire()
        self._held = lock

    def __exit__(self, *_error: object) -> None:
        # Of a thread that has forked inside the block, the lock of before.
        self._held.release()
