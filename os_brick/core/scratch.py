# SPDX-License-Identifier: Apache-2.0
"""Large files in a directory that a caller names: received, kept for it, and sent back.

A file that is being received has another name than one that is complete, so that one that a killed
process has left is known as such, and goes with the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import errno
import math
import os
import re
import secrets
import stat

from os_brick.core import descriptors, files

_PART = '.part'
_PIECE_BYTES = 1 << 20
# How far back the time of a new file is set: no later change of it can leave it at that, however
# coarse the clock of the file system is.
_BACK_SECONDS = 10


class Incoming:
    """A file that is being received; a context after which it is complete or gone."""

    def __init__(self, directory: str, prefix: str, suffix: str) -> None:
        """Make it, after what was left of others with the prefix has gone.

        The caller holds a lock, so that none of them is being received.

        :raises OSError: if it cannot be made.
        """
        files.make_directory(directory)
        for name in files.names(directory):
            if is_of(name, prefix, f'{suffix}{_PART}'):
                files.unlink(f'{directory}/{name}')
        self.path = f'{directory}/{prefix}-{secrets.token_hex(4)}{suffix}'
        self.modified = math.nan
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(files.real(self.path + _PART), flags, 0o600)

    def write(self, data: bytes) -> None:
        """Append data.

        :raises OSError: if there is no room for it.
        """
        left = memoryview(data)
        while left:
            left = left[descriptors.write(self._file, left) :]

    def finish(self) -> None:
        """Give it its name; ``modified`` is its time then.

        :raises OSError: if that fails.
        """
        moment = math.floor(os.fstat(self._file).st_mtime) - _BACK_SECONDS
        os.utime(self._file, (moment, moment))
        self.modified = float(moment)
        os.rename(files.real(self.path + _PART), files.real(self.path))

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._file)
        files.unlink(self.path + _PART)


def is_of(name: str, prefix: str, suffix: str) -> bool:
    """Whether a file has a name that is made here for a prefix, and not for a longer one."""
    return re.fullmatch(rf'{re.escape(prefix)}-[0-9a-f]{{8}}{re.escape(suffix)}', name) is not None


def look(path: str) -> tuple[int, float]:
    """Size and time of a regular file, reached through no link at its end.

    :raises OSError: if there is none.
    """
    found = os.lstat(files.real(path))
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(2, 'It is not a regular file', path)
    return found.st_size, found.st_mtime


def require_readable(path: str) -> None:
    """Read the first byte of a file.

    :raises OSError: if that fails; a file without content is readable.
    """
    file = files.descriptor(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        descriptors.read(file, 1)
    finally:
        os.close(file)


def parts(path: str, seen: tuple[int, float]) -> Iterator[bytes]:
    """The content of a file, in pieces.

    :param seen: what :func:`look` returned, of which another side was told the size.
    :raises OSError: if it cannot be read, or has changed since.
    """
    file = files.descriptor(path, os.O_RDONLY | os.O_NOFOLLOW)
    left = seen[0]
    with contextlib.closing(open(file, 'rb', buffering=0)) as opened:
        while part := opened.read(_PIECE_BYTES):
            left -= len(part)
            if left < 0:
                break
            yield part
        now = os.fstat(opened.fileno())
    if left or (now.st_size, now.st_mtime) != seen:
        raise OSError(errno.ESTALE, 'It was changed while it was read', path)
