# SPDX-License-Identifier: Apache-2.0
"""``os-brick detach``: write a volume back, and take it away from this host.

PROPS is as for os-brick attach, but the name of a file has a slash: ./gold.json. WHAT is a volume
that an attach has noted: its ID or the start of it, its device, or its identity.
"""

from __future__ import annotations

import argparse

from os_brick.cmd import change
from os_brick.cmd.output import Console, Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The volume, and what an error means."""
    parser.add_argument(
        'what', metavar='PROPS|WHAT', help='./FILE with the properties, or -; or a volume'
    )
    parser.add_argument(
        '--force', action='store_true', help='go on where data cannot be written back: it is lost'
    )
    parser.add_argument(
        '--ignore-errors', action='store_true', help='with --force: errors are warnings'
    )
    change.add_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> Output:
    """Detach it."""
    meant, made = change.prepared(options, options.what)

    def act() -> dict[str, object]:
        made.disconnect_volume(
            *(meant.properties, meant.device_info, options.force, options.ignore_errors)
        )
        return {'detached': meant.volume}

    chosen = {'force': options.force, 'ignore errors': options.ignore_errors}
    return change.run(options, console, change.Change('detach', meant, made, act, chosen))
