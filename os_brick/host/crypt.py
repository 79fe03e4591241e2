# SPDX-License-Identifier: Apache-2.0
"""Mappings of dm-crypt on this host, and the headers of the LUKS volumes below them.

A mapping is told by the UUID that cryptsetup gives it: ``CRYPT-``, its kind, for LUKS the header's
UUID without dashes, and its name. What it decrypts the kernel shows as its member.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import undo, wait
from os_brick.host import block, dm
from os_brick.model import crypt_commands, luks
from os_brick.privileged import cryptsetup as root
from os_brick.privileged import luks as root_luks
from os_brick.privileged import luks_backup as backup

LOG = logging.getLogger(__name__)

_PREFIX = 'CRYPT-'
_DIRECTORY = '/dev/mapper'
# A healthy device answers a read in milliseconds; a path in recovery may take seconds.
READ_SECONDS = 30.0
# udev and others look at a mapping for a moment when it changes.
BUSY_SECONDS = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class Mapping:
    """A device-mapper device, by a name that mappings of dm-crypt have.

    :ivar dm: the kernel's name, such as ``dm-4``.
    :ivar uuid: what its maker gave it.
    :ivar devices: the block devices below it.
    """

    name: str
    dm: str
    uuid: str
    devices: tuple[str, ...]

    @property
    def path(self) -> str:
        """Its path, such as ``/dev/mapper/crypt-sda``."""
        return path_of(self.name)

    @property
    def is_crypt(self) -> bool:
        """Whether cryptsetup has made it."""
        return self.uuid.startswith(_PREFIX)

    @property
    def luks_uuid(self) -> str:
        """The UUID of the LUKS header, without dashes; empty for a mapping of another kind."""
        prefix, kind, uuid = [*self.uuid.split('-', 3), '', '', ''][:3]
        return uuid if f'{prefix}-' == _PREFIX and kind.startswith('LUKS') else ''

    def is_of(self, header: luks.Header | None) -> bool:
        """Whether it decrypts the volume of this header; ``None`` for one without a header."""
        wanted = '' if header is None else header.uuid.replace('-', '').lower()
        return self.is_crypt and self.luks_uuid.lower() == wanted

    def __str__(self) -> str:
        below = ', '.join(f'/dev/{device}' for device in self.devices) or 'a device that has gone'
        return f'{self.path} ({self.dm}, {self.uuid or "without a UUID"}) over {below}'


def path_of(name: str) -> str:
    """The path of the mapping of a name."""
    return f'{_DIRECTORY}/{name}'


def find(name: str) -> Mapping | None:
    """The device-mapper device of a name, whatever it is, or ``None``."""
    found = dm.called(name)
    if found is None:
        return None
    return Mapping(name, found, dm.uuid(found), tuple(block.members(found)))


def of_device(found: str) -> Mapping | None:
    """The mapping of dm-crypt that a device is, such as ``dm-4``, or ``None``."""
    mapping = Mapping(dm.name(found), found, dm.uuid(found), tuple(block.members(found)))
    return mapping if mapping.is_crypt else None


def header(device: str, deadline: wait.Deadline) -> luks.Header | None:
    """The LUKS header of a device as it is now, or ``None`` if it has none.

    :raises VolumeDeviceNotFound: if it cannot be read.
    :raises Damaged: if it has one that cannot be used.
    """
    try:
        found = root_luks.header(device, block.inode(device), deadline.limit(READ_SECONDS))
    except OSError as error:
        raise exception.VolumeDeviceNotFound(
            f'Whether /dev/{device} is a LUKS volume cannot be read: {error}'
        ) from error
    if 'damaged' in found:
        raise luks.Damaged(found['damaged'])
    return luks.Header.of_dict(found) if found else None


def keep_header(device: str, found: luks.Header, deadline: wait.Deadline) -> None:
    """Have root keep a copy of a header, unless it has one of this state of it.

    :raises BrickException: if it cannot be kept.
    """
    number, limit = block.inode(device), deadline.limit(READ_SECONDS)
    try:
        kept = backup.keep(device, number, found.uuid, found.sequence, limit)
    except OSError as error:
        raise exception.BrickException(
            f'[os_brick] luks_header_backup: the header of /dev/{device} cannot be kept: {error}'
        ) from error
    LOG.debug('The header of /dev/%s is kept as %s', device, kept)


def users(mapping: Mapping) -> list[str]:
    """What uses a mapping, in words."""
    return [
        *block.users(mapping.dm),
        *block.openers(mapping.dm),
    ]


def close(mapping: Mapping, deadline: wait.Deadline) -> None:
    """End a mapping; one that has gone is not an error.

    :raises VolumeInUse: naming who uses it.
    :raises BrickException: if cryptsetup fails otherwise.
    """
    limit = deadline.within(BUSY_SECONDS)
    require_closed(mapping, lambda: root.close(mapping.name, mapping.dm, deadline.limit()), limit)


def require_closed(
    mapping: Mapping, attempt: Callable[[], root.Ended], limit: wait.Deadline
) -> None:
    """Have a mapping ended by ``attempt``, which is repeated while something has it open.

    :raises VolumeInUse: naming who uses it.
    :raises BrickException: if cryptsetup fails otherwise.
    """
    code, words = crypt_commands.BUSY, ''

    def ended() -> bool:
        nonlocal code, words
        code, words = attempt()
        return code != crypt_commands.BUSY

    wait.holds(ended, limit)
    if code in (crypt_commands.DONE, crypt_commands.NOT_THERE):
        return
    if code == crypt_commands.BUSY:
        holder = ', '.join(users(mapping)) or 'a process that has it open'
        raise exception.VolumeInUse(device=mapping.path, holder=holder)
    raise exception.BrickException(f'cryptsetup cannot close {mapping.path}: {code}, {words}')


@undo.verb
def close_again(name: str, device: str, luks_uuid: str, seconds: float) -> None:
    """Take back the opening of a volume: end the mapping, if it is over its device or its own."""
    mapping = find(name)
    if mapping is None or not mapping.is_crypt:
        return
    same = mapping.luks_uuid and mapping.luks_uuid == luks_uuid.replace('-', '')
    if same or mapping.devices == (device,):
        close(mapping, wait.Deadline.after(seconds))
