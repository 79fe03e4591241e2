# SPDX-License-Identifier: Apache-2.0
"""A host with something of everything, as values; and what each format makes of it.

``python -m tests.unit.cmd.sample`` writes the files in ``golden`` anew: look at the difference
before it is committed, because programs read the JSON.
"""

import io
import json
import pathlib

from os_brick.cmd import listing, tree
from os_brick.cmd.output import Console, Table, rendered
from os_brick.cmd.output import Output as Result
from os_brick.model import inventory_document
from os_brick.model.inventory import Host, Link, Name, Path, Port, Unread, User, Volume

GOLDEN = pathlib.Path(__file__).parent / 'golden'
GOLD, SILVER = '8f0c2a4e-6d0b-4c31-9a55-3f0f5b0e7d11', '8f0c77aa-0000-4c31-9a55-3f0f5b0e7d12'
IQN, NQN = 'iqn.2026-11.org.lab:t1', 'nqn.2026-11.org.lab:s1'
WWID = '36001405e07e81c20cf5935f5225765f0'


def _disk(name: str, number: int, session: int, **more: object) -> Path:
    values: dict[str, object] = {
        'transport': 'iscsi',
        'address': f'{session - 61}:0:0:1',
        'state': 'running',
        'access': 'active/optimized',
        'target': IQN,
        'lun': 1,
        'remote': f'10.99.0.{session - 64}:3260',
        'local': 'default',
        'link': f'session{session}',
        'link_state': 'LOGGED_IN',
        'host': f'host{session - 61}',
        'size_bytes': 64 << 30,
        'identity': WWID,
    }
    return Path(name, number, **(values | more))  # type: ignore[arg-type]


HOST = Host(
    'compute-07',
    '2026-11-26T13:00:00+00:00',
    volumes=(
        Volume(
            *('dm-4', 40, 'multipath', 'iscsi', 64 << 30, WWID),
            names=(Name(GOLD, 'note', 'gold', since='2026-11-26T12:00:00+00:00'),),
            paths=(_disk('sdc', 41, 65), _disk('sdd', 42, 66)),
            users=(
                User('qemu', '4711', 'instance-0000002a'),
                User(
                    *('dm-crypt', 'crypt-gold', '', 'dm-9', 64 << 30),
                    (User('mount', '/srv/\x1b[31mred', 'ext4'),),
                ),
            ),
            wanted_paths=2,
            map_name='mpatha',
            target=IQN,
        ),
        Volume(
            *('sdf', 43, 'disk', 'fc', 200 << 30, '360060e8007e1f2000030e1f200000012'),
            names=(Name(SILVER, 'libvirt', 'instance-0000002f'),),
            paths=(
                Path(
                    *('sdf', 43, 'fc', '7:0:0:9', 'transport-offline'),
                    is_usable=False,
                    lun=9,
                    remote='50060e8010203041',
                    local='21000024ff0a1b2d',
                    link='rport-7:0-3',
                    link_state='Blocked',
                    host='host7',
                    size_bytes=200 << 30,
                    trouble='transport-offline, rport-7:0-3 Blocked',
                ),
            ),
        ),
        Volume(
            *('nvme2n3', 44, 'namespace', 'nvme-tcp', 10 << 30),
            identity='uuid.7c1e0cb4-3b8f-4a43-8d40-0123456789ab',
            paths=tuple(
                Path(
                    *(f'nvme2c{n}n3', 44 + n, 'tcp', '', 'live', access),
                    is_usable=not trouble,
                    target=NQN,
                    lun=3,
                    remote=f'10.99.0.{n}:4420',
                    link=f'nvme{n}',
                    link_state='live',
                    size_bytes=10 << 30,
                    trouble=trouble,
                )
                for n, access, trouble in (
                    (1, 'optimized', ''),
                    (2, 'inaccessible', 'inaccessible'),
                )
            ),
            target=NQN,
        ),
        Volume(
            *('10.0.0.9:/vol1', 0, 'share', 'nfs'),
            users=(User('mount', '/var/lib/nova/mnt/abc', 'nfs4'),),
        ),
    ),
    links=(
        Link('session65', 'iscsi', IQN, '10.99.0.1:3260', 'default', 'LOGGED_IN', 'host4', 50),
        Link('session66', 'iscsi', IQN, '10.99.0.2:3260', 'default', 'LOGGED_IN', 'host5', 51),
        Link('nvme1', 'tcp', NQN, '10.99.0.1:4420', '', 'live', '', 52),
        Link('nvme2', 'tcp', NQN, '10.99.0.2:4420', '', 'live', '', 53),
        Link(
            *('rport-7:0-3', 'fc', '50060e8010203040', '50060e8010203041'),
            *('21000024ff0a1b2d', 'Blocked', 'host7', 54),
        ),
    ),
    ports=(Port('host7', 'fc', '21000024ff0a1b2d', 'Online', '16 Gbit'),),
    unread=(Unread('which processes have devices open', 'needs root'),),
)


def console(*, is_unicode: bool = True, has_colour: bool = False) -> Console:
    return Console(io.StringIO(), io.StringIO(), is_unicode, has_colour)


class Options:
    """Options of no command line."""

    column = sort_column = None
    noindent = False

    def __init__(self, form: str | None) -> None:
        self.format = form


def golden() -> dict[str, str]:
    """The text of each golden file."""
    rows = Table(tree._COLUMNS, list(tree._rows(HOST)))
    document = inventory_document.of_host(HOST)
    whole = Result(document, rows)
    lines = Table(listing._COLUMNS, [listing._row(volume) for volume in HOST.volumes])
    short = Result({}, lines, shown=listing.SHOWN)
    return {
        'tree.txt': '\n'.join(tree.by_volume(HOST, console())),
        'sessions.txt': '\n'.join(tree.by_session(HOST, console())),
        'hosts.txt': '\n'.join(tree.by_host(HOST, console())),
        'ascii.txt': console(is_unicode=False).spelled('\n'.join(tree.by_volume(HOST, console()))),
        'tree.json': json.dumps(document, indent=2),
        'tree.yaml': rendered(whole, Options('yaml'), console()),
        'tree.csv': rendered(whole, Options('csv'), console()),
        'list.txt': rendered(short, Options('table'), console()),
        'list.value': rendered(short, Options('value'), console()),
    }


if __name__ == '__main__':
    for name, text in golden().items():
        (GOLDEN / name).write_text(f'{text}\n')
