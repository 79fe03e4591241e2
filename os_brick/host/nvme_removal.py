# SPDX-License-Identifier: Apache-2.0
"""Runs the plans of :mod:`os_brick.plans.nvme_removal`; takes down controllers.

Between a look and an act a name may get another owner: the array gives a number to another volume,
a controller goes by itself, another process attaches. So each step proves just before it acts that
its object is still the one that was planned: a block device and a controller by the kernel's number
of it, an array by its UUID, what a flush would reach by asking the controllers who it is.

A controller that carries another volume stays. What counts as another volume:
:func:`os_brick.plans.nvmeof.foreign`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
import dataclasses
import functools
from typing import Any, Protocol

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import fanout, locks, teardown, undo, wait
from os_brick.host import (
    block,
    md,
    md_acts,
    nvme,
    nvme_adopt,
    nvme_connect,
    nvme_refs,
    nvme_volume,
)
from os_brick.model import fabrics
from os_brick.plans import nvme_removal as plans
from os_brick.plans import nvmeof

LOG = logging.getLogger(__name__)


# How long a look at a device may take, on a busy machine.
_PASSING_SECONDS = 5.0
# Errors of ours name the controller; those of the kernel do not.
_NAMED = exception.BrickException


class Steps(Protocol):
    """Runs the steps of a removal; decides whether one that fails ends it."""

    def run(self, what: object, step: Callable[[], object]) -> bool:
        """Run one step; return whether it succeeded, unless its error is raised."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Run:
    """A plan that is being run."""

    deadline: wait.Deadline
    force: bool

    @property
    def flush_limit(self) -> float:
        """How long a flush may take in seconds."""
        return teardown.flush_limit(self.deadline, self.force)


def run(
    removal: plans.Removal, steps: Steps, deadline: wait.Deadline, *, force: bool = False
) -> None:
    """Take away what a plan names; nothing is taken away before the data is safe, without force.

    :param steps: decides whether a step that fails ends the removal.
    :raises VolumeInUse: if something on this host uses it, without ``force``.
    :raises VolumeIdentityMismatch: if it cannot be told from another volume.
    """
    LOG.debug('%s', removal)
    state = _Run(deadline, force)
    for step in removal.steps:
        steps.run(step, functools.partial(_ACTS[step.verb], state, step))


# Steps, in the order in which a detach takes them.


def _refuse(_state: _Run, step: plans.Step) -> None:
    raise exception.VolumeIdentityMismatch('; '.join(step.notes))


def _is_still(step: plans.Step) -> bool:
    """Whether a block device has not gone; its name may be another one's by now."""
    return block.inode(step.device) == step.number


def _check_array(_state: _Run, step: plans.Step) -> None:
    if _is_still(step):
        md.refuse_users(step.device)


def _flush_array(state: _Run, step: plans.Step) -> None:
    if _is_still(step):
        block.flush(step.device, step.number, state.flush_limit)


def _stop_array(state: _Run, step: plans.Step) -> None:
    if _is_still(step):
        md_acts.stop(step.device, state.deadline, uuid_meant=step.uuid)


def _check_users(state: _Run, step: plans.Step) -> None:
    if _is_still(step):
        nvme_volume.refuse_users(step.device, state.deadline, known=step.users)


def _flush(state: _Run, step: plans.Step) -> None:
    limit = state.flush_limit
    nvme_volume.flush(step.device, step.number, step.paths, limit, state.deadline)


def _flush_unused(state: _Run, step: plans.Step) -> None:
    if not _is_still(step):
        _flush(state, step)  # It says why it cannot.
        return
    device, limit = (step.device, step.number, step.paths), state.flush_limit
    nvme_volume.flush_unused(*device, limit, state.deadline, known=step.users)


def _leave(state: _Run, step: plans.Step) -> None:
    """Release a namespace behind its controllers, side by side; end those without another one."""
    names = set(step.names)
    _, errors = fanout.fanout(
        lambda controller: detach(controller, names, state.deadline), step.controllers
    )
    if len(errors) == 1 and isinstance(error := next(iter(errors.values())), _NAMED):
        raise error
    if errors:
        raise exception.VolumePathNotRemoved(
            volume_path=[f'{controller}: {error}' for controller, error in errors.items()]
        )


def _free(state: _Run, step: plans.Step) -> None:
    nvme_adopt.leave(step.controllers, set(step.names), state.deadline)


def _wait_gone(state: _Run, step: plans.Step) -> None:
    nvme_volume.wait_gone(step.device, step.number, state.deadline)


def _forget(state: _Run, step: plans.Step) -> None:
    for lock in step.locks:
        with locks.hold(locks.TARGET, lock, state.deadline):
            nvme_refs.forget_gone(lock)


_ACTS: dict[plans.Verb, Callable[[_Run, plans.Step], None]] = {
    plans.Verb.REFUSE: _refuse,
    plans.Verb.CHECK_ARRAY: _check_array,
    plans.Verb.FLUSH_ARRAY: _flush_array,
    plans.Verb.STOP_ARRAY: _stop_array,
    plans.Verb.CHECK_USERS: _check_users,
    plans.Verb.FLUSH: _flush,
    plans.Verb.FLUSH_UNUSED: _flush_unused,
    plans.Verb.LEAVE: _leave,
    plans.Verb.FREE: _free,
    plans.Verb.WAIT_GONE: _wait_gone,
    plans.Verb.FORGET: _forget,
}


# Controllers.


def detach(controller: fabrics.Controller, names: set[str], deadline: wait.Deadline) -> bool:
    """Release namespaces, and take their controller down unless it carries another volume.

    :param names: the namespaces that are released.
    :return: whether it has gone.
    """
    with locks.hold(locks.TARGET, controller.lock, deadline):
        if not nvme.is_there(controller):
            nvme_refs.forget_gone(controller.lock)
            return True
        known = nvme_refs.release(controller, names)
        behind = [path for path in nvme.paths(controller.name) if str(path.identity) not in names]
        return _disconnect_if_unused(controller, known, behind, deadline, is_own=False)


@undo.verb
def withdraw(
    controller: dict[str, Any],
    wanted: dict[str, Any],
    token: str,
    is_own: bool,
    is_found: bool,
    seconds: float,
) -> None:
    """Release a controller; one that the attach has made, or its last user left, goes."""
    portal = fabrics.NvmePortal(**controller['portal'])
    there = fabrics.Controller(**{**controller, 'portal': portal})
    paths = nvme.paths(there.name) if is_own or is_found else []
    found = nvmeof.matching(fabrics.NamespaceIdentity(**wanted), paths)
    names = {str(path.identity) for path in found}
    take_back(there, names, token, wait.Deadline.after(seconds), is_own=is_own)


def take_back(
    controller: fabrics.Controller,
    names: set[str],
    token: str,
    deadline: wait.Deadline,
    *,
    is_own: bool,
) -> bool:
    """Take back one attach's use of a controller, and the controller if nothing uses it then.

    A controller that was connected by hand stays, unless a detach has released all of it.

    :param names: the namespaces that the attach has found, or may have.
    :param token: the attach's lifeline.
    :param is_own: whether the attach has made the controller.
    :return: whether it has gone.
    """
    with locks.hold(locks.TARGET, controller.lock, deadline):
        if not nvme.is_there(controller):
            nvme_refs.forget_gone(controller.lock, token)
            return True
        known = nvme_refs.withdraw(controller, token)
        if not (is_own or known.is_made or known.released):
            return False
        behind = [
            path
            for path in nvme.paths(controller.name)
            if not (str(path.identity) in names and _may_go(path, known, deadline))
        ]
        return _disconnect_if_unused(controller, known, behind, deadline, is_own=is_own)


def _may_go(path: fabrics.Path, known: nvme_refs.References, deadline: wait.Deadline) -> bool:
    """Whether a namespace that a failed attach has found is nothing to anyone else.

    Another attach may have found it there, too, or something may use it, which the other paths to
    it would still serve.
    """
    if str(path.identity) in known.attached:
        return False
    others = [other for other in nvme.paths_of(path.head) if other.controller != path.controller]
    return bool(others) or not _in_use([path], deadline)


def _disconnect_if_unused(
    controller: fabrics.Controller,
    known: nvme_refs.References,
    behind: list[fabrics.Path],
    deadline: wait.Deadline,
    *,
    is_own: bool,
) -> bool:
    is_made = is_own or known.is_made
    kept, idle = nvmeof.foreign(behind, known.attached, known.released, is_made=is_made)
    others = kept or _in_use(idle, deadline)
    if others or known.coming:
        why = ', '.join(path.name for path in others) or 'an attach is under way'
        LOG.info('The %s stays: %s', controller, why)
        return False
    nvme_connect.delete(controller, deadline)
    nvme_refs.forget(controller)
    return True


def _in_use(paths: Iterable[fabrics.Path], deadline: wait.Deadline) -> list[fabrics.Path]:
    """Those of some namespaces that something uses, and goes on to use.

    Who looks has a device open, or holds it exclusively, for a moment: another detach that asks
    the same behind another controller is among them. No one would come back to a controller that
    was left because of it.
    """
    left = [path for path in paths if _is_used(path.head)]

    def are_idle() -> bool:
        left[:] = [path for path in left if _is_used(path.head)]
        return not left

    if left:  # From now on: the first look at many namespaces takes seconds on a busy host.
        wait.holds(are_idle, deadline.within(_PASSING_SECONDS))
    return left


def _is_used(head: str) -> bool:
    return bool(block.users(head) or block.openers(head) or block.claimant(head))
