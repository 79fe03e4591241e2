# SPDX-License-Identifier: Apache-2.0
"""Open CAS: cache instances with cores, behind a program that prints as casadm does.

After the source of Open CAS 22 (casadm/cas_lib.c ``list_caches``, ``set_device_path``,
``remove_core``, casadm/statistics_view_raw_csv.c, casadm/extended_err_msg.c) and its manual page.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import os
import re
from typing import Any

from os_brick.core import files, process

# set_device_path() takes these, and what lies in /dev/disk/by-id.
_TAKEN = re.compile(r'/dev/(?:cas\d+-\d+|ram\d+|nullb\d+|drbd\d+)|/dev/disk/by-id/.*')


@dataclasses.dataclass
class Core:
    """One core; ``path`` is what the cache's metadata have."""

    number: int
    path: str
    status: str = 'Active'
    is_exported: bool = True
    is_open: bool = False


@dataclasses.dataclass
class Cache:
    """One instance."""

    number: int
    disk: str
    status: str = 'Running'
    mode: str = 'wt'
    cores: dict[int, Core] = dataclasses.field(default_factory=dict)


class Casadm:
    """The program; ``before`` and ``after`` are called with each command, and may raise."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.caches: dict[int, Cache] = {}
        self.pool: list[str] = []
        self.commands: list[str] = []
        self.before: Callable[[str], None] = lambda _command: None
        self.after: Callable[[str], None] = lambda _command: None

    def cache(self, number: int, **keywords: Any) -> Cache:
        """Start an instance, as an operator does."""
        found = self.caches[number] = Cache(number, f'/dev/nvme{number}n1', **keywords)
        return found

    def add(self, cache: int, path: str, number: int | None = None, **keywords: Any) -> Core:
        """Make a device a core."""
        cores = self.caches[cache].cores
        free = number or next(count for count in range(1, 4096) if count not in cores)
        core = cores[free] = Core(free, path, **keywords)
        if core.is_exported:
            with open(f'{self.root}/dev/cas{cache}-{free}', 'w'):
                pass
        return core

    def isolated(self, call: Callable[[], Any], timeout: float) -> Any:
        return call()

    def run(self, argv: tuple[str, ...], **_keywords: Any) -> process.Result:
        command = ' '.join(argv)
        self.commands.append(command)
        self.before(command)
        code, out, err = self._done(argv)
        self.after(command)
        return process.Result(argv, code, out, err)

    def _done(self, argv: tuple[str, ...]) -> tuple[int, str, str]:
        if argv == ('casadm', '-L', '-o', 'csv'):
            return 0, self._list(), ''
        match argv:
            case ('casadm', '-A', '-i', cache, '-d', path):
                return self._add(int(cache), path)
            case ('casadm', '-R', '-i', cache, '-j', core):
                return self._remove(int(cache), int(core))
        raise AssertionError(argv)

    def _node(self, path: str) -> str:
        """get_dev_path(): the node, or the path itself if it leads nowhere."""
        return files.realpath(path) if os.path.exists(f'{self.root}{path}') else path

    def _list(self) -> str:
        if not self.caches and not self.pool:
            return 'No caches running\n'
        rows = ['type,id,disk,status,write policy,device']
        if self.pool:
            rows.append('core pool,-,-,-,-,-')
            rows += [f'core,-,{path},Detached,-,-' for path in self.pool]
        for cache in self.caches.values():
            rows.append(f'cache,{cache.number},{cache.disk},{cache.status},{cache.mode},-')
            for core in cache.cores.values():
                device = f'/dev/cas{cache.number}-{core.number}' if core.is_exported else '-'
                rows.append(f'core,{core.number},{self._node(core.path)},{core.status},-,{device}')
        return '\n'.join(rows) + '\n'

    def _add(self, cache: int, path: str) -> tuple[int, str, str]:
        if not _TAKEN.fullmatch(path):
            return 1, '', f'Please use correct by-id path to the device {path}.\n'
        if cache not in self.caches:
            return 1, '', f'Error while adding core to cache instance {cache}\n'
        all_cores = [core for each in self.caches.values() for core in each.cores.values()]
        if self._node(path) in {self._node(core.path) for core in all_cores}:
            return 1, '', 'Device already added as a core\n'
        core = self.add(cache, path)
        return 0, f'Successfully added core {core.number} to cache instance {cache}\n', ''

    def _remove(self, cache: int, number: int) -> tuple[int, str, str]:
        cores = self.caches[cache].cores if cache in self.caches else {}
        core = cores.get(number)
        if core is None:
            return 1, '', 'Core ID does not exist\n'
        if core.is_open:
            return 1, '', 'Device opens or mount are pending to this cache\n'
        if core.status != 'Active':
            return 1, '', 'Core device is in inactive state\n'
        if core.is_exported:
            os.unlink(f'{self.root}/dev/cas{cache}-{number}')
        del cores[number]
        return 0, '', ''
