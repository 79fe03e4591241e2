# SPDX-License-Identifier: Apache-2.0
"""A SCSI volume on this host, from the moment its disks are there, however they were added.

Made usable: a multipath map, or one disk.
"""

from __future__ import annotations

from collections.abc import Collection
import dataclasses

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import wait
from os_brick.host import (
    block,
    dm,
    inquiry,
    map_offers,
    multipath,
    multipathd,
    proof,
    removal,
    scsi,
)
from os_brick.host import disks as host_disks
from os_brick.model import vpd

LOG = logging.getLogger(__name__)

# multipathd takes the other paths a moment after the first (as fast as udev tells it of them);
# a map is usable with one, so no one waits longer for them than this.
JOIN_SECONDS = 0.5
# Whether a disk below a map is the map's volume still; a live one reports so in milliseconds.
FOREIGN_SECONDS = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """What a volume's user opens.

    :ivar name: the kernel's, such as ``sdc`` or ``dm-4``.
    """

    name: str
    wwid: str
    is_multipath: bool

    @property
    def path(self) -> str:
        """Its path, such as ``/dev/dm-4``."""
        return f'/dev/{self.name}'


def open_single(disk: host_disks.Disk, deadline: wait.Deadline) -> Device:
    """The device of a volume that is used through one disk.

    :raises VolumeDeviceNotFound: if it cannot be read.
    """
    last = proof.Proof([disk.name])
    error = last.why_not(disk.name, '', deadline.limit(block.READ_SECONDS))
    if error is not None:
        raise exception.VolumeDeviceNotFound(
            f'Device /dev/{disk.name} is there and cannot be read: {error}'
        ) from error
    host_disks.confirm([disk], deadline, last)
    return Device(disk.name, disk.identity.wwid, is_multipath=False)


def open_multipath(
    opened: list[host_disks.Disk], ready_seconds: float, deadline: wait.Deadline
) -> Device:
    """The multipath map over the disks of a volume, once it takes I/O.

    :param ready_seconds: how long its first path may still be in activation (ALUA, a slow
        checker) when the map is there.

    :raises NotClaimed: if multipathd refuses to make a map of them.
    :raises OperationTimedOut: if it makes none in time.
    :raises VolumeDeviceNotFound: if the map takes no I/O in time.
    :raises VolumeHasShrunk: if it was there before, and is larger than the volume is now.
    """
    identity = opened[0].identity
    disks = [disk.name for disk in opened]
    if not identity.wwid:
        raise map_offers.NotClaimed(disks=', '.join(disks), why='they have no WWID')
    found = multipath.build(identity, disks, deadline)
    missing = multipath.join(found, disks, deadline.within(JOIN_SECONDS))
    if missing:
        LOG.info('Map %s works without %s so far', found, ', '.join(sorted(missing)))
    _evict_foreign_disks(found, identity, disks, deadline)
    last = proof.Proof(disks)
    require_ready(found, deadline.within(ready_seconds), last)
    _require_size(found, opened[0].size_bytes)
    host_disks.confirm(opened, deadline, last)
    _tell_of_read_only_disks(found, disks)
    return Device(found, identity.wwid, is_multipath=True)


def _require_size(found: str, size: int) -> None:
    before = block.size_bytes(found)
    if size < before:
        raise exception.VolumeHasShrunk(device=f'/dev/{found}', size=size, before=before)


def _tell_of_read_only_disks(found: str, disks: list[str]) -> None:
    """Log which disks make a whole map read-only, where others could be written.

    multipathd opens all of them and, if one refuses that, loads the map read-only.
    """
    locked = [disk for disk in disks if block.is_read_only(disk)]
    if 0 < len(locked) < len(disks):
        LOG.warning(
            'Map %s may be read-only as a whole: the array lets this host write through some of '
            'its paths, and not through those of %s',
            found,
            ', '.join(locked),
        )


def _evict_foreign_disks(
    found: str, identity: vpd.UnitIdentity, own: list[str], deadline: wait.Deadline
) -> None:
    """Take disks out of a volume's map that report to be another volume, and remove them.

    They were the volume until the array gave their LUN to another one, on paths that the caller
    does not name now; multipathd believes what it read then, and would write to them.

    :raises VolumeIdentityMismatch: if such a disk has a user besides the map.
    """
    foreign = _foreign_disks(found, identity, own, deadline)
    if foreign:
        removal.evict(foreign, found, str(identity), deadline)


def _foreign_disks(
    found: str, identity: vpd.UnitIdentity, own: list[str], deadline: wait.Deadline
) -> dict[str, int]:
    """The numbers of the disks below a map that report to be another volume, or nothing."""
    wwid = dm.wwid(found)
    asked = {
        disk: scsi.number_of(disk)
        for disk in dict.fromkeys([*block.members(found), *_known_to_multipathd(wwid)])
        if disk not in own and scsi.is_running(disk)
    }
    found_out = inquiry.ask_all(asked, deadline.within(FOREIGN_SECONDS))
    for disk, error in found_out.unanswered.items():
        LOG.warning('Disk %s below map %s does not identify itself: %s', disk, found, error)
    others = {
        disk: str(answer.identity)
        for disk, answer in found_out.reported.items()
        if answer.identity.is_another(identity)
    }
    others |= {disk: str(error) for disk, error in found_out.unmapped.items()}
    for disk, why in others.items():
        LOG.warning('Disk %s is removed from map %s of %s: %s', disk, found, identity, why)
    return {disk: asked[disk] for disk in others}


def _known_to_multipathd(wwid: str) -> list[str]:
    """The disks that multipathd may put into a map whenever it likes."""
    try:
        known = multipathd.known_disks() or {}
    except multipathd.NoAnswer as error:
        LOG.warning('%s: only the disks that are in the map of %s now are asked', error, wwid)
        return []
    return [disk for disk, each in known.items() if each == wwid]


def require_ready(found: str, deadline: wait.Deadline, last: proof.Proof | None = None) -> None:
    """Wait until a map takes I/O.

    :param last: keeps what its disks report when it does.
    :raises VolumeDeviceNotFound: if it does not.
    """
    why: Exception | None = None
    asked = last or proof.Proof()

    def is_ready() -> bool:
        nonlocal why
        why = asked.why_not(found, dm.wwid(found), deadline.limit(block.READ_SECONDS))
        return why is None

    if not wait.holds(is_ready, deadline):
        raise exception.VolumeDeviceNotFound(f'Map /dev/{found} takes no I/O: {why}')


def disks_of(disks: Collection[str]) -> list[str]:
    """The disks, and all others below their multipath maps."""
    below = [disk for found in dm.multipaths_over(disks) for disk in block.members(found)]
    return list(dict.fromkeys([*disks, *below]))
