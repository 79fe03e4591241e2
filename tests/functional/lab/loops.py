# SPDX-License-Identifier: Apache-2.0
"""Loop devices on sparse files in RAM: they can grow, and the file shows what has arrived."""

import fcntl
import os
import pathlib

from tests.functional.lab import shell

MEBI = 1 << 20
# ioctl numbers of linux/loop.h
_SET_FD, _CLR_FD, _SET_CAPACITY, _SET_BLOCK_SIZE = 0x4C00, 0x4C01, 0x4C07, 0x4C09
_GET_FREE = 0x4C82


def attach(image: pathlib.Path, block: int = 512) -> str:
    """A loop device on a file, with logical blocks of so many bytes; its path."""
    with open('/dev/loop-control', 'rb') as control:
        number = fcntl.ioctl(control, _GET_FREE)
    path = f'/dev/loop{number}'
    shell.until(lambda: os.path.exists(path), 5, path)
    with open(path, 'rb+', buffering=0) as device, open(image, 'rb+') as backing:
        fcntl.ioctl(device, _SET_FD, backing.fileno())
        if block != 512:
            fcntl.ioctl(device, _SET_BLOCK_SIZE, block)
    return path


def grow(path: str, image: pathlib.Path, megabytes: int) -> None:
    """Give file and device a new size."""
    os.truncate(image, megabytes * MEBI)
    with open(path, 'rb') as device:
        fcntl.ioctl(device, _SET_CAPACITY)


def detach(path: str) -> None:
    """Let the device go of its file."""
    with open(path, 'rb') as device:
        fcntl.ioctl(device, _CLR_FD)


def forget(pattern: str) -> None:
    """Remove the files in /dev/shm that match, with their devices (of a killed run)."""
    for image in pathlib.Path('/dev/shm').glob(pattern):
        for line in shell.run('losetup', '-j', str(image)).splitlines():
            shell.run('losetup', '-d', line.split(':')[0])
        image.unlink()
