# SPDX-License-Identifier: Apache-2.0
"""What takes back what an attach of a SCSI volume has made: disks, maps over them, WWIDs."""

from __future__ import annotations

from os_brick import exception
from os_brick.core import handed, locks, teardown, undo, wait
from os_brick.host import block, dm, idle, multipath, multipathd, removal, scsi
from os_brick.paths import scsi_removal
from os_brick.plans import removal as plans

# How long multipathd may take to finish what it is at, after an attach that has failed: it may
# be what has made it fail.
_SETTLE_SECONDS = 3.0
# How long another operation on the same volume, by other paths, is waited for to forget its WWID.
_FORGET_SECONDS = 5.0


@undo.verb
def discard_maps(disks: list[str], seconds: float) -> None:
    """Remove the maps over these disks, unless they have other disks as well.

    An attach of the same volume by other paths may be about to be given such a map.
    """
    deadline = wait.Deadline.after(seconds)
    with locks.hold_identity(scsi.first_wwid(disks) or '', deadline):
        for found in dm.multipaths_over(disks):
            below = block.members(found)
            is_others = any(handed.is_handed_out(scsi.number_of(disk)) for disk in below)
            if set(below) <= set(disks) and not is_others:
                scsi_removal.take_back(below, deadline)


@undo.verb
def forget_wwids(wwids: list[str]) -> None:
    """Have multipath treat the disks of volumes without a map as unknown again."""
    # multipathd notes a WWID after it has made the map, and answers when it is done.
    multipathd.await_idle(_SETTLE_SECONDS)
    for wwid in wwids:
        deadline = wait.Deadline.after(_FORGET_SECONDS)
        with locks.hold_identity(wwid, deadline):
            removal.run(plans.forget([wwid]), teardown.RAISING, deadline)


def delete_new_disk(address: scsi.Address, seconds: float) -> None:
    """Remove the disk that a scan of ours has added, be it after its time or not.

    Which processes merely have it open is not asked: a read of ours that hangs is among them.

    :raises VolumeInUse: if something uses it: it is not ours any more.
    """
    deadline = wait.Deadline.after(seconds)
    disk = scsi.disk_at(address)
    with locks.hold_identity(scsi.first_wwid([disk]) or '' if disk else '', deadline):
        _delete_new_disk(address, deadline)


def _delete_new_disk(address: scsi.Address, deadline: wait.Deadline) -> None:
    number, disk = scsi.number_at(address), scsi.disk_at(address)
    if disk is None:
        if number:
            scsi.remove_at(address, number, deadline)
        return
    maps = dm.multipaths_over([disk])
    wwids = {scsi.cached_identity(disk).wwid, *map(dm.wwid, maps)} - {''}
    made = [dm.wwid(found) for found in maps if block.members(found) == [disk]]
    require_unused(disk, deadline)
    # The other paths wait for the identity meanwhile, and have no more time than this one: one that
    # waited for all of a hung multipathd's five seconds would leave them none.
    is_idle = multipathd.forget_disks({disk: number}, deadline.limit(deadline.remaining / 2))
    if maps:  # By another process it can have been claimed only since.
        require_unused(disk, deadline)
    scsi.remove(disk, deadline, number)
    # multipathd makes a map by itself once it sees a second disk of a volume, and writes down the
    # WWID, before an attach has come so far as to know whose the disk is.
    if is_idle:
        multipathd.await_idle(deadline.limit(_SETTLE_SECONDS))
    removal.run(plans.forget(sorted(wwids), made), teardown.RAISING, deadline)


def require_unused(disk: str, deadline: wait.Deadline) -> None:
    """Have nothing use a disk, or a map that has no other disk, and no other attach have it.

    :raises VolumeInUse: if something does.
    """
    maps = dm.multipaths_over([disk])
    if handed.is_handed_out(scsi.number_of(disk)):
        raise exception.VolumeInUse(
            device=f'/dev/{disk}', holder='another attach of the same volume, which has returned it'
        )
    users = block.users(disk, frozenset(maps))
    for found in maps:
        if block.members(found) == [disk]:
            users += multipath.why_open(found, dm.wwid(found), deadline)
    if users:
        raise exception.VolumeInUse(device=f'/dev/{disk}', holder='; '.join(users))
    if not maps:  # A map claims its disks.
        idle.require_free([disk])
