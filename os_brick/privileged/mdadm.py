# SPDX-License-Identifier: Apache-2.0
"""What root does with md arrays: superblocks read in place, changes made by ``mdadm``.

mdadm's exit code and words are returned: whether an array is as it should be, the kernel shows
(:mod:`os_brick.host.md`). No configuration file is read, so that a host's ``mdadm.conf`` cannot
give an array another name, owner or metadata.
"""

from __future__ import annotations

import contextlib
import mmap
import os

from os_brick import exception, privileged
from os_brick.core import files, kernel, process
from os_brick.model import md_superblock, names
from os_brick.privileged import blkid, check

_MOST_MEMBERS = 16

# include/uapi/linux/raid/md_p.h. Each place is read in whole pages, as O_DIRECT wants it.
_MAGIC = (0xA92B4EFC).to_bytes(4, 'little')
_PAGE_BYTES = 4096
_RESERVED_BYTES = 64 << 10

_FAULTY, _REMOVE = 'faulty', 'remove'


def _alias(name: str) -> str:
    return f'/dev/md/{check.full(names.MD_ALIAS, name)}'


def _array(name: str) -> str:
    return check.full(names.MD_ARRAY, name)


def _devices(devices: tuple[str, ...]) -> tuple[str, ...]:
    names = check.items(devices, _MOST_MEMBERS, 'members')
    return tuple(f'/dev/{check.block(device)}' for device in names)


def _mdadm(*words: str, timeout: float) -> tuple[int, str]:
    result = process.run('mdadm', *words, ok=None, timeout=check.seconds(timeout))
    lines = (line.strip() for line in f'{result.stderr}\n{result.stdout}'.splitlines())
    return result.exit_code, '; '.join(line for line in lines if line)


@privileged.entrypoint
def superblock(device: str, timeout: float) -> tuple[str, bytes]:
    """The version and the raw md superblock of a device; empty if there is none.

    :raises OperationTimedOut: if the device does not answer in time.
    :raises OSError: if it cannot be opened or read.
    """
    path = f'/dev/{check.block(device)}'
    return process.isolated(f'a read of {path}', check.seconds(timeout), _superblock, path)


def _superblock(path: str) -> tuple[str, bytes]:
    buffer = mmap.mmap(-1, _PAGE_BYTES)
    with kernel.block_device(path, os.O_RDONLY | os.O_DIRECT) as descriptor:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        for version, place in _places(size):
            if 0 <= place <= size - _PAGE_BYTES:
                os.preadv(descriptor, [buffer], place)
                if buffer[:4] == _MAGIC:
                    return version, buffer[:]
    return '', b''


def _places(size: int) -> tuple[tuple[str, int], ...]:
    """Where each version keeps its superblock on a device of so many bytes."""
    sectors = size // 512
    return (
        ('1.2', 4096),
        ('1.1', 0),
        ('1.0', ((sectors - 16) & ~7) * 512),
        ('0.90', size // _RESERVED_BYTES * _RESERVED_BYTES - _RESERVED_BYTES),
    )


@privileged.entrypoint
def create(alias: str, devices: tuple[str, ...], timeout: float) -> tuple[int, str]:
    """Make a new mirror at ``/dev/md/ALIAS`` of members, whose content the first of them gives.

    There is no ``--assume-clean``: members that are not equal would answer one thing or the other.
    The first pass copies in the background, and reads come from what is copied already. There is
    no ``--failfast``: it would have the first failure of one path fail a member with others.

    :raises VolumeIdentityMismatch: if one of them is not blank now.
    :raises OSError: if one cannot be read.
    """
    words = '--create', _alias(alias), '--config=none', '--run', '--quiet', '--level=1'
    kind = '--metadata=1.2', f'--name={alias}', '--homehost=any', '--bitmap=internal'
    paths = _devices(devices)
    for device in devices:
        _require_blank(device, timeout)
    return _mdadm(*words, *kind, f'--raid-devices={len(paths)}', *paths, timeout=timeout)


@privileged.entrypoint
def assemble(alias: str, uuid: str, devices: tuple[str, ...], timeout: float) -> tuple[int, str]:
    """Start the array of a UUID at ``/dev/md/ALIAS`` from members, even if some are missing."""
    words = '--assemble', _alias(alias), '--config=none', '--homehost=any', '--run'
    identity = f'--uuid={check.full(names.MD_UUID, uuid)}'
    return _mdadm(*words, identity, *_devices(devices), timeout=timeout)


@privileged.entrypoint
def stop(array: str, timeout: float) -> tuple[int, str]:
    """Stop an array; the kernel refuses while it is open."""
    return _mdadm('--stop', f'/dev/{_array(array)}', timeout=timeout)


@privileged.entrypoint
def re_add(array: str, device: str, timeout: float) -> tuple[int, str]:
    """Take a former member back; what was written without it is copied."""
    return _mdadm(f'/dev/{_array(array)}', '--re-add', *_devices((device,)), timeout=timeout)


@privileged.entrypoint
def add(array: str, device: str, timeout: float) -> tuple[int, str]:
    """Make a device a member; its content is replaced by the array's.

    :raises VolumeIdentityMismatch: if it is neither blank now nor a former member of this array.
    :raises OSError: if it cannot be read.
    """
    words = f'/dev/{_array(array)}', '--add', *_devices((device,))
    uuid = _uuid_on(device, timeout)
    if not uuid or uuid != _uuid_of(array, timeout):
        _require_blank(device, timeout)
    return _mdadm(*words, timeout=timeout)


def _uuid_on(device: str, timeout: float) -> str:
    """The UUID of the array whose member a device reports to be; empty if of none."""
    version, raw = superblock(device, timeout)
    found = md_superblock.parse(version, raw) if version else None
    return found.array_uuid if found else ''


def _uuid_of(array: str, timeout: float) -> str:
    """The UUID of an array: that of the first member that it uses and that can be read."""
    base = f'/sys/block/{array}/md'
    for name in files.names(base):
        if name.startswith('dev-') and 'faulty' not in files.read_or(f'{base}/{name}/state'):
            with contextlib.suppress(OSError, exception.BrickException):
                if uuid := _uuid_on(name.removeprefix('dev-'), timeout):
                    return uuid
    return ''


def _require_blank(device: str, timeout: float) -> None:
    """Have nothing on a device that mdadm is about to overwrite, as root sees it now."""
    why = blkid.why_not_blank(device, timeout)
    if why is not None:
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{device}', actual=why, expected='a blank device'
        )


@privileged.entrypoint
def fail(array: str, device: str) -> None:
    """Have the array use a member no longer; the kernel never gives up the last good one.

    :raises OSError: if the array has no such member.
    """
    _mark(array, device, _FAULTY)


@privileged.entrypoint
def drop(array: str, device: str) -> None:
    """Have the array let go of a member that it does not use.

    :raises OSError: ``EBUSY`` if it is in use, or its last I/O has not ended.
    """
    _mark(array, device, _REMOVE)


def _mark(array: str, device: str, state: str) -> None:
    files.write(f'/sys/block/{_array(array)}/md/dev-{check.block(device)}/state', state)


@privileged.entrypoint
def grow(array: str, timeout: float) -> tuple[int, str]:
    """Have an array use all of its members' size.

    The kernel takes no new size while members are being copied, so that is held for a moment.

    :raises OSError: if there is no such array.
    """
    action = f'/sys/block/{_array(array)}/md/sync_action'
    files.write(action, 'frozen')
    try:
        return _mdadm('--grow', f'/dev/{array}', '--size=max', timeout=timeout)
    finally:
        files.write(action, 'idle')
