# SPDX-License-Identifier: Apache-2.0
"""PowerFlex's client in the kernel: a device for its ioctls, a block device for each volume."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING
import uuid

if TYPE_CHECKING:
    from tests.doubles import powerflex
    from tests.unit.fakehost.host import Host

DEVICE = '/dev/scini'
_GUID, _RESCAN = 0x610E, 0x610A
_DONE = 65  # dell/goscaleio, drv_cfg.go: the return code of what went well


class Scini:
    """The client of a host; a volume that is mapped to it appears a moment later.

    :ivar delay: how many seconds later; ``None`` for never.
    :ivar follows: whether it sees a new size without being told to look.
    """

    def __init__(self, host: Host, gateway: powerflex.Gateway) -> None:
        self.host = host
        self.gateway = gateway
        self.guid = '9e56672f-2f4b-4a42-bff4-88b6846fbfda'
        self.delay: float | None = 0.2
        self.follows = False
        self.rescans = 0
        self.names: dict[str, str] = {}
        self._next = 0
        host.tree.file(DEVICE)
        host.ioctls[DEVICE] = self._ioctl
        gateway.clients[self.guid] = self

    def _ioctl(self, request: int, answer: bytearray) -> None:
        answer[0] = _DONE
        if request == _GUID:
            answer[8:24] = uuid.UUID(self.guid).bytes
        elif request == _RESCAN:
            self.rescans += 1
            for number in self.names:
                self._set_size(number)
        else:
            raise AssertionError(f'{request:#x}')

    def mapped(self, volume: powerflex.Volume) -> None:
        if self.delay is not None:
            self.host.clock.after(self.delay, lambda: self._appear(volume))

    def unmapped(self, volume: powerflex.Volume) -> None:
        if self.delay is not None:
            self.host.clock.after(self.delay, lambda: self.vanish(volume))

    def link(self, volume: powerflex.Volume) -> str:
        return f'/dev/disk/by-id/emc-vol-{self.gateway.system}-{volume.id}'

    def _appear(self, volume: powerflex.Volume) -> None:
        if self.guid in volume.mapped:
            self.appear(volume)

    def appear(self, volume: powerflex.Volume, link: str = '') -> str:
        """Make the device of a volume, and udev's link to it."""
        if volume.id in self.names:
            return self.names[volume.id]
        name = f'scini{string.ascii_lowercase[self._next]}'
        self._next += 1
        self.names[volume.id] = name
        tree, base = self.host.tree, f'/sys/devices/virtual/block/{name}'
        self.host.other_devices.add(name)
        for part in ('holders', 'slaves'):
            tree.directory(f'{base}/{part}')
        tree.value(f'{base}/dev', f'252:{16 * self._next}')
        tree.value(f'{base}/ro', 0)
        for place in ('/sys/block', '/sys/class/block'):
            tree.link(f'{place}/{name}', base)
        tree.file(f'/dev/{name}', b'\0' * 4096)
        self._set_size(volume.id)
        tree.link(link or self.link(volume), f'/dev/{name}')
        return name

    def vanish(self, volume: powerflex.Volume) -> None:
        """Remove the device of a volume; the kernel keeps one that is open."""
        if self.guid in volume.mapped or volume.id not in self.names:
            return
        name = self.names.pop(volume.id)
        tree = self.host.tree
        for place in (f'/sys/block/{name}', f'/sys/class/block/{name}', f'/dev/{name}'):
            tree.remove(place)
        tree.remove(f'/sys/devices/virtual/block/{name}')
        tree.remove(self.link(volume))

    def grow(self, volume: powerflex.Volume, gigabytes: int) -> int:
        """Grow a volume at its gateway; return the new size in bytes."""
        volume.size_kb = gigabytes << 20
        if self.follows:
            self._set_size(volume.id)
        return gigabytes << 30

    def _set_size(self, number: str) -> None:
        sectors = self.gateway.volumes[number].size_kb * 2
        self.host.tree.value(f'/sys/devices/virtual/block/{self.names[number]}/size', sectors)
