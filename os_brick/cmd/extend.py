# SPDX-License-Identifier: Apache-2.0
"""``os-brick extend``: have this host see the new size of a volume, and print it in bytes.

PROPS is as for os-brick attach, but the name of a file has a slash: ./gold.json. WHAT is a volume
that an attach has noted: its ID or the start of it, its device, or its identity.
"""

from __future__ import annotations

import argparse

from os_brick.cmd import change
from os_brick.cmd.output import Console, Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The volume."""
    parser.add_argument(
        'what', metavar='PROPS|WHAT', help='./FILE with the properties, or -; or a volume'
    )
    change.add_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> Output:
    """Extend it."""
    meant, made = change.prepared(options, options.what)

    def act() -> dict[str, object]:
        return {'size_bytes': made.extend_volume(meant.properties)}

    return change.run(options, console, change.Change('extend', meant, made, act))
