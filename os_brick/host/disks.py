# SPDX-License-Identifier: Apache-2.0
"""Disks behind single paths: scanning for them and verifying their identity."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
import dataclasses

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import wait
from os_brick.host import inquiry, lun_state, multipathd, proof, removal, scsi
from os_brick.model import vpd

LOG = logging.getLogger(__name__)

# How long the removal of a disk that has just come may take.
TAKE_BACK_SECONDS = 5.0
# A healthy disk needs a millisecond to report its identity once more.
CONFIRM_SECONDS = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class Disk:
    """The disk behind one path, with the identity that the device itself reports.

    :ivar name: the kernel's, such as ``sdc``.
    :ivar is_new: whether it was not there before this operation.
    """

    name: str
    address: scsi.Address
    identity: vpd.UnitIdentity
    size_bytes: int
    is_new: bool = False

    def __str__(self) -> str:
        return f'{self.name} at {self.address}: {self.identity}, {self.size_bytes} bytes'


@dataclasses.dataclass(slots=True)
class Scans:
    """The scans for a logical unit.

    :ivar scan: has the kernel look for it; returns what reports from there, or ``None``.
    :ivar times: when to scan, in seconds from now.
    :ivar last: what the last one has returned, be it before now.
    """

    scan: Callable[[], scsi.Scanned | None]
    times: Sequence[float]
    last: scsi.Scanned | None = None

    def run(self) -> None:
        """Scan once."""
        self.last = self.scan()

    def identity(self, disk: str, address: scsi.Address) -> vpd.UnitIdentity | None:
        """Who the disk has reported to be, if it is the device that the last scan has found."""
        if self.last is None or self.last.number != scsi.number_at(address):
            return None
        return scsi.identity_of(disk, self.last.pages)


def find(
    address: scsi.Address,
    scans: Scans,
    deadline: wait.Deadline,
    *,
    is_new: bool,
    waiting: lun_state.Waiting = lun_state.UNATTENDED,
) -> Disk:
    """The disk of a logical unit, as the array maps it now.

    A disk that is there already is asked anew. If it is another volume than the kernel
    believes (the array has given its LUN to another one, and the old one was never detached),
    exactly this disk is removed, and the LUN is scanned again.

    One that a scan has just added has answered with that.

    :param is_new: whether the kernel had nothing at the address before this operation.
    :raises PathNotReady: if it is there, and has no capacity or is not running.
    :raises VolumeDeviceNotFound: if there is no disk in time.
    :raises VolumeIdentityMismatch: if a stale disk is in use, and cannot be replaced.
    """
    before = 0 if is_new else scsi.number_at(address)
    known = None if is_new else scsi.disk_at(address)
    if known is not None:
        actual = _verified(known, address, deadline, waiting.on_response)
        if actual is not None:
            size = lun_state.capacity_bytes(known, address, deadline, waiting)
            return Disk(known, address, actual, size)
    try:
        name = lun_state.await_disk(address, scans.run, scans.times, deadline, waiting.check)
        actual = scans.identity(name, address) or _identified(name, address, deadline)
        _confirm_cached(name, actual, deadline)
        size = lun_state.capacity_bytes(name, address, deadline, waiting)
    except BaseException:
        # In the place of another device the caller has not noted it.
        if not is_new:
            _take_back(address, before)
        raise
    return Disk(name, address, actual, size, is_new=True)


def _take_back(address: scsi.Address, before: int) -> None:
    """Remove what a scan has added at an address, be it a disk already or not.

    :param before: the number of what was there then, which is not ours.
    """
    number, disk = scsi.number_at(address), scsi.disk_at(address)
    deadline = wait.Deadline.after(TAKE_BACK_SECONDS)
    try:
        if number not in (0, before) and disk is not None:
            multipathd.forget_disks({disk: number})
            scsi.remove(disk, deadline, number)
        elif number not in (0, before):
            scsi.remove_at(address, number, deadline)
    except (OSError, exception.BrickException) as error:
        LOG.warning('The disk at %s, which cannot be used, stays: %s', address, error)


def _verified(
    disk: str, address: scsi.Address, deadline: wait.Deadline, on_response: Callable[[], object]
) -> vpd.UnitIdentity | None:
    """The identity of a disk that was there before, or ``None`` once a stale one is gone."""
    if not lun_state.await_running(disk, address, deadline):
        return None
    try:
        actual = removal.discard_if_stale(disk, deadline, on_response)
    except OSError as error:
        raise _unidentified(disk, address, error) from error
    if actual is None:
        return None
    cached = scsi.cached_identity(disk)
    if actual.names != cached.names:
        LOG.warning('Disk %s has other names than the kernel knows: %s', disk, actual)
    scsi.rescan(disk, deadline)  # Its size may be of yesterday.
    return actual


def _confirm_cached(disk: str, actual: vpd.UnitIdentity, deadline: wait.Deadline) -> None:
    """Have the kernel know what a disk that has just come reports.

    The kernel may have read no page of names (a device older than SPC-2, or one that is on its
    list of those not to be asked), or the LUN may have been mapped anew since the scan.

    :raises VolumeIdentityMismatch: if the kernel still takes it for another volume.
    """
    cached = scsi.cached_identity(disk)
    if actual.compare(cached) is vpd.Match.SAME:
        return
    scsi.rescan(disk, deadline)
    cached = scsi.cached_identity(disk)
    if actual.is_another(cached):
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{disk}', expected=str(cached), actual=str(actual)
        )


def _identified(disk: str, address: scsi.Address, deadline: wait.Deadline) -> vpd.UnitIdentity:
    try:
        return inquiry.identity(disk, deadline.limit(inquiry.SECONDS))
    except OSError as error:
        raise _unidentified(disk, address, error) from error


def _unidentified(
    disk: str, address: scsi.Address, error: OSError
) -> exception.VolumeDeviceNotFound:
    return exception.VolumeDeviceNotFound(
        f'Disk {disk} at {address} does not report its identity: {error}'
    )


def require_same_volume(disks: list[Disk]) -> None:
    """Check that all disks are one volume.

    :raises VolumeIdentityMismatch: naming two that differ in identity or size.
    """
    first = disks[0]
    for other in disks[1:]:
        is_another = other.identity.is_another(first.identity)
        if is_another or other.size_bytes != first.size_bytes:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{other.name}',
                expected=f'{first.identity}, {first.size_bytes} bytes, of /dev/{first.name}',
                actual=f'{other.identity}, {other.size_bytes} bytes',
            )


def confirm(
    disks: Collection[Disk], deadline: wait.Deadline, last: proof.Proof | None = None
) -> None:
    """Ask disks once more who they are, when the volume is about to be handed out.

    Since their first answer multipathd has built a map and another path may have been waited for:
    half a minute in which the array may have given the LUN to another volume, or the disk's name
    has got another owner. A disk that does not answer any more is like one that dies later.

    :param last: a proof of this moment, with which they have answered.
    :raises VolumeIdentityMismatch: if a disk is another volume by now.
    :raises NothingMapped: if the target has nothing at its LUN any more.
    """
    known, limit = {disk.name: disk for disk in disks}, deadline.within(CONFIRM_SECONDS)
    found = last.answers(limit) if last else inquiry.ask_again(known, limit)
    for unmapped in found.unmapped.values():
        raise unmapped
    for name, error in found.unanswered.items():
        LOG.warning('Disk %s does not answer any more: %s', known[name], error)
    for name, answer in found.reported.items():
        identity = answer.identity
        if identity.is_another(known[name].identity):
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{name}', expected=str(known[name].identity), actual=str(identity)
            )


def require_expected(disk: Disk, wwid: str | None) -> None:
    """Check a disk against the WWID that the caller expects, if any.

    :raises VolumeIdentityMismatch: if it is another one.
    """
    match = disk.identity.compare_wwid(wwid) if wwid is not None else vpd.Match.SAME
    if match is vpd.Match.UNKNOWN:
        LOG.warning('Disk %s cannot be compared with %s, and is used all the same', disk, wwid)
    if match is vpd.Match.ANOTHER:
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{disk.name}', expected=wwid, actual=str(disk.identity)
        )
