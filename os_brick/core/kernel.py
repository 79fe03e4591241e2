# SPDX-License-Identifier: Apache-2.0
"""Devices, local daemons and the kernel's keys: open, ioctl, connect; nothing else does that.

Everything else of the kernel is files (:mod:`os_brick.core.files`). A test puts a kernel of its
own in the place with :func:`use`.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import stat
from typing import Protocol

from os_brick.core import files


class Kernel(Protocol):
    """What opens devices, takes their ioctls, and connects to daemons."""

    def open(self, path: str, flags: int) -> int:
        """A descriptor of a device.

        :raises OSError: if it cannot be opened.
        """

    def open_block(self, path: str, flags: int) -> int:
        """A descriptor of a block device; nothing else is opened, and no link followed.

        :raises OSError: if it cannot be opened, or is not a block device.
        """

    def number(self, descriptor: int) -> str:
        """The ``major:minor`` of the device that a descriptor is open on."""

    def ioctl(self, descriptor: int, request: int, argument: bytearray | int) -> int:
        """What the kernel returns to one ioctl; a buffer holds the answer afterwards.

        :raises OSError: if the kernel refuses it.
        """

    def connect(self, address: str, timeout: float) -> socket.socket:
        """A connection to a local daemon's stream socket, each of whose steps has a limit.

        :raises OSError: if no daemon listens.
        """

    def add_key(self, kind: str, name: str, value: bytes) -> int:
        """The number of a new key of this process, which others of its user may read.

        :raises OSError: if there can be none.
        """

    def drop_key(self, number: int) -> None:
        """Give a key back; it ends when nothing in the kernel uses it.

        :raises OSError: if it has gone.
        """


class _SystemKernel:
    def open(self, path: str, flags: int) -> int:
        return files.descriptor(path, flags)

    def open_block(self, path: str, flags: int) -> int:
        try:
            return _open_block(path, flags)
        except OSError as error:
            # In the text, which is all that privsep carries.
            raise OSError(error.errno, f'{error.strerror}: {path}') from error

    def number(self, descriptor: int) -> str:
        found = os.fstat(descriptor).st_rdev
        return f'{os.major(found)}:{os.minor(found)}'

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

    def add_key(self, kind: str, name: str, value: bytes) -> int:
        number = _keyutils('add_key', kind.encode(), name.encode(), value, len(value), _OF_PROCESS)
        _keyutils('keyctl_setperm', number, _READ_BY_USER)
        return number

    def drop_key(self, number: int) -> None:
        _keyutils('keyctl_unlink', number, _OF_PROCESS)


def _open_block(path: str, flags: int) -> int:
    # O_PATH opens nothing: opening /dev/watchdog arms it, opening a serial line may block.
    place = files.descriptor(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        if not stat.S_ISBLK(os.fstat(place).st_mode):
            raise OSError(errno.ENOTBLK, 'Not a block device')
        return files.reopen(place, flags)
    finally:
        os.close(place)


# linux/keyctl.h: the keyring of this process, and what its possessor (all) and its user (view,
# read and search) may do with a key.
_OF_PROCESS = -2
_READ_BY_USER = 0x3F0B0000


def _keyutils(function: str, *arguments: object) -> int:
    # Where keys are used this library is there: nvme-cli and tlshd need it, too.
    library = ctypes.CDLL('libkeyutils.so.1', use_errno=True)
    found = int(getattr(library, function)(*arguments))
    if found < 0:
        error = ctypes.get_errno()
        raise OSError(error, f'{function}: {os.strerror(error)}')
    return found


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


@contextlib.contextmanager
def block_device(path: str, flags: int) -> Iterator[int]:
    """A descriptor of a block device during the block; of anything else nothing is opened.

    :raises OSError: ``ENOTBLK`` if it is something else; if it cannot be opened.
    """
    descriptor = _current.open_block(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def number(descriptor: int) -> str:
    """The ``major:minor`` of the device that a descriptor is open on."""
    return _current.number(descriptor)


def ioctl(descriptor: int, request: int, argument: bytearray | int) -> int:
    """What the kernel returns to one ioctl; a buffer holds the answer afterwards.

    :raises OSError: if the kernel refuses it.
    """
    return _current.ioctl(descriptor, request, argument)


def connect(address: str, timeout: float) -> socket.socket:
    """A connection to a local daemon's stream socket, each of whose steps has a limit.

    :raises OSError: if no daemon listens.
    """
    return _current.connect(address, timeout)


@contextlib.contextmanager
def key(kind: str, name: str, value: bytes) -> Iterator[int]:
    """The number of a key that the kernel has during the block, and as long as it uses it.

    :raises OSError: if there can be none.
    """
    number = _current.add_key(kind, name, value)
    try:
        yield number
    finally:
        _current.drop_key(number)


@contextlib.contextmanager
def use(kernel: Kernel) -> Iterator[None]:
    """Have every device and daemon reached through ``kernel`` for a while; a seam for tests."""
    global _current  # noqa: PLW0603 the seam itself
    before, _current = _current, kernel
    try:
        yield
    finally:
        _current = before
