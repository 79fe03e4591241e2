# SPDX-License-Identifier: Apache-2.0
"""``os-brick attach``: attach a volume, and print its device.

Without --no-multipath a multipath map is made where multipathd answers. PROPS is a file or "-":
JSON or YAML, the connection properties or the whole connection_info. Nothing with a secret in it
belongs on a command line.
"""

from __future__ import annotations

import argparse
import dataclasses

from os_brick.cmd import change, properties
from os_brick.cmd.output import Console, Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PROPS, and how to attach."""
    parser.add_argument('props', metavar='PROPS', help='a file with the properties, or -')
    several = parser.add_mutually_exclusive_group()
    several.add_argument('--no-multipath', action='store_true', help='use one path')
    several.add_argument(
        '--enforce-multipath', action='store_true', help='fail where multipathd does not answer'
    )
    parser.add_argument('--expect', metavar='WWID', help='what the volume has to be')
    parser.add_argument('--id', metavar='VOLUME_ID', help='what its note calls it')
    change.add_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> Output:
    """Attach it."""
    meant, made = change.prepared(
        options, options.props, properties.of_file, is_multipath=not options.no_multipath
    )
    more = {
        'expected_wwid': options.expect,
        'volume_id': options.id,
        'enforce_multipath': options.enforce_multipath or None,
    }
    given = {name: value for name, value in more.items() if value is not None}
    meant = dataclasses.replace(meant, properties={**meant.properties, **given})

    def act() -> dict[str, object]:
        return {'device_info': made.connect_volume(meant.properties)}

    chosen = {'multipath': not options.no_multipath}
    return change.run(options, console, change.Change('attach', meant, made, act, chosen))
