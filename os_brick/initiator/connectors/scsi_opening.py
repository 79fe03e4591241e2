# SPDX-License-Identifier: Apache-2.0
"""The opening of ways to a SCSI volume: ways that bring disks, which a multipath map holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from os_brick.core import background, wait
from os_brick.host import dm, multipath, scsi, volume
from os_brick.host import legs as host_legs
from os_brick.initiator.connectors import base, opening


class HasLegs(Protocol):
    """What a way has brought."""

    @property
    def legs(self) -> tuple[host_legs.Leg, ...]:
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

    def joins(self, wwid: str) -> None:
        """Have the ways that are missing join the map of the volume whenever they can."""
        self._wwid = wwid
        self.keep_joining()

    def _is_here(self, besides: object = None) -> bool:
        return dm.multipath_of(self._wwid) is not None

    def _join(self, brought: Brought, deadline: wait.Deadline) -> None:
        for leg in brought.legs:
            host_legs.require_expected(leg, self._wwid)
        found = dm.multipath_of(self._wwid)
        if found is not None:
            multipath.join(found, [leg.disk for leg in brought.legs], deadline)

    def _before_taking_back(self, brought: list[Brought], deadline: wait.Deadline) -> None:
        """Remove the map of a volume whose attach has failed, if it has no other disks."""
        disks = [leg.disk for leg in _new_legs(brought)]
        found = dm.multipath_over(disks)
        if found is not None and set(volume.disks_of(disks)) <= set(disks):
            steps = base.Teardown(base.OnError.IGNORE)
            volume.remove(disks, None, steps, deadline, force=True)
            steps.end()

    def _after_taking_back(self, brought: list[Brought]) -> None:
        for wwid in {leg.identity.wwid for leg in _new_legs(brought)} - {''}:
            if dm.multipath_of(wwid) is None:
                multipath.forget(wwid)


def _new_legs(brought: Sequence[HasLegs]) -> list[host_legs.Leg]:
    return [leg for one in brought for leg in one.legs if leg.is_new]


def delete_disk_at(place: scsi.Address, seconds: float) -> None:
    """Remove the disk that a scan of ours has brought, be it after its time or not."""
    number, disk = scsi.number_at(place), scsi.disk_at(place)
    if disk is not None:
        multipath.forget_disks([disk])
        scsi.remove(disk, wait.Deadline.after(seconds), number)


def readmit_later(key: str, disk: str, found: str) -> None:
    """Have a disk that was dead while its volume grew come back into the map when it can."""
    wwid = dm.wwid(found)

    def step() -> bool:
        if dm.wwid(found) != wwid:
            return True
        return volume.readmit(disk, found, wait.Deadline.after(opening.LATE_SECONDS))

    what = f'{disk} comes back into map {found}'
    background.follow(key, what, step, opening.RETRY_PAUSES)
