# SPDX-License-Identifier: Apache-2.0
"""Block devices in sysfs, and who uses them."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick.core import files
from os_brick.host import block
from tests.unit.fakehost import tree as fake_tree


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Iterator[fake_tree.Tree]:
    """sda with one partition, dm-0 and md0."""
    found = fake_tree.Tree(tmp_path)
    base = '/sys/devices/platform/host3/session1/target3:0:0/3:0:0:1/block/sda'
    for path, number in ((base, '8:0'), (f'{base}/sda1', '8:1')):
        name = path.rpartition('/')[2]
        found.directory(f'{path}/holders')
        found.directory(f'{path}/slaves')
        found.value(f'{path}/dev', number)
        found.value(f'{path}/size', 2048)
        found.link(f'/sys/class/block/{name}', path)
        found.file(f'/dev/{name}')
    found.value(f'{base}/sda1/partition', 1)
    found.link('/sys/block/sda', base)
    for name, uuid in (
        ('dm-0', 'mpath-36001'),
        ('dm-1', 'LVM-x'),
        ('dm-2', 'CRYPT-x'),
        ('dm-3', 'other'),
        ('md0', ''),
    ):
        found.directory(f'/sys/devices/virtual/block/{name}/holders')
        if uuid:
            found.value(f'/sys/devices/virtual/block/{name}/dm/uuid', uuid)
            found.value(f'/sys/devices/virtual/block/{name}/dm/name', f'name-{name}')
        found.link(f'/sys/class/block/{name}', f'/sys/devices/virtual/block/{name}')
        found.file(f'/dev/{name}')
    found.link('/dev/mapper/mpatha', '/dev/dm-0')
    with files.use(str(tmp_path)):
        yield found


def test_sizes_and_numbers(tree: fake_tree.Tree) -> None:
    assert block.size_bytes('sda') == 1 << 20
    assert block.size_bytes('sdz') == 0
    assert block.number('sda1') == '8:1'
    assert block.number('sdz') == ''
    assert block.exists('sda')
    assert not block.exists('sdz')
    assert block.partitions('sda') == ['sda1']
    assert block.partitions('sdz') == []


@pytest.mark.parametrize(
    ('path', 'name'),
    [
        ('/dev/sda', 'sda'),
        ('/dev/mapper/mpatha', 'dm-0'),
        ('/dev/sda1', 'sda1'),
        ('/dev/sdz', None),
        ('/dev/mapper/none', None),
        ('/dev', None),
        ('/', None),
        ('', None),
    ],
)
def test_names(tree: fake_tree.Tree, path: str, name: str | None) -> None:
    assert block.name_of(path) == name


@pytest.mark.parametrize(
    ('holder', 'words'),
    [
        ('dm-0', 'multipath map name-dm-0 (dm-0)'),
        ('dm-1', 'active logical volume name-dm-1 (dm-1)'),
        ('dm-2', 'dm-crypt device name-dm-2 (dm-2)'),
        ('dm-3', 'device-mapper device name-dm-3 (dm-3)'),
        ('md0', 'md0'),
    ],
)
@pytest.mark.parametrize('device', ['sda', 'sda1'])
def test_holders_are_named(tree: fake_tree.Tree, device: str, holder: str, words: str) -> None:
    assert block.users('sda') == []
    tree.link(f'/sys/class/block/{device}/holders/{holder}', f'/sys/class/block/{holder}')
    assert block.users('sda') == [words]
    assert block.users('sda', frozenset({holder})) == []


# Linux 6.12, /proc/PID/mountinfo; btrfs has a number of its own, a bind mount is a mount as well.
MOUNTS = {
    'of the disk': '36 25 8:0 / /srv rw,relatime shared:1 - ext4 /dev/sda rw\n',
    'of a partition': '36 25 8:1 / /srv rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw\n',
    'btrfs': '36 25 0:40 / /srv rw,relatime shared:1 - btrfs /dev/sda rw\n',
    'without tags': '36 25 8:0 / /srv rw,relatime - ext4 /dev/sda rw\n',
    'bind': '36 25 8:0 /a /srv rw,relatime - ext4 /dev/sda rw\n',
}


@pytest.mark.parametrize('line', MOUNTS.values(), ids=MOUNTS)
@pytest.mark.parametrize('process', ['1', 'self'])
def test_mounts_are_named(tree: fake_tree.Tree, process: str, line: str) -> None:
    tree.file(
        f'/proc/{process}/mountinfo', f'22 1 253:0 / / rw - xfs /dev/mapper/mpatha rw\n{line}'
    )
    assert block.users('sda') == ['mount on /srv']
    assert block.users('dm-0') == ['mount on /']


# fs/proc_namespace.c escapes blank, tab, newline and backslash; whatever else ends a line for
# Python stands in the table as it is.
@pytest.mark.parametrize('odd', ['\f', '\r', '\v', '\x1c', '\x85', '\u2028'])
def test_a_place_with_an_odd_name_hides_no_mount(tree: fake_tree.Tree, odd: str) -> None:
    other = f'35 25 0:9 / /srv/a{odd}b rw shared:1 - tmpfs tmpfs rw\n'
    own = f'36 25 8:0 / /srv/my\\040{odd}disk rw - ext4 /dev/sda rw\n'
    tree.file('/proc/self/mountinfo', f'{other}{own}')
    assert block.users('sda') == [f'mount on /srv/my {odd}disk']


def test_a_mount_of_a_device_with_an_odd_name(tree: fake_tree.Tree) -> None:
    """btrfs shows no number of its device, and udev writes a blank in a map's name as ``\\x20``."""
    tree.link('/dev/mapper/my\\x20map', '/dev/dm-2')
    line = '36 25 0:40 / /srv rw shared:1 - btrfs /dev/mapper/my\\134x20map rw\n'
    tree.file('/proc/1/mountinfo', line)
    assert block.users('dm-2') == ['mount on /srv']


def test_a_mount_is_named_once(tree: fake_tree.Tree) -> None:
    for process in ('1', 'self'):
        tree.file(f'/proc/{process}/mountinfo', MOUNTS['of the disk'])
    assert block.users('sda') == ['mount on /srv']


def test_a_loop_device_is_named(tree: fake_tree.Tree) -> None:
    tree.value('/sys/block/loop3/loop/backing_file', '/dev/sda1')
    tree.value('/sys/block/loop4/loop/backing_file', '/srv/sda1')
    tree.directory('/sys/block/loop5')
    assert block.users('sda') == ['loop device loop3']
    assert block.users('dm-0') == []


def test_a_holder_is_named_by_its_name(tree: fake_tree.Tree) -> None:
    """A map made by hand has no UUID; an array is not a map."""
    tree.value('/sys/class/block/dm-3/dm/uuid', '')
    for holder in ('dm-3', 'md0'):
        tree.link(f'/sys/class/block/sda/holders/{holder}', f'/sys/class/block/{holder}')
    assert block.users('sda') == ['device-mapper device name-dm-3 (dm-3)', 'md0']


def test_swap_is_named(tree: fake_tree.Tree) -> None:
    tree.file('/proc/swaps', 'Filename\tType\tSize\tUsed\tPriority\n/dev/sda1 partition 1 0 -2\n')
    assert block.users('sda') == ['swap space sda1']
