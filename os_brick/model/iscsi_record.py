# SPDX-License-Identifier: Apache-2.0
"""The text of open-iscsi's records: lines ``name = value``, of which the last one of a name counts.

Bytes that are not UTF-8 are kept by ``surrogateescape``: what is not changed stays byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
import hashlib

_END = '# END RECORD'


def decoded(data: bytes) -> str:
    """The text of a record."""
    return data.decode('utf-8', 'surrogateescape')


def encoded(record: str) -> bytes:
    """The bytes of a record."""
    return record.encode('utf-8', 'surrogateescape')


def value(record: str, name: str) -> str:
    """The value of a setting; empty without one."""
    found = ''
    # Not splitlines: open-iscsi knows one end of a line.
    for line in record.split('\n'):
        key, separator, text = line.partition('=')
        if separator and key.strip() == name:
            found = text.strip()
    return found


def name_of(line: str) -> str:
    """The setting that a line is of; empty for a comment."""
    name = line.partition('=')[0].strip()
    return '' if name.startswith('#') else name


def with_settings(record: str, settings: Mapping[str, str]) -> str:
    """The record with settings in the place of those of the same names."""
    lines = record.rstrip('\n').split('\n') if record.strip() else []
    kept = [line for line in lines if name_of(line) not in settings and line.strip() != _END]
    return '\n'.join([*kept, *(f'{name} = {text}' for name, text in settings.items()), _END, ''])


def replaced(record: str, settings: Mapping[str, str]) -> str:
    """The record with other values of settings, each where it stands."""
    lines = record.split('\n')
    names = [name_of(line) for line in lines]
    return '\n'.join(
        f'{name} = {settings[name]}' if name in settings else line
        for name, line in zip(names, lines, strict=True)
    )


def has_settings(record: str, settings: Mapping[str, str]) -> bool:
    """Whether a record has all of the settings."""
    return all(value(record, name) == text.strip() for name, text in settings.items())


def marks(settings: Mapping[str, str]) -> dict[str, str]:
    """What tells the values of settings again later, without a secret in it."""
    return {name: _mark(text) for name, text in settings.items()}


def _mark(text: str) -> str:
    return hashlib.sha256(text.strip().encode('utf-8', 'surrogateescape')).hexdigest()[:16]


def reverted(record: str, before: str, given: Mapping[str, str]) -> str:
    """The record as it was before it was given settings.

    If another program has changed it since, what that one wrote stays: only the settings that are
    still ours are taken back.

    :param given: :func:`marks` of the settings.
    """
    values = {name: value(record, name) for name in given}
    ours = {name for name, text in values.items() if _mark(text) == given[name]}
    if ours == given.keys() and record == with_settings(before, values):
        return before
    previous = {name: text for name in ours if (text := value(before, name))}
    new = ours - previous.keys()
    lines = with_settings(record, previous).split('\n')
    return '\n'.join(line for line in lines if name_of(line) not in new)


def is_node(record: str, target: str) -> bool:
    """Whether open-iscsi can use a node record: it says which target at which address.

    open-iscsi reads one that is empty or cut off without an error, and then looks for a record of
    a target without a name: ``Could not stat …/nodes//,3260,-1/default`` (2.1.11).
    """
    name = value(record, 'node.name')
    return name.lower() == target.lower() and bool(value(record, 'node.conn[0].address'))


def is_discovery(record: str) -> bool:
    """Whether open-iscsi can use a record for discoveries."""
    return value(record, 'discovery.type') == 'sendtargets'
