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
import threading

from os_brick.core import descriptors, files


def make(path: str) -> None:
    """Have an empty file, in a directory, that its group may write to as well.

    :raises OSError: if it cannot be made, is not a regular file, or this user may not write to it.
    """
    os.close(open_file(path))


def open_file(path: str) -> int:
    """A descriptor of a file that its group may write to as well; made if there is none.

    :raises OSError: if it cannot be made, is not a regular file, or this user may not write to it.
    """
    # No waiting for the other end of a FIFO, and no link to a file of another user.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o660)
    except FileNotFoundError:
        files.make_directories(os.path.dirname(path), 0o770)
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


def is_usable(path: str, like: str | None) -> bool:
    """Whether this user may make and remove files in a directory, which all users may read.

    It is made if there is none and this user may. One that is open to all is not used.

    :param like: a directory that services share by a group: one that is made is shared so, too.
    """
    if os.path.isdir(path):
        mode = os.stat(path).st_mode
        is_open = mode & stat.S_IWOTH and not mode & stat.S_ISVTX
        return not is_open and os.access(path, os.W_OK | os.X_OK)
    try:
        files.make_directories(path, 0o755)
        _share_as(path, like)
    except OSError:
        return False
    return True


def _share_as(path: str, like: str | None) -> None:
    """Give a new directory the group of another one, if that has a group that may write to it.

    mkdir takes neither the set-group-ID bit nor, with the usual umask, the group's right.
    """
    shared = stat.S_ISGID | stat.S_IWGRP
    try:
        found = os.stat(like or '')
    except OSError:
        return
    if found.st_mode & shared != shared:
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, -1, found.st_gid)
        os.fchmod(descriptor, 0o2775)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def directory(path: str, mode: int | None = None) -> Iterator[int]:
    """A descriptor of a directory that services share.

    :param mode: what it is made with if there is none; ``None`` not to make it.
    :raises PermissionError: if any user may remove and replace what is in it.
    :raises OSError: if it cannot be made or opened.
    """
    descriptor = open_directory(path, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_directory(path: str, mode: int | None = None) -> int:
    """A descriptor as of :func:`directory`, which the caller closes.

    :raises OSError: as there.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        if mode is None:
            raise
        files.make_directories(path, mode)
        descriptor = os.open(path, flags)
    try:
        found = os.fstat(descriptor).st_mode
        if found & stat.S_IWOTH and not found & stat.S_ISVTX:
            raise PermissionError(
                errno.EPERM, 'Any user can replace the files of this directory', path
            )
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


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
        return descriptors.read_all(file, largest)
    finally:
        os.close(file)


def _is_trusted(file: os.stat_result, directory: os.stat_result) -> bool:
    return not file.st_mode & stat.S_IWOTH and _is_trusted_owner(file, directory)


def _is_trusted_owner(file: os.stat_result, directory: os.stat_result) -> bool:
    if file.st_uid in (os.geteuid(), 0):
        return True
    return not directory.st_mode & stat.S_IWOTH and file.st_gid == directory.st_gid


def append_in(directory: int, name: str, data: bytes, largest: int) -> None:
    """Append to a file of this user in an open directory; it is made if there is none.

    One that has grown to ``largest`` bytes gets the name with ``.1`` at its end first, in the place
    of an older one.

    :raises OSError: if it cannot be written, or is not a regular file of this user.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(name, flags, 0o644, dir_fd=directory)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, 'It is not a regular file of this user', name)
        descriptors.write(file, data)
        if found.st_size + len(data) >= largest:
            os.rename(name, f'{name}.1', src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(file)


def set_mark(directory: int, name: str, text: str) -> None:
    """Have a short text under a name, at once in the place of another one: as a link's target.

    A link has no content to be written, and is there as a whole or not at all. It is never
    followed.

    :raises OSError: if it cannot be made; a text has at most 4095 bytes (Linux, PATH_MAX).
    """
    try:
        os.symlink(text, name, dir_fd=directory)
    except FileExistsError:
        replace_mark(directory, name, text)


def replace_mark(directory: int, name: str, text: str) -> None:
    """As :func:`set_mark` where there is one, in two calls of the system.

    :raises OSError: as there.
    """
    fresh = f'.{name}-{os.getpid()}-{threading.get_ident()}'
    try:
        os.symlink(text, fresh, dir_fd=directory)
    except FileExistsError:  # Of a process of this number that was killed.
        os.unlink(fresh, dir_fd=directory)
        os.symlink(text, fresh, dir_fd=directory)
    try:
        os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(fresh, dir_fd=directory)
        raise


def mark(directory: int, name: str) -> str | None:
    """The text that :func:`set_mark` has set; ``None`` if there is none.

    :raises OSError: if it is not a mark, or is one of a user who is not trusted.
    """
    try:
        found = os.lstat(name, dir_fd=directory)
        if not _is_trusted_owner(found, os.fstat(directory)):
            raise PermissionError(errno.EPERM, f'It belongs to user {found.st_uid}')
        return os.readlink(name, dir_fd=directory)
    except FileNotFoundError:
        return None


def names_in(directory: int) -> list[str]:
    """The sorted names in an open directory."""
    return sorted(os.listdir(directory))


def inode(path: str) -> int:
    """The number of a file, and of a link itself; 0 if there is none."""
    try:
        return os.lstat(path).st_ino
    except OSError:
        return 0


def is_removed(directory: int) -> bool:
    """Whether an open directory has no name any more."""
    return not os.fstat(directory).st_nlink
