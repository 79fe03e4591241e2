# SPDX-License-Identifier: Apache-2.0
"""The findings as data: ``catalogue.toml``, read once."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import functools
import importlib.resources
import tomllib
from typing import Any

from os_brick.doctor.case import FAIL, INFO, WARN

LEVELS = {FAIL: 'failure', WARN: 'warning', INFO: 'information'}
HARMS = {
    'D': 'data lost, or written to the wrong volume',
    'X': 'data exposed, or what belongs to another is touched',
    'H': 'stuck',
    'S': 'slow or fragile',
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One finding.

    :ivar number: in the design, which others refer to.
    :ivar facts: the fields of :class:`facts.Facts` that its rule goes by.
    :ivar text: the first line of a case, ``why`` the second, ``repair`` the third; with
        ``{words}`` that the rule fills in.
    :ivar repairs: other third lines, by the case's variant.
    :ivar errors: the errors of this library that it may be behind.
    :ivar is_of_fleet: whether it is about many hosts.
    """

    id: str
    number: int
    harm: str
    level: str
    reads: str
    facts: tuple[str, ...]
    rule: str
    text: str
    why: str
    repair: str
    source: str
    since: str
    repairs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    is_of_fleet: bool = False
    errors: tuple[str, ...] = ()


@functools.cache
def entries() -> Mapping[str, Entry]:
    """All findings, by id, in the order of their numbers."""
    text = (importlib.resources.files('os_brick.doctor') / 'catalogue.toml').read_text()
    found = [_entry(name, row) for name, row in tomllib.loads(text).items()]
    return {entry.id: entry for entry in sorted(found, key=lambda each: each.number)}


def _entry(name: str, row: dict[str, Any]) -> Entry:
    fields = {**row, 'facts': tuple(row['facts']), 'errors': tuple(row.get('errors', ()))}
    is_of_fleet = bool(fields.pop('fleet', False))
    return Entry(id=name, is_of_fleet=is_of_fleet, **fields)
