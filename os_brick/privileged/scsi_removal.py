# SPDX-License-Identifier: Apache-2.0
"""What root does in one call of steps that follow one another where a disk is taken away.

A call costs a service 4 to 6 ms, which is more than most of these steps. Each of them checks what
it checks where it is a call of its own, its limit is the same, and the answer tells what has become
of each. One that does not go as it should ends the call, and is left to its caller.
"""

from __future__ import annotations

import errno

from os_brick import exception, privileged
from os_brick.core import wait
from os_brick.privileged import block, check, multipathd, scsi, scsi_known, wwids

_MOST_DISKS = 4096
_MOST_WWIDS = 4096
_LARGEST_NUMBER = 2**64 - 1
# As long as each is waited for where it is a call of its own.
_CLAIM_SECONDS = 2.0
_MULTIPATHD_SECONDS = 5.0
_DELETE_SECONDS = 30.0
# Of the disks that could not be deleted: name, and the number and the text of the error.
_Errors = tuple[tuple[str, int, str], ...]
# These; what multipathd answers about each disk, or None; which WWIDs are in multipath's file.
_Gone = tuple[_Errors, tuple[str, ...] | None, tuple[str, ...]]


@privileged.entrypoint
def forget_unclaimed(disk: str, number: int, timeout: float) -> tuple[bool, int]:
    """Have multipathd forget a disk, unless it is held exclusively: then nothing is done.

    :param number: the kernel's number of the disk's device (its inode in sysfs).
    :return: whether it is held; and the number of the error if multipathd was not told, else 0.
    """
    ends = wait.Deadline.after(check.seconds(timeout))
    pair = check.disk(disk), check.number(number, _LARGEST_NUMBER, 'number of a device')
    if _is_claimed(pair[0], ends):
        return True, 0
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
def flush_and_delete(
    disk: str,
    numbers: tuple[int, int],
    unit: tuple[str, bytes, bytes],
    above: str,
    gone: tuple[str, ...],
    reserve: float,
    timeout: float,
) -> tuple[tuple[str, ...] | None, _Gone | None]:
    """Flush a disk as ``scsi_known.flush_known`` does, and delete it if all was well.

    It is asked who it is before it is opened, when it is open, and once it is flushed; it is
    deleted only if it was the unit expected each time, and is the device with its number still.

    :param numbers: the kernel's numbers of the block device, and of the disk's device.
    :param gone: the WWIDs of which is asked whether they are in multipath's file afterwards.
    :param reserve: how much of the limit the flush leaves for what follows, in seconds.
    :return: as ``flush_known``; and what :func:`delete` returns, ``None`` if it was not deleted.
    :raises OperationTimedOut: if the disk is not flushed in time.
    :raises OSError: as ``flush_known``, of the flush alone.
    """
    ends = wait.Deadline.after(check.seconds(timeout))
    name = check.disk(disk)
    block_number, number = check.pairs((numbers,), 1, 'numbers of devices')[0]
    largest, what = _LARGEST_NUMBER, 'number of a device'
    wanted = [(name, check.number(number, largest, what))]
    names = _wwids(gone)
    kept = check.seconds(reserve) if reserve else 0.0
    others = scsi_known.flushed_if_known(
        name,
        check.number(block_number, largest, what),
        (unit,),
        above,
        wait.Deadline.after(max(1.0, timeout - kept)),
    )
    if others is None or others:
        return others, None
    return others, _deleted(wanted, names, ends)


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
    # After multipathd's answer: a map that it was building has its WWID in the file by then.
    return errors, known, tuple(wwid for wwid in gone if wwids.is_listed(wwid))
