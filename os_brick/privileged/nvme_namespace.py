# SPDX-License-Identifier: Apache-2.0
"""What root asks controllers about a namespace, and does with the namespace's block device.

What belongs together is one act: a read with the question who answered it, a flush with the looks
whether anything uses the device and whether it is the volume still. Each may wait for a target, so
each runs in a child process with a limit.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from os_brick import exception, privileged
from os_brick.core import kernel, process, wait
from os_brick.model import fabrics, names, nvme_identify
from os_brick.privileged import block, check

# struct nvme_passthru_cmd and NVME_IOCTL_ADMIN_CMD of include/uapi/linux/nvme_ioctl.h.
_ADMIN_CMD = 0xC0484E41
_COMMAND = struct.Struct('=BBHIIIQQIIIIIIIIII')
_IDENTIFY = 0x06
_IDENTIFY_BYTES = 4096
# NVM Express Base Specification 2.0, figure 273: what an Identify is about.
_CNS_NAMESPACE = 0x00
_CNS_NAMES = 0x03
# Status codes (figure 94) of a subsystem that has no such namespace, or not this list.
_ERRNO_OF_STATUS = {0x0B: errno.ENXIO, 0x02: errno.EOPNOTSUPP}

# One command to a live controller; a healthy one needs a millisecond.
ASK_SECONDS = 10.0
# Opening a live device takes a millisecond.
_CLAIM_SECONDS = 2.0
_MOST_PATHS = 256
# A namespace, and as many partitions as the kernel makes on one.
_MOST_DEVICES = 257
_LARGEST_NSID = 2**32 - 2

# A namespace's number, what the controller reports of it, and the list of its names.
Answer = tuple[int, bytes, bytes]


@privileged.entrypoint
def identify(controller: str, nsid: int, timeout: float) -> tuple[bytes, bytes]:
    """What a controller reports of a namespace, asked of it now: the namespace, and its names.

    The names are optional, and empty where the controller does not have them as a list.

    :raises OperationTimedOut: if the controller does not answer in time.
    :raises OSError: ``ENXIO`` if it has no such namespace.
    """
    path, number = _controller(controller), check.number(nsid, _LARGEST_NSID, 'namespace ID')
    limit = check.seconds(timeout)
    what = f'Identify of namespace {nsid} by {controller}'
    return process.isolated(what, limit, _identify, path, number, limit)


def _identify(path: str, nsid: int, timeout: float) -> tuple[bytes, bytes]:
    with kernel.device(path, os.O_RDONLY) as descriptor:
        namespace = _ask(descriptor, path, nsid, _CNS_NAMESPACE, timeout)
        try:
            return namespace, _ask(descriptor, path, nsid, _CNS_NAMES, timeout)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return namespace, b''


def _ask(descriptor: int, path: str, nsid: int, cns: int, timeout: float) -> bytes:
    answer = ctypes.create_string_buffer(_IDENTIFY_BYTES)
    command = bytearray(
        _COMMAND.pack(
            *(_IDENTIFY, 0, 0, nsid, 0, 0, 0, ctypes.addressof(answer), 0, _IDENTIFY_BYTES),
            *(cns, 0, 0, 0, 0, 0, int(timeout * 1000), 0),
        )
    )
    status = kernel.ioctl(descriptor, _ADMIN_CMD, command)
    if status:
        # Bits 8 to 10 are the type of the status; 0 is generic.
        code = _ERRNO_OF_STATUS.get(status & 0x7FF, errno.EIO)
        raise OSError(code, f'Identify of namespace {nsid} through {path} failed: {status:#x}')
    return answer.raw


@privileged.entrypoint
def read_and_identify(
    device: str, controller: str, nsid: int, timeout: float
) -> tuple[int, bytes, bytes]:
    """Read the first 4096 bytes of a namespace past every cache, then ask who it is.

    :param device: its block device.
    :param controller: one through which it shows.
    :return: how many bytes could be read, and what :func:`identify` returns, which is empty where
        the controller does not answer as wanted.
    :raises OperationTimedOut: if the device, or the controller, does not answer in time.
    :raises OSError: if the device cannot be opened or read.
    """
    path, by = f'/dev/{_namespace(device)}', _controller(controller)
    number = check.number(nsid, _LARGEST_NSID, 'namespace ID')
    limit = check.seconds(timeout)
    what = f'a read of {path} and Identify by {controller}'
    return process.isolated(what, limit, _read_and_identify, path, by, number, limit)


def _read_and_identify(
    path: str, controller: str, nsid: int, timeout: float
) -> tuple[int, bytes, bytes]:
    count = block.bytes_read(path)
    try:
        return (count, *_identify(controller, nsid, timeout))
    except OSError:
        return count, b'', b''


@privileged.entrypoint
def flush(
    device: str,
    number: int,
    paths: tuple[tuple[str, int, str, str, str], ...],
    unless_open: tuple[str, ...],
    flush_seconds: float,
    timeout: float,
) -> tuple[list[str], list[str], str]:
    """Flush a namespace if its controllers report that it is the volume still, and no one uses it.

    :param number: the kernel's number of the block device (the inode of its directory in sysfs).
    :param paths: those that take I/O: controller, number of the namespace, and the names that it
        is to have: UUID, NGUID and EUI-64, each empty where it has none.
    :param unless_open: the devices that no process may have open or claimed: it and its partitions;
        none if that does not matter.
    :param flush_seconds: how long the flush itself may take.
    :return: what uses the devices, in words; why controllers did not answer; and what the namespace
        is by now. It was flushed if the first and the last are empty.
    :raises OperationTimedOut: if the device does not take it in time.
    :raises OSError: as of :func:`block.flush`.
    """
    name = _namespace(device)
    inode = check.number(number, 2**64 - 1, 'number of a device')
    wanted = [_wanted(each) for each in check.items(paths, _MOST_PATHS, 'paths')]
    limit = check.seconds(flush_seconds)
    ends = wait.Deadline.after(check.seconds(timeout))
    users = _users(name, check.items(unless_open, _MOST_DEVICES, 'devices'))
    unanswered: list[str] = []
    for controller, identity in () if users else wanted:
        other = _other(controller, identity, ends.limit(ASK_SECONDS), unanswered)
        if other:
            return [], unanswered, other
    if not users and ends.passed:
        raise exception.OperationTimedOut(
            what=f'the flush of /dev/{name}', seconds=round(timeout, 1)
        )
    if not users:
        block.flush(name, inode, ends.limit(limit))
    return users, unanswered, ''


def _users(device: str, unless_open: tuple[str, ...]) -> list[str]:
    if not unless_open:
        return []
    return block.openers(unless_open) or [block.claim_of(device)] * _is_claimed(device)


def _is_claimed(device: str) -> bool:
    try:
        return block.is_claimed(device, _CLAIM_SECONDS)
    except (OSError, exception.OperationTimedOut):
        return False


def _other(
    controller: str, wanted: fabrics.NamespaceIdentity, limit: float, unanswered: list[str]
) -> str:
    """Who a namespace is if it is another one by now; one that does not tell is noted."""
    nsid = wanted.nsid or 0
    what = f'Identify of namespace {nsid} by {controller}'
    try:
        answer = process.isolated(what, limit, _identify, f'/dev/{controller}', nsid, limit)
    except (OSError, exception.OperationTimedOut) as error:
        unanswered.append(str(error))
        return ''
    if not nvme_identify.is_active(answer[0]):
        unanswered.append(f'namespace {nsid} is not active behind {controller}')
        return ''
    actual = nvme_identify.identity(nsid, *answer)
    return '' if wanted.matches(actual) else str(actual)


def _wanted(path: object) -> tuple[str, fabrics.NamespaceIdentity]:
    parts = check.items(path, 5, 'parts of a path')
    if len(parts) != 5:
        raise exception.InvalidParameterValue(err=f'{names.shown(path)} is not a path')
    controller, nsid, uuid, nguid, eui64 = parts
    number = check.number(nsid, _LARGEST_NSID, 'namespace ID')
    try:
        identity = fabrics.NamespaceIdentity(
            uuid=fabrics.uuid(uuid) if uuid != '' else None,
            nguid=fabrics.uuid(nguid) if nguid != '' else None,
            eui64=fabrics.eui64(eui64) if eui64 != '' else None,
            nsid=number or None,
        )
    except ValueError as error:
        raise exception.InvalidParameterValue(err=str(error)) from None
    return check.full(names.NVME_CONTROLLER, controller), identity


def _namespace(device: object) -> str:
    name = check.full(names.BLOCK, device)
    if fabrics.is_head(name):
        return name
    raise exception.InvalidParameterValue(err=f'{names.shown(name)} is not an NVMe namespace')


def _controller(name: object) -> str:
    return f'/dev/{check.full(names.NVME_CONTROLLER, name)}'
