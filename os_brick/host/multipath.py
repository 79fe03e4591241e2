# SPDX-License-Identifier: Apache-2.0
"""Multipath maps: built and taken apart by multipathd, believed only when the kernel shows it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
import contextlib
import errno

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import wait
from os_brick.host import block, dm, map_offers, multipathd, scsi
from os_brick.model import vpd
from os_brick.privileged import dm as root_dm
from os_brick.privileged import multipathd as root_multipathd

LOG = logging.getLogger(__name__)

# How long multipathd may refuse disks, or not answer, from the moment they are there. One that
# takes them may be busy with hundreds of others; it is waited for as long as there is time.
BUILD_SECONDS = 20.0
# The shares of an operation's time that these waits have where they are more. With the default
# they are not; an operation is given more time on a host where udev needs more of it, and a disk
# that udev has not come to is refused, as one that may not have a map is.
_REFUSED_SHARE, _CONFLICT_SHARE, _BUSY_SHARE = 1 / 6, 1 / 60, 1 / 24
# Another volume's map over our disks: multipathd has built it of what udev had read before the
# array gave the LUN to ours. It may be about to go.
CONFLICT_SECONDS = 2.0
# udev's workers open and close every new map and disk; a map may be busy for that long.
BUSY_SECONDS = 5.0


def build(identity: vpd.UnitIdentity, disks: Collection[str], deadline: wait.Deadline) -> str:
    """Have multipathd build the map of a volume over its disks; return it, such as ``dm-4``.

    The WWID is made known first: with ``find_multipaths`` multipathd ignores a first path
    otherwise.

    :raises NotClaimed: if multipathd refuses, and has been made to forget the volume.
    :raises VolumeIdentityMismatch: if it takes the disks for another volume.
    :raises OperationTimedOut: if it is late: it may take the disks at any moment, so that no one
        should be given one of them.
    """
    wwid = identity.wwid
    is_new = multipathd.remember(wwid)
    try:
        return _build(identity, disks, deadline)
    except BaseException as error:
        if isinstance(error, map_offers.NotClaimed):
            multipathd.forget_disks({disk: scsi.number_of(disk) for disk in disks})
        if is_new:
            multipathd.forget_unmapped(wwid)
        raise


def _build(identity: vpd.UnitIdentity, disks: Collection[str], deadline: wait.Deadline) -> str:
    offers = map_offers.Offers(map_offers.FIRST_SECONDS, identity.wwid, deadline, identity)
    refused = deadline.patience(BUILD_SECONDS, _REFUSED_SHARE)
    unanswered = deadline.patience(BUILD_SECONDS)
    found: list[str] = []
    others: list[str] = []
    conflict: wait.Deadline | None = None
    conflict_seconds = max(CONFLICT_SECONDS, deadline.seconds * _CONFLICT_SHARE)

    def is_there() -> bool:
        maps = dm.multipaths_over(disks)
        found[:] = [each for each in maps if not identity.contradicts(dm.wwid(each))]
        others[:] = maps
        return bool(found)

    def is_over() -> bool:
        nonlocal conflict
        if is_there():
            return True
        conflict = (conflict or wait.Deadline.after(conflict_seconds)) if others else None
        if not offers.insist(identity) and offers.make(disks, one=True) and is_there():
            return True  # What multipathd takes it has taken when it answers.
        patience = refused if offers.is_refused else unanswered
        is_given_up = patience.passed and not offers.are_taken
        return is_given_up or (conflict is not None and conflict.passed)

    wait.holds(is_over, deadline)
    if found:
        offers.tell_of_another_file()
        return found[0]
    if others:
        raise exception.VolumeIdentityMismatch(
            device=f'{", ".join(f"/dev/{disk}" for disk in disks)} below map {others[0]}',
            expected=str(identity),
            actual=f'{dm.wwid(others[0])} for multipathd',
        )
    if offers.is_refused and not deadline.passed:
        raise map_offers.NotClaimed(disks=', '.join(disks), why=offers.answer)
    raise _late(disks, offers.answer, deadline if deadline.passed else unanswered)


def _late(disks: Iterable[str], answer: str, limit: wait.Deadline) -> exception.OperationTimedOut:
    names = ', '.join(disks)
    what = f'the building of a multipath map over {names} (multipathd: {answer or "no answer"})'
    return exception.OperationTimedOut(what=what, seconds=round(limit.seconds, 1))


def join(found: str, disks: Collection[str], deadline: wait.Deadline) -> set[str]:
    """Wait until a map holds all the disks; return those that it does not hold in time."""
    offers = map_offers.Offers(map_offers.FIRST_LATE_SECONDS, dm.wwid(found), deadline)

    def missing() -> set[str]:
        return set(disks) - set(block.members(found))

    def is_complete() -> bool:
        left = missing()
        if left and offers.make(left):
            left = missing()  # What multipathd takes it has taken when it answers.
        return not left

    wait.holds(is_complete, deadline)
    return missing()


def release(found: str, wwid: str, deadline: wait.Deadline, *, give_up_io: bool) -> None:
    """Remove a map that has no user; what was written to it has to be flushed before.

    Never by force: a map that a process has open stays, and keeps taking I/O.

    :param wwid: that of the map that is meant: its ``dm-N`` may be another one's by now.
    :param give_up_io: whether I/O that waits for a path may fail.
    :raises VolumeInUse: if it is open.
    :raises OperationTimedOut: if it does not go in time.
    """
    name = dm.name(found)
    if dm.wwid(found) != wwid:
        return
    resume_if_suspended(found, wwid, deadline)
    if give_up_io:
        stop_queueing(wwid, name)
    answer = ''
    still: list[str] = []

    def attempt() -> bool:
        nonlocal answer
        if dm.wwid(found) == wwid:
            answer = _remove(found, wwid, name, deadline)
        return dm.wwid(found) != wwid

    patience = deadline.patience(BUSY_SECONDS, _BUSY_SHARE)
    if wait.holds(attempt, patience):
        return
    resume_if_suspended(found, wwid, deadline)
    with contextlib.suppress(OSError):
        still = opened(found, wwid)
    if still:
        device = f'/dev/{found} (multipath map {name})'
        raise exception.VolumeInUse(device=device, holder='; '.join(still))
    raise exception.OperationTimedOut(
        what=f'the removal of multipath map {name} ({answer})', seconds=round(patience.seconds, 1)
    )


def _remove(found: str, wwid: str, name: str, deadline: wait.Deadline) -> str:
    limit = deadline.limit(multipathd.ANSWER_SECONDS)
    parts = tuple(_partition_uuids(found, wwid).values())
    try:
        answer = root_multipathd.remove_map(wwid, name or wwid, parts, limit)
    except OSError as error:  # Not known is not idle.
        return f'whether it is open is not known: {error}'
    if answer in ('', 'ok') or dm.wwid(found) != wwid:  # Empty: it is open.
        return answer
    # It does not run, or does not know a map without disks. The kernel refuses what is open.
    try:
        for uuid in parts:
            root_dm.remove(uuid, limit)
        root_dm.remove(dm.uuid_of(wwid), limit)
    except OSError as error:
        return f'{answer}; {error}'
    return 'ok'


def _ask_about(wwid: str, name: str, ask: Callable[[str], str]) -> str:
    """Ask multipathd about the map of a WWID; by its name only a version that knows no WWIDs.

    A name of the operator's may be given to another map, a WWID may not. (multipath-tools,
    find_mp_by_str: ``dm-N``, then the name, then the WWID, the last not in old versions.)
    """
    answer = ask(wwid)
    return ask(name) if answer.startswith(map_offers.REFUSAL) and name not in ('', wwid) else answer


def _partition_uuids(found: str, wwid: str) -> dict[str, str]:
    """The maps of the partitions of this map, not of another one that has its ``dm-N`` by now."""
    end = f'-{dm.uuid_of(wwid)}'
    return {part: uuid for part, uuid in dm.partition_uuids(found).items() if uuid.endswith(end)}


def opened(found: str, wwid: str) -> list[str]:
    """Which of a map and the maps of its partitions are open, in words; empty if none is."""
    parts = _partition_uuids(found, wwid)
    uuids = {found: dm.uuid_of(wwid), **parts}
    counts = {each: _open_count(uuid) for each, uuid in uuids.items()}
    counts[found] -= len(parts)  # They have it open themselves.
    return [
        f'{n} process(es) or mounts that have {dm.name(each)} ({each}) open'
        for each, n in counts.items()
        if n > 0
    ]


def _open_count(uuid: str) -> int:
    try:
        return dm.status(uuid).open_count
    except OSError as error:
        if error.errno == errno.ENXIO:  # There is no such map any more.
            return 0
        raise  # Not known is not idle.


def why_open(found: str, wwid: str, deadline: wait.Deadline) -> list[str]:
    """Which of a map and the maps of its partitions stay open, in words.

    Empty if none does: udev has each open for a moment.
    """
    if wait.holds(lambda: not opened(found, wwid), deadline.within(BUSY_SECONDS)):
        return []
    return opened(found, wwid)


def stop_queueing(wwid: str, name: str) -> None:
    """Have a map's I/O fail while it has no path, so that what waits for such I/O goes on."""
    with contextlib.suppress(*multipathd.NO_ANSWER):
        _ask_about(
            wwid,
            name,
            lambda each: root_multipathd.disable_queueing(each, multipathd.ANSWER_SECONDS),
        )
    with contextlib.suppress(*multipathd.NO_ANSWER):
        root_dm.fail_if_no_path(dm.uuid_of(wwid))


def resume_if_suspended(found: str, wwid: str, deadline: wait.Deadline) -> None:
    """Have a map take I/O again if it was left suspended: every sync on the host waits for it."""
    uuid = dm.uuid_of(wwid)
    if dm.is_suspended(found) is False and dm.uuid(found) == uuid:
        return
    with contextlib.suppress(OSError):
        if dm.status(uuid).is_suspended:
            LOG.warning('Multipath map %s was left suspended and is resumed', wwid)
            root_dm.resume(uuid, max(min(deadline.remaining, multipathd.ANSWER_SECONDS), 1.0))


def resize(found: str, wanted_bytes: int, deadline: wait.Deadline) -> int:
    """Give a map the size of its disks; return its size, which the kernel confirms.

    multipathd's ``ok`` is not believed: it also answers so for a map it has not resized.

    :param wanted_bytes: the size of the smallest disk below the map.
    :raises OperationTimedOut: if the map does not have that size in time.
    """
    name = dm.name(found)
    answer = ''

    def attempt() -> bool:
        nonlocal answer
        if block.size_bytes(found) == wanted_bytes:
            return True
        try:
            answer = root_multipathd.resize_map(name, multipathd.ANSWER_SECONDS)
        except OSError as error:
            answer = str(error)
        return block.size_bytes(found) == wanted_bytes

    if not wait.holds(attempt, deadline):
        size = block.size_bytes(found)
        what = f'map {name} to grow from {size} to {wanted_bytes} bytes (multipathd: {answer})'
        raise exception.OperationTimedOut(what=what, seconds=round(deadline.seconds, 1))
    return wanted_bytes
