# SPDX-License-Identifier: Apache-2.0
"""A host with members, md arrays and mdadm 4.4, as far as mirrors go (Linux 6.12).

    with Mirrors(tmp_path) as host:
        host.member('nvme0n1')
        md.superblock('nvme0n1')

Members are files with real superblocks; mdadm's command lines are taken word for word.
"""

import contextlib
import errno
import os
import pathlib
import struct
from typing import Any, Self

from os_brick.core import clock, files, kernel, process
from tests.unit import seams
from tests.unit.fakehost import tree as fake_tree

MIB = 1 << 20
OFFSET_SECTORS = 2048
# What the kernel writes for a member that the array is without.
MISSING = 0xFFFF
ARRAY = 'md127'
# The members of the array vol1.
ONE, TWO = MEMBERS = 'nvme0n1', 'nvme1n1'
_FLUSH = 0x1261


def superblock(
    uuid: str = '11' * 16,
    name: str = 'any:vol1',
    *,
    number: int = 0,
    events: int = 17,
    roles: tuple[int, ...] = (0, 1),
    level: int = 1,
) -> bytes:
    """A superblock of version 1 (include/uapi/linux/raid/md_p.h) with its checksum."""
    raw = bytearray(4096)
    raw[0:8] = bytes.fromhex('fc4e2ba901000000')
    raw[16:32] = bytes.fromhex(uuid.replace(':', ''))
    raw[32:64] = name.encode().ljust(32, b'\0')
    struct.pack_into('<i', raw, 72, level)
    struct.pack_into('<I', raw, 92, 2)
    struct.pack_into('<Q', raw, 128, OFFSET_SECTORS)
    struct.pack_into('<I', raw, 160, number)
    raw[168:184] = bytes([number + 1]) * 16
    struct.pack_into('<Q', raw, 200, events)
    struct.pack_into('<I', raw, 220, 128)
    struct.pack_into('<128H', raw, 256, *(roles + (0xFFFF,) * 128)[:128])
    total = sum(struct.unpack('<128I', raw[:512]))
    struct.pack_into('<I', raw, 216, (total + (total >> 32)) & 0xFFFFFFFF)
    return bytes(raw)


class Clock(seams.Clock):
    """Time in which things happen to the host."""

    def __init__(self, host: 'Mirrors') -> None:
        super().__init__()
        self._host = host

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._host.react()


class Mirrors:
    """The host.

    :ivar broken: members and arrays that cannot be read.
    :ivar refuses: the words of mdadm's that fail, with what it says.
    :ivar opened: arrays that someone has open.
    :ivar udev_links: whether links below /dev/md follow the arrays.
    """

    def __init__(self, place: pathlib.Path) -> None:
        self.tree = fake_tree.Tree(place)
        self.broken: set[str] = set()
        self.refuses: dict[str, str] = {}
        self.opened: set[str] = set()
        self.udev_links = True
        self.is_installed = True
        self.blkid: dict[str, tuple[int, str]] = {}
        self.started: list[str] = []
        self.flushed: list[str] = []
        self.after: list[Any] = []
        self.clock = Clock(self)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for path in ('/dev/md', '/sys/block', '/sys/class/block', '/run/udev'):
            self.tree.directory(path)
        for seam in (
            files.use(str(self.tree.root)),
            clock.use(self.clock),
            process.use(self),
            kernel.use(self),
        ):
            self._stack.enter_context(seam)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    # Members and arrays.

    def pair(self) -> None:
        """Both members of the array vol1 come, with their superblocks."""
        for number, name in enumerate(MEMBERS):
            self.member(name, superblock(number=number))

    def member(self, name: str, block: bytes = b'', megabytes: int = 3) -> str:
        """A member, blank or with a superblock."""
        content = bytearray(megabytes * MIB)
        content[4096 : 4096 + len(block)] = block
        self.tree.file(f'/dev/{name}', bytes(content))
        self.tree.value(f'/sys/class/block/{name}/size', megabytes * 2048)
        self.tree.value(f'/sys/class/block/{name}/dev', f'259:{len(self.started)}')
        self.tree.directory(f'/sys/class/block/{name}/holders')
        self.tree.directory(f'/sys/block/{name}')
        return name

    def verbs(self) -> list[str]:
        """What mdadm and blkid were started for, in order."""
        words = (line.split() for line in self.started)
        return [line[2] if line[1].startswith('/dev/') else line[1] for line in words]

    def raw(self, member: str) -> bytes:
        return self.tree.at(f'/dev/{member}').read_bytes()

    def write(self, member: str, data: bytes, at: int = 0) -> None:
        with self.tree.at(f'/dev/{member}').open('r+b') as file:
            file.seek(at)
            file.write(data)

    def array(
        self,
        members: tuple[str, ...],
        name: str = 'vol1',
        *,
        array: str = ARRAY,
        state: str = 'clean',
        uuid: str = '11' * 16,
    ) -> str:
        """An array over members; started unless its state is ``inactive``."""
        base = f'/sys/block/{array}/md'
        plain = uuid.replace(':', '')
        dashed = '-'.join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]))
        self.tree.value(f'{base}/array_state', state)
        unset = '00000000-0000-0000-0000-000000000000'
        self.tree.value(f'{base}/uuid', unset if state == 'inactive' else dashed)
        self.tree.value(f'{base}/sync_action', 'idle')
        self.tree.file(f'/dev/{array}', bytes(2 * 4096))
        self.tree.value(f'/sys/block/{array}/dev', '9:127')
        self.tree.link(f'/sys/class/block/{array}', f'/sys/block/{array}')
        for member in members:
            self.join(array, member, 'spare' if state == 'inactive' else 'in_sync')
        self.resize(array)
        if self.udev_links and state != 'inactive':
            self.tree.link(f'/dev/md/{name}', f'/dev/{array}')
        return array

    def join(self, array: str, member: str, state: str) -> None:
        base = f'/sys/block/{array}/md/dev-{member}'
        self.tree.value(f'{base}/state', state)
        self.tree.value(f'{base}/offset', OFFSET_SECTORS)
        self.tree.link(f'{base}/block', f'/sys/block/{member}')
        self.tree.link(f'/sys/class/block/{member}/holders/{array}', f'/sys/block/{array}')

    def leave(self, array: str, member: str) -> None:
        self.tree.remove(f'/sys/block/{array}/md/dev-{member}')
        self.tree.remove(f'/sys/class/block/{member}/holders/{array}')

    def members_of(self, array: str) -> list[str]:
        inside = files.names(f'/sys/block/{array}/md')
        return [name.removeprefix('dev-') for name in inside if name.startswith('dev-')]

    def resize(self, array: str) -> None:
        sizes = [
            int(files.read_or(f'/sys/class/block/{member}/size', '0'))
            for member in self.members_of(array)
        ]
        self.tree.value(
            f'/sys/block/{array}/size', min(sizes, default=OFFSET_SECTORS) - OFFSET_SECTORS
        )

    def remove(self, array: str) -> None:
        for member in self.members_of(array):
            self.leave(array, member)
        for link in files.names('/dev/md'):
            if files.realpath(f'/dev/md/{link}') == f'/dev/{array}' and self.udev_links:
                self.tree.remove(f'/dev/md/{link}')
        for path in (f'/sys/class/block/{array}', f'/sys/block/{array}', f'/dev/{array}'):
            self.tree.remove(path)

    def react(self) -> None:
        """What was written to sysfs happens; then what the test has put off."""
        for array in files.names('/sys/block'):
            for member in self.members_of(array):
                if files.read_or(f'/sys/block/{array}/md/dev-{member}/state').startswith('remove'):
                    self.leave(array, member)
        if self.after:
            self.after.pop(0)()

    # The seams.

    def open(self, path: str, flags: int) -> int:
        if path.removeprefix('/dev/') in self.broken:
            raise OSError(errno.EIO, 'Input/output error')
        return files.descriptor(path, flags & ~os.O_DIRECT)

    def open_block(self, path: str, flags: int) -> int:
        if files.exists(path) and not files.exists(f'/sys/class/block/{path[5:]}'):
            raise OSError(errno.ENOTBLK, f'{path} is not a block device')
        return self.open(path, flags & ~os.O_PATH)

    def number(self, descriptor: int) -> str:
        """What sysfs says of the name that the stand-in has."""
        name = os.readlink(f'/proc/self/fd/{descriptor}').rpartition('/')[2]
        return files.read_or(f'/sys/class/block/{name}/dev')

    def ioctl(self, descriptor: int, request: int, argument: bytearray | int) -> None:
        assert request == _FLUSH
        self.flushed.append(os.readlink(f'/proc/self/fd/{descriptor}').rpartition('/')[2])

    def connect(self, address: str, timeout: float) -> Any:
        raise AssertionError(address)

    def isolated(self, call: Any, timeout: float) -> Any:
        assert timeout > 0
        return call()

    def run(self, argv: tuple[str, ...], *, timeout: float | None, **_more: Any) -> process.Result:
        assert timeout
        self.started.append(' '.join(argv))
        self.react()
        if not self.is_installed and argv[0] == 'mdadm':
            raise FileNotFoundError(errno.ENOENT, f'No such file or directory: {argv[0]!r}')
        if argv[0] == 'blkid':
            assert argv[1:-1] == ('-p', '-o', 'export')
            code, out = self.blkid.get(argv[-1].removeprefix('/dev/'), (2, ''))
            return process.Result(argv, code, out, '')
        code, said = self._mdadm(list(argv[1:]))
        return process.Result(argv, code, '', said)

    def _mdadm(self, words: list[str]) -> tuple[int, str]:
        verb = words[1] if words[0].startswith('/dev/') else words[0]
        if verb in self.refuses:
            said = self.refuses[verb]
            if said == 'hangs':
                raise process.TimeLimit
            return 1, f'mdadm: {said}'
        names = tuple(w.removeprefix('/dev/') for w in words if w.startswith('/dev/'))
        options = dict(w.partition('=')[::2] for w in words if w.startswith('--'))
        act = {
            '--create': self._create,
            '--assemble': self._assemble,
            '--stop': self._stop,
            '--re-add': self._take,
            '--add': self._take,
            '--grow': self._grow,
        }[verb]
        return act(names, options)

    def _create(self, names: tuple[str, ...], options: dict[str, str]) -> tuple[int, str]:
        alias, *members = names
        name = f'any:{options["--name"]}'
        for number, member in enumerate(members):
            roles = tuple(range(len(members)))
            self.write(member, superblock('22' * 16, name, number=number, roles=roles), 4096)
        self.array(tuple(members), alias.removeprefix('md/'), uuid='22' * 16)
        return 0, ''

    def _assemble(self, names: tuple[str, ...], options: dict[str, str]) -> tuple[int, str]:
        """The newest and what is as new; a member that is older is left out."""
        alias, *members = names
        free = [
            member for member in members if not files.names(f'/sys/class/block/{member}/holders')
        ]
        events = {
            member: struct.unpack_from('<Q', self.raw(member), 4096 + 200)[0] for member in free
        }
        fresh = tuple(member for member in free if events[member] >= max(events.values()) - 1)
        if not fresh:
            return 1, 'mdadm: busy - skipping'
        self.array(fresh, alias.removeprefix('md/'), uuid=options['--uuid'])
        return 0, ''

    def _stop(self, names: tuple[str, ...], options: dict[str, str]) -> tuple[int, str]:
        if names[0] in self.opened:
            return 1, f'mdadm: failed to stop array /dev/{names[0]}: Device or resource busy'
        self.remove(names[0])
        return 0, ''

    def _take(self, names: tuple[str, ...], options: dict[str, str]) -> tuple[int, str]:
        array, member = names
        self.join(array, member, 'spare')
        return 0, ''

    def _grow(self, names: tuple[str, ...], options: dict[str, str]) -> tuple[int, str]:
        assert files.read(f'/sys/block/{names[0]}/md/sync_action').startswith('frozen')
        self.resize(names[0])
        return 0, ''
