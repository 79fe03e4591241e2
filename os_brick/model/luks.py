# SPDX-License-Identifier: Apache-2.0
"""The headers of LUKS volumes, without I/O.

LUKS1 On-Disk Format Specification 1.2.3; LUKS2 On-Disk Format Specification 1.1.1. Numbers are big
endian. A LUKS2 header is there twice; cryptsetup looks for the second one at fixed places if the
first is broken, and repairs the first from it.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import hashlib
import json
import struct
from typing import Any
import zlib

MAGIC = b'LUKS\xba\xbe'
SECOND_MAGIC = b'SKUL\xba\xbe'
# Of a LUKS2 header: where the second one may be, which is the size of the first one, too.
SIZES = tuple(0x4000 << shift for shift in range(9))
# Every part of a header begins and ends at such a boundary, and so does each read.
PAGE_BYTES = 4096
SECTOR_BYTES = 512
# Far more than any JSON area has.
_MOST_KEY_BYTES = 64 << 20

# magic, version, cipher, mode, hash, payload offset, key bytes, digest, salt, iterations, UUID.
_LUKS1 = struct.Struct('>6sH32s32s32sII20s32sI40s')
# active, iterations, salt, offset of the key material, stripes.
_SLOT1 = struct.Struct('>II32sII')
_SLOTS1, _ENABLED1 = 8, 0x00AC71F3
# magic, version, size, sequence, label, checksum's kind, salt, UUID, subsystem, its own offset.
_LUKS2 = struct.Struct('>6sHQQ48s32s64s40s48sQ184s64s')
_CHECKSUM_AT, _CHECKSUM_BYTES = 0x1C0, 64

Read = Callable[[int, int], bytes]


class Damaged(ValueError):
    """There is a LUKS header that cannot be read, and no second one that can."""


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """The header of a LUKS volume.

    :ivar header_bytes: how much of the device's start the (two) headers take without the keys.
    :ivar keys: where the key slots in use keep their key material: first byte and length.
    :ivar data_offset: the first byte of the data.
    :ivar data_bytes: how much data there is; 0 for all that is left of the device.
    :ivar sector_bytes: the unit of encryption.
    :ivar sequence: another one after each change: of LUKS2 its number, of LUKS1 a check sum.
    :ivar is_first: whether the first header is whole.
    :ivar has_integrity: whether its data is also protected by dm-integrity.
    """

    version: int
    uuid: str
    header_bytes: int
    keys: tuple[tuple[int, int], ...]
    data_offset: int
    data_bytes: int = 0
    sector_bytes: int = SECTOR_BYTES
    sequence: int = 0
    is_first: bool = True
    has_integrity: bool = False

    def mapped_bytes(self, device_bytes: int) -> int:
        """The size of the decrypted volume on a device of so many bytes."""
        found = self.data_bytes or max(0, device_bytes - self.data_offset)
        return found // self.sector_bytes * self.sector_bytes

    def as_dict(self) -> dict[str, Any]:
        """As plain values, which a root function can return."""
        return dataclasses.asdict(self)

    @classmethod
    def of_dict(cls, found: dict[str, Any]) -> Header:
        """The header that :meth:`as_dict` gave, after it has been sent."""
        return cls(**{**found, 'keys': tuple((start, count) for start, count in found['keys'])})


def find(read: Read, device_bytes: int) -> Header | None:
    """The header of a device, or ``None`` if it has none.

    :param read: returns the bytes at an offset, so many of them; both are whole pages.
    :raises Damaged: if there is one that cannot be used.
    """
    start = read(0, PAGE_BYTES)
    is_luks = start.startswith(MAGIC)
    if is_luks and _version(start) == 1:
        return _luks1(start)
    places = _seconds(read, device_bytes)
    if not is_luks and not places:
        return None
    why = ''
    for place in [0, *places] if is_luks else places:
        try:
            return _luks2(place, read, device_bytes)
        except ValueError as error:
            why = why or str(error)
    raise Damaged(f'a LUKS header that cannot be used: {why}')


def _seconds(read: Read, device_bytes: int) -> list[int]:
    """Where there are second headers of LUKS2."""
    inside = [place for place in SIZES if place + PAGE_BYTES <= device_bytes]
    return [place for place in inside if read(place, PAGE_BYTES).startswith(SECOND_MAGIC)]


def _version(page: bytes) -> int:
    return int.from_bytes(page[6:8], 'big')


def _text(field: bytes) -> str:
    return field.split(b'\0', 1)[0].decode('ascii', 'replace')


def _luks1(page: bytes) -> Header:
    found = _LUKS1.unpack_from(page)
    payload, key_bytes, uuid = found[5], found[6], _text(found[10])
    keys = []
    for number in range(_SLOTS1):
        active, _, _, start, stripes = _SLOT1.unpack_from(page, _LUKS1.size + number * _SLOT1.size)
        if active == _ENABLED1:
            keys.append(_area(start * SECTOR_BYTES, key_bytes * stripes))
    if not uuid or not 0 < key_bytes <= _MOST_KEY_BYTES:
        raise Damaged('a LUKS header that cannot be used: it has no UUID or no key size')
    check = zlib.crc32(page[: _LUKS1.size + _SLOTS1 * _SLOT1.size])
    return Header(1, uuid, PAGE_BYTES, tuple(keys), payload * SECTOR_BYTES, sequence=check)


def _area(start: int, count: int) -> tuple[int, int]:
    if not 0 < count <= _MOST_KEY_BYTES:
        raise Damaged(f'a LUKS header that cannot be used: a key slot has {count} bytes')
    return start, -(-count // PAGE_BYTES) * PAGE_BYTES


def _luks2(place: int, read: Read, device_bytes: int) -> Header:
    """The LUKS2 header at a place.

    :raises ValueError: saying what is wrong with it.
    """
    page = read(place, PAGE_BYTES)
    found = _LUKS2.unpack_from(page)
    size, sequence, kind, uuid, offset = found[2], found[3], found[5], found[7], found[9]
    if _version(page) != 2 or size not in SIZES or offset != place:
        raise ValueError('its size or its place is not one of LUKS2')
    if place + size > device_bytes:
        raise ValueError('it is larger than the device')
    whole = read(place, size)
    _require_sum(whole, _text(kind), found[11])
    try:
        described = json.loads(whole[PAGE_BYTES:].split(b'\0', 1)[0])
        segment = described['segments']['0']
        return Header(
            version=2,
            uuid=_text(uuid),
            header_bytes=2 * size,
            keys=tuple(_slots2(described)),
            data_offset=int(segment['offset']),
            data_bytes=0 if segment['size'] == 'dynamic' else int(segment['size']),
            sector_bytes=int(segment['sector_size']),
            sequence=sequence,
            is_first=place == 0,
            has_integrity='integrity' in segment,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f'its description cannot be read: {error!r}') from error


def _slots2(described: dict[str, Any]) -> list[tuple[int, int]]:
    areas = [slot['area'] for slot in described['keyslots'].values()]
    return [_area(int(area['offset']), int(area['size'])) for area in areas]


def _require_sum(whole: bytes, kind: str, expected: bytes) -> None:
    blank = bytes(_CHECKSUM_BYTES)
    data = whole[:_CHECKSUM_AT] + blank + whole[_CHECKSUM_AT + _CHECKSUM_BYTES :]
    try:
        actual = hashlib.new(kind, data, usedforsecurity=False).digest()
    except ValueError as error:
        raise ValueError(f'its check sum is of an unknown kind, {kind!r}') from error
    if expected[: len(actual)] != actual:
        raise ValueError('its check sum is wrong')
