# SPDX-License-Identifier: Apache-2.0
"""What root does to SCSI disks: scan, ask for identity, read capacity anew, delete.

Each of these can block in the kernel for as long as a dead path is given to come back
(iSCSI's replacement_timeout, 120 s by default), so each runs in a child process with a limit.
"""

from __future__ import annotations

import errno
import os
import re

from os_brick import exception, privileged
from os_brick.core import fanout, files, process, wait
from os_brick.privileged import check, inquiry

_LARGEST_LUN = 2**64 - 1
_MOST_DISKS = 4096
# What a scan has just added needs a millisecond to report its identity.
_ANSWER_SECONDS = 3.0
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
        return (number, *process.isolated(what, timeout, inquiry.identity_pages, path, timeout))
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
_RESCAN = ('rescan', '1')
_DELETE = ('delete', '1')
# The kernel wants the end of the line, too (Linux 6.12, scsi_sysfs.c, store_state_field).
_SET_RUNNING = ('state', 'running\n')


def rescan_device(path: str, number: int, timeout: float) -> None:
    """The same of the device whose directory has this number; as :func:`delete` does it."""
    _change(f'the rescan of {path}', path, number, timeout, *_RESCAN)


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
def delete_all(
    disks: tuple[tuple[str, int], ...], timeout: float
) -> tuple[tuple[str, int, str], ...]:
    """The same of several disks, side by side: one that blocks does not keep another.

    :param disks: name and number of each.
    :param timeout: for each, in seconds.
    :return: for each that is there still its name, and the number and the text of the error.
    """
    limit = check.seconds(timeout)
    wanted = [
        (check.disk(name), check.number(number, 2**64 - 1, 'number of a device'))
        for name, number in check.pairs(disks, _MOST_DISKS, 'disks and their numbers')
    ]
    return deleted(wanted, limit)


def deleted(disks: list[tuple[str, int]], limit: float) -> tuple[tuple[str, int, str], ...]:
    """The same for another root function, of names and numbers that it has checked."""

    def act(disk: tuple[str, int]) -> None:
        name, number = disk
        _change(f'the removal of {name}', f'/sys/block/{name}/device', number, limit, *_DELETE)

    _, errors = fanout.fanout(act, disks)
    return tuple(
        (disk[0], getattr(error, 'errno', None) or errno.ETIMEDOUT, str(error))
        for disk, error in errors.items()
        if not isinstance(error, FileNotFoundError)
    )


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
    return process.isolated(f'INQUIRY of {address}', limit, inquiry.identity_pages, path, limit)


@privileged.entrypoint
def identity_pages_of(
    addresses: tuple[str, ...], timeout: float
) -> tuple[tuple[bytes, bytes] | int, ...]:
    """The same of several devices, one after the other: for those that have just answered.

    :param timeout: for all of them, in seconds.
    :return: for each the pages, or the number of its error, as :func:`identity_pages` raises it.
    :raises OperationTimedOut: if one does not answer in time.
    """
    every = check.items(addresses, _MOST_DISKS, 'SCSI addresses')
    paths = [f'/dev/bsg/{check.hctl(each)}' for each in every]
    limit = check.seconds(timeout)
    what = f'INQUIRY of {", ".join(every)}'
    return tuple(process.isolated(what, limit, inquiry.pages_or_errors, paths, limit))
