# SPDX-License-Identifier: Apache-2.0
"""The one place that opens, lists and resolves what lies in /sys, /proc, /dev and /etc.

Every path is given and returned as the host sees it, from ``/``. A test puts another
directory in the place of ``/`` with :func:`use`.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import errno
import fcntl
import glob as _glob
import os
import secrets
import stat

# What file systems without O_TMPFILE say (NFS, overlayfs before Linux 6.3), and old kernels.
_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)

_LARGEST_TEXT = 1 << 20
# XFS and ext4 may leave NULs where data did not reach the disk.
_NOTHING = '\0 \t\r\n'

_root = ''


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
    with open(_inside(path), 'rb') as file:
        if largest is None:
            return file.read()
        data = file.read(largest + 1)
    if len(data) > largest:
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
        return _all_of(descriptor, largest)
    finally:
        os.close(descriptor)


def read_or(path: str, default: str = '') -> str:
    """The text of a file, or ``default`` where it cannot be read (it may vanish at any time)."""
    try:
        return read(path)
    except OSError:
        return default


def write(path: str, text: str) -> None:
    """Write ``text`` to a file that exists, in one system call, as sysfs wants it.

    :raises OSError: if the kernel refuses it.
    """
    descriptor = os.open(_inside(path), os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def write_in(directory: int, name: str, text: str) -> None:
    """Write to a file in an open directory, which is the one that was looked at.

    :raises OSError: if it cannot be opened or does not take the text.
    """
    file = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def read_in(directory: int, name: str) -> str:
    """The text of a file in an open directory, which is the one that was looked at.

    :raises OSError: if it cannot be read.
    """
    file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return _all_of(file, _LARGEST_TEXT).decode('utf-8', 'replace')
    finally:
        os.close(file)


def reopen(descriptor: int, flags: int) -> int:
    """Another descriptor of what one is open on, whatever has its name by now.

    :raises OSError: if it cannot be opened so.
    """
    return os.open(f'/proc/self/fd/{descriptor}', flags | os.O_CLOEXEC)


def is_removed(directory: int) -> bool:
    """Whether an open directory has no name any more."""
    return not os.fstat(directory).st_nlink


def place_of(descriptor: int) -> str:
    """The path of what a descriptor is open on, links followed."""
    return _outside(os.readlink(f'/proc/self/fd/{descriptor}'))


def replace(path: str, text: str, mode: int = 0o600) -> None:
    """Put a whole file in the place of ``path`` at once, so that no reader sees half of it.

    A symbolic link at ``path`` is replaced, not followed.

    :raises OSError: if its directory does not exist or cannot be written.
    """
    replace_bytes(path, text.encode(), mode)


def replace_bytes(path: str, data: bytes, mode: int = 0o600) -> None:
    """Put a whole file in the place of ``path``, as :func:`replace` does.

    :raises OSError: if its directory does not exist or cannot be written.
    """
    directory, _, name = _inside(path).rpartition('/')
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        replace_in(descriptor, name, data, mode, durable=True)
    finally:
        os.close(descriptor)


def replace_in(directory: int, name: str, data: bytes, mode: int, *, durable: bool) -> None:
    """Put a whole file into an open directory at once, whatever is at its name.

    :param durable: whether it is on the disk when this returns; else after a crash of the host the
        old one may be back.
    :raises OSError: if it cannot be written; what was there is there still then.
    """
    fresh = _new_in(directory, data, mode, durable=durable)
    try:
        os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh, dir_fd=directory)
        raise
    if durable:
        _sync_directory(directory)


def _new_in(directory: int, data: bytes, mode: int, *, durable: bool) -> str:
    """The random name of a new file with ``data``, in an open directory.

    It gets its name when it is complete, where the file system can (O_TMPFILE): a process that is
    killed before leaves nothing, which open-iscsi would take for a record.
    """
    name = f'.os-brick-{secrets.token_hex(8)}'
    flags = os.O_WRONLY | os.O_CLOEXEC
    try:
        file = os.open('.', flags | os.O_TMPFILE, 0o600, dir_fd=directory)
        is_named = False
    except OSError as error:
        if error.errno not in _NO_TMPFILE:
            raise
        named = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        file = os.open(name, flags | named, 0o600, dir_fd=directory)
        is_named = True
    try:
        _fill(file, data, mode, durable=durable)
        if not is_named:
            # With a directory's descriptor, since os.link follows the link only then.
            os.link(f'/proc/self/fd/{file}', name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=directory)
        raise
    finally:
        os.close(file)
    return name


def _fill(file: int, data: bytes, mode: int, *, durable: bool) -> None:
    # The umask: the privsep daemon runs with 0, other processes do not.
    os.fchmod(file, mode)
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
    if durable:
        os.fsync(file)


def _sync_directory(directory: int) -> None:
    # A descriptor of O_PATH cannot be synchronised.
    file = os.open('.', os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def create(path: str, text: str, mode: int = 0o644) -> str:
    """The content of a file, which is ``text`` unless another caller was faster; never half of it.

    However many threads and processes call this at once, each gets the same text, and it is what
    is on the disk. An empty file, which a crash while writing leaves behind, is as good as none; a
    symbolic link that leads to a file is followed.

    :raises OSError: if it can be neither read nor written.
    """
    found = _text_at(path)
    if found:
        return found
    target = realpath(path)
    directory, _, name = _inside(target).rpartition('/')
    os.makedirs(directory, mode=0o755, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Taken by every caller of this function, in whatever process; ends with the descriptor.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        found = _text_at(target)
        if not found:
            replace_in(descriptor, name, text.encode(), mode, durable=True)
    finally:
        os.close(descriptor)
    return found or text.strip()


def _text_at(path: str) -> str:
    """The text of a file, empty if there is none or a crash has left it without content.

    :raises OSError: if there is one that cannot be read.
    """
    try:
        return read_regular(path, _LARGEST_TEXT).decode('utf-8', 'replace').strip(_NOTHING)
    except FileNotFoundError:
        return ''


def make_shared(path: str) -> None:
    """Have an empty file, in a directory, that its group may write to as well.

    The path is always the host's own, as :mod:`oslo_concurrency` takes it.

    :raises OSError: if it cannot be made, is not a regular file, or this user may not write to it.
    """
    os.close(open_shared(path))


def open_shared(path: str) -> int:
    """A descriptor of a file that its group may write to as well; made if there is none.

    The path is the host's own, as that of :func:`make_shared`.

    :raises OSError: if it cannot be made, is not a regular file, or this user may not write to it.
    """
    os.makedirs(os.path.dirname(path), mode=0o770, exist_ok=True)
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


@contextlib.contextmanager
def shared_directory(path: str, mode: int | None = None) -> Iterator[int]:
    """A descriptor of a directory that services share.

    The path is the host's own, as that of :func:`make_shared`.

    :param mode: what it is made with if there is none; ``None`` not to make it.
    :raises PermissionError: if any user may remove and replace what is in it.
    :raises OSError: if it cannot be made or opened.
    """
    if mode is not None:
        os.makedirs(path, mode=mode, exist_ok=True)
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
        return _all_of(file, largest)
    finally:
        os.close(file)


def _is_trusted(file: os.stat_result, directory: os.stat_result) -> bool:
    if file.st_mode & stat.S_IWOTH:
        return False
    if file.st_uid in (os.geteuid(), 0):
        return True
    return not directory.st_mode & stat.S_IWOTH and file.st_gid == directory.st_gid


def _all_of(file: int, largest: int) -> bytes:
    parts = []
    while part := os.read(file, largest + 1):
        parts.append(part)
    return b''.join(parts)


def unlink_in(directory: int, name: str, *, durable: bool) -> None:
    """Remove a file from an open directory; one that has gone already is not an error.

    :param durable: whether it stays away after a crash of the host.
    :raises OSError: if it stays.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
        if durable:
            _sync_directory(directory)


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
    """The sorted names in a directory; none where there is no such directory."""
    try:
        return sorted(os.listdir(_inside(directory)))
    except OSError:
        return []


def glob(pattern: str) -> list[str]:
    """The sorted paths that match a shell pattern."""
    return sorted(_outside(path) for path in _glob.glob(_inside(pattern)))


def exists(path: str) -> bool:
    """Whether there is something at ``path``; a dangling link does not count."""
    return os.path.exists(_inside(path))


def inode(path: str) -> int:
    """The number of a file or directory, which sysfs gives no other one; 0 if there is none."""
    try:
        return os.stat(_inside(path)).st_ino
    except OSError:
        return 0


def own_inode(path: str) -> int:
    """The number of a file whose path is the host's own, as that of :func:`make_shared`; 0 if none.

    A link is not followed.
    """
    try:
        return os.lstat(path).st_ino
    except OSError:
        return 0


def is_link(path: str) -> bool:
    """Whether ``path`` is a symbolic link, dangling or not."""
    return os.path.islink(_inside(path))


def is_directory(path: str) -> bool:
    """Whether ``path`` is a directory."""
    return os.path.isdir(_inside(path))


def readlink(path: str) -> str:
    """What a symbolic link says, as it stands.

    :raises OSError: if it is none.
    """
    return os.readlink(_inside(path))


def realpath(path: str) -> str:
    """The path with every symbolic link followed; parts that do not exist stay as they are."""
    if not _root:
        return os.path.realpath(path)
    return _outside(os.path.realpath(_inside(path)))


@contextlib.contextmanager
def use(root: str) -> Iterator[None]:
    """Have ``root`` stand for ``/`` for a while; a seam for tests."""
    global _root  # noqa: PLW0603 the seam itself
    before, _root = _root, os.path.realpath(root).rstrip('/')
    try:
        yield
    finally:
        _root = before


def is_substituted() -> bool:
    """Whether another directory stands for ``/``."""
    return bool(_root)


def real(path: str) -> str:
    """Where ``path`` lies for the operating system; differs only under :func:`use`."""
    return _inside(path)
