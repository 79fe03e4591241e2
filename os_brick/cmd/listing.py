# SPDX-License-Identifier: Apache-2.0
"""``os-brick list``: one line for each volume.

It reads what tree reads. -c and --sort-column choose and sort its columns.
"""

from __future__ import annotations

import argparse
import dataclasses

from os_brick.cmd import look, tree
from os_brick.cmd.output import Console, Output, Table, bytes_text
from os_brick.model import inventory, inventory_document
from os_brick.model.inventory import State

#: How values of columns are printed for people.
SHOWN = {'size': bytes_text}
_COLUMNS = ('volume', 'device', 'size', 'protocol', 'paths', 'state', 'user')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which volumes."""
    look.add_arguments(parser)
    parser.add_argument('--unused', action='store_true', help='those that nothing is known to use')
    parser.add_argument('--degraded', action='store_true', help='those that are not well')


def run(options: argparse.Namespace, console: Console) -> Output:
    """The list in every format."""
    host = look.read(options, everything=options.all)
    kept = tuple(volume for volume in host.volumes if _is_wanted(volume, options))
    host = dataclasses.replace(host, volumes=kept)
    document = inventory_document.of_host(host, 'os-brick/list/1')
    for key in ('links', 'ports'):
        del document[key]
    return Output(
        document=document,
        table=Table(_COLUMNS, [_row(volume) for volume in host.volumes]),
        code=look.exit_code(host),
        notes=look.notes(host),
        shown=SHOWN,
    )


def _is_wanted(volume: inventory.Volume, options: argparse.Namespace) -> bool:
    if options.unused and volume.is_used:
        return False
    return not (options.degraded and volume.state is State.OK)


def _row(volume: inventory.Volume) -> tuple[object, ...]:
    paths = f'{volume.ready_paths}/{volume.expected_paths}' if volume.expected_paths else ''
    users = [tree.user_text(user).removeprefix('used by ') for user in volume.users]
    return (
        *(volume.volume_id, volume.device, volume.size_bytes, volume.protocol),
        *(paths, str(volume.state), '; '.join(users)),
    )
