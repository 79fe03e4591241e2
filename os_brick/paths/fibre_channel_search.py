# SPDX-License-Identifier: Apache-2.0
"""The search for ways to a Fibre Channel volume while no port of this host sees its ports."""

from __future__ import annotations

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import undo as core_undo
from os_brick.core import wait
from os_brick.host import fc, fc_ways, scsi
from os_brick.paths import fibre_channel as fcw
from os_brick.paths import scsi as scsi_opening
from os_brick.request import fibre_channel as props_fc

LOG = logging.getLogger(__name__)

# A port that logs in is there within this time; only then an adapter is taken for one whose
# driver does not tell what it sees.
WIDE_SCAN_AFTER_SECONDS = 2.0
_CLEAN_UP_SECONDS = 10.0


class Search:
    """Looks for usable ways, and, where it must, scans adapters that do not say what they see."""

    def __init__(self, props: props_fc.Props, machine: fc_ways.Machine) -> None:
        self._props = props
        self._machine = machine
        self._scanned: list[tuple[fc.Port, int, frozenset[scsi.Address]]] = []

    def run(self, undo: core_undo.Undo, deadline: wait.Deadline) -> list[fcw.Way]:
        """The ways to the volume, those that can be used first, as soon as one can be.

        :raises NoFibreChannelVolumeDeviceFound: if there is none in time, naming what is seen.
        """
        undo.add(self.remove_strangers, ())
        wide = wait.Deadline.after(WIDE_SCAN_AFTER_SECONDS)

        def probe() -> list[fcw.Way] | None:
            found = fcw.ways(self._props, self._machine)
            if any(way.is_usable for way in found):
                return sorted(found, key=lambda way: not way.is_usable)
            if wide.passed and not self._scanned and self._props.may_scan_widely:
                self._scan_widely(deadline)
            return None

        found = wait.poll(probe, deadline)
        if found is None:
            raise exception.NoFibreChannelVolumeDeviceFound(
                f'No device of the volume ({self._props}): {fcw.missing(self._props)}'
            )
        return found

    def _scan_widely(self, deadline: wait.Deadline) -> None:
        """Scan for the LUN behind everything of those adapters that show no target at all."""
        for port in fc.silent_ports():
            for lun in sorted({target.lun for target in self._props.reached_from(port.wwpn)}):
                self._scan_port(port, self._machine.kernel_lun(lun), deadline)

    def _scan_port(self, port: fc.Port, lun: int, deadline: wait.Deadline) -> None:
        LOG.warning('%s shows no target: LUN %s is looked for behind all it has', port, lun)
        self._scanned.append((port, lun, frozenset(fc_ways.disks_at(port, lun))))
        try:
            fc_ways.scan_widely(port, lun, deadline)
        except (OSError, exception.BrickException) as error:
            LOG.warning('%s could not be scanned: %s', port, error)

    def remove_strangers(self, own: tuple[fcw.Way, ...]) -> None:
        """Remove the disks that wide scans have brought and that are not on the volume's ways."""
        keep = {way.address for way in own}
        deadline = wait.Deadline.after(_CLEAN_UP_SECONDS)
        for port, lun, before in self._scanned:
            for place in fc_ways.disks_at(port, lun):
                if place not in before | keep:
                    scsi_opening.delete_disk_at(place, deadline.remaining)
