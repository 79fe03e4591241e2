# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of a device, in a line for people."""

import os
import pathlib

from tests.functional import lab, support

_SYS = pathlib.Path('/sys')


def described(disk: str) -> str:
    """``sda (2:0:0:1) by session 3 to 10.99.0.1:3260``."""
    address = os.path.basename(os.path.realpath(_SYS / 'block' / disk / 'device'))
    session = support.session_of(disk).removeprefix('session')
    connection = _SYS / 'class' / 'iscsi_connection' / f'connection{session}:0'
    host = lab.shell.read(connection / 'persistent_address')
    port = lab.shell.read(connection / 'persistent_port')
    return f'{disk} ({address}) by session {session} to {host}:{port}'


def map_of(path: str) -> str:
    """The multipath map with its disks and their states, or that there is none."""
    name = support.node(path)
    if not support.is_multipath(path):
        return 'none: the disk is used as it is'
    wwid = lab.shell.read(_SYS / 'block' / name / 'dm' / 'uuid').removeprefix('mpath-')
    states = lab.daemons.map_paths(wwid)
    disks = ' '.join(f'{disk}:{states.get(disk, "?")}' for disk in support.disks_of(path))
    return f'{name} over {disks}'


def sizes(path: str) -> str:
    """``sda 64 MiB, sdb 64 MiB, dm-0 64 MiB``."""
    names = dict.fromkeys([*support.disks_of(path), support.node(path)])
    return ', '.join(f'{name} {support.size(name) / (1 << 20):g} MiB' for name in names)
