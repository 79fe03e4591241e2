# SPDX-License-Identifier: Apache-2.0
"""One look at what there is of an NVMe volume here, for :mod:`os_brick.plans.nvme_removal`.

Nothing here changes anything, and nothing is asked of a controller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses

from oslo_log import log as logging

from os_brick.host import block, md, nvme, nvme_refs
from os_brick.model import fabrics
from os_brick.plans import nvme_attach as plans_attach
from os_brick.plans import nvme_removal as plans
from os_brick.plans import nvmeof

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """Where a namespace may be.

    :ivar nqn: its subsystem.
    :ivar portals: those on the paths of the caller's properties.
    :ivar host_nqn: the name by which this host has connected; ``None`` for any.
    :ivar volume: what the volume is locked by.
    """

    nqn: str
    portals: tuple[fabrics.NvmePortal, ...]
    host_nqn: str | None
    volume: str


def namespace(places: Places, wanted: plans.Wanted) -> plans.Found:
    """What there is of a namespace: controllers, and what they show."""
    controllers = nvme.controllers_at(places.nqn, places.portals, places.host_nqn)
    paths = [path for each in controllers for path in nvme.paths(each.name)]
    fit = nvmeof.matching(wanted.identity, paths)
    foreign: frozenset[str] = frozenset()
    if fit and not wanted.identity.is_unique:
        foreign = _foreign(places, controllers, fit)
    return plans.Found(tuple(controllers), tuple(paths), foreign=foreign)


def for_removal(places: Places, wanted: plans.Wanted, *, with_users: bool = True) -> plans.Found:
    """The same, and what a removal needs to know besides.

    :param with_users: whether to look for users, for which every mount of the host is read.
    """
    found = namespace(places, wanted)
    heads = plans.choose(found, wanted).heads
    known = block.usage() if heads and with_users else None
    return dataclasses.replace(
        found,
        heads=tuple(
            plans.FoundHead(
                head,
                block.inode(head),
                None if known is None else tuple(block.users(head, known=known)),
            )
            for head in heads
        ),
        locks=_left(places, found.controllers),
    )


def array(name: str) -> plans.FoundArray:
    """An md array over the members of a volume."""
    return plans.FoundArray(
        name,
        block.inode(name),
        md.uuid(name),
        md.is_running(name),
        any(member.is_present for member in md.members(name)),
    )


def described(
    states: Mapping[fabrics.Controller, str],
) -> tuple[plans_attach.FoundController, ...]:
    """The controllers at a portal and their states, as plans of an attach are made of them."""
    return tuple(
        plans_attach.FoundController(
            *(each.name, state == nvme.LIVE, state, each.number),
            is_plain=each.portal.transport == fabrics.TCP and not each.is_encrypted,
        )
        for each, state in states.items()
    )


def _foreign(
    places: Places, controllers: Sequence[fabrics.Controller], fit: Sequence[fabrics.Path]
) -> frozenset[str]:
    """The namespaces that were attached as other volumes only, which are left alone."""
    known = {each.name: nvme_refs.read(each) for each in controllers}
    names = frozenset(
        str(path.identity)
        for path in fit
        if known[path.controller].is_foreign(str(path.identity), places.volume)
    )
    for name in names:
        LOG.warning('Namespace %s of %s is attached as another volume', name, places.nqn)
    return names


def _left(places: Places, controllers: Sequence[fabrics.Controller]) -> tuple[str, ...]:
    """The portals at which there is no controller, and a state of one that was there."""
    present = {each.lock for each in controllers}
    locks = dict.fromkeys(fabrics.lock_of(places.nqn, portal) for portal in places.portals)
    return tuple(lock for lock in locks if lock not in present and nvme_refs.is_known(lock))
