# SPDX-License-Identifier: Apache-2.0
"""What root does with SCSI disks only while they are the units that the caller takes them for.

Each act asks the disks itself who they are, right before it, whatever the caller has seen.
"""

from __future__ import annotations

import errno

from os_brick import exception, privileged
from os_brick.core import files, process, wait
from os_brick.model import dm_status, names, vpd
from os_brick.privileged import block, check, dm, inquiry, scsi

_MOST_UNITS = 4096
# For the questions before, and after, an act; a healthy disk needs milliseconds. Where one does not
# answer in time the caller asks each by itself, with more patience.
_LOOK_SECONDS = 1.0
_WITNESS_SECONDS = 3.0
# The address of a disk, and its pages 0x80 and 0x83.
_Unit = tuple[str, bytes, bytes]


@privileged.entrypoint
def flush(device: str, number: int, units: tuple[_Unit, ...], timeout: float) -> tuple[str, ...]:
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
    name = check.block(device)
    number = check.number(number, 2**64 - 1, 'number of a device')
    return _flushed(name, number, _units(units), wait.Deadline.after(check.seconds(timeout)))


@privileged.entrypoint
def flush_known(
    device: str, number: int, units: tuple[_Unit, ...], above: str, timeout: float
) -> tuple[str, ...] | None:
    """Flush a disk, or a map, if each of its disks reports to be the unit that is expected.

    They are asked first, in a child of their own, and then as :func:`flush` does.

    :param units: all disks of the device, each with the pages that the kernel knows of it.
    :param above: the WWID of the map that is flushed, or that is above the disk; empty without one.
    :return: as :func:`flush`; ``None`` if nothing was flushed, because a disk is another unit, or
        does not answer at once, or the map has no path: the caller has to look closer.
    :raises OperationTimedOut: if the device does not take it in time.
    :raises OSError: as :func:`flush`, but for ``ESTALE``.
    """
    name = check.block(device)
    number = check.number(number, 2**64 - 1, 'number of a device')
    wanted, wwid = _units(units), check.wwid(above) if above else ''
    ends = wait.Deadline.after(check.seconds(timeout))
    now = _reported(wanted, wwid, ends)
    if now is None or (name.startswith('dm-') and not _has_path(wwid)):
        return None
    _require_time(ends, f'the flush of /dev/{name}')
    try:
        return _flushed(name, number, now, ends)
    except OSError as error:
        if error.errno == errno.ESTALE:
            return None
        raise


def _has_path(wwid: str) -> bool:
    """Whether a map is known to have an active path."""
    try:
        return dm_status.active_paths(dm.status_of(f'mpath-{wwid}')[2]) > 0
    except OSError:
        return False


def _flushed(name: str, number: int, units: list[_Unit], ends: wait.Deadline) -> tuple[str, ...]:
    path = f'/dev/{name}'
    return tuple(
        process.isolated(f'the flush of {path}', ends.limit(), _flush, path, number, units)
    )


@privileged.entrypoint
def prove(
    device: str, above: str, addresses: tuple[str, ...], timeout: float
) -> tuple[tuple[int, bool, str] | None, int, tuple[tuple[bytes, bytes] | int, ...]]:
    """Read the start of a disk or a map, past every cache, and ask its disks who they are then.

    A map is read only if it is not suspended, and has a path: a read might never end.

    :param above: the WWID of the map; empty if the device is a disk.
    :param timeout: for the read, in seconds.
    :return: the map's :func:`dm.status`, ``None`` of a disk; how many bytes could be read, -1 if
        the map was not; and what the disks report, as ``scsi.identity_pages_of``: nothing if the
        device was not read, or they do not answer at once.
    :raises OperationTimedOut: if the device does not answer in time.
    :raises OSError: ``ENXIO`` if there is no such map; if the device cannot be opened or read.
    """
    name, limit = check.block(device), check.seconds(timeout)
    paths = [
        f'/dev/bsg/{check.hctl(each)}' for each in check.items(addresses, _MOST_UNITS, 'disks')
    ]
    status = dm.status_of(check.map_uuid(f'mpath-{check.wwid(above)}')) if above else None
    if status and (status[1] or not dm_status.active_paths(status[2])):
        return status, -1, ()
    ends = wait.Deadline.after(limit)
    count = block.read_start_of(name, ends.limit())
    return status, count, tuple(_pages(paths, ends) or ())


def _pages(paths: list[str], ends: wait.Deadline) -> list[tuple[bytes, bytes] | int] | None:
    """What devices report, or the number of the error; ``None`` if one does not answer at once."""
    limit, what = ends.limit(_LOOK_SECONDS), f'INQUIRY through {", ".join(paths)}'
    try:
        return process.isolated(what, limit, inquiry.pages_or_errors, paths, limit)
    except (OSError, exception.OperationTimedOut):
        return None


@privileged.entrypoint
def rescan_known(disk: str, number: int, unit: _Unit, above: str, timeout: float) -> bool:
    """Have the kernel read a disk's identity and capacity anew, if it is the unit expected.

    :param number: the kernel's number of the disk's device (its inode in sysfs).
    :param unit: its address, and the pages that the kernel knows of it.
    :param above: the WWID of the map above it; empty without one.
    :return: whether that was done; not if it is another unit, or does not answer: the caller has
        to look closer.
    :raises OperationTimedOut: if the disk does not answer in time.
    :raises PermissionError: if it is not a disk of iSCSI or Fibre Channel.
    :raises OSError: if the kernel refuses it, or the disk has gone, or is another one by now.
    """
    path = f'/sys/block/{check.disk(disk)}/device'
    wanted, wwid = _units((unit,)), check.wwid(above) if above else ''
    ends = wait.Deadline.after(check.seconds(timeout))
    if files.readlink(path).rpartition('/')[2] != wanted[0][0]:
        raise FileNotFoundError(errno.ENOENT, f'{path} is another disk by now')
    if _reported(wanted, wwid, ends) is None:
        return False
    _require_time(ends, f'the rescan of {disk}')
    scsi.rescan_device(path, number, ends.limit())
    return True


def _require_time(ends: wait.Deadline, what: str) -> None:
    """Begin nothing whose caller has given up meanwhile.

    :raises OperationTimedOut: if the limit has passed.
    """
    if ends.passed:
        raise exception.OperationTimedOut(what=what, seconds=round(ends.seconds, 1))


def _units(value: object) -> list[_Unit]:
    return [_unit(each) for each in check.items(value, _MOST_UNITS, 'disks and their pages')]


def _unit(value: object) -> _Unit:
    match check.items(value, 3, 'an address and two pages'):
        case (address, bytes(page80), bytes(page83)):
            return check.hctl(address), page80, page83
    raise exception.InvalidParameterValue(
        err=f'{names.shown(value)} is not an address and two pages'
    )


def _reported(wanted: list[_Unit], above: str, ends: wait.Deadline) -> list[_Unit] | None:
    """What units report now; ``None`` if one does not answer, or is another one by now."""
    found = _pages([f'/dev/bsg/{each[0]}' for each in wanted], ends)
    if found is None:
        return None
    now: list[_Unit] = []
    for (address, page80, page83), pages in zip(wanted, found, strict=True):
        if isinstance(pages, int):
            return None
        actual = vpd.identity(*pages)
        if actual.is_another(vpd.identity(page80, page83)) or actual.contradicts(above):
            return None
        now.append((address, *pages))
    return now


def _flush(path: str, number: int, units: list[_Unit]) -> list[str]:
    with block.meant(path, number) as descriptor:
        if others := _others(units):
            raise OSError(errno.ESTALE, f'another volume is at {", ".join(others)} by now')
        block.write_back(descriptor)
        return _others(units)


def _others(units: list[_Unit]) -> list[str]:
    """The addresses at which another unit is now than the one of the pages, or none."""
    found = []
    ends = wait.Deadline.after(_WITNESS_SECONDS)
    for address, page80, page83 in units:
        if ends.passed:
            break
        try:
            now = vpd.identity(*inquiry.identity_pages(f'/dev/bsg/{address}', ends.limit()))
        except OSError as error:
            if error.errno == errno.ENXIO:
                found.append(address)
            continue
        if now.is_another(vpd.identity(page80, page83)):
            found.append(address)
    return found
