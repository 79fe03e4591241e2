# SPDX-License-Identifier: Apache-2.0
"""What the kernel never changes of the entries of a sysfs directory, read once for each entry.

Which target an iSCSI session leads to, or which subsystem a controller belongs to, is asked by each
attach of a host's every session. One listing of the directory tells which entries are still the
ones that were read: a later one of the same name has another number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from os_brick.core import files

T = TypeVar('T')


class Facts(Generic[T]):
    """Facts of the entries of one directory."""

    def __init__(
        self,
        directory: str,
        read: Callable[[str], T | None],
        is_final: Callable[[T], bool] = bool,
    ) -> None:
        """Nothing is read yet.

        :param read: reads the fact of an entry; ``None`` if there is none to be read.
        :param is_final: whether a fact is complete, and never changes from now on.
        """
        self._directory = directory
        self._read = read
        self._is_final = is_final
        # Replaced as a whole: threads that read at once lose a fact at worst, and read it again.
        self._known: tuple[int, dict[str, tuple[int, T]]] = (0, {})

    def all(self) -> dict[str, T]:
        """The fact of each entry that is there now, by its name."""
        epoch, known = self._known
        if epoch != files.epoch():
            known = {}
        found: dict[str, T] = {}
        kept: dict[str, tuple[int, T]] = {}
        for name, number in files.entries(self._directory).items():
            before = known.get(name)
            # The number was listed before the fact was read: a fact of a later entry of that name
            # is kept under a number that no listing shows again.
            fact = before[1] if before and before[0] == number else self._read(name)
            if fact is not None:
                found[name] = fact
                if self._is_final(fact):
                    kept[name] = number, fact
        self._known = files.epoch(), kept
        return found
