# SPDX-License-Identifier: Apache-2.0
"""StorPool's block service on a fake host: the devices and udev's links of what is attached.

    cluster = StorPool(host)                     # its API answers at 10.5.0.1:81
    volume = cluster.volume('volume-1', 1 << 20)
    storpool.StorPoolConnector(None).connect_volume(cluster.properties('volume-1'))

The kernel's device comes a moment after the cluster has attached the volume, its links a moment
later, and these go later than the device does: ``sp-0`` may be the next volume's by then.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from typing import Any

from tests.doubles import storpool as double
from tests.unit.fakehost import host as fake_host

ADDRESS, PORT = '10.5.0.1', 81
CLIENT = 7
_DEVICE_SECONDS = 0.02
_LINK_SECONDS = 0.05
_SECTOR = 512


class Client:
    """What the cluster tells to attach and detach."""

    def __init__(self, host: fake_host.Host) -> None:
        self._host = host
        self._devices: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self.open: set[str] = set()
        # Whether devices come at all, and whether udev makes its links.
        self.makes_devices = True
        self.makes_links = True
        self.device_seconds = _DEVICE_SECONDS
        # How much later than the device a link goes.
        self.link_goes_seconds = _LINK_SECONDS
        self.grow_seconds = 0.05
        self.goes = True

    def attach(self, global_id: str, name: str, size: int, position: int, rights: str) -> None:
        if self.makes_devices:
            device = f'sp-{position}'
            self._devices[global_id], self._names[global_id] = device, name
            self._host.clock.after(
                self.device_seconds, lambda: self._appear(global_id, device, size)
            )

    def _appear(self, global_id: str, device: str, size: int) -> None:
        if self._devices.get(global_id) != device:
            return
        host, base = self._host, f'/sys/devices/virtual/block/{device}'
        host.tree.directory(f'{base}/holders')
        host.tree.value(f'{base}/size', size // _SECTOR)
        host.tree.value(f'{base}/dev', f'252:{device[3:]}')
        host.tree.value(f'{base}/ro', 0)
        for place in ('/sys/block', '/sys/class/block'):
            host.tree.link(f'{place}/{device}', base)
        host.tree.file(f'/dev/{device}', bytes(4096))
        host.other_devices.add(device)
        if self.makes_links:
            host.clock.after(_LINK_SECONDS, lambda: self._link(global_id, device))

    def take_name(self, global_id: str, device: str, size: int) -> None:
        """Another volume gets a name that has just become free."""
        self._devices[global_id] = device
        self._appear(global_id, device, size)

    def _link(self, global_id: str, device: str) -> None:
        if self._devices.get(global_id) == device:
            self._host.tree.link(f'/dev/storpool-byid/{global_id}', f'/dev/{device}')
            self._host.tree.link(f'/dev/storpool/{self._names[global_id]}', f'/dev/{device}')

    def detach(self, global_id: str) -> None:
        device, name = self._devices.pop(global_id, None), self._names.pop(global_id, '')
        if device is None:
            return
        self.open.discard(global_id)
        if self.goes:
            for path in (f'/sys/block/{device}', f'/sys/class/block/{device}', f'/dev/{device}'):
                self._host.tree.remove(path)
            self._host.tree.remove(f'/sys/devices/virtual/block/{device}')
            self._host.other_devices.discard(device)
        self._host.clock.after(self.link_goes_seconds, lambda: self._unlink(global_id, name))

    def _unlink(self, global_id: str, name: str) -> None:
        if global_id not in self._devices:
            self._host.tree.remove(f'/dev/storpool-byid/{global_id}')
            self._host.tree.remove(f'/dev/storpool/{name}')

    def resize(self, global_id: str, size: int) -> None:
        path = f'/sys/devices/virtual/block/{self._devices[global_id]}/size'
        self._host.clock.after(
            self.grow_seconds, lambda: self._host.tree.value(path, size // _SECTOR)
        )

    def is_open(self, global_id: str) -> bool:
        return global_id in self.open


class StorPool:
    """A cluster and its client on a host, with the configuration that is needed for them."""

    def __init__(self, host: fake_host.Host, server: double.Server) -> None:
        self.host, self.server = host, server
        self.state = server.cluster
        self.client = Client(host)
        self.state.clients[CLIENT] = self.client
        host.tree.directory('/dev/storpool-byid')
        host.tree.directory('/dev/storpool')
        self.configure()
        host.network.servers[ADDRESS, PORT] = server.port

    def configure(self, token: str = double.TOKEN, ours: str = f'{CLIENT}') -> None:
        self.host.tree.file(
            '/etc/storpool.conf',
            f'SP_API_HTTP_HOST={ADDRESS}\nSP_AUTH_TOKEN={token}\nSP_OURID={ours}\n',
        )

    def volume(self, volume_id: str = 'v1', size: int = 1 << 20) -> double.Volume:
        return self.state.create(f'os--volume-{volume_id}', size)

    def attached(self) -> dict[str, str]:
        return self.state.of_client(CLIENT)

    @staticmethod
    def properties(volume_id: str = 'v1', **more: Any) -> dict[str, Any]:
        return {'client_id': CLIENT, 'volume': volume_id, 'access_mode': 'rw', **more}


@contextlib.contextmanager
def on(host: fake_host.Host) -> Iterator[StorPool]:
    with double.serving(double.Cluster()) as server:
        yield StorPool(host, server)
