# SPDX-License-Identifier: Apache-2.0
"""Replicated NVMe volumes: a mirror of md over legs that are attached already.

The volume's alias is the name of its array; everything else the legs say themselves
(:mod:`os_brick.host.mirror`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
import contextlib

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import teardown, wait
from os_brick.core import undo as core_undo
from os_brick.host import block, md, mirror
from os_brick.model import md_superblock, names

LOG = logging.getLogger(__name__)


def require_alias(alias: str | None) -> str:
    """The alias of a replicated volume, by which its array goes.

    :raises InvalidParameterValue: if it is missing, or no name of one thing below ``/dev/md``.
    """
    try:
        return names.MD_ALIAS.parse(alias)
    except ValueError as error:
        raise exception.InvalidParameterValue(err=f'alias: {error}') from None


def bring(
    alias: str,
    legs: tuple[str, ...],
    replica_count: int,
    undo: core_undo.Undo,
    deadline: wait.Deadline,
    *,
    attached_before: Collection[str] | None = None,
) -> str:
    """The running array of a volume over its legs: found, started or made.

    Legs may be missing, as long as there is one. A leg that was away is taken back.

    :param replica_count: how many legs a new array needs.
    :param attached_before: the legs that were here before this operation, if that is known. An
        array that udev has started over none of these is stopped when the operation fails.
    :return: the kernel's name, such as ``md127``; ``/dev/md/ALIAS`` leads to it.
    :raises VolumeIdentityMismatch: if a leg has something else on it.
    :raises VolumeDeviceNotFound: if no leg can be read, or there are too few for a new array.
    :raises VolumeInUse: if an array over a leg is used under another name.
    :raises BrickException: if the array does not start, or its legs have been used apart.
    """
    require_alias(alias)
    found = mirror.superblocks(alias, legs, deadline)
    members = {leg: said for leg, said in found.items() if said is not None}
    if not members:
        return mirror.make(alias, tuple(found), replica_count, undo, deadline)
    volume = mirror.identify(alias, members)
    spare = mirror.leave_out(volume, [leg for leg in found if leg not in volume.legs], deadline)
    for leg in spare:
        LOG.warning('Member %s of %s is blank and is left out', leg, volume)
    return mirror.start(volume, undo, deadline, attached_before)


def single(
    leg: str,
    alias: str | None,
    undo: core_undo.Undo,
    deadline: wait.Deadline,
    *,
    attached_before: Collection[str] | None = None,
) -> str:
    """The device of a volume with one replica: its array, or the leg itself if it has none.

    An array that somebody made inside the volume (its name is another one's, of a certain host)
    is content, and not looked into.

    :raises VolumeIdentityMismatch: if the leg is of another volume's array.
    :raises VolumeDeviceNotFound: if the leg cannot be read.
    """
    found = mirror.superblocks(alias or leg, (leg,), deadline)[leg]
    if found is None or not _is_ours(found, alias):
        return leg
    volume = mirror.identify(require_alias(alias or found.short_name), {leg: found})
    return mirror.start(volume, undo, deadline, attached_before)


def _is_ours(found: md_superblock.Superblock, alias: str | None) -> bool:
    """Whether a superblock is one that connectors make, or has the volume's name.

    Names that were too long for a host before them have none.
    """
    made_elsewhere = not found.array_uuid or (':' in found.name and not found.is_for_any_host)
    return not made_elsewhere or bool(alias and found.is_called(alias))


def array_of(alias: str | None, legs: tuple[str, ...]) -> str | None:
    """The array of a volume that is here, running or not, or ``None``.

    By its legs, or if it has lost them by its name and their UUID. Without any leg by its name, if
    it has none left itself: one whose members are there is somebody else's.
    """
    if alias is not None and names.MD_ALIAS.why_not(alias):
        return None
    for array in md.arrays_over(legs):
        if alias is None or _has_name(array, alias):
            return array
    named = md.array_named(alias) if alias else None
    if named is None:
        return None
    if not legs:
        has_members = any(block.exists(member.name) for member in md.members(named))
        return None if has_members else named
    return named if md.uuid(named) in _uuids(legs) else None


def _has_name(array: str, alias: str) -> bool:
    if md.array_named(alias) == array:
        return True
    said = list(_readable(member.name for member in md.members(array)))
    # If none of its legs can be read any more, they are the volume's by what is known of them.
    return not said or any(each.is_called(alias) for each in said)


def _uuids(legs: Collection[str]) -> set[str]:
    return {said.array_uuid for said in _readable(iter(legs)) if said.array_uuid}


def _readable(legs: Iterator[str]) -> Iterator[md_superblock.Superblock]:
    for leg in legs:
        with contextlib.suppress(OSError, exception.OperationTimedOut):
            found = md.superblock(leg)
            if found is not None:
                yield found


def end(array: str, steps: teardown.Teardown, deadline: wait.Deadline, *, force: bool) -> None:
    """Flush and stop an array; its data is safe and its links are gone afterwards.

    An array none of whose legs exists has nothing to be flushed to.

    :raises VolumeInUse: if somebody uses it; with ``force`` only if the kernel says so.
    """
    if not force:
        steps.run('check for users', lambda: md.refuse_users(array))
    if any(member.is_present for member in md.members(array)) and md.is_running(array):
        limit = deadline.leaving(0.3).limit()
        steps.run(f'flush of {array}', lambda: block.flush(array, limit))
    steps.run(f'stop of {array}', lambda: md.stop(array, deadline))


def grow(array: str, deadline: wait.Deadline) -> int:
    """Have an array use its legs' new size; return its size in bytes.

    :raises BrickException: if it does not.
    """
    return md.grow(array, deadline)
