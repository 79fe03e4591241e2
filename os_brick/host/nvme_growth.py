# SPDX-License-Identifier: Apache-2.0
"""Growth of NVMe volumes: the subsystem is asked, the kernel looks anew, an array grows last."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import observe, wait
from os_brick.host import block, md, md_acts, nvme
from os_brick.model import fabrics
from os_brick.plans import nvme_growth as plans
from os_brick.plans.nvme_removal import FoundArray

LOG = logging.getLogger(__name__)

# The kernel shows a new size as soon as it has looked at the namespace again.
RESIZE_SECONDS = 30.0


def look(wanted: fabrics.NamespaceIdentity, paths: Sequence[fabrics.Path]) -> plans.Found:
    """What there is of a namespace: its paths, and the block devices of those that take I/O."""
    found = tuple(plans.FoundPath(path, nvme.why_unusable(path) or '') for path in paths)
    heads = dict.fromkeys(each.path.head for each in found if not each.why_unusable)
    return plans.Found(
        wanted,
        found,
        tuple(plans.FoundHead(head, block.inode(head), block.size_bytes(head)) for head in heads),
    )


def plan(
    what: str, members: Sequence[plans.Found], array: FoundArray | None = None
) -> plans.Growth:
    """What the growth of a volume would do now, if it has become larger.

    A member of an array by which its subsystem cannot be asked is left out, as in the growth.

    :param what: the volume, in words.
    :param members: what there is of its namespaces.
    :raises VolumePathsNotFound: if no subsystem can be asked.
    """
    usable = [each for each in members if each.heads]
    if not usable or (array is None and usable != list(members)):
        require_usable(next(each for each in members if not each.heads))
    return plans.extend(what, usable, array)


def grow(
    wanted: fabrics.NamespaceIdentity, paths: Sequence[fabrics.Path], deadline: wait.Deadline
) -> int:
    """Have the kernel see the size that the subsystem reports of a namespace; return it in bytes.

    :raises VolumeIdentityMismatch: if it is another namespace by now.
    :raises VolumePathsNotFound: if no controller reports a size.
    :raises VolumeHasShrunk: if it has become smaller; what is in use is not cut.
    :raises OperationTimedOut: if the kernel does not show the size in time.
    """
    found = look(wanted, paths)
    size = _ask(found, deadline)
    return _run(plans.resize(found, size), found, deadline) or size


def _run(plan: plans.Growth, found: plans.Found, deadline: wait.Deadline) -> int | None:
    """Run a plan; return what the kernel shows at its end, if it had to be waited for."""
    LOG.debug('%s', plan)
    shown: list[int] = []
    until = deadline.within(RESIZE_SECONDS)
    for step in plan.steps:
        with observe.step(step.verb, step.device):
            match step.verb:
                case plans.Verb.REFUSE:
                    raise _has_shrunk(step, found)
                case plans.Verb.RESCAN:
                    if nvme.state(step.device) == nvme.LIVE:
                        nvme.rescan(step.device, deadline)
                case plans.Verb.AWAIT_SIZE:
                    shown.append(_grown(step, until))
    return min(shown, default=None)


def _has_shrunk(step: plans.Step, found: plans.Found) -> exception.VolumeHasShrunk:
    before = next(head.size_bytes for head in found.heads if head.name == step.device)
    device = f'/dev/{step.device} (namespace {found.identity})'
    return exception.VolumeHasShrunk(device=device, size=step.size_bytes, before=before)


def _ask(found: plans.Found, deadline: wait.Deadline) -> int:
    """The size of a namespace in bytes, from the first path that reports one."""
    plan = plans.read(found)
    LOG.debug('%s', plan)
    require_usable(found)
    paths = {each.path.name: each.path for each in found.paths}
    reasons = [each.why_unusable for each in found.paths if each.why_unusable]
    for step in plan.steps:
        path = paths[step.path]
        try:
            with observe.step(step.verb, step.device):
                actual = nvme.report(path, deadline.limit(nvme.IDENTIFY_SECONDS))
        except (OSError, exception.OperationTimedOut) as error:
            reasons.append(f'path {path.name}: {error}')
            continue
        _require_same(found.identity, path, actual.identity)
        if actual.size_bytes:
            return actual.size_bytes
        reasons.append(f'path {path.name} reports no capacity')
    raise _unknown(found, reasons)


def require_usable(found: plans.Found) -> None:
    """Have a path by which the subsystem can be asked for the size.

    :raises VolumePathsNotFound: if there is none.
    """
    if all(each.why_unusable for each in found.paths):
        raise _unknown(found, [each.why_unusable for each in found.paths])


def _unknown(found: plans.Found, reasons: Sequence[str]) -> exception.VolumePathsNotFound:
    return exception.VolumePathsNotFound(
        f'The size of namespace {found.identity} is unknown: {"; ".join(reasons)}'
    )


def _require_same(
    wanted: fabrics.NamespaceIdentity, path: fabrics.Path, actual: fabrics.NamespaceIdentity
) -> None:
    if not (wanted.matches(actual) and path.identity.matches(actual)):
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{path.head}', expected=str(path.identity), actual=str(actual)
        )


def _grown(step: plans.Step, deadline: wait.Deadline) -> int:
    """The size of the block device of a namespace, once it has grown, and is the one still."""
    device, wanted = f'/dev/{step.device}', step.size_bytes or 0

    def probe() -> int | None:
        size = block.size_bytes(step.device)
        if block.inode(step.device) != step.number:
            raise exception.VolumeDeviceNotFound(f'{device} has gone while its namespace grew')
        return size if size >= wanted else None

    what = f'{device} to have the {wanted} bytes that its subsystem reports'
    return wait.until(probe, deadline, what)


def grow_array(found: FoundArray, deadline: wait.Deadline) -> int:
    """Have an array use the new size of its members; return its size in bytes.

    :raises VolumeIdentityMismatch: if another array has its name by now.
    :raises BrickException: if it does not grow.
    """
    plan = plans.array(found)
    LOG.debug('%s', plan)
    (step,) = plan.steps
    with observe.step(step.verb, step.device):
        return _grow_array(step, deadline)


def _grow_array(step: plans.Step, deadline: wait.Deadline) -> int:
    actual = md.uuid(step.device)
    if (block.inode(step.device), actual) != (step.number, step.uuid):
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{step.device}', expected=f'array {step.uuid}', actual=f'array {actual}'
        )
    return md_acts.grow(step.device, deadline)
