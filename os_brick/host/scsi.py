# SPDX-License-Identifier: Apache-2.0
"""SCSI disks: where they are, who they are, how they come and go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import dataclasses

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import absence, files, wait
from os_brick.model import vpd
from os_brick.privileged import scsi as root
from os_brick.privileged import scsi_known as known

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a logical unit is, in the kernel's numbers."""

    host: int
    channel: int
    target: int
    lun: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address of ``2:0:0:1``.

        :raises ValueError: if the text is none.
        """
        host, channel, target, lun = (int(part) for part in text.split(':'))
        return cls(host, channel, target, lun)

    def __str__(self) -> str:
        return f'{self.host}:{self.channel}:{self.target}:{self.lun}'


def is_known(address: Address) -> bool:
    """Whether the kernel has a device at the address, be it a disk already or not."""
    return files.exists(f'/sys/bus/scsi/devices/{address}')


def number_at(address: Address) -> int:
    """The kernel's number of the device at an address: no other one has had it; 0 if none.

    It is that of a directory in sysfs, where numbers are given one after the other (Linux,
    fs/kernfs/dir.c).
    """
    return files.inode(f'/sys/bus/scsi/devices/{address}')


def number_of(disk: str) -> int:
    """The same of a disk: its name and its address may be those of another one tomorrow."""
    return files.inode(f'/sys/block/{disk}/device')


def disk_at(address: Address) -> str | None:
    """The disk at an address, such as ``sdc``, or ``None``."""
    found = files.names(f'/sys/bus/scsi/devices/{address}/block')
    return found[0] if found else None


def address_of(disk: str) -> Address | None:
    """Where a disk is, or ``None`` if it has gone or is not a SCSI disk."""
    path = f'/sys/block/{disk}/device'
    try:
        # The kernel's link to the device's directory, which is called by its address.
        return Address.parse(files.readlink(path).rpartition('/')[2])
    except ValueError:
        return None
    except OSError as error:
        absence.require(error, path, absence.NO_VALUE)
        return None


def luns(host: int, channel: int, target: int) -> list[int]:
    """The LUNs the kernel has a device for behind one target."""
    place, prefix = f'{host}:{channel}:{target}', f'{host}:{channel}:{target}:'
    names = files.names(f'/sys/bus/scsi/devices/target{place}')
    found = (name for name in names if name.startswith(prefix))
    return sorted(int(name.removeprefix(prefix)) for name in found)


def state(disk: str) -> str:
    """The kernel's word on a disk: ``running``, ``blocked``, ``transport-offline``, ..."""
    return files.read_or(f'/sys/block/{disk}/device/state')


def state_at(address: Address) -> str:
    """The same of the device at an address, be it a disk already or not; empty if none."""
    return files.read_or(f'/sys/bus/scsi/devices/{address}/state')


def has_driver(address: Address) -> bool:
    """Whether a driver has taken the device at an address, or is looking at it."""
    return files.exists(f'/sys/bus/scsi/devices/{address}/driver')


def set_running(address: Address, number: int, deadline: wait.Deadline) -> None:
    """Have the kernel send commands again to a device that was taken offline.

    :raises OperationTimedOut: if it does not happen in time.
    :raises OSError: if it has gone, or the kernel refuses it.
    """
    root.set_running(str(address), number, deadline.limit())


def remove_at(address: Address, number: int, deadline: wait.Deadline) -> None:
    """Have the kernel forget a device that has no disk.

    :raises OperationTimedOut: if it does not happen in time.
    :raises OSError: if the kernel refuses it.
    """
    try:
        root.delete_at(str(address), number, deadline.limit())
    except FileNotFoundError:
        return
    wait.until(
        lambda: number_at(address) != number or None, deadline, f'the device at {address} to go'
    )


def is_running(disk: str) -> bool:
    """Whether the kernel sends commands to the disk."""
    return state(disk) == 'running'


def cached_identity(disk: str) -> vpd.UnitIdentity:
    """Who the kernel believes a disk to be since its first scan or last rescan."""
    return identity_of(disk, cached_pages(disk))


def cached_pages(disk: str) -> tuple[bytes, bytes]:
    """The pages 0x80 and 0x83 that the kernel has of a disk; empty where it has read none."""
    return _cached_page(disk, '80'), _cached_page(disk, '83')


def cached_names_at(address: Address) -> vpd.UnitIdentity | None:
    """The names alone of the device at an address: one access; ``None`` if the kernel has none."""
    path = f'/sys/bus/scsi/devices/{address}/vpd_pg83'
    try:
        page = files.read_bytes(path)
    except OSError as error:
        absence.require(error, path, absence.NO_VALUE)
        return None
    return vpd.identity(b'', page)


def _cached_page(disk: str, page: str) -> bytes:
    path = f'/sys/block/{disk}/device/vpd_pg{page}'
    try:
        return files.read_bytes(path)
    except OSError as error:
        absence.require(error, path, absence.NO_VALUE)
        return b''


def _inquiry_text(disk: str) -> str:
    vendor = files.read_or(f'/sys/block/{disk}/device/vendor')
    model = files.read_or(f'/sys/block/{disk}/device/model')
    return f'{vendor:8}{model:16}'


def identity_of(disk: str, pages: tuple[bytes, bytes]) -> vpd.UnitIdentity:
    """Who a disk reports to be by these pages."""
    return vpd.identity(*pages, _inquiry_text(disk))


@dataclasses.dataclass(frozen=True, slots=True)
class Scanned:
    """What was at an address right after a scan, asked of the device itself.

    :ivar number: the kernel's number of the device: :func:`number_at` while it is this one.
    :ivar pages: the pages 0x80 and 0x83.
    """

    number: int
    pages: tuple[bytes, bytes]


def scan(address: Address, deadline: wait.Deadline) -> Scanned | None:
    """Have the kernel look for one logical unit.

    :return: what reports from there; ``None`` if nothing does yet.
    :raises OperationTimedOut: if the path does not answer.
    :raises VolumeDeviceNotFound: if the kernel refuses it, or the host has gone.
    """
    try:
        found = root.scan(
            *(address.host, address.channel, address.target, address.lun, deadline.limit())
        )
    except OSError as error:
        # EINVAL means that the adapter's driver has no such LUN (Linux, scsi_scan_host_selected).
        raise exception.VolumeDeviceNotFound(
            f'The kernel refuses to scan for SCSI address {address}: {error}'
        ) from error
    return Scanned(found[0], found[1:]) if found else None


def rescan(disk: str, deadline: wait.Deadline) -> None:
    """Have the kernel read a disk's identity and capacity anew.

    :raises OperationTimedOut: if the disk does not answer.
    :raises OSError: if the disk has gone.
    """
    root.rescan(disk, deadline.limit())


def rescan_known(disk: str, above: str, deadline: wait.Deadline) -> bool:
    """Have the kernel read a disk's capacity anew, if it reports to be who the kernel knows.

    :param above: the WWID of the map above it; empty without one.
    :return: whether it was; where not it is another unit by now, or does not answer at once.
    :raises OperationTimedOut: if the disk does not answer in time.
    :raises OSError: if the disk has gone.
    """
    address, number = address_of(disk), number_of(disk)
    if address is None:
        raise OSError(f'{disk} is not a SCSI disk, or has gone')
    unit = (str(address), *cached_pages(disk))
    return known.rescan_known(disk, number, unit, above, deadline.limit())


def remove(disk: str, deadline: wait.Deadline, number: int | None = None) -> None:
    """Have the kernel forget a disk, and wait until it has; another one of its name stays.

    :param number: what :func:`number_of` returned for the disk when its removal was decided;
        ``None`` if that is now.
    :raises OperationTimedOut: if it does not happen in time.
    :raises OSError: if the kernel refuses it.
    """
    number = number_of(disk) if number is None else number
    try:
        root.delete(disk, number, deadline.limit())
    except FileNotFoundError:
        return
    wait.until(lambda: not is_there(disk, number) or None, deadline, f'the removal of {disk}')


def remove_all(devices: Mapping[str, int], deadline: wait.Deadline) -> dict[str, str]:
    """Have the kernel forget disks, side by side, and wait until it has; others of a name stay.

    :param devices: name and number of each.
    :return: what could not be removed, and why.
    """
    if not devices:
        return {}
    try:
        found = root.delete_all(tuple(devices.items()), deadline.limit())
    except (OSError, exception.OperationTimedOut) as error:
        return dict.fromkeys(devices, str(error))
    return await_gone(devices, {disk: text for disk, _, text in found}, deadline)


def await_gone(
    devices: Mapping[str, int], errors: dict[str, str], deadline: wait.Deadline
) -> dict[str, str]:
    """Wait until disks have gone of which the kernel was told to forget them.

    :param errors: what it has refused, and why.
    :return: what is still there, and why.
    """

    def left() -> list[str]:
        return [disk for disk, number in devices.items() if is_there(disk, number)]

    if not wait.holds(lambda: set(left()) <= set(errors), deadline):
        late = f'its removal did not end within {deadline.seconds:.1f} s'
        errors = errors | {disk: late for disk in left() if disk not in errors}
    return errors


def is_there(disk: str, number: int) -> bool:
    """Whether a disk is still the one that had this number; its name may be another one's."""
    return bool(number) and number_of(disk) == number


def first_wwid(disks: Iterable[str]) -> str | None:
    """The WWID that the kernel knows of the first disk that has one, or ``None``."""
    return next((wwid for disk in disks if (wwid := cached_identity(disk).wwid)), None)
