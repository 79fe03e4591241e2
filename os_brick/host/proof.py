# SPDX-License-Identifier: Apache-2.0
"""The last proof before a device is handed out: it takes I/O, and who its disks are right then."""

from __future__ import annotations

from collections.abc import Collection

from os_brick.core import wait
from os_brick.host import block, inquiry, scsi
from os_brick.privileged import scsi_known as root


class Proof:
    """Asks a device until it takes I/O; keeps what its disks have reported right after that."""

    def __init__(self, disks: Collection[str] = ()) -> None:
        """Ask these disks, which are below the device or are the device."""
        self._disks = disks
        self._numbers: dict[str, int] = {}
        self._seen: dict[str, inquiry.Answer] = {}

    def why_not(self, device: str, wwid: str, timeout: float) -> Exception | None:
        """Why a device does not take I/O now, or ``None`` if it does.

        :param wwid: that of the map; empty if it is a disk.
        """
        self._seen = {}
        refusal: Exception | None = None

        def read() -> int:
            nonlocal refusal
            count, refusal = self._read(device, wwid, timeout)
            return count

        unusable = block.why_unusable(device, timeout, read)
        return refusal or unusable

    def _read(self, name: str, wwid: str, limit: float) -> tuple[int, Exception | None]:
        self._numbers = {disk: scsi.number_of(disk) for disk in self._disks}
        places = {disk: place for disk in self._disks if (place := scsi.address_of(disk))}
        status, count, every = root.prove(name, wwid, tuple(map(str, places.values())), limit)
        if status is not None and count < 0:
            return 0, OSError('it is suspended' if status[1] else 'no path is active')
        self._seen = {
            disk: inquiry.Answer(place, scsi.identity_of(disk, pages), pages)
            for (disk, place), pages in zip(places.items(), every, strict=False)
            if not isinstance(pages, int)
        }
        return count, None

    def answers(self, deadline: wait.Deadline) -> inquiry.Answers:
        """Who the disks are now: what they have reported, if the names are theirs still.

        The others are asked once more.
        """
        own = {
            disk: answer
            for disk, answer in self._seen.items()
            if scsi.is_there(disk, self._numbers[disk])
        }
        return inquiry.complete(own, self._disks, deadline)
