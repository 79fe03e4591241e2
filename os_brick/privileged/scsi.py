# SPDX-License-Identifier: Apache-2.0
"""What root does to SCSI disks: scan, ask for identity, read capacity anew, delete.

Each of these can block in the kernel for as long as a dead path is given to come back
(iSCSI's replacement_timeout, 120 s by default), so each runs in a child process with a limit.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct

from os_brick import exception, privileged
from os_brick.core import files, kernel, process, wait
from os_brick.model import names, vpd
from os_brick.privileged import block, check

# struct sg_io_v4 of include/uapi/linux/bsg.h.
_SG_IO = 0x2285
_SG_IO_V4 = struct.Struct('=iIII QQIII IQ IIIIQQ IIQI IIIIIII iiQII')
# Room for the pages of nearly all units; some devices do not answer if they are given more than
# 255 at once, so a page that is longer is asked for again by the length in its header.
_INQUIRY_LENGTH = 252
_LONGEST_INQUIRY = 2**16 - 1
_SENSE_LENGTH = 64
_LARGEST_LUN = 2**64 - 1
_MOST_UNITS = 4096
# What a scan has just brought needs a millisecond to report its identity.
_ANSWER_SECONDS = 3.0
# For the questions before, and after, a flush; those that have just answered need milliseconds.
_WITNESS_SECONDS = 3.0
# Answers of the target (SPC-4, annex F), unlike failures to ask it.
_ERRNO_OF_SENSE = {
    0x2500: errno.ENXIO,  # LOGICAL UNIT NOT SUPPORTED: nothing is mapped there.
    0x2400: errno.EOPNOTSUPP,  # INVALID FIELD IN CDB: it does not have this page.
}


# The transports whose disks are attached here: a session of iSCSI, a remote port of Fibre Channel
# (also on IBM Z); or an adapter of one of them that does not show its ports (storvsc, emulated).
_REMOTE_PLACE = re.compile(r'/session[0-9]+/|/rport-[0-9]+:')
_REMOTE_HOSTS = ('/sys/class/iscsi_host', '/sys/class/fc_host')
_HOST = re.compile(r'/(host[0-9]+)(?=/)')


def require_remote(place: str, what: str) -> None:
    """Refuse a disk or a host that is not on a transport of ours: the system's own, for example.

    :param place: its directory in sysfs, links followed.
    :raises PermissionError: saying so.
    """
    hosts = _HOST.findall(f'{place}/')[-1:]
    is_remote = _REMOTE_PLACE.search(f'{place}/') or any(
        files.exists(f'{kind}/{host}') for kind in _REMOTE_HOSTS for host in hosts
    )
    if not is_remote:
        raise PermissionError(errno.EPERM, f'{what} is not on an iSCSI or Fibre Channel transport')


def require_remote_if_there(disk: str) -> None:
    """Refuse a disk of this host that is not on a transport of ours; one that has gone is fine.

    :raises PermissionError: saying so.
    """
    place = f'/sys/block/{check.disk(disk)}/device'
    if files.exists(place):
        require_remote(files.realpath(place), f'Disk {disk}')


@privileged.entrypoint
def scan(
    host: int, channel: int, target: int, lun: int, timeout: float
) -> tuple[int, bytes, bytes] | None:
    """Ask one SCSI host to look for one LUN of one target, and the device who it is.

    The device can be asked as soon as the scan has ended: its disk comes later, from a thread of
    the kernel's, its node for commands does not (Linux 6.12, scsi_sysfs_add_sdev).

    :return: the kernel's number of the device that is there, and the pages of
        :func:`identity_pages`; ``None`` if none is there, or it does not answer.
    :raises OperationTimedOut: if the host does not answer in time.
    :raises PermissionError: if it is not a host of iSCSI or Fibre Channel.
    :raises OSError: if the kernel refuses it.
    """
    words = [
        str(check.number(value, largest, what))
        for value, largest, what in (
            (channel, 2**32 - 1, 'SCSI channel'),
            (target, 2**32 - 1, 'SCSI target'),
            (lun, _LARGEST_LUN, 'LUN'),
        )
    ]
    name = f'host{check.number(host, 2**31, "SCSI host")}'
    ends = wait.Deadline.after(check.seconds(timeout))
    path = f'/sys/class/scsi_host/{name}/scan'
    if not files.exists(path):
        raise FileNotFoundError(errno.ENOENT, f'There is no SCSI host {name}')
    require_remote(files.realpath(f'/sys/class/scsi_host/{name}'), f'SCSI host {name}')
    process.isolated(f'the scan of {path}', ends.limit(), files.write, path, ' '.join(words))
    return _newcomer(':'.join((str(host), *words)), ends.limit(_ANSWER_SECONDS))


def _newcomer(address: str, timeout: float) -> tuple[int, bytes, bytes] | None:
    number = files.inode(f'/sys/bus/scsi/devices/{address}')
    if not number:
        return None
    path = f'/dev/bsg/{address}'
    try:
        what = f'INQUIRY of {address}'
        return (number, *process.isolated(what, timeout, _identity_pages, path, timeout))
    except (OSError, exception.OperationTimedOut):
        return None  # Its user asks again, and has the error.


@privileged.entrypoint
def rescan(disk: str, timeout: float) -> None:
    """Have the kernel read a disk's identity and capacity anew.

    :raises OperationTimedOut: if the disk does not answer in time.
    :raises PermissionError: if it is not a disk of iSCSI or Fibre Channel.
    :raises OSError: if the kernel refuses it, or the disk has gone.
    """
    path = f'/sys/block/{check.disk(disk)}/device/rescan'
    require_remote_if_there(disk)
    process.isolated(f'the rescan of {disk}', check.seconds(timeout), files.write, path, '1')


# Attribute and value.
_DELETE = ('delete', '1')
# The kernel wants the end of the line, too (Linux 6.12, scsi_sysfs.c, store_state_field).
_SET_RUNNING = ('state', 'running\n')


@privileged.entrypoint
def delete(disk: str, number: int, timeout: float) -> None:
    """Have the kernel forget a disk; a process that still has it open gets errors.

    Names are given again, so the directory that was looked at is the one that is written to.

    :param number: the kernel's number of the disk's device (its inode in sysfs).
    :raises OperationTimedOut: if it does not happen in time.
    :raises PermissionError: if it is not a disk of iSCSI or Fibre Channel.
    :raises OSError: ``ENOENT`` if it has gone, or is another one by now; if the kernel refuses it.
    """
    path = f'/sys/block/{check.disk(disk)}/device'
    _change(f'the removal of {disk}', path, number, timeout, *_DELETE)


@privileged.entrypoint
def delete_at(address: str, number: int, timeout: float) -> None:
    """Have the kernel forget the device at an address, which has no disk.

    :param number: the kernel's number of the device (its inode in sysfs).
    :raises OperationTimedOut: if it does not happen in time.
    :raises OSError: ``ENOENT`` if it has gone, or is another one by now; if the kernel refuses it.
    """
    path = f'/sys/bus/scsi/devices/{check.hctl(address)}'
    _change(f'the removal of {address}', path, number, timeout, *_DELETE)


@privileged.entrypoint
def set_running(address: str, number: int, timeout: float) -> None:
    """Have the kernel send commands again to a device that it, or an administrator, took offline.

    :param number: the kernel's number of the device (its inode in sysfs).
    :raises OperationTimedOut: if it does not happen in time.
    :raises OSError: ``ENOENT`` if it has gone, or is another one by now; if the kernel refuses it.
    """
    path = f'/sys/bus/scsi/devices/{check.hctl(address)}'
    _change(f'the state of {address}', path, number, timeout, *_SET_RUNNING)


def _change(what: str, path: str, number: int, timeout: float, attribute: str, value: str) -> None:
    """Write to an attribute of a device, if it is the one with this number still."""
    number = check.number(number, 2**64 - 1, 'number of a device')
    process.isolated(what, check.seconds(timeout), _write, path, number, attribute, value)


def _write(path: str, number: int, attribute: str, value: str) -> None:
    directory = files.descriptor(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if os.fstat(directory).st_ino != number:
            raise OSError(errno.ENOENT, f'{path} is another disk by now')
        require_remote(files.place_of(directory), path)
        files.write_in(directory, attribute, value)
    finally:
        os.close(directory)


@privileged.entrypoint
def identity_pages(address: str, timeout: float) -> tuple[bytes, bytes]:
    """The pages 0x80 and 0x83 of vital product data (SPC-4, 7.8), asked of the device itself.

    The kernel's own copy in sysfs is from the disk's first scan or last rescan. Page 0x80 (unit
    serial number) is optional, and empty where the device does not have it; so is page 0x83 of a
    device older than SPC-3. A page may be up to 64 KiB long.

    :param address: SCSI address ``host:channel:target:lun``.
    :raises OperationTimedOut: if the device does not answer in time.
    :raises OSError: ``ENXIO`` if the target answers that it has nothing at this LUN; another one
        if it cannot be asked, or fails.
    """
    path = f'/dev/bsg/{check.hctl(address)}'
    limit = check.seconds(timeout)
    return process.isolated(f'INQUIRY of {address}', limit, _identity_pages, path, limit)


@privileged.entrypoint
def identity_pages_of(
    addresses: tuple[str, ...], timeout: float
) -> tuple[tuple[bytes, bytes] | int, ...]:
    """The same of several devices, one after the other: for those that have just answered.

    :param timeout: for all of them, in seconds.
    :return: for each the pages, or the number of its error, as :func:`identity_pages` raises it.
    :raises OperationTimedOut: if one does not answer in time.
    """
    every = check.items(addresses, _MOST_UNITS, 'SCSI addresses')
    paths = [f'/dev/bsg/{check.hctl(each)}' for each in every]
    limit = check.seconds(timeout)
    what = f'INQUIRY of {", ".join(every)}'
    return tuple(process.isolated(what, limit, _pages_or_errors, paths, limit))


def _pages_or_errors(paths: list[str], timeout: float) -> list[tuple[bytes, bytes] | int]:
    found: list[tuple[bytes, bytes] | int] = []
    ends = wait.Deadline.after(timeout)
    for path in paths:
        try:
            found.append(_identity_pages(path, ends.limit()))
        except OSError as error:
            found.append(error.errno or errno.EIO)
    return found


def _identity_pages(path: str, timeout: float) -> tuple[bytes, bytes]:
    page83 = _optional_page(path, 0x83, timeout)
    return _optional_page(path, 0x80, timeout), page83


@privileged.entrypoint
def flush(
    device: str, number: int, units: tuple[tuple[str, bytes, bytes], ...], timeout: float
) -> tuple[str, ...]:
    """Flush a disk, or a map, whose disks are the units still that they were a moment ago.

    They are asked once the device is open, right before it is flushed, and again afterwards. An
    INQUIRY tells of no remap that came before it (SPC-4, 5.14: it reports no unit attention), so
    the names themselves are compared. One that does not answer now is left to the flush.

    :param number: the kernel's number of the device (the inode of its directory in sysfs).
    :param units: the address of each disk, and the pages 0x80 and 0x83 that it has just reported.
    :return: the addresses of those that have become another unit while it was flushed.
    :raises OperationTimedOut: if the device does not take it in time.
    :raises OSError: ``ESTALE`` if one is another unit already; ``ENOENT`` if the device has no node
        in ``/dev``; ``ENODEV`` if its name belongs to another device by now; if it fails.
    """
    path = f'/dev/{check.block(device)}'
    number = check.number(number, 2**64 - 1, 'number of a device')
    asked = [_unit(each) for each in check.items(units, _MOST_UNITS, 'disks and their pages')]
    what, limit = f'the flush of {path}', check.seconds(timeout)
    return tuple(process.isolated(what, limit, _flush, path, number, asked))


def _unit(value: object) -> tuple[str, bytes, bytes]:
    match check.items(value, 3, 'an address and two pages'):
        case (address, bytes(page80), bytes(page83)):
            return check.hctl(address), page80, page83
    raise exception.InvalidParameterValue(
        err=f'{names.shown(value)} is not an address and two pages'
    )


def _flush(path: str, number: int, units: list[tuple[str, bytes, bytes]]) -> list[str]:
    with block.meant(path, number) as descriptor:
        if others := _others(units):
            raise OSError(errno.ESTALE, f'another volume is at {", ".join(others)} by now')
        block.write_back(descriptor)
        return _others(units)


def _others(units: list[tuple[str, bytes, bytes]]) -> list[str]:
    """The addresses at which another unit is now than the one of the pages, or none."""
    found = []
    ends = wait.Deadline.after(_WITNESS_SECONDS)
    for address, page80, page83 in units:
        if ends.passed:
            break
        try:
            now = vpd.identity(*_identity_pages(f'/dev/bsg/{address}', ends.limit()))
        except OSError as error:
            if error.errno == errno.ENXIO:
                found.append(address)
            continue
        if now.is_another(vpd.identity(page80, page83)):
            found.append(address)
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
