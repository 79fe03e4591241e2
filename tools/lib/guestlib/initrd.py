# SPDX-License-Identifier: Apache-2.0
"""The guest's initrd, written without root and without cpio: busybox, few modules, one script."""

import gzip
import lzma
import pathlib
import stat

from guestlib import recipe

_APPLETS = ('sh', 'mount', 'umount', 'insmod', 'switch_root', 'sleep', 'grep', 'mkdir', 'poweroff')


def write(rootfs: pathlib.Path, kernel: str, target: pathlib.Path) -> None:
    """Make the compressed initrd for this kernel from the files of the root file system."""
    files = _Archive()
    for name in ('bin', 'lib', 'lib/m', 'proc', 'sys', 'dev', 'newroot'):
        files.directory(name)
    files.file('bin/busybox', (rootfs / 'usr/bin/busybox').read_bytes(), 0o755)
    for name in _APPLETS:
        files.link(f'bin/{name}', 'busybox')
    modules = _with_dependencies(rootfs / 'usr/lib/modules' / kernel)
    for name, path in modules.items():
        files.file(f'lib/m/{name}.ko', _unpacked(path), 0o644)
    files.file('lib/order', ('\n'.join(modules) + '\n').encode(), 0o644)
    script = pathlib.Path(__file__).parent / 'inside' / 'initrd-init'
    files.file('init', script.read_bytes(), 0o755)
    target.write_bytes(gzip.compress(files.finish(), 1))


def _with_dependencies(base: pathlib.Path) -> dict[str, pathlib.Path]:
    """The modules to load, in an order in which each one's dependencies come first."""
    known: dict[str, tuple[pathlib.Path, list[str]]] = {}
    for row in (base / 'modules.dep').read_text().splitlines():
        path, _, needs = row.partition(':')
        known[_name(path)] = (base / path, [_name(need) for need in needs.split()])
    order: dict[str, pathlib.Path] = {}

    def add(name: str) -> None:
        if name in order or name not in known:  # not known: built into the kernel
            return
        path, needs = known[name]
        for need in reversed(needs):
            add(need)
        order[name] = path

    for name in recipe.INITRD_MODULES:
        add(name)
    return order


def _name(path: str) -> str:
    return path.rsplit('/', 1)[-1].split('.ko', maxsplit=1)[0]


def _unpacked(path: pathlib.Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == '.xz' else data


class _Archive:
    """A cpio archive in the 'newc' format (the kernel's buffer-format.rst describes it)."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._inode = 0

    def directory(self, name: str) -> None:
        self._add(name, stat.S_IFDIR | 0o755, b'')

    def link(self, name: str, to: str) -> None:
        self._add(name, stat.S_IFLNK | 0o777, to.encode())

    def file(self, name: str, data: bytes, mode: int) -> None:
        self._add(name, stat.S_IFREG | mode, data)

    def finish(self) -> bytes:
        self._add('TRAILER!!!', 0, b'')
        return b''.join(self._parts)

    def _add(self, name: str, mode: int, data: bytes) -> None:
        self._inode += 1
        label = name.encode() + b'\0'
        numbers = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(label), 0)
        head = b'070701' + b''.join(b'%08X' % number for number in numbers) + label
        self._parts += [_padded(head), _padded(data)]


def _padded(data: bytes) -> bytes:
    return data + b'\0' * (-len(data) % 4)
