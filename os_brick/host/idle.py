# SPDX-License-Identifier: Apache-2.0
"""A volume's devices are idle before they go: no user, no opener, no claim.

udev and multipathd look at every device that changes, so each question is asked for a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from os_brick import exception
from os_brick.core import wait
from os_brick.host import block, dm, multipath, scsi, survey
from os_brick.plans import removal as plans

# What claims a disk only to look at it, or to put it under its map, is done by then.
CLAIM_SECONDS = 2.0


def require_unused(
    step: plans.Step, claims: Callable[[Collection[str]], list[str]] | None = None
) -> None:
    """Have nothing use a volume: multipathd may be building its map, udev may look at a disk.

    :param step: its disks and maps, and the users that the survey has found.
    :param claims: asks what holds its disks exclusively, which are below no map; the last question.
    :raises VolumeInUse: if something does.
    """
    disks, maps = [name for name, _ in step.disks], [name for name, _ in step.maps]
    users = list(step.notes)
    looks = 0

    def is_idle() -> bool:
        nonlocal looks
        if looks:  # The first look is the survey's.
            maps[:] = dict.fromkeys([*maps, *dm.multipaths_over(disks)])
            users[:] = survey.users(disks, filter(block.exists, maps))
        looks += 1
        if not users:
            users[:] = (claims or _claims)(disks) if not maps else _foreign_opens(step)
        return not users

    if not wait.holds(is_idle, wait.Deadline.after(CLAIM_SECONDS)):
        raise _in_use(maps or disks, users)


def _foreign_opens(step: plans.Step) -> list[str]:
    """What has maps open that only lose disks; a map that goes is asked when it goes."""
    own = {name for name, _ in step.disks}
    foreign = [(name, wwid) for name, wwid in step.maps if not set(block.members(name)) <= own]
    return [each for name, wwid in foreign for each in multipath.opened(name, wwid)]


def require_closed(found: str, wwid: str, deadline: wait.Deadline) -> None:
    """Have no process have a map open, or the map of a partition.

    :param wwid: that of the map that is meant: its ``dm-N`` may be another one's by now.
    :raises VolumeInUse: if one does.
    """
    users = multipath.why_open(found, wwid, deadline)
    if users and dm.wwid(found) == wwid:
        raise _in_use([found], users)


def require_unopened(devices: Collection[tuple[str, int]]) -> None:
    """Have no process hold disks exclusively that are below no map, or have them open.

    :param devices: names and numbers of disks; those that have gone meanwhile are left out.
    :raises VolumeInUse: if one does.
    """
    require_free([name for name, number in devices if scsi.is_there(name, number)])


def require_free(disks: Collection[str]) -> None:
    """As :func:`require_unopened`, of the disks that have these names now.

    :raises VolumeInUse: if one does.
    """
    users: list[str] = []

    def is_idle() -> bool:
        users[:] = [*_claims(disks), *block.openers(*disks)]
        return not users

    if not wait.holds(is_idle, wait.Deadline.after(CLAIM_SECONDS)):
        raise _in_use(disks, users)


def _claims(disks: Collection[str]) -> list[str]:
    return [claim for disk in disks for claim in block.claimant(disk)]


def _in_use(devices: Collection[str], users: Collection[str]) -> exception.VolumeInUse:
    names = ', '.join(f'/dev/{name}' for name in devices)
    return exception.VolumeInUse(device=names, holder='; '.join(users))
