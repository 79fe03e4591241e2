# SPDX-License-Identifier: Apache-2.0
"""``os-brick attach``: attach a volume, and print its device.

Without --no-multipath a multipath map is made where multipathd answers. PROPS is a file or "-":
JSON or YAML, the connection properties or the whole connection_info. Nothing with a secret in it
belongs on a command line.
"""

from __future__ import annotations

import argparse
import dataclasses
import re

from os_brick import initiator
from os_brick.cmd import change, exits, properties
from os_brick.cmd.output import Console, Output
from os_brick.model import vpd
from os_brick.model.names import shown

# Whose volumes have WWIDs, which an attach compares with the one that is asked for.
_WITH_WWID = (initiator.ISCSI, initiator.ISER, initiator.FIBRE_CHANNEL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PROPS, and how to attach."""
    parser.add_argument('props', metavar='PROPS', help='a file with the properties, or -')
    several = parser.add_mutually_exclusive_group()
    several.add_argument('--no-multipath', action='store_true', help='use one path')
    several.add_argument(
        '--enforce-multipath', action='store_true', help='fail where multipathd does not answer'
    )
    parser.add_argument(
        '--expect', type=change.word, metavar='WWID', help='what the volume has to be'
    )
    parser.add_argument(
        '--id', type=change.word, metavar='VOLUME_ID', help='what its note calls it'
    )
    change.add_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> Output:
    """Attach it."""
    meant, made = change.prepared(
        options, options.props, properties.of_file, is_multipath=not options.no_multipath
    )
    if options.expect is not None:
        _require_comparable(options.expect, meant.protocol)
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


def _require_comparable(wwid: str, protocol: str) -> None:
    """Refuse what an attach could not compare: it would take whatever volume is there.

    A text of another form may be a name that the unit has (udev: 1 for T10, 8 for SCSI, S for a
    serial number). One of NAA or EUI-64 without its 3 or 2, or with digits missing, belongs to
    no unit.
    """
    if protocol.upper() not in _WITH_WWID:
        raise exits.usage(
            f'--expect is for iSCSI and Fibre Channel, and the volume is of {protocol}.',
            'Put its identity into the properties, such as vol_uuid for NVMe.',
        )
    if re.fullmatch('[2-79a-f][0-9a-f]*', wwid.lower()) and not vpd.is_registered(wwid.lower()):
        raise exits.usage(
            f'{shown(wwid)} is not a valid WWID.',
            'It is a 3, and after that the 16 or 32 digits of the NAA name that the array shows.',
        )
