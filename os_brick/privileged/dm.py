# SPDX-License-Identifier: Apache-2.0
"""What root does with multipath maps through device-mapper (include/uapi/linux/dm-ioctl.h).

A map is addressed by its UUID, ``mpath-`` and the WWID: the kernel finds it itself, in the same
call that acts on it. The number of a ``dm-N`` is given to the next map as soon as one has gone.
So these functions cannot be used on logical volumes or dm-crypt devices either.
"""

from __future__ import annotations

import errno
import os
import struct

from os_brick import privileged
from os_brick.core import kernel, process
from os_brick.privileged import check

_CONTROL = '/dev/mapper/control'
_VERSION = (4, 0, 0)
_HEADER = struct.Struct('=3IIIIiIIIQ128s129s7x')
_TARGET = struct.Struct('=QQiI16s')
_BUFFER_BYTES = 16384

_DEV_REMOVE = 4
_DEV_SUSPEND = 6
_TABLE_STATUS = 12
_TARGET_MSG = 14

_SUSPENDED = 1 << 1
_AS_TABLE = 1 << 4
_NO_FLUSH = 1 << 11
_NO_LOCKFS = 1 << 10


def _ioctl(command: int, uuid: str, flags: int = 0, data: bytes = b'') -> bytes:
    request = bytearray(_BUFFER_BYTES)
    # Neither number nor name: the kernel refuses a UUID beside one of them (dm-ioctl.c,
    # __find_device_hash_cell).
    _HEADER.pack_into(
        *(request, 0, *_VERSION, _BUFFER_BYTES, _HEADER.size, 0, 0, flags, 0, 0),
        *(0, b'', uuid.encode()),
    )
    request[_HEADER.size : _HEADER.size + len(data)] = data
    number = (3 << 30) | (_HEADER.size << 16) | (0xFD << 8) | command
    with kernel.device(_CONTROL, os.O_RDWR) as descriptor:
        kernel.ioctl(descriptor, number, request)
    return bytes(request)


def _lines(answer: bytes) -> tuple[int, bool, str]:
    header = _HEADER.unpack_from(answer)
    start, count, opened, flags = header[4:8]
    if not count:
        return opened, bool(flags & _SUSPENDED), ''
    kind = _TARGET.unpack_from(answer, start)[4].rstrip(b'\0').decode()
    text = answer[start + _TARGET.size :].split(b'\0', 1)[0].decode()
    return opened, bool(flags & _SUSPENDED), f'{kind} {text}'


@privileged.entrypoint
def status(uuid: str) -> tuple[int, bool, str]:
    """How often a map is open, whether it is suspended, its first target's status.

    :raises OSError: ``ENXIO`` if there is no such map.
    """
    return status_of(check.map_uuid(uuid))


def status_of(uuid: str) -> tuple[int, bool, str]:
    """The same for another root function, of a UUID that it has checked."""
    # The status must not flush: that waits for I/O which a map without paths never ends.
    return _lines(_ioctl(_TABLE_STATUS, uuid, _NO_FLUSH))


def open_count(uuid: str) -> int | None:
    """How often a map is open, of a UUID that was checked; ``None`` if there is no such map."""
    try:
        return status_of(uuid)[0]
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise  # Not known is not idle.


@privileged.entrypoint
def table(uuid: str) -> str:
    """What a map is made of: its features, such as ``queue_if_no_path``, and its paths.

    :raises OSError: ``ENXIO`` if there is no such map.
    """
    return _lines(_ioctl(_TABLE_STATUS, check.map_uuid(uuid), _NO_FLUSH | _AS_TABLE))[2]


@privileged.entrypoint
def resume(uuid: str, timeout: float) -> None:
    """Have a suspended map take I/O again; one that has gone is not an error.

    :raises OperationTimedOut: if the kernel does not do it in time.
    """
    map_uuid = check.map_uuid(uuid)
    process.isolated(f'the resume of {uuid}', check.seconds(timeout), _act, _DEV_SUSPEND, map_uuid)


@privileged.entrypoint
def fail_if_no_path(uuid: str) -> None:
    """Have a multipath map fail its I/O instead of queueing it while it has no path.

    :raises OSError: ``ENXIO`` if there is no such map.
    """
    message = struct.pack('=Q', 0) + b'fail_if_no_path\0'
    _ioctl(_TARGET_MSG, check.map_uuid(uuid), data=message)


@privileged.entrypoint
def remove(uuid: str, timeout: float) -> None:
    """Remove a map, never by force: the kernel refuses while it is open. No map is not an error.

    :raises OperationTimedOut: if the kernel does not do it in time.
    :raises OSError: ``EBUSY`` if it is open.
    """
    map_uuid = check.map_uuid(uuid)
    process.isolated(f'the removal of {uuid}', check.seconds(timeout), _act, _DEV_REMOVE, map_uuid)


def _act(command: int, uuid: str) -> None:
    try:
        _ioctl(command, uuid, _NO_FLUSH | _NO_LOCKFS if command == _DEV_SUSPEND else 0)
    except OSError as error:
        if error.errno != errno.ENXIO:  # It has gone already.
            raise
