# SPDX-License-Identifier: Apache-2.0
"""Servers of remote file systems, mount and umount, and the kernel's table of mounts.

The messages and exit codes are those of mount.nfs (nfs-utils 2.8.3) and umount (util-linux 2.41) as
the guest gave them; a path below a share whose server is away hangs, and one of a handle that the
server does not know any more ends in ESTALE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import errno
import os
import pathlib
import shutil
from typing import Any, Self

from oslo_config import cfg

from os_brick.core import clock, files, net, process
from os_brick.model import mounts as model
from tests.unit import seams
from tests.unit.fakehost import tree as fake_tree

ROOT = '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw'
TABLE = '/proc/self/mountinfo'
_FIRST = 40


@dataclasses.dataclass
class Server:
    """One server; ``versions`` are those it serves, ``exports`` has the files of each path."""

    exports: dict[str, dict[str, bytes]]
    versions: tuple[str, ...] = ('3', '4.0', '4.1', '4.2')
    is_away: bool = False
    is_stopped: bool = False
    denies: bool = False


def _escaped(text: str) -> str:
    return ''.join(f'\\{ord(char):03o}' if char in ' \t\n\\' else char for char in text)


class Shares:
    """A host, and the servers that it can reach by their names."""

    def __init__(self, tmp_path: pathlib.Path) -> None:
        self.tree = fake_tree.Tree(tmp_path / 'root')
        self.locks = tmp_path / 'locks'
        self.servers: dict[str, Server] = {}
        self.mounts: list[model.Mount] = []
        self.stale: set[int] = set()
        self.busy: set[int] = set()
        self.started: list[str] = []
        self.credentials: list[str] = []
        self.stdin: list[Any] = []
        self.connected: list[tuple[str, int]] = []
        self.clock = seams.Clock()
        self.before: Callable[[tuple[str, ...]], None] = lambda _argv: None
        self.after: Callable[[tuple[str, ...]], None] = lambda _argv: None
        self._next = _FIRST
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for place in ('/run', '/tmp', '/var/lib', '/proc/self', '/mnt'):
            self.tree.directory(place)
        self.locks.mkdir()
        self._show()
        cfg.CONF.set_override('lock_path', str(self.locks), group='os_brick')
        self._stack.callback(cfg.CONF.clear_override, 'lock_path', group='os_brick')
        for seam in (
            files.use(str(self.tree.root)),
            process.use(self),
            clock.use(self.clock),
            net.use(self),
        ):
            self._stack.enter_context(seam)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def server(self, name: str, *exports: str, **keywords: Any) -> Server:
        found = {export: {'volume-1': b'data'} for export in exports}
        self.servers[name] = Server(found, **keywords)
        return self.servers[name]

    # The table of mounts.

    def mount(
        self, source: str, place: str, kind: str = 'nfs4', options: str = 'rw'
    ) -> model.Mount:
        """Mount something, as an operator does."""
        below = model.at(self.mounts, place)
        parent = below.number if below else self._parent(place)
        self._next += 1
        found = model.Mount(
            *(self._next, parent, f'0:{self._next}', '/', place, ('rw', 'relatime'), kind, source),
            tuple(options.split(',')),
        )
        self.mounts.append(found)
        self.tree.directory(place)
        for name, data in self._content(source).items():
            self.tree.file(f'{place}/{name}', data)
        self._show()
        return found

    def _parent(self, place: str) -> int:
        above = [each for each in self.mounts if place.startswith(f'{each.place}/')]
        return above[-1].number if above else 22

    def unmount(self, number: int) -> None:
        """Take a mount away, as an operator does."""
        gone = next(each for each in self.mounts if each.number == number)
        self.mounts.remove(gone)
        if not any(each.place == gone.place for each in self.mounts):
            place = self.tree.at(gone.place)
            for each in place.iterdir():
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        self._show()

    def _show(self) -> None:
        lines = [ROOT]
        for each in self.mounts:
            lines.append(
                f'{each.number} {each.parent} {each.device} {each.root} {_escaped(each.place)} '
                f'{",".join(each.options)} shared:9 - {each.kind} {_escaped(each.source)} '
                f'{",".join(each.super_options)}'
            )
        self.tree.file(TABLE, '\n'.join(lines) + '\n')

    def _content(self, source: str) -> dict[str, bytes]:
        name, _, path = source.partition(':')
        server = self.servers.get(name)
        return server.exports.get(_normal(path), {}) if server else {}

    # The network.

    def lookup(self, name: str) -> tuple[str, ...]:
        if name in self.servers:
            return (name,)
        raise OSError(-2, 'Name or service not known')

    def connect(self, address: str, port: int, seconds: float, source: str) -> None:
        self.connected.append((address, port))
        name = f'[{address}]' if ':' in address else address
        server = self.servers.get(name)
        if server is None or server.is_away:
            self.clock.sleep(seconds)
            raise TimeoutError('timed out')
        if server.is_stopped or port not in (2049, 111):
            raise ConnectionRefusedError(111, 'Connection refused')

    # Programs and children.

    def isolated(self, call: Callable[[], Any], timeout: float) -> Any:
        path = str(getattr(call, 'args', ('',))[0])
        for found in reversed(self.mounts):
            if path == found.place or path.startswith(f'{found.place}/'):
                server = self.servers.get(found.source.partition(':')[0])
                if server is not None and server.is_away:
                    self.clock.sleep(timeout)
                    raise TimeoutError
                if found.number in self.stale:
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
                break
        return call()

    def run(self, argv: tuple[str, ...], **keywords: Any) -> process.Result:
        self.started.append(' '.join(argv))
        self.stdin.append(keywords.get('stdin'))
        self.before(argv)
        code, text = self._answer(argv, keywords.get('timeout'))
        self.after(argv)
        return process.Result(argv, code, '', text)

    def _answer(self, argv: tuple[str, ...], timeout: float | None) -> tuple[int, str]:
        program = argv[0]
        if program == 'mount':
            return self._mount(argv, timeout)
        if program == 'umount':
            return self._umount(argv)
        if program == 'pstorage':
            return 0, ''
        if program == 'pstorage-mount':
            self.mount(f'pstorage://{argv[2]}', argv[-1], 'fuse.pstorage')
            return 0, ''
        raise FileNotFoundError(2, f'No such file or directory: {program}')

    def execute(self, *argv: str, **keywords: Any) -> tuple[str, str]:
        """The callable of a caller, as oslo.concurrency's."""
        from oslo_concurrency import processutils

        assert keywords.pop('run_as_root') is True
        assert keywords.pop('root_helper') == 'sudo helper'
        if argv[0] in ('cp', 'chown'):
            self.started.append(' '.join(argv))
            if argv[:2] == ('cp', '-rf'):
                shutil.copytree(self.tree.at(argv[2]), self.tree.at(argv[3]))
            elif argv[:2] == ('cp', '-f'):
                shutil.copy(self.tree.at(argv[2]), self.tree.at(argv[3]))
            return '', ''
        done = self.run(argv, timeout=None, stdin=keywords.pop('process_input', None))
        assert not keywords
        if done.exit_code:
            raise processutils.ProcessExecutionError(
                stderr=done.stderr, exit_code=done.exit_code, cmd=' '.join(argv)
            )
        return '', ''

    def _mount(self, argv: tuple[str, ...], timeout: float | None) -> tuple[int, str]:
        words = list(argv[1:])
        kind, options = '', ''
        while words[0].startswith('-'):
            flag, value = words.pop(0), words.pop(0)
            kind, options = (value, options) if flag == '-t' else (kind, value)
        source, place = words
        for option in options.split(','):
            name, _, value = option.partition('=')
            if name == 'credentials':
                file = self.tree.at(value)
                assert file.stat().st_mode & 0o77 == file.parent.stat().st_mode & 0o77 == 0
                self.credentials.append(file.read_text())
        if not self.tree.at(place).is_dir():
            return 32, f'mount: {place}: mount point does not exist.'
        if kind != 'nfs':
            self.mount(source, place, {'glusterfs': 'fuse.glusterfs'}.get(kind, kind), options)
            return 0, ''
        return self._mount_nfs(source, place, options, timeout)

    def _mount_nfs(
        self, source: str, place: str, options: str, timeout: float | None
    ) -> tuple[int, str]:
        name, path = source.rpartition(':/')[0], f'/{source.rpartition(":/")[2]}'
        server = self.servers[name]
        if server.is_away:
            self.clock.sleep(timeout or 1e9)
            raise process.TimeLimit(stderr='')
        if server.is_stopped:
            return 32, f'mount.nfs: Connection refused for {source} on {place}'
        if server.denies:
            return 32, f'mount.nfs: access denied by server while mounting {source}'
        version = _version(options) or max(server.versions)
        if version not in server.versions:
            return 32, f'mount.nfs: Protocol not supported for {source} on {place}'
        if _normal(path) not in server.exports:
            return 32, (
                f'mount.nfs: mounting {source} failed, reason given by server: '
                'No such file or directory'
            )
        found = model.at(self.mounts, place)
        shown = f'{name}:{_normal(path)}'
        if found is not None and found.source == shown:
            return 32, f'mount.nfs: {place} is busy or already mounted or sharecache fail'
        kind = 'nfs' if version == '3' else 'nfs4'
        self.mount(shown, place, kind, f'rw,vers={version}')
        return 0, ''

    def _umount(self, argv: tuple[str, ...]) -> tuple[int, str]:
        assert argv[1:3] == ('-i', '-c')
        found = model.at(self.mounts, argv[3])
        if found is None:
            return 32, f'umount: {argv[3]}: not mounted.'
        if found.number in self.busy:
            return 32, f'umount: {argv[3]}: target is busy.'
        self.unmount(found.number)
        return 0, ''


def _normal(path: str) -> str:
    return '/' + '/'.join(part for part in path.split('/') if part)


def _version(options: str) -> str:
    values = dict(option.partition('=')[::2] for option in options.split(','))
    major = values.get('vers') or values.get('nfsvers') or ''
    minor = values.get('minorversion')
    return f'{major}.{minor}' if minor else major


@contextlib.contextmanager
def host(tmp_path: pathlib.Path) -> Iterator[Shares]:
    with Shares(tmp_path) as found:
        yield found
