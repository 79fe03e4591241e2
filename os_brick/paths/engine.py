# SPDX-License-Identifier: Apache-2.0
"""The ways to one volume, opened side by side for an attach.

A way that is late is not waited for. Its thread goes on after the attach has returned, and the
way joins the volume then, unless the volume has gone by that time.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
import contextlib
import enum
import functools
import threading
from typing import ClassVar, Generic, TypeVar

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import background, clock, fanout, locks, wait
from os_brick.plans import paths as plans

LOG = logging.getLogger(__name__)
Way = TypeVar('Way')
Brought = TypeVar('Brought')

# Pauses between two tries to open a way that is late.
RETRY_PAUSES = (1.0, 10.0)
# A late way holds the volume's lock while it opens, and a detach waits for it.
LATE_SECONDS = 20.0


class _State(enum.Enum):
    OPENING = 'ways are opened for an attach'
    JOINING = 'the attach has its volume; further ways join it'
    ABANDONED = 'the attach has failed'


class Opening(abc.ABC, Generic[Way, Brought]):
    """The opening of all ways to a volume for one attach.

    A protocol says how one way is opened, taken back, and joined to the volume.

    :param key: what the volume is locked by.
    :param clean_up_seconds: what taking back may take after the deadline.
    """

    # Errors that say alone why there is no volume, whatever the other ways ended in.
    deciding: ClassVar[tuple[type[Exception], ...]] = (exception.VolumeIdentityMismatch,)

    # What a way gets that has no answer from its portal, at least, in seconds from the start.
    least_silent: ClassVar[float] = plans.LEAST_SILENT_SECONDS

    # Errors of one way that hold for all, so that no other is worth waiting for.
    ending: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(
        self, key: str, ways: Sequence[Way], deadline: wait.Deadline, clean_up_seconds: float
    ) -> None:
        self._key = key
        self._ways = tuple(ways)
        self._deadline = deadline
        self._clean_up_seconds = clean_up_seconds
        self._answered: set[Way] = set()
        self._guard = threading.Lock()
        self._state = _State.OPENING
        self._brought: dict[Way, Brought] = {}
        self._fan: fanout.Fanout[Way, None] = fanout.Fanout(self._open)
        self._ask_first = True

    @abc.abstractmethod
    def _open_way(self, way: Way, deadline: wait.Deadline, *, ask_first: bool) -> Brought:
        """Open one way; what was made for it is taken back if it does not end well.

        :param ask_first: whether a portal that does not answer is worth no try.
        """

    @abc.abstractmethod
    def _take_back(self, brought: Brought, deadline: wait.Deadline) -> None:
        """Take back what was made for a way."""

    @abc.abstractmethod
    def _join(self, brought: Brought, deadline: wait.Deadline) -> None:
        """Give a late way to the volume.

        :raises BrickException: if it leads to another one.
        """

    @abc.abstractmethod
    def _is_here(self, besides: Brought | None = None) -> bool:
        """Whether the volume that was attached is still here.

        :param besides: a late way, which is no reason for the volume to be here.
        """

    @abc.abstractmethod
    def _is_silent(self, error: Exception) -> bool:
        """Whether a way that ended so was never really tried: its portal does not answer."""

    @abc.abstractmethod
    def _is_final(self, error: Exception) -> bool:
        """Whether a way that ended so is worth no other try: its target has said no."""

    def _is_fatal(self, error: Exception) -> bool:
        """Whether a way that ended so forbids the attach, even if others are open."""
        return False

    @abc.abstractmethod
    def summary(self, texts: list[str], errors: list[Exception]) -> Exception:
        """The error of an attach that no way has opened for."""

    def run(self, wanted: int = 1) -> list[Brought]:
        """Open the ways; return those that are open when no other is worth waiting for.

        :param wanted: so many ways are waited for as long as they may come.
        :raises BrickException: if none is open by the deadline.
        """
        if self._deadline.passed:
            raise exception.OperationTimedOut(
                what=f'{self._ways[0]}', seconds=round(self._deadline.seconds, 1)
            )
        self._start_and_wait(wanted)
        if not self._brought and self._all_silent():
            # This process may see another network than the initiator does: that one decides.
            self._ask_first = False
            self._start_and_wait(wanted)
        with self._guard:
            found = [self._brought[way] for way in self._ways if way in self._brought]
        if not found:
            raise self._error()
        for error in self._fan.errors.values():
            if self._is_fatal(error):
                raise error
        return found

    def _all_silent(self) -> bool:
        errors = self._fan.errors
        return not self._fan.pending and all(self._is_silent(e) for e in errors.values())

    def _start_and_wait(self, wanted: int) -> None:
        started = clock.monotonic()
        enough_at = 0.0

        def is_enough() -> bool:
            nonlocal enough_at
            seconds = clock.monotonic() - started
            if not enough_at and len(self._brought) >= wanted:
                enough_at = seconds
            progress = self._progress(seconds, enough_at)
            return plans.may_go_on(progress, wanted, self.least_silent) or self._is_hopeless()

        self._fan.start(self._ways)
        self._fan.wait_for(is_enough, self._deadline)

    def _is_hopeless(self) -> bool:
        errors = self._fan.errors.values()
        return not self._brought and any(isinstance(error, self.ending) for error in errors)

    def failures(self) -> list[str]:
        """What the ways that could not be opened ended in."""
        return [_named(way, error) for way, error in self._fan.errors.items()]

    def _progress(self, seconds: float, enough_at: float) -> plans.Progress:
        pending = self._fan.pending
        answering = len(pending & self._answered)
        return plans.Progress(
            seconds=seconds,
            ready=len(self._brought),
            answering=answering,
            silent=len(pending) - answering,
            enough_at=enough_at,
        )

    def _open(self, way: Way) -> None:
        brought = self._open_way(way, self._deadline, ask_first=self._ask_first)
        with self._guard:
            if self._state is _State.OPENING:
                self._brought[way] = brought
                return
        deadline = wait.Deadline.after(LATE_SECONDS)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locks.hold(locks.VOLUME, self._key, deadline))
            except Exception:
                self._take_back(brought, self._clean_up())
                raise
            self._join_late(way, brought, deadline)

    def _join_late(self, way: Way, brought: Brought, deadline: wait.Deadline) -> None:
        """Give a way to the volume; under the volume's lock.

        :raises BrickException: if nobody wants it any more; it is taken back.
        """
        try:
            if self._state is not _State.JOINING or not self._is_here(brought):
                raise exception.BrickException(f'{way} is late: the volume has gone')
            self._join(brought, deadline)
        except Exception:
            self._take_back_alone(brought)
            raise
        with self._guard:
            self._brought[way] = brought
        LOG.info('%s has joined its volume', way)

    def _error(self) -> Exception:
        known = self._fan.errors
        errors = {way: known[way] for way in self._ways if way in known}
        late = [f'{way}: no answer in time' for way in self._ways if way not in errors]
        pending = [exception.BrickException(text) for text in late]
        deciding = plans.deciding_error([*errors.values(), *pending], self.deciding)
        if deciding is not None:
            return deciding
        said = [_named(way, error) for way, error in errors.items()]
        return self.summary([*said, *late], list(errors.values()))

    def drop(self, way: Way) -> None:
        """Take back one way, which leads to another volume, for good."""
        with self._guard:
            brought = self._brought.pop(way, None)
            self._ways = tuple(each for each in self._ways if each != way)
        if brought is not None:
            self._take_back_alone(brought)

    def _take_back_alone(self, brought: Brought) -> None:
        """Take back one way, of which nothing else of this attach is left."""
        try:
            self._take_back(brought, self._clean_up())
        finally:
            self._after_taking_back([brought])

    def keep_joining(self) -> None:
        """Have the ways that are missing join the volume whenever they can."""
        with self._guard:
            self._state = _State.JOINING
            missing = [way for way in self._ways if way not in self._brought]
        for way in missing:
            error = self._fan.errors.get(way)
            if error is not None and self._is_final(error):
                LOG.warning('%s is not used: %s', way, error)
                continue
            LOG.warning('%s is missing so far and joins when it can', way)
            again = functools.partial(self._try_again, way)
            background.follow(self._key, f'{way} joins its volume', again, RETRY_PAUSES)

    def _try_again(self, way: Way) -> bool:
        """Whether nothing is left to be done for a late way."""
        if way in self._brought or not self._is_here():
            return True
        if way in self._fan.pending:
            return False
        error = self._fan.errors.get(way)
        if error is not None and self._is_final(error):
            return True
        try:
            self._open_late(way)
        except exception.BrickException as error:
            if not self._is_final(error):
                raise
            LOG.warning('%s is not used: %s', way, error)
        return True

    def _open_late(self, way: Way) -> None:
        deadline = wait.Deadline.after(LATE_SECONDS)
        self._before_late(way, deadline)
        with locks.hold(locks.VOLUME, self._key, deadline):
            if not self._is_here():
                return
            brought = self._open_way(way, deadline, ask_first=True)
            self._join_late(way, brought, deadline)

    def _before_late(self, way: Way, deadline: wait.Deadline) -> None:
        """Find out whether a late way answers, before anybody has to wait for it."""

    def stop(self) -> None:
        """Have what opens later be taken back."""
        with self._guard:
            self._state = _State.ABANDONED

    def abandon(self) -> None:
        """Take back everything: what is open now, and what opens later."""
        with self._guard:
            self._state = _State.ABANDONED
            brought, self._brought = list(self._brought.values()), {}
        deadline = self._clean_up()
        self._before_taking_back(brought, deadline)
        _, errors = fanout.fanout(
            lambda number: self._take_back(brought[number], deadline), range(len(brought))
        )
        self._after_taking_back(brought)
        for error in errors.values():
            raise error

    def _before_taking_back(self, brought: list[Brought], deadline: wait.Deadline) -> None:
        """Take apart what was built on the ways of an attach that has failed."""

    def _after_taking_back(self, brought: list[Brought]) -> None:
        """Forget what was noted of the volume."""

    def _is_wanted(self) -> bool:
        """Whether a way that is being opened is of use to anybody still."""
        if self._state is _State.JOINING:
            return self._is_here()
        return self._state is _State.OPENING

    def _clean_up(self) -> wait.Deadline:
        return wait.Deadline.after(self._clean_up_seconds)


def _named(way: object, error: Exception) -> str:
    text = str(error)
    return text if str(way) in text else f'{way}: {text}'
