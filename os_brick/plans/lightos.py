# SPDX-License-Identifier: Apache-2.0
"""What is done with a volume of LightOS: facts to steps, no I/O.

The vendor's discovery client connects the host and keeps it connected; it is told by a file. So
an attach tells it and waits, and a detach leaves its controllers.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import enum

from os_brick.plans import acts, nvme_removal, steps
from os_brick.plans.acts import Act


class Verb(enum.StrEnum):
    """The steps besides those of NVMe."""

    MAKE_NAME = 'make name'
    ASK_CLIENT = 'ask client'
    WRITE_FILE = 'write file'
    AWAIT = 'wait until it can be read'
    TELL_MONITOR = 'tell monitor'
    REMOVE_FILE = 'remove file'


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What there is of a volume.

    :ivar client: where the discovery client answers.
    :ivar path: the volume's file; ``has_file``: whether it is there.
    :ivar controllers: those of its cluster, in words.
    :ivar devices: the volume, if it is here.
    """

    what: str
    client: str
    path: str
    has_file: bool
    controllers: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    has_name: bool = True


def attach(found: Found, identity: str, *, is_encrypted: bool) -> acts.Plan:
    """An attach."""
    name = [] if found.has_name else [Act(Verb.MAKE_NAME, back='it stays')]
    back = 'it stays' if found.has_file else 'remove it'
    return acts.plan(
        'attach',
        found.what,
        (
            *name,
            Act(Verb.ASK_CLIENT, found.client),
            Act(Verb.WRITE_FILE, found.path, back=back),
            Act(Verb.AWAIT, identity=identity),
            *acts.link_made(is_encrypted=is_encrypted),
        ),
        (
            *(found.controllers or ('this host is not connected to the cluster',)),
            *(f'the namespace is here: /dev/{each}' for each in found.devices),
            f'{found.path} is {"there" if found.has_file else "missing"}',
        ),
        (
            'the client does not answer: the attach fails, unless the cluster is connected',
            'the client does not connect, or the cluster does not show the namespace: the attach '
            'fails',
        ),
    )


def told(what: str, *, has_monitor: bool) -> tuple[Act, ...]:
    """The step by which a detach tells the monitor."""
    return (Act(Verb.TELL_MONITOR, what),) if has_monitor else ()


def removal(namespace: nvme_removal.Removal, last: Sequence[Act]) -> steps.Plan[steps.Step]:
    """A detach: of the namespace, whose controllers stay, and then of what tells of it."""
    return steps.Plan(namespace.kind, namespace.what, (*namespace.steps, *last))
