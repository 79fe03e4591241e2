# SPDX-License-Identifier: Apache-2.0
"""The rules: pure functions from facts to cases, by the id of their finding."""

from __future__ import annotations

from collections.abc import Mapping

from os_brick.doctor.case import Rule
from os_brick.doctor.rules import host, iscsi, maps, scsi

RULES: Mapping[str, Rule] = {
    'identity-stale': scsi.identity_stale,
    'map-mixed': scsi.map_mixed,
    'map-size-mixed': scsi.map_size_mixed,
    'disk-two-maps': scsi.disk_two_maps,
    'lun-unmapped': scsi.lun_unmapped,
    'hostid-mismatch': host.hostid_mismatch,
    'name-changed': iscsi.name_changed,
    'ghost-map': maps.ghost_map,
    'ghost-map-open': maps.ghost_map_open,
    'map-degraded': maps.map_degraded,
    'map-suspended': maps.map_suspended,
    'orphan-disk': scsi.orphan_disk,
    'session-stuck': iscsi.session_stuck,
    'node-startup-automatic': iscsi.startup_automatic,
    'session-scan-auto': iscsi.scan_auto,
    'iscsi-recovery-tmo': iscsi.recovery_tmo,
    'iscsid-down': iscsi.iscsid_down,
    'multipathd-down': maps.multipathd_down,
    'multipathd-mute': maps.multipathd_mute,
    'mpath-queue-forever': maps.mpath_queue_forever,
    'mpath-blacklisted': maps.mpath_blacklisted,
    'lvm-active-on-volume': scsi.lvm_active_on_volume,
    'max-sectors-mixed': scsi.max_sectors_mixed,
    'nvme-multipath-off': host.nvme_multipath_off,
    'lock-path-split': host.lock_path_split,
    'privsep-helper': host.privsep_helper,
    'container-view': host.container_view,
    'unfinished': host.unfinished,
    'module-missing': host.module_missing,
    'program-missing': host.program_missing,
}
