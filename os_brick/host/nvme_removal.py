# SPDX-License-Identifier: Apache-2.0
"""Taking down controllers, and with them the namespaces that are let go of.

A controller that carries another volume stays. What counts as another volume:
:func:`os_brick.plans.nvmeof.foreign`.
"""

from __future__ import annotations

import functools

from oslo_log import log as logging

from os_brick.core import fanout, locks, teardown, wait
from os_brick.host import block, nvme, nvme_connect, nvme_refs, nvme_survey, nvme_volume
from os_brick.plans import nvmeof as plans

LOG = logging.getLogger(__name__)


def remove(
    found: nvme_survey.Found, steps: teardown.Teardown, flush_limit: float, deadline: wait.Deadline
) -> None:
    """Flush a namespace, and take down the controllers that carry nothing else.

    :raises VolumeInUse: if something on this host uses it, without force.
    """
    for head in found.heads:
        check = functools.partial(nvme_volume.refuse_users, head, deadline)
        steps.run(f'check for users of {head}', check)
    for head in found.heads:
        paths = [path for path in found.paths if path.head == head]
        flush = functools.partial(nvme_volume.flush, head, paths, flush_limit, deadline)
        steps.run(f'flush of {head}', flush)
    names = {str(path.identity) for path in found.paths}

    def take_down(controller: nvme.Controller) -> bool:
        return detach(controller, names, deadline)

    gone, errors = fanout.fanout(take_down, found.controllers)
    for error in errors.values():
        steps.run('end of a connection', functools.partial(_raise, error))
    if found.heads and all(gone.values()) and not errors:
        nvme_volume.wait_gone(set(found.heads), deadline)


def _raise(error: Exception) -> None:
    raise error


def detach(controller: nvme.Controller, names: set[str], deadline: wait.Deadline) -> bool:
    """Release namespaces, and take their controller down unless it carries another volume.

    :param names: the namespaces that are released.
    :return: whether it has gone.
    """
    with locks.hold(locks.TARGET, controller.lock, deadline):
        if not nvme.is_there(controller):
            return True
        known = nvme_refs.release(controller, names)
        behind = [path for path in nvme.paths(controller.name) if str(path.identity) not in names]
        return _disconnect_if_unused(controller, known, behind, deadline, is_own=False)


def take_back(
    controller: nvme.Controller,
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
            return True
        known = nvme_refs.withdraw(controller, token)
        if not (is_own or known.is_made or known.released):
            return False
        behind = [
            path
            for path in nvme.paths(controller.name)
            if not (str(path.identity) in names and _may_go(path, known))
        ]
        return _disconnect_if_unused(controller, known, behind, deadline, is_own=is_own)


def _may_go(path: nvme.Path, known: nvme_refs.References) -> bool:
    """Whether a namespace that a failed attach has found is nothing to anyone else.

    Another attach may have found it there, too, or something may use it, which the other paths to
    it would still serve.
    """
    if str(path.identity) in known.attached:
        return False
    others = [other for other in nvme.paths_of(path.head) if other.controller != path.controller]
    return bool(others) or not _is_used(path.head)


def _disconnect_if_unused(
    controller: nvme.Controller,
    known: nvme_refs.References,
    behind: list[nvme.Path],
    deadline: wait.Deadline,
    *,
    is_own: bool,
) -> bool:
    is_made = is_own or known.is_made
    kept, idle = plans.foreign(behind, known.attached, known.released, is_made=is_made)
    others = kept or [path for path in idle if _is_used(path.head)]
    if others or known.coming:
        why = ', '.join(path.name for path in others) or 'an attach is under way'
        LOG.info('The %s stays: %s', controller, why)
        return False
    nvme_connect.delete(controller, deadline)
    nvme_refs.forget(controller)
    return True


def _is_used(head: str) -> bool:
    return bool(block.users(head) or block.openers(head) or block.claimant(head))
