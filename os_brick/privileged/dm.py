# SPDX-License-Identifier: Apache-2.0
"""What root does with the kernel's device-mapper (include/uapi/linux/dm-ioctl.h)."""

from __future__ import annotations

import errno
import os
import struct

from os_brick import privileged
from os_brick.core import files, kernel, process
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
_NO_FLUSH = 1 << 11
_NO_LOCKFS = 1 << 10


def _ioctl(command: int, device: int, flags: int = 0, data: bytes = b'') -> bytes:
    request = bytearray(_BUFFER_BYTES)
    _HEADER.pack_into(
        *(request, 0, *_VERSION, _BUFFER_BYTES, _HEADER.size, 0, 0, flags, 0, 0),
        *(device, b'', b''),
    )
    request[_HEADER.size : _HEADER.size + len(data)] = data
    number = (3 << 30) | (_HEADER.size << 16) | (0xFD << 8) | command
    with kernel.device(_CONTROL, os.O_RDWR) as descriptor:
        kernel.ioctl(descriptor, number, request)
    return bytes(request)


def _device_number(dm: str) -> int:
    """The number of ``dm-N`` in the kernel's 64-bit encoding (``huge_encode_dev``)."""
    major, minor = (int(part) for part in files.read(f'/sys/block/{check.dm(dm)}/dev').split(':'))
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def _lines(answer: bytes) -> tuple[int, bool, str]:
    header = _HEADER.unpack_from(answer)
    start, count, opened, flags = header[4:8]
    if not count:
        return opened, bool(flags & _SUSPENDED), ''
    kind = _TARGET.unpack_from(answer, start)[4].rstrip(b'\0').decode()
    text = answer[start + _TARGET.size :].split(b'\0', 1)[0].decode()
    return opened, bool(flags & _SUSPENDED), f'{kind} {text}'


@privileged.entrypoint
def status(dm: str) -> tuple[int, bool, str]:
    """How often ``dm-N`` is open, whether it is suspended, its first target's status.

    :raises OSError: if there is no such device.
    """
    device = _device_number(dm)
    # The status must not flush: that waits for I/O which a map without paths never ends.
    return _lines(_ioctl(_TABLE_STATUS, device, _NO_FLUSH))


@privileged.entrypoint
def resume(dm: str, timeout: float) -> None:
    """Have a suspended ``dm-N`` take I/O again.

    :raises OperationTimedOut: if the kernel does not do it in time.
    :raises OSError: if there is no such device.
    """
    process.isolated(
        f'the resume of {dm}', check.seconds(timeout), _act, _DEV_SUSPEND, _device_number(dm)
    )


@privileged.entrypoint
def fail_if_no_path(dm: str) -> None:
    """Have a multipath map fail its I/O instead of queueing it while it has no path.

    :raises OSError: if there is no such device, or it is no multipath map.
    """
    message = struct.pack('=Q', 0) + b'fail_if_no_path\0'
    _ioctl(_TARGET_MSG, _device_number(dm), data=message)


@privileged.entrypoint
def remove(dm: str, timeout: float) -> None:
    """Remove ``dm-N``, never by force: while somebody has it open the kernel refuses.

    :raises OperationTimedOut: if the kernel does not do it in time.
    :raises OSError: ``EBUSY`` if it is open.
    """
    process.isolated(
        f'the removal of {dm}', check.seconds(timeout), _act, _DEV_REMOVE, _device_number(dm)
    )


def _act(command: int, device: int) -> None:
    try:
        _ioctl(command, device, _NO_FLUSH | _NO_LOCKFS if command == _DEV_SUSPEND else 0)
    except OSError as error:
        if error.errno != errno.ENXIO:  # It has gone already.
            raise
