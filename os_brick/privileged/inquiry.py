# SPDX-License-Identifier: Apache-2.0
"""INQUIRY: who a logical unit reports to be, asked of the device itself through ``/dev/bsg``.

What is here runs in a child process, which may hang in the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from os_brick.core import kernel, wait

# struct sg_io_v4 of include/uapi/linux/bsg.h.
_SG_IO = 0x2285
_SG_IO_V4 = struct.Struct('=iIII QQIII IQ IIIIQQ IIQI IIIIIII iiQII')
# Room for the pages of nearly all units; some devices do not answer if they are given more than
# 255 at once, so a page that is longer is asked for again by the length in its header.
_INQUIRY_LENGTH = 252
_LONGEST_INQUIRY = 2**16 - 1
_SENSE_LENGTH = 64
# Answers of the target (SPC-4, annex F), unlike failures to ask it.
_ERRNO_OF_SENSE = {
    0x2500: errno.ENXIO,  # LOGICAL UNIT NOT SUPPORTED: nothing is mapped there.
    0x2400: errno.EOPNOTSUPP,  # INVALID FIELD IN CDB: it does not have this page.
}


def identity_pages(path: str, timeout: float) -> tuple[bytes, bytes]:
    """The pages 0x80 and 0x83 of the device that has this node; as ``scsi.identity_pages``."""
    page83 = _optional_page(path, 0x83, timeout)
    return _optional_page(path, 0x80, timeout), page83


def pages_or_errors(paths: list[str], timeout: float) -> list[tuple[bytes, bytes] | int]:
    """The same of several, one after the other; the number of the error for those that fail."""
    found: list[tuple[bytes, bytes] | int] = []
    ends = wait.Deadline.after(timeout)
    for path in paths:
        try:
            found.append(identity_pages(path, ends.limit()))
        except OSError as error:
            found.append(error.errno or errno.EIO)
    return found


def _optional_page(path: str, page: int, timeout: float) -> bytes:
    try:
        found = _inquire(path, page, timeout, _INQUIRY_LENGTH)
        length = 4 + int.from_bytes(found[2:4], 'big')
        if length > _INQUIRY_LENGTH:
            found = _inquire(path, page, timeout, min(length, _LONGEST_INQUIRY))
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return b''
    # A device that does not know the EVPD bit answers with its standard data.
    return found if found[1:2] == bytes([page]) else b''


def _additional_sense(sense: bytes) -> int:
    """Additional sense code and qualifier (SPC-4, 4.5), 0 where there are none."""
    if sense[0] & 0x7E == 0x70:
        return int.from_bytes(sense[12:14], 'big')
    return int.from_bytes(sense[2:4], 'big') if sense[0] & 0x7E == 0x72 else 0


def _inquire(path: str, page: int, timeout: float, room: int) -> bytes:
    command = ctypes.create_string_buffer(bytes([0x12, 1, page, *divmod(room, 256), 0]), 6)
    answer = ctypes.create_string_buffer(room)
    sense = ctypes.create_string_buffer(_SENSE_LENGTH)
    request = bytearray(
        _SG_IO_V4.pack(
            *(ord('Q'), 0, 0, len(command), ctypes.addressof(command), 0, 0, 0, 0),
            *(_SENSE_LENGTH, ctypes.addressof(sense)),
            *(0, 0, 0, room, 0, ctypes.addressof(answer)),
            *(int(timeout * 1000), 0, 0, 0),
            *(0, 0, 0, 0, 0, 0, 0),
            *(0, 0, 0, 0, 0),
        )
    )
    with kernel.device(path, os.O_RDWR | os.O_NONBLOCK) as descriptor:
        kernel.ioctl(descriptor, _SG_IO, request)
    driver, transport, device, *_, residual = _SG_IO_V4.unpack(bytes(request))[21:29]
    if driver or transport or device:
        asc = _additional_sense(sense.raw)
        raise OSError(
            _ERRNO_OF_SENSE.get(asc, errno.EIO),
            f'INQUIRY page {page:#04x} through {path} failed (driver {driver:#x}, '
            f'transport {transport:#x}, device {device:#x}, sense {asc:#06x})',
        )
    if answer.raw[0] >> 5:  # Peripheral qualifier: the target has no unit at this LUN.
        raise OSError(errno.ENXIO, f'no logical unit is mapped at {path}')
    received = answer.raw[: room - min(max(residual, 0), room)]
    return received[: 4 + int.from_bytes(received[2:4], 'big')]
