# SPDX-License-Identifier: Apache-2.0
"""What root does in one call of steps that follow one another where a disk is taken away.

A call costs a service 4 to 6 ms, which is more than most of these steps. Each of them checks what
it checks where it is a call of its own, its limit is the same, and the answer tells what has become
of each. One that does not go as it should ends the call, and is left to its caller.

No step follows one that may take long: a caller that is interrupted, or has been killed, leaves a
call to the daemon, which goes on, and the volume's lock to the next one, to whom the disk may have
been handed out by then. So a flush and the deletion after it are two calls.
"""

from __future__ import annotations

import errno

from os_brick import exception, privileged
from os_brick.core import wait
from os_brick.privileged import block, check, multipathd, scsi, wwids

_MOST_DISKS = 4096
_MOST_WWIDS = 4096
_LARGEST_NUMBER = 2**64 - 1
# As long as each is waited for where it is a call of its own.
_CLAIM_SECONDS = 2.0
_MULTIPATHD_SECONDS = 5.0
_DELETE_SECONDS = 30.0
# Of the disks that could not be deleted: name, and the number and the text of the error.
_Errors = tuple[tuple[str, int, str], ...]
# A claim is known after some milliseconds; what takes longer is not followed by anything.
_AT_ONCE_SECONDS = 0.2
# These; what multipathd answers about each disk, or None; which WWIDs are in multipath's file.
_Gone = tuple[_Errors, tuple[str, ...] | None, tuple[str, ...]]


@privileged.entrypoint
def forget_unclaimed(disk: str, number: int, timeout: float) -> tuple[bool, int]:
    """Have multipathd forget a disk, unless it is held exclusively: then nothing is done.

    :param number: the kernel's number of the disk's device (its inode in sysfs).
    :return: whether it is held; and the number of the error if multipathd was not told, else 0:
        ``EAGAIN`` if it was not tried, because the question of the claim has taken its time.
    """
    at_once = wait.Deadline.after(_AT_ONCE_SECONDS)
    ends = wait.Deadline.after(check.seconds(timeout))
    pair = check.disk(disk), check.number(number, _LARGEST_NUMBER, 'number of a device')
    if _is_claimed(pair[0], ends):
        return True, 0
    if at_once.passed:
        return False, errno.EAGAIN
    try:
        multipathd.forget([pair], ends.within(_MULTIPATHD_SECONDS))
    except OSError as error:
        return False, error.errno or errno.ETIMEDOUT
    return False, 0


def _is_claimed(disk: str, ends: wait.Deadline) -> bool:
    """Whether a disk is known to be held, as ``host.block.claimant`` asks it."""
    try:
        return block.is_held(disk, ends.limit(_CLAIM_SECONDS))
    except (OSError, exception.OperationTimedOut):
        return False


@privileged.entrypoint
def delete(disks: tuple[tuple[str, int], ...], gone: tuple[str, ...], timeout: float) -> _Gone:
    """Delete disks as ``scsi.delete_all`` does, and look what multipath knows afterwards.

    :param gone: the WWIDs of which is asked whether they are in multipath's file.
    :return: the errors, as ``delete_all``; what ``multipathd.path_states`` returns, nothing if
        multipathd does not run, ``None`` if it does not answer; which WWIDs are in the file.
    """
    ends = wait.Deadline.after(check.seconds(timeout))
    wanted = [
        (check.disk(name), check.number(number, _LARGEST_NUMBER, 'number of a device'))
        for name, number in check.pairs(disks, _MOST_DISKS, 'disks and their numbers')
    ]
    return _deleted(wanted, _wwids(gone), ends)


def _wwids(value: object) -> list[str]:
    return [check.wwid(each) for each in check.items(value, _MOST_WWIDS, 'WWIDs')]


def _deleted(disks: list[tuple[str, int]], gone: list[str], ends: wait.Deadline) -> _Gone:
    errors = scsi.deleted(disks, ends.limit(_DELETE_SECONDS))
    try:
        until = ends.within(_MULTIPATHD_SECONDS)
        known: tuple[str, ...] | None = multipathd.states_until([name for name, _ in disks], until)
    except OSError as error:
        known = () if error.errno == errno.ECONNREFUSED else None
    # Its last state where no multipathd runs; one that runs may write to it still.
    return errors, known, tuple(wwid for wwid in gone if wwids.is_listed(wwid))
