# SPDX-License-Identifier: Apache-2.0
"""Child processes for calls into the kernel that may never come back.

A child is forked with its first call and takes further ones by name, because a fork of a large
process costs milliseconds and a message does not. One that hangs is killed and left to
:mod:`os_brick.core.reaper`: in uninterruptible sleep it survives even SIGKILL.

It works in a service that eventlet has patched: the parent waits with whatever sockets it has,
and the child uses nothing that eventlet replaces.
"""

from __future__ import annotations

import builtins
import collections
import contextlib
import errno
import functools
import gc
import io
import marshal
import os
import posix
import signal
import socket
import struct
import sys
import threading
from typing import Any, NoReturn
import warnings

from os_brick.core import clock, files
from os_brick.core.reaper import reaper

Call = functools.partial[Any]

# As many wait for the next call as one volume has paths; the others end when they have answered.
MOST_IDLE = 8
_LENGTH = struct.Struct('=Q')
# A child sends it when it has read a call, and before it does anything about it.
_BEGUN = b'!'
_CHANNEL = 0

# Python 3.12 warns of each fork in a process with threads: the child may wait for a lock that a
# thread of its parent held. Ours takes none: it neither logs nor imports, and what it runs is
# loaded before the fork.
warnings.filterwarnings(
    'ignore', r'This process .*is multi-threaded', DeprecationWarning, r'os_brick\.core\.children'
)


class _NotBegun(Exception):
    """A child has ended before it began with a call, so another one can do it."""


class Child:
    """One forked process that does one call at a time."""

    def __init__(self, first: Call) -> None:
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.is_fresh = True
        self.pid = os.fork()
        if self.pid == 0:
            _serve(first, theirs)
        theirs.close()
        self._pidfd = _pidfd(self.pid)
        # Never waited for, so a fork while it is held harms nothing.
        self._look = threading.Lock()
        self._has_ended = False

    def send(self, request: bytes) -> None:
        """Have it do the next call.

        :raises OSError: if it has died.
        """
        self.is_fresh = False
        self.socket.sendall(_LENGTH.pack(len(request)) + request)

    def answer(self, ends: float) -> bytes:
        """What it sends back.

        :param ends: by when, on :func:`clock.monotonic`.

        :raises TimeoutError: if that does not come in time.
        :raises OSError: if it has died.
        :raises _NotBegun: if it has died before it began.
        """
        try:
            self._receive(len(_BEGUN), ends)
        except TimeoutError:
            raise
        except OSError as error:
            if self.is_fresh:
                raise
            raise _NotBegun from error
        (size,) = _LENGTH.unpack(self._receive(_LENGTH.size, ends))
        return self._receive(size, ends)

    def _receive(self, size: int, ends: float) -> bytes:
        pieces = bytearray()
        while len(pieces) < size:
            # A limit of 0 would mean "do not wait at all" with another error.
            self.socket.settimeout(max(ends - clock.monotonic(), 0.000_001))
            piece = self.socket.recv(min(size - len(pieces), 1 << 20))
            if not piece:
                raise OSError('the child process died without an answer')
            pieces += piece
        return bytes(pieces)

    def has_ended(self) -> bool:
        """Whether it has ended; collects it then. It is named by a descriptor, not by a PID.

        Where the service ignores SIGCHLD, or waits for all of its children, the kernel gives the
        PID to another process as soon as this one has ended.

        One thread looks at a time: another one would close the descriptor under it, whose number
        may be another file's by then. What a second thread would find out is known soon anyway.
        """
        if self._look.acquire(blocking=False):
            try:
                if not self._has_ended and self._is_collected():
                    self._has_ended = True
                    self._close()
            finally:
                self._look.release()
        return self._has_ended

    def _is_collected(self) -> bool:
        which = (os.P_PID, self.pid) if self._pidfd is None else (os.P_PIDFD, self._pidfd)
        try:
            return os.waitid(*which, os.WEXITED | os.WNOHANG) is not None
        except ChildProcessError:
            return True

    def _close(self) -> None:
        self.socket.close()
        found, self._pidfd = self._pidfd, None
        if found is not None:
            os.close(found)

    def end(self, key: str) -> None:
        """Kill it and collect it in the background; nothing waits for it.

        :param key: what it hangs on.
        """
        self.socket.close()
        pidfd = self._pidfd
        if self.has_ended():
            return
        with contextlib.suppress(ProcessLookupError):
            if pidfd is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        reaper.take(key, self.has_ended)

    def forget(self) -> None:
        """Close what belongs to it, in a process forked from this one, whose child it is not."""
        with contextlib.suppress(OSError):
            self._close()


def _pidfd(pid: int) -> int | None:
    """A descriptor of a child; ``None`` where there is none (Linux 5.4 is the first with all)."""
    try:
        found = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
    try:
        os.waitid(os.P_PIDFD, found, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        pass
    except OSError:  # 5.3 opens it, and cannot wait for it.
        os.close(found)
        return None
    return found


class Pool:
    """The children of this process that wait for a call."""

    def __init__(self) -> None:
        # Its methods are atomic. A lock could be held by another thread at the time of a fork.
        self._idle: collections.deque[Child] = collections.deque()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """In a process forked from this one: the children are not its own."""
        idle, self._idle = self._idle, collections.deque()
        for child in idle:
            child.forget()

    def call(self, call: Call, timeout: float) -> Any:
        """What ``call`` gives in a child.

        :raises TimeoutError: if the child did not answer in time.
        :raises OSError: what ``call`` raised, or if the child died; ``EAGAIN`` if too many earlier
            calls hang.
        """
        key = _key(call)
        why = reaper.why_full(key if key.startswith('/') else '')
        if why is not None:
            raise OSError(errno.EAGAIN, f'{why}, so nothing more is tried there until they end')
        request, ends = _packed(call), clock.monotonic() + timeout
        while True:
            child = self._started(call, request, key)
            try:
                answer = child.answer(ends)
            except _NotBegun:
                child.end(key)
                continue
            except BaseException:
                child.end(key)
                raise
            self._keep(child, key)
            return _unpacked(answer)

    def _started(self, call: Call, request: bytes | None, key: str) -> Child:
        while request is not None:
            try:
                child = self._idle.pop()
            except IndexError:
                break
            try:
                child.send(request)
            except OSError:
                child.end(key)  # It was killed while it waited.
            else:
                return child
        return Child(call)

    def _keep(self, child: Child, key: str) -> None:
        if child.has_ended():
            return
        if len(self._idle) < MOST_IDLE:
            self._idle.append(child)
        else:
            child.end(key)


def _key(call: Call) -> str:
    """What a call works on: its first argument if that is a path, else the function."""
    first = call.args[0] if call.args else None
    if isinstance(first, str) and first.startswith('/'):
        return first
    return getattr(call.func, '__qualname__', '')


def _packed(call: Call) -> bytes | None:
    """A call as bytes, or ``None`` if it has no name or arguments that are not plain."""
    module, name = call.func.__module__, getattr(call.func, '__qualname__', '')
    # A child that waits was forked before a test put another host in place.
    if not name.isidentifier() or files.is_substituted():
        return None
    try:
        return marshal.dumps((module, name, call.args, call.keywords))
    except ValueError:
        return None


# In the child.


def _serve(first: Call, channel: socket.socket) -> NoReturn:
    """Do calls until the parent goes. Nothing is logged: another thread may have held that lock."""
    try:
        gc.disable()  # Finalizers of the parent's objects are not the child's business.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # The end of the parent ends a write to it, too.
        for number in (signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _restore_plain_calls()
        # It must not keep the parent's sockets and lock files open if it hangs.
        os.dup2(channel.fileno(), _CHANNEL)
        os.closerange(3, os.sysconf('SC_OPEN_MAX'))
        os.set_blocking(_CHANNEL, True)
        _serve_all(first)
    finally:
        os._exit(0)


def _restore_plain_calls() -> None:
    """Have calls of this process block in the kernel, and nowhere else.

    eventlet replaces these by ones that wait in its hub, which shares its epoll descriptor with
    the parent and does not run here.
    """
    for name in ('open', 'read', 'write', 'waitpid'):
        setattr(os, name, getattr(posix, name))
    os.fdopen = io.open  # type: ignore[assignment]
    builtins.open = io.open


def _serve_all(call: Call) -> None:
    while True:
        _send(_BEGUN)
        answer = _done(call)
        _send(_LENGTH.pack(len(answer)) + answer)
        (size,) = _LENGTH.unpack(_read(_LENGTH.size))
        module, name, arguments, keywords = marshal.loads(_read(size))  # noqa: S302 our own
        # Nothing is imported here: another thread of the parent may have held the lock of an
        # import. A call of a module that came later ends this child, and goes to another one.
        function = getattr(sys.modules[module], name)
        call = functools.partial(function, *arguments, **keywords)


def _done(call: Call) -> bytes:
    try:
        return marshal.dumps((True, call()))
    except OSError as error:
        return marshal.dumps((False, error.errno, error.strerror or str(error)))
    except Exception as error:  # noqa: BLE001 whatever it is, the parent is told
        return marshal.dumps((False, None, f'{type(error).__name__}: {error}'))


def _send(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[posix.write(_CHANNEL, rest) :]


def _read(size: int) -> bytes:
    pieces = bytearray()
    while len(pieces) < size:
        piece = posix.read(_CHANNEL, min(size - len(pieces), 1 << 20))
        if not piece:
            os._exit(0)  # The parent has ended, or needs this child no longer.
        pieces += piece
    return bytes(pieces)


def _unpacked(answer: bytes) -> Any:
    good, *rest = marshal.loads(answer)  # noqa: S302 written by our own child
    if good:
        return rest[0]
    number, text = rest
    raise OSError(number, text) if number else OSError(text)
