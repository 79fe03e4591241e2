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


class Search:
    """The search for a namespace behind a controller."""

    def __init__(
        self,
        wanted: fabrics.Identity,
        controller: nvme.Controller,
        deadline: wait.Deadline,
        *,
        is_new: bool,
    ) -> None:
        self._wanted = wanted
        self._controller = controller
        self._deadline = deadline
        self._rescans = [wait.Deadline.after(s) for s in plans.rescan_times(is_new=is_new)]
        self._stranger = ''
        self._why = 'it does not show it'

    def look(self) -> nvme.Path | None:
        """The namespace, if it is there and says itself that it is the one.

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
            return found[0]
        if self._rescans and self._rescans[0].passed:
            del self._rescans[0]
            with contextlib.suppress(OSError):
                nvme.rescan(self._controller.name, self._deadline)
        return None

    def _is_it(self, path: nvme.Path) -> bool:
        try:
            limit = self._deadline.limit(nvme.IDENTIFY_SECONDS)
            actual = nvme.report(path, limit).identity
        except (OSError, exception.OperationTimedOut) as error:
            self._why = str(error)
            return False
        if self._wanted.is_of(actual) and path.identity.is_of(actual):
            return True
        if str(actual) != self._stranger:
            # The kernel has to be told: it drops such a namespace, and finds the new one then.
            LOG.warning('Namespace %s was %s and is %s now', path.name, path.identity, actual)
            self._stranger = str(actual)
            self._rescans = [wait.Deadline.after(s) for s in plans.rescan_times(is_new=False)]
        return False

    def failure(self, what: str) -> Exception:
        """The error of a search that has found nothing in time."""
        stranger = self._stranger
        for path in nvme.paths(self._controller.name):
            if self._wanted.nsid is not None and path.identity.nsid == self._wanted.nsid:
                stranger = stranger or str(path.identity)
        if stranger:
            return exception.VolumeIdentityMismatch(
                device=f'The namespace behind {self._controller}',
                expected=str(self._wanted),
                actual=stranger,
            )
        return exception.VolumeDeviceNotFound(f'{what}: {self._controller}: {self._why}')
