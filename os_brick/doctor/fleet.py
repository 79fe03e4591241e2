# SPDX-License-Identifier: Apache-2.0
"""Names that several hosts have: over the output of ``os-brick connector -f json`` of many.

What is read may be a list of these dictionaries, several one after the other (as ``cat`` puts them
together), or what ansible's ``command`` prints: lines ``host | CHANGED | rc=0 >>`` between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
import dataclasses
import json
import re
from typing import Any

from os_brick.core import trace
from os_brick.doctor import catalogue, examine, facts
from os_brick.doctor.case import Case
from os_brick.exception import base

# A finding, and the key of the connector's dictionary that has the name.
_NAMES = {
    'hostname-duplicate': 'host',
    'hostnqn-duplicate': 'nqn',
    'iqn-duplicate': 'initiator',
    'hostid-duplicate': 'hostid',
}
# Of a connector's dictionary at least one of these is there.
_MARKS = {'initiator', 'nqn', 'hostid', 'host', 'wwpns'}
# Lines of ansible, not values: [WARNING]: ..., [DEPRECATION WARNING]: ...
_REMARK = re.compile(r'\[[A-Z ]+\]:')
_FAILED = re.compile(r'\b(?:FAILED|UNREACHABLE)\b')
_MOST_UNREAD = 50
_LONGEST_LINE = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """A host by its connector.

    :ivar label: what the tool that has asked it calls it; empty if it does not.
    """

    label: str
    connector: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What to call it."""
        return trace.one_line(self.label or str(self.connector.get('host') or 'a host'))

    def place(self) -> str:
        """What tells it from another one of its name."""
        return trace.one_line(str(self.connector.get('ip') or self.connector.get('host') or ''))


def examined(text: str) -> examine.Result:
    """The names that several of these hosts have.

    :raises ValueError: if there is no host in it at all.
    """
    hosts, unread = _hosts(text)
    if not hosts:
        raise ValueError('it has no output of os-brick connector -f json')
    counts = Counter(each.name for each in hosts)
    findings = []
    for name, key in _NAMES.items():
        entry = catalogue.entries()[name]
        for value, owners in _owners(hosts, key).items():
            if len(owners) > 1:
                called = sorted(_called(each, counts) for each in owners)
                words = {'hosts': base.listed(called), 'name': value}
                findings.append(examine.finding(entry, Case(words['hosts'], words)))
    result = examine.Result(examine.in_order(findings), tuple(_NAMES), (), tuple(unread))
    return dataclasses.replace(result, hosts=len(hosts))


def _called(host: Host, counts: Mapping[str, int]) -> str:
    return f'{host.name} ({host.place()})' if counts[host.name] > 1 else host.name


def _owners(hosts: list[Host], key: str) -> dict[str, list[Host]]:
    found: dict[str, list[Host]] = {}
    for host in hosts:
        value = host.connector.get(key)
        if isinstance(value, str) and value.strip():
            found.setdefault(value.strip().lower(), []).append(host)
    return found


def _hosts(text: str) -> tuple[list[Host], list[facts.Unread]]:
    """The hosts, none twice, and what could not be read."""
    hosts: dict[str, Host] = {}
    unread: list[facts.Unread] = []

    def miss(label: str, why: str) -> None:
        if len(unread) < _MOST_UNREAD:
            unread.append(facts.Unread('fleet', trace.one_line(label), trace.one_line(why)))

    for label, value in _values(text):
        if isinstance(value, str):
            miss(label or 'a line', value)
            continue
        for each in value if isinstance(value, list) else [value]:
            found = _connector(each)
            if found is None:
                miss(label or 'a value', 'it is not a connector')
                continue
            host = Host(label, found)
            # One host that was asked twice is one; equal names alone may be a clone's.
            hosts.setdefault(json.dumps([label, found], sort_keys=True), host)
    return list(hosts.values()), unread


def _connector(value: object) -> Mapping[str, Any] | None:
    """The dictionary of a connector, be it wrapped in the output's own."""
    if not isinstance(value, Mapping):
        return None
    inner = value.get('connector')
    if isinstance(inner, Mapping):
        # The wrapper knows the host's name where the connector does not.
        return {'host': value.get('host'), **inner}
    return value if _MARKS & set(value) else None


def _values(text: str) -> Iterator[tuple[str, Any]]:
    """Each value of JSON with the label before it; a text is why there is none."""
    decoder = json.JSONDecoder()
    label, place = '', 0
    while place < len(text):
        end = text.find('\n', place)
        end = len(text) if end < 0 else end
        line = text[place:end].strip(' ,]\r\t')
        if line.startswith(('{', '[')) and not _REMARK.match(line):
            try:
                value, place = decoder.raw_decode(text, place + text[place:end].index(line[0]))
            except (ValueError, RecursionError) as error:
                yield label, f'it is not JSON: {error}'
                place = end + 1
            else:
                yield label, value
                label = ''
            continue
        label, has_failed = _label(line) or label, bool(_FAILED.search(line))
        if has_failed and '|' in line:
            yield label, line[:_LONGEST_LINE]
            label = ''
        place = _next(text, place, end, may_begin='>>' in line and not has_failed)


def _next(text: str, place: int, end: int, *, may_begin: bool) -> int:
    """Where to read on: a value may begin on the line of its label."""
    brace = text.find('{', place, end) if may_begin else -1
    return brace if brace >= 0 else end + 1


def _label(line: str) -> str:
    """What ansible calls the host whose output follows: ``NAME | CHANGED | rc=0 >>``."""
    return line.partition('|')[0].strip() if '|' in line else ''
