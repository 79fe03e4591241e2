# SPDX-License-Identifier: Apache-2.0
"""Files and directories that services of several users share: made so, and trusted or not.

Lock files and states lie in them. Every path is the host's own, as :mod:`oslo_concurrency` takes
it, whatever stands for ``/``.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import errno
import os
import stat

from os_brick.core import files


def make(path: str) -> None:
    """Have an empty file, in a directory, that its group may write to as well.

    :raises OSError: if it cannot be made, is not a regular file, or this user may not write to it.
    """
    os.close(open_file(path))


def open_file(path: str) -> int:
    """A descriptor of a file that its group may write to as well; made if there is none.

    :raises OSError: if it cannot be made, is not a regular file, or this user may not write to it.
    """
    files.make_directories(os.path.dirname(path), 0o770)
    # No waiting for the other end of a FIFO, and no link to a file of another user.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o660)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, 'Not a regular file', path)
        if found.st_uid == os.geteuid() and found.st_mode & 0o777 != 0o660:
            os.fchmod(descriptor, 0o660)  # The umask may have taken the group's right.
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_existing(path: str) -> int:
    """A descriptor, for reading, of a file that may be another user's; it is not made.

    :raises OSError: if there is none, it is a link, or this user may not read it.
    """
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


@contextlib.contextmanager
def directory(path: str, mode: int | None = None) -> Iterator[int]:
    """A descriptor of a directory that services share.

    :param mode: what it is made with if there is none; ``None`` not to make it.
    :raises PermissionError: if any user may remove and replace what is in it.
    :raises OSError: if it cannot be made or opened.
    """
    if mode is not None:
        files.make_directories(path, mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor).st_mode
        if found & stat.S_IWOTH and not found & stat.S_ISVTX:
            raise PermissionError(
                errno.EPERM, 'Any user can replace the files of this directory', path
            )
        yield descriptor
    finally:
        os.close(descriptor)


def read_trusted(directory: int, name: str, largest: int) -> bytes | None:
    """The content of a file in an open directory, ``None`` if there is none.

    It is trusted if this user or root has written it; or, where a directory is not open to all
    users, if it has the directory's group, which is what services that share it have.

    :raises OSError: if it is not a regular file, not trusted, larger than ``largest`` bytes, or
        cannot be read.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = os.open(name, flags, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, 'Not a regular file')
        if not _is_trusted(found, os.fstat(directory)):
            raise PermissionError(errno.EPERM, f'It belongs to user {found.st_uid}')
        if found.st_size > largest:
            raise OSError(errno.EFBIG, f'It has {found.st_size} bytes')
        return files.read_all(file, largest)
    finally:
        os.close(file)


def _is_trusted(file: os.stat_result, directory: os.stat_result) -> bool:
    if file.st_mode & stat.S_IWOTH:
        return False
    if file.st_uid in (os.geteuid(), 0):
        return True
    return not directory.st_mode & stat.S_IWOTH and file.st_gid == directory.st_gid


def inode(path: str) -> int:
    """The number of a file, and of a link itself; 0 if there is none."""
    try:
        return os.lstat(path).st_ino
    except OSError:
        return 0


def is_removed(directory: int) -> bool:
    """Whether an open directory has no name any more."""
    return not os.fstat(directory).st_nlink
