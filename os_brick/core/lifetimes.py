# SPDX-License-Identifier: Apache-2.0
"""When objects of a C library with threads of its own may be used, and when they end.

librbd crashes if a connection ends while an image of it is open, being opened or being closed; and
a process that is forked has none of its threads, so there a call waits for ever. Nothing here takes
a lock: eventlet's work in one operating system thread, and a fork may leave any lock taken. A deque
gives each of its items to one thread.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
import ctypes
import errno
import os
from typing import Generic, TypeVar
import weakref

from os_brick.core import native, wait

T = TypeVar('T')


class Owned:
    """Objects that only the process which has made them may use.

    A forked process keeps its copies until it ends, without a destructor: that of a binding calls
    the library, too.
    """

    def __init__(self, what: str, *objects: object) -> None:
        """Watch ``objects``, which are alive as long as this is.

        :param what: their name, for errors.
        """
        self._what = what
        self._objects = objects
        self._is_inherited = False
        _owned.add(self)

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from the one that has made them."""
        return self._is_inherited

    def check(self) -> None:
        """Return if they may be used.

        :raises OSError: if they are inherited.
        """
        if self._is_inherited:
            text = f'{self._what} was opened before this process was forked; open it again here'
            raise OSError(errno.EBADF, text)

    def inherit(self) -> None:
        """Have them stay as they are: called in a forked process."""
        self._is_inherited = True
        for each in self._objects:
            # A reference that no one gives back; the end of the interpreter would drop any other.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))


_owned: weakref.WeakSet[Owned] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_owned):
        each.inherit()


os.register_at_fork(after_in_child=_after_fork)


class Shared(Generic[T]):
    """An object that ends when it has been given up and no one uses it any more.

    The last to let go of it ends it, in the thread of that one.
    """

    def __init__(self, held: T, end: Callable[[T], object]) -> None:
        self._end = end
        self._held: collections.deque[T] = collections.deque([held])
        self._owner: collections.deque[None] = collections.deque([None])
        self._uses: collections.deque[None] = collections.deque([None])
        self._is_given_up = False

    def use(self) -> bool:
        """Have it stay until :meth:`let_go`; ``False`` if it has been given up already."""
        # In this order: who gives it up after the question finds the use.
        self._uses.append(None)
        if self._is_given_up:
            self.let_go()
            return False
        return True

    def let_go(self) -> None:
        """End a use."""
        self._uses.pop()
        if self._uses:
            return
        try:
            held = self._held.pop()
        except IndexError:
            return
        self._end(held)

    def give_up(self) -> None:
        """Have it end once no one uses it; nothing if that has been done."""
        self._is_given_up = True
        try:
            self._owner.pop()
        except IndexError:
            return
        self.let_go()


class Once:
    """An act that is done once, by its first caller, and that may go on in the background."""

    def __init__(self) -> None:
        self._token: collections.deque[None] = collections.deque([None])
        self._ended: list[None] = []
        self._deadline: wait.Deadline | None = None

    def run(self, seconds: float, act: Callable[[], object]) -> bool:
        """Do it, or wait until it is done; whether that was within the limit of the first caller.

        :raises Exception: what the act raises; the first caller gets it.
        """
        self._deadline = deadline = self._deadline or wait.Deadline.after(seconds)
        if self._token:
            native.ended_within(deadline.remaining, lambda: self._claimed(act))
        return self._has_ended(deadline)

    def _claimed(self, act: Callable[[], object]) -> None:
        try:
            self._token.pop()
        except IndexError:
            return
        try:
            act()
        finally:
            self._ended.append(None)

    def _has_ended(self, deadline: wait.Deadline) -> bool:
        # A destructor cannot wait for another thread.
        if native.is_blocking():
            return bool(self._ended)
        return wait.holds(lambda: bool(self._ended), deadline)
