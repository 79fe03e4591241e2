# SPDX-License-Identifier: Apache-2.0
"""Mirrors over devices: made, started and completed.

Whose member a device is, its superblock decides (:mod:`os_brick.host.mirror_members`). Only devices
that are proven blank become a new array; whatever else is on one stays there, and the error names
it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
import contextlib

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import undo as core_undo
from os_brick.core import wait
from os_brick.host import block, md, md_acts, mirror_undo
from os_brick.host.mirror_members import Mirror, identify, refuse_apart, superblocks

LOG = logging.getLogger(__name__)

_MIRROR = 1
# udev assembles arrays, too, and is through with one in a second or so; from then on it is ours.
START_SECONDS = 20.0
# Then mdadm is asked again, and less and less often: it may have met udev's probes of a member.
FIRST_RETRY_SECONDS = 0.1
# A mirror makes sense from here on, and mdadm makes none of less.
_FEWEST_MEMBERS = 2


# A new array.


def make(
    alias: str,
    devices: tuple[str, ...],
    replica_count: int,
    undo: core_undo.Undo,
    deadline: wait.Deadline,
) -> str:
    """Make a new array of blank members and return the kernel's name of it.

    :raises VolumeIdentityMismatch: if a member is not blank.
    :raises VolumeDeviceNotFound: if there are fewer than ``replica_count``.
    :raises VolumeInUse: if a member is in use.
    :raises BrickException: if it is not made.
    """
    _refuse_to_make(alias, devices, replica_count, deadline)
    LOG.info('Array %s is created over the blank devices %s', alias, ', '.join(devices))
    undo.add(mirror_undo.stop_new_over, mirror_undo.numbered(devices))
    md_acts.create(alias, devices, deadline.limit(md_acts.MDADM_SECONDS))
    found = superblocks(alias, devices, deadline)
    volume = identify(
        alias,
        {device: superblock for device, superblock in found.items() if superblock is not None},
    )
    if len(volume.members) != len(devices):
        missing = ', '.join(device for device in devices if device not in volume.members)
        raise exception.BrickException(f'New {volume} has no superblock on {missing}')
    return _usable(volume, _wait_named(volume, deadline), deadline)


def _refuse_to_make(
    alias: str, devices: tuple[str, ...], replica_count: int, deadline: wait.Deadline
) -> None:
    for device in devices:
        seen = md.signature(device, deadline.limit(block.READ_SECONDS))
        if seen:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{device}', actual=seen, expected=f'a blank device for array {alias}'
            )
        users = block.users(device)
        if users:
            raise exception.VolumeInUse(device=f'/dev/{device}', holder=', '.join(users))
    wanted = max(replica_count, _FEWEST_MEMBERS)
    if len(devices) < wanted:
        raise exception.VolumeDeviceNotFound(
            device=f'{md.path_of(alias)} ({len(devices)} of {wanted} members are attached: '
            f'{", ".join(devices)}; a new array needs all of them)'
        )
    _refuse_other_array(alias, '')


def _refuse_other_array(alias: str, uuid: str) -> None:
    """Have the volume's path lead to no foreign array."""
    named = md.array_named(alias)
    if named is None or not md.is_running(named):
        return
    seen = md.uuid(named)
    if seen != uuid:
        raise exception.VolumeIdentityMismatch(
            device=md.path_of(alias),
            actual=f'array {named} ({seen})',
            expected=f'array {uuid or "that is still to be made"}',
        )


# An array that was made before.


def start(
    volume: Mirror,
    undo: core_undo.Undo,
    deadline: wait.Deadline,
    attached_before: Collection[str] | None,
) -> str:
    """Have a mirror run under its name with all its members here; return the kernel's name of it.

    :param attached_before: the members that were here before this operation, if that is known.
    :raises VolumeIdentityMismatch: if its path leads to another array.
    :raises VolumeInUse: if it is used under another name.
    :raises VolumeDeviceNotFound: if it cannot be read.
    :raises BrickException: if it does not start.
    """
    _refuse_other_array(volume.alias, volume.uuid)
    start = _Start(volume, undo, deadline)
    array = wait.poll(start.attempt, deadline.within(START_SECONDS))
    if array is None:
        raise exception.BrickException(
            f'{volume} does not start over {", ".join(volume.members)}: {start.answer}'
        )
    if not start.is_ours:
        new = attached_before is not None and not set(attached_before) & _names(array)
        if new and _names(array) <= set(volume.members):
            undo.add(mirror_undo.stop_over, mirror_undo.numbered(volume.members), volume.uuid)
            start.is_ours = True
    _complete(volume, array, undo, deadline, is_ours=start.is_ours)
    return _usable(volume, array, deadline)


def _names(array: str) -> set[str]:
    return {member.name for member in md.members(array)}


class _Start:
    """The start of one running array under the volume's name, whatever udev does meanwhile.

    :ivar answer: what mdadm answered last.
    :ivar is_ours: whether this operation has started it.
    """

    def __init__(self, volume: Mirror, undo: core_undo.Undo, deadline: wait.Deadline) -> None:
        self._volume = volume
        self._undo = undo
        self._deadline = deadline
        self._next = wait.Deadline.after(0)
        self._pause = FIRST_RETRY_SECONDS
        self.answer = ''
        self.is_ours = False

    def attempt(self) -> str | None:
        """The array if it runs under its name by now; one step towards that if not.

        :raises BrickException: if it runs more than once, or mdadm fails.
        """
        arrays = md.arrays_over(self._volume.members)
        running = [array for array in arrays if md.is_running(array)]
        if len(running) > 1:
            raise exception.BrickException(
                f'{self._volume} runs more than once: {", ".join(running)}'
            )
        for array in arrays:
            if array not in running:
                self._stop_waiting(array)
        if not running:
            self._assemble()
            return None
        return self._under_its_name(running[0])

    def _under_its_name(self, array: str) -> str | None:
        seen = md.uuid(array)
        if seen != self._volume.uuid:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{array}', actual=f'array {seen}', expected=str(self._volume)
            )
        if _is_named(self._volume, array, self._deadline.within(md_acts.LINK_SECONDS)):
            return array
        # Another process has named it. If it is used so, the kernel does not stop it.
        md.refuse_users(array)
        md_acts.stop(array, self._deadline, uuid_meant=seen)
        return None

    def _assemble(self) -> None:
        if not self._next.passed:
            return
        volume, devices = self._volume, tuple(self._volume.members)
        if not self.is_ours:
            self._undo.add(mirror_undo.stop_over, mirror_undo.numbered(devices), volume.uuid)
        self.is_ours = True
        limit = self._deadline.limit(md_acts.MDADM_SECONDS)
        self.answer = md_acts.assemble(volume.alias, volume.uuid, devices, limit)
        self._next = wait.Deadline.after(self._pause)
        self._pause *= 2

    def _stop_waiting(self, array: str) -> None:
        """Stop an array that waits for more members, which may never come; no one can use it."""
        try:
            md_acts.stop(array, self._deadline)
        except exception.BrickException as error:
            self.answer = str(error)


def _is_named(volume: Mirror, array: str, deadline: wait.Deadline) -> bool:
    """Whether the volume's path leads to an array, or comes to; not if another path does."""

    def look() -> bool | None:
        if md.array_named(volume.alias) == array:
            return True
        return False if md.paths_of(array) else None

    return bool(wait.poll(look, deadline))


def _wait_named(volume: Mirror, deadline: wait.Deadline) -> str:
    """The running array of a volume, once its path leads to it."""

    def look() -> str | None:
        array = md.array_named(volume.alias)
        good = array and md.is_running(array) and md.uuid(array) == volume.uuid
        return array if good else None

    return wait.until(
        look,
        deadline.within(md_acts.LINK_SECONDS),
        f'{volume} to appear at {md.path_of(volume.alias)}',
    )


# Members that a running array is without.


def _complete(
    volume: Mirror,
    array: str,
    undo: core_undo.Undo,
    deadline: wait.Deadline,
    *,
    is_ours: bool,
) -> None:
    """Have a running array take its members that it is without; it works without them meanwhile."""
    for member in md.members(array):
        if not member.is_usable:
            with _only_warn(volume):
                md_acts.drop(array, member, deadline)
    has = _names(array)
    for device in volume.members:
        if device in has:
            continue
        with _only_warn(volume):
            _refuse_apart_from_running(volume, array, device)
            if not is_ours:
                # Before it: one that is interrupted, or killed, may have been done.
                undo.add(mirror_undo.give_up, array, volume.uuid, mirror_undo.numbered([device]))
            md_acts.take_back(array, device, deadline.limit(md_acts.MDADM_SECONDS))


def _refuse_apart_from_running(volume: Mirror, array: str, device: str) -> None:
    """As before the start, against members that were not passed: another one started it."""
    others = [name for name in sorted(_names(array)) if name not in volume.members]
    known = {device: volume.members[device]}
    for other in others:
        found = md.superblock(other)
        if found is not None:
            known[other] = found
    refuse_apart(volume.alias, known)


@contextlib.contextmanager
def _only_warn(volume: Mirror) -> Iterator[None]:
    try:
        yield
    except (exception.BrickException, OSError) as error:
        LOG.warning('%s goes on without a member: %s', volume, error)


def _usable(volume: Mirror, array: str, deadline: wait.Deadline) -> str:
    error = block.why_unreadable(array, deadline.limit(block.READ_SECONDS))
    if error is not None:
        raise exception.VolumeDeviceNotFound(
            f'{volume} runs as /dev/{array} and cannot be read: {error}'
        ) from error
    return array
