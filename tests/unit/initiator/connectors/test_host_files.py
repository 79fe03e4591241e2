# SPDX-License-Identifier: Apache-2.0
"""Every file and directory of others that an operation meets, in every state a host has them in.

Each operation ends with its result or with an error of ours that names a path, and once the file is
as it should be, an attach and a detach leave nothing.
"""

from collections.abc import Callable, Iterator
import os
import pathlib
import shutil
from typing import Any

import pytest

from os_brick import exception
from os_brick.initiator import connector
from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

LOCKS = 'LOCKS'
# Whether it is a directory.
FILES = {
    '/etc/iscsi/initiatorname.iscsi': False,
    '/etc/iscsi': True,
    '/var/lib/iscsi': True,
    '/var/lib/iscsi/nodes': True,
    '/var/lib/iscsi/nodes/TARGET': True,
    '/var/lib/iscsi/nodes/TARGET/PORTAL': False,
    '/var/lib/iscsi/os-brick': True,
    '/var/lib/iscsi/send_targets': True,
    '/var/lib/iscsi/static': True,
    '/etc/multipath': True,
    '/etc/multipath/wwids': False,
    '/etc/nvme': True,
    '/etc/nvme/hostnqn': False,
    '/etc/nvme/hostid': False,
    LOCKS: True,
}


def _missing(path: pathlib.Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def _text(content: bytes) -> Callable[[pathlib.Path], None]:
    def put(path: pathlib.Path) -> None:
        before = path.read_bytes() if path.is_file() else b''
        _missing(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.replace(b'HALF', before[: len(before) // 2]))

    return put


def _with_line_ends(end: bytes) -> Callable[[pathlib.Path], None]:
    """Other ends of lines, or none at the end of the file."""

    def put(path: pathlib.Path) -> None:
        if path.is_file():
            text = path.read_bytes()
            path.write_bytes(text.replace(b'\n', end) if end else text.rstrip(b'\n'))

    return put


def _directory(path: pathlib.Path) -> None:
    _missing(path)
    (path / 'x/y').mkdir(parents=True)


def _dangling(path: pathlib.Path) -> None:
    _missing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to('nowhere')


def _link(path: pathlib.Path) -> None:
    if path.exists():
        real = path.with_name(f'{path.name}.real')
        path.rename(real)
        path.symlink_to(real)


OF_DIRECTORIES = {'missing', 'empty', 'directory', 'dangling link', 'link'}
STATES: dict[str, Callable[[pathlib.Path], None]] = {
    'missing': _missing,
    'empty': _text(b''),
    'cut': _text(b'HALF'),
    'NULs': _text(b'\0' * 4096),
    'CRLF': _with_line_ends(b'\r\n'),
    'no newline': _with_line_ends(b''),
    'not text': _text(b'\xff\xfe\x80'),
    'large': _text(b'#' * (2 << 20)),
    'directory': _directory,
    'dangling link': _dangling,
    'link': _link,
}


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[fake_host.Host]:
    with fake_host.Host(tmp_path) as found:
        yield found


class Case:
    """One host, one volume, and a file that is broken and mended."""

    def __init__(self, host: fake_host.Host, name: str) -> None:
        self.host = host
        self.target = host.target()
        self.target.luns[1] = array.Unit()
        portal = self.target.portals[0]
        name = name.replace('TARGET', self.target.iqn)
        name = name.replace('PORTAL', f'{portal.address},{portal.port}')
        self.path = host.place / 'locks' if name == LOCKS else host.tree.at(name)
        self.shown = str(self.path) if name == LOCKS else name
        self.props = self.target.properties()
        self.connector = iscsi.ISCSIConnector(None, use_multipath=True, enforce_multipath=True)

    def broken(self, state: str, act: Callable[[], Any]) -> Any:
        """What comes of an act while the file is in a state, after which it is as before."""
        kept = self.path.with_name('kept-by-the-test')
        if os.path.lexists(self.path):
            shutil.move(self.path, kept)
            if kept.is_dir():
                shutil.copytree(kept, self.path, symlinks=True)
            else:
                shutil.copy(kept, self.path)
        STATES[state](self.path)
        before = self.host.clock.monotonic()
        text = '/'
        try:
            return act()
        except exception.BrickException as error:
            text = str(error)
            return None
        finally:
            assert '/' in text, 'the error names no path'
            assert self.host.clock.monotonic() - before < 60
            _missing(self.path)
            _missing(self.path.with_name(f'{self.path.name}.real'))
            if os.path.lexists(kept):
                shutil.move(kept, self.path)


CASES = [
    (name, state)
    for name, is_directory in FILES.items()
    for state in STATES
    if not is_directory or state in OF_DIRECTORIES
]


@pytest.mark.parametrize(('name', 'state'), CASES)
def test_every_file_in_every_state(host: fake_host.Host, name: str, state: str) -> None:
    case = Case(host, name)
    found = case.broken(state, lambda: case.connector.connect_volume(case.props))
    if found is not None:
        case.connector.disconnect_volume(case.props, found, force=True, ignore_errors=True)
    properties = case.broken(
        state, lambda: connector.get_connector_properties(None, '10.0.0.1', True, False)
    )
    assert properties is not None
    info = case.connector.connect_volume(case.props)
    case.broken(state, lambda: case.connector.extend_volume(case.props))
    case.broken(state, lambda: case.connector.disconnect_volume(case.props, info))
    case.connector.disconnect_volume(case.props, info)
    assert not host.disks
    assert not host.sessions
