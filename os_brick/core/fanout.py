# SPDX-License-Identifier: Apache-2.0
"""One step for many items side by side, with the request's context carried into the threads."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
import math
import threading
from typing import Generic, TypeVar

from oslo_context import context

from os_brick import exception
from os_brick.core import bound, observe, wait

# What is waited for may be a moment in time, too; so it is looked at so often, and less often the
# longer it has lasted: 64 attaches that looked each 20 ms were 3200 looks a second.
_LOOK_SECONDS, _LONGEST_LOOK_SECONDS, _LOOK_GROWTH = 0.02, 0.1, 1.1
# How long an interrupted caller waits for the steps that are under way.
INTERRUPTED_SECONDS = 5.0
# Each step has a limit of its own. What has not ended so long after the operation's deadline has
# lost it, and is left behind: an operation always ends.
OVERDUE_SECONDS = 30.0

Item = TypeVar('Item', bound=Hashable)
Outcome = TypeVar('Outcome')


class Interrupted(Exception):
    """A step ended in an interrupt, such as GreenletExit or SystemExit."""


class Fanout(Generic[Item, Outcome]):
    """Steps under way in threads of their own, by item.

    The threads are daemons: one that hangs in the kernel does not keep the process alive, and
    an operation may leave it behind when its deadline passes. All state is read and written
    under the condition's lock.
    """

    def __init__(self, step: Callable[[Item], Outcome]) -> None:
        self._step = step
        self._context = context.get_current()
        self._ends = bound.at()
        self._course = observe.current()
        self._changed = threading.Condition()
        self._pending: set[Item] = set()
        self._results: dict[Item, Outcome] = {}
        self._errors: dict[Item, Exception] = {}
        self._interrupt: BaseException | None = None

    def start(self, items: Iterable[Item]) -> None:
        """Start the step for each item that is not under way; what an earlier one gave is void."""
        for item in items:
            with self._changed:
                if item in self._pending:
                    continue
                self._pending.add(item)
                self._results.pop(item, None)
                self._errors.pop(item, None)
            try:
                threading.Thread(target=self._run, args=(item,), daemon=True).start()
            except BaseException:
                with self._changed:
                    self._pending.discard(item)
                raise

    def _run(self, item: Item) -> None:
        if self._context is not None:
            self._context.update_store()
        try:
            with bound.until(self._ends), observe.within(self._course):
                outcome = self._step(item)
        except Exception as error:  # noqa: BLE001 handed to the thread that waits
            self._end(item, error)
        except BaseException as error:  # noqa: BLE001 handed to the thread that waits
            # No caller may wait for ever for a step whose thread was interrupted.
            with self._changed:
                self._interrupt = error
            self._end(item, Interrupted(f'{type(error).__name__} {error}'))
        else:
            with self._changed:
                self._results[item] = outcome
            self._end(item, None)

    def _end(self, item: Item, error: Exception | None) -> None:
        with self._changed:
            if error is not None:
                self._errors[item] = error
            self._pending.discard(item)
            self._changed.notify_all()

    @property
    def pending(self) -> frozenset[Item]:
        """The items whose step has not ended."""
        with self._changed:
            return frozenset(self._pending)

    @property
    def results(self) -> dict[Item, Outcome]:
        """What the steps that ended well gave, by item."""
        with self._changed:
            return dict(self._results)

    @property
    def errors(self) -> dict[Item, Exception]:
        """What the steps that failed raised, by item."""
        with self._changed:
            return dict(self._errors)

    def require_uninterrupted(self) -> None:
        """Pass an interrupt that a step ended in on to the caller.

        :raises BaseException: the interrupt.
        """
        with self._changed:
            interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            raise interrupt

    def have_ended(self, seconds: float | None = None) -> bool:
        """Whether every step ended within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout=seconds)

    def wait_for(self, condition: Callable[[], bool], deadline: wait.Deadline) -> bool:
        """Whether a condition came true; it is looked at whenever a step ends, and in between.

        :raises BaseException: the interrupt that a step ended in.
        """
        pause = _LOOK_SECONDS
        while not condition():
            self.require_uninterrupted()
            if deadline.passed:
                return False
            with self._changed:
                self._changed.wait(min(deadline.remaining, pause))
            pause = min(pause * _LOOK_GROWTH, _LONGEST_LOOK_SECONDS)
        self.require_uninterrupted()
        return True


def fanout(
    step: Callable[[Item], Outcome], items: Iterable[Item]
) -> tuple[dict[Item, Outcome], dict[Item, Exception]]:
    """What ``step`` gave and raised, by item, once it has ended for all of them.

    A step that does not end counts as one that has raised ``OperationTimedOut``.

    :raises BaseException: an interrupt of the caller or of a step; a step that is under way then
        has had a few seconds to end.
    """
    todo = list(items)
    fan: Fanout[Item, Outcome] = Fanout(step)
    if len(todo) == 1:  # A thread of its own would buy nothing.
        fan._run(todo[0])
    else:
        try:
            fan.start(todo)
            fan.have_ended(_overdue_seconds())
        except BaseException:
            fan.have_ended(INTERRUPTED_SECONDS)
            raise
    fan.require_uninterrupted()
    late = {
        item: exception.OperationTimedOut(
            what=f'the step for {item} to end', seconds=OVERDUE_SECONDS
        )
        for item in fan.pending
    }
    return fan.results, {**late, **fan.errors}


def _overdue_seconds() -> float | None:
    """How long steps are waited for; ``None`` without an operation, which has no deadline."""
    left = bound.remaining() + OVERDUE_SECONDS
    return None if math.isinf(left) else left
