# SPDX-License-Identifier: Apache-2.0
"""Vital product data: the names a SCSI logical unit reports (SPC-4, 7.8), and their comparison.

Names are kept in udev's spelling, which multipathd, ``/dev/disk/by-id`` and earlier releases of
this library use too: a digit for the kind of name, then the name.
"""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import enum
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
# A name made with a number that IEEE has given to its maker: EUI-64 of 8, 12 or 16 bytes; NAA 2, 5
# and 6. Not NAA 3, which is locally assigned, and not the zeros of a device without a name.
_REGISTERED = re.compile(
    '2(?!0+$)([0-9a-f]{16}|[0-9a-f]{24}|[0-9a-f]{32})|3[25][0-9a-f]{15}|36[0-9a-f]{31}'
)
# What udev leaves in a property that names a link (systemd, util_replace_chars): these and UTF-8.
_REPLACED = re.compile('[^#+\\-.:=@_0-9A-Za-z\x80-\U0010ffff]|[\ud800-\udfff]')
_BLANKS = re.compile('[ \t\n\v\f\r]+')


class Match(enum.Enum):
    """What two sets of names tell about whether they are one logical unit's."""

    SAME = 'same'
    ANOTHER = 'another'
    UNKNOWN = 'not known'


@dataclasses.dataclass(frozen=True, slots=True)
class UnitIdentity:
    """Who a logical unit reports to be.

    Two of them are compared with :meth:`compare`, not with ``==``: names may be added, renamed and
    cut off while the unit stays the same.

    :ivar wwid: its best name in udev's spelling, such as ``3600140...``; empty where it has none.
    :ivar serial: its unit serial number.
    :ivar names: all names of the unit in udev's spelling, vendor-specific ones too.
    :ivar product: vendor and model, which a serial number is unique within.
    :ivar is_whole: whether the page of names was read to its end.
    """

    wwid: str
    serial: str
    names: frozenset[str] = frozenset()
    product: str = ''
    is_whole: bool = True

    def __str__(self) -> str:
        return f'{self.wwid or "no WWID"} (serial {self.serial or "unknown"})'

    @property
    def registered(self) -> frozenset[str]:
        """The names that are unique in the world: NAA 2, 5 and 6, and EUI-64."""
        return frozenset(filter(is_registered, self.names))

    @property
    def other_names(self) -> frozenset[str]:
        """The names that an administrator may change: T10, SCSI name strings, local NAA."""
        vendor_specific = str(_VENDOR_SPECIFIC)
        rest = self.names - self.registered
        return frozenset(name for name in rest if not name.startswith(vendor_specific))

    def compare(self, other: UnitIdentity) -> Match:
        """Whether the other one is the same logical unit.

        Registered names decide. Where they have none in common to compare, the serial number of
        the same product does, and where there is none either the other names; vendor-specific
        ones never (SPC-4 gives them no meaning). A serial number alone outweighs no registered
        name: some arrays report their own for each of their volumes.
        """
        by_name = self._compare_registered(other)
        by_serial = self._compare_serials(other)
        if by_name is Match.SAME:
            return Match.UNKNOWN if by_serial is Match.ANOTHER else Match.SAME
        if self.registered & other.registered or by_name is Match.ANOTHER:
            return by_name
        if by_serial is not Match.UNKNOWN and not (self.registered and other.registered):
            return by_serial
        return self._compare_rest(other, by_serial)

    def _compare_registered(self, other: UnitIdentity) -> Match:
        """Compare registered names of the same format; a unit may have lost or gained a format."""
        equal = bool(self.registered & other.registered)
        mine, others = _by_format(self.registered), _by_format(other.registered)
        differing = any(not mine[each] & others[each] for each in mine.keys() & others.keys())
        if equal:
            return Match.UNKNOWN if differing else Match.SAME
        return Match.ANOTHER if differing and self.is_whole and other.is_whole else Match.UNKNOWN

    def _compare_serials(self, other: UnitIdentity) -> Match:
        is_known = bool(self.serial.strip('0') and other.serial.strip('0'))
        if not is_known or self.product != other.product:
            return Match.UNKNOWN
        return Match.SAME if self.serial == other.serial else Match.ANOTHER

    def _compare_rest(self, other: UnitIdentity, by_serial: Match) -> Match:
        are_whole = self.is_whole and other.is_whole
        if self.registered and other.registered:
            # One has a NAA name only, the other an EUI-64 only.
            is_another = are_whole and by_serial is not Match.SAME
            return Match.ANOTHER if is_another else Match.UNKNOWN
        if self.registered or other.registered:
            return Match.UNKNOWN
        return self._compare_other_names(other)

    def _compare_other_names(self, other: UnitIdentity) -> Match:
        if self.other_names & other.other_names:
            return Match.SAME
        if not self.other_names or not other.other_names:
            return Match.UNKNOWN
        return Match.ANOTHER if self.is_whole and other.is_whole else Match.UNKNOWN

    def compare_wwid(self, text: str) -> Match:
        """Whether a WWID that a caller has kept is this unit's.

        Earlier releases kept the name of any link in ``/dev/disk/by-id/scsi-*``. So a text is
        compared with all names in udev's spellings, and is another unit's only if it is a name of
        the kind that this unit has: a registered one, or, of a unit without, a T10 or SCSI name.
        """
        if text in self.names:  # As udev writes it, which nearly all callers have kept.
            return Match.SAME
        wanted = _folded(text)
        if wanted and wanted in {_folded(name) for name in (*self.names, self._serial_name())}:
            return Match.SAME
        kinds = {name[0] for name in self.other_names} & {str(_T10), str(_NAME)}
        is_text = not self.registered and self.is_whole and text[:1] in kinds
        return Match.ANOTHER if is_text or self.contradicts(text) else Match.UNKNOWN

    def contradicts(self, wwid: str) -> bool:
        """Whether a map's WWID is certainly another unit's, by registered names alone.

        With ``uid_attrs`` in its configuration multipathd takes anything for a WWID, and a map
        keeps the T10 name that its volume had when it was built.
        """
        known = self.registered
        wanted = wwid.lower()
        return bool(known) and self.is_whole and is_registered(wanted) and wanted not in known

    def is_another(self, other: UnitIdentity) -> bool:
        """Whether the other one is certainly another unit."""
        return self.compare(other) is Match.ANOTHER

    def _serial_name(self) -> str:
        """The name that udev makes of the serial number for ``/dev/disk/by-id/scsi-S...``."""
        return f'S{self.product}{self.serial}' if self.serial else ''


def is_registered(wwid: str) -> bool:
    """Whether a WWID is made of a name that its maker has registered, as most are."""
    return _REGISTERED.fullmatch(wwid) is not None


def _by_format(names: frozenset[str]) -> dict[tuple[str, int], set[str]]:
    """The registered names by their format: NAA and EUI-64, each with its length."""
    found: dict[tuple[str, int], set[str]] = {}
    for name in names:
        kind = name[:2] if name[0] == str(_NAA) else name[0]
        found.setdefault((kind, len(name)), set()).add(name)
    return found


def identity(page80: bytes, page83: bytes, inquiry: str = '') -> UnitIdentity:
    """The identity that the pages 0x80 and 0x83 describe.

    :param inquiry: vendor (8 characters) and model (16), which udev puts before a
        vendor-specific name.
    """
    found = [name for name in _designators(page83) if name[2]]
    spelled = {name: _spelled(*name, inquiry) for name in found}
    best = min(found, key=lambda name: _rank(name[0], name[2]), default=None)
    return UnitIdentity(
        wwid=spelled[best] if best else '',
        serial=page80[4:].decode('ascii', 'replace').strip('\0 '),
        names=frozenset(spelled.values()),
        product=inquiry,
        is_whole=not page83 or len(page83) >= page_bytes(page83),
    )


def page_bytes(page: bytes) -> int:
    """The length of a whole page, as its header tells; 4 for what is not a header."""
    return 4 + int.from_bytes(page[2:4], 'big')


def _designators(page: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The kind, the code set and the value of each name of the logical unit itself."""
    end = min(len(page), page_bytes(page)) if len(page) >= 4 else 0
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


def _spelled(kind: int, coding: int, value: bytes, inquiry: str) -> str:
    is_text = coding in _TEXT_CODINGS
    text = value.decode('utf-8', 'surrogateescape').rstrip('\0') if is_text else value.hex()
    if kind == _VENDOR_SPECIFIC:
        text = inquiry + text
    return udev_text(f'{kind}{text}')


def udev_text(text: str) -> str:
    """A text as udev writes it into a property that names a link.

    Runs of blanks become one underscore (util_replace_whitespace), as does each other character
    that cannot be in a name (util_replace_chars).
    """
    return _REPLACED.sub('_', _BLANKS.sub('_', text.strip(' \t\n\v\f\r')))


def _folded(text: str) -> str:
    """A text for comparison, whichever tool has written it: blanks, case, padding differ."""
    return re.sub('_+', '_', udev_text(text)).strip('_').lower()
