# SPDX-License-Identifier: Apache-2.0
"""The first try at each path of an attach: side by side, until no other is worth waiting for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any, Generic, TypeVar

from os_brick import exception
from os_brick.core import clock, fanout, wait
from os_brick.paths.driver import Driver
from os_brick.plans import paths as plans
from os_brick.plans import verdicts

P = TypeVar('P')


class FirstTries(Generic[P]):
    """The threads of the first tries, what they ended in, and when to stop waiting for them.

    What is open belongs to the caller: only the numbers are asked for here.
    """

    def __init__(
        self,
        attempt: Callable[[P], None],
        policy: plans.Policy,
        deadline: wait.Deadline,
        counts: Callable[[frozenset[P]], tuple[int, int]],
    ) -> None:
        """Prepare for a round.

        :param attempt: tries one path, in a thread of its own.
        :param counts: how many paths are open, and how many of the pending ones have responded.
        """
        self._fan: fanout.Fanout[P, None] = fanout.Fanout(attempt)
        self._policy = policy
        self._deadline = deadline
        self._counts = counts

    def make(self, paths: Sequence[P]) -> None:
        """Try each path once; return when those that are open are enough, or none can be."""
        started = clock.monotonic()
        enough_at = 0.0

        def may_stop_waiting() -> bool:
            nonlocal enough_at
            progress = self._progress(clock.monotonic() - started, enough_at)
            if not enough_at and progress.ready >= self._policy.wanted:
                enough_at = progress.seconds
                progress = dataclasses.replace(progress, enough_at=enough_at)
            return plans.may_stop_waiting(progress, self._policy) or self._is_hopeless(progress)

        self._fan.start(paths)
        self._fan.wait_for(may_stop_waiting, self._deadline)

    def _progress(self, seconds: float, enough_at: float) -> plans.Progress:
        pending = self._fan.pending
        ready, responding = self._counts(pending)
        return plans.Progress(seconds, ready, responding, len(pending) - responding, enough_at)

    def _is_hopeless(self, progress: plans.Progress) -> bool:
        found = map(verdicts.verdict, self.errors.values())
        return not progress.ready and verdicts.Verdict.FOR_ALL in found

    @property
    def errors(self) -> dict[P, Exception]:
        """What the tries that failed ended in, by path."""
        return self._fan.errors

    def are_unreachable(self) -> bool:
        """Whether all have ended, and each of them without an answer from its portal."""
        found = {verdicts.verdict(error) for error in self.errors.values()}
        return not self._fan.pending and found == {verdicts.Verdict.UNREACHABLE}

    def require_one_volume(self) -> None:
        """Check that no path has led to another volume, where that forbids the attach.

        :raises VolumeIdentityMismatch: that of the path.
        """
        for error in self.errors.values():
            is_wrong = verdicts.verdict(error) is verdicts.Verdict.WRONG_VOLUME
            if is_wrong and self._policy.is_mismatch_fatal:
                raise error

    def failures(self) -> list[str]:
        """What the paths that could not be opened ended in."""
        return [_named(path, error) for path, error in self.errors.items()]

    def error(self, paths: Sequence[P], driver: Driver[P, Any]) -> Exception:
        """Return why no path is open: the error that decides, or all of them in one."""
        known = self.errors
        errors = {path: known[path] for path in paths if path in known}
        late = [f'{path}: no answer in time' for path in paths if path not in errors]
        pending = [exception.BrickException(text) for text in late]
        deciding = verdicts.deciding_error([*errors.values(), *pending])
        if deciding is not None:
            return deciding
        texts = [_named(path, error) for path, error in errors.items()]
        return driver.summary([*texts, *late], list(errors.values()))


def _named(path: object, error: Exception) -> str:
    text = str(error)
    return text if str(path) in text else f'{path}: {text}'
