# SPDX-License-Identifier: Apache-2.0
"""The commands: what they are called, what they do, and in which module they are."""

from __future__ import annotations

import dataclasses

LOOK = 'look'
UNDERSTAND = 'understand'
CHANGE = 'change'
OTHER = 'other'
# A group, and what the help calls it.
GROUPS = {
    LOOK: 'look (no root; nothing is changed)',
    UNDERSTAND: 'understand',
    CHANGE: 'change (root)',
    OTHER: 'other',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """One command.

    :ivar module: below ``os_brick.cmd``; imported only when the command is called.
    :ivar summary: one line, which fits beside the name on a screen of 80 columns.
    :ivar seconds: what ``--timeout`` is if it is not given; ``None`` for no limit of its own.
    """

    name: str
    group: str
    summary: str
    module: str = ''
    seconds: float | None = 10.0

    @property
    def where(self) -> str:
        """The module's whole name."""
        return f'os_brick.cmd.{self.module or self.name}'


COMMANDS = (
    Command('tree', LOOK, 'every volume from what uses it to the wire'),
    Command('list', LOOK, 'one line for each volume', 'listing'),
    Command('show', LOOK, 'every fact of one thing, and where it was read'),
    Command('connector', LOOK, 'what Cinder wants of this host', seconds=30.0),
    Command('doctor', UNDERSTAND, 'what is wrong with this host, and what to type'),
    Command('explain', UNDERSTAND, 'what a finding, an error, a log or a thing means'),
    Command('report', UNDERSTAND, 'one file for support, without secrets', seconds=60.0),
    Command('metrics', UNDERSTAND, 'what is here and what took how long, for Prometheus'),
    Command('attach', CHANGE, 'attach a volume, and print its device', seconds=None),
    Command('detach', CHANGE, 'write a volume back, and take it away', seconds=None),
    Command('extend', CHANGE, 'have this host see the new size of a volume', seconds=None),
    Command('completion', OTHER, 'a script by which bash, zsh or fish completes'),
    Command('version', OTHER, 'the version of os-brick, of Python and of the kernel'),
)
BY_NAME = {command.name: command for command in COMMANDS}
