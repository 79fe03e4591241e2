# SPDX-License-Identifier: Apache-2.0
"""``os-brick show``: every fact of one thing, and where each was read.

WHAT is a volume, a path, a session, a controller, a port, or a device that is built on a volume.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from os_brick.cmd import look, tree
from os_brick.cmd.output import Console, Output, Table, bytes_text
from os_brick.model import inventory, inventory_document
from os_brick.model.inventory_index import Thing

_BLOCK = '/sys/class/block'
_MOUNTS = '/proc/self/mountinfo'
# Where a fact of a SCSI disk, of a path to a namespace and of a block device is read.
_OF_DISK = {
    'identity': 'device/vpd_pg83',
    'serial': 'device/vpd_pg80',
    'state': 'device/state',
    'access': 'device/access_state',
    'size_bytes': 'size',
}
_OF_DEVICE = {'size_bytes': 'size', 'is_read_only': 'ro'}
_IDENTITY = {
    'multipath': f'{_BLOCK}/{{device}}/dm/uuid',
    'namespace': f'{_BLOCK}/{{device}}/uuid',
    'disk': f'{_BLOCK}/{{device}}/{_OF_DISK["identity"]}',
    'rbd': '/sys/bus/rbd/devices/{number}/name',
    'powerflex': '/dev/disk/by-id/{identity}',
    'storpool': '/dev/storpool-byid/{identity}',
}
_TARGET = {'rbd': '/sys/bus/rbd/devices/{number}/cluster_fsid'}
_LINKS = {
    'session': '/sys/class/iscsi_session',
    'nvme': '/sys/class/nvme',
    'rport': '/sys/class/fc_remote_ports',
    'target': '/sys/class/fc_transport',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to show."""
    parser.add_argument('what', nargs=1, metavar='WHAT', help='see os-brick --help')
    look.add_ask(parser)


def run(options: argparse.Namespace, console: Console) -> Output:
    """The facts in every format."""
    name = options.what[0]
    host = look.read(argparse.Namespace(**{**vars(options), 'what': [name]}), everything=True)
    thing = look.one(host, name)
    rows = [*_facts(thing)]
    return Output(
        document={
            'schema': 'os-brick/show/1',
            'host': host.name,
            'at': host.at,
            'kind': thing.kind,
            'name': thing.name,
            'facts': [dict(zip(('fact', 'value', 'read_in'), row, strict=True)) for row in rows],
            'volumes': [inventory_document.of_volume(volume) for volume in thing.volumes],
            'unread': [inventory_document.plain(each) for each in host.unread],
        },
        table=Table(('fact', 'value', 'read_in'), rows),
        text=lambda console: '\n'.join(_drawn(thing, rows, host, console)),
        code=look.exit_code(host),
        notes=look.notes(host),
    )


def _drawn(
    thing: Thing, rows: list[tuple[str, Any, str]], host: inventory.Host, console: Console
) -> Iterator[str]:
    yield console.paint(f'{thing.kind} {console.plain(thing.name)}', 'strong')
    cells = [(fact, _text(fact, value), where) for fact, value, where in rows]
    yield from (
        f'  {line}' for line in tree.columns([[console.plain(c) for c in row] for row in cells])
    )
    for volume in thing.volumes:
        yield ''
        yield from tree.drawn_volume(volume, host, console)


def _text(fact: str, value: object) -> str:
    if value is None or value == '':
        return '-'
    if fact == 'size_bytes' and isinstance(value, int):
        return f'{value} ({bytes_text(value)})'
    return ('yes' if value else 'no') if isinstance(value, bool) else str(value)


def _facts(thing: Thing) -> Iterator[tuple[str, Any, str]]:
    """The name, the value and the source of each fact."""
    value = thing.value
    if isinstance(value, inventory.Volume):
        yield from _of_volume(value)
    elif isinstance(value, inventory.Path):
        yield from _of_path(value)
    elif isinstance(value, inventory.Link):
        yield from _of_parts(value, _place_of_link(value.name))
    elif isinstance(value, inventory.Port):
        yield from _of_parts(value, f'/sys/class/fc_host/{value.name}')
    elif isinstance(value, inventory.User):
        yield from _of_parts(value, f'{_BLOCK}/{value.device}')
    else:
        yield 'name', thing.name, ''


def _of_parts(value: object, place: str) -> Iterator[tuple[str, Any, str]]:
    for key, each in inventory_document.plain(value).items():
        if key != 'users':
            yield key, each, place


def _of_volume(volume: inventory.Volume) -> Iterator[tuple[str, Any, str]]:
    base, is_share = f'{_BLOCK}/{volume.device}', volume.kind == 'share'
    for name in volume.names:
        yield 'volume_id', name.volume_id, name.source
        yield from ((key, value, name.source) for key, value in _more_of_name(name) if value)
    for key in ('path', 'kind', 'protocol', 'size_bytes', 'is_read_only'):
        place = f'{base}/{_OF_DEVICE[key]}' if key in _OF_DEVICE else ''
        yield key, getattr(volume, key), _MOUNTS if is_share else place
    yield 'map_name', volume.map_name, f'{base}/dm/name' if volume.kind == 'multipath' else ''
    yield 'target', volume.target, _filled(_TARGET, volume)
    yield 'identity', volume.identity, _filled(_IDENTITY, volume)
    yield from _as_a_whole(volume)


def _filled(places: dict[str, str], volume: inventory.Volume) -> str:
    """Where a fact of a volume is read; empty if it follows from another one, or is not known."""
    device = volume.device
    number = device.removeprefix(volume.kind)
    place = places.get(volume.kind, '') if volume.identity else ''
    return place.format(device=device, number=number, identity=volume.identity)


def _as_a_whole(volume: inventory.Volume) -> Iterator[tuple[str, Any, str]]:
    """What follows from several files."""
    yield 'state', str(volume.state), ''
    yield 'paths', f'{volume.ready_paths}/{volume.expected_paths}', ''
    for path in volume.paths:
        yield 'path', f'{path.device} {path.trouble or path.access or path.state}', ''
    for user in volume.all_users():
        yield 'user', tree.user_text(user), ''
    for trouble in volume.trouble:
        yield 'trouble', trouble, ''


def _more_of_name(name: inventory.Name) -> Iterator[tuple[str, str]]:
    for key in ('text', 'attachment_id', 'since'):
        yield key, getattr(name, key)


def _of_path(path: inventory.Path) -> Iterator[tuple[str, Any, str]]:
    place = _place_of_link(path.link) if path.link else ''
    for key, value in inventory_document.plain(path).items():
        if key in ('link', 'link_state', 'target', 'remote', 'local', 'transport'):
            yield key, value, place
        elif key in _OF_DISK and not path.device.startswith('nvme'):
            yield key, value, f'{_BLOCK}/{path.device}/{_OF_DISK[key]}'
        else:
            yield key, value, f'{place}/{path.device}' if path.device.startswith('nvme') else ''


def _place_of_link(name: str) -> str:
    kind = next((kind for kind in _LINKS if name.startswith(kind)), '')
    return f'{_LINKS[kind]}/{name}' if kind else ''
