# SPDX-License-Identifier: Apache-2.0
"""The one table of locks.

======== ==================================================== =====================
kind     what it protects                                     reach
======== ==================================================== =====================
volume   attach, extend and detach of one volume              threads and processes
target   log in to, scan and log out of one target            threads and processes
======== ==================================================== =====================

Whoever takes two takes them in the order of the table, and several of one kind all at once
(:func:`hold_all`). Nothing here is host-wide: two attaches on two targets never wait for each
other. The names are hashed into a bounded number of lock files, which are never removed; a file a
volume would pile up for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
import contextlib
import functools
import hashlib
import threading
from typing import ParamSpec, TypeVar

from oslo_concurrency import lockutils
from oslo_config import cfg

from os_brick import exception
from os_brick.core import files, wait

P = ParamSpec('P')
T = TypeVar('T')

PREFIX = 'os-brick-'
# Two volumes share a file once in so many pairs, and then only wait for each other.
FILES_A_KIND = 4096
# How long a process that waits for another one's lock sleeps between two tries.
FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.05

VOLUME = 'volume'
TARGET = 'target'


def directory() -> str | None:
    """The directory of the lock files: ours where it is set, else oslo.concurrency's."""
    return cfg.CONF.os_brick.lock_path or lockutils.get_lock_path(cfg.CONF)


def _bucket(kind: str, key: str) -> str:
    digest = hashlib.sha256(key.encode()).digest()
    return f'{kind}-{int.from_bytes(digest[:8], "big") % FILES_A_KIND:03x}'


@contextlib.contextmanager
def hold(kind: str, key: str, deadline: wait.Deadline) -> Iterator[None]:
    """Hold the lock of one thing, against threads and processes, during the block.

    :raises OperationTimedOut: if somebody else holds it until the deadline.
    :raises RequiredOptError: if no directory for lock files is configured.
    """
    with _hold(_bucket(kind, key), f'the lock of {kind} {key}', deadline):
        yield


@contextlib.contextmanager
def hold_all(kind: str, keys: Iterable[str], deadline: wait.Deadline) -> Iterator[None]:
    """Hold the locks of several things of one kind at once.

    Two of them may share a file, which is taken once then; and everybody takes the files in one
    order, which is not that of the things' names.

    :raises OperationTimedOut: if somebody else holds one of them until the deadline.
    """
    names = {_bucket(kind, key): key for key in keys}
    with contextlib.ExitStack() as stack:
        for name in sorted(names):
            stack.enter_context(_hold(name, f'the lock of {kind} {names[name]}', deadline))
        yield


@contextlib.contextmanager
def _hold(name: str, what: str, deadline: wait.Deadline) -> Iterator[None]:
    inner: threading.Semaphore = lockutils.internal_lock(f'{PREFIX}{name}')
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
    outer = lockutils.external_lock(name, PREFIX, directory())
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


def note(kind: str, key: str) -> str:
    """What was noted with a lock; whoever holds it may look."""
    return files.read_shared(_note_path(kind, key))


def set_note(kind: str, key: str, text: str) -> None:
    """Note something with a lock, for the next one that holds it in whatever process.

    :raises OSError: if it cannot be written.
    """
    files.write_shared(_note_path(kind, key), text)


def _note_path(kind: str, key: str) -> str:
    digest = hashlib.sha256(key.encode()).hexdigest()[:24]
    return f'{directory()}/{PREFIX}{kind}-note-{digest}'


def _prepare(path: str) -> None:
    """Have a lock file that every service of its group can lock, whatever the umask.

    Services that share a directory run as users of their own, so a directory with a group of
    theirs and the set-group-ID bit keeps them apart from each other and nobody else.

    :raises BrickException: naming the option, if this service may not use the file.
    """
    try:
        files.make_shared(path)
    except OSError as error:
        raise exception.BrickException(
            f'[os_brick] lock_path: {error}; services that share it need a common group, and the '
            'directory that group and the set-group-ID bit (mode 2770)'
        ) from error


def synchronized(
    name: str,
    lock_file_prefix: str = PREFIX,
    external: bool = False,
    lock_path: str | None = None,
    semaphores: lockutils.Semaphores | None = None,
    delay: float = 0.01,
    fair: bool = False,
    blocking: bool = True,
) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
    """Decorate a function to run under a lock of this name, for callers outside.

    The function is not run, and ``None`` returned, if the lock is taken and ``blocking`` is not
    set. Our own code uses :func:`hold`, which has a deadline.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T | None]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T | None:
            where = lock_path or (directory() if external else None)
            try:
                with lockutils.lock(
                    name,
                    lock_file_prefix,
                    external,
                    where,
                    semaphores=semaphores,
                    delay=delay,
                    fair=fair,
                    blocking=blocking,
                ):
                    return function(*args, **kwargs)
            except lockutils.AcquireLockFailedException:
                return None

        return call

    return decorate
