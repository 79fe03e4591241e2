# SPDX-License-Identifier: Apache-2.0
"""What of a namespace is on this host, found once and frozen."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

from oslo_log import log as logging

from os_brick import exception
from os_brick.host import nvme, nvme_refs
from os_brick.model import fabrics
from os_brick.plans import nvmeof as plans

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """The namespace that is looked for.

    :ivar nqn: its subsystem; ``portals`` where the caller says that it is reached.
    :ivar host_nqn: the name by which this host has connected.
    :ivar volume: what the volume is locked by.
    :ivar used: the block device that the caller has kept the name of, which may be another's.
    """

    nqn: str
    portals: tuple[fabrics.NvmePortal, ...]
    host_nqn: str | None
    identity: fabrics.NamespaceIdentity
    volume: str
    used: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What there is of one namespace.

    :ivar controllers: those at the portals of the properties.
    :ivar paths: the namespace behind them.
    :ivar undecided: paths that fit what the caller knows, and may be another volume's.
    """

    wanted: Wanted
    controllers: tuple[nvme.Controller, ...]
    paths: tuple[nvme.Path, ...]
    undecided: tuple[nvme.Path, ...] = ()

    @property
    def heads(self) -> list[str]:
        """The block devices of it: one, unless the kernel has no native multipath."""
        return list(dict.fromkeys(path.head for path in self.paths))

    def require_decided(self) -> None:
        """Make sure that the volume is told from others, or is not here.

        :raises VolumeIdentityMismatch: if what is here may be another volume.
        """
        if self.undecided:
            found = ', '.join(f'/dev/{path.head} ({path.identity})' for path in self.undecided)
            raise exception.VolumeIdentityMismatch(
                device=f'The namespace of {self.wanted.nqn}',
                expected=f'{self.wanted.identity} as /dev/{self.wanted.used or "(not known)"}',
                actual=f'{found}, which may be another volume. Pass vol_uuid or volume_nguid',
            )


def survey(wanted: Wanted) -> Found:
    """What there is of a namespace, by its names alone if it has any.

    A number, or nothing at all, may mean another namespace than at the attach. What an attach of
    another volume has found there is not this volume. Of what is left, a device name that the
    caller has kept decides; it never leads to a namespace that the number does not.
    """
    controllers = nvme.controllers_at(wanted.nqn, wanted.portals, wanted.host_nqn)
    behind = {each.name: nvme.paths(each.name) for each in controllers}
    found = plans.matching(wanted.identity, [path for each in behind.values() for path in each])
    if wanted.identity.is_unique or not found:
        return Found(wanted, tuple(controllers), tuple(found))
    foreign = _foreign(wanted, controllers, found)
    left = [path for path in found if str(path.identity) not in foreign]
    meant = _meant(wanted, left)
    undecided = () if meant else tuple(left)
    return Found(wanted, tuple(controllers), tuple(meant), undecided)


def _foreign(
    wanted: Wanted, controllers: Sequence[nvme.Controller], found: Sequence[nvme.Path]
) -> set[str]:
    """The namespaces that were attached as other volumes only, which are left alone."""
    known = {each.name: nvme_refs.read(each) for each in controllers}
    names = {
        str(path.identity)
        for path in found
        if known[path.controller].is_foreign(str(path.identity), wanted.volume)
    }
    for name in names:
        LOG.warning('Namespace %s of %s is attached as another volume', name, wanted.nqn)
    return names


def _meant(wanted: Wanted, left: Sequence[nvme.Path]) -> list[nvme.Path]:
    is_told_apart = wanted.identity.nsid is not None or len({path.head for path in left}) < 2
    if wanted.used is None and is_told_apart:
        return list(left)
    return [path for path in left if path.head == wanted.used]
