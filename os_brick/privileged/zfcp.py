# SPDX-License-Identifier: Apache-2.0
"""What root does to FCP devices of IBM Z (Linux, Documentation/arch/s390; drivers/s390/scsi).

Where the kernel does not scan for LUNs itself, a unit is made for each port and LUN.
"""

from __future__ import annotations

from os_brick import privileged
from os_brick.core import files, process
from os_brick.model import names
from os_brick.privileged import check

_DRIVER = '/sys/bus/ccw/drivers/zfcp'


def _port(device: str, wwpn: str) -> str:
    return f'{_device(device)}/{check.full(names.FCP_WWPN, wwpn)}'


def _device(device: str) -> str:
    return f'{_DRIVER}/{check.full(names.FCP_DEVICE, device)}'


@privileged.entrypoint
def rescan_ports(device: str, timeout: float) -> None:
    """Have an FCP device look for ports of the fabric.

    :raises OperationTimedOut: if it does not answer in time.
    :raises OSError: if the kernel refuses it.
    """
    _write(f'{_device(device)}/port_rescan', '1', timeout)


@privileged.entrypoint
def add_unit(device: str, wwpn: str, lun: str, timeout: float) -> None:
    """Have an FCP device use a LUN of a port: the kernel scans it.

    :param wwpn: as ``0x`` and 16 digits.
    :param lun: the whole FCP LUN, as ``0x`` and 16 digits.
    :raises OperationTimedOut: if it does not answer in time.
    :raises OSError: if the kernel refuses it.
    """
    _write(f'{_port(device, wwpn)}/unit_add', check.full(names.FCP_LUN, lun), timeout)


@privileged.entrypoint
def remove_unit(device: str, wwpn: str, lun: str, timeout: float) -> None:
    """Have an FCP device no longer use a LUN of a port; its disk goes, too.

    :raises OperationTimedOut: if it does not happen in time.
    :raises OSError: if the kernel refuses it.
    """
    _write(f'{_port(device, wwpn)}/unit_remove', check.full(names.FCP_LUN, lun), timeout)


def _write(path: str, text: str, timeout: float) -> None:
    process.isolated(f'a write to {path}', check.seconds(timeout), files.write, path, text)
