# SPDX-License-Identifier: Apache-2.0
"""The opening of ways to a SCSI volume: ways that bring disks, which a multipath map holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeVar

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import background, operation, teardown, wait
from os_brick.core import undo as core_undo
from os_brick.host import block, dm, multipath, scsi, scsi_growth, volume
from os_brick.host import disks as host_disks
from os_brick.paths import engine as opening
from os_brick.plans import paths as plans

LOG = logging.getLogger(__name__)

# How long multipathd may take to finish what it is at, after an attach that has failed: it may
# be what has made it fail.
_SETTLE_SECONDS = 1.0


class HasLegs(Protocol):
    """What a way has brought."""

    @property
    def legs(self) -> tuple[host_disks.Disk, ...]:
        """Its disks."""


Way = TypeVar('Way')
Brought = TypeVar('Brought', bound=HasLegs)


class Opening(opening.Opening[Way, Brought]):
    """The opening of all ways to a SCSI volume for one attach."""

    def __init__(
        self, key: str, ways: Sequence[Way], deadline: wait.Deadline, clean_up_seconds: float
    ) -> None:
        super().__init__(key, ways, deadline, clean_up_seconds)
        self._wwid = ''
        self._map = ''  # Its WWID: multipath.conf may have multipathd take another than ours.

    def prepare(self, legs: list[host_disks.Disk], deadline: wait.Deadline) -> None:
        """Have the disks of the volume be such that they can be used."""

    def device_of(self, legs: list[host_disks.Disk], op: operation.Operation) -> volume.Device:
        """The map over the disks of the volume, which the ways that are missing join later.

        One disk where multipathd refuses to make a map.
        """
        self.prepare(legs, op.work)
        try:
            device = volume.open_multipath(legs, op.settings.map_ready_seconds, op.work)
        except multipath.NotClaimed as error:
            LOG.warning('One path is used: %s', error)
            self.stop()
            return volume.open_single(legs[0], op.work)
        self._wwid, self._map = device.wwid, dm.wwid(device.name)
        self.keep_joining()
        return device

    def _is_fatal(self, error: Exception) -> bool:
        return isinstance(error, exception.VolumeIdentityMismatch)

    def _is_here(self, besides: object = None) -> bool:
        return dm.multipath_of(self._map) is not None

    def _join(self, brought: Brought, deadline: wait.Deadline) -> None:
        for leg in brought.legs:
            host_disks.require_expected(leg, self._wwid)
        found = dm.multipath_of(self._map)
        if found is not None:
            multipath.join(found, [leg.name for leg in brought.legs], deadline)

    def _before_taking_back(self, brought: list[Brought], deadline: wait.Deadline) -> None:
        """Remove the maps of a volume whose attach has failed, if they have no other disks."""
        disks = [leg.name for leg in _new_legs(brought)]
        for found in dm.multipaths_over(disks):
            below = block.members(found)
            if set(below) <= set(disks):
                steps = teardown.Teardown(teardown.OnError.IGNORE)
                volume.remove(below, None, steps, deadline, force=True)
                steps.end()

    def _after_taking_back(self, brought: list[Brought]) -> None:
        wwids = {leg.identity.wwid for leg in _new_legs(brought)} - {''}
        if wwids:
            # multipathd notes a WWID after it has made the map, and answers when it is done.
            multipath.known_disks(_SETTLE_SECONDS)
        for wwid in wwids:
            multipath.forget_unmapped(wwid)


def _new_legs(brought: Sequence[HasLegs]) -> list[host_disks.Disk]:
    return [leg for leg in legs_of(brought) if leg.is_new]


def attach_first(
    ways: Sequence[Way],
    opening_of: Callable[[Way, wait.Deadline], Opening[Way, Brought]],
    undo: core_undo.Undo,
    deadline: wait.Deadline,
) -> volume.Device:
    """Use the first way that leads to a readable disk; each has its share of the time.

    :raises BrickException: if none does: the error that decides, or all of them in one.
    """
    failures: list[Exception] = []
    for number, way in enumerate(ways):
        share = deadline.leaving(1 - 1 / (len(ways) - number))
        one = opening_of(way, share)
        try:
            with core_undo.Undo() as undo_way:
                undo_way.add(one.abandon)
                legs = legs_of(one.run())
                one.prepare(legs, share)
                device = volume.open_single(legs[0], deadline)
        except Exception as error:  # noqa: BLE001 the next way may be better
            LOG.warning('%s cannot be used: %s', way, error)
            failures.append(error)
        else:
            undo.add(one.abandon)
            return device
    deciding = plans.deciding_error(failures, one.deciding)
    if deciding is not None:
        raise deciding
    raise one.summary([str(error) for error in failures], failures) from failures[0]


def legs_of(brought: Sequence[HasLegs]) -> list[host_disks.Disk]:
    """The disks that ways have brought, in their order."""
    return [leg for one in brought for leg in one.legs]


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


def delete_disk_at(place: scsi.Address, seconds: float) -> None:
    """Remove the disk that a scan of ours has brought, be it after its time or not."""
    number, disk = scsi.number_at(place), scsi.disk_at(place)
    if disk is not None:
        multipath.forget_disks({disk: number})
        scsi.remove(disk, wait.Deadline.after(seconds), number)


def reinstate_later(key: str, disk: str, found: str) -> None:
    """Have a disk that was dead while its volume grew come back into the map when it can."""
    wwid = dm.wwid(found)

    def step() -> bool:
        if dm.wwid(found) != wwid:
            return True
        return scsi_growth.reinstate(disk, found, wait.Deadline.after(opening.LATE_SECONDS))

    what = f'{disk} comes back into map {found}'
    background.follow(key, what, step, opening.RETRY_PAUSES)
