# SPDX-License-Identifier: Apache-2.0
"""What the kernel has at a logical unit's address, and what makes a usable disk of it.

The states are those of ``sdev_states`` (Linux 6.12, drivers/scsi/scsi_sysfs.c); the table in
doc/source/contributor/lun_states.rst has all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
import dataclasses

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files, wait
from os_brick.host import block, inquiry, scsi

LOG = logging.getLogger(__name__)

# A device that is being removed: a scan now would find its name taken.
_GOING = ('cancel', 'deleted')
# Between a device and its disk: a thread of its own binds the driver (PROBE_PREFER_ASYNCHRONOUS).
UNBOUND_SECONDS = 2.0
# How long a device that is blocked or made ready is waited for; its path may join later.
STATE_SECONDS = 1.0
CAPACITY_SECONDS = 1.0
# A disk that is there for the kernel has its node in /dev at once (devtmpfs), unless a
# container's /dev is filled by another udev.
NODE_SECONDS = 5.0
# Between two readings of a capacity that is not there yet.
_FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
# What the driver sd takes (Linux, drivers/scsi/sd.c, sd_probe): disk, optical memory, RBC, zoned.
DISK_TYPES = (0x00, 0x07, 0x0E, 0x14)


def _ignore() -> None:
    """Do nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """What happens while a disk is waited for.

    :ivar on_response: called as soon as a disk that was there has reported its identity.
    :ivar on_stall: called as soon as the disk is there, and reports no capacity.
    :ivar check: called again and again; raises if the disk is not wanted any more.
    :ivar ready_seconds: how long its capacity is waited for.
    """

    on_response: Callable[[], object] = _ignore
    on_stall: Callable[[], object] = _ignore
    check: Callable[[], object] = _ignore
    ready_seconds: float = CAPACITY_SECONDS


# For a disk that no one calls off, or wants to be told of.
UNATTENDED = Waiting()


def is_going(address: scsi.Address) -> bool:
    """Whether the kernel is removing the device at an address."""
    return scsi.state_at(address) in _GOING


def await_disk(
    address: scsi.Address,
    scan: Callable[[], None],
    scan_times: Iterable[float],
    deadline: wait.Deadline,
    check: Callable[[], object],
) -> str:
    """Wait until there is a disk at an address, and its node in ``/dev``; return its name.

    :param scan: has the kernel look for the logical unit.
    :param scan_times: when to scan, in seconds from now.
    :param check: called again and again; raises if the disk is not wanted any more.
    :raises VolumeDeviceNotFound: if there is none in time.
    """
    schedule = [wait.Deadline.after(seconds) for seconds in sorted(scan_times)]
    repair = Repair(address, deadline)

    def probe() -> str | None:
        check()
        if schedule and schedule[0].passed and not scsi.is_known(address):
            del schedule[0]
            _scan(scan, address)
        disk = scsi.disk_at(address)
        if disk is None and repair.is_due() and repair.replace():
            schedule.insert(0, wait.Deadline.after(0))
        # A disk is listed at its address a moment before it is among the block devices, and a
        # moment after the kernel has begun to remove it.
        is_there = disk is not None and scsi.address_of(disk) == address
        return disk if is_there and not is_going(address) else None

    disk = wait.poll(probe, deadline)
    if disk is None:
        raise exception.VolumeDeviceNotFound(device=f'SCSI address {address} ({repair.why()})')
    wait.holds(lambda: files.exists(f'/dev/{disk}'), deadline.within(NODE_SECONDS))
    return disk


def _scan(scan: Callable[[], None], address: scsi.Address) -> None:
    try:
        scan()
    except OSError as error:
        # EINVAL means that the adapter's driver has no such LUN (Linux, scsi_scan_host_selected).
        raise exception.VolumeDeviceNotFound(
            f'The kernel refuses to scan for SCSI address {address}: {error}'
        ) from error


def await_running(disk: str, address: scsi.Address, deadline: wait.Deadline) -> bool:
    """Wait until the kernel sends commands to a disk; return whether it is still there.

    One that was taken offline (by the kernel's error handler after it had not answered, or by an
    administrator) stays so until someone sets it running; it has to prove its identity then.

    :raises PathNotReady: if the kernel sends it none in time.
    """
    number = scsi.number_at(address)
    if scsi.state_at(address) == 'offline':
        LOG.warning('Disk %s at %s is offline, and is set running', disk, address)
        _set_running(disk, address, number, deadline)
    if is_going(address):
        wait.holds(lambda: scsi.number_at(address) != number, deadline)

    def is_settled() -> bool:
        return scsi.number_at(address) != number or scsi.state_at(address) == 'running'

    if not wait.holds(is_settled, deadline.within(STATE_SECONDS)):
        raise exception.PathNotReady(
            device=f'/dev/{disk} ({address})', why=f'its state is {scsi.state_at(address)}'
        )
    return scsi.number_at(address) == number


def _set_running(disk: str, address: scsi.Address, number: int, deadline: wait.Deadline) -> None:
    try:
        scsi.set_running(address, number, deadline)
    except FileNotFoundError:
        return
    except OSError as error:
        raise exception.PathNotReady(
            device=f'/dev/{disk} ({address})', why=f'it is offline, and stays so: {error}'
        ) from error


def capacity_bytes(
    disk: str, address: scsi.Address, deadline: wait.Deadline, waiting: Waiting = UNATTENDED
) -> int:
    """The capacity of a disk, read anew while it reports none.

    READ CAPACITY fails where a port is unavailable (ALUA), while a volume becomes ready, and where
    a drive has no medium; INQUIRY works there, and the kernel gives the disk 0 bytes.

    :raises PathNotReady: if it has none in time.
    """
    until = deadline.within(waiting.ready_seconds)
    pause = _FIRST_PAUSE_SECONDS
    again: wait.Deadline | None = None

    def capacity() -> int | None:
        nonlocal again, pause
        waiting.check()
        size = block.size_bytes(disk)
        if size:
            return size
        if again is None:
            waiting.on_stall()
        if again is None or again.passed:
            scsi.rescan(disk, until)
            again = wait.Deadline.after(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        return block.size_bytes(disk) or None

    why = 'it reports no capacity'
    try:
        size = wait.poll(capacity, until)
    except (OSError, exception.OperationTimedOut) as error:
        size, why = None, f'it reports no capacity ({error})'
    if size is None:
        raise exception.PathNotReady(device=f'/dev/{disk} ({address})', why=why)
    return size


class Repair:
    """Replaces a device that the kernel has at an address without a disk, while one is waited for.

    The kernel keeps what a target reported at the first scan: a LUN that it did not map then
    (peripheral qualifier 001b), or that had another type of device, as LUN 0 of many arrays. A scan
    does not look at such a device again. It is removed once the target reports a disk there.
    """

    def __init__(self, address: scsi.Address, deadline: wait.Deadline) -> None:
        self._address = address
        self._deadline = deadline
        self._number = 0
        self._since = wait.Deadline.after(UNBOUND_SECONDS)
        self._is_done = False

    def is_due(self) -> bool:
        """Whether a device was there long enough without a driver, so that it may be replaced."""
        number = scsi.number_at(self._address)
        if number != self._number:
            self._number = number
            self._since = wait.Deadline.after(UNBOUND_SECONDS)
        is_unbound = scsi.state_at(self._address) == 'running' and not scsi.has_driver(
            self._address
        )
        return bool(number) and is_unbound and self._since.passed and not self._is_done

    def replace(self) -> bool:
        """Remove the device if the target reports a disk in its place; return whether it did."""
        found = inquiry.reported_type(self._address, self._deadline.limit(inquiry.SECONDS))
        self._since = wait.Deadline.after(UNBOUND_SECONDS)
        if found not in DISK_TYPES:
            return False
        LOG.warning('The device at %s has no disk, and is scanned anew', self._address)
        self._is_done = True
        scsi.remove_at(self._address, self._number, self._deadline)
        return True

    def why(self) -> str:
        """What is at the address instead of a disk, for an error."""
        if not scsi.is_known(self._address):
            return 'the target reports nothing there'
        state = scsi.state_at(self._address)
        if state != 'running':
            return f'the state of the device there is {state or "unknown"}'
        if scsi.has_driver(self._address):
            return 'the kernel has not finished with the device there'
        return 'the device there is not a disk, or is not mapped'
