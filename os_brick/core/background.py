# SPDX-License-Identifier: Apache-2.0
"""Work that goes on after an operation has returned, until it is done or called off.

One table of it, by the names of what it belongs to (a volume's lock key, its WWID). An operation
on the volume interrupts it (:func:`interrupt`), and a detach ends it (:func:`stop`). When the
interpreter exits, what is under way is called off and waited for.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable
import dataclasses
import threading

from oslo_context import context
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import clock, forked

LOG = logging.getLogger(__name__)

# The pause after a try is at least so many times as long as the try was: a try may hold the
# volume's lock, which others want.
_PAUSE_SHARE = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
# How long an exiting interpreter waits for what is under way.
EXIT_SECONDS = 20.0

_running: list[Work] = []
# The threads of the table are the parent's in a forked process.
_guard = forked.Guard(_running.clear)


@dataclasses.dataclass(frozen=True, slots=True)
class Pauses:
    """How long nothing is tried, in seconds; each pause is twice the one before.

    :ivar longest: the longest one.
    :ivar not_ready: the longest one while a path is not ready: a volume becomes so in minutes, a
        standby path perhaps never, and each try has its device read its capacity anew.
    """

    first: float
    longest: float
    not_ready: float = 60.0

    def after(self, pause: float, error: Exception | None) -> float:
        """The next one, after a try that has ended in this error, or in none."""
        is_not_ready = isinstance(error, exception.PathNotReady)
        longest = max(self.longest, self.not_ready) if is_not_ready else self.longest
        return min(pause * 2, longest)


def _nothing() -> None:
    """Have nothing to interrupt."""


class Work:
    """Something under way.

    :ivar called_off: set once it is of no use to anyone any more.
    :ivar ended: set once nothing of it is under way.
    """

    def __init__(
        self, names: Iterable[str], what: str, interrupt: Callable[[], None] = _nothing
    ) -> None:
        """Enter it into the table.

        :param names: what it belongs to.
        :param what: what is done, for the log.
        :param interrupt: has what is under way at this moment end soon.
        """
        self._names = frozenset(names) - {''}
        self.what = what
        self.interrupt = interrupt
        self.called_off = threading.Event()
        self.ended = threading.Event()
        with _guard:
            _running.append(self)

    def add_name(self, name: str) -> None:
        """Have it belong to one more thing."""
        with _guard:
            self._names |= {name} - {''}

    def belongs_to(self, names: Iterable[str]) -> bool:
        """Whether it belongs to one of these."""
        return not self._names.isdisjoint(names)

    def stop(self) -> None:
        """Call it off: no step begins after this."""
        self.called_off.set()
        self.interrupt()

    def end(self) -> None:
        """Take it out of the table."""
        with _guard:
            if self in _running:
                _running.remove(self)
        self.ended.set()


def _of(names: Iterable[str]) -> list[Work]:
    wanted = frozenset(names)
    with _guard:
        return [work for work in _running if work.belongs_to(wanted)]


def follow(
    names: Iterable[str],
    what: str,
    step: Callable[[threading.Event], bool],
    pauses: Pauses,
    interrupt: Callable[[], None] = _nothing,
) -> None:
    """Call ``step`` in a thread of its own again and again until it answers ``True``.

    An error of the step is logged, and the next try comes after the next pause. The step gets an
    event that is set once it is called off, to be looked at where it matters: under the lock.

    :param names: what the work belongs to, for :func:`stop`.
    :param what: what is done, for the log.
    :param interrupt: has a step that is under way end soon.
    """
    work = Work(names, what, interrupt)
    request = context.get_current()

    def run() -> None:
        if request is not None:
            request.update_store()
        try:
            _repeat(step, work, pauses)
        finally:
            work.end()

    try:
        threading.Thread(target=run, name=f'os-brick {what}', daemon=True).start()
    except BaseException:
        work.end()
        raise


def _repeat(step: Callable[[threading.Event], bool], work: Work, pauses: Pauses) -> None:
    wanted = pause = pauses.first
    while not work.called_off.wait(wanted):
        begun = clock.monotonic()
        why: Exception | None = None
        try:
            if step(work.called_off):
                return
        except Exception as error:  # noqa: BLE001 the next try may go better
            why = error
            LOG.info('%s: failed, and is tried again: %s', work.what, error)
        pause = pauses.after(pause, why)
        busy = (clock.monotonic() - begun) * _PAUSE_SHARE
        wanted = max(pause, min(busy, _LONGEST_PAUSE_SECONDS))


def interrupt(*names: str) -> None:
    """Have what is under way for these names end soon; it may try again later."""
    for work in _of(names):
        work.interrupt()


def stop(*names: str) -> None:
    """Call off what goes on for these names: no step begins after this."""
    for work in _of(names):
        work.stop()


def stop_all(seconds: float) -> bool:
    """Call off everything, and wait for it; returns whether all has ended in time."""
    with _guard:
        todo = list(_running)
    for work in todo:
        work.stop()
    ends = clock.monotonic() + seconds
    return all(work.ended.wait(max(0.0, ends - clock.monotonic())) for work in todo)


def _at_exit() -> None:
    # Daemon threads run until all exit handlers have returned (CPython, Py_FinalizeEx).
    if not stop_all(EXIT_SECONDS):
        LOG.warning('The process ends while paths to volumes are being taken back')


atexit.register(_at_exit)
