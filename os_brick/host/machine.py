# SPDX-License-Identifier: Apache-2.0
"""Who this host is: to iSCSI and NVMe, to its firmware, and by its root file system."""

from __future__ import annotations

from collections.abc import Callable
import functools
import re
import uuid as uuid_lib

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files
from os_brick.host import block, mounts
from os_brick.model import fabrics, host_files
from os_brick.model import mounts as model_mounts
from os_brick.privileged import nvmeof as root

LOG = logging.getLogger(__name__)

_NQN = '/etc/nvme/hostnqn'
_ID = '/etc/nvme/hostid'
_BY_UUID = '/dev/disk/by-uuid'
# Where distributions put nvme-cli; privsep's path may be another one than ours.
_TOOL = [f'{place}/nvme' for place in ('/usr/sbin', '/sbin', '/usr/local/sbin', '/usr/bin')]
_UUID = re.compile('[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')
# What firmware tells where its maker left the field empty.
_PLACEHOLDERS = {
    '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    '03000200-0400-0500-0006-000700080009',
}


def has_nvme_cli() -> bool:
    """Whether nvme-cli is installed: what a host that is to use NVMe has."""
    return any(files.exists(path) for path in _TOOL)


def host_nqn(of_uuid: str | None = None) -> str | None:
    """The NVMe name of this host, made and written if there is none; ``None`` if that failed.

    :param of_uuid: what a new one is made of; else nvme-cli decides.
    :raises BrickException: if there is something else than a name in the file.
    """
    found = _read(_NQN, host_files.nvme_host_nqn)
    if found:
        return found
    try:
        return root.create_hostnqn(of_uuid)
    except Exception as error:  # noqa: BLE001 connector properties are wanted without NVMe, too
        LOG.warning('NVMe will not be usable on this host: %s', error)
        return None


def written_host_nqn() -> str:
    """The NVMe name in this host's file; empty if there is none.

    :raises BrickException: if there is something else than a name in the file.
    """
    return _read(_NQN, host_files.nvme_host_nqn)


def known_host_nqn() -> str | None:
    """The NVMe name by which this host would connect, as far as that is known; nothing is written.

    :raises BrickException: if there is something else than a name in the file.
    """
    found = _read(_NQN, host_files.nvme_host_nqn)
    system = '' if found else system_uuid()
    return found or (f'{root.NQN_OF_UUID}{system}' if system else None)


def written_host_id() -> str:
    """The NVMe ID in this host's file; empty if there is none.

    :raises BrickException: if there is something else than an ID in the file.
    """
    return _read(_ID, host_files.nvme_host_id)


def host_id(of_uuid: str | None = None) -> str | None:
    """The NVMe ID of this host, made and written if there is none; ``None`` if that failed.

    :param of_uuid: what a new one is; else the UUID in the host's name, or one that is drawn.
    :raises BrickException: if there is something else than an ID in its file.
    """
    found = _read(_ID, host_files.nvme_host_id)
    if found:
        return found
    name = of_uuid or _read(_NQN, host_files.nvme_host_nqn)
    new = of_uuid or fabrics.uuid_of_nqn(name) or str(uuid_lib.uuid4())
    try:
        return root.create_hostid(new)
    except Exception as error:  # noqa: BLE001 as above
        LOG.warning('NVMe will not be usable on this host: %s', error)
        return None


def iscsi_name() -> str | None:
    """This host's iSCSI name; ``None`` and a warning where its file does not contain one.

    No file, no warning: open-iscsi is not installed, and the host may not be meant for it.
    """
    from os_brick.privileged import iscsi_db  # With all that it imports, for this alone.

    try:
        found = iscsi_db.initiator_name()
    except exception.BrickException as error:
        LOG.warning('This host has no iSCSI name: %s', error)
        return None
    if found == '':
        # Debian's package leaves GenerateName=yes in it until its service is started.
        LOG.warning(
            'This host has no iSCSI name: %s has no line InitiatorName=iqn...; start the service '
            'of iscsid, which makes a name where the file has GenerateName=yes, or write one '
            'that iscsi-iname prints',
            iscsi_db.INITIATOR_NAME,
        )
    return found or None


def has_native_nvme_multipath() -> bool:
    """Whether the kernel puts the paths to a namespace under one block device."""
    return files.read_or('/sys/module/nvme_core/parameters/multipath') == 'Y'


def or_none(find: Callable[[], str | None]) -> str | None:
    """A name of this host, or ``None`` and a warning if its file does not contain one."""
    try:
        return find()
    except exception.BrickException as error:
        LOG.warning('This host cannot be described completely: %s', error)
        return None


def _read(path: str, parse: Callable[[bytes], str]) -> str:
    try:
        return parse(files.read_bytes(path))
    except OSError:
        return ''
    except ValueError as error:
        raise exception.BrickException(f'{path}: {error}') from None


@functools.cache
def system_uuid() -> str:
    """The UUID of the machine that its firmware tells, in lower case; empty if it tells none.

    dmidecode (3.6) has words for a field that its maker left empty, which are the same on every
    host: "Not Settable", "Not Present".
    """
    found = root.get_system_uuid().lower()
    return found if _UUID.fullmatch(found) and found not in _PLACEHOLDERS else ''


@functools.cache
def root_file_system_uuid() -> str | None:
    """The UUID of the file system that is mounted on ``/``; ``None`` in a container's overlay."""
    # Of several the last is mounted over the others.
    roots = [mount for mount in mounts.of_process('self') if mount.place == '/']
    device = _device_of(roots[-1]) if roots else None
    for uuid in files.names(_BY_UUID) if device else ():
        if block.name_of(f'{_BY_UUID}/{uuid}') == device:
            return uuid
    return None


def _device_of(mount: model_mounts.Mount) -> str | None:
    device = block.name_of(mount.source) if mount.source.startswith('/dev/') else None
    # The kernel's own root may be called /dev/root; its number says which device that is.
    return device or block.name_of(f'/dev/block/{mount.device}')
