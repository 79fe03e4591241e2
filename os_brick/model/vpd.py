# SPDX-License-Identifier: Apache-2.0
"""Vital product data: who a SCSI logical unit says it is (SPC-4, 7.8).

The WWID made here is udev's ``ID_SERIAL``, which is also what multipathd names its maps by.
"""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import re

_LOGICAL_UNIT = 0
_TEXT_CODINGS = (2, 3)  # ASCII and UTF-8.
_VENDOR_SPECIFIC = 0
_T10 = 1
_EUI64 = 2
_NAA = 3
_NAME = 8
# The best first, in the order of the rules of sg3-utils that distributions give udev: NAA
# registered extended, registered, extended; EUI-64; SCSI name; T10; NAA locally assigned.
_NAA_RANKS = {6: 0, 5: 1, 2: 2, 3: 6}
_KIND_RANKS = {_EUI64: 3, _NAME: 4, _T10: 5, _VENDOR_SPECIFIC: 8}
_KINDS = {_NAA, *_KIND_RANKS}
# A WWID made of a name that its maker has registered: EUI-64 of 8, 12 or 16 bytes, NAA of 8 or 16.
_REGISTERED = re.compile('2([0-9a-f]{16}|[0-9a-f]{24}|[0-9a-f]{32})|3([0-9a-f]{16}){1,2}')


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Who a logical unit says it is.

    :ivar wwid: its best designator in udev's spelling, such as ``3600140...``; empty where it
        has none.
    :ivar serial: its unit serial number.
    :ivar designators: every name it gives itself, to be compared as a whole.
    """

    wwid: str
    serial: str
    designators: frozenset[bytes] = frozenset()

    def __str__(self) -> str:
        return f'{self.wwid or "no WWID"} (serial {self.serial or "unknown"})'

    def denies(self, wwid: str) -> bool:
        """Whether a WWID is certainly another unit's.

        Only registered names tell: with ``uid_attrs`` in its configuration multipathd takes
        anything at all for a WWID, and a unit may not have been asked for its names.
        """
        names = {f'{name[0]}{name[2:].hex()}' for name in self.designators}
        known = set(filter(is_registered, names))
        return bool(known) and is_registered(wwid) and wwid not in known


def is_registered(wwid: str) -> bool:
    """Whether a WWID is made of a name that its maker has registered, as most are."""
    return _REGISTERED.fullmatch(wwid) is not None


def identity(page80: bytes, page83: bytes, inquiry: str = '') -> Identity:
    """Who the unit is, from its pages 0x80 and 0x83.

    :param inquiry: vendor (8 characters) and model (16), which udev puts before a
        vendor-specific name.
    """
    names = list(_designators(page83))
    return Identity(
        wwid=_wwid(names, inquiry),
        serial=page80[4:].decode('ascii', 'replace').strip('\0 '),
        designators=frozenset(bytes([kind, coding]) + value for kind, coding, value in names),
    )


def _designators(page: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The kind, the code set and the value of each name of the logical unit itself."""
    end = min(len(page), 4 + int.from_bytes(page[2:4], 'big')) if len(page) >= 4 else 0
    start = 4
    while start + 4 <= end:
        coding, kind, length = page[start] & 0x0F, page[start + 1], page[start + 3]
        value = page[start + 4 : start + 4 + length]
        start += 4 + length
        if start > end:
            return  # Cut off by the allocation length.
        if kind >> 4 & 3 == _LOGICAL_UNIT and kind & 0x0F in _KINDS:
            yield kind & 0x0F, coding, value


def _rank(kind: int, value: bytes) -> int:
    if kind == _NAA:
        return _NAA_RANKS.get(value[0] >> 4, 7)
    return _KIND_RANKS[kind]


def _wwid(names: list[tuple[int, int, bytes]], inquiry: str) -> str:
    usable = [name for name in names if name[2]]
    if not usable:
        return ''
    kind, coding, value = min(usable, key=lambda name: _rank(name[0], name[2]))
    is_text = coding in _TEXT_CODINGS
    text = value.decode('utf-8', 'replace').rstrip('\0') if is_text else value.hex()
    if kind == _VENDOR_SPECIFIC:
        text = inquiry + text
    return _udev_text(f'{kind}{text}')


def _udev_text(text: str) -> str:
    """A text as udev writes it into a property: runs of white space become one underscore."""
    return '_'.join(text.split())
