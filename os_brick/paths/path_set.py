# SPDX-License-Identifier: Apache-2.0
"""The paths of one attach: their threads, their late tries, and who owns what they make.

What a path makes is in the undo stack of its :class:`~os_brick.paths.attempt.Attempt`. An attempt
makes something only while it shares the volume's lock, and gives its share back once all of it
belongs to the volume or has been taken back. So no other attach or detach of the volume, in
whatever process, begins while something half made is about.
"""

from __future__ import annotations

from collections.abc import Sequence
import enum
import functools
import threading
from typing import Generic, TypeVar

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import background, locks, observe, operation, turns, undo, wait
from os_brick.paths.attempt import Attempt
from os_brick.paths.driver import Assembly, Driver
from os_brick.paths.first_tries import FirstTries
from os_brick.paths.held import Held, close, close_of, steps
from os_brick.plans import paths as plans
from os_brick.plans import verdicts

LOG = logging.getLogger(__name__)
P = TypeVar('P')
O = TypeVar('O')  # noqa: E741 an open path

# Pauses between two tries to open a late path.
RETRY_PAUSES = background.Pauses(1.0, 10.0)
# A late path holds the volume's lock while it opens, and a detach waits for it.
LATE_SECONDS = 20.0
# How long a late path's portal may take to answer; nothing waits for it.
_REACH_SECONDS = 3.0


class _State(enum.Enum):
    OPENING = 'paths are opened for an attach'
    ASSEMBLING = 'enough are open, and the volume is put together'
    JOINING = 'the attach has its volume; late paths are added to it'
    ENDED = 'the attach has failed, or wants no further paths'


class PathSet(Generic[P, O]):
    """The paths of one attach.

    ``_state``, ``_open``, ``_paths`` and ``_attempts`` are read and written under ``_guard``. The
    other fields are set once. Nothing that waits is done under the guard.
    """

    def __init__(
        self,
        driver: Driver[P, O],
        assembly: Assembly[O],
        paths: Sequence[P],
        policy: plans.Policy,
        op: operation.Operation,
        deadline: wait.Deadline | None = None,
        turn: turns.Turn | None = None,
    ) -> None:
        """Prepare for opening.

        :param deadline: by when the paths are to be open; by default the operation's work.
        :param turn: taken once a path can be reached, until the volume is there or is given up.
        """
        self._driver = driver
        self._assembly = assembly
        self._op = op
        self._deadline = deadline or op.work
        self._guard = threading.Condition()
        self._state = _State.OPENING
        self._paths = tuple(paths)
        self._open: dict[P, Held[O]] = {}
        self._attempts: dict[P, Attempt] = {}
        self._ask = True  # Written before the threads that read it are started.
        self._joining = threading.Lock()
        self._tries = FirstTries(self._first_try, policy, self._deadline, self._counts)
        self._work: background.Work | None = None
        self._turn = turn
        self._attempt = functools.partial(
            Attempt,
            guard=self._guard,
            is_wanted=self._is_wanted,
            clean_up_seconds=op.clean_up_seconds,
        )

    def __str__(self) -> str:
        return f'paths to {self._op.key}'

    # The attach's own thread.

    def open(self) -> list[O]:
        """Open the paths; return those that are open when no other is worth waiting for.

        From here on they are closed if the operation fails.

        :raises BrickException: if none is open by the deadline.
        """
        self._op.undo.adopt(self)
        if self._deadline.passed:
            raise exception.OperationTimedOut(
                what=f'{self._paths[0]}', seconds=round(self._deadline.seconds, 1)
            )
        self._work = background.Work([self._op.key], f'{self}', self._interrupt_attempts)
        self._tries.make(self._paths)
        if self._tries.are_unreachable() and not self._counts(frozenset())[0]:
            # This process may see another network than the initiator does: that one decides.
            self._ask = False
            self._tries.make(self._paths)
        with self._guard:
            self._state = _State.ASSEMBLING
            found = [self._open[path].opened for path in self._paths if path in self._open]
        if not found:
            raise self._tries.error(self._paths, self._driver)
        self._tries.require_one_volume()
        return found

    def _counts(self, pending: frozenset[P]) -> tuple[int, int]:
        with self._guard:
            responding = [path for path, each in self._attempts.items() if each.is_responding]
            return len(self._open), len(pending.intersection(responding))

    def failures(self) -> list[str]:
        """What the paths that could not be opened ended in."""
        return self._tries.failures()

    def exclude(self, path: P) -> None:
        """Take back one path, which leads to another volume, for good."""
        with self._guard:
            self._paths = tuple(each for each in self._paths if each != path)
        close_of(self._open, (path,), self._guard, self._assembly, self._clean_up())

    def keep(self) -> None:
        """Use the paths that are open; what opens later is taken back."""
        with self._guard:
            self._op.course.count(wanted=len(self._paths), ready=1)
            self._state = _State.ENDED
            for attempt in self._attempts.values():
                attempt.call_off()
            self._guard.notify_all()
        self._end_work()

    def add_in_background(self) -> None:
        """Have the missing paths join the volume whenever they can.

        A path that is in the middle of something goes on, with its share of the volume's lock,
        and joins; one that has made nothing yet is tried again later.
        """
        with self._guard:
            self._state = _State.JOINING
            self._op.course.count(wanted=len(self._paths), ready=len(self._open))
            for attempt in self._attempts.values():
                attempt.call_off(unless_begun=True)
            missing = [path for path in self._paths if path not in self._open]
            self._guard.notify_all()
        if self._work is not None:
            self._work.add_name(self._assembly.wwid)
        for path in missing:
            error = self._tries.errors.get(path)
            if error is not None and not verdicts.verdict(error).may_retry:
                LOG.warning('%s is not used: %s', path, error)
                continue
            LOG.warning('%s is missing so far; it will join when it can', path)
            self._follow(path)
        self._end_work()

    def _follow(self, path: P) -> None:
        background.follow(
            [self._op.key, self._assembly.wwid],
            f'{path} joins its volume',
            lambda called_off: self._late_try(path, called_off),
            RETRY_PAUSES,
            self._interrupt_attempts,
        )

    def take_back(self) -> None:
        """Close everything that is open, and wait for what is in the middle of something.

        What does not end in time keeps its share of the volume's lock until it has taken back
        what it has made.
        """
        with self._guard:
            self._state = _State.ENDED
            for attempt in self._attempts.values():
                attempt.call_off()
            paths = tuple(self._open)
            self._guard.notify_all()
        deadline = self._clean_up()
        try:
            close_of(self._open, paths, self._guard, self._assembly, deadline)
        finally:
            self._wait_for_attempts(deadline)
            self._end_work()

    def steps(self) -> list[undo.Data]:
        """The steps that close what is open now, first made first."""
        with self._guard:
            held = list(self._open.values())
        return steps(self._assembly, held, self._op.clean_up_seconds)

    def _wait_for_attempts(self, deadline: wait.Deadline) -> None:
        def are_over() -> bool:
            with self._guard:
                return not any(attempt.is_begun for attempt in self._attempts.values())

        if not wait.holds(are_over, deadline):
            LOG.warning(
                '%s: a step that is still under way keeps the volume locked until it ends', self
            )

    # The threads of single paths.

    def _first_try(self, path: P) -> None:
        attempt = self._attempt(
            f'{path}', lock=self._op.lock, deadline=self._deadline, ask=self._ask
        )
        with self._guard:
            self._attempts[path] = attempt
            if self._state is _State.ENDED:
                attempt.call_off()
        try:
            self._deliver(path, self._opened(path, attempt), attempt)
        finally:
            self._forget(path, attempt)

    def _opened(self, path: P, attempt: Attempt) -> O:
        with attempt.made.on_error():
            if self._driver.reachable(path, attempt.deadline, ask=attempt.ask):
                attempt.respond()
            if self._turn and attempt.ask:  # What has not answered takes none: it may hang.
                with observe.step('await turn', path):
                    self._turn.take(attempt.deadline, attempt.check)
            return self._driver.open(path, attempt)

    def _deliver(self, path: P, opened: O, attempt: Attempt) -> None:
        """Hand over what an attempt has made: to the attach, or to the volume it has become."""
        held = Held(opened, attempt.made)
        with self._guard:
            if self._state is _State.OPENING and not attempt.is_called_off:
                self._open[path] = held
                return
        try:
            attempt.begin()
            with self._guard:
                # The attach decides by its deadline; it must not be waited for in vain.
                longest = max(LATE_SECONDS, self._op.work.remaining)
                self._guard.wait_for(lambda: self._state is not _State.ASSEMBLING, longest)
            self._join(path, held, attempt)
        except BaseException:
            close(self._assembly, [held], self._clean_up())
            raise

    def _join(self, path: P, held: Held[O], attempt: Attempt) -> None:
        """Give a late path to its volume.

        :raises BrickException: if the volume has gone, or the path leads to another one.
        """
        with self._joining:  # Several first tries share the volume's lock.
            attempt.begin()
            with self._guard:
                is_joining = self._state is _State.JOINING
            if not is_joining or not self._assembly.is_present(without=held.opened):
                raise verdicts.CalledOff(path=path)
            self._assembly.add(held.opened, wait.Deadline.after(LATE_SECONDS))
        with self._guard:
            if self._state is not _State.JOINING:
                raise verdicts.CalledOff(path=path)
            self._open[path] = held
        LOG.info('%s has joined its volume', path)

    def _late_try(self, path: P, called_off: threading.Event) -> bool:
        """Try a late path once; return ``True`` when no further try is needed."""
        with self._guard:
            if path in self._open or self._state is not _State.JOINING:
                return True
            if path in self._attempts:
                return False
        error = self._tries.errors.get(path)
        is_final = error is not None and not verdicts.verdict(error).may_retry
        if is_final or not self._assembly.is_present():
            return True
        deadline = wait.Deadline.after(LATE_SECONDS)
        try:
            self._driver.reachable(path, deadline.within(_REACH_SECONDS), ask=True)
            with locks.shared(locks.VOLUME, self._op.key, deadline) as lock:
                self._open_late(path, called_off, lock, deadline)
        except exception.BrickException as error:
            if verdicts.verdict(error).may_retry:
                raise
            LOG.warning('%s is not used: %s', path, error)
        return True

    def _open_late(
        self, path: P, called_off: threading.Event, lock: locks.Hold, deadline: wait.Deadline
    ) -> None:
        attempt = self._attempt(f'{path}', lock=lock, deadline=deadline, ask=True)
        with self._guard:
            if called_off.is_set() or self._state is not _State.JOINING:
                return
            self._attempts[path] = attempt
        try:
            if self._assembly.is_present():
                opened = self._opened(path, attempt)
                self._deliver(path, opened, attempt)
        finally:
            self._forget(path, attempt)

    def _forget(self, path: P, attempt: Attempt) -> None:
        attempt.end()
        with self._guard:
            self._attempts.pop(path, None)
        self._end_work()

    def _is_wanted(self) -> bool:
        with self._guard:
            state = self._state
        if state is _State.JOINING:
            return self._assembly.is_present()
        return state is not _State.ENDED

    def _interrupt_attempts(self) -> None:
        """Have late paths end soon, because another operation on the volume waits."""
        with self._guard:
            if self._state is _State.JOINING:
                for attempt in self._attempts.values():
                    attempt.call_off()

    def _end_work(self) -> None:
        """Give the turn back once the attach is over; end the work once no attempt is under way."""
        with self._guard:
            has_joined = self._state is _State.JOINING
            is_decided = has_joined or self._state is _State.ENDED
            is_over = is_decided and not any(each.is_begun for each in self._attempts.values())
        if is_decided and self._turn is not None:
            self._turn.give(counts=has_joined)
        if is_over and self._work is not None:
            self._work.end()

    def _clean_up(self) -> wait.Deadline:
        return wait.Deadline.after(self._op.clean_up_seconds)
