# SPDX-License-Identifier: Apache-2.0
"""Disks that attaches have handed out, for other attaches that take back what they have made.

Two callers who name different paths of one volume have different locks. One may scan a disk, and
fail, after the other has been given that disk: no one has it open yet, so nothing else tells.

A disk is meant by its number, which the kernel gives to no other one while it runs (the inode of
its directory in sysfs). It counts as handed out until it goes, or until the process that attached
it ends: an attach that was under way at the same time has ended long before that.
"""

from __future__ import annotations

from collections.abc import Mapping
import fcntl
import itertools
import os
from typing import Any, TypeVar

from os_brick.core import files, forked, locks, undo

K = TypeVar('K')

_NAME = 'handed-out'
_NUMBERS = 2**62
# More than the disks of one attach: no more are known than were ever here at once, and a few.
_AT_ONCE = 8
# How often this process has handed a device out; a forked child has handed out none.
_counts: dict[tuple[int, int], int] = {}
_names: dict[int, str] = {}
_marks: dict[str, list[tuple[int, int]]] = {}
_next = itertools.count()


def _forget() -> None:
    for each in (_counts, _names, _marks):
        each.clear()


_guard = forked.Guard(_forget)


class Mark:
    """That an attach has handed disks out; others leave them alone once it is set.

    Who sets it remembers before how it is taken back (:func:`drop`): a disk that is marked is
    removed by no undo, be it that of the attach itself.
    """

    def __init__(self) -> None:
        """Have a name for it."""
        self.name = f'{os.getpid()}-{next(_next)}'

    def set(self, disks: Mapping[str, int]) -> None:
        """Set it; the caller holds the disks' identity, as does one who takes disks back.

        :param disks: the number of each by its name.
        :raises BrickException: if the directory of the locks cannot be used.
        """
        forget_gone()
        file = locks.file_of_bytes(_NAME)
        keys = [(os.getpid(), number) for number in disks.values() if number]
        with _guard:
            _names.update({number: name for name, number in disks.items()})
            counted = _marks[self.name] = []
            for key in keys:
                counted.append(key)
                _counts[key] = _counts.get(key, 0) + 1
                if file is not None:
                    # Shared: several processes may have been given one device. It waits for no more
                    # than a look of another one (:func:`is_handed_out`).
                    fcntl.lockf(file, fcntl.LOCK_SH, 1, key[1] % _NUMBERS)


@undo.verb
def drop(mark: str) -> None:
    """Take a mark back: the attach has failed after all. Again does nothing.

    Nor does it in another process: a mark has gone with the process that has set it.

    :param mark: its name.
    """
    with _guard:
        for key in _marks.pop(mark, []):
            _lower(key, by=1)


def forget_gone() -> None:
    """Forget some of the disks that are not here any more, whatever has removed them.

    One that stays known for a while does no harm: no other disk gets its number. So each call looks
    at a few, those first that no call has looked at for the longest; to look at all would make each
    attach and detach slower by every volume of the host.
    """
    with _guard:
        for key in _next_few(_counts):
            if files.inode(f'/sys/block/{_names.get(key[1], "")}/device') != key[1]:
                _lower(key, by=_counts[key])
        for mark in _next_few(_marks):
            if not any(key in _counts for key in _marks[mark]):
                del _marks[mark]


def _next_few(table: dict[K, Any]) -> list[K]:
    """The keys that were looked at first; they are the last ones from now on."""
    few = list(itertools.islice(table, _AT_ONCE))
    for key in few:
        table[key] = table.pop(key)
    return few


def _lower(key: tuple[int, int], by: int) -> None:
    count = _counts.pop(key, 0)
    if count > by:
        _counts[key] = count - by
        return
    _names.pop(key[1], None)
    if count and (file := locks.file_of_bytes(_NAME)) is not None:
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
