# SPDX-License-Identifier: Apache-2.0
"""What this host remembers of LUKS volumes, where it outlasts a reboot.

Lock files, and the states beside them, often lie on a tmpfs. A volume that had a header is to be
known for longer, so root keeps these.
"""

from __future__ import annotations

import re
from typing import Any

from os_brick import exception, privileged
from os_brick.core import files, store
from os_brick.model import names
from os_brick.privileged import check

DIRECTORY = '/var/lib/os-brick/luks-volumes'
_KIND = 'luks'
_TEXTS = {'header', 'formatting'}
_AREAS = 'areas'
_UUID = names.Rule('UUID of a LUKS volume', re.compile(r'[0-9a-zA-Z-]{1,40}'), 40)
_MARKS = names.Rule('list of digests', re.compile(r'(?:[0-9a-f]{32}){1,32768}'), 1 << 20)
_MOST_AREAS = 64
_LARGEST_PLACE = 1 << 32


def _store() -> store.Store:
    return store.Store(files.real(DIRECTORY), 0o600, 0o700)


@privileged.entrypoint
def load(name: str) -> dict[str, Any]:
    """What is remembered of a volume under a name; empty if nothing is."""
    return _store().load(_KIND, check.full(names.WWID_TEXT, name)) or {}


@privileged.entrypoint
def save(name: str, state: dict[str, Any]) -> None:
    """Remember something of a volume under a name, so that it outlasts a crash; or nothing.

    :raises BrickException: if it cannot be saved.
    """
    known = check.full(names.WWID_TEXT, name)
    _store().save(_KIND, known, _checked(state) or None, durable=True)


def _checked(state: object) -> dict[str, Any]:
    found = check.settings(state, 'states')
    unknown = found.keys() - _TEXTS - {_AREAS}
    if unknown:
        raise exception.InvalidParameterValue(
            err=f'{names.shown(sorted(map(str, unknown)))} is not a valid part of a state'
        )
    texts = {key: check.full(_UUID, found[key]) for key in _TEXTS & found.keys()}
    areas = [
        [check.number(start, _LARGEST_PLACE, 'place'), check.full(_MARKS, marks)]
        for start, marks in check.pairs(found.get(_AREAS, ()), _MOST_AREAS, 'places')
    ]
    return {**texts, **({_AREAS: areas} if areas else {})}
