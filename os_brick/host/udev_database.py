# SPDX-License-Identifier: Apache-2.0
"""What udev has found out about a device and written down, which is before it tells anyone.

udev writes a device's entry when the rules have been applied, then runs what they have asked for,
and only then sends its event (systemd, udev-event.c), so that those who wait for the event learn of
the device up to seconds later. A container without ``/run/udev`` shows no entry.
"""

from __future__ import annotations

from collections.abc import Iterator

from os_brick.core import files
from os_brick.host import block

_DATA = '/run/udev/data'
# What multipathd takes a disk's WWID from, unless it is configured otherwise (uid_attribute).
_WWID = 'E:ID_SERIAL='
# The link by the number that the kernel gives to one disk alone (Linux 5.15, systemd 250).
_SEQUENCE = 'S:disk/by-diskseq/'


def is_visible() -> bool:
    """Whether entries can be seen here."""
    return files.is_directory(_DATA)


def wwid(disk: str) -> str:
    """The WWID in a disk's entry; empty while there is none.

    It may be that of a disk that had the name before, until udev comes to the new one.
    """
    return next(_values(disk, _WWID), '')


def is_of_another(disk: str) -> bool | None:
    """Whether a disk's entry is that of a disk that had the name before.

    ``None`` where that cannot be told: there is no entry, or one without the disk's sequence.
    """
    noted, own = list(_values(disk, _SEQUENCE)), block.sequence(disk)
    return own not in noted if noted and own else None


def _values(disk: str, key: str) -> Iterator[str]:
    number = block.number(disk)
    text = files.read_or(f'{_DATA}/b{number}') if number else ''
    return (line.removeprefix(key) for line in text.splitlines() if line.startswith(key))
