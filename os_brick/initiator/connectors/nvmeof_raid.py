# SPDX-License-Identifier: Apache-2.0
"""Replicated NVMe volumes: a mirror of md over legs that are attached already.

A leg belongs to the volume when its superblock says so, now: same array UUID as the other legs, and
the volume's alias as the array's name. Only legs that are proven blank become a new array; whatever
else is on a leg stays there, and the error says what it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
import contextlib
import dataclasses
import itertools
import re

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import fanout, wait
from os_brick.core import undo as core_undo
from os_brick.host import block, md
from os_brick.initiator.connectors import base

LOG = logging.getLogger(__name__)

# One name below /dev/md, as os_brick.privileged.mdadm takes it.
_ALIAS = re.compile(r'(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}')
_MIRROR = 1
# udev assembles arrays, too, and is through with one in a second or so; from then on it is ours.
START_SECONDS = 20.0
# Then mdadm is asked again, and less and less often: it may have met udev's probes of a leg.
FIRST_RETRY_SECONDS = 0.1
# A mirror makes sense from here on, and mdadm makes none of less.
_FEWEST_LEGS = 2


@dataclasses.dataclass(frozen=True, slots=True)
class _Volume:
    """The array of a volume, and its legs with what each one's superblock says."""

    alias: str
    uuid: str
    legs: dict[str, md.Superblock]

    def __str__(self) -> str:
        return f'array {self.alias} ({self.uuid})'


def require_alias(alias: str | None) -> str:
    """The alias of a replicated volume, by which its array goes.

    :raises InvalidParameterValue: if it is missing, or no name of one thing below ``/dev/md``.
    """
    if isinstance(alias, str) and _ALIAS.fullmatch(alias):
        return alias
    raise exception.InvalidParameterValue(
        err=f'alias: {alias!r} is no name of an md array (letters, digits, "_.:-"; at most 64)'
    )


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
    found = _superblocks(alias, legs, deadline)
    members = {leg: said for leg, said in found.items() if said is not None}
    if not members:
        return _made(alias, tuple(found), replica_count, undo, deadline)
    volume = _checked(alias, members)
    spare = _without_foreign(volume, [leg for leg in found if leg not in volume.legs], deadline)
    for leg in spare:
        LOG.warning('Leg %s of %s is blank and is left out', leg, volume)
    return _started(volume, undo, deadline, attached_before)


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
    found = _superblocks(alias or leg, (leg,), deadline)[leg]
    if found is None or not _is_ours(found, alias):
        return leg
    volume = _checked(require_alias(alias or found.short_name), {leg: found})
    return _started(volume, undo, deadline, attached_before)


def _is_ours(found: md.Superblock, alias: str | None) -> bool:
    """Whether a superblock is one that connectors make, or has the volume's name.

    Names that were too long for a host before them have none.
    """
    made_elsewhere = not found.array_uuid or (':' in found.name and not found.is_for_any_host)
    return not made_elsewhere or bool(alias and found.is_called(alias))


def array_of(alias: str | None, legs: tuple[str, ...]) -> str | None:
    """The array of a volume that is here, running or not, or ``None``.

    By its legs, or if it has lost them by its name and their UUID; without any leg by its name.
    """
    if alias is not None and not _ALIAS.fullmatch(alias):
        return None
    for array in md.arrays_over(legs):
        if alias is None or _has_name(array, alias):
            return array
    named = md.array_named(alias) if alias else None
    if named is None or not legs:
        return named
    return named if md.uuid(named) in _uuids(legs) else None


def _has_name(array: str, alias: str) -> bool:
    if md.array_named(alias) == array:
        return True
    said = list(_readable(member.name for member in md.members(array)))
    # If none of its legs can be read any more, they are the volume's by what is known of them.
    return not said or any(each.is_called(alias) for each in said)


def _uuids(legs: Collection[str]) -> set[str]:
    return {said.array_uuid for said in _readable(iter(legs)) if said.array_uuid}


def _readable(legs: Iterator[str]) -> Iterator[md.Superblock]:
    for leg in legs:
        with contextlib.suppress(OSError, exception.OperationTimedOut):
            found = md.superblock(leg)
            if found is not None:
                yield found


def end(array: str, steps: base.Teardown, deadline: wait.Deadline, *, force: bool) -> None:
    """Flush and stop an array; its data is safe and its links are gone afterwards.

    An array none of whose legs exists has nothing to be flushed to.

    :raises VolumeInUse: if somebody uses it; with ``force`` only if the kernel says so.
    """
    if not force:
        steps.run('check for users', lambda: _refuse_users(array))
    if any(member.is_present for member in md.members(array)) and md.is_running(array):
        limit = deadline.leaving(0.3).limit()
        steps.run(f'flush of {array}', lambda: block.flush(array, limit))
    steps.run(f'stop of {array}', lambda: md.stop(array, deadline))


def _refuse_users(array: str) -> None:
    users = block.users(array)
    if users:
        raise exception.VolumeInUse(device=f'/dev/{array}', holder=', '.join(users))


def grow(array: str, deadline: wait.Deadline) -> int:
    """Have an array use its legs' new size; return its size in bytes.

    :raises BrickException: if it does not.
    """
    return md.grow(array, deadline)


# What is on the legs.


def _superblocks(
    alias: str, legs: tuple[str, ...], deadline: wait.Deadline
) -> dict[str, md.Superblock | None]:
    """What the superblocks of the legs that can be read say."""
    limit = deadline.leaving(0.5).limit(block.READ_SECONDS)
    results, errors = fanout.fanout(lambda leg: md.superblock(leg, limit), legs)
    for leg, error in errors.items():
        LOG.warning('Leg %s of array %s cannot be read: %s', leg, alias, error)
    if not results:
        why = '; '.join(f'{leg}: {error}' for leg, error in errors.items())
        raise exception.VolumeDeviceNotFound(device=f'any leg of {alias} ({why or "no leg"})')
    return {leg: results[leg] for leg in legs if leg in results}


def _checked(alias: str, members: dict[str, md.Superblock]) -> _Volume:
    """The volume that legs are of.

    :raises VolumeIdentityMismatch: if one is of another array.
    :raises BrickException: if they were used apart.
    """
    newest = max(members.values(), key=lambda said: said.events)
    expected = f'a leg of mirror {alias}'
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
    return _Volume(alias, newest.array_uuid, members)


def _refuse_apart(alias: str, members: dict[str, md.Superblock]) -> None:
    """Have no leg overwritten by one that has other data.

    md would copy only what one of them remembers to have changed: a mix of the two.
    """
    for (one, first), (two, second) in itertools.combinations(members.items(), 2):
        if first.has_given_up(second) and second.has_given_up(first):
            raise exception.BrickException(
                f'Legs {one} and {two} of array {alias} ({first.array_uuid}) were each used '
                f'without the other (events {first.events} and {second.events}): which is to be '
                'kept cannot be decided here. Nothing was changed'
            )


def _without_foreign(volume: _Volume, others: list[str], deadline: wait.Deadline) -> list[str]:
    for leg in others:
        seen = md.signature(leg, deadline.limit(block.READ_SECONDS))
        if seen:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{leg}', actual=seen, expected=f'a leg of {volume}'
            )
    return others


# A new array.


def _made(
    alias: str,
    legs: tuple[str, ...],
    replica_count: int,
    undo: core_undo.Undo,
    deadline: wait.Deadline,
) -> str:
    _refuse_to_make(alias, legs, replica_count, deadline)
    LOG.info('Array %s is made of the blank legs %s', alias, ', '.join(legs))
    undo.add(_stop_new_over, legs)
    md.create(alias, legs, deadline.limit(md.MDADM_SECONDS))
    found = _superblocks(alias, legs, deadline)
    volume = _checked(alias, {leg: said for leg, said in found.items() if said is not None})
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
                device=f'/dev/{leg}', actual=seen, expected=f'a blank leg for array {alias}'
            )
        users = block.users(leg)
        if users:
            raise exception.VolumeInUse(device=f'/dev/{leg}', holder=', '.join(users))
    wanted = max(replica_count, _FEWEST_LEGS)
    if len(legs) < wanted:
        raise exception.VolumeDeviceNotFound(
            device=f'{md.path_of(alias)} ({len(legs)} of {wanted} legs are here: '
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


def _started(
    volume: _Volume,
    undo: core_undo.Undo,
    deadline: wait.Deadline,
    attached_before: Collection[str] | None,
) -> str:
    _refuse_other_array(volume.alias, volume.uuid)
    start = _Start(volume, undo, deadline)
    array = wait.poll(start.attempt, deadline.within(START_SECONDS))
    if array is None:
        raise exception.BrickException(
            f'{volume} does not start over {", ".join(volume.legs)}: {start.answer}'
        )
    if not start.is_ours:
        new = attached_before is not None and not set(attached_before) & _names(array)
        if new and _names(array) <= set(volume.legs):
            undo.add(_stop_if_still, array, volume.uuid)
            start.is_ours = True
    _complete(volume, array, undo, deadline, is_ours=start.is_ours)
    return _usable(volume, array, deadline)


def _names(array: str) -> set[str]:
    return {member.name for member in md.members(array)}


class _Start:
    """The way to one running array under the volume's name, whatever udev does meanwhile.

    :ivar answer: what mdadm said last.
    :ivar is_ours: whether this operation has started it.
    """

    def __init__(self, volume: _Volume, undo: core_undo.Undo, deadline: wait.Deadline) -> None:
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
        _refuse_users(array)
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


def _is_named(volume: _Volume, array: str, deadline: wait.Deadline) -> bool:
    return wait.holds(lambda: md.array_named(volume.alias) == array, deadline)


def _wait_named(volume: _Volume, deadline: wait.Deadline) -> str:
    """The running array of a volume, once its path leads to it."""

    def look() -> str | None:
        array = md.array_named(volume.alias)
        good = array and md.is_running(array) and md.uuid(array) == volume.uuid
        return array if good else None

    return wait.until(look, deadline.within(md.LINK_SECONDS), f'{volume} at its path')


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
    volume: _Volume, array: str, undo: core_undo.Undo, deadline: wait.Deadline, *, is_ours: bool
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


def _refuse_apart_from_running(volume: _Volume, array: str, leg: str) -> None:
    """As before the start, against legs that were not handed in: here somebody else started it."""
    others = [name for name in sorted(_names(array)) if name not in volume.legs]
    known = {leg: volume.legs[leg]}
    for other in others:
        found = md.superblock(other)
        if found is not None:
            known[other] = found
    _refuse_apart(volume.alias, known)


@contextlib.contextmanager
def _only_warn(volume: _Volume) -> Iterator[None]:
    try:
        yield
    except (exception.BrickException, OSError) as error:
        LOG.warning('%s goes on without a leg: %s', volume, error)


def _usable(volume: _Volume, array: str, deadline: wait.Deadline) -> str:
    error = block.why_unreadable(array, deadline.limit(block.READ_SECONDS))
    if error is not None:
        raise exception.VolumeDeviceNotFound(
            f'{volume} runs as /dev/{array} and cannot be read: {error}'
        ) from error
    return array
