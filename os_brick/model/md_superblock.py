# SPDX-License-Identifier: Apache-2.0
"""An md superblock, from its bytes (include/uapi/linux/raid/md_p.h)."""

from __future__ import annotations

import dataclasses
import struct

# The host of arrays that may be used on any (mdadm --homehost=any).
ANY_HOST = 'any'
# sb->set_name has 32 bytes, of which mdadm fills 31.
NAME_BYTES = 31
_NO_ROLE = 0xFFF0
_FAULTY = 0xFFFE
_SIZE_OF_FIXED = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Superblock:
    """What a superblock records of its member and of the array.

    :ivar version: of the metadata, such as ``1.2``.
    :ivar array_uuid: in mdadm's spelling; empty if the superblock cannot be understood.
    :ivar name: the array's, often behind a host and a colon.
    :ivar level: 1 for a mirror.
    :ivar number: of this member in the list of roles.
    :ivar events: how often the superblocks of the array had been written.
    :ivar roles: by number, the place of each member, or one of the numbers from 0xfff0 on.
    """

    version: str
    array_uuid: str
    name: str
    device_uuid: str
    level: int
    raid_devices: int
    number: int
    events: int
    roles: tuple[int, ...]

    @property
    def role(self) -> int | None:
        """The place of this member in the array; ``None`` of a spare or a faulty one."""
        role = self.roles[self.number] if self.number < len(self.roles) else _FAULTY
        return role if role < _NO_ROLE else None

    @property
    def is_for_any_host(self) -> bool:
        """Whether the array was made as connectors make them."""
        return self.name.startswith(f'{ANY_HOST}:')

    @property
    def short_name(self) -> str:
        """The array's name without its host."""
        return self.name.rpartition(':')[2]

    def is_called(self, alias: str) -> bool:
        """Whether the array's name is ``alias``, on whatever host; long names are cut there."""
        names = self.name, self.name.partition(':')[2]
        return bool(self.array_uuid) and any(n and n in (alias, alias[:NAME_BYTES]) for n in names)

    def has_given_up(self, other: Superblock) -> bool:
        """Whether the array was written without the other member, by what this one records."""
        # The kernel makes a spare of a missing member (Linux, drivers/md/md.c, super_1_sync).
        number = other.number
        return number >= len(self.roles) or self.roles[number] >= _NO_ROLE

    def __str__(self) -> str:
        if not self.array_uuid:
            return f'a member of an md array with metadata {self.version} that is not understood'
        return f'a member of md array {self.name or "without a name"} ({self.array_uuid})'


def parse(version: str, raw: bytes) -> Superblock:
    """Parse a superblock; one with a wrong checksum or of another format is unknown."""
    if not version.startswith('1.') or not _is_sound(raw):
        return Superblock(version, '', '', '', 0, 0, 0, 0, ())
    (level,), (devices,) = struct.unpack_from('<i', raw, 72), struct.unpack_from('<I', raw, 92)
    (number,), (events,) = struct.unpack_from('<I', raw, 160), struct.unpack_from('<Q', raw, 200)
    (count,) = struct.unpack_from('<I', raw, 220)
    return Superblock(
        version=version,
        array_uuid=spelled(raw[16:32]),
        name=raw[32:64].split(b'\0')[0].decode('utf-8', 'replace'),
        device_uuid=spelled(raw[168:184]),
        level=level,
        raid_devices=devices,
        number=number,
        events=events,
        roles=struct.unpack_from(f'<{count}H', raw, _SIZE_OF_FIXED),
    )


def spelled(uuid: bytes) -> str:
    """A UUID as mdadm writes it: four groups of eight digits."""
    return uuid.hex(':', 4)


def _is_sound(raw: bytes) -> bool:
    """Whether the checksum is right (Linux, drivers/md/md.c, calc_sb_1_csum)."""
    if len(raw) < _SIZE_OF_FIXED:
        return False
    expected, count = struct.unpack_from('<II', raw, 216)
    size = _SIZE_OF_FIXED + 2 * count
    if size > len(raw):
        return False
    data = raw[:216] + bytes(4) + raw[220:size] + bytes(-size % 4)
    total: int = sum(struct.unpack(f'<{len(data) // 4}I', data))
    return bool((total + (total >> 32)) & 0xFFFFFFFF == expected)
