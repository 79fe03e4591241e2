# SPDX-License-Identifier: Apache-2.0
"""Finding a namespace behind a controller, and verifying its identity."""

from __future__ import annotations

import contextlib

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import wait
from os_brick.host import nvme
from os_brick.model import fabrics
from os_brick.plans import nvmeof as plans

LOG = logging.getLogger(__name__)

# What the kernel shows behind a controller that was just made counts as its answer now: it has
# asked it for each namespace (Linux, drivers/nvme/host/core.c, nvme_scan_ns), and shows none whose
# names are not those of a head that it has (nvme_init_ns_head). After that the attach asks itself.
_FRESH_SECONDS = 1.0
# The kernel has looked behind another controller, and dropped what is not there any more.
_OTHERS_SECONDS = 0.5


class Search:
    """The search for a namespace behind a controller.

    Whatever stands in its place ends in the namespace, in a rescan that repairs it, or in an error
    that names what is there. The kernel's side of each is in drivers/nvme/host/core.c (Linux 6.12).
    """

    def __init__(
        self,
        wanted: fabrics.NamespaceIdentity,
        controller: fabrics.Controller,
        deadline: wait.Deadline,
        *,
        is_new: bool,
    ) -> None:
        """Start with nothing seen.

        :param is_new: whether the controller was just made, so that the kernel looks by itself.
        """
        self._fresh = wait.Deadline.after(_FRESH_SECONDS if is_new else 0.0)
        self._wanted = wanted
        self._controller = controller
        self._deadline = deadline
        self._rescans = [wait.Deadline.after(s) for s in plans.rescan_times(is_new=is_new)]
        self._has_looked = is_new
        self._alone: wait.Deadline | None = None
        self._stale = ''
        self._why = 'the subsystem does not show it to this host'

    def look(self) -> fabrics.Path | None:
        """The namespace, if it is there and its controller confirms its identity and its size.

        That is asked of the controller, unless the kernel has just done so.

        :raises VolumeDeviceNotFound: if there is more than one.
        """
        found = plans.matching(self._wanted, nvme.paths(self._controller.name))
        if len(found) > 1:
            names = ', '.join(path.name for path in found)
            raise exception.VolumeDeviceNotFound(
                f'{self._controller} has several namespaces ({names}), and none of vol_uuid, '
                'volume_nguid and ns_id tells them apart'
            )
        if found and self._is_it(found[0]):
            return found[0] if self._is_meant() else None
        if self._rescans and self._rescans[0].passed:
            del self._rescans[0]
            self._rescan()
        return None

    def _is_meant(self) -> bool:
        """Whether what was found is named, or still the only namespace a while after a rescan.

        Without a name or a number the kernel's own list decides. That is of an earlier time where
        the array has not told it of a change, and grows while it looks behind a new controller.
        """
        if self._wanted.nsid is not None or self._wanted.is_unique:
            return True
        if self._alone is None:
            self._alone = wait.Deadline.after(min(_OTHERS_SECONDS, self._deadline.remaining * 0.7))
            with contextlib.suppress(OSError, exception.OperationTimedOut):
                nvme.rescan(self._controller.name, self._deadline)
        return self._alone.passed

    def _rescan(self) -> None:
        """Have the kernel look again; if it has looked in vain, behind the other controllers first.

        It does not add a namespace while another controller of the subsystem still shows an
        earlier one of its number ("IDs don't match for shared namespace").
        """
        others: list[fabrics.Controller] = []
        if self._has_looked:
            same = nvme.controllers(self._controller.nqn)
            others = [other for other in same if other.name != self._controller.name]
            if others:
                # It looks behind each in a thread of its own.
                self._rescans.insert(0, wait.Deadline.after(_OTHERS_SECONDS))
        self._has_looked = not self._has_looked or not others
        for controller in (*others, self._controller):
            if nvme.state(controller.name) == nvme.LIVE:
                with contextlib.suppress(OSError, exception.OperationTimedOut):
                    nvme.rescan(controller.name, self._deadline)

    def _is_it(self, path: fabrics.Path) -> bool:
        shown = nvme.size_bytes(path)
        if shown and not self._fresh.passed:
            return True
        try:
            actual = nvme.report(path, self._deadline.limit(nvme.IDENTIFY_SECONDS))
        except (OSError, exception.OperationTimedOut) as error:
            self._why = str(error)
            return False
        if not (self._wanted.matches(actual.identity) and path.identity.matches(actual.identity)):
            self._is_stale(path, actual.identity)
            return False
        if actual.size_bytes and actual.size_bytes == shown:
            return True
        self._why = _of_size(path, actual, shown)
        return False

    def _is_stale(self, path: fabrics.Path, actual: fabrics.NamespaceIdentity) -> None:
        if str(actual) == self._stale:
            return
        # The kernel has to be told: it drops such a namespace, and finds the new one then.
        LOG.warning('Namespace %s was %s and is %s now', path.name, path.identity, actual)
        self._stale = str(actual)
        self._rescans = [wait.Deadline.after(s) for s in plans.rescan_times(is_new=False)]

    def failure(self, what: str) -> Exception:
        """The error of a search that has found nothing in time."""
        stale = self._stale
        for path in nvme.paths(self._controller.name):
            if self._wanted.nsid is not None and path.identity.nsid == self._wanted.nsid:
                is_it = self._wanted.matches(path.identity)
                stale = stale or ('' if is_it else str(path.identity))
        if stale:
            return exception.VolumeIdentityMismatch.of(
                f'The namespace behind {self._controller}', str(self._wanted), stale
            )
        why = self._duplicate() or self._why
        return exception.VolumeDeviceNotFound(f'{what}: {self._controller}: {why}')

    def _duplicate(self) -> str:
        """Which namespace of another subsystem keeps the kernel from adding this one.

        Linux ignores a second namespace with a UUID, NGUID or EUI-64 that it has already
        (``nvme_global_check_duplicate_ids``, since 5.18).
        """
        if not self._wanted.is_unique:
            return ''
        for head, nqn, identity in nvme.namespaces():
            if nqn != self._controller.nqn and self._wanted.matches(identity):
                return (
                    f'the kernel ignores it, because /dev/{head} of subsystem {nqn or "(local)"} '
                    f'has the same identity ({identity}). Detach that one, or have the array give '
                    'the volume an identity of its own'
                )
        return ''


def _of_size(path: fabrics.Path, actual: nvme.Report, shown: int) -> str:
    if not actual.size_bytes:
        return f'it reports no capacity for namespace {path.name}'
    if not shown:
        return (
            f'the kernel does not support the format of namespace {path.name}, which has '
            f'{actual.size_bytes} bytes in blocks of {actual.block_bytes}'
        )
    return (
        f'namespace {path.name} has {actual.size_bytes} bytes, and the kernel still takes it for '
        f'{shown}'
    )
