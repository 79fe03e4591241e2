# SPDX-License-Identifier: Apache-2.0
"""What this host remembers of LUKS volumes: that they had a header, or are being given one.

A state that root keeps for each name of a volume: the identity that it reports itself, and
what its caller calls it. It outlasts a crash of the host. A volume that had a header and reads as
zeros has not become new: its path is broken, or it is another volume.
"""

from __future__ import annotations

from collections.abc import Collection
import dataclasses
from typing import Any

from oslo_log import log as logging

from os_brick import exception
from os_brick.model import luks
from os_brick.privileged import luks_states as root

LOG = logging.getLogger(__name__)

Areas = tuple[tuple[int, str], ...]
# The states of a volume, by its names.
Before = dict[str, dict[str, Any]]

_HEADER, _FORMATTING, _AREAS = 'header', 'formatting', 'areas'


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of one volume.

    :ivar header: the UUID of the header that it had; empty if none is known.
    :ivar formatting: the UUID of the header that it was to get when that was interrupted.
    :ivar areas: what of that may have been written: where it begins, and digests of its sectors.
    """

    header: str = ''
    formatting: str = ''
    areas: Areas = ()


def keys(identity: str, volume_id: str) -> list[str]:
    """The names by which a volume is remembered."""
    return [*([identity] if identity else []), *([f'volume-{volume_id}'] if volume_id else [])]


def recall(names: Collection[str]) -> Memory:
    """What is remembered under any of the names."""
    header, formatting = '', ''
    areas: Areas = ()
    for name in names:
        state = root.load(name)
        header = header or _text(state, _HEADER)
        if not formatting and (found := _text(state, _FORMATTING)):
            formatting, areas = found, _places(state.get(_AREAS))
    return Memory(header, formatting, areas)


def _text(state: dict[str, Any], key: str) -> str:
    found = state.get(key)
    return found if isinstance(found, str) else ''


def _places(found: object) -> Areas:
    try:
        return tuple((int(start), str(marks)) for start, marks in found)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return ()


def begin(names: Collection[str], header: luks.Header, areas: Areas) -> Before:
    """Remember that a volume is being given a header from now on; return what was before.

    A header that it had stays remembered.

    :raises BrickException: if that cannot be saved.
    """
    before = {name: root.load(name) for name in names}
    state = {_FORMATTING: header.uuid, _AREAS: [list(area) for area in areas]}
    for name, known in before.items():
        had = {_HEADER: found} if (found := _text(known, _HEADER)) else {}
        _save([name], {**had, **state})
    return before


def has(names: Collection[str], header: luks.Header) -> None:
    """Remember that a volume has a header; what cannot be saved is logged."""
    missing = [name for name in names if root.load(name) != {_HEADER: header.uuid}]
    try:
        _save(missing, {_HEADER: header.uuid})
    except (OSError, exception.BrickException) as error:
        LOG.warning('That %s is a LUKS volume is not remembered: %s', missing, error)


def restore(before: Before) -> None:
    """Remember what was before :func:`begin`, as nothing was written.

    :raises BrickException: if that cannot be saved.
    """
    for name, state in before.items():
        _save([name], state)


def _save(names: Collection[str], state: dict[str, Any]) -> None:
    for name in names:
        root.save(name, state)
