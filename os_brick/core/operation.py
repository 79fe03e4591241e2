# SPDX-License-Identifier: Apache-2.0
"""The course of one operation, to be held by whatever has one: deadline, lock, trace, undo.

::

    with operation.begin('connect', request, lock, settings) as op:
        ...            # every wait obeys op.work
        op.undo.add(step, ...)

    def act(op, steps):
        steps.run('flush of sda', ...)

    operation.remove('disconnect', request, lock, settings, on_error, act)

A block connector, an encryptor, a mount and a command use the same one. Nothing of an
operation is kept on the object that runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import threading
from typing import Protocol

from os_brick.core import bound, locks, observe, teardown, trace, undo, wait
from os_brick.model.settings import Settings

# The share of the deadline that is kept for taking back what an operation has done.
CLEAN_UP_SHARE = 0.15
_LEAST_CLEAN_UP_SECONDS = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One operation under way.

    :ivar deadline: when it ends at the latest, taking back included.
    :ivar work: when its work ends; what is left of ``deadline`` then is for taking back.
    :ivar clean_up_seconds: how long taking back may take once ``work`` has passed.
    :ivar undo: what takes back what it has done, if it ends in an error.
    :ivar lock: its lock, which threads that may outlive it share.
    :ivar settings: what was configured when it began; read from here and nowhere else.
    :ivar course: what is told of it.
    """

    deadline: wait.Deadline
    work: wait.Deadline
    clean_up_seconds: float
    undo: undo.Undo
    settings: Settings
    lock: locks.Hold
    course: observe.Course

    @property
    def key(self) -> str:
        """The key of its lock: what its late work is known by, too."""
        return self.lock.key


class Ledger(observe.Ledger, Protocol):
    """What keeps a record of an operation that outlasts the process."""

    def course(self, name: str, key: str) -> observe.Course:
        """The operation, with what is known of its volume."""


def of(
    deadline: wait.Deadline,
    steps: undo.Undo,
    settings: Settings,
    lock: locks.Hold,
    course: observe.Course | None = None,
) -> Operation:
    """An operation that has until ``deadline``; :func:`begin` makes the others."""
    return Operation(
        deadline,
        deadline.leaving(CLEAN_UP_SHARE),
        max(_LEAST_CLEAN_UP_SECONDS, deadline.remaining * CLEAN_UP_SHARE),
        steps,
        settings,
        lock,
        course or observe.Course('operation', lock.key),
    )


def looking(key: str, settings: Settings) -> Operation:
    """One that only looks, and so holds no lock."""
    deadline = wait.Deadline.after(settings.operation_seconds)
    return of(deadline, undo.Undo(), settings, locks.Hold(key, lambda: None))


class _Local(threading.local):
    check: Callable[[], None] | None = None


_local = _Local()


@contextlib.contextmanager
def only_if(check: Callable[[], None]) -> Iterator[None]:
    """Have the operations that this thread begins be checked under their lock, before they act.

    :param check: raises what forbids one.
    """
    before, _local.check = _local.check, check
    try:
        yield
    finally:
        _local.check = before


def check_now() -> None:
    """Have an operation that takes no lock be checked before it acts, as :func:`begin` does."""
    if _local.check is not None:
        _local.check()


@contextlib.contextmanager
def begin(
    name: str,
    request: object,
    lock: tuple[str, str],
    settings: Settings,
    ledger: Ledger | None = None,
) -> Iterator[Operation]:
    """Hold a lock and an undo stack during the block, which has one deadline for all of it.

    The steps of the stack run under the lock, so no one sees what is half taken back.

    :param name: what is done, for the log.
    :param request: what is asked for, for the log; secrets are masked.
    :param settings: what is configured now; its ``operation_seconds`` are the time limit.
    :param lock: kind and key of the lock, as :func:`locks.hold` takes them.
    :param ledger: what keeps a record of it, under the lock.
    :raises OperationTimedOut: if another operation holds the lock until the deadline.
    """
    deadline = wait.Deadline.after(settings.operation_seconds)
    key = lock[1]
    course = ledger.course(name, key) if ledger is not None else observe.Course(name, key)
    with (
        bound.until(deadline.at),
        trace.operation(name, request),
        observe.told(course),
        _locked(lock, deadline, course) as held,
        undo.Undo() as steps,  # For an interrupt while the record is written.
        _recorded(course, ledger),
        steps.on_error(),
    ):
        check_now()
        yield of(deadline, steps, settings, held, course)


@contextlib.contextmanager
def _locked(
    lock: tuple[str, str], deadline: wait.Deadline, course: observe.Course
) -> Iterator[locks.Hold]:
    with contextlib.ExitStack() as stack:
        with observe.step('lock', lock[1]):
            held = stack.enter_context(locks.shared(*lock, deadline))
        course.lock_seconds = course.seconds
        yield held


@contextlib.contextmanager
def _recorded(course: observe.Course, ledger: Ledger | None) -> Iterator[None]:
    if ledger is None:
        yield
        return
    error: BaseException | None = None
    try:
        ledger.begin(course)
        course.ledger = ledger
        yield
    except BaseException as caught:
        error = caught
        raise
    finally:
        # A thread that is late must not write after the end.
        course.ledger = None
        ledger.end(course, error)


def remove(
    name: str,
    request: object,
    lock: tuple[str, str],
    settings: Settings,
    on_error: teardown.OnError,
    act: Callable[[Operation, teardown.Teardown], object],
    ledger: Ledger | None = None,
) -> None:
    """Run a removal: as in a block of :func:`begin`, with the steps whose errors it collects.

    An error of ``act`` counts as a failed step, and so does a lock that is not free in time. What
    was collected is raised after the lock has been released. A function, because a ``with`` block
    cannot be left out, as it has to be where the lock is not free and errors are ignored.

    :raises ExceptionChainer: with what failed, where the removal goes on after errors.
    """
    steps = teardown.Teardown(on_error)

    def course() -> None:
        with begin(name, request, lock, settings, ledger) as op:
            try:
                act(op, steps)
            except BaseException as error:
                if steps.has_acted:
                    op.course.problem = error
                raise
            op.course.problem = steps.problem

    steps.guard('operation', course)
    steps.end()
