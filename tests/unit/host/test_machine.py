# SPDX-License-Identifier: Apache-2.0
"""Who this host is: its files and its root file system before, and its names after."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick import exception
from os_brick.core import files
from os_brick.host import machine
from tests.unit.fakehost import tree as fake_tree

NQN = 'nqn.2014-08.org.nvmexpress:uuid:0e3f0f4c-8d0a-4c55-b4ff-3b60e9b1c1a2'
ID = '0e3f0f4c-8d0a-4c55-b4ff-3b60e9b1c1a2'
ROOT = 'c0ffee00-0000-4000-8000-000000000001'


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Iterator[fake_tree.Tree]:
    """A host whose disk sda has the file system ROOT, and sdb another one."""
    found = fake_tree.Tree(tmp_path)
    for name, number, uuid in (('sda', '8:0', ROOT), ('sdb', '8:16', 'beef-1234')):
        found.directory(f'/sys/class/block/{name}')
        found.file(f'/dev/{name}')
        found.link(f'/dev/block/{number}', f'/dev/{name}')
        found.link(f'/dev/disk/by-uuid/{uuid}', f'/dev/{name}')
    caches = (machine.root_file_system_uuid, machine.system_uuid)
    for each in caches:
        each.cache_clear()
    with files.use(str(tmp_path)):
        yield found
    for each in caches:
        each.cache_clear()


ROOTS = [
    ('by its name', '22 1 8:0 / / rw shared:1 - ext4 /dev/sda rw\n', ROOT),
    ('by its number', '22 1 8:0 / / rw - ext4 /dev/root rw\n', ROOT),
    ('btrfs has a number of its own', '22 1 0:20 /@ / rw - btrfs /dev/sda rw\n', ROOT),
    ('a name with a blank', '22 1 0:20 / / rw - btrfs /dev/my\\040root rw\n', ROOT),
    (
        'the later one hides the earlier',
        '22 1 8:16 / / rw - ext4 /dev/sdb rw\n23 22 8:0 / / rw - ext4 /dev/sda rw\n',
        ROOT,
    ),
    (
        'beside a place with an odd name',
        '22 1 8:0 / / rw - ext4 /dev/sda rw\n23 22 0:9 / /a\fb rw - tmpfs tmpfs rw\n',
        ROOT,
    ),
    ('a place called so by its end', '22 1 8:0 / /x rw - ext4 /dev/sda rw\n', None),
    ('of a container', '22 1 0:50 / / rw - overlay overlay rw\n', None),
    ('of no known UUID', '22 1 8:32 / / rw - ext4 /dev/sdc rw\n', None),
    ('an empty table', '', None),
]


@pytest.mark.parametrize(
    ('table', 'uuid'), [case[1:] for case in ROOTS], ids=[case[0] for case in ROOTS]
)
def test_the_root_file_system(tree: fake_tree.Tree, table: str, uuid: str | None) -> None:
    tree.link('/dev/my root', '/dev/sda')
    tree.file('/proc/self/mountinfo', table)
    assert machine.root_file_system_uuid() == uuid


def test_without_a_table_of_mounts_there_is_no_root(tree: fake_tree.Tree) -> None:
    assert machine.root_file_system_uuid() is None


@pytest.mark.parametrize('place', ['/usr/sbin/nvme', '/usr/bin/nvme', '/opt/nvme'])
def test_nvme_cli(tree: fake_tree.Tree, place: str) -> None:
    assert not machine.has_nvme_cli()
    tree.file(place)
    assert machine.has_nvme_cli() is place.startswith('/usr')


def test_names_that_are_there_are_read_and_stay(tree: fake_tree.Tree) -> None:
    tree.file('/etc/nvme/hostnqn', f'{NQN}\n')
    tree.file('/etc/nvme/hostid', f'{ID}\n')
    before = tree.snapshot()
    assert (machine.host_nqn(), machine.known_host_nqn(), machine.host_id()) == (NQN, NQN, ID)
    assert tree.snapshot() == before


@pytest.mark.parametrize(
    ('path', 'find'),
    [
        ('/etc/nvme/hostnqn', machine.host_nqn),
        ('/etc/nvme/hostnqn', machine.known_host_nqn),
        ('/etc/nvme/hostid', machine.host_id),
    ],
)
def test_a_file_with_something_else_is_an_error_that_names_it(
    tree: fake_tree.Tree, path: str, find: machine.Callable[[], str | None]
) -> None:
    tree.file(path, 'not,a=name\n')
    before = tree.snapshot()
    with pytest.raises(exception.BrickException, match=path):
        find()
    assert machine.or_none(find) is None
    assert tree.snapshot() == before


@pytest.mark.parametrize(
    ('told', 'uuid'),
    [
        ('4C4C4544-0042-3510-8051-B4C04F4E4D32', '4c4c4544-0042-3510-8051-b4c04f4e4d32'),
        ('Not Settable', ''),
        ('Not Present', ''),
        ('00000000-0000-0000-0000-000000000000', ''),
        ('FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF', ''),
        ('4C4C4544-0042-3510-8051', ''),
        ('', ''),
    ],
)
def test_what_is_not_the_machines_own_uuid_is_none(
    tree: fake_tree.Tree, told: str, uuid: str
) -> None:
    """A word that every such host has would name them all alike to an array."""
    tree.value('/sys/class/dmi/id/product_uuid', told)
    assert machine.system_uuid() == uuid
