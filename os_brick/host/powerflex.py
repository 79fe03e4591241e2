# SPDX-License-Identifier: Apache-2.0
"""PowerFlex's client on this host (SDC, the module scini), and its volumes as block devices.

A volume is found by the link that the client's udev rule makes, which has the IDs of the system and
of the volume in its name: ``/dev/disk/by-id/emc-vol-<system>-<volume>``. The client shows them
nowhere else, so the link is what identifies a device.
"""

from __future__ import annotations

import dataclasses
import re

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files, wait
from os_brick.host import block
from os_brick.model import powerflex
from os_brick.privileged import scaleio as root

LOG = logging.getLogger(__name__)

BY_ID = '/dev/disk/by-id'
_LINK = re.compile(r'emc-vol-(?P<system>[0-9A-Fa-f]+)-(?P<volume>[0-9A-Fa-f]{16})')
# What the client calls its devices: scinia, scinib.
_NAME = 'scini'

# udev's workers are done with a device within seconds.
_BUSY_SECONDS = 3.0
# How long the client may take to remove the device of a volume that is mapped to it no more.
GONE_SECONDS = 20.0
# How long a new size may take where no one tells which it is to be.
GROWTH_SECONDS = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """Which volume is meant.

    :ivar id: its ID, in lower case; volumes of two systems may have the same one.
    :ivar system: the ID of its system, in lower case; ``None`` where nothing reports it.
    """

    id: str
    system: str | None = None

    def __str__(self) -> str:
        """Return both IDs, for an error."""
        return f'volume {self.id} of system {self.system or "(unknown)"}'


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """A volume as a block device of this host.

    :ivar path: the link that names it.
    :ivar name: the kernel's name, such as ``scinia``.
    :ivar number: the kernel's number of it; its name may be another one's later.
    :ivar system: the ID of its PowerFlex system.
    """

    path: str
    name: str
    number: int
    system: str

    @property
    def is_here(self) -> bool:
        """Whether the link leads to the device, and the device is the same."""
        return block.name_of(self.path) == self.name and block.inode(self.name) == self.number


def is_installed() -> bool:
    """Whether this host has the client."""
    return files.exists(root.SCINI_DEVICE_PATH)


def guid() -> str:
    """The GUID of this host's client.

    :raises BrickException: if it has no client, or that does not answer.
    """
    try:
        return root.get_guid()
    except (OSError, ValueError) as error:
        raise exception.BrickException(
            f'The PowerFlex client of this host does not report its GUID: {error}'
        ) from error


def rescan() -> None:
    """Have the client ask anew which volumes it has, and how large they are.

    :raises BrickException: if it does not.
    """
    try:
        root.rescan_vols()
    except (OSError, ValueError) as error:
        raise exception.BrickException(
            f'The PowerFlex client of this host does not rescan its volumes: {error}'
        ) from error


def volume_of(path: str) -> Volume | None:
    """The volume that a link is named after; ``None`` if the path is not such a link."""
    directory, _, link = path.rpartition('/')
    parts = _LINK.fullmatch(link) if directory == BY_ID else None
    return Volume(parts['volume'].lower(), parts['system'].lower()) if parts else None


def device_of(volume: Volume) -> Device | None:
    """The device of a volume; ``None`` if it is not on this host.

    :raises BrickException: if its system is not known, and volumes of two systems have its ID.
    """
    found = [each for each in devices(volume.id) if volume.system in (None, each.system)]
    if len({each.system for each in found}) > 1:
        links = exception.listed(each.path for each in found)
        raise exception.BrickException(
            f'Volumes of several PowerFlex systems have the ID {volume.id} on this host: {links}'
        )
    return found[0] if found else None


def devices(volume_id: str) -> list[Device]:
    """The devices of all systems' volumes that have an ID."""
    found = []
    for link in files.names(BY_ID):
        path = f'{BY_ID}/{link}'
        named = volume_of(path)
        if named is None or named.id != volume_id:
            continue
        name = block.name_of(path)
        number = block.inode(name) if name else 0
        if name and number:
            found.append(Device(path, name, number, str(named.system)))
    return found


def unnamed() -> list[Device]:
    """The client's devices that no link leads to: each may be any volume.

    udev has not made it yet, was stopped, or has lost it.
    """
    links = [f'{BY_ID}/{each}' for each in files.names(BY_ID)]
    named = {block.name_of(each) for each in links if volume_of(each)}
    names = [each for each in files.names('/sys/block') if each.startswith(_NAME)]
    return [
        Device(f'/dev/{each}', each, number, '')
        for each in names
        if each not in named and (number := block.inode(each))
    ]


def wait_usable(volume: Volume, deadline: wait.Deadline) -> Device:
    """The device of a volume, once it is there and can be read.

    :raises VolumeDeviceNotFound: if that does not happen in time, saying why.
    """
    link = f'{BY_ID}/emc-vol-{volume.system or "*"}-{volume.id}'
    why = [f'no link {link} leads to a device']

    def usable() -> Device | None:
        found = device_of(volume)
        if found is None:
            return None
        error = block.why_unusable(found.name, deadline.limit(block.READ_SECONDS))
        if error is not None:
            why[:] = [f'{found.path} cannot be read: {error}']
            return None
        # While it was read the client may have given its name to another volume.
        return found if found.is_here else None

    found = wait.poll(usable, deadline)
    if found is None:
        raise exception.VolumeDeviceNotFound(
            f'PowerFlex volume {volume.id} does not appear on this host: {why[0]}'
        )
    return found


def refuse_users(device: Device, deadline: wait.Deadline) -> None:
    """Have nothing on this host use a volume.

    :raises VolumeInUse: if something does.
    """
    found: list[str] = []

    def is_idle() -> bool:
        name = device.name
        found[:] = block.users(name) or block.openers(name) or block.claimant(name)
        return not found

    if not wait.holds(is_idle, deadline.within(_BUSY_SECONDS)) and device.is_here:
        raise exception.VolumeInUse(device=device.path, holder='; '.join(found))


def wait_gone(device: Device, deadline: wait.Deadline) -> None:
    """Wait until the client has removed the device of a volume, and udev its link.

    :raises VolumePathNotRemoved: if that does not happen in time.
    """

    def has_gone() -> bool:
        return block.inode(device.name) != device.number and not files.is_link(device.path)

    if not wait.holds(has_gone, deadline.within(GONE_SECONDS)) and device.is_here:
        raise exception.VolumePathNotRemoved(volume_path=device.path)


def wait_grown(device: Device, before: int, wanted: int | None, deadline: wait.Deadline) -> int:
    """The size of a device in bytes, once it is the wanted one.

    :param before: its size before the client was told to look.
    :param wanted: what the gateway reports; ``None`` if there is none to ask: then any growth that
        comes in a few seconds counts, and none is not an error.
    :raises OperationTimedOut: if it does not come to the wanted size in time.
    :raises VolumePathsNotFound: if the device is another volume's by then.
    """
    if wanted is None:
        limit = deadline.within(GROWTH_SECONDS)
        if not wait.holds(lambda: block.size_bytes(device.name) != before, limit):
            LOG.info('Device %s has %d bytes, as before', device.path, before)
    else:
        what = f'{device.path} to have the {wanted} bytes that its gateway reports'
        wait.until(lambda: block.size_bytes(device.name) >= wanted or None, deadline, what)
    found = block.size_bytes(device.name)
    # Asked after the size was read; udev may be writing the link for the new size.
    if not wait.holds(lambda: device.is_here, deadline.within(_BUSY_SECONDS)):
        raise exception.VolumePathsNotFound
    return found


def credentials(config_group: str, *, failed_over: bool) -> tuple[str | None, str]:
    """User and password of a gateway from connector.conf; the user may be missing.

    :raises BrickException: if they are not there.
    """
    user, password = root.get_connector_username_password(
        powerflex.CONNECTOR_CONF, config_group, failed_over
    )
    return user, str(password)
