# SPDX-License-Identifier: Apache-2.0
"""Child processes for calls into the kernel that may never come back.

A child is forked with its first call and takes further ones by name, because a fork of a large
process costs milliseconds and a message does not. One that hangs is killed and left behind: in
uninterruptible sleep it survives even SIGKILL until the kernel lets it go.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import marshal
import os
import signal
import socket
import struct
import threading
from typing import Any, NoReturn

from os_brick.core import clock, files

Call = functools.partial[Any]

# As many wait for the next call as one volume has paths; the others end when they have answered.
MOST_IDLE = 8
_LENGTH = struct.Struct('=Q')


class Child:
    """One forked process that does one call at a time."""

    def __init__(self, first: Call) -> None:
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.pid = os.fork()
        if self.pid == 0:
            _serve(first, theirs)
        theirs.close()

    def send(self, request: bytes) -> None:
        """Have it do the next call.

        :raises OSError: if it has died.
        """
        self.socket.sendall(_LENGTH.pack(len(request)) + request)

    def answer(self, timeout: float) -> bytes:
        """What it sends back.

        :raises TimeoutError: if that does not come in time.
        :raises OSError: if it has died.
        """
        ends = clock.monotonic() + timeout
        (size,) = _LENGTH.unpack(_receive(self.socket, _LENGTH.size, ends))
        return _receive(self.socket, size, ends)

    def end(self) -> None:
        """Have it end and be collected whenever it does; nobody waits for it."""
        self.socket.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        threading.Thread(target=_collect, args=(self.pid,), daemon=True).start()


class Pool:
    """The children of this process that wait for a call."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._idle: list[Child] = []
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """In a process forked from this one: the children are not its own."""
        self._guard = threading.Lock()
        for child in self._idle:
            child.socket.close()
        self._idle = []

    def call(self, call: Call, timeout: float) -> Any:
        """What ``call`` gives in a child.

        :raises TimeoutError: if the child did not answer in time.
        :raises OSError: what ``call`` raised, or if the child died.
        """
        child = self._started(call)
        try:
            answer = child.answer(timeout)
        except BaseException:
            child.end()
            raise
        self._keep(child)
        return _unpacked(answer)

    def _started(self, call: Call) -> Child:
        request = _packed(call)
        while request is not None:
            with self._guard:
                child = self._idle.pop() if self._idle else None
            if child is None:
                break
            try:
                child.send(request)
            except OSError:
                child.end()  # Somebody killed it while it waited.
            else:
                return child
        return Child(call)

    def _keep(self, child: Child) -> None:
        with self._guard:
            if len(self._idle) < MOST_IDLE:
                self._idle.append(child)
                return
        child.end()


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


def _serve(first: Call, channel: socket.socket) -> NoReturn:
    """Do calls until the parent goes. Nothing is logged: another thread may have held that lock."""
    try:
        gc.disable()  # Finalizers of the parent's objects are not the child's business.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # It must not keep the parent's sockets and lock files open if it hangs.
        os.dup2(channel.fileno(), 0)
        os.closerange(3, os.sysconf('SC_OPEN_MAX'))
        _serve_all(first, socket.socket(fileno=0))
    finally:
        os._exit(0)


def _serve_all(call: Call, channel: socket.socket) -> None:
    while True:
        answer = _done(call)
        channel.sendall(_LENGTH.pack(len(answer)) + answer)
        (size,) = _LENGTH.unpack(_receive(channel, _LENGTH.size))
        module, name, arguments, keywords = marshal.loads(_receive(channel, size))  # noqa: S302 our own
        function = getattr(importlib.import_module(module), name)
        call = functools.partial(function, *arguments, **keywords)


def _done(call: Call) -> bytes:
    try:
        return marshal.dumps((True, call()))
    except OSError as error:
        return marshal.dumps((False, error.errno, error.strerror or str(error)))
    except Exception as error:
        return marshal.dumps((False, None, f'{type(error).__name__}: {error}'))


def _receive(channel: socket.socket, size: int, ends: float | None = None) -> bytes:
    pieces = bytearray()
    while len(pieces) < size:
        if ends is not None:
            # A limit of 0 would mean "do not wait at all" with another error.
            channel.settimeout(max(ends - clock.monotonic(), 0.000_001))
        piece = channel.recv(min(size - len(pieces), 1 << 20))
        if not piece:
            raise OSError('the child process died without an answer')
        pieces += piece
    return bytes(pieces)


def _unpacked(answer: bytes) -> Any:
    good, *rest = marshal.loads(answer)  # noqa: S302 written by our own child
    if good:
        return rest[0]
    number, text = rest
    raise OSError(number, text) if number else OSError(text)


def _collect(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # Where SIGCHLD is ignored.
        os.waitpid(pid, 0)
