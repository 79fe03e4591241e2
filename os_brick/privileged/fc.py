# SPDX-License-Identifier: Apache-2.0
"""What root does to Fibre Channel adapters."""

from __future__ import annotations

from os_brick import privileged
from os_brick.core import files, process
from os_brick.privileged import check

_LARGEST_LUN = 2**64 - 1


@privileged.entrypoint
def scan_widely(host: int, lun: int, timeout: float) -> None:
    """Ask an adapter to look for one LUN behind every target it has.

    :raises OperationTimedOut: if it does not answer in time.
    :raises OSError: if the kernel refuses it, or there is no such Fibre Channel adapter.
    """
    name = f'host{check.number(host, 2**31, "SCSI host")}'
    if not files.exists(f'/sys/class/fc_host/{name}'):
        raise FileNotFoundError(f'{name} is not a Fibre Channel adapter')
    path, text = (
        f'/sys/class/scsi_host/{name}/scan',
        f'- - {check.number(lun, _LARGEST_LUN, "LUN")}',
    )
    process.isolated(f'the scan of {path}', check.seconds(timeout), files.write, path, text)
