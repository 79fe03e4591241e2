# SPDX-License-Identifier: Apache-2.0
"""A driver and a volume that need no host: what is open is a name in ``HOST``."""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import threading

from os_brick import exception
from os_brick.core import locks, operation, undo, wait
from os_brick.model import settings
from os_brick.paths.attempt import Attempt

KEY = 'fake 1'
SETTINGS = settings.Settings(operation_seconds=60.0)
HOST: set[str] = set()


@undo.verb
def leave(name: str) -> None:
    HOST.discard(name)


class Driver:
    """Opens each path; one that there is an error for has made something when it fails.

    :param late: the path that answers once ``answer`` is set.
    :param has_begun: whether that one has made something before.
    """

    def __init__(self, *, late: str = '', has_begun: bool = False, **errors: Exception) -> None:
        self.answer = threading.Event()
        self.late = late
        self.has_begun = has_begun
        self.errors = errors

    def reachable(self, path: str, deadline: wait.Deadline, *, ask: bool) -> bool:
        return False  # Nothing is known yet, so that no one waits long for it.

    def open(self, path: str, attempt: Attempt) -> str:
        if path == self.late:
            if self.has_begun:
                attempt.begin()
            self.answer.wait(30)
        attempt.begin()
        attempt.made.add(leave, path)
        HOST.add(path)
        if path in self.errors:
            raise self.errors[path]
        return path

    def summary(self, texts: list[str], errors: list[Exception]) -> Exception:
        return exception.VolumeDeviceNotFound('; '.join(texts))


class Assembly:
    """A volume: the paths that have joined it."""

    wwid = 'gold'

    def __init__(self) -> None:
        self.late: list[str] = []
        self.joined = threading.Event()
        self.is_here = True

    def add(self, opened: str, deadline: wait.Deadline) -> None:
        self.late.append(opened)
        self.joined.set()

    def is_present(self, *, without: str | None = None) -> bool:
        return self.is_here

    def before(self, opened: Sequence[str], seconds: float) -> list[undo.Step]:
        return []

    def after(self, opened: Sequence[str]) -> list[undo.Step]:
        return []


def begin() -> contextlib.AbstractContextManager[operation.Operation]:
    return operation.begin('connect', {}, (locks.VOLUME, KEY), SETTINGS)
