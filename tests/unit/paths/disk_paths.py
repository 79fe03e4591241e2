# SPDX-License-Identifier: Apache-2.0
"""A transport whose paths are disks that are there: for tests of what is made of open paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import contextlib
import dataclasses

from os_brick import exception
from os_brick.core import locks, operation, undo, wait
from os_brick.host import disks, scsi
from os_brick.model import settings
from os_brick.paths import scsi_undo
from os_brick.paths.attempt import Attempt
from tests.unit.fakehost.host import Host

KEY = 'disks'
SETTINGS = settings.Settings(operation_seconds=60.0)


@dataclasses.dataclass(frozen=True)
class Open:
    """A path that is open."""

    path: str
    disks: tuple[disks.Disk, ...]


def disk(host: Host, name: str, *, is_new: bool = False) -> disks.Disk:
    """A disk as it reports itself now."""
    place = scsi.Address.parse(host.disks[name].address)
    found = disks.find(place, disks.Scans(lambda: None, []), wait.Deadline.after(30), is_new=False)
    return dataclasses.replace(found, is_new=is_new)


@undo.verb
def leave(address: str, seconds: float) -> None:
    """Remove the disk of a path."""
    scsi_undo.delete_new_disk(scsi.Address.parse(address), seconds)


class Driver:
    """Opens a path by the name of its disk; the disk counts as new where that is wanted."""

    def __init__(self, host: Host, *, is_new: bool = False) -> None:
        self.host = host
        self.is_new = is_new
        self.prepared: list[list[str]] = []

    def reachable(self, path: str, deadline: wait.Deadline, *, ask: bool) -> bool:
        return True

    def open(self, path: str, attempt: Attempt) -> Open:
        attempt.begin()
        if path not in self.host.disks:
            raise exception.VolumeDeviceNotFound(device=path)
        found = disk(self.host, path, is_new=self.is_new)
        if self.is_new:
            attempt.made.add(leave, str(found.address), 20.0)
        return Open(path, (found,))

    def own_disks(self, opened: Sequence[Open], exclude: Callable[[str], None]) -> list[disks.Disk]:
        return [each for one in opened for each in one.disks]

    def prepare(self, found: Sequence[disks.Disk], deadline: wait.Deadline) -> None:
        assert not self.host.maps  # A map over disks that are not prepared would stay so.
        self.prepared.append([each.name for each in found])

    def summary(self, texts: list[str], errors: list[Exception]) -> Exception:
        return exception.VolumeDeviceNotFound('; '.join(texts))


def begin() -> contextlib.AbstractContextManager[operation.Operation]:
    """An operation."""
    return operation.begin('connect', {}, (locks.VOLUME, KEY), SETTINGS)
