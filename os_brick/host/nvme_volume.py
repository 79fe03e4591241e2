# SPDX-License-Identifier: Apache-2.0
"""A namespace as a volume: readable, used, flushed, grown and gone."""

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
# The kernel shows a new size as soon as it has looked at the namespace again.
_RESIZE_SECONDS = 30.0


def wait_readable(path: nvme.Path, deadline: wait.Deadline) -> None:
    """Wait until a namespace takes I/O through this or another path, and can be read.

    :raises VolumeDeviceNotFound: if it does not in time, saying why.
    """
    why, head = '', path.head

    def is_ready() -> bool:
        nonlocal why
        reasons = [nvme.why_unusable(each) for each in nvme.paths_of(head)]
        if not reasons or all(reasons):
            why = '; '.join(filter(None, reasons)) or 'it has no path'
            return False
        if not block.size_bytes(head) or not files.exists(f'/dev/{head}'):
            why = 'it has no size or no node in /dev yet'
            return False
        error = block.why_unreadable(head, deadline.limit(block.READ_SECONDS))
        why = str(error)
        return error is None

    if not wait.holds(is_ready, deadline):
        raise exception.VolumeDeviceNotFound(
            f'Namespace /dev/{head} ({path.identity}) takes no I/O: {why}'
        )


def refuse_users(head: str, deadline: wait.Deadline) -> None:
    found: list[str] = []

    def is_idle() -> bool:
        found[:] = block.users(head) or block.openers(head) or block.claimant(head)
        return not found

    # udev's workers open and close a device whenever it changes.
    if not wait.holds(is_idle, deadline.within(_BUSY_SECONDS)):
        raise exception.VolumeInUse(device=f'/dev/{head}', holder='; '.join(found))


def flush(head: str, paths: list[nvme.Path], limit: float, deadline: wait.Deadline) -> None:
    """Have what was written reach the volume, if it is still that volume."""
    live = [path for path in paths if nvme.why_unusable(path) is None]
    for path in live:
        try:
            actual = nvme.report(path, deadline.limit(nvme.IDENTIFY_SECONDS)).identity
        except OSError as error:
            LOG.warning('Namespace %s does not report its identity: %s', path.name, error)
            continue
        if not path.identity.is_of(actual):
            LOG.warning(
                'Namespace %s was %s and is %s: not flushed', path.name, path.identity, actual
            )
            return
    if not live:
        why = '; '.join(filter(None, (nvme.why_unusable(path) for path in paths)))
        raise exception.VolumeDeviceNotFound(f'Namespace /dev/{head} cannot be flushed: {why}')
    block.flush(head, limit)


def wait_gone(heads: set[str], deadline: wait.Deadline) -> None:
    """Give the kernel a moment to take the devices away, unless others have paths to them."""

    def have_gone() -> bool:
        return all(nvme.paths_of(head) or not block.exists(head) for head in heads)

    if not wait.holds(have_gone, deadline.within(_BUSY_SECONDS)):
        LOG.warning('The kernel still has the devices %s: a process has them open', heads)


def grow(wanted: fabrics.Identity, paths: Sequence[nvme.Path], deadline: wait.Deadline) -> int:
    """Have the kernel see the size that the subsystem says a namespace has; return it in bytes."""
    live = [path for path in paths if nvme.why_unusable(path) is None]
    if not live:
        why = '; '.join(filter(None, (nvme.why_unusable(path) for path in paths)))
        raise exception.VolumePathsNotFound(f'The size of namespace {wanted} is unknown: {why}')
    asked, head = live[0], live[0].head
    actual = nvme.report(asked, deadline.limit(nvme.IDENTIFY_SECONDS)).identity
    if not (wanted.is_of(actual) and asked.identity.is_of(actual)):
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{head}', expected=str(asked.identity), actual=str(actual)
        )
    todo = {path.controller for path in live}

    def probe() -> int | None:
        size = nvme.report(asked, deadline.limit(nvme.IDENTIFY_SECONDS)).size_bytes
        if block.size_bytes(head) == size:
            return size
        while todo:
            nvme.rescan(todo.pop(), deadline)
        return None

    limit = deadline.within(_RESIZE_SECONDS)
    return wait.until(probe, limit, f'/dev/{head} to have the size that its subsystem reports')
