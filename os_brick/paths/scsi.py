# SPDX-License-Identifier: Apache-2.0
"""SCSI volumes: what paths that bring disks are put together to, and what takes disks away."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
import contextlib
import threading
from typing import Generic, Protocol, TypeVar

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import background, handed, locks, operation, undo, wait
from os_brick.host import block, dm, idle, multipath, multipathd, scsi, scsi_growth, volume
from os_brick.host import disks as host_disks
from os_brick.paths import driver as drivers
from os_brick.paths import engine, path_set, scsi_removal
from os_brick.plans import paths as plans

LOG = logging.getLogger(__name__)
P = TypeVar('P')

# How long multipathd may take to finish what it is at, after an attach that has failed: it may
# be what has made it fail.
_SETTLE_SECONDS = 1.0
# How long another operation on the same volume, by other paths, is waited for to forget its WWID.
_FORGET_SECONDS = 5.0


class HasDisks(Protocol):
    """An open path to a SCSI volume."""

    @property
    def disks(self) -> tuple[host_disks.Disk, ...]:
        """Its disks."""


OpenO = TypeVar('OpenO', bound=HasDisks)
Prepare = Callable[[list[host_disks.Disk], wait.Deadline], None]


def _nothing(disks: list[host_disks.Disk], deadline: wait.Deadline) -> None:
    """Need no preparation."""


class MultipathMap(Generic[OpenO]):
    """The multipath map of a volume over the disks of its paths.

    ``wwid`` and ``_map`` are written once, by the attach, before any late path is added.
    """

    def __init__(self) -> None:
        self.wwid = ''
        self._map = ''  # Its WWID: multipath.conf may have multipathd take another than ours.

    def build(self, disks: list[host_disks.Disk], op: operation.Operation) -> volume.Device:
        """Have multipathd build it; return it once it takes I/O.

        :raises NotClaimed: if multipathd refuses.
        """
        with _proven(disks, disks[0].identity.wwid, op.work):
            device = volume.open_multipath(disks, op.settings.map_ready_seconds, op.work)
            _hand_out(disks, op.undo)
        self.wwid, self._map = device.wwid, dm.wwid(device.name)
        return device

    def add(self, opened: OpenO, deadline: wait.Deadline) -> None:
        """Give a late path to the volume.

        Its disks are asked who they are once more right before multipathd is, and once they are in
        the map: since their first answer the volume's lock, and an assembly, were waited for.

        :raises VolumeIdentityMismatch: if it leads to another volume.
        :raises VolumeDeviceNotFound: if the map has gone meanwhile.
        """
        disks = list(opened.disks)
        for disk in disks:
            host_disks.require_expected(disk, self.wwid)
        with _proven(disks, self.wwid, deadline):
            found = dm.multipath_of(self._map)
            if found is None:
                raise exception.VolumeDeviceNotFound(device=f'multipath map {self._map}')
            host_disks.confirm(disks, deadline)
            left = multipath.join(found, [each.name for each in disks], deadline)
            host_disks.confirm(disks, deadline)
        if left:
            LOG.warning('multipathd has not taken %s into %s yet', ', '.join(left), found)

    def is_present(self, *, without: OpenO | None = None) -> bool:
        """Whether the map is still here."""
        return dm.multipath_of(self._map) is not None

    def before(self, opened: Sequence[OpenO], seconds: float) -> list[undo.Step]:
        """Remove the maps over new disks, if they have no others."""
        disks = [each.name for each in _new(opened)]
        return [undo.Step(discard_maps, (disks, seconds))] if disks else []

    def after(self, opened: Sequence[OpenO]) -> list[undo.Step]:
        """Forget the WWID of the volume, if no map has it."""
        wwids = sorted({each.identity.wwid for each in _new(opened)} - {''})
        return [undo.Step(forget_wwids, (wwids,))] if wwids else []


@contextlib.contextmanager
def _proven(disks: list[host_disks.Disk], wwid: str, deadline: wait.Deadline) -> Iterator[None]:
    """Keep away a detach of the same volume by paths with another name, and see what it has left.

    :param wwid: the volume's.

    :raises VolumeDeviceNotFound: if a disk has been removed since it was verified.
    """
    with locks.hold_identity(wwid, deadline):
        gone = [each.name for each in disks if scsi.disk_at(each.address) != each.name]
        if gone:
            raise exception.VolumeDeviceNotFound(
                f'The disks {", ".join(gone)} were removed while the volume was attached'
            )
        yield


def _open_single(
    disk: host_disks.Disk, deadline: wait.Deadline, *steps: undo.Undo
) -> volume.Device:
    device = volume.open_single(disk, deadline)
    _hand_out([disk], *steps)
    return device


def _hand_out(disks: list[host_disks.Disk], *steps: undo.Undo) -> None:
    """Have no other attach take back disks that it has scanned, from now on.

    The caller holds their identity, as does one that takes back (:func:`delete_new_disk`).

    :param steps: what takes back the attach itself, which then begins with this.
    """
    mark = handed.Mark({disk.name: scsi.number_of(disk.name) for disk in disks})
    for each in steps:
        each.add(handed.drop, mark.name)


def _new(opened: Sequence[HasDisks]) -> list[host_disks.Disk]:
    return [each for each in disks_of(opened) if each.is_new]


def disks_of(opened: Sequence[HasDisks]) -> list[host_disks.Disk]:
    """The disks of open paths, in their order."""
    return [each for one in opened for each in one.disks]


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
        with locks.hold_identity(wwid, wait.Deadline.after(_FORGET_SECONDS)):
            multipathd.forget_unmapped(wwid)


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
    is_mapped = bool(dm.multipaths_over([disk]))
    require_unused(disk)
    # The other paths wait for the identity meanwhile, and have no more time than this one: one that
    # waited for all of a hung multipathd's five seconds would leave them none.
    multipathd.forget_disks({disk: number}, deadline.limit(deadline.remaining / 2))
    if is_mapped:  # By another process it can have been claimed only since.
        require_unused(disk)
    scsi.remove(disk, deadline, number)


def require_unused(disk: str) -> None:
    """Have nothing use a disk, or a map that has no other disk, and no other attach have it.

    :raises VolumeInUse: if something does.
    """
    maps = dm.multipaths_over([disk])
    if handed.is_handed_out(scsi.number_of(disk)):
        raise exception.VolumeInUse(
            device=f'/dev/{disk}', holder='another attach of the same volume has returned it'
        )
    users = block.users(disk, frozenset(maps))
    for found in maps:
        if block.members(found) == [disk]:
            users += multipath.opened(found, dm.wwid(found))
    if users:
        raise exception.VolumeInUse(device=f'/dev/{disk}', holder='; '.join(users))
    if not maps:  # A map claims its disks.
        idle.require_free([disk])


def attach_first(
    driver: drivers.Driver[P, OpenO],
    paths: Sequence[P],
    key: str,
    op: operation.Operation,
    prepare: Prepare = _nothing,
) -> volume.Device:
    """Use the first path that leads to a readable disk.

    :raises BrickException: if none does.
    """

    def use(opened: OpenO, deadline: wait.Deadline, alone: undo.Undo) -> volume.Device:
        prepare(list(opened.disks), deadline)
        with _proven(list(opened.disks), opened.disks[0].identity.wwid, op.work):
            return _open_single(opened.disks[0], op.work, alone, op.undo)

    assembly: MultipathMap[OpenO] = MultipathMap()
    return engine.open_first(driver, assembly, paths, key, op, use)


Select = Callable[[path_set.PathSet[P, OpenO], list[OpenO]], list[host_disks.Disk]]


def attach_all(
    driver: drivers.Driver[P, OpenO],
    paths: Sequence[P],
    policy: plans.Policy,
    key: str,
    op: operation.Operation,
    select: Select[P, OpenO],
    prepare: Prepare = _nothing,
) -> volume.Device:
    """Use all paths through a multipath map, which the missing ones join later.

    One disk where multipathd refuses to make a map.

    :param select: the disks of the volume among those of the open paths.
    """
    assembly: MultipathMap[OpenO] = MultipathMap()
    paths_open, opened = engine.open_all(driver, assembly, paths, policy, key, op)
    disks = select(paths_open, opened)
    host_disks.require_same_volume(disks)
    prepare(disks, op.work)
    try:
        device = assembly.build(disks, op)
    except multipath.NotClaimed as error:
        LOG.warning('One path is used: %s', error)
        paths_open.keep()
        with _proven(disks[:1], disks[0].identity.wwid, op.work):
            return _open_single(disks[0], op.work, op.undo)
    paths_open.add_in_background()
    return device


def grow(key: str, disks: Collection[str], deadline: wait.Deadline) -> int:
    """Have a volume on this host show its size now; return it in bytes.

    A disk that was dead meanwhile comes back into the map when it can.

    :param key: what the volume is locked by.
    """
    size, short = scsi_growth.grow(disks, deadline)
    found = dm.multipath_over(disks)
    for disk in short if found else ():
        reinstate_later(key, disk, found or '')
    return size


def reinstate_later(key: str, disk: str, found: str) -> None:
    """Have a disk that was dead while its volume grew come back into the map when it can."""
    wwid, number = dm.wwid(found), scsi.number_of(disk)
    identity = scsi.cached_identity(disk).wwid or wwid

    def is_over() -> bool:
        # The name may be another volume's disk by now; this one never comes back then.
        return dm.wwid(found) != wwid or not scsi.is_there(disk, number)

    def step(called_off: threading.Event) -> bool:
        if is_over():
            return True
        deadline = wait.Deadline.after(path_set.LATE_SECONDS)
        with (
            locks.hold(locks.VOLUME, key, deadline),
            locks.hold_identity(identity, deadline),
        ):
            if called_off.is_set() or is_over():
                return True
            try:
                return scsi_growth.reinstate(disk, found, deadline)
            except exception.VolumeIdentityMismatch as error:
                LOG.warning('%s does not come back into map %s: %s', disk, found, error)
                return True

    what = f'{disk} comes back into map {found}'
    background.follow([key, wwid, identity], what, step, path_set.RETRY_PAUSES)
