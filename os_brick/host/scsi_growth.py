# SPDX-License-Identifier: Apache-2.0
"""Growth of SCSI volumes: capacity read anew on every path, then the multipath map resized."""

from __future__ import annotations

from collections.abc import Collection
import contextlib

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import fanout, observe, wait
from os_brick.host import block, dm, inquiry, multipath, multipathd, scsi, survey, volume
from os_brick.model import vpd
from os_brick.plans import growth as plans

LOG = logging.getLogger(__name__)

# multipathd reads the sizes of the disks and loads the map's table anew: a second or two.
RESIZE_SECONDS = 30.0
# How long a live disk needs to answer with its new capacity.
RESCAN_SECONDS = 10.0
# An array may report its new size on one port later than on another.
SAME_SIZE_SECONDS = 5.0
# A disk that comes back alone is worth more patience than one that an attach waits for.
REINSTATE_SECONDS = 10.0


def look(disks: Collection[str]) -> plans.Found:
    """What there is of a volume: these disks, those that share its map, and the map."""
    found = dm.multipath_over(disks)
    return plans.Found(
        tuple(
            plans.FoundDisk(
                *(disk, scsi.number_of(disk), scsi.cached_identity(disk)),
                *(survey.wwid_above(disk), block.size_bytes(disk)),
            )
            for disk in volume.disks_of(disks)
        ),
        plans.FoundMap(found, dm.wwid(found), block.size_bytes(found)) if found else None,
    )


def grow(disks: Collection[str], deadline: wait.Deadline) -> tuple[int, list[str]]:
    """Have every live disk and the map show the volume's size now.

    :return: the size in bytes, which is never 0, and the disks that do not have it, because they
        are dead or report no capacity; they are out of the map.
    :raises VolumeIdentityMismatch: if a disk is another volume by now.
    :raises VolumeHasShrunk: if the volume has become smaller: there may be data behind its new end.
    :raises VolumePathsNotFound: if no disk answers, and has a capacity.
    """
    found = look(disks)
    live = _read(plans.read(found), deadline)
    with observe.step(plans.Verb.AGREE):
        size = _smallest(live, deadline)
    for disk in found.disks:  # Its capacity may have been read several times.
        if disk.name in live:
            _require_same(disk.name, scsi.cached_identity(disk.name), disk.identity, disk.above)
    sizes = {disk.name: block.size_bytes(disk.name) for disk in found.disks}
    _run(plans.resize(found, size, sizes, live), found, deadline)
    return size, plans.short(found, size, sizes, live)


def _read(plan: plans.Growth, deadline: wait.Deadline) -> list[str]:
    """Have disks read their capacity anew; return those that have, of which there are some."""
    LOG.debug('%s', plan)
    steps = [step for step in plan.steps if step.verb is plans.Verb.READ_CAPACITY]
    _, dead = fanout.fanout(lambda step: _read_capacity(step, deadline), steps)
    for error in dead.values():
        if isinstance(error, exception.VolumeIdentityMismatch):
            raise error
    live = [step.device for step in steps if step not in dead]
    if not live:
        why = '; '.join(f'{step.device}: {error}' for step, error in dead.items())
        raise exception.VolumePathsNotFound(f'No disk of the volume answers: {why}')
    return live


def _read_capacity(step: plans.Step, deadline: wait.Deadline) -> int:
    with observe.step(step.verb, step.device):
        if not scsi.is_there(step.device, step.number or 0):
            raise OSError(f'disk {step.device} is gone')
        return refresh(step.device, deadline)


def _run(plan: plans.Growth, found: plans.Found, deadline: wait.Deadline) -> None:
    LOG.debug('%s', plan)
    for step in plan.steps:
        with observe.step(step.verb, step.device):
            match step.verb:
                case plans.Verb.REFUSE:
                    raise exception.VolumeHasShrunk(
                        device=step.device, size=step.size_bytes, before=found.size_bytes
                    )
                case plans.Verb.LEAVE_OUT:
                    multipathd.forget_disks(dict(step.disks))
                case plans.Verb.RESIZE:
                    _resize(step, deadline)


def _resize(step: plans.Step, deadline: wait.Deadline) -> None:
    """Resize a map, unless another device has its name by now.

    :raises VolumeIdentityMismatch: if one has.
    """
    actual = dm.wwid(step.device)
    if actual != step.wwid:
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{step.device}', expected=step.wwid, actual=actual or 'nothing'
        )
    multipath.resize(step.device, step.size_bytes or 0, deadline.within(RESIZE_SECONDS))


def refresh(disk: str, deadline: wait.Deadline) -> int:
    """Have the kernel read a disk's capacity anew; return it in bytes.

    :raises VolumeIdentityMismatch: if the disk is another volume by now.
    :raises PathNotReady: if it reports none.
    :raises OSError: if it is not running.
    :raises OperationTimedOut: if it does not answer.
    """
    state = scsi.state(disk)
    if state != 'running':
        raise OSError(f'disk {disk} is {state or "gone"}')
    limit = deadline.within(RESCAN_SECONDS)
    cached, above = scsi.cached_identity(disk), survey.wwid_above(disk)
    if cached.contradicts(above) or not scsi.rescan_known(disk, above, limit):
        _require_same(disk, inquiry.identity(disk, limit.limit(60)), cached, above)
        scsi.rescan(disk, limit)
    # The kernel reads the names with the capacity (Linux 4.5, scsi_rescan_device).
    _require_same(disk, scsi.cached_identity(disk), cached, above)
    size = block.size_bytes(disk)
    if not size:
        raise exception.PathNotReady(device=f'/dev/{disk}', why='it reports no capacity')
    return size


def _require_same(
    disk: str, actual: vpd.UnitIdentity, before: vpd.UnitIdentity, above: str
) -> None:
    if survey.is_stale(actual, before, above):
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{disk}', expected=survey.believed_wwid(before, above), actual=str(actual)
        )


def _smallest(disks: list[str], deadline: wait.Deadline) -> int:
    """The size of the smallest disk, once all have the same or have had time for it."""

    def agreed() -> int | None:
        sizes = {disk: block.size_bytes(disk) for disk in disks}
        if len(set(sizes.values())) == 1 and all(sizes.values()):
            return sizes[disks[0]]
        for disk in [disk for disk in disks if sizes[disk] != max(sizes.values())]:
            with contextlib.suppress(OSError, exception.OperationTimedOut):
                scsi.rescan(disk, limit)
        return None

    limit = deadline.within(SAME_SIZE_SECONDS)
    size = wait.poll(agreed, limit) or min(filter(None, map(block.size_bytes, disks)), default=0)
    if not size:
        raise exception.PathNotReady(
            device=', '.join(f'/dev/{disk}' for disk in disks), why='no capacity is reported'
        )
    return size


def reinstate(disk: str, found: str, deadline: wait.Deadline) -> bool:
    """Let a disk that was too short back into its map; returns whether it could be.

    :raises VolumeIdentityMismatch: if it is not the map's volume.
    """
    wwid = dm.wwid(found)
    actual = inquiry.identity(disk, deadline.limit(inquiry.SECONDS))
    if actual.contradicts(wwid):
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{disk}', expected=wwid, actual=str(actual)
        )
    if refresh(disk, deadline) < block.size_bytes(found):
        return False
    return not multipath.join(found, [disk], deadline.within(REINSTATE_SECONDS))
