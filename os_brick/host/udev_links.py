# SPDX-License-Identifier: Apache-2.0
"""Links that udev makes to devices: names that survive a reboot, unlike the kernel's own.

A link is a hint and not a proof: after an array has given a LUN to another volume the same link
leads to that one. Identity decides what a device is.
"""

from __future__ import annotations

from collections.abc import Sequence

from os_brick.core import files, wait
from os_brick.host import dm

BY_PATH = '/dev/disk/by-path'
_BY_ID = '/dev/disk/by-id'
# udev makes a device's links a moment after the kernel's device is there.
LINK_SECONDS = 5.0


def of_map(name: str) -> str:
    """Return the link to a multipath map by its UUID (udev rules of device-mapper: dm-uuid-*)."""
    return f'{_BY_ID}/dm-uuid-mpath-{dm.wwid(name)}'


def leading_to(device: str, links: Sequence[str], deadline: wait.Deadline) -> str | None:
    """Return the first of the links that leads to a device, once there is one.

    :param device: the device node.
    :return: ``None`` if none leads there in time; with no links at once.
    """

    def found() -> str | None:
        return next((link for link in links if files.realpath(link) == device), None)

    return wait.poll(found, deadline.within(LINK_SECONDS)) if links else None
