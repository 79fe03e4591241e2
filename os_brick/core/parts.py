# SPDX-License-Identifier: Apache-2.0
"""Files of which a part is read: the beginning of a program, the end of a log."""

from __future__ import annotations

import errno
import os
import stat

from os_brick.core import files


def read(path: str, largest: int, *, from_end: bool = False) -> bytes:
    """The first bytes of a regular file, or its last ones; a FIFO or a device is not waited for.

    :raises OSError: if it cannot be read, or is something else.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    with open(files.real(path), 'rb', opener=lambda name, _: os.open(name, flags)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, 'Not a regular file', path)
        if from_end and found.st_size > largest:
            file.seek(found.st_size - largest)
        return file.read(largest)
