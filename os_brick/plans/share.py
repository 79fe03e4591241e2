# SPDX-License-Identifier: Apache-2.0
"""What an attach and a detach do with the share of a volume: facts to steps, no I/O.

Nothing of a mounted share is looked at before: its server may be away, and a look would hang.
"""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import enum

from os_brick.model.mounts import Mount
from os_brick.plans import acts
from os_brick.plans.acts import Act


class Verb(enum.StrEnum):
    """The steps of an attach."""

    USE = 'use mount'
    UNMOUNT = 'unmount what is stale'
    ASK = 'ask server'
    MAKE_DIRECTORY = 'make directory if missing'
    MOUNT = 'mount'
    CHECK_FILE = 'check file'


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A share, and what there is of it.

    :ivar share: without a password.
    :ivar place: where it is mounted, or is to be.
    :ivar mounted: the share there; ``None`` if it is not mounted.
    :ivar server: that is asked over TCP before a mount; empty if it is not.
    :ivar tries_versions: whether the options name no version of NFS.
    """

    share: str
    kind: str
    place: str
    mounted: Mount | None = None
    server: str = ''
    tries_versions: bool = False


def attach(found: Found, name: str) -> acts.Plan:
    """An attach of the file ``name``."""
    mount = _use(found.mounted) if found.mounted else _mount(found)
    last = Act(Verb.CHECK_FILE, name)
    return acts.plan(
        'attach', f'{name} on {found.share}', (*mount, last), _now(found), _could(found)
    )


def _use(mounted: Mount) -> Iterator[Act]:
    yield Act(Verb.USE, mounted.place, mounted.number)


def _mount(found: Found) -> Iterator[Act]:
    if found.server:
        yield Act(Verb.ASK, found.server)
    yield Act(Verb.MAKE_DIRECTORY, found.place, back='remove it, if it was made')
    yield Act(Verb.MOUNT, found.share, value=found.place, back='unmount it, unless it is in use')


def _now(found: Found) -> Iterator[str]:
    if found.mounted is None:
        yield f'{found.share} is not mounted at {found.place}'
        return
    rights = 'read-only' if found.mounted.is_read_only else 'for writing'
    yield f'{found.share} is mounted at {found.place} as {found.mounted.kind}, {rights}'


def _could(found: Found) -> Iterator[str]:
    if found.mounted:
        yield (
            'the server does not know the handle any more: it is unmounted, unless it is in use, '
            'and mounted again'
        )
    elif found.tries_versions:
        yield 'the server does not have NFS 4.2: 4.1 is tried, and then what mount.nfs prefers'
    yield 'the share has no such file, or it is a link out of it or a device: the attach fails'


def removal(found: Found, name: str) -> acts.Plan:
    """A detach: the share stays, for other volumes and for services that use it."""
    return acts.plan('removal', f'{name} on {found.share}', (), (*_now(found), 'it stays so'))
