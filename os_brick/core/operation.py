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

from os_brick.core import bound, locks, teardown, trace, undo, wait
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
    """

    deadline: wait.Deadline
    work: wait.Deadline
    clean_up_seconds: float
    undo: undo.Undo
    settings: Settings
    lock: locks.Hold

    @property
    def key(self) -> str:
        """The key of its lock: what its late work is known by, too."""
        return self.lock.key


def of(
    deadline: wait.Deadline, steps: undo.Undo, settings: Settings, lock: locks.Hold
) -> Operation:
    """An operation that has until ``deadline``; :func:`begin` makes the others."""
    return Operation(
        deadline,
        deadline.leaving(CLEAN_UP_SHARE),
        max(_LEAST_CLEAN_UP_SECONDS, deadline.remaining * CLEAN_UP_SHARE),
        steps,
        settings,
        lock,
    )


@contextlib.contextmanager
def begin(
    name: str, request: object, lock: tuple[str, str], settings: Settings
) -> Iterator[Operation]:
    """Hold a lock and an undo stack during the block, which has one deadline for all of it.

    The steps of the stack run under the lock, so no one sees what is half taken back.

    :param name: what is done, for the log.
    :param request: what is asked for, for the log; secrets are masked.
    :param settings: what is configured now; its ``operation_seconds`` are the time limit.
    :param lock: kind and key of the lock, as :func:`locks.hold` takes them.
    :raises OperationTimedOut: if another operation holds the lock until the deadline.
    """
    deadline = wait.Deadline.after(settings.operation_seconds)
    with (
        bound.until(deadline.at),
        trace.operation(name, request),
        locks.shared(*lock, deadline) as held,
        undo.Undo() as steps,
    ):
        yield of(deadline, steps, settings, held)


def remove(
    name: str,
    request: object,
    lock: tuple[str, str],
    settings: Settings,
    on_error: teardown.OnError,
    act: Callable[[Operation, teardown.Teardown], object],
) -> None:
    """Run a removal: as in a block of :func:`begin`, with the steps whose errors it collects.

    An error of ``act`` counts as a failed step, and so does a lock that is not free in time. What
    was collected is raised after the lock has been released. A function, because a ``with`` block
    cannot be left out, as it has to be where the lock is not free and errors are ignored.

    :raises ExceptionChainer: with what failed, where the removal goes on after errors.
    """
    steps = teardown.Teardown(on_error)

    def course() -> None:
        with begin(name, request, lock, settings) as op:
            act(op, steps)

    steps.run('operation', course)
    steps.end()
