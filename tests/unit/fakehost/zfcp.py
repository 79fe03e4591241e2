# SPDX-License-Identifier: Apache-2.0
"""FCP devices of IBM Z: their files, and what comes of writing to them.

After drivers/s390/scsi/zfcp_sysfs.c and zfcp_unit.c of Linux 6.12: a unit is a directory below its
port; a LUN without one is found only with NPIV and ``allow_lun_scan``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.fakehost.fabric import Adapter, FabricHost, Remote

DRIVER = '/sys/bus/ccw/drivers/zfcp'
ALLOWED = '/sys/module/zfcp/parameters/allow_lun_scan'


def lun_text(lun: int) -> str:
    """The eight bytes of a kernel's LUN of one or two levels (int_to_scsilun)."""
    return f'0x{lun & 0xFFFF:04x}{lun >> 16 & 0xFFFF:04x}00000000'


def lun_number(text: str) -> int:
    """The other way round (scsilun_to_int)."""
    return int(text[2:6], 16) | int(text[6:10], 16) << 16


def show(host: 'FabricHost', adapter: 'Adapter') -> None:
    """An FCP device without ports."""
    host.tree.file(f'{DRIVER}/{adapter.device}/port_rescan')


def may_scan(host: 'FabricHost', remote: 'Remote', lun: int) -> bool:
    """Whether a scan of this LUN finds anything (zfcp_scsi_slave_alloc)."""
    adapter = remote.adapter
    if host.tree.at(f'{DRIVER}/{adapter.device}/0x{remote.wwpn}/{lun_text(lun)}').exists():
        return True
    kind = host.tree.at(f'{adapter.base}/fc_host/host{adapter.host}/port_type').read_text()
    allowed = host.tree.at(ALLOWED)
    return kind == 'NPIV VPORT\n' and allowed.exists() and allowed.read_text() == 'Y\n'


def react(host: 'FabricHost', adapter: 'Adapter') -> None:
    """What was written to the device's files."""
    home = f'{DRIVER}/{adapter.device}'
    rescan = host.tree.take(f'{home}/port_rescan')
    for remote in adapter.remotes:
        port = f'{home}/0x{remote.wwpn}'
        if rescan:
            for name in ('unit_add', 'unit_remove'):
                host.tree.file(f'{port}/{name}')
        for text in host.tree.take(f'{port}/unit_add').split():
            host.tree.directory(f'{port}/{text}')
            host.find_lun(remote, lun_number(text))
        for text in host.tree.take(f'{port}/unit_remove').split():
            _remove(host, remote, text)


def _remove(host: 'FabricHost', remote: 'Remote', text: str) -> None:
    host.tree.remove(f'{DRIVER}/{remote.adapter.device}/0x{remote.wwpn}/{text}')
    for disk in list(host.disks.values()):
        if disk.session is remote and lun_text(disk.lun) == text:
            host.remove_disk(disk)
