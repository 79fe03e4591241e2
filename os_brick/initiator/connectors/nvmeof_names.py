# SPDX-License-Identifier: Apache-2.0
"""Names of :mod:`os_brick.initiator.connectors.nvmeof` that only callers outside use."""

from __future__ import annotations

from os_brick.core import files
from os_brick.model import fabrics

__all__ = [
    'ALIAS',
    'BLK_SYSFS_PATH',
    'HOST_NQN',
    'NGUID',
    'NQN',
    'NSID',
    'NVME_CTRL_SYSFS_PATH',
    'OLD_NQN',
    'PORT',
    'PORTAL',
    'PORTALS',
    'RAID_PATH',
    'REPLICAS',
    'REPLICA_COUNT',
    'TRANSPORT',
    'UUID',
    'blk_property',
    'ctrl_property',
    'nvme_basename',
    'sysfs_property',
]

NVME_CTRL_SYSFS_PATH = '/sys/class/nvme-fabrics/ctl/'
BLK_SYSFS_PATH = '/sys/class/block/'
RAID_PATH = '/dev/md/'
OLD_NQN, TRANSPORT, PORTAL, PORT = 'nqn', 'transport_type', 'target_portal', 'target_port'
NGUID, NSID, HOST_NQN = 'volume_nguid', 'ns_id', 'host_nqn'
UUID, NQN, PORTALS = 'vol_uuid', 'target_nqn', 'portals'
ALIAS, REPLICAS, REPLICA_COUNT = 'alias', 'volume_replicas', 'replica_count'


def sysfs_property(prop_name: str, path_or_name: str) -> str | None:
    """Return the text of an attribute below a directory, or ``None``."""
    return files.read_or(f'{path_or_name}/{prop_name}') or None


def ctrl_property(prop_name: str, ctrl_name: str) -> str | None:
    """Return the text of a controller's attribute, or ``None``."""
    return sysfs_property(prop_name, f'{NVME_CTRL_SYSFS_PATH}{ctrl_name}')


def blk_property(prop_name: str, blk_name: str) -> str | None:
    """Return the text of a block device's attribute, or ``None``."""
    return sysfs_property(prop_name, f'{BLK_SYSFS_PATH}{blk_name}')


def nvme_basename(path: str) -> str:
    """Return the block device that users open, of the path of a namespace's entry."""
    return fabrics.head_of(path.rpartition('/')[2])
