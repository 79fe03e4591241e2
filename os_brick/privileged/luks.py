# SPDX-License-Identifier: Apache-2.0
"""What root reads of the headers of LUKS volumes, past every cache."""

from __future__ import annotations

import mmap
import os
from typing import Any

from os_brick import privileged
from os_brick.core import kernel, process
from os_brick.model import luks
from os_brick.privileged import block, check

# Of the kernel's number of a device, an inode.
LARGEST_NUMBER = 2**64 - 1


@privileged.entrypoint
def header(device: str, number: int, timeout: float) -> dict[str, Any]:
    """What the header of a LUKS volume says, without its secrets; empty if there is none.

    :param number: the kernel's number of the device, see :func:`block.flush`.
    :return: :meth:`luks.Header.as_dict`; or only ``damaged``, with the reason.
    :raises OperationTimedOut: if the device does not answer in time.
    :raises OSError: ``ENODEV`` if it is another device by now; if it cannot be read.
    """
    path = f'/dev/{check.block(device)}'
    number = check.number(number, LARGEST_NUMBER, 'number of a device')
    what = f'a read of {path}'
    return process.isolated(what, check.seconds(timeout), _header, path, number)


def _header(path: str, number: int) -> dict[str, Any]:
    with kernel.block_device(path, os.O_RDONLY | os.O_DIRECT) as descriptor:
        block.require_meant(path, number, kernel.number(descriptor))
        try:
            found = luks.find(reader(descriptor), os.lseek(descriptor, 0, os.SEEK_END))
        except luks.Damaged as error:
            return {'damaged': str(error)}
    return found.as_dict() if found else {}


def reader(descriptor: int) -> luks.Read:
    """What reads whole pages of an open device, or raises ``OSError``."""

    def read(offset: int, count: int) -> bytes:
        # An anonymous map is page-aligned, as O_DIRECT wants its buffer.
        with mmap.mmap(-1, count) as buffer:
            done = os.preadv(descriptor, [buffer], offset)
            if done != count:
                raise OSError(f'only {done} of {count} bytes at {offset} could be read')
            return buffer[:]

    return read
