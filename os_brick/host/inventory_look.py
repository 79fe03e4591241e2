# SPDX-License-Identifier: Apache-2.0
"""One look at the host: its files are read once, and what could not be read is kept."""

from __future__ import annotations

from collections.abc import Callable
import errno
import re
from typing import TypeVar

from os_brick.core import files, glance
from os_brick.model import inventory

_SECTOR_BYTES = 512
# What a file of sysfs answers for a value that its device does not have, or while it goes.
_ABSENT = frozenset({
    errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.EINVAL, errno.ENODATA,
    errno.EOPNOTSUPP, errno.ENOTCONN, errno.ESRCH,
})  # fmt: skip
_RIGHTS = frozenset({errno.EACCES, errno.EPERM})
# How many missing things of one kind are named.
_MOST_NAMED = 20

# File systems of the kernel that a container may lack, by a directory that is always in them.
_KERNEL = {'/sys': '/sys/class', '/proc': '/proc/self'}

NEEDS_ROOT = 'needs root'
NOT_MOUNTED = 'it is not mounted here'
NO_ANSWER = 'it does not answer'
_PARTITION = re.compile(r'/block/(?P<disk>[^/]+)/(?P<part>[^/]+)$')

T = TypeVar('T')


def not_mounted() -> list[str]:
    """What of the kernel is not mounted: nothing that is there is seen without it."""
    return [place for place, known in _KERNEL.items() if not glance.exists(known)]


class Look:
    """Reads files, and keeps what could not be read.

    :ivar blocks: every block device by its name, with where its directory is (the kernel's link).
    :ivar reading: the file that is being read now; empty between two.
    """

    def __init__(self, hung: frozenset[str] = frozenset()) -> None:
        """Nothing is read yet.

        :param hung: files that did not answer, and are not read again.
        """
        self._hung = hung
        self.reading = ''
        self._unread: dict[tuple[str, str], inventory.Unread] = {}
        self.blocks = {
            name: self._place(f'/sys/class/block/{name}')
            for name in glance.names('/sys/class/block')
        }
        self.partitions: dict[str, list[str]] = {}
        for name, place in self.blocks.items():
            if (match := _PARTITION.search(place)) and match['disk'] in self.blocks:
                self.partitions.setdefault(match['disk'], []).append(name)

    def text(self, path: str) -> str:
        """The text of a file; empty if there is none, or it cannot be read."""
        return self.data(path).decode('utf-8', 'replace').strip()

    def data(self, path: str) -> bytes:
        """The content of a file; empty if there is none, or it cannot be read."""
        return self.guarded(path, lambda: files.read_bytes(path)) or b''

    def guarded(self, path: str, read: Callable[[], T], why: str = '') -> T | None:
        """What is read there; ``None`` if that is not possible, or did not answer before.

        :param why: what it is read for, if its path does not tell people.
        """
        what = f'{path}, {why}' if why else path
        if path in self._hung:
            self.missed(what, NO_ANSWER)
            return None
        self.reading = path
        try:
            return read()
        except OSError as error:
            self.missed(what, error)
        finally:
            self.reading = ''
        return None

    def number(self, path: str, factor: int = 1) -> int | None:
        """The number in a file, times a factor; ``None`` if there is none."""
        text = self.text(path)
        return int(text) * factor if text.isdecimal() else None

    def size(self, device: str) -> int | None:
        """The size of a block device in bytes."""
        return self.number(f'/sys/class/block/{device}/size', _SECTOR_BYTES)

    def missed(self, what: str, error: OSError | str) -> None:
        """Keep that something could not be read; not if it is just not there."""
        if isinstance(error, OSError):
            if error.errno in _ABSENT:
                return
            is_right = error.errno in _RIGHTS
            error = NEEDS_ROOT if is_right else str(error.strerror or error)
        if len(self._unread) < _MOST_NAMED:
            self._unread.setdefault((what, error), inventory.Unread(what, error))

    @property
    def unread(self) -> tuple[inventory.Unread, ...]:
        """What could not be read so far."""
        return tuple(self._unread.values())

    @staticmethod
    def _place(path: str) -> str:
        try:
            return files.readlink(path)
        except OSError:
            return ''

    def place(self, path: str) -> str:
        """What a link of the kernel says, as it stands; empty if there is none."""
        return self._place(path)
