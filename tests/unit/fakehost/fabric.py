# SPDX-License-Identifier: Apache-2.0
"""A host with Fibre Channel adapters, and arrays whose ports they see.

    with FabricHost(tmp_path) as host:
        storage = host.storage(ports=2)          # an array with two ports
        first = host.adapter(sees=storage.ports)
        storage.luns[1] = array.Unit()
        FibreChannelConnector(None).connect_volume(storage.properties())

sysfs as scsi_transport_fc of Linux 6.12 lays it out. A scan of ``channel target lun`` finds a LUN
behind an online port that is a target, as fc_user_scan does.
"""

import dataclasses
import itertools
from typing import Any

from os_brick.model import addresses
from tests.unit.fakehost import array, zfcp
from tests.unit.fakehost import host as fake_host

# The kernel fails the I/O of a port that is away after this time (fast_io_fail_tmo).
_FAIL_SECONDS = 5.0
_names = itertools.count(1)


@dataclasses.dataclass
class Storage:
    """An array: its ports' names, and the units by LUN; ``behind`` those of one port alone."""

    ports: list[str]
    luns: dict[int, array.Unit] = dataclasses.field(default_factory=dict)
    behind: dict[str, dict[int, array.Unit]] = dataclasses.field(default_factory=dict)

    def properties(self, lun: Any = 1, **more: object) -> dict[str, Any]:
        """Connection properties as cinder makes them."""
        found: dict[str, Any] = {
            'target_discovered': True,
            'target_wwn': [name.upper() for name in self.ports],
            'target_lun': lun,
            'volume_id': 'b2a2e1c4-7b58-4b7a-8b31-5f1a3f0a4c11',
            'access_mode': 'rw',
        }
        return found | more


@dataclasses.dataclass
class _Behind:
    """The units behind one port."""

    storage: Storage
    wwpn: str

    @property
    def luns(self) -> dict[int, array.Unit]:
        return self.storage.behind.get(self.wwpn, self.storage.luns)


@dataclasses.dataclass
class Adapter:
    """A port of this host."""

    host: int
    wwpn: str
    wwnn: str
    place: str
    device: str = ''
    state: str = 'Online'
    remotes: 'list[Remote]' = dataclasses.field(default_factory=list)

    @property
    def base(self) -> str:
        return f'{self.place}/host{self.host}'

    def link_names(self, wwpn: str, lun: int) -> list[str]:
        """What udev calls a disk, by what the adapter hangs on."""
        card = self.place.rpartition('/')[2]
        name = f'fc-0x{wwpn}-lun-{addresses.udev_lun(lun)}'
        if self.device:
            return [f'ccw-{self.device}-{name}']
        if 'vio' in self.place:
            return [name]
        return [f'pci-{card}-{name}'] if 'pci' in self.place else []


@dataclasses.dataclass
class Remote:
    """A port that an adapter sees: what a disk hangs on."""

    adapter: Adapter
    number: int
    wwpn: str
    target: Any
    target_id: int
    state: str = 'Online'
    roles: str = 'FCP Target'
    shown_id: int | None = None
    port: int = 1

    @property
    def host(self) -> int:
        return self.adapter.host

    @property
    def name(self) -> str:
        return f'rport-{self.host}:0-{self.number}'

    @property
    def base(self) -> str:
        return f'{self.adapter.base}/{self.name}'

    @property
    def scsi_target(self) -> str:
        return f'target{self.host}:0:{self.target_id}'

    @property
    def is_open(self) -> bool:
        return self.state == 'Online' and self.shown_id is None and 'Target' in self.roles

    def by_path(self, lun: int) -> list[str]:
        return self.adapter.link_names(self.wwpn, lun)


class FabricHost(fake_host.Host):
    """One host, its adapters, and the arrays they see."""

    def __init__(self, place: Any) -> None:
        super().__init__(place)
        self.adapters: list[Adapter] = []
        # What was written to the adapters' ``scan``: host, and the text.
        self.scans: list[tuple[int, str]] = []
        # Drivers that show no remote ports find LUNs by a wide scan alone.
        self.tells_nothing = False

    def storage(self, ports: int = 1) -> Storage:
        """A new array."""
        return Storage([f'500a0980{next(_names):08x}' for _ in range(ports)])

    def adapter(
        self, storage: Storage | None = None, sees: list[int] | None = None, place: str = ''
    ) -> Adapter:
        """A new adapter, which sees the ports of an array with these numbers, or all."""
        number = 2 + len(self.adapters)
        wwpn = f'210000e0{next(_names):08x}'
        place = place or f'/sys/devices/pci0000:00/0000:00:{number + 2:02x}.0'
        found = Adapter(number, wwpn, f'200000e0{wwpn[8:]}', place)
        if '/css0/' in place:
            found.device = place.rpartition('/')[2]
        self.adapters.append(found)
        self._show_adapter(found)
        for index in range(len(storage.ports)) if storage and sees is None else sees or ():
            assert storage is not None
            self.see(found, storage, storage.ports[index])
        return found

    def _show_adapter(self, adapter: Adapter) -> None:
        name = f'host{adapter.host}'
        base = f'{adapter.base}/fc_host/{name}'
        for key, value in (
            ('port_name', f'0x{adapter.wwpn}'),
            ('node_name', f'0x{adapter.wwnn}'),
            ('port_state', adapter.state),
            ('port_type', 'NPort (fabric via point-to-point)'),
            ('supported_fc4s', ' '.join(['0x00', '0x00', '0x01', *['0x00'] * 29])),
        ):
            self.tree.value(f'{base}/{key}', value)
        self.tree.link(f'/sys/class/fc_host/{name}', base)
        self.tree.file(f'{adapter.base}/scsi_host/{name}/scan')
        self.tree.link(f'/sys/class/scsi_host/{name}', f'{adapter.base}/scsi_host/{name}')
        self.tree.link(f'/sys/bus/scsi/devices/{name}', adapter.base)
        self.tree.directory('/sys/class/fc_remote_ports')
        self.tree.directory('/sys/class/fc_transport')
        if adapter.device:
            zfcp.show(self, adapter)

    def see(self, adapter: Adapter, storage: Storage, wwpn: str, **more: Any) -> Remote:
        """An adapter sees a port from now on."""
        number = len(adapter.remotes)
        port = 1 + (storage.ports.index(wwpn) if wwpn in storage.ports else 0)
        behind = _Behind(storage, wwpn)
        remote = Remote(adapter, number, wwpn, behind, number, port=port, **more)
        adapter.remotes.append(remote)
        self.show(remote)
        return remote

    def show(self, remote: Remote) -> None:
        """Put a remote port, as it is now, into sysfs."""
        self.tree.directory(remote.base)
        if self.tells_nothing:
            return
        base = f'{remote.base}/fc_remote_ports/{remote.name}'
        for key, value in (
            ('port_name', f'0x{remote.wwpn}'),
            ('port_state', remote.state),
            ('roles', remote.roles),
            ('scsi_target_id', remote.target_id if remote.shown_id is None else remote.shown_id),
        ):
            self.tree.value(f'{base}/{key}', value)
        self.tree.link(f'/sys/class/fc_remote_ports/{remote.name}', base)

    def set_adapter(self, adapter: Adapter, state: str) -> None:
        adapter.state = state
        self.tree.value(f'{adapter.base}/fc_host/host{adapter.host}/port_state', state)

    def pull(self, adapter: Adapter) -> None:
        """The cable is pulled: remote ports wait, and their disks fail after a while."""
        with self.guard:
            self.set_adapter(adapter, 'Linkdown')
            for remote in adapter.remotes:
                self.lose(remote)

    def lose(self, remote: Remote) -> None:
        """A port of the array is away."""
        remote.state = 'Blocked'
        self.show(remote)
        for disk in [d for d in self.disks.values() if d.session is remote]:
            self.set_state(disk, 'blocked')
            self.clock.after(_FAIL_SECONDS, lambda disk=disk: self._fail(disk))  # type: ignore[misc]

    def _fail(self, disk: fake_host.Disk) -> None:
        if disk.state == 'blocked' and self.disks.get(disk.name) is disk:
            self.set_state(disk, 'transport-offline')

    def plug(self, adapter: Adapter) -> None:
        """The cable is plugged in again."""
        with self.guard:
            self.set_adapter(adapter, 'Online')
            for remote in adapter.remotes:
                self.find(remote)

    def find(self, remote: Remote) -> None:
        """A port of the array is back."""
        remote.state = 'Online'
        self.show(remote)
        for disk in [d for d in self.disks.values() if d.session is remote]:
            self.set_state(disk, 'running')

    # The kernel's reactions.

    def _react(self) -> None:
        with self.guard:
            for adapter in self.adapters:
                place = f'{adapter.base}/scsi_host/host{adapter.host}/scan'
                for line in filter(None, self.tree.take(place).splitlines()):
                    self.scans.append((adapter.host, line))
                    self._scan_adapter(adapter, line)
                if adapter.device:
                    zfcp.react(self, adapter)
        super()._react()

    def _scan_adapter(self, adapter: Adapter, line: str) -> None:
        channel, target, lun = line.split()
        for remote in adapter.remotes:
            is_meant = channel in ('0', '-') and target in (str(remote.target_id), '-')
            if is_meant and (not adapter.device or zfcp.may_scan(self, remote, int(lun))):
                self.find_lun(remote, int(lun))

    def _show_device(self, disk: fake_host.Disk) -> None:
        super()._show_device(disk)
        if isinstance(disk.session, Remote):
            target = disk.session.scsi_target
            base = f'{disk.session.base}/{target}/fc_transport/{target}'
            self.tree.value(f'{base}/port_name', f'0x{disk.session.wwpn}')
            self.tree.link(f'/sys/class/fc_transport/{target}', base)

    def remove_disk(self, disk: fake_host.Disk) -> None:
        super().remove_disk(disk)
        with self.guard:
            if not any(other.session is disk.session for other in self.disks.values()):
                self.tree.remove(f'/sys/class/fc_transport/{disk.session.scsi_target}')
