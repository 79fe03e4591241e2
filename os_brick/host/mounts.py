# SPDX-License-Identifier: Apache-2.0
"""What is mounted where, and the places below mounts that may hang.

The table is the kernel's and never waits for a server. What looks at a mounted file system itself
does so in a child process: a call to an NFS server that is away does not come back.
"""

from __future__ import annotations

import errno
import os
import stat

from os_brick import exception
from os_brick.core import bound, descriptors, files, process, undo, wait
from os_brick.model import mounts
from os_brick.privileged import mount as root

_TABLE = '/proc/self/mountinfo'
_READ_BYTES = 512


def table() -> tuple[mounts.Mount, ...]:
    """All that is mounted in this process's namespace.

    :raises OSError: if the kernel's table cannot be read.
    """
    return mounts.parse(files.read_bytes(_TABLE))


def of_process(*processes: str) -> tuple[mounts.Mount, ...]:
    """All that is mounted in the namespaces of processes, without those that cannot be read.

    :param processes: the number of each, or ``self``; what two of them share is there once.
    """
    tables = dict.fromkeys(map(_table_of, processes))
    return tuple(mount for each in tables for mount in mounts.parse(each))


def _table_of(process: str) -> bytes:
    try:
        return files.read_bytes(f'/proc/{process}/mountinfo')
    except OSError:
        return b''


def at(place: str) -> mounts.Mount | None:
    """The mount that is reached at ``place``, a path without symbolic links."""
    return mounts.at(table(), place)


def resolved(place: str, deadline: wait.Deadline) -> str:
    """A mount point without the symbolic links above it; no file system there is touched.

    :raises OperationTimedOut: if a directory above it does not answer.
    """
    if at(place) is not None:
        return place
    parent, _, name = place.rpartition('/')
    found = process.isolated(f'a look at {parent}', deadline.limit(), files.realpath, parent)
    return f'{found.rstrip("/")}/{name}'


def make_directory(place: str, deadline: wait.Deadline) -> bool:
    """Have a directory to mount on; return whether it was made.

    :raises OSError: if there is something else, or this process may not make it.
    :raises OperationTimedOut: if a directory above it does not answer.
    """
    return process.isolated(f'mkdir {place}', deadline.limit(), files.make_directory, place)


@undo.verb
def remove_directory(place: str, seconds: float) -> None:
    """Remove a directory if it is empty and nothing is mounted on it."""
    deadline = wait.Deadline.after(bound.within(seconds))
    process.isolated(f'rmdir {place}', deadline.limit(), files.remove_if_empty, place)


def why_not_usable(place: str, deadline: wait.Deadline) -> OSError | None:
    """Why the root of a mounted file system does not answer as one; ``None`` if it does.

    :raises OperationTimedOut: if it does not answer at all.
    """
    try:
        process.isolated(f'{place} to answer', deadline.limit(), files.mode, place)
    except exception.OperationTimedOut:
        raise
    except PermissionError:
        return None
    except OSError as error:
        return error
    return None


def require_file(place: str, name: str, deadline: wait.Deadline) -> None:
    """Have a volume's file in a share, where the path leads to and nowhere else.

    A share is another machine's: a symbolic link in it may lead out of it, and a device node there
    would be a device of this host. What this process may not look at counts as being there.

    :raises VolumeDeviceNotFound: if there is no such file.
    :raises VolumeIdentityMismatch: if it is something else, or lies somewhere else.
    :raises OperationTimedOut: if the share does not answer.
    """
    path = f'{place}/{name}'
    limit = deadline.limit()
    try:
        found, mode = process.isolated(f'a look at {path}', limit, _look, path)
    except PermissionError:
        return
    except FileNotFoundError:
        raise exception.VolumeDeviceNotFound(device=path) from None
    actual = _unexpected(found, mode, place)
    if actual:
        raise exception.VolumeIdentityMismatch.of(
            path, f'a file or a directory below {place}', actual
        )


def _look(path: str) -> tuple[str, int]:
    """Where a path leads, and the mode of what is there."""
    try:
        files.mode(path)
    except FileNotFoundError:
        # NFS remembers for up to 60 s that a name is not there (nfs(5), acdirmax). To open the
        # directory has it ask the server.
        os.close(files.descriptor(path.rpartition('/')[0], os.O_RDONLY | os.O_DIRECTORY))
    mode = files.mode(path)
    return files.realpath(path), mode


def _unexpected(found: str, mode: int, place: str) -> str:
    if not found.startswith(f'{place}/'):
        return f'a link that leads to {found}'
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ''
    return 'a device, a pipe or a socket'


def is_readable(path: str, deadline: wait.Deadline, *, as_root: bool) -> bool:
    """Whether the start of a volume's file can be read.

    :param as_root: whether root tries it where this process may not.
    """
    limit = deadline.limit()
    try:
        process.isolated(f'a read of {path}', limit, _read, path)
    except PermissionError:
        return as_root and _is_readable_by_root(path, limit)
    except (OSError, exception.OperationTimedOut):
        return False
    return True


def _is_readable_by_root(path: str, limit: float) -> bool:
    try:
        return root.is_readable(path, limit)
    except (OSError, exception.BrickException):
        return False


def _read(path: str) -> int:
    """How many bytes were read.

    :raises OSError: if it can be no volume, such as a pipe, which would be waited for.
    """
    descriptor = files.descriptor(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            return 0
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, 'Not a file or a directory', path)
        return len(descriptors.read(descriptor, _READ_BYTES))
    finally:
        os.close(descriptor)


def is_stale(error: OSError) -> bool:
    """Whether a server does not know a file handle (any more)."""
    return error.errno == errno.ESTALE
