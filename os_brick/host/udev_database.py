# SPDX-License-Identifier: Apache-2.0
"""What udev has found out about a device and written down, which is before it tells anyone.

udev writes a device's entry when the rules have been applied, then runs what they have asked for,
and only then sends its event (systemd, udev-event.c), so that those who wait for the event learn of
the device up to seconds later. A container without ``/run/udev`` shows no entry.
"""

from __future__ import annotations

from os_brick.core import files
from os_brick.host import block

_DATA = '/run/udev/data'
# What multipathd takes a disk's WWID from, unless it is configured otherwise (uid_attribute).
_WWID = 'E:ID_SERIAL='


def is_visible() -> bool:
    """Whether entries can be seen here."""
    return files.is_directory(_DATA)


def wwid(disk: str) -> str:
    """The WWID in a disk's entry; empty while there is none.

    It may be that of a disk that had the name before, until udev comes to the new one.
    """
    number = block.number(disk)
    text = files.read_or(f'{_DATA}/b{number}') if number else ''
    found = (line for line in text.splitlines() if line.startswith(_WWID))
    return next(found, '').removeprefix(_WWID)
