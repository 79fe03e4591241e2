# SPDX-License-Identifier: Apache-2.0
"""A namespace as a volume: readable, used, flushed and gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files, wait
from os_brick.host import block, nvme
from os_brick.model import fabrics
from os_brick.privileged import nvme_namespace as root

LOG = logging.getLogger(__name__)

# udev's workers are done with a device within seconds.
_BUSY_SECONDS = 3.0


def wait_readable(
    path: fabrics.Path, deadline: wait.Deadline, behind: Sequence[fabrics.Controller] = ()
) -> None:
    """Wait until a namespace takes I/O through this or another path, and can be read.

    The namespace is asked once more who it is when it has been read: while it was waited for, the
    array may have given its number to another volume, and the kernel its device's name.

    :param behind: controllers through one of which it has to show at the end, if there are any.
    :raises VolumeDeviceNotFound: if it does not in time, saying why.
    :raises VolumeIdentityMismatch: if the device is another namespace by now.
    """
    why = ''
    told: dict[str, nvme.Report] = {}

    def is_ready() -> bool:
        nonlocal why
        told.clear()
        why = _why_unreadable(path.head, deadline, told) or ''
        return not why

    if not wait.holds(is_ready, deadline):
        raise exception.VolumeDeviceNotFound(
            f'Namespace /dev/{path.head} ({path.identity}) takes no I/O: {why}'
        )
    # What has just reported comes first, so that nothing is asked between this look and the end.
    shown = sorted(nvme.paths_of(path.head), key=lambda each: each.name not in told)
    _require_still(path, shown, told, deadline)
    if not (shown and shown[0].name in told):
        shown = nvme.paths_of(path.head)
    if behind and not any(_is_behind(path, each, shown) for each in behind):
        controllers = ', '.join(map(str, behind))
        raise exception.VolumeDeviceNotFound(
            f'Namespace /dev/{path.head} ({path.identity}) is not behind {controllers} any more'
        )


def _is_behind(
    path: fabrics.Path, controller: fabrics.Controller, shown: Sequence[fabrics.Path]
) -> bool:
    """Whether a controller shows a namespace, and is still the one that is meant after that."""
    behind = [each.identity for each in shown if each.controller == controller.name]
    return path.identity in behind and nvme.is_there(controller)


def _require_still(
    path: fabrics.Path,
    paths: Sequence[fabrics.Path],
    told: Mapping[str, nvme.Report],
    deadline: wait.Deadline,
) -> None:
    """Have a path confirm the identity after the read.

    :param paths: those to the namespace, looked at after the read.
    :param told: what paths, by their names, have reported since.
    """
    reasons = []
    for each in paths:
        shown = [each.identity]
        try:
            if each.name in told:
                shown.append(told[each.name].identity)
            elif nvme.why_unusable(each) is None:
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


def _why_unreadable(head: str, deadline: wait.Deadline, told: dict[str, nvme.Report]) -> str | None:
    """Why a namespace cannot be read now; ``None`` if it can, or another host has reserved it.

    :param told: is given what its first usable path reports after the read, by the path's name.
    """
    reasons = {each: nvme.why_unusable(each) for each in nvme.paths_of(head)}
    usable = [each for each, reason in reasons.items() if reason is None]
    if not usable:
        return '; '.join(filter(None, reasons.values())) or 'it has no path'
    if not block.exists(head):
        return 'the kernel has not made its block device yet'
    if not block.size_bytes(head):
        return 'the kernel shows it with size 0'
    if not files.exists(f'/dev/{head}'):
        return 'udev has not made its node in /dev yet'
    limit = deadline.limit(block.READ_SECONDS)

    def read() -> int:
        count, report = nvme.read_and_report(usable[0], limit)
        told.update({usable[0].name: report} if report is not None else {})
        return count

    error = block.why_unusable(head, limit, read)
    return str(error) if error is not None else None


def refuse_users(head: str, deadline: wait.Deadline, known: Sequence[str] | None = None) -> None:
    """Make sure that nothing on this host uses a namespace.

    :param known: the users that were found just now, in words.
    :raises VolumeInUse: if there is one.
    """
    _wait_idle(head, deadline, known, lambda: block.openers(head) or block.claimant(head))


def _wait_idle(
    head: str,
    deadline: wait.Deadline,
    known: Sequence[str] | None,
    look: Callable[[], Sequence[str]],
) -> None:
    """Have nothing use a namespace; udev's workers open and close one whenever it changes.

    :param look: the users that the kernel does not show, in words.
    :raises VolumeInUse: if there is one.
    """
    found: Sequence[str] = ()
    looks = [known] if known is not None else []

    def is_idle() -> bool:
        nonlocal found
        found = (looks.pop() if looks else block.users(head)) or look()
        return not found

    if not wait.holds(is_idle, deadline.within(_BUSY_SECONDS)):
        raise exception.VolumeInUse(device=f'/dev/{head}', holder='; '.join(found))


def flush_unused(
    head: str,
    number: int,
    paths: Sequence[fabrics.Path],
    limit: float,
    deadline: wait.Deadline,
    known: Sequence[str] | None = None,
) -> None:
    """Make sure that nothing on this host uses a namespace, and flush it as :func:`flush` does.

    One call of a root function does both.

    :param known: the users that were found just now, in words.
    :raises VolumeInUse: if there is one.
    """
    if not _live(paths):
        refuse_users(head, deadline, known)
        raise _no_path(head, paths)
    _wait_idle(
        *(head, deadline, known),
        lambda: _flush(head, number, paths, limit, (head, *block.partitions(head)), deadline),
    )


def flush(
    head: str,
    number: int,
    paths: Sequence[fabrics.Path],
    limit: float,
    deadline: wait.Deadline,
) -> None:
    """Have what was written reach the volume, if it is still that volume.

    :param number: the block device's, read before anything is asked: what is asked has it then.
    :raises VolumeDeviceNotFound: if no path takes I/O.
    """
    _flush(head, number, paths, limit, (), deadline)


def _flush(
    head: str,
    number: int,
    paths: Sequence[fabrics.Path],
    limit: float,
    unless_open: tuple[str, ...],
    deadline: wait.Deadline,
) -> list[str]:
    """What uses one of these devices, in words; nothing if there are none, or no such user."""
    live = _live(paths)
    if not live:
        raise _no_path(head, paths)
    asking = deadline.limit(nvme.IDENTIFY_SECONDS) * len(live)
    try:
        users, unanswered, actual = root.flush(
            *(head, number, tuple(map(_plain, live)), unless_open, limit), timeout=asking + limit
        )
    except FileNotFoundError:
        block.warn_of_no_node(head)
        return []
    for why in unanswered:
        LOG.warning('Namespace /dev/%s does not report its identity: %s', head, why)
    if actual:
        LOG.warning(
            'Namespace /dev/%s was %s and is %s: not flushed', head, live[0].identity, actual
        )
    return users


def _live(paths: Sequence[fabrics.Path]) -> list[fabrics.Path]:
    return [path for path in paths if nvme.why_unusable(path) is None]


def _no_path(head: str, paths: Sequence[fabrics.Path]) -> exception.VolumeDeviceNotFound:
    why = '; '.join(filter(None, (nvme.why_unusable(path) for path in paths)))
    return exception.VolumeDeviceNotFound(f'Namespace /dev/{head} cannot be flushed: {why}')


def _plain(path: fabrics.Path) -> tuple[str, int, str, str, str]:
    """A path, and who the namespace behind it is to be, in plain values."""
    who = path.identity
    return path.controller, who.nsid or 0, who.uuid or '', who.nguid or '', who.eui64 or ''


def wait_gone(head: str, number: int, deadline: wait.Deadline) -> None:
    """Give the kernel a moment to take a device away, unless other controllers have paths to it.

    :param number: the kernel's number of it; its name may be another one's by now.
    """

    def has_gone() -> bool:
        return block.inode(head) != number or bool(nvme.paths_of(head))

    if number and not wait.holds(has_gone, deadline.within(_BUSY_SECONDS)):
        LOG.warning('The kernel still has the device %s: a process has it open', head)
