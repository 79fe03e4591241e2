# SPDX-License-Identifier: Apache-2.0
"""Members of mirrors: which array a device belongs to, by its superblock.

A device is a mirror's when its superblock has the same array UUID as those of the other members,
and the wanted name, now. A name alone is none.
"""

from __future__ import annotations

import dataclasses
import itertools

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import fanout, wait
from os_brick.host import block, md
from os_brick.model import md_superblock

LOG = logging.getLogger(__name__)

_MIRROR = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Mirror:
    """The array of a volume, and its members.

    :ivar alias: its name below ``/dev/md``.
    :ivar members: what each one's superblock records.
    """

    alias: str
    uuid: str
    members: dict[str, md_superblock.Superblock]

    def __str__(self) -> str:
        return f'array {self.alias} ({self.uuid})'


def superblocks(
    alias: str, devices: tuple[str, ...], deadline: wait.Deadline
) -> dict[str, md_superblock.Superblock | None]:
    """What the superblocks of the members that can be read say; ``None`` of one without.

    :raises VolumeDeviceNotFound: if none can be read.
    """
    limit = deadline.leaving(0.5).limit(block.READ_SECONDS)
    results, errors = fanout.fanout(lambda device: md.superblock(device, limit), devices)
    for device, error in errors.items():
        LOG.warning('Member %s of array %s cannot be read: %s', device, alias, error)
    if not results:
        why = '; '.join(f'{device}: {error}' for device, error in errors.items())
        raise exception.VolumeDeviceNotFound(
            device=f'any member of array {alias} ({why or "none is attached"})'
        )
    return {device: results[device] for device in devices if device in results}


def identify(alias: str, members: dict[str, md_superblock.Superblock]) -> Mirror:
    """The mirror that all these members are of.

    :raises VolumeIdentityMismatch: if one is of another array.
    :raises BrickException: if they were used apart.
    """
    newest = max(members.values(), key=lambda superblock: superblock.events)
    expected = f'a member of mirror {alias}'
    for device, superblock in members.items():
        if not superblock.is_called(alias) or superblock.level != _MIRROR:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{device}', actual=str(superblock), expected=expected
            )
        if superblock.array_uuid != newest.array_uuid:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{device}',
                actual=str(superblock),
                expected=f'{expected} {newest.array_uuid}',
            )
    refuse_apart(alias, members)
    return Mirror(alias, newest.array_uuid, members)


def refuse_apart(alias: str, members: dict[str, md_superblock.Superblock]) -> None:
    """Have no member overwritten by one that has other data.

    md would copy only what one of them remembers to have changed: a mix of the two.

    :raises BrickException: if two were each used without the other.
    """
    for (one, first), (two, second) in itertools.combinations(members.items(), 2):
        if first.has_given_up(second) and second.has_given_up(first):
            raise exception.BrickException(
                f'Members {one} and {two} of array {alias} ({first.array_uuid}) were each used '
                f'without the other (events {first.events} and {second.events}): which one '
                'to keep cannot be decided here. Nothing was changed'
            )


def leave_out(volume: Mirror, others: list[str], deadline: wait.Deadline) -> list[str]:
    """Return the members again, which are none of the mirror's; they are blank.

    :raises VolumeIdentityMismatch: if one is not.
    """
    for device in others:
        seen = md.signature(device, deadline.limit(block.READ_SECONDS))
        if seen:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{device}', actual=seen, expected=f'a member of {volume}'
            )
    return others
