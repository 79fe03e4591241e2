# SPDX-License-Identifier: Apache-2.0
"""The one place that opens, lists and resolves what lies in /sys, /proc, /dev and /etc.

Every path is given and returned as the host sees it, from ``/``. A test puts another
directory in the place of ``/`` with :func:`use`.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import glob as _glob
import os

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


def read_bytes(path: str) -> bytes:
    """The content of a file.

    :raises OSError: if it cannot be read.
    """
    with open(_inside(path), 'rb') as file:
        return file.read()


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


def replace(path: str, text: str, mode: int = 0o600) -> None:
    """Put a whole file in the place of ``path`` at once, so that no reader sees half of it.

    :raises OSError: if its directory does not exist or cannot be written.
    """
    temporary = f'{_inside(path)}.os-brick-{os.getpid()}'
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, 'w') as file:
            # The privsep daemon runs with umask 0, other callers do not.
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, _inside(path))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def create(path: str, text: str, mode: int = 0o644) -> str:
    """The content of a file, which is ``text`` unless somebody was faster; never half of it.

    An empty file is what a crash while writing leaves behind, and as good as none.

    :raises OSError: if it can be neither read nor written.
    """
    os.makedirs(os.path.dirname(_inside(path)), mode=0o755, exist_ok=True)
    fresh = f'{path}.os-brick-new-{os.getpid()}'
    replace(fresh, text, mode)
    try:
        os.link(_inside(fresh), _inside(path))
    except FileExistsError:
        found = read(path)
        if found:
            return found
        os.rename(_inside(fresh), _inside(path))
    finally:
        unlink(fresh)
    return text.strip()


def make_shared(path: str) -> None:
    """Have an empty file, in a directory, that its group may write to as well.

    The path is always the host's own, as :mod:`oslo_concurrency` takes it.

    :raises OSError: if it cannot be made, or is somebody else's alone.
    """
    if os.access(path, os.W_OK):
        return
    os.makedirs(os.path.dirname(path), mode=0o770, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        os.fchmod(descriptor, 0o660)  # The umask may have taken the group's right.
    finally:
        os.close(descriptor)


def read_shared(path: str) -> str:
    """The text of a file beside the lock files, whose path is the host's own; empty if none."""
    try:
        with open(path, encoding='utf-8') as file:
            return file.read()
    except FileNotFoundError:
        return ''


def write_shared(path: str, text: str) -> None:
    """Put a whole file beside the lock files, that its group may write to; no text, no file.

    :raises OSError: if it cannot be written.
    """
    if not text:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    make_shared(f'{path}.new')
    with open(f'{path}.new', 'w', encoding='utf-8') as file:
        file.write(text)
    os.rename(f'{path}.new', path)


def descriptor(path: str, flags: int) -> int:
    """A file descriptor of ``path``; for devices, through :mod:`os_brick.core.kernel`.

    :raises OSError: if it cannot be opened.
    """
    return os.open(_inside(path), flags | os.O_CLOEXEC)


def unlink(path: str) -> None:
    """Remove a file or a link; one that has gone already is no error.

    :raises OSError: if it stays.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_inside(path))


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
