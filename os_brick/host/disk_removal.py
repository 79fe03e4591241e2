# SPDX-License-Identifier: Apache-2.0
"""Steps of a removal that follow one another, in one root call where all is well.

A detach of a disk without a map has six steps as root, each of which is done in a few milliseconds
and costs as much again for the call. So what the first and the last of three calls find out and do
is kept here for the steps that follow (:class:`Done`). A step whose part of a call was not done, or
has failed, does it in a call of its own, with its own questions and its own error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import errno
import os

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import wait
from os_brick.host import multipathd, scsi
from os_brick.privileged import block as root_block
from os_brick.privileged import scsi_removal as root

LOG = logging.getLogger(__name__)

# How long a claim and multipathd are waited for, and so together.
_FORGET_SECONDS = 2.0 + multipathd.ANSWER_SECONDS
DELETE_SECONDS = 30.0
_DELETED_SECONDS = DELETE_SECONDS + multipathd.ANSWER_SECONDS

_Disk = tuple[str, int]


@dataclasses.dataclass(slots=True)
class Done:
    """What calls for earlier steps have done for later ones.

    :ivar forgotten: the disks that multipathd was told to forget.
    :ivar is_unresponsive: whether multipathd has not answered: no call with more waits for it.
    :ivar deleted: the disks of which the kernel was told to forget them; ``errors`` those that
        stayed, and why.
    :ivar known: what multipathd answers about each since, as ``wait_forgotten`` takes it.
    :ivar unlisted: WWIDs that are not in multipath's file, where no multipathd runs.
    """

    forgotten: tuple[_Disk, ...] = ()
    is_unresponsive: bool = False
    deleted: tuple[_Disk, ...] = ()
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    known: tuple[str, ...] | None = None
    unlisted: set[str] = dataclasses.field(default_factory=set)

    def take(
        self,
        disks: Sequence[_Disk],
        wwids: Sequence[str],
        gone: tuple[tuple[tuple[str, int, str], ...], tuple[str, ...] | None, tuple[str, ...]],
    ) -> None:
        """Keep what the root function has answered that deleted disks."""
        found, self.known, listed = gone
        self.deleted = tuple(disks)
        self.errors = {disk: text for disk, _, text in found}
        # One that runs may note a WWID still: of a map that it is building, or of an event that it
        # has not come to. So the file is looked at again at the end.
        self.unlisted = set(wwids) - set(listed) if self.known == () else set()


def forget_unclaimed(disk: _Disk, done: Done) -> list[str]:
    """What holds a disk exclusively, in words; where nothing does, multipathd has forgotten it."""
    try:
        is_claimed, why = root.forget_unclaimed(*disk, _FORGET_SECONDS)
    except (OSError, exception.OperationTimedOut) as error:
        LOG.debug('Whether %s is claimed is not known: %s', disk[0], error)
        return []
    if is_claimed:
        return [root_block.claim_of(disk[0])]
    if why:
        LOG.debug('multipathd is not asked to forget %s: %s', disk[0], os.strerror(why))
    if why != errno.EAGAIN:
        done.forgotten = (disk,)
    done.is_unresponsive = why not in (0, errno.EAGAIN, errno.ECONNREFUSED)
    return []


def delete(
    disks: Sequence[_Disk], wwids: Sequence[str], done: Done, deadline: wait.Deadline
) -> None:
    """Have the kernel forget disks, and look what multipath knows then.

    :raises VolumePathNotRemoved: naming those that stay.
    """
    if done.is_unresponsive or not disks:
        errors = scsi.remove_all(dict(disks), deadline.within(DELETE_SECONDS))
    else:
        if done.deleted != tuple(disks):
            _delete(disks, wwids, done, deadline)
        errors = scsi.await_gone(dict(disks), done.errors, deadline.within(DELETE_SECONDS))
    if errors:
        raise exception.VolumePathNotRemoved(volume_path=_texts(errors))


def _delete(
    disks: Sequence[_Disk], wwids: Sequence[str], done: Done, deadline: wait.Deadline
) -> None:
    try:
        gone = root.delete(tuple(disks), tuple(wwids), deadline.limit(_DELETED_SECONDS))
    except (OSError, exception.OperationTimedOut) as error:
        done.errors = {name: str(error) for name, _ in disks}
        return
    done.take(disks, wwids, gone)


def _texts(errors: Mapping[str, str]) -> list[str]:
    return [f'/dev/{disk}: {error}' for disk, error in errors.items()]
