# SPDX-License-Identifier: Apache-2.0
"""Mirrors over devices: whose leg is whose, made, started and completed.

A leg is a mirror's when its superblock says so, now: same array UUID as the other legs, and the
wanted name. Only legs that are proven blank become a new array; whatever else is on one stays
there, and the error says what it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
import contextlib
import dataclasses
import itertools

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import fanout, wait
from os_brick.core import undo as core_undo
from os_brick.host import block, md
from os_brick.model import md_superblock

LOG = logging.getLogger(__name__)

_MIRROR = 1
# udev assembles arrays, too, and is through with one in a second or so; from then on it is ours.
START_SECONDS = 20.0
# Then mdadm is asked again, and less and less often: it may have met udev's probes of a leg.
FIRST_RETRY_SECONDS = 0.1
# A mirror makes sense from here on, and mdadm makes none of less.
_FEWEST_LEGS = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Mirror:
    """The array of a volume, and its legs.

    :ivar alias: its name below ``/dev/md``.
    :ivar legs: what each one's superblock says.
    """

    alias: str
    uuid: str
    legs: dict[str, md_superblock.Superblock]

    def __str__(self) -> str:
        return f'array {self.alias} ({self.uuid})'


def superblocks(
    alias: str, legs: tuple[str, ...], deadline: wait.Deadline
) -> dict[str, md_superblock.Superblock | None]:
    """What the superblocks of the legs that can be read say; ``None`` of one without.

    :raises VolumeDeviceNotFound: if none can be read.
    """
    limit = deadline.leaving(0.5).limit(block.READ_SECONDS)
    results, errors = fanout.fanout(lambda leg: md.superblock(leg, limit), legs)
    for leg, error in errors.items():
        LOG.warning('Member %s of array %s cannot be read: %s', leg, alias, error)
    if not results:
        why = '; '.join(f'{leg}: {error}' for leg, error in errors.items())
        raise exception.VolumeDeviceNotFound(
            device=f'any member of array {alias} ({why or "none is attached"})'
        )
    return {leg: results[leg] for leg in legs if leg in results}


def identify(alias: str, members: dict[str, md_superblock.Superblock]) -> Mirror:
    """The mirror that all these legs are of.

    :raises VolumeIdentityMismatch: if one is of another array.
    :raises BrickException: if they were used apart.
    """
    newest = max(members.values(), key=lambda said: said.events)
    expected = f'a member of mirror {alias}'
    for leg, said in members.items():
        if not said.is_called(alias) or said.level != _MIRROR:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{leg}', actual=str(said), expected=expected
            )
        if said.array_uuid != newest.array_uuid:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{leg}', actual=str(said), expected=f'{expected} {newest.array_uuid}'
            )
    _refuse_apart(alias, members)
    return Mirror(alias, newest.array_uuid, members)


def _refuse_apart(alias: str, members: dict[str, md_superblock.Superblock]) -> None:
    """Have no leg overwritten by one that has other data.

    md would copy only what one of them remembers to have changed: a mix of the two.
    """
    for (one, first), (two, second) in itertools.combinations(members.items(), 2):
        if first.has_given_up(second) and second.has_given_up(first):
            raise exception.BrickException(
                f'Members {one} and {two} of array {alias} ({first.array_uuid}) were each used '
                f'without the other (events {first.events} and {second.events}): which one '
                'to keep cannot be decided here. Nothing was changed'
            )


def leave_out(volume: Mirror, others: list[str], deadline: wait.Deadline) -> list[str]:
    """Return the legs again, which are none of the mirror's; they are blank.

    :raises VolumeIdentityMismatch: if one is not.
    """
    for leg in others:
        seen = md.signature(leg, deadline.limit(block.READ_SECONDS))
        if seen:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{leg}', actual=seen, expected=f'a member of {volume}'
            )
    return others


# A new array.


def make(
    alias: str,
    legs: tuple[str, ...],
    replica_count: int,
    undo: core_undo.Undo,
    deadline: wait.Deadline,
) -> str:
    """Make a new array of blank legs and return the kernel's name of it.

    :raises VolumeIdentityMismatch: if a leg is not blank.
    :raises VolumeDeviceNotFound: if there are fewer than ``replica_count``.
    :raises VolumeInUse: if somebody uses a leg.
    :raises BrickException: if it is not made.
    """
    _refuse_to_make(alias, legs, replica_count, deadline)
    LOG.info('Array %s is created over the blank devices %s', alias, ', '.join(legs))
    undo.add(_stop_new_over, legs)
    md.create(alias, legs, deadline.limit(md.MDADM_SECONDS))
    found = superblocks(alias, legs, deadline)
    volume = identify(alias, {leg: said for leg, said in found.items() if said is not None})
    if len(volume.legs) != len(legs):
        missing = ', '.join(leg for leg in legs if leg not in volume.legs)
        raise exception.BrickException(f'New {volume} has no superblock on {missing}')
    return _usable(volume, _wait_named(volume, deadline), deadline)


def _refuse_to_make(
    alias: str, legs: tuple[str, ...], replica_count: int, deadline: wait.Deadline
) -> None:
    for leg in legs:
        seen = md.signature(leg, deadline.limit(block.READ_SECONDS))
        if seen:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{leg}', actual=seen, expected=f'a blank device for array {alias}'
            )
        users = block.users(leg)
        if users:
            raise exception.VolumeInUse(device=f'/dev/{leg}', holder=', '.join(users))
    wanted = max(replica_count, _FEWEST_LEGS)
    if len(legs) < wanted:
        raise exception.VolumeDeviceNotFound(
            device=f'{md.path_of(alias)} ({len(legs)} of {wanted} members are attached: '
            f'{", ".join(legs)}; a new array needs all of them)'
        )
    _refuse_other_array(alias, '')


def _refuse_other_array(alias: str, uuid: str) -> None:
    """Have the volume's path lead to no array of somebody else's."""
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
    """Have a mirror run under its name with all legs that are here; return the kernel's name of it.

    :param attached_before: the legs that were here before this operation, if that is known.
    :raises VolumeIdentityMismatch: if its path leads to another array.
    :raises VolumeInUse: if it is used under another name.
    :raises VolumeDeviceNotFound: if it cannot be read.
    :raises BrickException: if it does not start.
    """
    _refuse_other_array(volume.alias, volume.uuid)
    way = _Start(volume, undo, deadline)
    array = wait.poll(way.attempt, deadline.within(START_SECONDS))
    if array is None:
        raise exception.BrickException(
            f'{volume} does not start over {", ".join(volume.legs)}: {way.answer}'
        )
    if not way.is_ours:
        new = attached_before is not None and not set(attached_before) & _names(array)
        if new and _names(array) <= set(volume.legs):
            undo.add(_stop_if_still, array, volume.uuid)
            way.is_ours = True
    _complete(volume, array, undo, deadline, is_ours=way.is_ours)
    return _usable(volume, array, deadline)


def _names(array: str) -> set[str]:
    return {member.name for member in md.members(array)}


class _Start:
    """The way to one running array under the volume's name, whatever udev does meanwhile.

    :ivar answer: what mdadm said last.
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
        """The array if it runs under its name by now; one step towards that if not."""
        arrays = md.arrays_over(self._volume.legs)
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
        if _is_named(self._volume, array, self._deadline.within(md.LINK_SECONDS)):
            return array
        # Somebody has given it another name. If it is used so, the kernel does not stop it.
        md.refuse_users(array)
        md.stop(array, self._deadline)
        return None

    def _assemble(self) -> None:
        if not self._next.passed:
            return
        volume, legs = self._volume, tuple(self._volume.legs)
        if not self.is_ours:
            self._undo.add(_stop_array_over, legs, volume.uuid)
        self.is_ours = True
        limit = self._deadline.limit(md.MDADM_SECONDS)
        self.answer = md.assemble(volume.alias, volume.uuid, legs, limit)
        self._next = wait.Deadline.after(self._pause)
        self._pause *= 2

    def _stop_waiting(self, array: str) -> None:
        """Stop an array that waits for more legs, which may never come; nobody can use it."""
        try:
            md.stop(array, self._deadline)
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
        look, deadline.within(md.LINK_SECONDS), f'{volume} to appear at {md.path_of(volume.alias)}'
    )


# Undoing has a time of its own: it runs when the operation's may be up.


def _stop_if_still(array: str, uuid: str) -> None:
    if md.uuid(array) == uuid:
        md.stop(array, wait.Deadline.after(md.MDADM_SECONDS))


def _stop_array_over(legs: tuple[str, ...], uuid: str) -> None:
    for array in md.arrays_over(legs):
        _stop_if_still(array, uuid)


def _stop_new_over(legs: tuple[str, ...]) -> None:
    """Legs that were blank and free have no array but the new one."""
    for array in md.arrays_over(legs):
        md.stop(array, wait.Deadline.after(md.MDADM_SECONDS))


def _give_up(array: str, uuid: str, leg: str) -> None:
    for member in md.members(array) if md.uuid(array) == uuid else ():
        if member.name == leg:
            md.drop(array, member, wait.Deadline.after(md.DROP_SECONDS))


# Legs that a running array is without.


def _complete(
    volume: Mirror, array: str, undo: core_undo.Undo, deadline: wait.Deadline, *, is_ours: bool
) -> None:
    """Have a running array take its legs that it is without; it works without them meanwhile."""
    for member in md.members(array):
        if not member.is_usable:
            with _only_warn(volume):
                md.drop(array, member, deadline)
    has = _names(array)
    for leg in volume.legs:
        if leg in has:
            continue
        with _only_warn(volume):
            _refuse_apart_from_running(volume, array, leg)
            md.take_back(array, leg, deadline.limit(md.MDADM_SECONDS))
            if not is_ours:
                undo.add(_give_up, array, volume.uuid, leg)


def _refuse_apart_from_running(volume: Mirror, array: str, leg: str) -> None:
    """As before the start, against legs that were not handed in: here somebody else started it."""
    others = [name for name in sorted(_names(array)) if name not in volume.legs]
    known = {leg: volume.legs[leg]}
    for other in others:
        found = md.superblock(other)
        if found is not None:
            known[other] = found
    _refuse_apart(volume.alias, known)


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
