# SPDX-License-Identifier: Apache-2.0
"""NVMe namespaces as volumes, and the controllers that are the paths to them."""

from __future__ import annotations

from collections.abc import Iterator
import re

from os_brick.core import glance
from os_brick.host.inventory_look import Look
from os_brick.model import inventory

_CLASS = '/sys/class/nvme-fabrics/ctl'
_LOCAL_CLASS = '/sys/class/nvme'
# nvme0c1n2: namespace 2 of subsystem 0 through controller 1; nvme0n2: its head, or, without
# native multipath, the namespace behind controller 0.
_NAMESPACE = re.compile(r'nvme(\d+)(?:c(\d+))?n(\d+)')
_CONTROLLER = re.compile(r'nvme\d+')
LIVE = 'live'
# ANA states (NVM Express Base Specification 2.0, section 8.1) in which a path takes I/O.
_TAKES_IO = frozenset({'', 'optimized', 'non-optimized'})
# The kernel's word for an attribute that has no value.
_NONE = frozenset({'', '(null)', '(efault)', 'none'})
_ZEROS = re.compile('[0-]*')
_PCI = 'pcie'


class Nvme:
    """The NVMe side of one look."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._classes: dict[str, str] = {}
        for place in (_LOCAL_CLASS, _CLASS):
            self._classes |= {
                name: f'{place}/{name}'
                for name in glance.names(place)
                if _CONTROLLER.fullmatch(name)
            }
        self.links = {name: self._controller(name) for name in self._classes}
        self._behind: dict[str, list[tuple[str, str]]] = {}
        for controller, base in self._classes.items():
            for name in glance.names(base):
                if match := _NAMESPACE.fullmatch(name):
                    head = f'nvme{match[1]}n{match[3]}'
                    self._behind.setdefault(head, []).append((controller, name))

    def volumes(self) -> Iterator[inventory.Volume]:
        """Every namespace of this host."""
        for name in self._look.blocks:
            match = _NAMESPACE.fullmatch(name)
            if match and match[2] is None:
                yield self._namespace(name)

    def _controller(self, name: str) -> inventory.Link:
        base = self._classes[name]
        words = (word.partition('=') for word in self._shown(f'{base}/address').split(','))
        place = {key.strip(): value.strip() for key, _, value in words}
        return inventory.Link(
            name=name,
            transport=self._shown(f'{base}/transport') or _PCI,
            target=self._shown(f'{base}/subsysnqn'),
            remote=_portal(place.get('traddr', ''), place.get('trsvcid', '')),
            local=place.get('host_traddr') or place.get('host_iface') or place.get('src_addr', ''),
            state=self._shown(f'{base}/state'),
            number=glance.inode(base),
        )

    def _shown(self, path: str) -> str:
        found = self._look.text(path)
        return '' if found in _NONE else found

    def _namespace(self, name: str) -> inventory.Volume:
        base = f'/sys/class/block/{name}'
        identity, size = self._identity(base), self._look.size(name)
        paths = tuple(
            self._path(controller, path, identity, size)
            for controller, path in self._behind.get(name, ())
        )
        transports = sorted({path.transport for path in paths} - {''})
        target = next((path.target for path in paths if path.target), '')
        is_local = transports in ([], [_PCI])
        return inventory.Volume(
            device=name,
            number=glance.inode(base),
            kind='namespace',
            protocol='local' if is_local else f'nvme-{"+".join(transports)}',
            size_bytes=size,
            identity=identity,
            paths=paths,
            target=target or self._shown(f'{base}/device/subsysnqn'),
            is_read_only=self._look.text(f'{base}/ro') == '1',
        )

    def _identity(self, base: str) -> str:
        """The namespace's UUID, else its NGUID, else its EUI-64, with the kind before it.

        Where there is no UUID the kernel shows the NGUID in its place (``uuid_show``).
        """
        uuid, nguid, eui = (self._shown(f'{base}/{key}') for key in ('uuid', 'nguid', 'eui'))
        if uuid and uuid != nguid and not _ZEROS.fullmatch(uuid):
            return f'uuid.{uuid}'
        if nguid and not _ZEROS.fullmatch(nguid):
            return f'nguid.{nguid}'
        digits = eui.replace(' ', '')
        return f'eui.{digits}' if digits and not _ZEROS.fullmatch(digits) else ''

    def _path(self, controller: str, name: str, identity: str, size: int | None) -> inventory.Path:
        link = self.links[controller]
        base = f'{self._classes[controller]}/{name}'
        access = self._shown(f'{base}/ana_state')
        trouble = _trouble(link, access)
        return inventory.Path(
            device=name,
            number=glance.inode(base),
            transport=link.transport,
            state=link.state,
            access=access,
            is_usable=not trouble,
            target=link.target,
            lun=self._look.number(f'{base}/nsid'),
            remote=link.remote,
            local=link.local,
            link=controller,
            link_state=link.state,
            size_bytes=size,
            identity=identity,
            trouble=trouble,
        )


def _portal(address: str, port: str) -> str:
    if address and port and port != 'none':
        return f'[{address}]:{port}' if address.count(':') > 1 else f'{address}:{port}'
    return address


def _trouble(link: inventory.Link, access: str) -> str:
    """Why a path takes no I/O, in the kernel's words; empty if it does."""
    if link.state != LIVE:
        return f'{link.name} {link.state or "has gone"}'
    return '' if access in _TAKES_IO else access
