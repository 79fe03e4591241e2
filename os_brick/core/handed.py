# SPDX-License-Identifier: Apache-2.0
"""Devices that attaches have handed out, for other attaches that take back what they have made.

Two callers who name different paths of one volume have different locks. One may scan a disk, and
fail, after the other has been given that disk: no one has it open yet, so nothing else tells.

A device is named by its number, which the kernel gives to no other one while it runs (the inode of
its directory in sysfs). It counts as handed out until it goes, or until the process that attached
it ends: an attach that was under way at the same time has ended long before that.
"""

from __future__ import annotations

from collections.abc import Iterable
import fcntl
import os
import threading

from os_brick.core import locks

_NAME = 'handed-out'
_NUMBERS = 2**62
_guard = threading.Lock()
# How often this process has handed a device out; a forked child has handed out none.
_counts: dict[tuple[int, int], int] = {}


def _after_fork() -> None:
    global _guard  # noqa: PLW0603 a thread that is not here may have held it
    _guard = threading.Lock()
    _counts.clear()


os.register_at_fork(after_in_child=_after_fork)


class Mark:
    """That an attach has handed devices out; others leave them alone from now on.

    The caller holds the devices' identity, as does one who takes devices back.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        """Set it.

        :raises BrickException: if the directory of the locks cannot be used.
        """
        file = locks.file_of_bytes(_NAME)
        self._keys = [(os.getpid(), number) for number in numbers if number]
        with _guard:
            for key in self._keys:
                _counts[key] = _counts.get(key, 0) + 1
                if file is not None:
                    # Shared: several processes may have been given one device. It waits for no more
                    # than a look of another one (:func:`is_handed_out`).
                    fcntl.lockf(file, fcntl.LOCK_SH, 1, key[1] % _NUMBERS)

    def drop(self) -> None:
        """Take it back: the attach has failed after all. Again does nothing."""
        keys, self._keys = self._keys, []
        with _guard:
            for key in keys:
                _lower(key, by=1)


def gone(numbers: Iterable[int]) -> None:
    """Forget devices that have been removed."""
    with _guard:
        for number in numbers:
            key = os.getpid(), number
            _lower(key, by=_counts.get(key, 0))


def _lower(key: tuple[int, int], by: int) -> None:
    count = _counts.pop(key, 0)
    if count > by:
        _counts[key] = count - by
    elif count and (file := locks.file_of_bytes(_NAME)) is not None:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, key[1] % _NUMBERS)


def is_handed_out(number: int) -> bool:
    """Whether an attach, of whatever process, has handed a device out.

    :raises BrickException: if the directory of the locks cannot be used.
    """
    with _guard:
        if _counts.get((os.getpid(), number)):
            return True
        file = locks.file_of_bytes(_NAME)
        if file is None or not number:
            return False
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number % _NUMBERS)
        except OSError:
            return True
        fcntl.lockf(file, fcntl.LOCK_UN, 1, number % _NUMBERS)
        return False
