# SPDX-License-Identifier: Apache-2.0
"""Who uses a block device: what is built on it, mounts, swap space, loops, processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import re

from os_brick.core import files, glance
from os_brick.host.inventory_look import NEEDS_ROOT, Look
from os_brick.model import inventory, mounts

# Kinds of device-mapper devices by what their makers put before their UUIDs.
_DM_KINDS = {'mpath': 'multipath', 'LVM': 'lvm', 'CRYPT': 'dm-crypt'}
_KPARTX = re.compile(r'part\d+-mpath-')
# multipathd has every path open; udev's programs look at what is new, and are soon done.
_WATCHERS = frozenset({'multipathd', '(udev-worker)', 'systemd-udevd', 'udevd'})
_INSTANCE = re.compile(r'(?:^|,)guest=([^,\0]+)')
# How deep devices are built on each other at most; a loop over itself would never end.
_DEEPEST = 16
_PROCESSES = 'which processes have devices open'


class Users:
    """The users' side of one look."""

    def __init__(self, look: Look, table: Iterable[mounts.Mount]) -> None:
        self._look = look
        self._mounts: dict[str, list[mounts.Mount]] = {}
        for mount in table:
            for key in {mount.device, _device(mount.source)} - {''}:
                self._mounts.setdefault(key, []).append(mount)
        self._swaps = {
            _device(line.split()[0]) for line in look.text('/proc/swaps').splitlines()[1:] if line
        }
        self._loops = self._all_loops()
        self._open: Mapping[str, list[inventory.User]] = {}

    def read_processes(self, devices: Iterable[str], shares: Iterable[str] = ()) -> None:
        """Look which processes have devices, or files below mounted shares, open."""
        self._open = self._openers(set(devices), tuple(shares))

    def of(self, device: str, depth: int = 0) -> tuple[inventory.User, ...]:
        """What uses a device, with what uses that."""
        found = [self._holder(name, depth) for name in self._holders(device)]
        parts = self._look.partitions.get(device, ())
        found += [self._built('partition', name, depth) for name in parts]
        found += self._mounted(device)
        if device in self._swaps:
            found.append(inventory.User('swap', device))
        found += [self._built('loop', loop, depth) for loop in self._loops.get(device, ())]
        return (*found, *self._open.get(device, ()))

    def of_share(self, place: str) -> tuple[inventory.User, ...]:
        """The processes that have files below a mounted share open."""
        return tuple(self._open.get(place, ()))

    def _holders(self, device: str) -> list[str]:
        return glance.names(f'/sys/class/block/{device}/holders')

    def _holder(self, device: str, depth: int) -> inventory.User:
        base = f'/sys/class/block/{device}'
        if device.startswith('md'):
            return self._built('md', device, depth, detail=self._array(f'{base}/md'))
        if not device.startswith('dm-'):
            return self._built('holder', device, depth)
        uuid, name = (self._look.text(f'{base}/dm/{key}') for key in ('uuid', 'name'))
        kind = _DM_KINDS.get(uuid.partition('-')[0], 'dm')
        return self._built('partition' if _KPARTX.match(uuid) else kind, device, depth, name)

    def _built(
        self, kind: str, device: str, depth: int, name: str = '', detail: str = ''
    ) -> inventory.User:
        above = self.of(device, depth + 1) if depth < _DEEPEST else ()
        size = self._look.size(device)
        return inventory.User(kind, name or device, detail, device, size, above)

    def _array(self, base: str) -> str:
        level, state = (self._look.text(f'{base}/{key}') for key in ('level', 'array_state'))
        wanted, missing = (self._look.number(f'{base}/{key}') for key in ('raid_disks', 'degraded'))
        count = f' {wanted - (missing or 0)}/{wanted}' if wanted else ''
        return f'{level}{count} {state}'.strip()

    def _mounted(self, device: str) -> list[inventory.User]:
        number = self._look.text(f'/sys/class/block/{device}/dev') if self._mounts else ''
        every = (*self._mounts.get(number, ()), *self._mounts.get(device, ()))
        places = {mount.place: mount.kind for mount in every}
        return [inventory.User('mount', place, kind) for place, kind in places.items()]

    def _all_loops(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for loop in self._look.blocks:
            if loop.startswith('loop'):
                # A file is never touched: it may lie on a share whose server is away.
                below = _device(self._look.text(f'/sys/class/block/{loop}/loop/backing_file'))
                if below:
                    found.setdefault(below, []).append(loop)
        return found

    def _openers(
        self, devices: set[str], shares: tuple[str, ...]
    ) -> dict[str, list[inventory.User]]:
        found: dict[str, list[inventory.User]] = {}
        for number in filter(str.isdecimal, glance.names('/proc')):
            opened = self._opened(number, devices, shares)
            if opened:
                user = self._process(number)
                for each in opened if user else ():
                    found.setdefault(each, []).append(user)  # type: ignore[arg-type]
        return found

    def _opened(self, number: str, devices: set[str], shares: tuple[str, ...]) -> set[str]:
        base = f'/proc/{number}/fd'
        try:
            descriptors = files.listed(base)
        except PermissionError:
            self._look.missed(_PROCESSES, NEEDS_ROOT)
            return set()
        except OSError:
            return set()  # It has ended.
        found = set()
        for each in descriptors:
            target = self._look.place(f'{base}/{each}')
            if target.startswith('/dev/'):
                found.add(target.removeprefix('/dev/'))
            else:
                found |= {share for share in shares if target.startswith(f'{share}/')}
        return found & (devices | set(shares))

    def _process(self, number: str) -> inventory.User | None:
        command = self._look.text(f'/proc/{number}/comm')
        if command in _WATCHERS:
            return None
        if command.startswith(('qemu', 'kvm')):
            match = _INSTANCE.search(self._look.text(f'/proc/{number}/cmdline').replace('\0', ','))
            return inventory.User('qemu', number, match[1] if match else command)
        return inventory.User('process', number, command)


def _device(path: str) -> str:
    """The kernel's name of what a path below ``/dev`` leads to; empty for other paths."""
    return files.realpath(path).rpartition('/')[2] if path.startswith('/dev/') else ''
