# SPDX-License-Identifier: Apache-2.0
"""Paths to a volume over Fibre Channel: a pair of ports, and where the kernel has the LUN."""

from __future__ import annotations

import dataclasses
import re

from os_brick.core import files, wait
from os_brick.host import fc, scsi
from os_brick.privileged import fc as root


@dataclasses.dataclass(frozen=True, slots=True)
class FcPath:
    """A pair of ports, and the kernel's LUN of a volume behind the far one."""

    port: fc.Port
    remote: fc.RemotePort
    lun: int

    @property
    def address(self) -> scsi.Address:
        """The SCSI address of the volume on this path.

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
