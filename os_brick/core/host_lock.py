# SPDX-License-Identifier: Apache-2.0
"""The one lock of a host that os-brick 7 and earlier take, for a host on which both are at work.

Release 7 holds ``os-brick-connect_volume`` exclusively for the whole of each attach and detach,
of every volume and protocol. It ends an iSCSI session or an NVMe controller that has no other
volume just then, which may be one that this version has just logged in to, and the reverse. So
what logs in, scans and logs out here shares that lock: ours do not wait for each other, and
release 7 waits for all of them.

The file is release 7's: where there is none, 7 has not been at work with this directory, and
nothing is taken. It is not made here, because 7 may run as another user, who could not open it then
(``fs.protected_regular``).

Release 7 tries its lock every 0.1 s and never waits in line, so a busy service of ours makes room
for it: every few seconds those that come wait a moment, and the lock is free for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import dataclasses
import fcntl
import os

from oslo_log import log as logging

from os_brick.core import clock, forked, shared_files, wait

LOG = logging.getLogger(__name__)

NAME = 'os-brick-connect_volume'
# An attach by 7 takes 2 to 10 s; with a portal that does not answer it holds the lock for minutes.
LONGEST_SECONDS = 60.0
_SHARE = 0.5
# How long the lock is shared in one go, how long it is free then, and how long one waits for that:
# one that has a target's lock and asks for another's waits for itself.
TURN_SECONDS = 5.0
_REST_SECONDS = 0.25
_PATIENCE_SECONDS = 1.0


@dataclasses.dataclass(slots=True)
class _Shared:
    """The lock of this process: a POSIX lock, so threads count, and a forked child has none."""

    descriptor: int
    holders: int
    turn_ends: float

    @property
    def is_over(self) -> bool:
        """Whether it is release 7's turn."""
        return clock.monotonic() > self.turn_ends


_held: dict[str, _Shared] = {}
_rests_until: dict[str, float] = {}


def _forget() -> None:
    """In a process forked from this one: the lock is the parent's, and only the descriptor ours."""
    _rests_until.clear()
    while _held:
        os.close(_held.popitem()[1].descriptor)


_guard = forked.Guard(_forget)


@contextlib.contextmanager
def shared(directory: str | None, deadline: wait.Deadline) -> Iterator[None]:
    """Keep release 7 from attaching and detaching during the block, if it uses this directory.

    If it is at work for longer than a minute, or half of the time that is left, the block begins
    without the lock, and a warning says so.
    """
    path = f'{directory}/{NAME}'
    owner = os.getpid()
    is_held = directory is not None and _share(path, deadline)
    try:
        yield
    finally:
        if is_held and os.getpid() == owner:
            _release(path)


def _share(path: str, deadline: wait.Deadline) -> bool:
    seconds = min(LONGEST_SECONDS, deadline.remaining * _SHARE)
    ends = wait.Deadline.after(seconds)
    is_held = wait.poll(lambda: _try(path, is_polite=True), ends.within(_PATIENCE_SECONDS))
    if is_held is None:
        is_held = wait.poll(lambda: _try(path), ends)
    if is_held is None:
        LOG.warning(
            'os-brick 7 has been attaching or detaching on this host for %.0f s (%s): going on '
            'beside it; a volume of either may lose a path',
            seconds,
            path,
        )
    return bool(is_held)


def _try(path: str, *, is_polite: bool = False) -> bool | None:
    """Whether the lock is shared now; ``False`` if there is none to share, ``None`` to try again.

    :param is_polite: leave it to release 7 for a moment if it is 7's turn.
    """
    with _guard:
        held = _held.get(path)
        if is_polite and (held.is_over if held else clock.monotonic() < _rests_until.get(path, 0)):
            return None
        if held:
            held.holders += 1
            return True
        return _lock(path)


def _lock(path: str) -> bool | None:
    try:
        descriptor = shared_files.open_existing(path)
    except OSError:  # Not there, or another user's.
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        return None if isinstance(error, BlockingIOError) else False
    _held[path] = _Shared(descriptor, 1, clock.monotonic() + TURN_SECONDS)
    return True


def _release(path: str) -> None:
    with _guard:
        held = _held[path]
        held.holders -= 1
        if held.holders:
            return
        del _held[path]
        os.close(held.descriptor)  # Ends the lock.
        if held.is_over:
            _rests_until[path] = clock.monotonic() + _REST_SECONDS
