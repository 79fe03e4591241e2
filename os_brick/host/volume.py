# SPDX-License-Identifier: Apache-2.0
"""A SCSI volume on this host, from the moment its disks are there, whatever brought them.

Made usable (a multipath map or one disk), and taken away again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
import dataclasses
import functools
from typing import Protocol

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import fanout, wait
from os_brick.host import block, dm, multipath, scsi
from os_brick.host import disks as host_disks
from os_brick.model import vpd

LOG = logging.getLogger(__name__)

# multipathd takes the other paths a moment after the first (as fast as udev tells it of them);
# a map is usable with one, so nobody waits longer for them than this.
JOIN_SECONDS = 0.5
DELETE_SECONDS = 30.0
# Whoever claims a disk only to look at it, or to put it under its map, is done by then.
CLAIM_SECONDS = 2.0
# Whether a disk below a map is the map's volume still; a live one says so in milliseconds.
STRANGER_SECONDS = 3.0
FORGET_SECONDS = 5.0
# What a flush may leave of the deadline for the removal that follows it.
REMOVAL_RESERVE_SECONDS = 20.0


class Steps(Protocol):
    """Runs the steps of a removal; decides whether one that fails ends it."""

    def run(self, what: str, step: Callable[[], object]) -> bool:
        """Run one step; return whether it succeeded, unless its error is raised."""


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


def open_single(leg: host_disks.Disk, deadline: wait.Deadline) -> Device:
    """The device of a volume that is used through one disk.

    :raises VolumeDeviceNotFound: if it cannot be read.
    """
    _require_readable(leg.name, deadline)
    return Device(leg.name, leg.identity.wwid, is_multipath=False)


def _require_readable(name: str, deadline: wait.Deadline) -> None:
    error = block.why_unreadable(name, deadline.limit(block.READ_SECONDS))
    if error is not None:
        raise exception.VolumeDeviceNotFound(
            f'Device /dev/{name} is there and cannot be read: {error}'
        ) from error


def open_multipath(
    legs: list[host_disks.Disk], ready_seconds: float, deadline: wait.Deadline
) -> Device:
    """The multipath map over the disks of a volume, once it takes I/O.

    :param ready_seconds: how long its first path may still be in activation (ALUA, a slow
        checker) when the map is there.

    :raises NotClaimed: if multipathd refuses to make a map of them.
    :raises OperationTimedOut: if it makes none in time.
    :raises VolumeDeviceNotFound: if the map takes no I/O in time.
    """
    identity = legs[0].identity
    disks = [leg.name for leg in legs]
    if not identity.wwid:
        raise multipath.NotClaimed(disks=', '.join(disks), why='they have no WWID')
    found = multipath.build(identity, disks, deadline)
    missing = multipath.join(found, disks, deadline.within(JOIN_SECONDS))
    if missing:
        LOG.info('Map %s works without %s so far', found, ', '.join(sorted(missing)))
    _put_out_strangers(found, identity, disks, deadline)
    require_ready(found, deadline.within(ready_seconds))
    _tell_of_read_only_disks(found, disks)
    return Device(found, identity.wwid, is_multipath=True)


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


def _put_out_strangers(
    found: str, identity: vpd.Identity, own: list[str], deadline: wait.Deadline
) -> None:
    """Take disks out of a volume's map that say that they are another volume, and remove them.

    They were the volume until the array gave their LUN to another one, on ways that nobody has
    named now; multipathd believes what it heard then, and would write to them.

    :raises VolumeIdentityMismatch: if somebody uses such a disk besides the map.
    """
    wwid = dm.wwid(found)
    known = [disk for disk, each in multipath.known_disks().items() if each == wwid]
    asked = [
        disk
        for disk in dict.fromkeys([*block.members(found), *known])
        if disk not in own and scsi.is_running(disk)
    ]
    devices = {disk: scsi.number_of(disk) for disk in asked}
    limit = deadline.within(STRANGER_SECONDS)
    actual, errors = fanout.fanout(lambda disk: scsi.identity(disk, limit.limit()), asked)
    for disk in asked:
        error = errors.get(disk)
        if error is None and not actual[disk].is_another(identity):
            continue
        if error is not None and not isinstance(error, scsi.NothingMapped):
            LOG.warning('Disk %s below map %s does not report its identity: %s', disk, found, error)
            continue
        said = str(error or actual[disk])
        LOG.warning('Disk %s below map %s of %s is removed: %s', disk, found, identity, said)
        users = block.users(disk, frozenset(dm.multipaths_over([disk])))
        if users:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{disk}',
                expected=str(identity),
                actual=said,
                holder='; '.join(users),
            )
        multipath.forget_disks({disk: devices[disk]})
        scsi.remove(disk, deadline, devices[disk])


def require_ready(found: str, deadline: wait.Deadline) -> None:
    """Wait until a map takes I/O.

    :raises VolumeDeviceNotFound: if it does not.
    """
    why: str | None = None

    def is_ready() -> bool:
        nonlocal why
        why = multipath.why_not_ready(found, deadline.limit(block.READ_SECONDS))
        return why is None

    if not wait.holds(is_ready, deadline):
        raise exception.VolumeDeviceNotFound(f'Map /dev/{found} takes no I/O: {why}')


def disks_of(disks: Collection[str], wwid: str | None = None) -> list[str]:
    """The disks, and all others of the volume below their multipath maps.

    :param wwid: the volume's; ``None`` if all below the maps are its own.
    """
    below = [disk for found in dm.multipaths_over(disks) for disk in block.members(found)]
    more = [disk for disk in below if disk not in disks]
    own = [disk for disk in more if wwid is None or host_disks.belongs_to(disk, wwid)]
    return list(dict.fromkeys([*disks, *own]))


def remove(
    disks: Collection[str], wwid: str | None, steps: Steps, deadline: wait.Deadline, *, force: bool
) -> None:
    """Take a volume away: flush it, remove its map, have the kernel forget its disks.

    Nothing is deleted before the data is safe, unless ``force`` is given.

    :param wwid: the volume's, for a map that has lost all its disks; ``None`` if unknown.
    :raises VolumeInUse: if somebody else holds it, without ``force``.
    """
    steps.run('check for users', lambda: _refuse_users(disks, wwid))
    maps = _maps_over(disks, wwid)
    if not maps:
        # It hears of new disks late; it must not build a map over one that is about to go.
        multipath.forget_disks({disk: scsi.number_of(disk) for disk in disks})
        maps = _maps_over(disks, wwid)
    disks = disks_of(disks, wwid)
    known = {wwid or '', *map(dm.wwid, maps)} - {''} or {scsi.first_wwid(disks) or ''}
    for found in maps:
        resume = functools.partial(multipath.resume_if_suspended, dm.wwid(found), deadline)
        steps.run(f'resume of {found}', resume)
    devices = {disk: scsi.number_of(disk) for disk in disks}
    # Another volume's map, to which disks of this one have stuck, only loses these.
    own = [found for found in maps if set(block.members(found)) <= set(disks)]
    is_released = _write_back(own, disks, steps, deadline, force)
    if maps:
        multipath.forget_disks(devices)
    steps.run('removal of disks', lambda: _delete(devices, deadline))
    steps.run('multipathd', lambda: wait_forgotten(devices, deadline))
    if is_released:
        for each in known - {''}:
            late = functools.partial(_release_late_map, each, deadline)
            steps.run('removal of a late map', late)
    for each in known - {''}:
        forget = functools.partial(multipath.forget_unmapped, each)
        steps.run(f'removal of WWID {each}', forget)


def _write_back(
    maps: list[str],
    disks: Collection[str],
    steps: Steps,
    deadline: wait.Deadline,
    force: bool,
) -> bool:
    """Flush a volume and remove its maps; return whether it has none any more."""
    flushable = _flushable(disks)
    alive = {found: [d for d in block.members(found) if d in flushable] for found in maps}
    # A map none of whose disks is its volume any more is not what was written through.
    for disk in flushable if not any(alive.values()) else ():
        steps.run(f'flush of {disk}', functools.partial(_flush_disk, disk, deadline, force))
    is_released = True
    for found in maps:
        if alive[found]:
            flush = functools.partial(_flush_map, found, deadline, force=force)
            steps.run(f'flush of {found}', flush)
        given_up = force or not alive[found]
        release = functools.partial(
            multipath.release, found, dm.wwid(found), deadline, give_up_io=given_up
        )
        is_released &= steps.run(f'removal of {found}', release)
    return is_released


def _release_late_map(wwid: str, deadline: wait.Deadline) -> None:
    """Remove the map that multipathd has built over a disk it just heard of while that went.

    So goes another volume's map, if the disk that had stuck to it was its last.
    """
    for late in _maps_over((), wwid):
        multipath.release(late, wwid, deadline, give_up_io=True)


def _maps_over(disks: Collection[str], wwid: str | None) -> list[str]:
    """The maps over the disks; by its WWID alone only one that has no disk left is the volume's.

    The WWID may come from a path that has been used again for another volume.
    """
    maps = dm.multipaths_over(disks)
    bare = dm.multipath_of(wwid) if wwid else None
    if bare is None or bare in maps:
        return maps
    # Disks that have gone stay in its list until multipathd has heard of it.
    if any(block.exists(disk) for disk in block.members(bare)):
        LOG.warning(
            'Map %s of %s is left alone: none of its disks is on a path that was given', bare, wwid
        )
        return maps
    return [*maps, bare]


def _refuse_users(disks: Collection[str], wwid: str | None) -> None:
    users: list[str] = []

    def is_idle() -> bool:
        users[:] = _users(disks, wwid)
        return not users

    # multipathd may be building the volume's own map, and udev may look at a disk.
    if not wait.holds(is_idle, wait.Deadline.after(CLAIM_SECONDS)):
        names = _maps_over(disks, wwid) or disks_of(disks, wwid)
        device = ', '.join(f'/dev/{name}' for name in names)
        raise exception.VolumeInUse(device=device, holder='; '.join(users))


def _users(disks: Collection[str], wwid: str | None) -> list[str]:
    disks = disks_of(disks, wwid)
    # multipathd may build a map at any moment: a holder that is one is the volume's own.
    maps = _maps_over(disks, wwid)
    users = [user for disk in disks for user in block.users(disk, frozenset(maps))]
    for found in maps:
        users += host_disks.map_users(found)
        if not set(block.members(found)) <= set(disks):
            users += multipath.opened(found, dm.wwid(found))
    if not users and not maps:
        users = [user for disk in disks for user in block.claimant(disk)]
    return users


def _flushable(disks: Collection[str]) -> list[str]:
    """The disks that are still the volume their cache is of, or that do not say.

    After the array has given the LUN to another volume a flush would write into that one, be it
    that the kernel has heard of it and the map above has not; where it maps nothing any more
    there is nothing to flush to.
    """
    running = [disk for disk in disks if scsi.is_running(disk)]
    actual, errors = fanout.fanout(scsi.identity, running)
    found = [disk for disk in disks if disk not in running]
    for disk in running:
        cached, error = scsi.cached_identity(disk), errors.get(disk)
        is_another = error is None and (
            actual[disk].is_another(cached) or cached.contradicts(host_disks.wwid_above(disk))
        )
        if is_another or isinstance(error, scsi.NothingMapped):
            LOG.warning('Disk %s (%s) is not flushed: %s', disk, cached, error or actual[disk])
        else:
            found.append(disk)
    return found


def _flush_map(found: str, deadline: wait.Deadline, *, force: bool) -> None:
    if not dm.status(dm.uuid(found)).active_paths:
        if force:
            multipath.stop_queueing(dm.wwid(found), dm.name(found))
        raise exception.VolumeDeviceNotFound(
            f'Map {found} has no path left to write back by what its cache may hold'
        )
    _flush(found, f'Map {found}', flush_limit(deadline, force))


def _flush_disk(disk: str, deadline: wait.Deadline, force: bool) -> None:
    if force and not scsi.is_running(disk):
        raise exception.VolumeDeviceNotFound(f'Disk {disk} is {scsi.state(disk)}: not flushed')
    _flush(disk, f'Disk {disk} ({scsi.state(disk)})', flush_limit(deadline, force))


def _flush(name: str, what: str, seconds: float) -> None:
    try:
        block.flush(name, seconds)
    except OSError as error:
        raise exception.VolumeDeviceNotFound(
            f'{what} does not take what its cache may hold: {error}'
        ) from error


def flush_limit(deadline: wait.Deadline, force: bool) -> float:
    """How long a flush may take in seconds, so that the removal after it has its time, too."""
    left = deadline.remaining
    return max(1.0, left / 3 if force else left - REMOVAL_RESERVE_SECONDS)


def _delete(devices: dict[str, int], deadline: wait.Deadline) -> None:
    limit = deadline.within(DELETE_SECONDS)
    _, errors = fanout.fanout(lambda disk: scsi.remove(disk, limit, devices[disk]), devices)
    if errors:
        raise exception.VolumePathNotRemoved(
            volume_path=[f'/dev/{disk}: {error}' for disk, error in errors.items()]
        )


def wait_forgotten(devices: dict[str, int], deadline: wait.Deadline) -> None:
    """Wait until multipathd has forgotten the disks: it would hold on to the next ones' names.

    :param devices: the number that each disk had; a new disk may have its name by now.
    :raises MultipathdPathsNotRemoved: if it has not.
    """

    def still_known() -> list[str]:
        known = multipath.known_disks()
        return [d for d, number in devices.items() if d in known and scsi.has_gone(d, number)]

    def is_forgotten() -> bool:
        left = still_known()
        # A new disk may have the name by now; that one multipathd is to keep.
        multipath.forget_disks({disk: 0 for disk in left if not block.exists(disk)})
        return not left

    if not wait.holds(is_forgotten, deadline.within(FORGET_SECONDS)):
        left = [disk for disk in still_known() if not block.exists(disk)]
        if left:
            raise exception.MultipathdPathsNotRemoved(devices=left)
