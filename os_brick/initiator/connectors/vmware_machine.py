# SPDX-License-Identifier: Apache-2.0
"""The disks of a virtual machine, and which one of them is a volume's.

Types are those of the vSphere Web Services API Reference
(https://developer.broadcom.com/xapis/vsphere-web-services-api/latest/): VirtualDisk,
VirtualController and their ancestor VirtualDevice.
"""

from __future__ import annotations

from collections.abc import Iterable
import dataclasses
import re
from typing import Any

from os_brick import exception
from os_brick.initiator.connectors.vmware_session import Session
from os_brick.request.vmware import DatastorePath, VmdkRequest

# Of the two names that the disk of a volume has in turn.
_MARK = '-os-brick'


@dataclasses.dataclass(frozen=True, slots=True)
class Disk:
    """A disk of a virtual machine.

    :ivar device: the API's VirtualDisk.
    :ivar path: its file; ``None`` if that is not a file of a datastore.
    :ivar address: controller and unit, as an export names them, such as
        ``VirtualLsiLogicController0:1``; it stays when the files are moved to another datastore.
        Empty if they are not known.
    """

    device: Any
    path: DatastorePath | None
    address: str

    def __str__(self) -> str:
        return f'{self.path or "a disk without a file"} at {self.address or "an unknown address"}'


def disks(session: Session, machine: Any) -> tuple[Disk, ...]:
    """What the machine has."""
    found = session.read(machine, 'config.hardware.device')
    devices = list(getattr(found, 'VirtualDevice', None) or ())
    controllers = {getattr(each, 'key', None): each for each in devices}
    return tuple(
        Disk(each, _path(each), _address(each, controllers.get(getattr(each, 'controllerKey', 0))))
        for each in devices
        if type(each).__name__ == 'VirtualDisk'
    )


def volumes_disk(
    machine: Any, found: Iterable[Disk], volume: VmdkRequest, address: str = ''
) -> Disk:
    """The disk of a volume: the one at its path, under the other of its names, too.

    A machine whose files were moved has it at the address that it had before.

    :param address: the disk's when its volume was attached.
    :raises VolumeIdentityMismatch: if there is none; another disk of the machine is another volume.
    """
    all_ = tuple(found)
    names = {volume.disk, volume.disk.with_path(other_name(volume.disk.path))}
    same = [each for each in all_ if each.path in names]
    if not same and address:
        same = [each for each in all_ if each.path is not None and each.address == address]
    if len(same) == 1:
        return same[0]
    raise exception.VolumeIdentityMismatch.of(
        f'Virtual machine {machine.value}',
        f'a disk at {volume.disk}',
        ', '.join(map(str, all_)) or 'no disk',
    )


def other_name(path: str) -> str:
    """The name beside a disk's that it does not have now."""
    stem = re.sub(r'\.vmdk$', '', path)
    other = stem.removesuffix(_MARK) if stem.endswith(_MARK) else f'{stem}{_MARK}'
    return f'{other}.vmdk'


def _path(device: Any) -> DatastorePath | None:
    name = getattr(getattr(device, 'backing', None), 'fileName', None)
    try:
        return DatastorePath.parse(str(name))
    except ValueError:
        return None


def _address(device: Any, controller: Any) -> str:
    bus, unit = getattr(controller, 'busNumber', None), getattr(device, 'unitNumber', None)
    if bus is None or unit is None:
        return ''
    return f'{type(controller).__name__}{bus}:{unit}'
