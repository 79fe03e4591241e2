# SPDX-License-Identifier: Apache-2.0
"""The search for paths to a Fibre Channel volume while no port of this host sees its ports."""

from __future__ import annotations

import contextlib

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import fanout, locks, operation, undo, wait
from os_brick.host import fc, fc_paths, fc_platform, scsi
from os_brick.paths import fibre_channel, scsi_undo
from os_brick.request import fibre_channel as request_fc

LOG = logging.getLogger(__name__)

# A port that logs in is there within this time; only then an adapter is taken for one whose
# driver does not tell what it sees.
WIDE_SCAN_AFTER_SECONDS = 2.0
_CLEAN_UP_SECONDS = 10.0
# The kernel reads a disk's capacity after the scan has returned.
_PROBE_SECONDS = 1.0


class Search:
    """Looks for usable paths, and, where it must, scans adapters that do not report what they see.

    A wide scan brings whatever has the LUN number behind the adapter, be it of this volume or
    not. One lock per adapter is held from such a scan until the foreign disks that it added have
    been removed, and a path behind such an adapter is only believed under that lock. So no attach
    is given a disk that another one is about to remove, and none removes a disk that was there
    before its own scan.
    """

    def __init__(
        self,
        request: request_fc.FcRequest,
        platform: fc_platform.FcPlatform,
        op: operation.Operation,
    ) -> None:
        self._request = request
        self._platform = platform
        self._op = op
        self._has_scanned = False
        self.added_by_scan: set[scsi.Address] = set()

    def run(self, deadline: wait.Deadline) -> list[fibre_channel.Path]:
        """The paths to the volume, those that can be used first, as soon as one can be.

        Where a scan added disks of the volume itself is in ``added_by_scan`` then.

        :raises NoFibreChannelVolumeDeviceFound: if there is none in time, naming what is seen.
        """
        wide = wait.Deadline.after(WIDE_SCAN_AFTER_SECONDS)

        def probe() -> list[fibre_channel.Path] | None:
            found = self._look(deadline)
            if found:
                return found
            if wide.passed and not self._has_scanned and self._request.may_scan_widely:
                self._has_scanned = True
                self._scan_widely(deadline)
            return None

        found = wait.poll(probe, deadline)
        if found is None:
            raise exception.NoFibreChannelVolumeDeviceFound(
                f'No device of the volume ({self._request}): {fibre_channel.missing(self._request)}'
            )
        return found

    def _look(self, deadline: wait.Deadline) -> list[fibre_channel.Path]:
        found = self._usable_first()
        hidden = sorted({path.port.host for path in found} - fc.telling_hosts()) if found else []
        if not hidden:
            return found
        with locks.hold_all(locks.TARGET, map(_lock, hidden), deadline):
            return self._usable_first()

    def _usable_first(self) -> list[fibre_channel.Path]:
        """The paths to the volume; none as long as none can be used."""
        found = fibre_channel.paths_of(self._request, self._platform)
        if not any(path.is_usable for path in found):
            return []
        return sorted(found, key=lambda path: not path.is_usable)

    def _scan_widely(self, deadline: wait.Deadline) -> None:
        """Scan for the LUN behind everything of those adapters that show no target at all."""
        for port in fc.ports_without_remotes():
            for lun in sorted({target.lun for target in self._request.reached_from(port.wwpn)}):
                with locks.hold(locks.TARGET, _lock(port.host), deadline):
                    self._scan_port(port, self._platform.kernel_lun(lun), deadline)

    def _scan_port(self, port: fc.Port, lun: int, deadline: wait.Deadline) -> None:
        """Scan one adapter, and keep of what that brings only the volume's own disks."""
        LOG.warning('%s reports no remote ports; scanning all of its targets for LUN %s', port, lun)
        before = [str(place) for place in fc_paths.devices_at(port, lun)]
        with undo.Undo() as steps:
            steps.add(remove_foreign, port.host, lun, before, _CLEAN_UP_SECONDS)
            _scan_to_the_end(port, lun, deadline, steps)
            own = [p for p in self._usable_first() if str(p.address) not in before]
            for path in own:
                self._op.undo.add(
                    fibre_channel.delete_disk, fibre_channel.plain(path), _CLEAN_UP_SECONDS
                )
                self.added_by_scan.add(path.address)
            keep = [*before, *(str(path.address) for path in own)]
            remove_foreign(port.host, lun, keep, _CLEAN_UP_SECONDS)


def _scan_to_the_end(port: fc.Port, lun: int, deadline: wait.Deadline, steps: undo.Undo) -> None:
    """Scan in a thread of its own, whose end is waited for if the caller is interrupted.

    The kernel goes on with a scan, and what it has found last would come after all was taken back.
    """
    fan: fanout.Fanout[int, None] = fanout.Fanout(
        lambda lun: fc_paths.scan_widely(port, lun, deadline)
    )
    steps.add_local(fan.have_ended, _CLEAN_UP_SECONDS)
    fan.start([lun])
    fan.have_ended()
    fan.require_uninterrupted()
    error = fan.errors.get(lun)
    if isinstance(error, (OSError, exception.BrickException)):
        LOG.warning('%s could not be scanned: %s', port, error)
    elif error is not None:
        raise error


def _lock(host: int) -> str:
    return f'host {host}'


@undo.verb
def remove_foreign(host: int, lun: int, keep: list[str], seconds: float) -> None:
    """Remove the disks that a wide scan of an adapter has added, unless someone uses them.

    The caller holds the adapter's lock.

    :param keep: the addresses whose disks are the volume's, or were there before.
    """
    deadline = wait.Deadline.after(seconds)
    ports = [port for port in fc.ports() if port.host == host]
    for port in ports:
        foreign = [place for place in fc_paths.devices_at(port, lun) if str(place) not in keep]
        # A device that is not a disk yet cannot be removed by its name.
        wait.holds(
            lambda places=foreign: all(scsi.disk_at(p) or not scsi.is_known(p) for p in places),  # type: ignore[misc]
            deadline.within(_PROBE_SECONDS),
        )
        for place in foreign:
            with contextlib.suppress(exception.VolumeInUse):
                scsi_undo.delete_new_disk(place, deadline.limit())
