# SPDX-License-Identifier: Apache-2.0
"""What root does to whole block devices: prove that they answer, and flush them.

A device without paths can block for ever, so whatever touches one runs in a child process.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import errno
import mmap
import os

from os_brick import privileged
from os_brick.core import files, kernel, process
from os_brick.privileged import check

# include/uapi/linux/fs.h: _IO(0x12, 97).
_BLKFLSBUF = 0x1261
# A whole page: also one block of a disk with 4 KiB blocks.
PROBE_BYTES = 4096


@privileged.entrypoint
def read_start(device: str, timeout: float) -> int:
    """How many of the first 4096 bytes of a device could be read, past every cache.

    :raises OperationTimedOut: if the device does not answer in time.
    :raises OSError: if it cannot be opened or read.
    """
    path = f'/dev/{check.block(device)}'
    return process.isolated(f'a read of {path}', check.seconds(timeout), _read_start, path)


def _read_start(path: str) -> int:
    # An anonymous map is page-aligned, as O_DIRECT wants its buffer.
    buffer = mmap.mmap(-1, PROBE_BYTES)
    with kernel.block_device(path, os.O_RDONLY | os.O_DIRECT) as descriptor:
        return os.preadv(descriptor, [buffer], 0)


@privileged.entrypoint
def is_claimed(device: str, timeout: float) -> bool:
    """Whether a device or one of its partitions is held exclusively.

    So do mounts in any namespace, swap, targets of the kernel, and what is built of devices.

    :raises OperationTimedOut: if the device does not answer in time.
    :raises OSError: if it cannot be opened for another reason.
    """
    path = f'/dev/{check.block(device)}'
    return process.isolated(f'a look at {path}', check.seconds(timeout), _is_claimed, path)


def _is_claimed(path: str) -> bool:
    try:
        with kernel.block_device(path, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK):
            return False
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise


@privileged.entrypoint
def flush(device: str, number: int, timeout: float) -> None:
    """Have everything that was written to a device reach it, and forget what was read from it.

    :param number: the kernel's number of the device (the inode of its directory in sysfs): its
        name may be another device's by now.
    :raises OperationTimedOut: if the device does not take it in time.
    :raises OSError: ``ENOENT`` if it has no node in ``/dev``; ``ENODEV`` if it has gone, or its
        name belongs to another device by now; if it fails.
    """
    name = check.block(device)
    number = check.number(number, 2**64 - 1, 'number of a device')
    what = f'the flush of /dev/{name}'
    process.isolated(what, check.seconds(timeout), _flush, f'/dev/{name}', number)


def _flush(path: str, number: int) -> None:
    with meant(path, number) as descriptor:
        write_back(descriptor)


@contextlib.contextmanager
def meant(path: str, number: int) -> Iterator[int]:
    """A descriptor of the device that has the kernel's number; it stays that one while it is open.

    :raises OSError: ``ENODEV`` if it has gone, or its name belongs to another device by now.
    """
    with kernel.block_device(path, os.O_RDONLY) as descriptor:
        # Looked at once it is open: no other device gets the name of one that is still there, and
        # what is open stays the same device.
        require_meant(path, number, kernel.number(descriptor))
        yield descriptor


def write_back(descriptor: int) -> None:
    """Have everything that was written to an open device reach it.

    :raises OSError: if it fails.
    """
    # fsync reports write errors and empties the device's own cache, which BLKFLSBUF does not.
    os.fsync(descriptor)
    kernel.ioctl(descriptor, _BLKFLSBUF, 0)


def require_meant(path: str, number: int, opened: str) -> None:
    """Refuse a device that has taken the name of the one that is meant.

    :param opened: the ``major:minor`` of what was opened; a container's node may be an old one.
    :raises OSError: ``ENODEV``.
    """
    name = path.rpartition('/')[2]
    try:
        directory = files.descriptor(f'/sys/class/block/{name}', os.O_RDONLY | os.O_DIRECTORY)
        try:
            is_meant = os.fstat(directory).st_ino == number
            known = files.read_in(directory, 'dev').strip()
        finally:
            os.close(directory)
    except FileNotFoundError as error:  # It would say that there is no node in /dev.
        raise OSError(errno.ENODEV, f'{path} has gone') from error
    if not is_meant or known != opened:
        raise OSError(errno.ENODEV, f'{path} is another device by now')
