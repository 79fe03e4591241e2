# SPDX-License-Identifier: Apache-2.0
"""What differs between platforms: udev's names for a disk, and how a LUN is made known."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import re

from os_brick.core import wait
from os_brick.host import scsi
from os_brick.host.fc_paths import FcPath
from os_brick.model import addresses

LinkNames = Callable[[FcPath], list[str]]
Step = Callable[[FcPath, wait.Deadline], None]
Look = Callable[[FcPath, wait.Deadline], scsi.Scanned | None]


def links_of_pci(path: FcPath) -> list[str]:
    """What udev calls a disk behind a PCI card: ``pci-0000:05:00.2-fc-0x5000...-lun-1``."""
    parts = path.port.place.split('/')
    # FCoE adapters are below the network device of the card.
    stop = next((n for n, part in enumerate(parts) if re.match(r'(host|net)', part)), 0)
    card = parts[stop - 1] if stop else ''
    if not re.fullmatch(r'[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]', card):
        return []
    first = next((n for n, part in enumerate(parts) if part.startswith('pci')), 0)
    is_platform = len(parts) > 3 and parts[3] == 'platform'
    prefix = f'platform-{parts[first - 1]}-' if is_platform and first else ''
    return [f'{prefix}pci-{card}-{_of_port(path)}']


def links_of_port(path: FcPath) -> list[str]:
    """What udev calls a disk whose adapter it has no name for: ``fc-0x5000...-lun-1``."""
    return [_of_port(path)]


def _of_port(path: FcPath) -> str:
    return f'fc-0x{path.remote.wwpn}-lun-{addresses.udev_lun(path.lun)}'


def scan(path: FcPath, deadline: wait.Deadline) -> scsi.Scanned | None:
    """Have the kernel look for a LUN behind exactly one port; return what reports from there.

    :raises OperationTimedOut: if it does not answer.
    :raises OSError: if the host has gone.
    """
    return scsi.scan(path.address, deadline)


def forget_nothing(path: FcPath, deadline: wait.Deadline) -> None:
    """Do nothing: with its disk all of a LUN has gone."""


@dataclasses.dataclass(frozen=True, slots=True)
class FcPlatform:
    """How a platform names disks and makes LUNs known to the kernel.

    :ivar link_names: udev's possible names for the disk on a path, below ``/dev/disk/by-path``.
    :ivar look: has the kernel look for the LUN of a path; returns what reports from there.
    :ivar forget: takes away what ``look`` may have made besides the disk.
    :ivar kernel_lun: the kernel's LUN for one the caller names.
    """

    link_names: LinkNames = links_of_pci
    look: Look = scan
    forget: Step = forget_nothing
    kernel_lun: Callable[[int], int] = int


GENERIC = FcPlatform()
# The virtual adapters of PowerVM are not PCI cards; those of bare machines are.
PPC64 = FcPlatform(link_names=lambda path: [*links_of_port(path), *links_of_pci(path)])
