# SPDX-License-Identifier: Apache-2.0
"""The one table of locks.

=========== ================================================== =====================
kind        what it protects                                   reach
=========== ================================================== =====================
volume      attach, extend and detach of one volume            threads and processes
identity    the same by its WWID, which paths may spell anyhow threads and processes
target      log in to, scan and log out of one target          threads and processes
encryption  decrypt, extend and end the mapping of a volume    threads and processes
format      give a volume its first LUKS header                threads and processes
cache       the cache before one device                        threads and processes
share       mount a share of a remote file system, and unmount threads and processes
=========== ================================================== =====================

Two are taken in the order of the table, and several of one kind all at once
(:func:`hold_all`). Nothing here is host-wide: two attaches on two targets never wait for each
other. With a target's lock that of os-brick 7 is shared (:mod:`host_lock`). The names are hashed
into a bounded number of lock files, which are never removed; a file a volume would pile up for
ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
import contextlib
import fcntl
import hashlib
import os
import secrets
import threading

from oslo_concurrency import lockutils
from oslo_config import cfg
from oslo_log import log as logging

from os_brick import (
    exception,
    opts,  # noqa: F401 registers [os_brick]
)
from os_brick.core import forked, host_lock, shared_files, wait

LOG = logging.getLogger(__name__)

PREFIX = 'os-brick-'
# Two volumes share a file once in so many pairs, and then only wait for each other.
FILES_A_KIND = 4096
# How long a process that waits for another one's lock sleeps between two tries.
FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.05

VOLUME = 'volume'
IDENTITY = 'identity'
TARGET = 'target'
ENCRYPTION = 'encryption'
FORMAT = 'format'
CACHE = 'cache'
SHARE = 'share'

# Each lifeline is one byte of a file that has no content.
_LIFELINES = 2**62
# Lifelines of this process (a forked child has a copy, under a PID that is not its own).
_alive: set[tuple[int, int]] = set()
_life_files: dict[tuple[str, int], int] = {}
# What relative paths meant when they were first used: a process may change its directory later.
_absolute: dict[str, str] = {}
# Our own table, so that it can be renewed: oslo.concurrency's keeps, in a forked process, what a
# thread of the parent held at that moment, for ever.
_semaphores = lockutils.Semaphores()


def _forget() -> None:
    """In a process forked from this one: a thread that is not here may have held any of these.

    The locks of files are the parent's alone (POSIX locks are not inherited), and keep the two
    processes apart.
    """
    global _semaphores  # noqa: PLW0603 renewed as a whole, in a process of one thread
    _semaphores = lockutils.Semaphores()


_guard = forked.Guard(_forget)


def directory() -> str | None:
    """The directory of the lock files: ours where it is set, else oslo.concurrency's.

    A relative one is taken from where the process is when it first asks, and stays there.
    """
    place = cfg.CONF.os_brick.lock_path or lockutils.get_lock_path(cfg.CONF)
    if not place or os.path.isabs(place):
        return str(place) if place else None
    with _guard:
        is_new = place not in _absolute
        found = _absolute.setdefault(place, os.path.abspath(place))
    if is_new:
        LOG.warning(
            '[os_brick] lock_path %s is not an absolute path: %s is used. Services of this host '
            'that are started in another directory use another one, and do not wait for each other',
            place,
            found,
        )
    return found


def _bucket(kind: str, key: str) -> str:
    digest = hashlib.sha256(key.encode()).digest()
    return f'{kind}-{int.from_bytes(digest[:8], "big") % FILES_A_KIND:03x}'


@contextlib.contextmanager
def hold(kind: str, key: str, deadline: wait.Deadline) -> Iterator[None]:
    """Hold the lock of one thing, against threads and processes, during the block.

    :raises OperationTimedOut: if another operation holds it until the deadline.
    :raises HostNotReady: if no directory for lock files is configured.
    """
    with (
        _hold(_bucket(kind, key), f'the lock on {kind} {key}', deadline),
        _beside_older_releases(kind, deadline),
    ):
        yield


class Hold:
    """A lock that is held, until the last of its holders has let it go.

    An operation hands it on to its threads, which may outlive it: what one of them still makes or
    takes back is the thread's own, and no other operation on the same thing begins before.
    """

    def __init__(self, key: str, release: Callable[[], object]) -> None:
        self.key = key
        self._release = release
        self._guard = threading.Lock()
        self._holders = 1

    def share(self) -> None:
        """Become one more holder; only a holder may call this for another.

        :raises RuntimeError: if no one holds it any more.
        """
        with self._guard:
            if not self._holders:
                raise RuntimeError('a lock that is free cannot be shared')
            self._holders += 1

    def release(self) -> None:
        """Be a holder no longer."""
        with self._guard:
            self._holders -= 1
            is_last = not self._holders
        if is_last:
            self._release()


@contextlib.contextmanager
def shared(kind: str, key: str, deadline: wait.Deadline) -> Iterator[Hold]:
    """Hold the lock of one thing during the block, and for as long as others share it.

    :raises OperationTimedOut: if another operation holds it until the deadline.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold(kind, key, deadline))
        held = Hold(key, stack.pop_all().close)
    try:
        yield held
    finally:
        held.release()


@contextlib.contextmanager
def hold_identity(wwid: str, deadline: wait.Deadline) -> Iterator[None]:
    """Hold the lock of a volume by its WWID; nothing is held where that is not known.

    Its key may depend on the paths that a caller names, its WWID does not. Taken after the key's.

    :raises OperationTimedOut: if another operation holds it until the deadline.
    """
    if not wwid:
        yield
        return
    with hold(IDENTITY, wwid.lower(), deadline):
        yield


@contextlib.contextmanager
def hold_all(kind: str, keys: Iterable[str], deadline: wait.Deadline) -> Iterator[None]:
    """Hold the locks of several things of one kind at once.

    Two of them may share a file, which is taken once then; and everyone takes the files in one
    order, which is not that of the things' names.

    :raises OperationTimedOut: if another operation holds one of them until the deadline.
    """
    names = {_bucket(kind, key): key for key in keys}
    with contextlib.ExitStack() as stack:
        for name in sorted(names):
            stack.enter_context(_hold(name, f'the lock on {kind} {names[name]}', deadline))
        stack.enter_context(_beside_older_releases(kind, deadline))
        yield


def _beside_older_releases(
    kind: str, deadline: wait.Deadline
) -> contextlib.AbstractContextManager[None]:
    """What else is held with a lock of this kind, where an older release works on this host."""
    is_needed = kind == TARGET and not cfg.CONF.oslo_concurrency.disable_process_locking
    return host_lock.shared(directory() if is_needed else None, deadline)


@contextlib.contextmanager
def _hold(name: str, what: str, deadline: wait.Deadline) -> Iterator[None]:
    inner: threading.Semaphore = lockutils.internal_lock(f'{PREFIX}{name}', semaphores=_semaphores)
    if not inner.acquire(timeout=deadline.remaining):
        raise exception.OperationTimedOut(what=what, seconds=round(deadline.seconds, 1))
    try:
        with _file_lock(name, what, deadline):
            yield
    finally:
        inner.release()


@contextlib.contextmanager
def _file_lock(name: str, what: str, deadline: wait.Deadline) -> Iterator[None]:
    if cfg.CONF.oslo_concurrency.disable_process_locking:
        yield
        return
    place = directory()
    if place is None:
        raise exception.HostNotReady(
            missing='a directory for lock files ([os_brick] lock_path)',
            remedy='Set it, or [oslo_concurrency] lock_path, to an absolute path that all services '
            'on this host share, such as /run/lock/os-brick.',
        )
    outer = lockutils.external_lock(name, PREFIX, place)
    _prepare(str(outer.path, 'utf-8') if isinstance(outer.path, bytes) else outer.path)
    acquired = outer.acquire(
        delay=FIRST_PAUSE_SECONDS,
        max_delay=LONGEST_PAUSE_SECONDS,
        timeout=max(deadline.remaining, FIRST_PAUSE_SECONDS),
    )
    if not acquired:
        raise exception.OperationTimedOut(what=what, seconds=round(deadline.seconds, 1))
    try:
        yield
    finally:
        outer.release()


@contextlib.contextmanager
def lifeline() -> Iterator[str]:
    """A token that is alive (:func:`is_alive`) during the block, and not if its process ends.

    For what has to be known to other processes and cannot be forgotten by one that is killed,
    such as "an attach is under way". Unlike a PID it means the same in every container that shares
    the directory, and is never given again.

    :raises BrickException: if the file behind it cannot be used.
    """
    number = secrets.randbelow(_LIFELINES)
    file = _life_file()
    if file is not None:
        # A POSIX lock: it ends with the process, and a forked child does not hold it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    mine = os.getpid(), number
    _alive.add(mine)
    try:
        yield f'{number:x}'
    finally:
        _alive.discard(mine)
        if file is not None and os.getpid() == mine[0]:
            fcntl.lockf(file, fcntl.LOCK_UN, 1, number)


def is_alive(token: str) -> bool:
    """Whether the block of a :func:`lifeline` is still running, in whatever process.

    :raises BrickException: if the file behind it cannot be used.
    """
    try:
        number = int(token, 16)
    except ValueError:
        return False
    if (os.getpid(), number) in _alive:
        return True
    file = _life_file() if 0 <= number < _LIFELINES else None
    if file is None:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, number)
    except BlockingIOError:
        return True
    fcntl.lockf(file, fcntl.LOCK_UN, 1, number)
    return False


def _life_file() -> int | None:
    return file_of_bytes('lifelines')


def file_of_bytes(name: str) -> int | None:
    """A file without content whose single bytes are locked; ``None`` without a directory.

    It is never closed: that would end every POSIX lock that this process has on it.

    :raises BrickException: naming the option, if this service may not use the file.
    """
    place = directory()
    if place is None:
        return None
    path = f'{place}/{PREFIX}{name}'
    with _guard:
        known = _life_files.get((path, shared_files.inode(path)))
        if known is not None:
            return known
        with _naming_the_option():
            opened = shared_files.open_file(path)
        return _life_files.setdefault((path, shared_files.inode(path)), opened)


def _prepare(path: str) -> None:
    """Have a lock file that every service of its group can lock, whatever the umask.

    Services that share a directory run as users of their own, so a directory with a group of
    theirs and the set-group-ID bit keeps them apart from each other and from no one else.

    :raises BrickException: naming the option, if this service may not use the file.
    """
    with _naming_the_option():
        shared_files.make(path)


@contextlib.contextmanager
def _naming_the_option() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise exception.BrickException(
            f'[os_brick] lock_path: {error}; services that share it need a common group, and the '
            'directory that group and the set-group-ID bit (mode 2770)'
        ) from error
