# SPDX-License-Identifier: Apache-2.0
"""What is told of operations while they run: to listeners, to the log, and to the notes.

::

    stop = os_brick.observe(print)      # Started(…), Step(…), Ended(…)
    ...
    stop()

A :class:`Course` is one operation under way. Its thread, and those that :mod:`os_brick.core.fanout`
starts for it, know it, so a step far below names itself and no more::

    with observe.step('log in', portal): ...

Without a listener and without a note a step costs less than a microsecond. A listener is called in
the thread that does the work, must be quick, and cannot harm it: what it raises is logged. No
record has a secret in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
import contextlib
import itertools
import threading
from typing import Any, Protocol, TypeAlias

from oslo_context import context
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import clock, forked, records, trace

LOG = logging.getLogger(__name__)

ATTACH, DETACH, EXTEND = 'attach', 'detach', 'extend'
DONE, FAILED, LEFT = 'done', 'failed', 'left'

_OPERATIONS = {'connect': ATTACH, 'disconnect': DETACH}
# As an operation's volume is shown in the log.
_LONGEST_NAME = 256


Started: TypeAlias = records.Started
Step: TypeAlias = records.Step
Ended: TypeAlias = records.Ended
Record: TypeAlias = records.Started | records.Step | records.Ended
Listener: TypeAlias = Callable[[Record], object]

# Replaced as a whole, so that it is read without a lock.
_listeners: tuple[Listener, ...] = ()
_guard = forked.Guard()
_numbers = itertools.count(1)


def observe(listener: Listener) -> Callable[[], None]:
    """Have a listener be told of every operation of this process; return what ends that."""
    global _listeners  # noqa: PLW0603 replaced as a whole
    with _guard:
        _listeners = (*_listeners, listener)

    def stop() -> None:
        global _listeners  # noqa: PLW0603 replaced as a whole
        with _guard:
            _listeners = tuple(each for each in _listeners if each is not listener)

    return stop


def _tell(record: Record) -> None:
    for listener in _listeners:
        try:
            listener(record)
        except Exception:  # No listener harms an operation.
            LOG.exception('A listener of os-brick failed: %s', trace.masked(listener))


class Ledger(Protocol):
    """What keeps a lasting record of an operation, under its lock; it never raises."""

    def begin(self, course: Course) -> None:
        """Have it be known that the operation has begun."""

    def reach(self, step: str) -> None:
        """Have it be known that a step has begun; called by several threads."""

    def end(self, course: Course, error: BaseException | None) -> None:
        """Have it be known how the operation has ended."""


class Course:
    """One operation under way, as it is told of.

    :ivar operation: ``attach``, ``detach``, ``extend``, or another one in words.
    :ivar key: what the volume is locked by.
    :ivar result: what an attach returns.
    :ivar identity: what an attach has proved the volume to be, if the result does not have it.
    :ivar wanted: the number of its paths; ``ready`` of them are open.
    :ivar problem: what has failed, though the operation has gone on.
    """

    def __init__(
        self, name: str, key: str, *, protocol: str = '', volume: str = '', attachment: str = ''
    ) -> None:
        self.operation = _OPERATIONS.get(name, name)
        self.key = key
        self.protocol = protocol
        self.volume_id = volume
        self.attachment_id = attachment
        self.result: Mapping[str, Any] | None = None
        self.identity = ''
        self.wanted = self.ready = 0
        self.problem: BaseException | None = None
        self.begun = clock.monotonic()
        self.number = next(_numbers)
        self.lock_seconds = 0.0
        self.ledger: Ledger | None = None

    @property
    def volume(self) -> str:
        """The volume as records have it: the caller's name of it, or else its key."""
        return self.volume_id or self.key

    @property
    def device(self) -> str:
        """The name of the device that an attach returns; empty if it is none."""
        path = (self.result or {}).get('path')
        return path.rpartition('/')[2] if isinstance(path, str) else ''

    @property
    def seconds(self) -> float:
        """How long it has lasted so far."""
        return clock.monotonic() - self.begun

    def returns(self, result: dict[str, Any]) -> dict[str, Any]:
        """Remember what an attach returns; return it."""
        self.result = result
        return result

    def count(self, *, wanted: int, ready: int) -> None:
        """Remember how many paths there are to the volume."""
        self.wanted, self.ready = wanted, ready

    def outcome(self, error: BaseException | None) -> str:
        """How it has ended, with this error or with none."""
        if error is None and self.problem is None:
            return DONE
        # Noted by core.undo on the error: what could not be taken back.
        is_left = self.problem is not None or bool(getattr(error, '__notes__', ()))
        return LEFT if is_left else FAILED

    def code(self, error: BaseException | None) -> str:
        """The class of the error that it has ended in; empty if there was none."""
        found = error or self.problem
        # Of several errors the first one tells most.
        first = found.__cause__ if isinstance(found, exception.ExceptionChainer) else None
        return type(first or found).__name__ if found is not None else ''

    def ended(self, error: BaseException | None) -> records.Ended:
        """The record of its end."""
        return Ended(
            operation=self.operation,
            protocol=self.protocol,
            volume=trace.one_line(self.volume[:_LONGEST_NAME]),
            outcome=self.outcome(error),
            seconds=self.seconds,
            lock_seconds=self.lock_seconds,
            code=self.code(error),
            device=self.device,
            wanted=self.wanted,
            ready=self.ready,
            request_id=_request_id(),
            number=self.number,
        )

    def started(self) -> records.Started:
        """The record of its beginning."""
        facts = (self.operation, self.protocol, self.volume, self.begun, _request_id())
        return Started(*facts, self.number)


class _Local(threading.local):
    course: Course | None = None


_local = _Local()
_NOTHING = contextlib.nullcontext()


def current() -> Course | None:
    """The operation that this thread works for; to be handed to other threads that do."""
    return _local.course


@contextlib.contextmanager
def within(course: Course | None) -> Iterator[None]:
    """Have this thread work for an operation during the block."""
    before, _local.course = _local.course, course
    try:
        yield
    finally:
        _local.course = before


@contextlib.contextmanager
def told(course: Course) -> Iterator[None]:
    """Tell that an operation begins, and how it ends."""
    if _listeners:
        _tell(course.started())
    error: BaseException | None = None
    try:
        with within(course):
            yield
    except BaseException as caught:
        error = caught
        raise
    finally:
        _end(course, error)


def _end(course: Course, error: BaseException | None) -> None:
    ended = course.ended(error)
    if _listeners:
        _tell(ended)
    if course.protocol:
        LOG.info('%s %s %s', ended.operation, ended.outcome, records.in_words(ended))


def _request_id() -> str:
    found = context.get_current()
    return str(getattr(found, 'request_id', '') or '') if found is not None else ''


def step(name: str, thing: object = '') -> contextlib.AbstractContextManager[Any]:
    """Tell of one step of the operation that this thread works for.

    :param name: the step, as a verb or a noun of one or two words.
    :param thing: what it is done with; its text is made only if there is a listener.
    """
    course = _local.course
    if course is None:
        return _NOTHING
    ledger = course.ledger  # Read once: the operation may end in another thread.
    if ledger is None and not _listeners:
        return _NOTHING
    return _step(course, ledger, name, thing)


@contextlib.contextmanager
def _step(course: Course, ledger: Ledger | None, name: str, thing: object) -> Iterator[None]:
    if ledger is not None:
        ledger.reach(name)
    begun = clock.monotonic()
    code = ''
    try:
        yield
    except BaseException as error:
        code = type(error).__name__
        raise
    finally:
        if _listeners:
            now = clock.monotonic()
            shown = trace.one_line(str(trace.masked(str(thing))))
            _tell(
                Step(
                    *(course.operation, course.protocol, course.volume, name, shown),
                    *(begun - course.begun, now - begun, code, course.number),
                )
            )
