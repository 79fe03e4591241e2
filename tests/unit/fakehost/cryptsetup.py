# SPDX-License-Identifier: Apache-2.0
"""dm-crypt and its program on the fake host: mappings over block devices that are sparse files.

Exit codes and the device-mapper UUIDs are those of cryptsetup 2.7.
"""

from collections.abc import Mapping
import hashlib
import json
import os
import pathlib
from typing import Any
import uuid as uuids

from tests.unit.fakehost import luks
from tests.unit.fakehost.host import Host

_BLANK = 8 << 20


class Cryptsetup:
    """``host.programs['cryptsetup']``."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.started: list[tuple[str, ...]] = []
        self.busy: set[str] = set()
        self.format_code = 0
        # Whether a first header that is broken is made of a second one.
        self.repairs = False
        self._next = 40
        host.programs['cryptsetup'] = self

    # Devices.

    def device(
        self, name: str, megabytes: int = 64, content: Mapping[int, bytes] | None = None
    ) -> str:
        """A block device of so many bytes, with what is on it by place."""
        tree = self.host.tree
        base = f'/sys/devices/virtual/block/{name}'
        self.host.other_devices.add(name)
        self._next += 1
        for part in ('holders', 'slaves'):
            tree.directory(f'{base}/{part}')
        tree.value(f'{base}/dev', f'259:{self._next}')
        tree.value(f'{base}/size', megabytes << 11)
        for place in ('/sys/block', '/sys/class/block'):
            tree.link(f'{place}/{name}', base)
        # Apart from the tree, whose snapshots would have it in them.
        place = self.host.place / 'devices' / name
        place.parent.mkdir(exist_ok=True)
        with place.open('wb') as file:
            file.truncate(megabytes << 20)
        tree.at(f'/dev/{name}').symlink_to(place)
        for offset, data in (content or {}).items():
            self.write(name, offset, data)
        return name

    def _at(self, name: str) -> pathlib.Path:
        return self.host.tree.at(f'/dev/{name}')

    def write(self, name: str, offset: int, data: bytes) -> None:
        with self._at(name).open('r+b') as file:
            file.seek(offset)
            file.write(data)

    def read(self, name: str, offset: int, count: int) -> bytes:
        with self._at(name).open('rb') as file:
            file.seek(offset)
            return file.read(count)

    def digest(self, name: str) -> str:
        """What is on a device, for comparisons."""
        with self._at(name).open('rb') as file:
            return hashlib.file_digest(file, 'sha256').hexdigest()

    def grow(self, name: str, megabytes: int) -> None:
        os.truncate(self._at(name), megabytes << 20)
        self.host.tree.value(f'/sys/block/{name}/size', megabytes << 11)

    # Mappings.

    def names(self) -> list[str]:
        """The names of the mappings there are."""
        found = self.host.tree.at('/sys/devices/virtual/block').glob('dm-*/dm/name')
        return sorted(each.read_text().strip() for each in found)

    def dm(self, name: str) -> str:
        for each in self.host.tree.at('/sys/devices/virtual/block').glob('dm-*/dm/name'):
            if each.read_text().strip() == name:
                return each.parts[-3]
        return ''

    def size(self, name: str) -> int:
        return int(self.host.tree.at(f'/sys/block/{self.dm(name)}/size').read_text()) * 512

    def map(self, name: str, device: str, uuid: str, size: int) -> None:
        """A new mapping."""
        tree, dm = self.host.tree, f'dm-{self._next}'
        base = f'/sys/devices/virtual/block/{dm}'
        self._next += 1
        for part in ('holders', 'slaves'):
            tree.directory(f'{base}/{part}')
        tree.value(f'{base}/dev', f'253:{self._next}')
        tree.value(f'{base}/size', size // 512)
        tree.value(f'{base}/dm/name', name)
        tree.value(f'{base}/dm/uuid', uuid)
        tree.file(f'/dev/{dm}', bytes(4096))
        tree.link(f'/dev/mapper/{name}', f'/dev/{dm}')
        for place in ('/sys/block', '/sys/class/block'):
            tree.link(f'{place}/{dm}', base)
        tree.link(f'{base}/slaves/{device}', f'/sys/devices/virtual/block/{device}')
        tree.link(f'/sys/devices/virtual/block/{device}/holders/{dm}', base)

    def unmap(self, name: str) -> None:
        tree, dm = self.host.tree, self.dm(name)
        for device in os.listdir(tree.at(f'/sys/block/{dm}/slaves')):
            tree.remove(f'/sys/devices/virtual/block/{device}/holders/{dm}')
        tree.remove(f'/dev/mapper/{name}')
        for place in (f'/dev/{dm}', f'/sys/block/{dm}', f'/sys/class/block/{dm}'):
            tree.remove(place)
        tree.remove(f'/sys/devices/virtual/block/{dm}')

    # The program.

    def __call__(
        self, argv: tuple[str, ...], stdin: bytes | None, **_keywords: Any
    ) -> tuple[int, str, str]:
        self.started.append(argv)
        words = [word for word in argv[1:] if not word.startswith('-')]
        act = getattr(self, f'_{words[0]}')
        return act(words[1:], argv, stdin or b'')

    def _luksOpen(self, words, argv, stdin):
        device = words[0].removeprefix('/dev/')
        start = self.read(device, 0, 32768)
        if self.repairs and start[16384:].startswith(b'SKUL'):
            described = json.loads(start[16384 + 4096 :].split(b'\0')[0])
            uuid = start[16384 + 168 :][:36].decode()
            self.write(device, 0, luks.luks2_binary(described, 0, uuid))
            start = self.read(device, 0, 32768)
        if not start.startswith(b'LUKS'):
            return 1, '', f'Device {words[0]} is not a valid LUKS device.'
        if not luks.opens(start, stdin):
            return 2, '', 'No key available with this passphrase.'
        if '--test-passphrase' in argv:
            return 0, '', ''
        return self._made(words[1], device, start)

    def _made(self, name: str, device: str, start: bytes) -> tuple[int, str, str]:
        if self.dm(name):
            return 5, '', f'Device {name} already exists.'
        if os.listdir(self.host.tree.at(f'/sys/block/{device}/holders')):
            return 5, '', f'Cannot use device /dev/{device} which is in use'
        version = start[7]
        text = start[168:208].rstrip(b'\0').decode().replace('-', '')
        data = luks.LUKS1_DATA if version == 1 else luks.LUKS2_DATA
        size = os.path.getsize(self._at(device)) - data
        self.map(name, device, f'CRYPT-LUKS{version}-{text}-{name}', size)
        return 0, '', ''

    def _create(self, words, argv, stdin):
        options = [argv[argv.index(o) + 1] for o in ('--cipher', '--key-size') if o in argv]
        name, path = [word for word in words if word not in options]
        if self.dm(name):
            return 5, '', f'Device {name} already exists.'
        device = path.removeprefix('/dev/')
        size = os.path.getsize(self._at(device))
        self.map(name, device, f'CRYPT-PLAIN-{name}', size)
        return 0, '', ''

    def _luksClose(self, words, argv, stdin):
        if not self.dm(words[0]):
            return 4, '', f'Device {words[0]} is not active.'
        if words[0] in self.busy:
            return 5, '', f'Device {words[0]} is still in use.'
        self.unmap(words[0])
        return 0, '', ''

    def _resize(self, words, argv, stdin):
        dm = self.dm(words[0])
        device = os.listdir(self.host.tree.at(f'/sys/block/{dm}/slaves'))[0]
        start = self.read(device, 0, 32768)
        if start[7] == 2 and not luks.opens(start, stdin):
            return 2, '', 'No key available with this passphrase.'
        data = luks.LUKS1_DATA if start[7] == 1 else luks.LUKS2_DATA
        size = os.path.getsize(self._at(device)) - data
        self.host.tree.value(f'/sys/block/{dm}/size', size // 512)
        return 0, '', ''

    def _luksHeaderBackup(self, words, argv, stdin):
        place = pathlib.Path(argv[argv.index('--header-backup-file') + 1])
        device = words[0].removeprefix('/dev/')
        place.write_bytes(self.read(device, 0, luks.LUKS2_DATA))
        place.chmod(0o400)
        return 0, '', ''

    def _luksFormat(self, words, argv, stdin):
        if self.format_code:
            return self.format_code, '', 'It failed.'
        version = argv[argv.index('--type') + 1]
        make = luks.luks1 if version == 'luks1' else luks.luks2
        with open(argv[argv.index('--header') + 1], 'r+b') as file:
            file.write(make(stdin, str(uuids.uuid4())))
        return 0, '', ''
