# SPDX-License-Identifier: Apache-2.0
"""``os-brick connector``: what Cinder wants of this host, the connector's properties.

The result of get_connector_properties(), for "openstack volume attachment create" and scripts that
attach without nova. Root functions run in this process; without root, what they alone can read is
left out and named on the standard error.
"""

from __future__ import annotations

import argparse
import logging
import os
from typing import Any

from os_brick.cmd.exits import Exit
from os_brick.cmd.output import Console, Output, Table

# The destination of a default route in /proc/net/route.
_ANYWHERE = '00000000'
# What others cannot reach this host by: loopback, link-local.
_NOT_OURS = ('127.', '::1', 'fe80:', '169.254.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What get_connector_properties() takes."""
    parser.add_argument('--multipath', action='store_true', help='multipath is wanted')
    parser.add_argument(
        '--enforce-multipath', action='store_true', help='and an error if multipathd does not run'
    )
    parser.add_argument('--ip', metavar='ADDRESS', help='by which the array shall know this host')
    parser.add_argument('--host', metavar='NAME', help="this host's name, if not its own")


class _Kept(logging.Handler):
    """Keeps the warnings of what could not be read."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def run(options: argparse.Namespace, console: Console) -> Output:
    """The properties in every format."""
    kept = _Kept()
    logger = logging.getLogger('os_brick')
    logger.addHandler(kept)
    try:
        found = _properties(options)
    finally:
        logger.removeHandler(kept)
    notes = [*kept.texts]
    if os.geteuid() != 0:
        notes.append('not read: what only root may read (needs root)')
    return Output(
        document=found,
        table=Table(('property', 'value'), [(key, found[key]) for key in sorted(found)]),
        code=Exit.UNREAD if notes else Exit.OK,
        notes=tuple(notes),
    )


def _properties(options: argparse.Namespace) -> dict[str, Any]:
    # All of the library: this command alone of those that look pays for its import.
    from os_brick import exception, privileged
    from os_brick.cmd import exits
    from os_brick.initiator import connector

    privileged.default.set_client_mode(False)
    multipath = options.multipath or options.enforce_multipath
    try:
        return connector.get_connector_properties(
            None, options.ip or _address(), multipath, options.enforce_multipath, options.host
        )
    except exception.BrickException as error:
        raise exits.CommandError(
            'no-connector', str(error), exit_code=Exit.FAILURES, remedy='See os-brick doctor.'
        ) from error


def _address() -> str:
    """The address of the interface with the default route, as nova's ``my_ip`` is by default."""
    from os_brick.core import glance, net

    rows = [line.split() for line in glance.read_or('/proc/net/route').splitlines()[1:]]
    leading = [row[0] for row in rows if len(row) > 1 and row[1] == _ANYWHERE]
    try:
        every = net.own_addresses()
    except OSError:
        every = []
    own = [(name, address) for name, address in every if not address.startswith(_NOT_OURS)]
    own.sort(key=lambda each: (each[0] not in leading, ':' in each[1]))
    return own[0][1] if own else '127.0.0.1'
