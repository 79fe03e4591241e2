# SPDX-License-Identifier: Apache-2.0
"""Questions and acts on SCSI disks and multipath maps under their old names.

Each method is one call into the layers below, or a few. Nothing of ours uses this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
import re
from typing import Any

from oslo_log import log as logging

from os_brick import exception, executor, initiator, opts
from os_brick.core import files, teardown, wait
from os_brick.host import block, inquiry, iscsi, links, multipath, multipathd, removal, scsi
from os_brick.host import dm as host_dm
from os_brick.host import scsi_growth as host_growth
from os_brick.host import volume as host_volume
from os_brick.model import addresses

LOG = logging.getLogger(__name__)

MULTIPATH_ERROR_REGEX = initiator.MULTIPATH_ERROR_REGEX
MULTIPATH_WWID_REGEX = re.compile(r'\((?P<wwid>.+)\)')
MULTIPATH_DEVICE_ACTIONS = [
    *('unchanged:', 'reject:', 'reload:', 'switchpg:', 'rename:', 'create:', 'resize:')
]
MULTIPATHD_RESIZE_TIMEOUT = 120

_HOST_SCAN = re.compile(r'/sys/class/scsi_host/host(?P<host>\d+)/scan')
_DISK_ACT = re.compile(r'/sys/block/(?P<disk>sd[a-z]+)/device/(?P<act>delete|rescan)')

_PATH_SECONDS = 3.0
_REMOVAL_SECONDS = 30.0
_WRITABLE_SECONDS = 15.0


def _name(device: str) -> str:
    """The kernel's name of ``sdc``, ``/dev/sdc`` or a link to it."""
    path = device if device.startswith('/') else f'/dev/{device}'
    return block.name_of(path) or path.rpartition('/')[2]


def _deadline(seconds: float | None = None) -> wait.Deadline:
    return wait.Deadline.after(opts.current().operation_seconds if seconds is None else seconds)


class LinuxSCSI(executor.Executor):
    """SCSI disks of this host, and the multipath maps over them."""

    WWN_TYPES = {'t10.': '1', 'eui.': '2', 'naa.': '3'}

    # LUNs

    @staticmethod
    def lun_for_addressing(lun: int, addressing_mode: str | None = None) -> int:
        """Return the LUN that Linux uses for a LUN under an addressing mode.

        :raises InvalidParameterValue: for a mode that is none of ours.
        """
        return addresses.kernel_lun(addresses.lun(lun), addressing_mode)

    def process_lun_id(self, lun_ids: Any) -> Any:
        """Return LUNs as udev writes them: small ones as integers, others as hexadecimal text."""
        if isinstance(lun_ids, (list, tuple)):
            return [self._format_lun_id(lun) for lun in lun_ids]
        return self._format_lun_id(lun_ids)

    def _format_lun_id(self, lun_id: Any) -> int | str:
        text = addresses.udev_lun(int(lun_id))
        return int(text) if text.isdecimal() else text

    # Scanning and finding

    def scan_iscsi(self, host: str, channel: str = '-', target: str = '-', lun: str = '-') -> None:
        """Have a SCSI host look for a LUN.

        :raises InvalidParameterValue: for wildcards; name the LUN.
        """
        numbers = [_number(part) for part in (host, channel, target, lun)]
        scsi.scan(scsi.Address(*numbers), _deadline())

    def echo_scsi_command(self, path: str, content: str) -> None:
        """Write to a host's ``scan``, or to a disk's ``delete`` or ``rescan``, in sysfs.

        :raises InvalidParameterValue: for any other file.
        """
        if match := _HOST_SCAN.fullmatch(path):
            self.scan_iscsi(match['host'], *content.split())
        elif (match := _DISK_ACT.fullmatch(path)) and match['act'] == 'delete':
            scsi.remove(match['disk'], _deadline())
        elif match:
            scsi.rescan(match['disk'], _deadline())
        else:
            raise exception.InvalidParameterValue(
                err=f'{path!r} is not a file that may be written here'
            )

    def get_name_from_path(self, path: str) -> str | None:
        """Return the real path of a device, or ``None`` if it does not lead below ``/dev``."""
        real = files.realpath(path)
        return real if real.startswith('/dev/') else None

    def get_device_info(self, device: str) -> dict[str, str | None]:
        """Return ``device``, ``host``, ``channel``, ``id`` and ``lun`` of a disk, as texts."""
        address = scsi.address_of(_name(device))
        parts = str(address).split(':') if address else [None] * 4
        keys = ('host', 'channel', 'id', 'lun')
        return {'device': device, **dict(zip(keys, parts, strict=True))}

    def get_hctl(self, session: str, lun: str) -> tuple[str, str, str, str] | None:
        """Return host, channel, target and LUN behind an iSCSI session, or ``None``."""
        found = iscsi.session(_number(session))
        if found is None:
            return None
        return str(found.host), '0', str(found.target_id), lun

    def device_name_by_hctl(self, session: str, hctl: Sequence[Any]) -> str | None:
        """Return the disk at a SCSI address, or ``None``."""
        address = scsi.Address(*(_number(part) for part in hctl))
        return scsi.disk_at(address)

    def get_sysfs_wwid(self, device_names: Iterable[str]) -> str:
        """Return the first disk's WWID that the kernel knows, in udev's spelling, or ``''``."""
        return scsi.first_wwid(_name(device) for device in device_names) or ''

    def get_sysfs_wwn(self, device_names: Iterable[str], mpath: str | None = None) -> str:
        """Return the WWID of a map, or else of its disks, in udev's spelling, or ``''``."""
        return (host_dm.wwid(mpath) if mpath else '') or self.get_sysfs_wwid(device_names)

    def get_scsi_wwn(self, path: str) -> str:
        """Return the WWID that a disk itself reports.

        :raises OSError: if it cannot be asked.
        """
        return inquiry.identity(_name(path)).wwid

    def get_dm_name(self, dm: str) -> str:
        """Return the name of ``dm-N`` below ``/dev/mapper``, or ``''``."""
        return host_dm.name(dm)

    def find_sysfs_multipath_dm(self, device_names: Iterable[str]) -> str | None:
        """Return the multipath map over one of the disks, such as ``dm-4``, or ``None``."""
        return host_dm.multipath_over([_name(device) for device in device_names])

    def find_multipath_device_path(self, wwn: str) -> str | None:
        """Return the path of a volume's multipath map, or ``None``."""
        found = host_dm.multipath_of(wwn)
        if found is None:
            return None
        link = f'/dev/disk/by-id/dm-uuid-mpath-{wwn}'
        return link if files.exists(link) else f'/dev/mapper/{host_dm.name(found)}'

    def find_multipath_device(self, device: str) -> dict[str, Any] | None:
        """Return ``device``, ``id``, ``name`` and ``devices`` of the map at or over a device."""
        name = _name(device)
        found = name if host_dm.wwid(name) else host_dm.multipath_over([name])
        if found is None:
            return None
        map_name = host_dm.name(found)
        return {
            'device': f'/dev/mapper/{map_name}',
            'id': host_dm.wwid(found),
            'name': map_name,
            'devices': [self.get_device_info(f'/dev/{disk}') for disk in block.members(found)],
        }

    # Waiting

    def wait_for_path(self, volume_path: str) -> None:
        """Wait until a path exists.

        :raises VolumeDeviceNotFound: if it does not.
        """
        if not wait.holds(lambda: files.exists(volume_path), _deadline(_PATH_SECONDS)):
            raise exception.VolumeDeviceNotFound(device=volume_path)

    def wait_for_volumes_removal(self, volumes_names: Iterable[str]) -> None:
        """Wait until disks have gone.

        :raises VolumePathNotRemoved: if one stays.
        """
        names = list(volumes_names)
        gone = wait.holds(lambda: not any(map(block.exists, names)), _deadline(_REMOVAL_SECONDS))
        if not gone:
            raise exception.VolumePathNotRemoved(volume_path=list(filter(block.exists, names)))

    def wait_for_rw(self, wwn: str, device_path: str) -> None:
        """Wait until a device may be written.

        :raises BlockDeviceReadOnly: if it stays read-only.
        """
        name = _name(device_path)
        if not wait.holds(lambda: not block.is_read_only(name), _deadline(_WRITABLE_SECONDS)):
            raise exception.BlockDeviceReadOnly(device=device_path)

    def wait_for_mpath_device(self, mpath: str) -> None:
        """Wait until a map takes I/O.

        :raises VolumeDeviceNotFound: if it does not.
        """
        host_volume.require_ready(mpath, _deadline())

    def wait_multipathd_remove_paths(self, existing_devices: set[str]) -> None:
        """Wait until multipathd has forgotten disks.

        :raises MultipathdPathsNotRemoved: if it has not.
        """
        multipathd.wait_forgotten(existing_devices, _deadline())

    # Removing

    def remove_scsi_device(
        self, device: str, force: bool = False, exc: Any = None, flush: bool = True
    ) -> None:
        """Flush a disk and have the kernel forget it; one that has gone is not an error."""
        name = _name(device)
        if not block.exists(name):
            return
        chain = exception.ExceptionChainer() if exc is None else exc
        if flush:
            with chain.context(force, 'Flushing %s failed', device):
                self.flush_device_io(device)
        with chain.context(force, 'Removing %s failed', device):
            scsi.remove(name, _deadline())

    def remove_connection(
        self,
        devices_names: Iterable[str],
        force: bool = False,
        exc: Any = None,
        path_used: str | None = None,
        was_multipath: bool = False,
    ) -> str | None:
        """Take a volume's disks and its map away.

        :return: the name of a map that could not be removed, which only happens with ``force``.
        """
        names = [_name(device) for device in devices_names]
        if not names:
            return None
        chain = exception.ExceptionChainer() if exc is None else exc
        found = host_dm.multipath_over(names)
        map_name = host_dm.name(found) if found else ''
        with chain.context(force, 'Removing %s failed', ', '.join(names)):
            steps = teardown.Teardown(teardown.OnError.of(force, ignore_errors=False))
            removal.remove_disks(names, steps, _deadline(), force=force)
            steps.end()
        return map_name if found and host_dm.name(found) == map_name else None

    @staticmethod
    def requires_flush(path: str, path_used: str | None, was_multipath: bool) -> bool:
        """Whether a disk carried the I/O itself, not a map or a decrypted device over it."""
        if not path_used:
            return False
        used = files.realpath(links.device_of(path_used))
        if files.realpath(path) == used:
            return True
        return not was_multipath and used.rpartition('/')[0] != '/dev'

    def flush_device_io(self, device: str) -> None:
        """Write a device's buffers out to it; one that has gone is not an error."""
        name = _name(device)
        if block.exists(name):
            block.flush(name, block.inode(name), _deadline().limit())

    def flush_multipath_device(self, device_map_name: str) -> None:
        """Remove a map by its name, once what was written to it is safe.

        :raises VolumeInUse: if a process has it open.
        """
        found = block.name_of(f'/dev/mapper/{device_map_name}') or _map_called(device_map_name)
        if found is not None:
            number, wwid = block.inode(found), host_dm.wwid(found)
            block.flush(found, number, _deadline().limit())
            multipath.release(found, wwid, _deadline(), give_up_io=False)

    # multipathd

    @staticmethod
    def is_multipath_running(
        root_helper: str | None, execute: Callable[..., Any] | None = None
    ) -> bool:
        """Whether multipathd answers."""
        return multipathd.is_running()

    def multipath_reconfigure(self) -> str:
        """Have multipathd read its configuration anew and look at every map of the host."""
        return multipathd.reconfigure()

    def multipath_show_paths(self, fmt: str) -> str:
        """Return multipathd's paths, a line each in its own format, such as ``%d %w``."""
        return multipathd.show_paths(fmt)

    def multipath_add_wwid(self, wwid: str) -> bool:
        """Make a WWID known to multipath; return whether it was not before."""
        return multipathd.remember(wwid)

    def multipath_add_path(self, realpath: str) -> bool:
        """Offer a disk to multipathd; return whether it took it."""
        return multipathd.ask_to_add(_name(realpath)) == 'ok'

    def multipath_del_path(self, realpath: str) -> bool:
        """Have multipathd forget a disk; return whether it did."""
        return multipathd.ask_to_forget(_name(realpath)) == 'ok'

    def multipath_del_map(self, mpath: str) -> None:
        """Remove ``dm-N`` without regard to I/O that waits; one that has gone is not an error.

        :raises VolumeInUse: if a process has it open.
        """
        multipath.release(mpath, host_dm.wwid(mpath), _deadline(), give_up_io=True)

    def multipath_resize_map(self, dm_path: str) -> None:
        """Give a map the size of its smallest disk.

        :raises OperationTimedOut: if it does not take it.
        """
        found = _name(dm_path)
        sizes = [block.size_bytes(disk) for disk in block.members(found)]
        smallest = min(filter(None, sizes), default=0)  # A disk without capacity is not ready.
        multipath.resize(found, smallest, _deadline(MULTIPATHD_RESIZE_TIMEOUT))

    def extend_volume(self, volume_paths: Iterable[str], use_multipath: bool = False) -> int | None:
        """Have disks and their map show their size now; return it in bytes.

        :raises VolumePathsNotFound: if no disk answers.
        """
        size, _ = host_growth.grow([_name(path) for path in volume_paths], _deadline())
        return size


def _number(part: Any) -> int:
    try:
        return int(part)
    except (TypeError, ValueError):
        raise exception.InvalidParameterValue(
            err=f'{part!r} is not a number of a SCSI address; wildcards would bring other volumes'
        ) from None


def _map_called(name: str) -> str | None:
    devices = [each for each in files.names('/sys/block') if each.startswith('dm-')]
    return next((each for each in devices if host_dm.name(each) == name), None)
