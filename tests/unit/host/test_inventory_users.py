# SPDX-License-Identifier: Apache-2.0
"""What uses a volume, at any distance."""

from os_brick.host import inventory
from os_brick.model.inventory import User, Volume
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost.fixtures import host as host  # noqa: PLC0414 the fixture


def attached(host: fake_host.Host) -> None:
    target = host.target()
    target.luns[1] = array.Unit()
    host.find_lun(host.log_in(target, target.portals[0]), 1)
    host.settle()


def only() -> Volume:
    [volume] = inventory.read().volumes
    return volume


def built(host: fake_host.Host, name: str, below: str, **values: str) -> None:
    """A block device over another one."""
    base = f'/sys/devices/virtual/block/{name}'
    host.tree.directory(f'{base}/holders')
    for key, value in {'size': '8', **values}.items():
        host.tree.value(f'{base}/{key.replace("_", "/", 1)}', value)
    host.tree.link(f'/sys/class/block/{name}', base)
    host.tree.link(f'/sys/class/block/{below}/holders/{name}', base)


def test_holders_by_the_kind_of_their_maker(host: fake_host.Host) -> None:
    attached(host)
    built(host, 'dm-7', 'sda', dm_uuid='CRYPT-LUKS2-abc', dm_name='crypt-gold')
    built(host, 'dm-8', 'dm-7', dm_uuid='LVM-abc', dm_name='vg-root')
    built(host, 'md127', 'dm-8', md_level='raid1', md_array_state='clean', md_raid_disks='2')
    [user] = only().users
    assert [(each.kind, each.name) for each in user.all()] == [
        ('dm-crypt', 'crypt-gold'),
        ('lvm', 'vg-root'),
        ('md', 'md127'),
    ]
    assert user.users[0].users[0].detail == 'raid1 2/2 clean'


def test_mounts_swap_space_and_loops(host: fake_host.Host) -> None:
    attached(host)
    number = host.disks['sda'].number
    host.tree.file('/proc/self/mountinfo', f'36 22 {number} / /mnt/x rw - ext4 /dev/sda rw\n')
    host.tree.file('/proc/swaps', 'Filename Type Size Used Priority\n/dev/sda partition 1 0 -2\n')
    base = '/sys/devices/virtual/block/loop0'
    host.tree.value(f'{base}/loop/backing_file', '/dev/sda')
    host.tree.link('/sys/class/block/loop0', base)
    assert [(user.kind, user.name) for user in only().users] == [
        ('mount', '/mnt/x'),
        ('swap', 'sda'),
        ('loop', 'loop0'),
    ]


def test_processes_that_have_it_open(host: fake_host.Host) -> None:
    attached(host)
    for number, name in (('4711', 'qemu-system-x86'), ('12', 'multipathd'), ('99', 'dd')):
        host.tree.file(f'/proc/{number}/comm', f'{name}\n')
        host.tree.link(f'/proc/{number}/fd/3', '/dev/sda')
    host.tree.file('/proc/4711/cmdline', '/usr/bin/qemu\0-name\0guest=instance-2a,debug=on\0')
    for number in ('4711', '12', '99'):
        # The kernel's links of descriptors are absolute.
        place = host.tree.at(f'/proc/{number}/fd/3')
        place.unlink()
        place.symlink_to('/dev/sda')
    assert sorted(only().users, key=lambda user: user.kind) == [
        User('process', '99', 'dd'),
        User('qemu', '4711', 'instance-2a'),
    ]
