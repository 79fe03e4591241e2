# SPDX-License-Identifier: Apache-2.0
"""One look at the host: until when, with which rights, and what it could not read."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
from typing import Any, TypeVar

from os_brick import exception
from os_brick.core import fanout, trace, wait
from os_brick.doctor import facts
from os_brick.host import inventory_look

# What is read from the kernel's file systems: unknown where they are not mounted.
_OF_KERNEL = frozenset({
    'disks', 'maps', 'map_status', 'reported', 'sessions', 'controllers', 'nvme_multipath',
    'volumes', 'processes', 'view', 'modules',
})  # fmt: skip
# One reader may take so much of the time that is left.
_SHARE_OF_ONE = 0.6

T = TypeVar('T')


@dataclasses.dataclass(slots=True)
class Look:
    """What the readers share, and add to.

    :ivar is_root: whether questions are worth asking that only root may ask.
    """

    deadline: wait.Deadline
    is_root: bool
    unread: list[facts.Unread] = dataclasses.field(default_factory=list)
    _absent: str = dataclasses.field(
        default_factory=lambda: ' and '.join(inventory_look.not_mounted())
    )

    def miss(self, fact: str, what: str, why: object) -> None:
        """Note that something could not be looked at."""
        words = why.msg if isinstance(why, exception.BrickException) else str(why)
        text = trace.one_line(str(trace.masked(words)))
        self.unread.append(facts.Unread(fact, what, text))

    def guarded(self, fact: str, what: str, read: Callable[..., T], *args: Any) -> T | None:
        """What a reader returns, or ``None`` and a note if it cannot."""
        if self.deadline.passed:
            self.miss(fact, what, 'time was up before')
            return None
        if self._absent and fact in _OF_KERNEL:
            self.miss(fact, what, f'{self._absent} is not mounted here')
            return None
        # In a thread: a file of /etc may be on a file system that hangs.
        reader: fanout.Fanout[str, T] = fanout.Fanout(lambda _: read(*args))
        reader.start([fact])
        if not reader.have_ended(self.deadline.remaining * _SHARE_OF_ONE):
            self.miss(fact, what, 'it does not answer')
            return None
        reader.require_uninterrupted()
        for error in reader.errors.values():
            self.miss(fact, what, self._why(error))
        return reader.results.get(fact)

    def _why(self, error: Exception) -> str | Exception:
        if isinstance(error, PermissionError):
            return why_denied(error, is_root=self.is_root)
        if isinstance(error, OSError | ValueError | exception.BrickException):
            return error
        return f'{type(error).__name__}: {error} (a bug of os-brick)'


def why_denied(error: OSError, *, is_root: bool) -> str:
    """Why the kernel has denied something."""
    return str(error) if is_root else facts.NEEDS_ROOT
