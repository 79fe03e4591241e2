# SPDX-License-Identifier: Apache-2.0
"""Files that change as a whole: no reader sees half of one, and no crash leaves half of one.

Paths are the host's, as those of :mod:`os_brick.core.files`; functions that end in ``_in`` take an
open directory, which is the one that was looked at, whatever has its name by now.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import errno
import fcntl
import os
import secrets
import tempfile

from os_brick.core import descriptors, files

# What file systems without O_TMPFILE report (NFS, overlayfs before Linux 6.3), and old kernels.
_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)

_LARGEST_TEXT = 1 << 20
# What new files are called until they are in their place.
_PREFIX = '.os-brick-'
# XFS and ext4 may leave NULs where data did not reach the disk.
_NOTHING = '\0 \t\r\n'


def replace(path: str, data: bytes, mode: int = 0o600, *, prefix: str = _PREFIX) -> None:
    """Put a whole file in the place of ``path`` at once, so that no reader sees half of it.

    A symbolic link at ``path`` is replaced, not followed.

    :param prefix: what the file is called until then, before a random end.
    :raises OSError: if its directory does not exist or cannot be written.
    """
    directory, _, name = files.real(path).rpartition('/')
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        replace_in(descriptor, name, data, mode, durable=True, prefix=prefix)
    finally:
        os.close(descriptor)


def replace_in(
    directory: int, name: str, data: bytes, mode: int, *, durable: bool, prefix: str = _PREFIX
) -> None:
    """Put a whole file into an open directory at once, whatever is at its name.

    :param durable: whether it is on the disk when this returns; else after a crash of the host the
        old one may be back.
    :param prefix: as of :func:`replace`.
    :raises OSError: if it cannot be written; what was there is there still then.
    """
    fresh = f'{prefix}{secrets.token_hex(8)}'
    _make_in(directory, fresh, data, mode, durable=durable)
    try:
        os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh, dir_fd=directory)
        raise
    if durable:
        _sync_directory(directory)


def _make_in(directory: int, name: str, data: bytes, mode: int, *, durable: bool) -> None:
    """Make a new file with ``data`` in an open directory.

    It gets its name when it is complete, where the file system can (O_TMPFILE): a process that is
    killed before leaves nothing, which open-iscsi would take for a record.
    """
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


def _fill(file: int, data: bytes, mode: int, *, durable: bool) -> None:
    # The umask: the privsep daemon runs with 0, other processes do not.
    os.fchmod(file, mode)
    rest = memoryview(data)
    while rest:
        rest = rest[descriptors.write(file, rest) :]
    if durable:
        os.fsync(file)


def _sync_directory(directory: int) -> None:
    # A descriptor of O_PATH cannot be synchronised.
    file = os.open('.', os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def unlink_in(directory: int, name: str, *, durable: bool) -> None:
    """Remove a file from an open directory; one that has gone already is not an error.

    :param durable: whether it stays away after a crash of the host.
    :raises OSError: if it stays.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
        if durable:
            _sync_directory(directory)


class Private:
    """A file in a new directory of its own, which only this user may look into.

    Both go with :meth:`remove`. If the process ends before, :func:`sweep` removes them: the lock on
    the directory has ended then, too.

    :ivar path: the file.
    """

    def __init__(self, place: str, prefix: str, name: str, data: bytes) -> None:
        self._pid = os.getpid()
        self._directory, self._lock = _new_directory(files.real(place), prefix)
        self.path = f'{self._directory.removeprefix(files.real(""))}/{name}'
        try:
            replace(self.path, data)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove the file and its directory, if they are there; they stay in a forked child."""
        lock, self._lock = self._lock, -1
        if lock < 0:
            return
        try:
            if os.getpid() == self._pid:
                _remove_directory(self._directory)
        finally:
            os.close(lock)


def _new_directory(place: str, prefix: str) -> tuple[str, int]:
    """A new directory and a descriptor of it, with its lock."""
    while True:
        made = tempfile.mkdtemp(prefix=prefix, dir=place)
        lock = -1
        try:
            lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.stat(made)
        except (FileNotFoundError, BlockingIOError):
            # A sweep of another process was there first.
            if lock >= 0:
                os.close(lock)
        else:
            return made, lock


def _remove_directory(directory: str) -> None:
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f'{directory}/{name}')
    os.rmdir(directory)


def sweep(place: str, prefix: str) -> None:
    """Remove the :class:`Private` files of this user whose processes have ended."""
    for name in files.names(place):
        if not name.startswith(prefix):
            continue
        # Another user's cannot be opened; a link is not followed.
        with contextlib.suppress(OSError):
            _sweep_one(f'{files.real(place)}/{name}')


def _sweep_one(directory: str) -> None:
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_directory(directory)
    finally:
        os.close(lock)


@contextlib.contextmanager
def temporary(place: str, prefix: str, name: str, data: bytes) -> Iterator[str]:
    """The path of a :class:`Private` file, which is gone after the block.

    :raises OSError: if it cannot be made.
    """
    file = Private(place, prefix, name, data)
    try:
        yield file.path
    finally:
        file.remove()


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
    target = files.realpath(path)
    directory, _, name = files.real(target).rpartition('/')
    files.make_directories(directory, 0o755)
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
        return files.read_regular(path, _LARGEST_TEXT).decode('utf-8', 'replace').strip(_NOTHING)
    except FileNotFoundError:
        return ''
