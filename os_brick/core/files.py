# SPDX-License-Identifier: Apache-2.0
"""The one place that opens, lists and resolves what lies in /sys, /proc, /dev and /etc.

Every path is given and returned as the host sees it, from ``/``. A test puts another
directory in the place of ``/`` with :func:`use`.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import errno
import glob as _glob
import os
import stat

from os_brick.core import absence, descriptors, resolved

_LARGEST_TEXT = 1 << 20
_MOST_OF_SYSFS = 4096

_root = ''
_epoch = 0


def _inside(path: str) -> str:
    return _root + path


def _outside(path: str) -> str:
    return path[len(_root) :] if _root else path


def read(path: str) -> str:
    """The text of a file without the white space around it.

    :raises OSError: if it cannot be read; sysfs answers so for values a device does not have.
    """
    return read_bytes(path).decode('utf-8', 'replace').strip()


def read_bytes(path: str, largest: int | None = None) -> bytes:
    """The content of a file.

    :param largest: how many bytes it may have at most.
    :raises OSError: if it cannot be read, or is larger.
    """
    # Not by open(): its buffer and its questions about the file cost more than the reading.
    descriptor = os.open(_inside(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = descriptors.read(descriptor, _MOST_OF_SYSFS)
        # A value of sysfs comes as a whole; /proc ends a piece where a line ends.
        if len(data) == _MOST_OF_SYSFS or not path.startswith('/sys/'):
            data += descriptors.read_all(descriptor, largest)
    finally:
        os.close(descriptor)
    if largest is not None and len(data) > largest:
        raise OSError(errno.EFBIG, f'It has more than {largest} bytes', path)
    return data


def read_regular(path: str, largest: int) -> bytes:
    """The content of a regular file; a FIFO or a device is not waited for.

    :raises OSError: if it cannot be read, is larger, or something else.
    """
    descriptor = os.open(_inside(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, 'Not a regular file', path)
        if found.st_size > largest:
            raise OSError(errno.EFBIG, f'It has more than {largest} bytes', path)
        return descriptors.read_all(descriptor, largest)
    finally:
        os.close(descriptor)


def read_or(path: str, default: str = '') -> str:
    """The text of a file, or ``default`` where there is none (it may vanish at any time).

    :raises OSError: if there may be one that cannot be read (:mod:`os_brick.core.absence`).
    """
    try:
        return read(path)
    except OSError as error:
        absence.require(error, path, absence.NO_VALUE)
        return default


def write(path: str, text: str) -> None:
    """Write ``text`` to a file that exists, in one system call, as sysfs wants it.

    :raises OSError: if the kernel refuses it.
    """
    descriptor = os.open(_inside(path), os.O_WRONLY)
    try:
        descriptors.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def write_in(directory: int, name: str, text: str) -> None:
    """Write to a file in an open directory, so that a reused name cannot redirect the write.

    :raises OSError: if it cannot be opened or does not take the text.
    """
    file = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        descriptors.write(file, text.encode())
    finally:
        os.close(file)


def read_in(directory: int, name: str) -> str:
    """The text of a file in an open directory, so that a reused name cannot redirect the read.

    :raises OSError: if it cannot be read.
    """
    file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return descriptors.read_all(file, _LARGEST_TEXT).decode('utf-8', 'replace')
    finally:
        os.close(file)


def reopen(descriptor: int, flags: int) -> int:
    """Another descriptor of what one is open on, whatever has its name by now.

    :raises OSError: if it cannot be opened so.
    """
    return os.open(f'/proc/self/fd/{descriptor}', flags | os.O_CLOEXEC)


def place_of(descriptor: int) -> str:
    """The path of what a descriptor is open on, links followed."""
    return _outside(os.readlink(f'/proc/self/fd/{descriptor}'))


def descriptor(path: str, flags: int) -> int:
    """A file descriptor of ``path``; for devices, through :mod:`os_brick.core.kernel`.

    :raises OSError: if it cannot be opened.
    """
    return os.open(_inside(path), flags | os.O_CLOEXEC)


def unlink(path: str) -> None:
    """Remove a file or a link; one that has gone already is not an error.

    :raises OSError: if it stays.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_inside(path))


def remove_directory(directory: str) -> None:
    """Remove a directory that is empty.

    :raises OSError: if there is something in it.
    """
    os.rmdir(_inside(directory))


def remove_if_empty(directory: str) -> None:
    """Remove a directory unless there is something in it."""
    with contextlib.suppress(OSError):
        os.rmdir(_inside(directory))


def names(directory: str) -> list[str]:
    """The sorted names in a directory; none where there is no such directory.

    :raises OSError: if there may be one that cannot be listed.
    """
    return sorted(entries(directory))


def listed(directory: str) -> list[str]:
    """The names in a directory, in no order.

    :raises OSError: if it cannot be listed.
    """
    return os.listdir(_inside(directory))


def entries(directory: str) -> dict[str, int]:
    """The names in a directory with the number of each entry; none if there is no such directory.

    The kernel lists the numbers with the names. They are those of the entries themselves, links
    too, and sysfs gives none twice (Linux, fs/kernfs/dir.c, ``__kernfs_new_node``).

    :raises OSError: if there may be one that cannot be listed.
    """
    try:
        with os.scandir(_inside(directory)) as found:
            return {each.name: each.inode() for each in found}
    except OSError as error:
        absence.require(error, directory)
        return {}


def glob(pattern: str) -> list[str]:
    """The sorted paths that match a shell pattern."""
    return sorted(_outside(path) for path in _glob.glob(_inside(pattern)))


def exists(path: str) -> bool:
    """Whether there is something at ``path``; a dangling link does not count.

    :raises OSError: if that cannot be told.
    """
    return absence.found(os.stat, _inside(path), path) is not None


def inode(path: str) -> int:
    """The number of a file or directory, which sysfs gives no other one; 0 if there is none.

    :raises OSError: if it cannot be told.
    """
    found = absence.found(os.stat, _inside(path), path)
    return found.st_ino if found else 0


def link_mark(path: str) -> str:
    """What tells a link itself from a later one of its name; empty if there is no link.

    Its number, which tmpfs gives no other one, and when it was made, for file systems that do. To
    give it another name changes neither.

    :raises OSError: if it cannot be told.
    """
    found = absence.found(os.lstat, _inside(path), path)
    if not found or not stat.S_ISLNK(found.st_mode):
        return ''
    return f'{found.st_ino}-{found.st_mtime_ns}'


def mode(path: str) -> int:
    """Type and permissions of what is at ``path``, links followed.

    :raises OSError: if there is nothing, or it cannot be asked.
    """
    return os.stat(_inside(path)).st_mode


def owner(path: str) -> int:
    """The number of the user that a file belongs to, links followed.

    :raises OSError: if there is nothing, or it cannot be asked.
    """
    return os.stat(_inside(path)).st_uid


def make_directories(real_path: str, mode: int) -> None:
    """Have a directory and those above it, none of which any user may write to.

    ``os.makedirs`` makes those above without a mode, and the umask of oslo.privsep's daemon is 0:
    they would be open to every user. Here they are made with 0755.

    :param real_path: as :func:`real` returns it.
    :param mode: of the last one, if it is made here.
    :raises OSError: if there is something else, or it cannot be made.
    """
    above = os.path.dirname(real_path)
    if above and not os.path.isdir(above):
        make_directories(above, 0o755)
    try:
        os.mkdir(real_path, mode)
    except FileExistsError:
        if not os.path.isdir(real_path):
            raise


def make_directory(path: str) -> bool:
    """Have a directory, and those above it; return whether it was made.

    :raises OSError: if there is something else, or it cannot be made.
    """
    try:
        os.makedirs(_inside(path))  # by the service itself, whose umask counts
    except FileExistsError:
        if not is_directory(path):
            raise
        return False
    return True


def is_link(path: str) -> bool:
    """Whether ``path`` is a symbolic link, dangling or not.

    :raises OSError: if that cannot be told.
    """
    found = absence.found(os.lstat, _inside(path), path)
    return found is not None and stat.S_ISLNK(found.st_mode)


def is_directory(path: str) -> bool:
    """Whether ``path`` is a directory.

    :raises OSError: if that cannot be told.
    """
    found = absence.found(os.stat, _inside(path), path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def readlink(path: str) -> str:
    """What a symbolic link says, as it stands.

    :raises OSError: if it is none.
    """
    return os.readlink(_inside(path))


def realpath(path: str) -> str:
    """The path with every symbolic link followed; parts that do not exist stay as they are.

    :raises OSError: if a link in /sys or /dev cannot be followed, though it may lead somewhere.
    """
    return _outside(resolved.path(_inside(path), by_kernel=path.startswith(('/sys/', '/dev/'))))


@contextlib.contextmanager
def use(root: str) -> Iterator[None]:
    """Have ``root`` stand for ``/`` for a while; a seam for tests."""
    global _root, _epoch  # noqa: PLW0603 the seam itself
    before, _root = _root, os.path.realpath(root).rstrip('/')
    _epoch += 1
    try:
        yield
    finally:
        _root = before
        _epoch += 1


def epoch() -> int:
    """A number that changes when another directory stands for ``/``; what was read is void then."""
    return _epoch


def is_substituted() -> bool:
    """Whether another directory stands for ``/``."""
    return bool(_root)


def real(path: str) -> str:
    """Where ``path`` lies for the operating system; differs only under :func:`use`."""
    return _inside(path)
