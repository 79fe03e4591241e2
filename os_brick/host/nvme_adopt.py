# SPDX-License-Identifier: Apache-2.0
"""Namespaces behind controllers that another program connects, and keeps connected.

Such a controller is never disconnected here. That a volume uses it is entered in the references all
the same, so that the detach of an NVMe over Fabrics volume behind it does not disconnect it.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from typing import Any

from os_brick import exception
from os_brick.core import locks, operation, undo, wait
from os_brick.host import nvme, nvme_refs, nvme_search, nvme_volume
from os_brick.model import fabrics


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Which namespace is meant.

    :ivar what: the namespace and its subsystem, in words.
    :ivar host_nqn: the name by which this host is connected.
    :ivar volume: what the volume is locked by.
    """

    what: str
    nqn: str
    identity: fabrics.NamespaceIdentity
    host_nqn: str | None
    volume: str

    def controllers(self) -> list[fabrics.Controller]:
        """The controllers of the subsystem, whatever their state."""
        own = {'', self.host_nqn}
        found = nvme.controllers(self.nqn)
        return [each for each in found if self.host_nqn is None or each.host_nqn in own]


class _Watch:
    """The search behind each controller that is live, those that come later, too."""

    def __init__(self, wanted: Wanted, deadline: wait.Deadline, scan_seconds: float) -> None:
        self._wanted = wanted
        self._deadline = deadline
        self._scan_seconds = scan_seconds
        self._limit: wait.Deadline | None = None
        self._searches: dict[int, nvme_search.Search] = {}

    def look(self) -> fabrics.Path | bool | None:
        """The namespace, which has confirmed its identity; ``False`` if it is not worth waiting."""
        found = self._wanted.controllers()
        live = [each for each in found if nvme.state(each.name) == nvme.LIVE]
        if live and self._limit is None:
            self._limit = self._deadline.within(self._scan_seconds)
        for controller in live:
            path = self._search(controller).look()
            if path is not None:
                return path
        return False if self._limit is not None and self._limit.passed else None

    def _search(self, controller: fabrics.Controller) -> nvme_search.Search:
        if controller.number not in self._searches:
            self._searches[controller.number] = nvme_search.Search(
                self._wanted.identity, controller, self._deadline, is_new=False
            )
        return self._searches[controller.number]

    def failure(self) -> Exception:
        """The error of a search that has found nothing."""
        errors = [search.failure(self._wanted.what) for search in self._searches.values()]
        for error in errors:
            if isinstance(error, exception.VolumeIdentityMismatch):
                return error
        if errors:
            return errors[0]
        states = [f'{one} is {nvme.state(one.name)}' for one in self._wanted.controllers()]
        why = '; '.join(states) or 'no controller of the subsystem is connected'
        return exception.VolumeDeviceNotFound(f'{self._wanted.what}: {why}')


def attach(wanted: Wanted, deadline: wait.Deadline, op: operation.Operation) -> fabrics.Path:
    """The namespace behind whatever controllers there are, readable.

    :param deadline: by when a controller is to be there; a namespace has ``scan_timeout`` from then
        on.
    :raises VolumeDeviceNotFound: if it does not show, or takes no I/O.
    :raises VolumeIdentityMismatch: if another one is in its place.
    """
    watch = _Watch(wanted, deadline, op.settings.scan_seconds)
    found = wait.poll(watch.look, deadline)
    if not isinstance(found, fabrics.Path):
        raise watch.failure()
    _enter(wanted, found, op)
    behind = wanted.controllers()
    nvme_volume.wait_readable(found, op.work.within(op.settings.scan_seconds), behind)
    return found


def _enter(wanted: Wanted, found: fabrics.Path, op: operation.Operation) -> None:
    """Enter that the volume uses every controller through which the namespace shows."""
    paths = {path.controller: path for path in nvme.paths_of(found.head)}
    with locks.lifeline() as token:
        for controller in wanted.controllers():
            path = paths.get(controller.name)
            if path is not None and wanted.identity.matches(path.identity):
                _enter_one(wanted, controller, path, token, op)


def _enter_one(
    wanted: Wanted,
    controller: fabrics.Controller,
    path: fabrics.Path,
    token: str,
    op: operation.Operation,
) -> None:
    with locks.hold(locks.TARGET, controller.lock, op.work):
        if nvme.is_there(controller):
            op.undo.add(withdraw, undo.plain(controller), token, op.clean_up_seconds)
            nvme_refs.confirm(controller, wanted.volume, token, str(path.identity))


@undo.verb
def withdraw(controller: dict[str, Any], token: str, seconds: float) -> None:
    """Take back that an attach uses a controller, which stays."""
    portal = fabrics.NvmePortal(**controller['portal'])
    there = fabrics.Controller(**{**controller, 'portal': portal})
    with locks.hold(locks.TARGET, there.lock, wait.Deadline.after(seconds)):
        nvme_refs.withdraw(there, token)


def leave(
    controllers: Sequence[fabrics.Controller], names: set[str], deadline: wait.Deadline
) -> None:
    """Take back that volumes use controllers, which stay.

    :param names: the namespaces of the volumes.
    """
    for controller in controllers:
        with locks.hold(locks.TARGET, controller.lock, deadline):
            if nvme.is_there(controller):
                nvme_refs.drop(controller, names)
            else:
                nvme_refs.forget_gone(controller.lock)
