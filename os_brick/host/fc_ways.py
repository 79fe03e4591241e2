# SPDX-License-Identifier: Apache-2.0
"""The ways to a volume over Fibre Channel: where it is, and how the kernel is told of it."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import re

from os_brick.core import files, wait
from os_brick.host import fc, scsi
from os_brick.model import addresses
from os_brick.privileged import fc as root


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """A pair of ports, and the kernel's LUN of a volume behind the far one."""

    port: fc.Port
    remote: fc.RemotePort
    lun: int

    @property
    def address(self) -> scsi.Address:
        """Where the volume is on this way.

        :raises ValueError: if the far port has no SCSI target.
        """
        if self.remote.target_id is None:
            raise ValueError(f'{self.remote} has no SCSI target')
        return scsi.Address(self.port.host, self.remote.channel, self.remote.target_id, self.lun)

    @property
    def is_usable(self) -> bool:
        """Whether LUNs can be looked for on it now."""
        return self.port.is_online and self.remote.is_usable

    def __str__(self) -> str:
        return f'LUN {self.lun} of port {self.remote.wwpn} through {self.port}'


def scan_widely(port: fc.Port, lun: int, deadline: wait.Deadline) -> None:
    """Have one adapter look for a LUN behind every target it has; it may bring other volumes.

    :raises OperationTimedOut: if it does not answer.
    :raises OSError: if it has gone.
    """
    root.scan_widely(port.host, lun, deadline.limit())


def devices_at(port: fc.Port, lun: int) -> list[scsi.Address]:
    """The devices with a LUN behind one adapter, be they disks already or not."""
    pattern = re.compile(rf'{port.host}:\d+:\d+:{lun}')
    names = (name for name in files.names('/sys/bus/scsi/devices') if pattern.fullmatch(name))
    return [scsi.Address.parse(name) for name in names]


# What differs between machines: how udev calls a disk, and how the kernel is told of a LUN.

LinkNames = Callable[[Way], list[str]]
Step = Callable[[Way, wait.Deadline], None]


def links_of_pci(way: Way) -> list[str]:
    """What udev calls a disk behind a PCI card: ``pci-0000:05:00.2-fc-0x5000...-lun-1``."""
    parts = way.port.place.split('/')
    # FCoE adapters are below the network device of the card.
    stop = next((n for n, part in enumerate(parts) if re.match(r'(host|net)', part)), 0)
    card = parts[stop - 1] if stop else ''
    if not re.fullmatch(r'[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]', card):
        return []
    first = next((n for n, part in enumerate(parts) if part.startswith('pci')), 0)
    is_platform = len(parts) > 3 and parts[3] == 'platform'
    prefix = f'platform-{parts[first - 1]}-' if is_platform and first else ''
    return [f'{prefix}pci-{card}-{_of_port(way)}']


def links_of_port(way: Way) -> list[str]:
    """What udev calls a disk whose adapter it has no name for: ``fc-0x5000...-lun-1``."""
    return [_of_port(way)]


def _of_port(way: Way) -> str:
    return f'fc-0x{way.remote.wwpn}-lun-{addresses.udev_lun(way.lun)}'


def scan(way: Way, deadline: wait.Deadline) -> None:
    """Have the kernel look for a LUN behind exactly one port.

    :raises OperationTimedOut: if it does not answer.
    :raises OSError: if the host has gone.
    """
    scsi.scan(way.address, deadline)


def forget_nothing(way: Way, deadline: wait.Deadline) -> None:
    """Do nothing: with its disk all of a LUN has gone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """How one kind of machine does it.

    :ivar link_names: udev's possible names of the disk on a way, below ``/dev/disk/by-path``.
    :ivar look: has the kernel look for the LUN of a way.
    :ivar forget: takes away what ``look`` may have made besides the disk.
    :ivar kernel_lun: the kernel's LUN for one the caller names.
    """

    link_names: LinkNames = links_of_pci
    look: Step = scan
    forget: Step = forget_nothing
    kernel_lun: Callable[[int], int] = int


PLAIN = Machine()
# The virtual adapters of PowerVM are no PCI cards; those of bare machines are.
PPC64 = Machine(link_names=lambda way: [*links_of_port(way), *links_of_pci(way)])
