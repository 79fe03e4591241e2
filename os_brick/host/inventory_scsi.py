# SPDX-License-Identifier: Apache-2.0
"""SCSI disks as paths to volumes: iSCSI, Fibre Channel, and this host's own.

The kernel's link to a disk has all that it hangs on in its name, such as
``.../host3/session1/target3:0:0/3:0:0:1/block/sdc``.
"""

from __future__ import annotations

import re

from os_brick.core import glance
from os_brick.host.inventory_look import Look
from os_brick.model import inventory, vpd

_ADDRESS = re.compile(r'/(\d+:\d+:\d+:(\d+))/block/')
_HOST = re.compile(r'/host(\d+)/')
_SESSION = re.compile(r'/(session\d+)/')
_RPORT = re.compile(r'/(rport-\d+:\d+-\d+)/')
_TARGET = re.compile(r'/(target\d+:\d+:\d+)/')

_SESSIONS = '/sys/class/iscsi_session'
_CONNECTIONS = '/sys/class/iscsi_connection'
_FC_HOSTS = '/sys/class/fc_host'
_RPORTS = '/sys/class/fc_remote_ports'
# States of ALUA (SPC-4, 5.16.2.4) in which a path takes I/O, as the kernel spells them.
_TAKES_IO = frozenset({'', 'active/optimized', 'active/non-optimized', 'lba-dependent'})

LOCAL = 'local'


class Scsi:
    """The SCSI side of one look."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.links = {
            link.name: link
            for link in (
                *(self._session(name) for name in glance.names(_SESSIONS)),
                *(self._remote_port(name) for name in glance.names(_RPORTS)),
            )
        }
        self.ports = tuple(self._fc_port(name) for name in glance.names(_FC_HOSTS))
        self._bare: dict[str, inventory.Link] = {}

    def disks(self) -> list[inventory.Path]:
        """Every SCSI disk."""
        return [
            self._disk(name, place)
            for name, place in self._look.blocks.items()
            if name.startswith('sd') and _ADDRESS.search(place)
        ]

    def _disk(self, name: str, place: str) -> inventory.Path:
        match = _ADDRESS.search(place)
        assert match is not None
        base = f'/sys/class/block/{name}/device'
        link = self._link_of(place)
        state = self._look.text(f'{base}/state')
        access = self._look.text(f'{base}/access_state')
        identity = self._identity(base)
        trouble = _trouble(state, access, link)
        return inventory.Path(
            device=name,
            number=glance.inode(f'/sys/class/block/{name}'),
            transport=link.transport if link else LOCAL,
            address=match[1],
            state=state,
            access=access,
            is_usable=not trouble,
            target=link.target if link else '',
            lun=int(match[2]),
            remote=link.remote if link else '',
            local=link.local if link else '',
            link=link.name if link else '',
            link_state=link.state if link else '',
            host=_host_of(place),
            size_bytes=self._look.size(name),
            identity=identity.wwid,
            serial=identity.serial,
            trouble=trouble,
        )

    def _identity(self, base: str) -> vpd.UnitIdentity:
        page80, page83 = (self._look.data(f'{base}/vpd_pg{page}') for page in ('80', '83'))
        found = vpd.identity(page80, page83)
        if found.registered or not found.names:
            return found
        # A vendor-specific name is spelled with vendor and model before it.
        vendor, model = (self._look.text(f'{base}/{key}') for key in ('vendor', 'model'))
        return vpd.identity(page80, page83, f'{vendor:8}{model:16}')

    def _link_of(self, place: str) -> inventory.Link | None:
        """What a disk hangs on; ``None`` for one of this host's own."""
        for pattern in (_SESSION, _RPORT):
            match = pattern.search(place)
            if match and match[1] in self.links:
                return self.links[match[1]]
        # Drivers that show no remote ports show a target's name at least.
        match = _TARGET.search(place)
        return self._bare_target(match[1], _host_of(place)) if match else None

    def _bare_target(self, target: str, host: str) -> inventory.Link | None:
        if target not in self._bare:
            name = self._wwn(f'/sys/class/fc_transport/{target}/port_name')
            local = next((port for port in self.ports if port.name == host), None)
            if not name or local is None:
                return None
            node = self._wwn(f'/sys/class/fc_transport/{target}/node_name')
            self._bare[target] = inventory.Link(
                target, 'fc', node, name, local.identity, local.state, host
            )
        return self._bare[target]

    def _session(self, name: str) -> inventory.Link:
        base, number = f'{_SESSIONS}/{name}', name.removeprefix('session')
        host = _host_of(f'{self._look.place(base)}/')
        driver = self._look.text(f'/sys/class/scsi_host/{host}/proc_name') if host else ''
        return inventory.Link(
            name=name,
            transport='iser' if 'iser' in driver else 'iscsi',
            target=self._look.text(f'{base}/targetname'),
            remote=self._portal(f'{_CONNECTIONS}/connection{number}:0'),
            local=self._look.text(f'{base}/ifacename'),
            state=self._look.text(f'{base}/state'),
            host=host,
            number=glance.inode(base),
        )

    def _portal(self, base: str) -> str:
        for prefix in ('persistent_', ''):
            address = self._look.text(f'{base}/{prefix}address')
            port = self._look.text(f'{base}/{prefix}port')
            if address and not address.startswith('('):
                return f'[{address}]:{port}' if ':' in address else f'{address}:{port}'
        return ''

    def _remote_port(self, name: str) -> inventory.Link:
        base = f'{_RPORTS}/{name}'
        host = f'host{name.removeprefix("rport-").partition(":")[0]}'
        return inventory.Link(
            name=name,
            transport='fc',
            target=self._wwn(f'{base}/node_name'),
            remote=self._wwn(f'{base}/port_name'),
            local=self._wwn(f'{_FC_HOSTS}/{host}/port_name'),
            state=self._look.text(f'{base}/port_state'),
            host=host,
            number=glance.inode(base),
        )

    def _fc_port(self, name: str) -> inventory.Port:
        base = f'{_FC_HOSTS}/{name}'
        return inventory.Port(
            name=name,
            transport='fc',
            identity=self._wwn(f'{base}/port_name'),
            state=self._look.text(f'{base}/port_state'),
            speed=self._look.text(f'{base}/speed'),
        )

    def _wwn(self, path: str) -> str:
        return self._look.text(path).lower().removeprefix('0x')


def _host_of(place: str) -> str:
    """The SCSI host of a place: the last one, as a virtual port's is below that of its adapter."""
    found = _HOST.findall(place)
    return f'host{found[-1]}' if found else ''


def _trouble(state: str, access: str, link: inventory.Link | None) -> str:
    """Why a disk takes no I/O, in the kernel's words; empty if it does."""
    if state not in ('running', ''):
        where = f', {link.name} {link.state}' if link and not _is_up(link) else ''
        return f'{state}{where}'
    if access not in _TAKES_IO:
        return access
    if link and not _is_up(link):
        return f'{link.name} {link.state or "has gone"}'
    return ''


def _is_up(link: inventory.Link) -> bool:
    return link.state in ('LOGGED_IN', 'Online')
