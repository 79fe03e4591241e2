# SPDX-License-Identifier: Apache-2.0
"""A namespace as a volume: readable, used, flushed and gone."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files, wait
from os_brick.host import block, nvme
from os_brick.model import fabrics

LOG = logging.getLogger(__name__)

# udev's workers are done with a device within seconds.
_BUSY_SECONDS = 3.0


def wait_readable(path: fabrics.Path, deadline: wait.Deadline) -> None:
    """Wait until a namespace takes I/O through this or another path, and can be read.

    The namespace is asked once more who it is when it has been read: while it was waited for, the
    array may have given its number to another volume, and the kernel its device's name.

    :raises VolumeDeviceNotFound: if it does not in time, saying why.
    :raises VolumeIdentityMismatch: if the device is another namespace by now.
    """
    why: list[str] = []

    def is_ready() -> bool:
        why[:] = filter(None, [why_unreadable(path.head, deadline)])
        return not why

    if not wait.holds(is_ready, deadline):
        raise exception.VolumeDeviceNotFound(
            f'Namespace /dev/{path.head} ({path.identity}) takes no I/O: {why[0]}'
        )
    _require_still(path, deadline)


def _require_still(path: fabrics.Path, deadline: wait.Deadline) -> None:
    reasons = []
    for each in nvme.paths_of(path.head):
        shown = [each.identity]
        try:
            if nvme.why_unusable(each) is None:
                shown.append(nvme.report(each, deadline.limit(nvme.IDENTIFY_SECONDS)).identity)
        except (OSError, exception.OperationTimedOut) as error:
            reasons.append(f'path {each.name}: {error}')
        for actual in shown:
            if not path.identity.matches(actual):
                raise exception.VolumeIdentityMismatch(
                    device=f'/dev/{path.head}', expected=str(path.identity), actual=str(actual)
                )
        if len(shown) > 1:
            return
    raise exception.VolumeDeviceNotFound(
        f'Namespace /dev/{path.head} ({path.identity}) does not confirm its identity: '
        f'{"; ".join(reasons) or "it has no path that takes I/O"}'
    )


def why_unreadable(head: str, deadline: wait.Deadline) -> str | None:
    """Why a namespace cannot be read now; ``None`` if it can, or another host has reserved it."""
    reasons = [nvme.why_unusable(each) for each in nvme.paths_of(head)]
    if not reasons or all(reasons):
        return '; '.join(filter(None, reasons)) or 'it has no path'
    if not block.exists(head):
        return 'the kernel has not made its block device yet'
    if not block.size_bytes(head):
        return 'the kernel shows it with size 0'
    if not files.exists(f'/dev/{head}'):
        return 'udev has not made its node in /dev yet'
    error = block.why_unusable(head, deadline.limit(block.READ_SECONDS))
    return str(error) if error is not None else None


def refuse_users(head: str, deadline: wait.Deadline, known: Sequence[str] | None = None) -> None:
    """Make sure that nothing on this host uses a namespace.

    :param known: the users that were found just now, in words.
    :raises VolumeInUse: if there is one.
    """
    found: list[str] = []
    looks = [known] if known is not None else []

    def is_idle() -> bool:
        users = looks.pop() if looks else block.users(head)
        found[:] = users or block.openers(head) or block.claimant(head)
        return not found

    # udev's workers open and close a device whenever it changes.
    if not wait.holds(is_idle, deadline.within(_BUSY_SECONDS)):
        raise exception.VolumeInUse(device=f'/dev/{head}', holder='; '.join(found))


def flush(
    head: str,
    number: int,
    paths: Sequence[fabrics.Path],
    limit: float,
    deadline: wait.Deadline,
) -> None:
    """Have what was written reach the volume, if it is still that volume.

    :param number: the block device's, read before anything is asked: what is asked has it then.
    """
    live = [path for path in paths if nvme.why_unusable(path) is None]
    for path in live:
        try:
            actual = nvme.report(path, deadline.limit(nvme.IDENTIFY_SECONDS)).identity
        except (OSError, exception.OperationTimedOut) as error:
            LOG.warning('Namespace %s does not report its identity: %s', path.name, error)
            continue
        if not path.identity.matches(actual):
            LOG.warning(
                'Namespace %s was %s and is %s: not flushed', path.name, path.identity, actual
            )
            return
    if not live:
        why = '; '.join(filter(None, (nvme.why_unusable(path) for path in paths)))
        raise exception.VolumeDeviceNotFound(f'Namespace /dev/{head} cannot be flushed: {why}')
    block.flush(head, number, limit)


def wait_gone(head: str, number: int, deadline: wait.Deadline) -> None:
    """Give the kernel a moment to take a device away, unless other controllers have paths to it.

    :param number: the kernel's number of it; its name may be another one's by now.
    """

    def has_gone() -> bool:
        return block.inode(head) != number or bool(nvme.paths_of(head))

    if number and not wait.holds(has_gone, deadline.within(_BUSY_SECONDS)):
        LOG.warning('The kernel still has the device %s: a process has it open', head)
