# SPDX-License-Identifier: Apache-2.0
"""What LVM has, as values; sizes as LVM writes and reads them; the reports of its tools.

Reports are asked for as JSON in bytes (``--reportformat json --units b --nosuffix``), which LVM has
since 2.02.158. Every value of such a report is a text; later releases add other formats in which it
may be a number or nothing, and a section ``log`` with the messages that else go to standard error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import dataclasses
import fractions
import json
import re
from typing import Any

from os_brick import exception
from os_brick.model import names

GIBI = 1 << 30
_SECTOR_BYTES = 512
_UNITS = {unit: 1024**power for power, unit in enumerate('bkmgtpe')} | {'s': 512, '': 1 << 20}
# Digits enough for any size that there is; a number is as long as its caller likes.
_SIZE = re.compile(
    r'(\+?)([0-9]{1,40}(?:\.[0-9]{1,40})?)(?:([bs])|([kmgtpe])(?:i?b?)?)?', re.IGNORECASE
)
_VERSION = re.compile(r'LVM version:\s+(\d+)\.(\d+)\.(\d+)')
# A report begins with its first brace, but a wrapper around the tool may have written before it.
_MOST_BEGINNINGS = 16


def gib(size: int) -> float:
    """Bytes in GiB, to two digits: what ``--units g`` shows."""
    return float(f'{size / GIBI:.2f}')


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """A size as an argument of LVM's tools.

    :ivar text: how the caller wrote it.
    :ivar bytes: what that is.
    :ivar relative: whether it is added to the size that is there.
    """

    text: str
    bytes: int
    relative: bool


def parse_size(value: object, key: str, *, may_be_relative: bool = False) -> Size:
    """A size of a new or grown volume: a number, and a unit (MiB without one).

    LVM counts in powers of 1024, whether the unit is written small or large.

    :raises InvalidParameterValue: naming the key and the value.
    """
    text = _as_text(value)
    found = _SIZE.fullmatch(text)
    if found is None or (found[1] and not may_be_relative):
        raise _invalid(
            key, value, 'size: it has to be a number and a unit of b, s, k, m, g, t, p or e'
        )
    unit = (found[3] or found[4] or '').lower()
    exact = fractions.Fraction(found[2]) * _UNITS[unit]
    count = int(exact)
    # LVM 2.03.31 rounds up every other unit, and refuses this one.
    if unit == 'b' and exact % _SECTOR_BYTES:
        raise _invalid(key, value, 'size: bytes have to be whole sectors of 512')
    if not 0 < count < 1 << 63:
        raise _invalid(key, value, 'size: it has to be more than nothing and less than 8 EiB')
    return Size(text, count, bool(found[1]))


def _as_text(value: object) -> str:
    """A number or an ASCII text as a text; empty for anything else, which no size is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.isascii() else ''


def parse_count(value: object, key: str) -> int:
    """How many copies a mirror has besides the volume itself.

    :raises InvalidParameterValue: naming the key and the value.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10:
        return value
    raise _invalid(key, value, 'number of mirrors (0 to 9)')


def parse_name(rule: names.Rule, value: object, key: str) -> str:
    """The name of a volume group, a logical volume or a device.

    :raises InvalidParameterValue: naming the key and the value.
    """
    try:
        return rule.parse(value)
    except ValueError as error:
        raise exception.InvalidParameterValue(err=f'{key}: {error}') from None


def parse_new_name(vg: str, value: object, key: str) -> str:
    """The name of a logical volume that is to be made.

    :raises InvalidParameterValue: if LVM reserves it, or the kernel cannot take it.
    """
    name = parse_name(names.LV, value, key)
    if names.LV_RESERVED.fullmatch(name):
        raise _invalid(key, name, 'name of a logical volume: LVM reserves such names')
    if len(map_name(vg, name)) > names.MAP.most_bytes:
        why = f'is too long for a logical volume in volume group {vg}'
        raise exception.InvalidParameterValue(err=f'{key}: {names.shown(name)} {why}')
    return name


def _invalid(key: str, value: object, what: str) -> exception.InvalidParameterValue:
    return exception.InvalidParameterValue(err=f'{key}: {names.shown(value)} is not a valid {what}')


def map_name(vg: str, lv: str) -> str:
    """The name of a logical volume's device-mapper device."""
    return f'{vg.replace("-", "--")}-{lv.replace("-", "--")}'


def mangled(name: str) -> str:
    """The name under which a snapshot is kept: LVM reserves those that begin with ``snapshot``."""
    return f'_{name}' if name.startswith('snapshot') else name


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """A logical volume.

    :ivar size: in bytes.
    :ivar attributes: the letters of ``lv_attr``: lvs(8).
    :ivar data_percent: how full a pool or a snapshot is; ``None`` where there is no such number.
    """

    vg: str
    name: str
    size: int
    attributes: str = ''
    data_percent: float | None = None
    uuid: str = ''

    def as_dict(self) -> dict[str, Any]:
        """As callers know it: the size is a text, in GiB."""
        return {'vg': self.vg, 'name': self.name, 'size': f'{self.size / GIBI:.2f}'}

    @property
    def is_active(self) -> bool:
        """Whether the kernel has its device, and takes I/O on it."""
        return self.attributes[4:5] == 'a'

    @property
    def is_inactive(self) -> bool:
        """Whether the kernel has no device of it at all."""
        return self.attributes[4:5] == '-'

    @property
    def is_origin(self) -> bool:
        """Whether it has snapshots that would go with it; those of thin volumes would not."""
        return self.attributes[:1] in ('o', 'O')

    @property
    def unused_gib(self) -> float:
        """How many GiB of a thin pool hold no data; 0 if LVM cannot tell."""
        if self.data_percent is None:
            return 0.0
        return float(f'{self.size / GIBI * (1 - self.data_percent / 100):.2f}')


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """A volume group; sizes in bytes."""

    name: str
    size: int
    free: int
    volumes: int
    uuid: str

    def as_dict(self) -> dict[str, Any]:
        """As callers know it: sizes in GiB."""
        return {
            'name': self.name,
            'size': gib(self.size),
            'available': gib(self.free),
            'lv_count': self.volumes,
            'uuid': self.uuid,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class PhysicalVolume:
    """A physical volume; sizes in bytes. LVM calls one that is missing ``[unknown]``."""

    vg: str
    name: str
    size: int
    free: int

    def as_dict(self) -> dict[str, Any]:
        """As callers know it: sizes in GiB."""
        return {
            'vg': self.vg,
            'name': self.name,
            'size': gib(self.size),
            'available': gib(self.free),
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What one tool reported.

    :ivar rows: a dictionary of texts each.
    :ivar messages: warnings and errors of the section ``log``.
    """

    rows: tuple[Mapping[str, str], ...]
    messages: tuple[str, ...]


def parse_report(kind: str, text: str) -> Report:
    """The rows of one kind (``lv``, ``vg``, ``pv``) in what a tool wrote.

    :raises ValueError: if it wrote no report.
    """
    whole = _first_object(text)
    rows = [row for section in _objects(whole.get('report')) for row in _objects(section.get(kind))]
    log = _objects(whole.get('log'))
    return Report(
        tuple({str(k): _text(v) for k, v in row.items()} for row in rows),
        tuple(_text(entry.get('log_message')) for entry in log if _is_trouble(entry)),
    )


def _objects(value: object) -> list[dict[Any, Any]]:
    return [each for each in _listed(value) if isinstance(each, dict)]


def _first_object(text: str) -> dict[str, Any]:
    decoder = json.JSONDecoder(strict=False)
    at = text.find('{')
    for _number in range(_MOST_BEGINNINGS):
        if at < 0:
            break
        try:
            found, _end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find('{', at + 1)
            continue
        if 'report' in found or 'log' in found:
            return dict(found)
        at = text.find('{', at + 1)
    raise ValueError(f'{names.shown(text)} is not a report of LVM')


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_trouble(entry: Mapping[str, object]) -> bool:
    return entry.get('log_type') in ('error', 'warn') and bool(entry.get('log_message'))


def _text(value: object) -> str:
    if isinstance(value, list):
        return ','.join(map(_text, value))
    return '' if value is None else str(value)


def volumes(report: Report) -> list[Volume]:
    """The logical volumes of a report; not the parts of others, whose names are in brackets."""
    return list(_volumes(report))


def _volumes(report: Report) -> Iterator[Volume]:
    for row in report.rows:
        name = row.get('lv_name', '')
        if name and not name.startswith('['):
            yield Volume(
                row.get('vg_name', ''),
                name,
                _bytes(row, 'lv_size'),
                row.get('lv_attr', ''),
                float(row['data_percent']) if row.get('data_percent') else None,
                row.get('lv_uuid', ''),
            )


def groups(report: Report) -> list[Group]:
    """The volume groups of a report."""
    return [
        Group(
            row['vg_name'],
            _bytes(row, 'vg_size'),
            _bytes(row, 'vg_free'),
            int(row.get('lv_count') or 0),
            row.get('vg_uuid', ''),
        )
        for row in report.rows
        if row.get('vg_name')
    ]


def physical_volumes(report: Report) -> list[PhysicalVolume]:
    """The physical volumes of a report; one that is in no group has the group ``''``."""
    return [
        PhysicalVolume(
            row.get('vg_name', ''), row['pv_name'], _bytes(row, 'pv_size'), _bytes(row, 'pv_free')
        )
        for row in report.rows
        if row.get('pv_name')
    ]


def _bytes(row: Mapping[str, str], field: str) -> int:
    """A size of a report; a unit that a release writes in spite of ``--nosuffix`` is dropped."""
    return int(float(row.get(field, '').rstrip('bB') or 0))


def parse_version(text: str) -> tuple[int, int, int] | None:
    """The release of LVM in what ``vgs --version`` wrote; ``None`` if it is not there."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
