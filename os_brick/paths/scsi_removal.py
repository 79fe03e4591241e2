# SPDX-License-Identifier: Apache-2.0
"""A SCSI volume on this host, for its detach and extend: one look, one choice, one plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
import contextlib
import dataclasses

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import locks, teardown, wait
from os_brick.host import block, dm, idle, links, removal, scsi, survey
from os_brick.model import vpd
from os_brick.plans import choice as plans_choice
from os_brick.plans import removal as plans
from os_brick.request import common

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """What there is of a volume on this host.

    :ivar choice: what of ``found`` is its own.
    """

    wanted: plans_choice.Wanted
    found: plans_choice.Found
    choice: plans_choice.Choice

    @property
    def disks(self) -> tuple[str, ...]:
        """The names of its disks."""
        return self.choice.names

    def is_kept_from(self, address: scsi.Address) -> bool:
        """Whether another volume's disk is at an address on its paths."""
        disk = scsi.disk_at(address)
        return disk is not None and disk not in self.disks

    def require(self) -> tuple[str, ...]:
        """The names of its disks, of which there are some.

        :raises VolumePathsNotFound: if there is none.
        """
        if not self.disks:
            raise exception.VolumePathsNotFound(self.absence())
        return self.disks

    def absence(self) -> str:
        """That it is not here, in words."""
        why = f': {self.choice.unclear}' if self.choice.unclear else ''
        return f'There is no disk of {self.wanted.what} on this host{why}'


def look(
    request: common.ScsiRequest, places: survey.Places, what: str, *, with_users: bool = True
) -> Volume:
    """What there is of a volume now.

    :param what: the volume's paths, in words.
    :param with_users: whether to look for its users, which only a removal has to know.
    """
    path = request.device_path or ''
    wanted = plans_choice.Wanted(
        what,
        wwid=request.expected_wwid or '',
        noted=request.noted_wwid or '',
        link=path if path.startswith(links.PREFIX) else '',
        may_have_link=request.encrypted or path.startswith(links.PREFIX),
    )
    found = survey.volume(places, wanted, path or None, with_users=with_users)
    return Volume(wanted, found, plans_choice.choose(found, wanted))


@contextlib.contextmanager
def identity_lock(
    request: common.ScsiRequest, places: survey.Places, deadline: wait.Deadline
) -> Iterator[None]:
    """Keep those away who reach the same volume by paths with another name; after its key's lock.

    Nothing is held while no identity is known: then no disk of it is on its paths.
    """
    disks, wanted = filter(None, map(scsi.disk_at, places.named)), request.expected_wwid or ''
    # A stale disk on its paths has another volume's name.
    identities = map(scsi.cached_identity, disks)
    own = (each.wwid for each in identities if each.wwid and not _is_another(each, wanted))
    wwid = next(own, '') or _wwid_meant(wanted)
    with locks.hold_identity(wwid, deadline):
        yield


def _wwid_meant(text: str) -> str:
    """The WWID that a caller means: it may have kept the name of a map, such as ``mpatha``."""
    found = None if vpd.is_registered(text.lower()) else dm.called(text)
    return dm.wwid(found) if found else text


def remove(volume: Volume, steps: teardown.Teardown, deadline: wait.Deadline) -> None:
    """Take a volume away; that it is not here is a warning."""
    if not volume.disks and not volume.choice.unclear:
        LOG.warning('Detach: %s', volume.absence())
    plan = plans.plan(volume.choice, volume.wanted, volume.found.links)
    removal.run(plan, steps, deadline, force=steps.on_error.is_forced)


def is_another(disk: str, wwid: str | None) -> bool:
    """Whether a disk is certainly not the volume that the caller expects."""
    return bool(wwid) and _is_another(scsi.cached_identity(disk), wwid or '')


def _is_another(known: vpd.UnitIdentity, wwid: str) -> bool:
    return bool(wwid) and known.compare_wwid(wwid) is vpd.Match.ANOTHER


def take_back(names: Collection[str], deadline: wait.Deadline) -> None:
    """Remove disks that a failing attach has added, with their map; what is in use stays."""
    wanted = plans_choice.Wanted(', '.join(names))
    plan = plans.plan(plans_choice.choose(survey.of_disks(names), wanted), wanted)
    verbs = [step.verb for step in plan.steps]
    disks = verbs.index(plans.Verb.REMOVE_DISKS) if plans.Verb.REMOVE_DISKS in verbs else len(verbs)
    steps = _UnlessInUse()
    try:
        # The first looks for users.
        removal.run(dataclasses.replace(plan, steps=plan.steps[:1]), teardown.RAISING, deadline)
        removal.run(
            dataclasses.replace(plan, steps=plan.steps[1:disks]), steps, deadline, force=True
        )
        bare = [name for name in names if block.exists(name) and not dm.multipaths_over([name])]
        idle.require_free(bare)
    except exception.VolumeInUse as error:
        LOG.warning('What a failed attach has made stays: %s', error)
        return
    removal.run(dataclasses.replace(plan, steps=plan.steps[disks:]), steps, deadline, force=True)


class _UnlessInUse:
    """Steps that go on after errors, unless a device turns out to be in use."""

    def run(self, what: object, step: Callable[[], object]) -> bool:
        """Run one step; return whether it succeeded.

        :raises VolumeInUse: if the step does.
        """
        try:
            step()
        except exception.VolumeInUse:
            raise
        except Exception as error:  # noqa: BLE001 as much as possible is taken back
            LOG.warning('Taking back: the step %s failed: %s', what, error)
            return False
        return True
