# SPDX-License-Identifier: Apache-2.0
"""Calls into C libraries that block, without stopping the green threads of a service.

eventlet does not know of the waits of librados: a call that waits for a server stops every green
thread of the process. In a service that eventlet has patched such a call goes to eventlet's own
pool of operating system threads (``eventlet.tpool``, as cinder does it); elsewhere it is a plain
call, because the Python bindings release the interpreter's lock.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
import contextlib
import errno
import importlib
import sys
import threading
from typing import Any, Generic, TypeVar

from os_brick.core import wait

T = TypeVar('T')


class _Local(threading.local):
    blocks: bool = False


_local = _Local()


def call(function: Callable[..., T], *args: Any) -> T:
    """Return what ``function`` answers, and let green threads run meanwhile.

    A green thread that is killed leaves, and the function goes on; use :func:`made` for one whose
    result has to be closed.
    """
    if _patcher() is None or _local.blocks:
        return function(*args)
    # Part of what has patched this process. In a thread of the pool it calls the function itself.
    pool: Any = importlib.import_module('eventlet.tpool')
    outcome: _Outcome[T] = pool.execute(_Outcome, function, *args)
    return outcome.get()


def _patcher() -> Any:
    """Eventlet's module that has patched threads; ``None`` if none has."""
    patcher = sys.modules.get('eventlet.patcher')
    return patcher if patcher is not None and patcher.is_monkey_patched('thread') else None


class _Outcome(Generic[T]):
    """What a call has come to. A thread of the pool ends with some errors, so none may reach it."""

    def __init__(self, function: Callable[..., T], *args: Any) -> None:
        self._error: BaseException | None = None
        try:
            self._answer = function(*args)
        except BaseException as error:  # noqa: BLE001 raised by get()
            self._error = error

    def get(self) -> T:
        if self._error is not None:
            raise self._error
        return self._answer


def ended_within(seconds: float, function: Callable[[], object]) -> bool:
    """Call it in an operating system thread of its own; whether it has ended in time.

    One that has not goes on; what it raises after that is not told. ``function`` must not log:
    with eventlet a log's lock belongs to another thread.
    """
    if _local.blocks:
        function()
        return True
    patcher = _patcher()
    threads: Any = patcher.original('threading') if patcher else threading
    outcomes: collections.deque[_Outcome[object]] = collections.deque()

    def run() -> None:
        # This thread is outside the pool, so what it calls blocks it.
        with blocking():
            outcomes.append(_Outcome(function))

    thread = threads.Thread(target=run, name='os-brick close', daemon=True)
    thread.start()
    if patcher:
        wait.holds(lambda: bool(outcomes), wait.Deadline.after(seconds))
    else:
        thread.join(seconds)
    if outcomes:
        outcomes.popleft().get()
        return True
    return False


@contextlib.contextmanager
def blocking() -> Iterator[None]:
    """Have calls block during the block: a destructor may run where no green thread can wait."""
    before, _local.blocks = _local.blocks, True
    try:
        yield
    finally:
        _local.blocks = before


def is_blocking() -> bool:
    """Whether this is within :func:`blocking`."""
    return _local.blocks


def made(make: Callable[[], T], release: Callable[[T], object]) -> T:
    """Return what ``make`` makes, as :func:`call`; no one is left with it if the caller is killed.

    :param release: takes back what ``make`` has made when the caller is gone.
    """
    results: collections.deque[T] = collections.deque()
    gone: list[bool] = []

    def run() -> None:
        results.append(make())
        if gone:
            _release_one(results, release)

    try:
        call(run)
        return results.popleft()
    except BaseException:
        # The thread that pops it releases it: a deque gives an item to one thread only.
        gone.append(True)
        call(_release_one, results, release)
        raise


def _release_one(results: collections.deque[T], release: Callable[[T], object]) -> None:
    try:
        found = results.popleft()
    except IndexError:
        return
    release(found)


class Turn:
    """Lets one thread at a time use an object, green or not.

    eventlet's locks work in one operating system thread, and an object may be used in several:
    cinder hands ours to ``tpool``. A deque gives its item to one of them. Who waits looks again
    and again: the turn is wanted by two only if a caller shares an object.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._token: collections.deque[None] = collections.deque([None])

    @contextlib.contextmanager
    def taken(self, seconds: float) -> Iterator[None]:
        """Hold it during the block.

        :raises OSError: if it is not free within so many seconds.
        """
        if not self._take() and not wait.holds(self._take, wait.Deadline.after(seconds)):
            text = f'{self._what} is in use by another thread for more than {seconds:g} s'
            raise TimeoutError(errno.ETIMEDOUT, text)
        try:
            yield
        finally:
            self._token.append(None)

    def _take(self) -> bool:
        try:
            self._token.pop()
        except IndexError:
            return False
        return True
