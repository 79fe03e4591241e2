# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel on IBM Z: FCP devices, ports and units of the zfcp driver.

With NPIV and the module's parameter ``allow_lun_scan`` the kernel scans for LUNs as everywhere.
Otherwise it uses just those that it was told of, as units.
"""

from __future__ import annotations

from os_brick.core import files, wait
from os_brick.host import fc, fc_paths, fc_platform, scsi
from os_brick.model import names
from os_brick.privileged import zfcp as root

_DRIVER = '/sys/bus/ccw/drivers/zfcp'
_MAY_SCAN = '/sys/module/zfcp/parameters/allow_lun_scan'
_NPIV = 'NPIV VPORT'


def device_of(port: fc.Port) -> str:
    """The number of the FCP device that a port is of, such as ``0.0.3080``; empty if none."""
    before, _, _ = port.place.partition('/host')
    number = before.rpartition('/')[2]
    return number if names.FCP_DEVICE.why_not(number) is None else ''


def fcp_lun(lun: int) -> str:
    """A kernel's LUN as the eight bytes of FCP, in the driver's spelling.

    :raises ValueError: if it has more than two levels.
    """
    if lun >> 32:
        raise ValueError(f'LUN {lun} has more than two levels')
    return f'0x{lun & 0xFFFF:04x}{lun >> 16:04x}00000000'


def kernel_lun(lun: int) -> int:
    """The kernel's LUN of one the caller names, who writes two levels in the order of FCP.

    The kernel has the first level in its low bits (``scsilun_to_int``).

    :raises ValueError: if it has more than two levels.
    """
    if lun >> 32:
        raise ValueError(f'LUN {lun} has more than two levels')
    return lun if lun <= 0xFFFF else (lun & 0xFFFF) << 16 | lun >> 16


def link_names(path: fc_paths.FcPath) -> list[str]:
    """What udev calls a disk on various distributions, such as ``ccw-0.0.3080-fc-...``."""
    device, wwpn, whole = device_of(path.port), f'0x{path.remote.wwpn}', fcp_lun(path.lun)
    return [
        f'ccw-{device}-zfcp-{wwpn}:{whole}',
        f'ccw-{device}-fc-{wwpn}-lun-{path.lun}',
        f'ccw-{device}-fc-{wwpn}-lun-{whole}',
    ]


def scans_by_itself(port: fc.Port) -> bool:
    """Whether the kernel scans for LUNs behind a port, and wants no units."""
    is_allowed = files.read_or(_MAY_SCAN) in ('Y', '1')
    return is_allowed and port.kind == _NPIV


def look(path: fc_paths.FcPath, deadline: wait.Deadline) -> scsi.Scanned | None:
    """Have the kernel look for a LUN, and tell it of the port and the LUN before if need be.

    :return: what reports from there, if it was just a scan.

    :raises OperationTimedOut: if it does not answer.
    :raises OSError: if it refuses.
    """
    if scans_by_itself(path.port) or _has_unit(path):
        return scsi.scan(path.address, deadline)
    device, wwpn = device_of(path.port), f'0x{path.remote.wwpn}'
    if not files.exists(f'{_DRIVER}/{device}/{wwpn}'):
        root.rescan_ports(device, deadline.limit())
    root.add_unit(device, wwpn, fcp_lun(path.lun), deadline.limit())
    return None


def forget(path: fc_paths.FcPath, deadline: wait.Deadline) -> None:
    """Take away the unit of a LUN, if there is one.

    :raises OperationTimedOut: if it does not go in time.
    :raises OSError: if the kernel refuses it.
    """
    if _has_unit(path):
        wwpn = f'0x{path.remote.wwpn}'
        root.remove_unit(device_of(path.port), wwpn, fcp_lun(path.lun), deadline.limit())


def _has_unit(path: fc_paths.FcPath) -> bool:
    place = f'{_DRIVER}/{device_of(path.port)}/0x{path.remote.wwpn}/{fcp_lun(path.lun)}'
    return files.exists(place)


S390X = fc_platform.FcPlatform(
    link_names=link_names, look=look, forget=forget, kernel_lun=kernel_lun
)
