# SPDX-License-Identifier: Apache-2.0
"""multipath's file of known WWIDs (``/etc/multipath/wwids``, a line ``/WWID/`` each).

With ``find_multipaths`` set to ``yes`` or ``strict`` multipathd takes a first path only if its
WWID is listed there; ``multipath -a`` and ``multipath -w`` are the programs for it. They change
the file in place, under a POSIX lock of the whole file (libmultipath/file.c), and so does this:
another file in its place would have no lock. What others wrote stays byte for byte.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from os_brick import exception, privileged
from os_brick.core import files, process
from os_brick.privileged import check

FILE = '/etc/multipath/wwids'
# A line has at most 130 bytes.
_LARGEST_BYTES = 32 << 20


@privileged.entrypoint
def add(wwid: str, timeout: float) -> bool:
    """Make a WWID known; returns whether it was not before.

    :param timeout: in seconds. multipath's tools hold their lock for milliseconds; on a busy host
        dozens of operations and multipathd take it one after the other, with a flush to disk each.
    :raises OperationTimedOut: if other programs keep the file locked for so long.
    :raises BrickException: naming the file, if it cannot be read or written.
    """
    return _changed(check.wwid(wwid), check.seconds(timeout), present=True)


@privileged.entrypoint
def remove(wwid: str, timeout: float) -> bool:
    """Forget a WWID; returns whether it was known.

    A file that cannot be written is not an error if the WWID is not in it.

    :param timeout: in seconds, see :func:`add`.
    :raises OperationTimedOut: if other programs keep the file locked for so long.
    :raises BrickException: naming the file, if it cannot be read or written.
    """
    return _changed(check.wwid(wwid), check.seconds(timeout), present=False)


def _changed(wwid: str, timeout: float, *, present: bool) -> bool:
    entry = f'/{wwid}/'.encode()
    try:
        return process.isolated(f'the lock of {FILE}', timeout, _change, entry, present=present)
    except OSError as error:
        what = 'added to' if present else 'removed from'
        raise exception.BrickException(
            f'WWID {wwid} cannot be {what} {FILE}: {error.strerror or error}; it has to be a file '
            'that root can write, in a directory'
        ) from error


def is_listed(wwid: str) -> bool:
    """Whether a WWID that was checked is in the file, or may be: it cannot be read."""
    try:
        return _is_listed(f'/{wwid}/'.encode())
    except OSError:
        return True


def _is_listed(entry: bytes) -> bool:
    try:
        return _has(files.read_regular(FILE, _LARGEST_BYTES), entry)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _has(data: bytes, entry: bytes) -> bool:
    # As libmultipath reads it: what stands behind the second slash does not count.
    return any(line.startswith(entry) for line in data.split(b'\n'))


def _without(data: bytes, entry: bytes) -> tuple[int, bytes]:
    """Where the first line with an entry begins, and what follows without lines of it."""
    lines = data.split(b'\n')
    first = next(n for n, line in enumerate(lines) if line.startswith(entry))
    start = sum(len(line) + 1 for line in lines[:first])
    return start, b'\n'.join(line for line in lines[first:] if not line.startswith(entry))


def _change(entry: bytes, *, present: bool) -> bool:
    # Looked at first: a file that need not change need not be writable.
    if _is_listed(entry) == present:
        return False
    if present:
        with contextlib.suppress(FileExistsError):
            os.mkdir(files.real(os.path.dirname(FILE)), 0o755)
    # Not for appending: multipath's tools open it so, and lock the same range.
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if present else 0)
    with open(os.open(files.real(FILE), flags, 0o600), 'r+b') as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        data = file.read()
        if _has(data, entry) == present:
            return False
        if present:
            end = b'' if not data or data.endswith(b'\n') else b'\n'
            file.write(end + entry + b'\n')
        else:
            start, rest = _without(data, entry)
            file.seek(start)
            file.write(rest)
            file.truncate()
        file.flush()
        os.fsync(file.fileno())
    return True
