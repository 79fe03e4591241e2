# SPDX-License-Identifier: Apache-2.0
"""Names that several hosts have: over the output of ``os-brick connector -f json`` of many.

What is read may be a list of these dictionaries, several one after the other (as ``cat`` puts them
together), or what ansible's ``command`` prints: lines ``host | CHANGED | rc=0 >>`` between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import json
from typing import Any

from os_brick.doctor import catalogue, examine, facts
from os_brick.doctor.case import Case

# A finding, and the key of the connector's dictionary that has the name.
_NAMES = {'hostnqn-duplicate': 'nqn', 'iqn-duplicate': 'initiator', 'hostid-duplicate': 'hostid'}
# Of a connector's dictionary at least one of these is there.
_MARKS = {'initiator', 'nqn', 'hostid', 'host', 'wwpns'}


def examined(text: str) -> examine.Result:
    """The names that several of these hosts have.

    :raises ValueError: if there is no host in it at all.
    """
    hosts, unread = _hosts(text)
    if not hosts:
        raise ValueError('it has no output of os-brick connector -f json')
    findings = []
    for name, key in _NAMES.items():
        entry = catalogue.entries()[name]
        for value, owners in _owners(hosts, key).items():
            if len(set(owners)) > 1:
                words = {'hosts': ', '.join(sorted(set(owners))), 'name': value}
                findings.append(examine.finding(entry, Case(words['hosts'], words)))
    return examine.Result(examine.in_order(findings), tuple(_NAMES), (), tuple(unread))


def _owners(hosts: list[tuple[str, Mapping[str, Any]]], key: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for host, connector in hosts:
        value = connector.get(key)
        if isinstance(value, str) and value.strip():
            found.setdefault(value.strip().lower(), []).append(host)
    return found


def _hosts(text: str) -> tuple[list[tuple[str, Mapping[str, Any]]], list[facts.Unread]]:
    """The connectors with the names of their hosts, and what could not be read."""
    hosts: list[tuple[str, Mapping[str, Any]]] = []
    unread = []
    for label, value in _values(text):
        if isinstance(value, str):
            unread.append(facts.Unread('fleet', label or 'a line', value))
            continue
        for each in value if isinstance(value, list) else [value]:
            found = _connector(each)
            if found is None:
                unread.append(facts.Unread('fleet', label or 'a value', 'it is not a connector'))
            else:
                number = len(hosts) + 1
                hosts.append((str(found.get('host') or label or f'host {number}'), found))
    return hosts, unread


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
        if text[place] in '{[':
            try:
                value, place = decoder.raw_decode(text, place)
            except (ValueError, RecursionError) as error:
                yield label, f'it is not JSON: {error}'
                return
            yield label, value
            continue
        end = text.find('\n', place)
        end = len(text) if end < 0 else end
        line = text[place:end].strip(' ,]')
        if '|' in line or '>>' in line:
            label = line.partition('|')[0].strip()
            if 'FAILED' in line or 'UNREACHABLE' in line:
                yield label, line[:200]
                place = end
                continue
        brace = text.find('{', place, end)
        place = brace if brace >= 0 else end + 1
