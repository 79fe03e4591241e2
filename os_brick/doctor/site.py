# SPDX-License-Identifier: Apache-2.0
"""What a site has decided about findings: ``/etc/os-brick/doctor.d/*.yaml``.

::

    findings:
      iscsi-recovery-tmo:
        values: {seconds: 30}
        vendors:
          "3PARdata:VV": {seconds: 10}
      orphan-disk:
        level: I
        reason: this host has LUNs of its own
      lvm-active-on-volume:
        silence: [dm-3, vg0-data]

Files are read in the order of their names, and a later one wins. A file that is wrong counts for
nothing, and costs a line; the others count.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any

from os_brick.core import files
from os_brick.doctor import catalogue, facts
from os_brick.doctor.case import Values

DIRECTORY = '/etc/os-brick/doctor.d'
_LARGEST_BYTES = 1 << 20
_LARGEST_VALUE = 1e9
_KEYS = {'silence', 'level', 'values', 'vendors', 'reason'}


@dataclasses.dataclass(frozen=True, slots=True)
class Override:
    """What a site has decided about one finding.

    :ivar is_silenced: whether it is not looked for at all.
    :ivar silenced_objects: those of which nothing is to be said.
    """

    level: str = ''
    is_silenced: bool = False
    silenced_objects: frozenset[str] = frozenset()
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    vendors: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    reason: str = ''


Overrides = Mapping[str, Override]


class Wrong(ValueError):
    """A key of a site's file is not as it has to be."""


def overrides() -> tuple[dict[str, Override], list[facts.Unread]]:
    """What the site has decided, by finding, and the files that are wrong."""
    found: dict[str, Override] = {}
    wrong = []
    for path in sorted([*files.glob(f'{DIRECTORY}/*.yaml'), *files.glob(f'{DIRECTORY}/*.yml')]):
        try:
            found |= _parsed(files.read_regular(path, _LARGEST_BYTES))
        except PermissionError:
            wrong.append(facts.Unread('site', path, facts.NEEDS_ROOT))
        except (OSError, ValueError, TypeError, OverflowError) as error:
            wrong.append(facts.Unread('site', path, f'{error}; the file counts for nothing'))
    return found, wrong


def _parsed(data: bytes) -> dict[str, Override]:
    import yaml  # takes 13 ms, and few sites have a file

    try:
        content = _plain(yaml, data)
    except yaml.YAMLError as error:
        place = getattr(error, 'problem_mark', None)
        line = f' in line {place.line + 1}' if place else ''
        raise Wrong(f'it is not YAML{line}: {getattr(error, "problem", error)}') from None
    except RecursionError:
        raise Wrong('it is nested too deep') from None
    if content is None:
        return {}
    findings = _mapping(_only(content, 'the file', {'findings'}).get('findings'), 'findings')
    return {name: _override(name, row) for name, row in findings.items()}


def _plain(yaml: Any, data: bytes) -> Any:
    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def compose_node(self, parent: Any, index: Any) -> Any:
            # A few lines of aliases of aliases would fill the memory.
            if self.check_event(yaml.AliasEvent):
                raise Wrong('it has an alias (*name)')
            return super().compose_node(parent, index)

    return yaml.load(data, Loader)


def _override(name: str, row: object) -> Override:
    where = f'findings.{name}'
    entry = catalogue.entries().get(name)
    if entry is None:
        raise Wrong(f'{where} is not a finding; os-brick doctor --list has them')
    keys = _only({} if row is None else row, where, _KEYS)
    is_silenced, objects = _silence(keys.get('silence', False), where)
    if not isinstance(keys.get('reason', ''), str):
        raise Wrong(f'{where}.reason has to be a text')
    vendors = _mapping(keys.get('vendors'), f'{where}.vendors')
    return Override(
        level=_level(keys['level'], where) if 'level' in keys else '',
        is_silenced=is_silenced,
        silenced_objects=objects,
        values=_numbers(keys.get('values'), f'{where}.values', entry),
        vendors={str(each): _numbers(row, f'{where}.vendors.{each}', entry)
                 for each, row in vendors.items()},
        reason=keys.get('reason', ''),
    )  # fmt: skip


def _level(value: object, where: str) -> str:
    if not isinstance(value, str) or value not in catalogue.LEVELS:
        raise Wrong(f'{where}.level is {value!r}, and has to be F, W or I')
    return value


def _silence(value: object, where: str) -> tuple[bool, frozenset[str]]:
    """Whether a finding is silenced as a whole, and the objects of which it is."""
    if isinstance(value, bool):
        return value, frozenset()
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return False, frozenset(value)
    raise Wrong(f'{where}.silence has to be true, false, or a list of objects')


def _mapping(value: object, where: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Wrong(f'{where} has to be a dictionary')
    return value


def _only(value: object, where: str, known: set[str]) -> Mapping[str, Any]:
    found = _mapping(value, where)
    for key in found:
        if key not in known:
            raise Wrong(f'{where} has a key {key!r}; known are {", ".join(sorted(known))}')
    return found


def _numbers(value: object, where: str, entry: catalogue.Entry) -> dict[str, float]:
    found = _only(value, where, set(entry.values))
    for key, number in found.items():
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not is_number or not 0 <= number <= _LARGEST_VALUE:
            raise Wrong(f'{where}.{key} has to be a number from 0')
    return dict(found)


def values_of(entry: catalogue.Entry, override: Override) -> Values:
    """The numbers that the rule of a finding goes by."""
    return Values({**entry.values, **override.values}, override.vendors)
