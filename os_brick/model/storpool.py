# SPDX-License-Identifier: Apache-2.0
"""StorPool: its configuration files and what its API answers, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import dataclasses
import re
from typing import Any, Self

from os_brick.model import names

BYID = '/dev/storpool-byid'
BY_NAME = '/dev/storpool'

# The client's device of the attachment at position N (API 21.0, AttachmentPos). It is written sp-N
# in StorPool's own drivers, and spN in the reference of the API.
_DEVICE = re.compile(r'sp-?([0-9]{1,7})')
_POSITION = re.compile(r'[0-9]{1,7}')
# API 21.0, ClientID.
_CLIENT = re.compile(r'0*[1-9][0-9]{0,3}')
_HIGHEST_CLIENT = 4095
_RIGHTS = ('ro', 'rw')

Section = dict[str, str | None]


def sections(text: str) -> dict[str, Section]:
    """The variables of a configuration file by their section; those before any are in ``''``.

    The rules are those of confget 5.1.2, StorPool's own reader: blanks around names, values and
    lines do not count, a backslash at its end continues a line, a line that begins with ``#`` or
    ``;`` is a comment, and the last of several values of a name holds. A line without ``=`` or
    ``:`` is a name without a value.

    :raises ValueError: naming the line that is none of these; not what is in it.
    """
    found: dict[str, Section] = {}
    current = found.setdefault('', {})
    for number, line in _joined(text):
        if not line or line[0] in '#;':
            continue
        if line[0] == '[':
            if line[-1] != ']':
                raise ValueError(f'line {number}: the name of the section has no closing bracket')
            current = found.setdefault(line[1:-1].strip(), {})
            continue
        name, separator, value = _split(line)
        if not name:
            raise ValueError(f'line {number}: a value without a name')
        current[name] = value if separator else None
    return found


def _joined(text: str) -> Iterable[tuple[int, str]]:
    """Lines without the blanks around them, those that continue joined; with their numbers."""
    begun, parts = 0, ''
    for number, line in enumerate(text.splitlines(), 1):
        begun = begun or number
        if line.endswith('\\'):
            parts += line[:-1]
            continue
        yield begun, (parts + line).strip()
        begun, parts = 0, ''
    if parts:
        yield begun, parts.strip()


def _split(line: str) -> tuple[str, str, str]:
    found = re.search('[=:]', line)
    if found is None:
        return line, '', ''
    return line[: found.start()].rstrip(), found[0], line[found.end() :].lstrip()


def client_id(text: str | None) -> int:
    """The number of a client, such as this host.

    :raises ValueError: if it is not one.
    """
    found = text or ''
    if not _CLIENT.fullmatch(found) or int(found) > _HIGHEST_CLIENT:
        raise ValueError(
            f'{names.shown(found)} is not a number from 1 to {_HIGHEST_CLIENT}'
            if found
            else 'missing'
        )
    return int(found)


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """A volume of the cluster.

    :ivar global_id: no other volume ever has it; a name may be given to another one.
    :ivar size: in bytes.
    """

    global_id: str
    size: int

    @classmethod
    def of(cls, data: object) -> Self:
        """Read what ``VolumeGetInfo`` answers.

        :raises ValueError: saying what is missing in it.
        """
        found = data if isinstance(data, Mapping) else {}
        size = found.get('size')
        if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
            raise ValueError('there is no size of the volume in it')
        return cls(names.STORPOOL_GLOBAL_ID.parse(found.get('globalId')), size)


@dataclasses.dataclass(frozen=True, slots=True)
class Attachment:
    """That a volume or a snapshot is attached to this host.

    :ivar global_id: empty where the cluster does not report it.
    :ivar volume: its name, or ``~`` and the global id.
    :ivar rights: ``rw`` or ``ro``.
    :ivar position: what the name of its device is made of.
    """

    global_id: str
    volume: str
    rights: str
    position: int | None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """Read one of what ``AttachmentsList`` answers."""
        # A number may come as a text.
        position = str(entry.get('pos'))
        volume = str(entry.get('volume') or '')
        own = volume[1:] if volume.startswith('~') else ''
        return cls(
            str(entry.get('globalId') or own),
            volume,
            str(entry.get('rights')),
            int(position) if _POSITION.fullmatch(position) else None,
        )

    def allows(self, access: str) -> bool:
        """Whether a caller that wants this access has it."""
        return self.rights in _RIGHTS and self.rights >= access


@dataclasses.dataclass(frozen=True, slots=True)
class Attachments:
    """What is attached to this host."""

    every: tuple[Attachment, ...]

    @classmethod
    def to(cls, client: int, data: object) -> Self:
        """Read what ``AttachmentsList`` answers, which is of all clients.

        :raises ValueError: if it is not a list.
        """
        if not isinstance(data, list):
            raise ValueError('it is not a list of attachments')
        entries = [each for each in data if isinstance(each, Mapping)]
        own = [each for each in entries if str(each.get('client')) == str(client)]
        return cls(tuple(Attachment.of(each) for each in own))

    def of(self, global_id: str) -> Attachment | None:
        """That of a volume, if it is attached."""
        return next((each for each in self.every if each.global_id == global_id), None)

    def owner(self, device: str, global_id: str) -> str | None:
        """Who else a device belongs to than the volume whose link leads to it.

        udev may remove the link of a volume later than the next one gets its device.

        :return: ``None`` if nothing contradicts the link.
        """
        matched = _DEVICE.fullmatch(device)
        if matched is None:
            return None
        position = int(matched[1])
        holder = next((each for each in self.every if each.position == position), None)
        if holder is not None:
            is_own = holder.global_id in {'', global_id}
            return None if is_own else f'volume {holder.global_id}'
        own = self.of(global_id)
        return None if own is None or own.position is None else 'a device of no attached volume'
