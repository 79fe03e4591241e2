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
import re

from os_brick import privileged
from os_brick.core import files, glance, kernel, process
from os_brick.privileged import check

# include/uapi/linux/fs.h: _IO(0x12, 97).
_BLKFLSBUF = 0x1261
# These look at every device that comes or changes; a map holds its disks, no matter who made it.
_WATCHERS = ('(udev-worker)', 'systemd-udevd', 'udevd', 'multipathd')
# A volume's paths, and as many partitions as the kernel gives each.
_DEVICES = 4096
_PARENT = re.compile(r'^PPid:\s*(\d+)$', re.MULTILINE)
# A whole page: also one block of a disk with 4 KiB blocks.
PROBE_BYTES = 4096


@privileged.entrypoint
def read_start(device: str, timeout: float) -> int:
    """How many of the first 4096 bytes of a device could be read, past every cache.

    :raises OperationTimedOut: if the device does not answer in time.
    :raises OSError: if it cannot be opened or read.
    """
    return read_start_of(check.block(device), check.seconds(timeout))


def read_start_of(name: str, timeout: float) -> int:
    """The same for another root function, of a device whose name it has checked."""
    path = f'/dev/{name}'
    return process.isolated(f'a read of {path}', timeout, _read_start, path)


def _read_start(path: str) -> int:
    return bytes_read(path)


def bytes_read(path: str) -> int:
    """How many of the first 4096 bytes of a device could be read; for a child process.

    :raises OSError: if it cannot be opened or read.
    """
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
    return is_held(check.block(device), check.seconds(timeout))


def is_held(name: str, timeout: float) -> bool:
    """The same for another root function, of a device whose name it has checked."""
    path = f'/dev/{name}'
    return process.isolated(f'a look at {path}', timeout, _is_claimed, path)


def claim_of(device: str) -> str:
    """A device that is claimed, in words; the kernel does not tell by whom."""
    return f'a holder that has claimed {device} (a mount in another namespace?)'


def _is_claimed(path: str) -> bool:
    try:
        with kernel.block_device(path, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK):
            return False
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise


@privileged.entrypoint
def openers(devices: tuple[str, ...]) -> list[str]:
    """The processes that have one of the devices open, in words; those of any user.

    Guests run as a user of their own: without CAP_SYS_PTRACE root sees only those that have no
    more capabilities than itself. Not counted are udev, with what it starts, multipathd, and
    what this process has started, which may hang in a device that is about to go.
    """
    wanted = {f'/dev/{check.block(each)}' for each in check.items(devices, _DEVICES, 'devices')}
    found = []
    for number in filter(str.isdigit, glance.names('/proc')):
        descriptors = glance.names(f'/proc/{number}/fd')
        is_open = any(_link(f'/proc/{number}/fd/{each}') in wanted for each in descriptors)
        if is_open and not _only_looks(number):
            found.append(f'process {number} ({_command(number) or "gone"})')
    return found


def _only_looks(number: str) -> bool:
    parent = _PARENT.search(glance.read_or(f'/proc/{number}/status'))
    numbers = (number, parent[1]) if parent else (number,)
    return str(os.getpid()) in numbers or any(_command(each) in _WATCHERS for each in numbers)


def _command(number: str) -> str:
    return glance.read_or(f'/proc/{number}/comm')


def _link(path: str) -> str:
    try:
        return files.readlink(path)
    except OSError:
        return ''


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
