# SPDX-License-Identifier: Apache-2.0
"""The one way to devices and to local daemons: open, ioctl, connect.

Everything else of the kernel is files (:mod:`os_brick.core.files`). A test puts a kernel of its
own in the place with :func:`use`.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import fcntl
import os
import socket
from typing import Protocol

from os_brick.core import files


class Kernel(Protocol):
    """What opens devices, takes their ioctls, and connects to daemons."""

    def open(self, path: str, flags: int) -> int:
        """A descriptor of a device.

        :raises OSError: if it cannot be opened.
        """

    def ioctl(self, descriptor: int, request: int, argument: bytearray | int) -> int:
        """What the kernel returns to one ioctl; a buffer holds the answer afterwards.

        :raises OSError: if the kernel refuses it.
        """

    def connect(self, address: str, timeout: float) -> socket.socket:
        """A connection to a local daemon's stream socket, each of whose steps has a limit.

        :raises OSError: if nobody listens.
        """


class _SystemKernel:
    def open(self, path: str, flags: int) -> int:
        return files.descriptor(path, flags)

    def ioctl(self, descriptor: int, request: int, argument: bytearray | int) -> int:
        return fcntl.ioctl(descriptor, request, argument)

    def connect(self, address: str, timeout: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.settimeout(timeout)
            connection.connect(address)
        except BaseException:
            connection.close()
            raise
        return connection


_current: Kernel = _SystemKernel()


@contextlib.contextmanager
def device(path: str, flags: int) -> Iterator[int]:
    """A descriptor of a device during the block.

    :raises OSError: if it cannot be opened.
    """
    descriptor = _current.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def ioctl(descriptor: int, request: int, argument: bytearray | int) -> int:
    """What the kernel returns to one ioctl; a buffer holds the answer afterwards.

    :raises OSError: if the kernel refuses it.
    """
    return _current.ioctl(descriptor, request, argument)


def connect(address: str, timeout: float) -> socket.socket:
    """A connection to a local daemon's stream socket, each of whose steps has a limit.

    :raises OSError: if nobody listens.
    """
    return _current.connect(address, timeout)


@contextlib.contextmanager
def use(kernel: Kernel) -> Iterator[None]:
    """Have every device and daemon reached through ``kernel`` for a while; a seam for tests."""
    global _current  # noqa: PLW0603 the seam itself
    before, _current = _current, kernel
    try:
        yield
    finally:
        _current = before
