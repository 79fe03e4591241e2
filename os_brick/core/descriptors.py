# SPDX-License-Identifier: Apache-2.0
"""Reading and writing of what is open, by system calls that eventlet leaves alone."""

from __future__ import annotations

import os

_PIECE_BYTES = 1 << 16


def read_all(file: int, largest: int | None = None) -> bytes:
    """What is left to be read of an open file; no more than a piece above ``largest`` bytes."""
    data = bytearray()
    while largest is None or len(data) <= largest:
        # Not all at once: new memory of 32 MiB takes 16 ms in the guest.
        piece = read(file, _PIECE_BYTES)
        if not piece:
            break
        data += piece
    return bytes(data)


def read(descriptor: int, size: int) -> bytes:
    """What one system call reads, at most ``size`` bytes; empty at the end.

    Not ``os.read``: eventlet (0.41) has its hub wait for whatever is not a regular file. epoll
    takes no directory, disk or ``/dev/nvme-fabrics``: that is an error of its own, and what the hub
    was left with is thrown into another green thread later.

    :raises OSError: if it cannot be read.
    """
    buffer = bytearray(size)
    try:
        count = os.readv(descriptor, [buffer])
    except BlockingIOError:
        # It is one that epoll can wait for.
        return os.read(descriptor, size)
    return bytes(memoryview(buffer)[:count])


def write(descriptor: int, data: bytes | memoryview) -> int:
    """How many bytes one system call has written; not ``os.write``, see :func:`read`.

    :raises OSError: if they cannot be written.
    """
    try:
        return os.writev(descriptor, [data])
    except BlockingIOError:
        return os.write(descriptor, data)
