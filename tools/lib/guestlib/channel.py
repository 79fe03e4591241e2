# SPDX-License-Identifier: Apache-2.0
"""Talks to the agent in the guest: JSON lines over a virtio-serial port (see inside/agent.py)."""

import base64
import collections
import json
import os
import pathlib
import select
import socket
import time
from typing import Any, Self
import uuid

from guestlib import progress


def connect(place: pathlib.Path) -> 'Line':
    """A line to the guest that runs in this directory.

    :raises: progress.Failure if nothing listens there.
    """
    link = socket.socket(socket.AF_UNIX)
    # By descriptor, as the path of a socket may not be longer than 107 bytes.
    fd = os.open(place, os.O_PATH)
    try:
        link.connect(f'/proc/self/fd/{fd}/agent.sock')
    except OSError as error:
        link.close()
        raise progress.Failure(
            f'the guest does not listen: {error}; try: tools/guest stop'
        ) from error
    finally:
        os.close(fd)
    return Line(link)


class Line:
    """One client's connection; closing it kills what the client started."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._rest = b''
        self._queue: collections.deque[dict[str, Any]] = collections.deque()
        self.job = ''

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._link.close()

    def waiting(self) -> bool:
        """True if a message is there that needs no reading."""
        return bool(self._queue)

    def fileno(self) -> int:
        return self._link.fileno()

    def send(self, do: str, **more: Any) -> None:
        """Send one order; an empty line before it ends what a dead client left half said."""
        if do in ('run', 'sync', 'hello'):  # a new job: late answers to the one before are not its
            self.job = uuid.uuid4().hex
            self._queue.clear()
        message = json.dumps({'do': do, 'job': self.job, **more})
        self._link.sendall(b'\n' + message.encode() + b'\n')

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """The next message of this line's job, or None after that time.

        :raises: progress.Failure if the guest has gone.
        """
        until = time.monotonic() + seconds
        while not self._queue:
            ready, _, _ = select.select([self._link], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return None
            self._read()
        return self._queue.popleft()

    def _read(self) -> None:
        data = self._link.recv(1 << 18)
        if not data:
            raise progress.Failure('the guest has gone; see its console log (tools/guest status)')
        *lines, self._rest = (self._rest + data).split(b'\n')
        for text in lines:
            try:
                message = json.loads(text)
            except ValueError:  # the end of an earlier client's message
                continue
            if message.get('job') == self.job:
                self._queue.append(message)

    def answer(self, what: str, seconds: float) -> dict[str, Any]:
        """The exit message of an order that has no output.

        :raises: progress.Failure if it does not come in time or reports a fault.
        """
        message = self.receive(seconds)
        if message is None:
            raise progress.Failure(f'the guest does not answer ({what}, {seconds:.0f} s)')
        if message.get('exit'):
            raise progress.Failure(f'{what}: {message.get("note")}')
        return message

    def hello(self, seconds: float) -> None:
        """Wait until the agent answers."""
        until = time.monotonic() + seconds
        while True:
            self.send('hello')
            if self.receive(2.0) is not None:
                return
            if time.monotonic() > until:
                raise progress.Failure('the agent in the guest does not answer')

    def input(self, data: bytes) -> None:
        self.send('input', data=base64.b64encode(data).decode())
