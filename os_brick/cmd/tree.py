# SPDX-License-Identifier: Apache-2.0
"""``os-brick tree``: every volume from what uses it to the wire.

A line for each volume (ID, size, device, protocol), one for each path (disk, address, state, what
carries it), one for each user. It reads sysfs and proc alone: nothing is changed, no program is
started, no device is asked but with --ask.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from os_brick.cmd import look
from os_brick.cmd.output import Console, Output, Table, bytes_text, padded, width_of
from os_brick.model import inventory, inventory_document
from os_brick.model.inventory import State

_COLUMNS = (
    *('volume_id', 'device', 'path_device', 'address', 'state', 'access', 'transport'),
    *('link', 'remote', 'target', 'lun', 'identity', 'size_bytes', 'trouble'),
)
_COLOURS = {State.OK: 'good', State.DEGRADED: 'warn', State.FAILED: 'bad'}
_WORDS = {
    'qemu': 'used by qemu {name} ({detail})',
    'process': 'open in {detail} (process {name})',
    'mount': 'mounted on {name} ({detail})',
    'swap': 'swap space',
    'loop': 'loop device {device}',
    'partition': 'partition {name} ({device})',
    'lvm': 'logical volume {name} ({device})',
    'dm-crypt': 'dm-crypt {name} ({device})',
    'multipath': 'multipath map {name} ({device})',
    'md': '{device}: {detail}',
    'dm': 'device-mapper {name} ({device})',
    'holder': 'held by {device}',
}
_NOTHING = 'carries no volume'
# What one level of the tree is behind the one above it.
_STEP, _LAST, _MORE, _DEEPER = '├─ ', '└─ ', '│  ', '   '


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which volumes, and by what they are grouped."""
    look.add_arguments(parser)
    parser.add_argument(
        '--by',
        choices=('volume', 'session', 'host'),
        default='volume',
        help='group by volume (default), by session or controller, or by adapter',
    )


def run(options: argparse.Namespace, console: Console) -> Output:
    """The tree in every format; ``table``, ``csv`` and ``value`` have a row for each path."""
    host = look.read(options, everything=options.all)
    drawn = {'volume': by_volume, 'session': by_session, 'host': by_host}[options.by]
    return Output(
        document=inventory_document.of_host(host),
        table=Table(_COLUMNS, list(_rows(host))),
        text=lambda console: '\n'.join(drawn(host, console)),
        code=look.exit_code(host),
        notes=look.notes(host),
        shown={'size_bytes': bytes_text},
    )


def _rows(host: inventory.Host) -> Iterator[tuple[object, ...]]:
    for volume in host.volumes:
        for path in volume.paths or (None,):
            yield (
                *(volume.volume_id, volume.device),
                *(_row(path) if path else ('',) * 8 + (None,)),
                *(volume.identity, volume.size_bytes),
                path.trouble if path else ', '.join(volume.trouble),
            )


def _row(path: inventory.Path) -> tuple[object, ...]:
    return (
        *(path.device, path.address, path.state, path.access, path.transport),
        *(path.link, path.remote, path.target, path.lun),
    )


def summary(host: inventory.Host) -> str:
    """The first line: how much there is, and how much of it is not well."""
    bad = [volume for volume in host.volumes if volume.state is not State.OK]
    parts = [_count(len(host.volumes), 'volume'), _count(len(host.paths), 'path')]
    for state in (State.DEGRADED, State.FAILED):
        number = sum(volume.state is state for volume in bad)
        parts += [f'{number} {state}'] if number else []
    asked = sum(bool(path.reported) for path in host.paths)
    parts += [f'{_count(asked, "path")} asked'] if asked else []
    return f'{host.name}: {", ".join(parts)}'


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}{"" if number == 1 else "s"}'


def by_volume(host: inventory.Host, console: Console) -> Iterator[str]:
    """The tree of each volume."""
    yield summary(host)
    for volume in host.volumes:
        yield ''
        yield from drawn_volume(volume, host, console)


def drawn_volume(volume: inventory.Volume, host: inventory.Host, console: Console) -> Iterator[str]:
    """One volume with its paths and its users."""
    name = console.paint(console.plain(volume.volume_id) or '?', 'strong')
    yield '  '.join(
        filter(
            None,
            (
                name,
                bytes_text(volume.size_bytes) if volume.kind != 'share' else '',
                console.plain(volume.path),
                kind_text(volume),
                'read-only' if volume.is_read_only else '',
                _state_text(volume, console),
            ),
        )
    )
    position = _shared_position(volume)
    facts = '  '.join(filter(None, (volume.identity, position, _told(volume))))
    yield from [_MORE + console.plain(facts)] if facts else []
    yield from _branches(
        [
            *([line] for line in _on_share(volume, console)),
            *([line] for line in _paths(volume, console, with_position=not position)),
            *(list(_user(user, console)) for user in volume.users),
            *([] if volume.users else [[_unused(host)]]),
        ]
    )


def _on_share(volume: inventory.Volume, console: Console) -> list[str]:
    """A line for each volume that is a file on a share; none if the share's own line has it."""
    found = volume.names if volume.name is None else ()
    texts = [f' ({name.text})' if name.text else '' for name in found]
    return [
        console.plain(f'volume {name.volume_id}{text}, named by {name.source}')
        for name, text in zip(found, texts, strict=True)
    ]


def _unused(host: inventory.Host) -> str:
    """That nothing uses a volume, as far as it could be seen."""
    return 'nothing is known to use it' if host.unread else 'not in use'


def kind_text(volume: inventory.Volume) -> str:
    """The protocol, and how many of its paths take I/O."""
    if not volume.expected_paths:
        return volume.protocol
    word = 'multipath ' if volume.kind == 'multipath' else ''
    return f'{volume.protocol}, {word}{volume.ready_paths}/{volume.expected_paths}'


def _state_text(volume: inventory.Volume, console: Console) -> str:
    if volume.state is State.OK:
        return ''
    trouble = f': {"; ".join(volume.trouble)}' if volume.trouble else ''
    return console.paint(f'! {volume.state}{console.plain(trouble)}', _COLOURS[volume.state])


def _told(volume: inventory.Volume) -> str:
    """Who says what a volume is called, and what else."""
    if volume.name is None:
        return ''
    since = f' since {volume.name.since}' if volume.name.since else ''
    return f'(named by {volume.name.source}{since})'


def _shared_position(volume: inventory.Volume) -> str:
    """Where the volume is at its target, if that is the same through every path."""
    places = {position(path) for path in volume.paths}
    return places.pop() if len(places) == 1 else ''


def position(path: inventory.Path) -> str:
    """``LUN 1 of iqn...``, ``namespace 3 of nqn...``; empty for a disk of this host's own."""
    if not path.target and not path.remote:
        return ''
    noun = 'namespace' if path.device.startswith('nvme') else 'LUN'
    of = f' of {path.target}' if path.target else ''
    return f'{noun} {path.lun}{of}' if path.lun is not None else of.strip()


def _paths(volume: inventory.Volume, console: Console, *, with_position: bool) -> list[str]:
    """A line for each path, in columns."""
    rows = [
        (
            path.device,
            path.address,
            path.trouble or path.access or path.state,
            _wire(path),
            position(path) if with_position else '',
        )
        for path in volume.paths
    ]
    lines = columns([[console.plain(cell) for cell in row] for row in rows])
    return [
        console.paint(line, 'bad') if path.trouble else line
        for line, path in zip(lines, volume.paths, strict=True)
    ]


def _wire(path: inventory.Path) -> str:
    """What carries a path, and where it leads."""
    start = path.link if path.transport != 'fc' else path.local
    return f'{start} → {path.remote}' if path.remote else start


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with their cells below each other; a column of empty cells is left out."""
    if not rows:
        return []
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    return [
        '  '.join(
            padded(cell, width) for cell, width in zip(row, widths, strict=True) if width
        ).rstrip()
        for row in rows
    ]


def user_text(user: inventory.User) -> str:
    """What uses a volume, in words."""
    form = _WORDS.get(user.kind, '{kind} {name}')
    return form.format(
        kind=user.kind, name=user.name, detail=user.detail or '?', device=user.device
    )


def _user(user: inventory.User, console: Console) -> Iterator[str]:
    """One user, with what uses it below."""
    yield console.plain(user_text(user))
    yield from _branches([list(_user(above, console)) for above in user.users])


def _branches(blocks: Sequence[Sequence[str]]) -> Iterator[str]:
    """Blocks of lines as the branches of what stands above them."""
    for block in blocks:
        is_last = block is blocks[-1]
        yield f'{_LAST if is_last else _STEP}{block[0]}'
        for line in block[1:]:
            yield f'{_DEEPER if is_last else _MORE}{line}'


def by_session(host: inventory.Host, console: Console) -> Iterator[str]:
    """The tree of each session, controller and remote port."""
    yield summary(host)
    for link in host.links:
        yield ''
        words = (link.name, link.transport, link.state, f'→ {link.remote}', link.target)
        yield console.plain('  '.join(filter(None, words)))
        yield from _branches([[line] for line in _carried(host, console, link=link.name)])
    known = {link.name for link in host.links}
    yield from _without(console, [v for v in host.volumes if not _links(v) & known])


def by_host(host: inventory.Host, console: Console) -> Iterator[str]:
    """The tree of each adapter."""
    yield summary(host)
    ports = {port.name: port for port in host.ports}
    names = dict.fromkeys((*ports, *(path.host for path in host.paths)))
    for name in filter(None, names):
        yield ''
        port = ports.get(name)
        more = (port.transport, port.state, port.identity, port.speed) if port else ()
        yield console.plain('  '.join(filter(None, (name, *more))))
        yield from _branches([[line] for line in _carried(host, console, adapter=name)])
    none = [v for v in host.volumes if not any(path.host for path in v.paths)]
    yield from _without(console, none)


def _links(volume: inventory.Volume) -> set[str]:
    return {path.link for path in volume.paths}


def _without(console: Console, volumes: Sequence[inventory.Volume]) -> Iterator[str]:
    """The volumes that nothing of what the tree is grouped by carries, such as shares."""
    if not volumes:
        return
    yield from ('', 'carried by none of these')
    rows = [(each.path, kind_text(each), each.volume_id or '?') for each in volumes]
    yield from _branches(
        [[line] for line in columns([[console.plain(cell) for cell in row] for row in rows])]
    )


def _carried(
    host: inventory.Host, console: Console, *, link: str = '', adapter: str = ''
) -> list[str]:
    """A line for each path of one session or adapter, or one that says that there is none."""
    rows = [
        (
            path.device,
            path.address,
            path.trouble or path.access or path.state,
            position(path),
            f'{volume.path} {volume.volume_id or "?"}',
        )
        for volume in host.volumes
        for path in volume.paths
        if (path.link == link if link else path.host == adapter)
    ]
    return columns([[console.plain(cell) for cell in row] for row in rows]) or [_NOTHING]
