# SPDX-License-Identifier: Apache-2.0
"""Reads PROPS and WHAT: which volume a command that changes is about, and of which protocol it is.

PROPS is a file or ``-``: JSON, or YAML; either the connection properties alone or the whole
``connection_info`` of Cinder. It is never a word on the command line, which every user can read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import json
import os
import stat
import sys
from typing import Any

from os_brick.cmd import exits, services
from os_brick.core import files, glance, trace
from os_brick.host import links, namesakes, notes
from os_brick.model import note, shares

_LARGEST_BYTES = 1 << 20
_OF_SHARE = ('export', 'name')
# Protocols whose attaches note nothing, and those whose volumes are no devices of this host: what
# a note says of a device is not theirs to say.
_NOT_NOTED = ('local', 'gpfs')
_WITHOUT_DEVICE = {*shares.KINDS, 'vmdk'}
# As notes have it, by the names of ``InitiatorConnector.factory``.
_PROTOCOLS = {
    'iscsi': 'ISCSI',
    'fc': 'FIBRE_CHANNEL',
    'nvme': 'NVMEOF',
    'rbd': 'RBD',
    'powerflex': 'SCALEIO',
    'huawei': 'HUAWEISDSHYPERVISOR',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Meant:
    """The volume that is meant.

    :ivar protocol: as ``InitiatorConnector.factory`` takes it.
    :ivar device_info: what an attach has returned, if it is noted.
    :ivar warnings: what is to be said besides.
    :ivar name: what it is called: a file, or as its note has it.
    :ivar connection: the whole connection_info: with ``mount_point_base`` for a share.
    :ivar device: the device that was named, which has to be one of the volume's.
    """

    protocol: str
    properties: Mapping[str, Any]
    device_info: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    name: str = ''
    device: str = ''
    connection: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def volume(self) -> str:
        """What the volume is called: its ID, else its device, else what it was named by."""
        told = (self.properties.get('volume_id'), (self.device_info or {}).get('path'))
        return next((each for each in told if each and isinstance(each, str)), self.name)


def of_file(where: str, protocol: str | None) -> Meant:
    """The volume of a file with properties, or of the standard input for ``-``.

    :raises CommandError: if it cannot be read, or does not tell the protocol.
    """
    raw, warnings = _loaded(where)
    inner = raw.get('data')
    kind = protocol or raw.get('driver_volume_type')
    connection: Mapping[str, Any] = {}
    if 'driver_volume_type' in raw:
        if not isinstance(inner, Mapping):
            raise exits.usage(f'data in {where} is not a dictionary.', 'Pass a connection_info.')
        connection, raw = raw, inner
    if not isinstance(kind, str) or not kind:
        raise exits.usage(
            f'{where} does not tell the protocol.',
            'Give it with --protocol (such as iscsi), or pass the whole connection_info.',
        )
    secrets = [str(name) for name in raw if trace.is_secret(name) and raw[name]]
    warnings = warnings if secrets else ()
    return Meant(kind.upper(), raw, warnings=warnings, name=where, connection=connection)


def _loaded(where: str) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """What a file holds, and what is to be said of the file if there is a secret in it."""
    warnings: tuple[str, ...] = ()
    try:
        if where == '-':
            # Python has none where the descriptor is closed, as cron may have it.
            text = sys.stdin.read(_LARGEST_BYTES) if sys.stdin is not None else ''
        else:
            path = os.path.abspath(where)
            _require_trusted(path)
            text = files.read_regular(path, _LARGEST_BYTES).decode()
            if files.mode(path) & (stat.S_IRGRP | stat.S_IROTH):
                warnings = (f'{where} has a secret in it, and other users can read it: chmod 600',)
        found = json.loads(text) if text.lstrip().startswith('{') else _yaml(text)
    except (OSError, ValueError, RecursionError) as error:
        # Not the error of a parser as it is: it shows a piece of the file.
        why = error.strerror if isinstance(error, OSError) else 'it is neither JSON nor YAML'
        raise exits.usage(
            f'{where} cannot be read: {why}.', 'PROPS is a file with connection properties, or -.'
        ) from None
    if not isinstance(found, Mapping) or not _has_texts_for_keys(found):
        raise exits.usage(
            f'{where} does not hold a dictionary with texts for keys.',
            'See os-brick attach --help.',
        )
    return found, warnings


def _has_texts_for_keys(found: object) -> bool:
    """Whether no dictionary in a value has a key that JSON cannot have; YAML may have numbers."""
    if isinstance(found, Mapping):
        texts = all(isinstance(key, str) for key in found)
        return texts and all(map(_has_texts_for_keys, found.values()))
    return not isinstance(found, list) or all(map(_has_texts_for_keys, found))


def _require_trusted(path: str) -> None:
    """Have a file be one that no other user has written: root does what it says.

    :raises CommandError: if it may be another user's.
    """
    caller = os.environ.get('SUDO_UID', '')
    own = {0, os.geteuid(), int(caller) if caller.isdecimal() else 0}
    is_shared = files.mode(path) & (stat.S_IWGRP | stat.S_IWOTH)
    if is_shared or files.owner(path) not in own:
        raise exits.CommandError(
            'file-of-another-user',
            f'{path} belongs to another user, or can be changed by one.',
            exit_code=exits.Exit.REFUSED,
            remedy='Look at it, then make it your own: chown, chmod 600.',
        )


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError from error


def meant(what: str, protocol: str | None) -> Meant:
    """The volume of a file, or one that is noted.

    :param what: ``-`` or a path with a slash for a file; a volume's ID or its start, its device or
        its identity. A word without a slash is never a file, whatever lies in this directory.
    :raises CommandError: if there is none, or there are several.
    """
    if not what.strip():
        raise exits.usage(
            'The volume that is meant is an empty word.', 'Is a variable of the shell not set?'
        )
    if what == '-' or ('/' in what and not what.startswith('/dev/')):
        return of_file(what, protocol)
    found = _noted(what)
    if not found:
        raise exits.CommandError(
            'not-found',
            f'No volume that an attach has noted on this host has the name {what}.',
            exit_code=exits.Exit.NOT_THERE,
            remedy=f'There is a file of that name. If it is meant: ./{what}'
            if glance.exists(os.path.abspath(what))
            else 'Pass its connection properties as a file, with a slash: ./volume.json.',
        )
    if len(found) > 1:
        raise exits.ambiguous(what, tuple(_names_of([each for each, _ in found])))
    [(one, place)] = found
    services.use_notes_of(place)
    return dataclasses.replace(_of_note(one, protocol), device=_device(one, what))


def _noted(what: str) -> list[tuple[note.Note, str]]:
    """The volumes of this name that any service has noted as attached, each with where."""
    found: dict[tuple[str, str], tuple[note.Note, str]] = {}
    for place in services.note_paths():
        for each in notes.in_place(place).notes:
            if each.is_attached and _is_called(each, what):
                before = found.get(each.whose)
                if before is None or before[0].at < each.at:
                    found[each.whose] = each, place
    # Of one name, what has gone without a detach is not meant where another one is here.
    here = {namesakes.name_of(each.key) for each, _ in found.values() if namesakes.is_here(each)}
    return [
        (each, place)
        for each, place in found.values()
        if namesakes.name_of(each.key) not in here or namesakes.is_here(each)
    ]


def _names_of(found: Sequence[note.Note]) -> Iterator[str]:
    """What each of several volumes is called, and no other one of them."""
    ids = Counter(each.volume_id for each in found)
    for each in found:
        is_single = each.volume_id and ids[each.volume_id] == 1
        yield each.volume_id if is_single else (each.device and f'/dev/{each.device}') or each.key


def _device(found: note.Note, what: str) -> str:
    """The device that WHAT is; empty if it is another name of the volume."""
    return found.device if links.device_of(what).removeprefix('/dev/') == found.device else ''


def _is_called(found: note.Note, what: str) -> bool:
    if found.protocol in _NOT_NOTED:
        return False
    name = links.device_of(what).removeprefix('/dev/')
    is_device = bool(name) and name == found.device and found.protocol not in _WITHOUT_DEVICE
    is_start = len(what) >= 4 and found.volume_id.startswith(what)
    # A note may lack some of these, and an empty text does not name a volume.
    names = {found.volume_id, found.identity, found.key} - {''}
    return is_start or what in names or is_device


def _of_note(found: note.Note, protocol: str | None) -> Meant:
    """The volume of a note; its secrets are not there, which a detach needs of few protocols."""
    shown = _properties(found)
    kind = _PROTOCOLS.get(found.protocol, found.protocol.upper())
    if 'lightos_nodes' in shown:
        kind = 'LIGHTOS'
    if not shown:
        raise exits.CommandError(
            'no-properties',
            f'The note of {found.volume_id or found.key} does not have its properties.',
            exit_code=exits.Exit.REFUSED,
            remedy='Pass its connection properties as a file.',
        )
    by = found.process
    told = f'The properties are those that {by.program} (user {by.user}) has noted.' if by else ''
    base = _mount_base(found)
    return Meant(
        protocol.upper() if protocol else kind,
        shown,
        found.result,
        connection={'mount_point_base': base} if base else {},
        warnings=(told,) if by and by.user != os.geteuid() else (),
        name=found.volume_id or found.key,
    )


def _properties(found: note.Note) -> dict[str, Any]:
    """What a caller would pass for the volume of a note, without secrets."""
    shown = {name: value for name, value in found.properties.items() if value != trace.HIDDEN}
    if shown and found.protocol == 'rbd':
        shown['do_local_attach'] = True
        if namesakes.is_here(found):
            # An extend is told the device by the properties alone, and else asks the cluster, for
            # which it may need a key.
            shown['device_path'] = f'/dev/{found.device}'
    return shown


def _mount_base(found: note.Note) -> str:
    """Below which directory the share of a volume is mounted; empty for other volumes.

    The path of the volume tells it, whose last parts are named after the share and the file.
    """
    path, share, name = ((found.result or {}).get('path'), *map(found.properties.get, _OF_SHARE))
    if not (isinstance(path, str) and isinstance(share, str) and isinstance(name, str)):
        return ''
    end = f'/{shares.digest(share)}/{name}'
    return path.removesuffix(end) if path.endswith(end) else ''
