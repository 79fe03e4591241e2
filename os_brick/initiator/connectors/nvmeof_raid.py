# SPDX-License-Identifier: Apache-2.0
"""Replicated NVMe volumes: a mirror of md over members that are attached already.

The volume's alias is the name of its array; everything else the members say themselves
(:mod:`os_brick.host.mirror`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
import contextlib

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import observe, wait
from os_brick.core import undo as core_undo
from os_brick.host import block, md, mirror, mirror_members
from os_brick.model import md_superblock, names
from os_brick.plans.mirror import Verb

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
    devices: tuple[str, ...],
    replica_count: int,
    undo: core_undo.Undo,
    deadline: wait.Deadline,
    *,
    attached_before: Collection[str] | None = None,
) -> str:
    """The running array of a volume over its members: found, started or made.

    Members may be missing, as long as there is one. A member that was away is taken back.

    :param replica_count: how many members a new array needs.
    :param attached_before: the members that were here before this operation, if that is known. An
        array that udev has started over none of these is stopped when the operation fails.
    :return: the kernel's name, such as ``md127``; ``/dev/md/ALIAS`` leads to it.
    :raises VolumeIdentityMismatch: if a member has something else on it.
    :raises VolumeDeviceNotFound: if no member can be read, or there are too few for a new array.
    :raises VolumeInUse: if an array over a member is used under another name.
    :raises BrickException: if the array does not start, or its members have been used apart.
    """
    require_alias(alias)
    found = _superblocks(alias, devices, deadline)
    members = {device: superblock for device, superblock in found.items() if superblock is not None}
    if not members:
        with observe.step(Verb.MAKE, alias):
            return mirror.make(alias, tuple(found), replica_count, undo, deadline)
    volume = mirror_members.identify(alias, members)
    spare = mirror_members.leave_out(
        volume, [device for device in found if device not in volume.members], deadline
    )
    for device in spare:
        LOG.warning('Member %s of %s is blank and is left out', device, volume)
    return _run(volume, undo, deadline, attached_before)


def _superblocks(
    alias: str, devices: tuple[str, ...], deadline: wait.Deadline
) -> dict[str, md_superblock.Superblock | None]:
    with observe.step(Verb.READ_MEMBERS, ', '.join(devices)):
        return mirror_members.superblocks(alias, devices, deadline)


def _run(
    volume: mirror_members.Mirror,
    undo: core_undo.Undo,
    deadline: wait.Deadline,
    attached_before: Collection[str] | None,
) -> str:
    with observe.step(Verb.RUN, volume.alias):
        return mirror.start(volume, undo, deadline, attached_before)


def single(
    device: str,
    alias: str | None,
    undo: core_undo.Undo,
    deadline: wait.Deadline,
    *,
    attached_before: Collection[str] | None = None,
) -> str:
    """The device of a volume with one replica: its array, or the member itself if it has none.

    An array that was made inside the volume (its name is another one's, of a certain host)
    is content, and not looked into.

    :raises VolumeIdentityMismatch: if the member is of another volume's array.
    :raises VolumeDeviceNotFound: if the member cannot be read.
    """
    found = _superblocks(alias or device, (device,), deadline)[device]
    if found is None or not _is_ours(found, alias):
        return device
    volume = mirror_members.identify(require_alias(alias or found.short_name), {device: found})
    return _run(volume, undo, deadline, attached_before)


def _is_ours(found: md_superblock.Superblock, alias: str | None) -> bool:
    """Whether a superblock is one that connectors make, or has the volume's name.

    Names that were too long for a host before them have none.
    """
    made_elsewhere = not found.array_uuid or (':' in found.name and not found.is_for_any_host)
    return not made_elsewhere or bool(alias and found.is_called(alias))


def array_of(alias: str | None, devices: tuple[str, ...]) -> str | None:
    """The array of a volume that is here, running or not, or ``None``.

    By its members, or if it has lost them by its name and their UUID. Without any member by its
    name, if it has none left itself: one whose members are there is another volume's. Another array
    over a member is a user of it, as a mount is.
    """
    if alias is None:
        return _made_over(devices)
    if names.MD_ALIAS.why_not(alias):
        return None
    for array in md.arrays_over(devices):
        if _has_name(array, alias):
            return array
    return _by_name(alias, devices)


def _made_over(devices: tuple[str, ...]) -> str | None:
    """The array that connectors have made over members, if these say so themselves."""
    for array in md.arrays_over(devices):
        uuid = md.uuid(array)
        read = list(_read(device for device in devices if md.array_over(device) == array))
        if uuid and read and all(_is_made_here(each, uuid) for each in read):
            return array
    return None


def _is_made_here(found: md_superblock.Superblock | None, uuid: str) -> bool:
    return found is not None and found.array_uuid == uuid and _is_ours(found, None)


def _by_name(alias: str, devices: tuple[str, ...]) -> str | None:
    """The array that the path of a volume leads to, if it is none of another volume's."""
    named = md.array_named(alias)
    if named is None:
        return None
    if not devices:
        has_members = any(block.exists(member.name) for member in md.members(named))
        return None if has_members else named
    return named if md.uuid(named) in _uuids(devices) else None


def _has_name(array: str, alias: str) -> bool:
    if md.array_named(alias) == array:
        return True
    read = list(_read(member.name for member in md.members(array)))
    # If none of its members can be read any more, they are the volume's by what is known of them.
    return not read or any(each is not None and each.is_called(alias) for each in read)


def _uuids(devices: Iterable[str]) -> set[str]:
    return {each.array_uuid for each in _read(devices) if each is not None and each.array_uuid}


def _read(devices: Iterable[str]) -> Iterator[md_superblock.Superblock | None]:
    """The superblocks of those devices that can be read; ``None`` of one without."""
    for device in devices:
        with contextlib.suppress(OSError, exception.OperationTimedOut):
            yield md.superblock(device)
