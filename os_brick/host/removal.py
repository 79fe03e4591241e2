# SPDX-License-Identifier: Apache-2.0
"""Runs the plans of :mod:`os_brick.plans.removal`.

Between a look and an act a name may get another owner: the array gives a LUN to another volume, a
port logs in anew, another process attaches. So each step proves just before it acts that its object
is still the one that was planned: a disk by the kernel's number of it, a map by its WWID (the root
functions address it by UUID), what a flush would reach by asking the device who it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
import dataclasses
import functools
from typing import Protocol

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import handed, teardown, wait
from os_brick.host import (
    block,
    disk_removal,
    dm,
    idle,
    inquiry,
    links,
    multipath,
    multipathd,
    scsi,
    scsi_flush,
    survey,
)
from os_brick.model import vpd
from os_brick.plans import choice as plans_choice
from os_brick.plans import removal as plans

LOG = logging.getLogger(__name__)

# How often the disks of a device are looked at before it is flushed, if they change meanwhile.
_LOOKS = 3


class Steps(Protocol):
    """Runs the steps of a removal; decides whether one that fails ends it."""

    def run(self, what: object, step: Callable[[], object]) -> bool:
        """Run one step; return whether it succeeded, unless its error is raised."""


@dataclasses.dataclass(slots=True)
class _Run:
    """A plan that is being run.

    :ivar next_step: the one after that which is run.
    :ivar wwids: those by which multipath may know what goes.
    :ivar done: what a call of root has done for steps that are yet to come.
    :ivar is_flushed: whether a map of the volume has been written back.
    :ivar dead: maps none of whose disks is their volume any more, by name.
    :ivar kept: the WWIDs of maps that could not be removed.
    :ivar unlinked: links that were removed, and where they led.
    """

    deadline: wait.Deadline
    force: bool
    next_step: plans.Step | None = None
    wwids: tuple[str, ...] = ()
    done: disk_removal.Done = dataclasses.field(default_factory=disk_removal.Done)
    is_flushed: bool = False
    dead: set[str] = dataclasses.field(default_factory=set)
    kept: set[str] = dataclasses.field(default_factory=set)
    unlinked: dict[str, str] = dataclasses.field(default_factory=dict)


def run(
    removal: plans.Removal, steps: Steps, deadline: wait.Deadline, *, force: bool = False
) -> None:
    """Take away what a plan names.

    Nothing is removed before the data is safe, unless ``force`` is given.

    :param steps: decides whether a step that fails ends the removal.
    :raises VolumeInUse: if something else holds a device, without ``force``.
    :raises VolumeIdentityMismatch: if the devices cannot be told from those of other volumes.
    """
    LOG.debug('%s', removal)
    forgotten = [step.wwid for step in removal.steps if step.verb is plans.Verb.FORGET_WWID]
    state = _Run(deadline, force, wwids=tuple(forgotten))
    for number, step in enumerate(removal.steps, 1):
        state.next_step = next(iter(removal.steps[number:]), None)
        act = functools.partial(_ACTS[step.verb], state, step)
        if not steps.run(step, act) and step.verb is plans.Verb.REMOVE_MAP:
            state.kept.add(step.wwid)
    handed.forget_gone()


def remove_disks(
    names: Collection[str], steps: Steps, deadline: wait.Deadline, *, force: bool
) -> None:
    """Take away the volume whose disks have these names, with its map."""
    wanted = plans_choice.Wanted(', '.join(names))
    choice = plans_choice.choose(survey.of_disks(names), wanted)
    run(plans.plan(choice, wanted), steps, deadline, force=force)


# Steps, in the order in which a detach takes them.


def _refuse(_state: _Run, step: plans.Step) -> None:
    raise exception.VolumeIdentityMismatch('; '.join(step.notes))


def _check_users(state: _Run, step: plans.Step) -> None:
    if not _is_next(state, plans.Verb.FORGET_PATHS, step):
        idle.require_unused(step)
        return
    (disk,) = step.disks
    idle.require_unused(step, lambda _disks: disk_removal.forget_unclaimed(disk, state.done))


def _is_next(state: _Run, verb: plans.Verb, step: plans.Step) -> bool:
    """Whether a step on a single disk without a map is followed by another one on the same."""
    following = state.next_step
    is_same = following is not None and (following.verb, following.disks) == (verb, step.disks)
    return is_same and len(step.disks) == 1 and not step.maps and not step.wwid


def _check_open(state: _Run, step: plans.Step) -> None:
    idle.require_closed(step.device, step.wwid, state.deadline)


def _check_claims(_state: _Run, step: plans.Step) -> None:
    idle.require_unopened(step.disks)


def _forget_paths(state: _Run, step: plans.Step) -> None:
    """Have multipathd build no map over disks that are about to go, and hold on to none."""
    if state.done.forgotten != step.disks:
        state.done.is_unresponsive = not multipathd.forget_disks(dict(step.disks))


def _resume(state: _Run, step: plans.Step) -> None:
    multipath.resume_if_suspended(step.device, step.wwid, state.deadline)


def _flush(state: _Run, step: plans.Step) -> None:
    """Write back what a device's cache holds, if it is still the volume that was written to.

    After the array has given the LUN to another volume a flush would write into that one, be it
    that the kernel knows of it and the map above has not; where it maps nothing any more
    there is nothing to flush to. A map writes through any of its paths, so stale ones leave it
    before. If the array does so between that look and the flush, there is another look.
    """
    for _ in range(_LOOKS - 1):
        try:
            return _look_and_flush(state, step)
        except scsi_flush.Remapped as error:
            LOG.warning('%s', error)
    return _look_and_flush(state, step)


def _look_and_flush(state: _Run, step: plans.Step) -> None:
    if state.is_flushed and not step.wwid:
        return  # Beside a live map nothing was written through a disk.
    number = block.inode(step.device)  # Before it is looked at: what is looked at has it then.
    known, above = scsi_flush.known(step.disks, step.wwid)
    act = scsi_flush.Flush(step.device, number, known, state.deadline, state.force, above)
    if act.run_if_known(step.wwid):
        state.is_flushed |= bool(step.wwid)
        return
    seen = scsi_flush.look(step.disks)
    act = scsi_flush.Flush(step.device, number, seen.answers, state.deadline, state.force)
    if step.wwid and not seen.live:
        state.dead.add(step.device)
    elif step.wwid:
        state.is_flushed = True
        evict(seen.stale, step.device, step.wwid, state.deadline)
        act.run_on_map(step.wwid)
    elif seen.live:
        act.run_on_disk()


def evict(foreign: dict[str, int], found: str, volume: str, deadline: wait.Deadline) -> None:
    """Take disks that are not a map's volume out of it, and remove them.

    :param foreign: the number that each had when that was found out.
    :param volume: the map's volume, in words.
    :raises VolumeIdentityMismatch: if one of them stays in the map, or has another user.
    """
    disks = [d for d in survey.of_disks(list(foreign)).disks if foreign.get(d.name) == d.number]
    if not disks:
        return
    try:
        run(plans.evict(disks, found), teardown.RAISING, deadline)
    except exception.VolumeInUse as error:
        raise exception.VolumeIdentityMismatch(
            device=error.device, expected=volume, actual='another volume', holder=error.holder
        ) from error


def _unlink(state: _Run, step: plans.Step) -> None:
    """Remove a link of ours while the name it was made for is the volume's still."""
    state.unlinked[step.device] = links.where(step.device)
    links.remove(step.device)


def _remove_map(state: _Run, step: plans.Step) -> None:
    give_up = state.force or step.device in state.dead
    try:
        multipath.release(step.device, step.wwid, state.deadline, give_up_io=give_up)
    except BaseException:
        # The volume stays, so its user finds it where it was.
        for link, target in state.unlinked.items():
            if target:
                links.restore(link, target)
        raise


def _remove_disks(state: _Run, step: plans.Step) -> None:
    disk_removal.delete(step.disks, state.wwids, state.done, state.deadline)


def _wait_forgotten(state: _Run, step: plans.Step) -> None:
    names = [name for name, _ in step.disks]
    seen = state.done.known if state.done.deleted == step.disks else None
    multipathd.wait_forgotten(names, state.deadline, seen)


def _settle(_state: _Run, _step: plans.Step) -> None:
    """Wait until multipathd is done with what it is at: it answers then.

    It may be building a map of a disk at this moment, and notes the WWID after that.
    """
    multipathd.await_idle()


def _remove_late_map(state: _Run, step: plans.Step) -> None:
    """Remove a map of the volume that has no disk: built meanwhile over one that was going.

    So goes another volume's map, if the disk that had stuck to it was its last.
    """
    late = dm.multipath_of(step.wwid)
    if late is None or step.wwid in state.kept:
        return
    state.done.unlisted.discard(step.wwid)  # multipathd has noted it when it made the map.
    if not any(block.exists(disk) for disk in block.members(late)):
        multipath.release(late, step.wwid, state.deadline, give_up_io=True)


def _forget_wwid(state: _Run, step: plans.Step) -> None:
    if step.wwid not in state.done.unlisted:
        multipathd.forget_unmapped(step.wwid)


def _tidy_up(state: _Run, step: plans.Step) -> None:
    """Remove another volume's disk from a path of one that is detached, if it is stale and idle.

    :raises VolumeIdentityMismatch: if it is the only disk on the paths, and stays.
    """
    ((name, number),) = step.disks
    is_only, wanted = step.notes[0] == 'only', step.notes[-1]
    if not scsi.is_there(name, number):
        return
    cached = scsi.cached_identity(name)
    LOG.warning('Disk %s is volume %s, not %s', name, cached, wanted)
    why: Exception | None = None
    try:
        if discard_if_stale(name, state.deadline) is None:
            return
    except (exception.BrickException, OSError) as error:
        LOG.warning('Disk %s, which is another volume, is left alone: %s', name, error)
        why = error
    if is_only:
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{name}', expected=wanted, actual=str(cached)
        ) from why


_ACTS: dict[plans.Verb, Callable[[_Run, plans.Step], None]] = {
    plans.Verb.REFUSE: _refuse,
    plans.Verb.CHECK_USERS: _check_users,
    plans.Verb.FORGET_PATHS: _forget_paths,
    plans.Verb.RESUME: _resume,
    plans.Verb.FLUSH: _flush,
    plans.Verb.UNLINK: _unlink,
    plans.Verb.REMOVE_MAP: _remove_map,
    plans.Verb.CHECK_OPEN: _check_open,
    plans.Verb.CHECK_CLAIMS: _check_claims,
    plans.Verb.REMOVE_DISKS: _remove_disks,
    plans.Verb.WAIT_FORGOTTEN: _wait_forgotten,
    plans.Verb.SETTLE: _settle,
    plans.Verb.REMOVE_LATE_MAP: _remove_late_map,
    plans.Verb.FORGET_WWID: _forget_wwid,
    plans.Verb.TIDY_UP: _tidy_up,
}


# Stale disks.


def discard_if_stale(
    disk: str, deadline: wait.Deadline, on_response: Callable[[], object] = lambda: None
) -> vpd.UnitIdentity | None:
    """Verify a disk against the device itself: return its identity, or remove it if it is stale.

    A map keeps its WWID when the LUN below it is given to another volume, and the kernel is told
    so by a rescan.

    :param on_response: called as soon as the device has answered, before it is removed.
    :return: ``None`` once it is gone.
    :raises VolumeIdentityMismatch: if it is stale and in use.
    :raises OSError: if it cannot be asked.
    """
    found = survey.of_disks([disk])
    looked_at = found.disks[0]
    cached = looked_at.identity
    try:
        actual: vpd.UnitIdentity | None = inquiry.identity(disk, deadline.limit(inquiry.SECONDS))
    except inquiry.NothingMapped as error:
        actual = None
        LOG.warning('Disk %s, which was %s, is not mapped any more: %s', disk, cached, error)
    on_response()
    above = found.maps[0].wwid if found.maps else ''
    if actual and not survey.is_stale(actual, cached, above):
        return actual
    if actual:
        was = f'{cached}, under the map of {above}' if cached.contradicts(above) else cached
        LOG.warning('Disk %s is %s now and was %s: it is removed', disk, actual, was)
    removal = plans.discard(looked_at, found.maps, actual.wwid if actual else '')
    try:
        run(removal, teardown.RAISING, deadline)
    except exception.VolumeInUse as error:
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{disk}',
            expected=survey.believed_wwid(cached, above),
            actual=str(actual or 'nothing'),
            holder=error.holder or str(error),
        ) from error
    return None
