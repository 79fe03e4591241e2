# SPDX-License-Identifier: Apache-2.0
"""The extend of a SCSI volume: its growth, and the disks that could not grow with it."""

from __future__ import annotations

from collections.abc import Collection
import threading

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import background, locks, operation, wait
from os_brick.host import dm, scsi, scsi_growth
from os_brick.paths import path_set

LOG = logging.getLogger(__name__)


def grow(disks: Collection[str], op: operation.Operation) -> int:
    """Have a volume on this host show its size now; return it in bytes.

    A disk that was dead meanwhile comes back into the map when it can.
    """
    size, short = scsi_growth.grow(disks, op.deadline)
    found = dm.multipath_over(disks)
    for disk in short if found else ():
        reinstate_later(op.key, disk, found or '')
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
