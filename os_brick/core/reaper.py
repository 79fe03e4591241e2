# SPDX-License-Identifier: Apache-2.0
"""Processes that were killed and have not ended yet, all collected by one thread.

A process in uninterruptible sleep survives SIGKILL until the kernel lets it go. It costs memory
and a PID until then, so there is a limit to how many of them an operation may add to.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import dataclasses
import os
import threading

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

# Of one device: enough for the paths of a flush, a read and a scan to hang side by side.
MOST_OF_ONE = 4
# Of all: a hundred processes that share their memory with this one are not a burden yet; a thousand
# are, and come within minutes where an array is away and everything is tried again.
MOST_OF_ALL = 100
_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 1.0
# What was just killed ends in a millisecond, and does not count.
_DYING_SECONDS = 0.2


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Left:
    key: str
    has_ended: Callable[[], bool]


class Reaper:
    """The processes left behind. It takes no lock, so a fork at any moment harms nothing."""

    def __init__(self) -> None:
        self._left: list[_Left] = []
        self._thread: threading.Thread | None = None

    def forget(self) -> None:
        """Start anew, in a process forked from this one: these are not its children."""
        self._left = []
        self._thread = None

    def take(self, key: str, has_ended: Callable[[], bool]) -> None:
        """Collect a killed process whenever it ends.

        :param key: what it hangs on, for :meth:`why_full`.
        :param has_ended: whether it has ended; collects it then.
        """
        if has_ended():
            return
        self._left.append(_Left(key, has_ended))
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name='os-brick reaper', daemon=True)
            self._thread.start()

    def why_full(self, key: str = '') -> str | None:
        """Why no process that may hang is to be started, or ``None`` if one may be.

        :param key: what it would work on; empty if only all together count.
        """
        why = self._why_full(key)
        if why is None:
            return None
        pause = threading.Event()
        for _ in range(round(_DYING_SECONDS / _FIRST_PAUSE_SECONDS)):
            pause.wait(_FIRST_PAUSE_SECONDS)
            self._sweep()
            if self._why_full(key) is None:
                return None
        return why

    def _why_full(self, key: str) -> str | None:
        keys = [left.key for left in list(self._left)]
        if key and keys.count(key) >= MOST_OF_ONE:
            return f'{keys.count(key)} earlier calls to {key} still hang in the kernel'
        if len(keys) >= MOST_OF_ALL:
            return f'{len(keys)} processes that were killed still hang in the kernel'
        return None

    def _sweep(self) -> None:
        for left in list(self._left):
            if _has_ended(left):
                with contextlib.suppress(ValueError):  # Another thread was faster.
                    self._left.remove(left)

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        never = threading.Event()
        while self._left:
            never.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            self._sweep()


def _has_ended(left: _Left) -> bool:
    """Whether a process has ended; one that cannot be asked counts as ended, and is logged."""
    try:
        return left.has_ended()
    except Exception as error:  # noqa: BLE001 the others still have to be collected
        LOG.warning('A killed process (%s) is not collected: %s', left.key, error)
        return True


reaper = Reaper()
os.register_at_fork(after_in_child=reaper.forget)
