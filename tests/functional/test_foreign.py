# SPDX-License-Identifier: Apache-2.0
"""Not our disks: sessions, mounts, LVs and mappings of others."""

import os
import pathlib
import struct
import subprocess

import pytest

from os_brick import exception
from tests.functional import lab, support


@pytest.fixture(params=[False, True], ids=['single', 'multipath'])
def held(request, shelf, multipathd):
    """A volume, attached with or without multipath: (connector, volume, props, info)."""
    if not request.param:
        multipathd(find_multipaths='strict')
    volume = support.stamped(shelf, 'held', 64)
    target = shelf.target('held', 2 if request.param else 1)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    connector = lab.bricks.ours(multipath=request.param)
    info = connector.connect_volume(props)
    if request.param:
        support.wait_disks(info['path'], 2)
    return connector, volume, props, info


def refused(held, holder):
    """The detach is refused, names the holder, and has taken nothing away."""
    connector, _volume, props, info = held
    disks = support.disks_of(info['path'])
    with pytest.raises(exception.VolumeInUse) as caught:
        connector.disconnect_volume(props, info)
    assert holder in str(caught.value)
    assert support.disks_of(info['path']) == disks
    assert support.session_count(props['target_iqn']) == len(disks)
    support.read(info['path'])


@pytest.mark.parametrize('multipath', [False, True])
def test_session_with_other_luns_stays(shelf, multipath):
    """A session with other LUNs stays."""
    one, two = support.stamped(shelf, 'one'), support.stamped(shelf, 'two')
    target = shelf.target('shared', 2)
    target.map(1, one)
    target.map(2, two)
    connector = lab.bricks.ours(multipath=multipath)
    first, second = (target.properties(lun, plural=True) for lun in (1, 2))
    info1, info2 = connector.connect_volume(first), connector.connect_volume(second)
    sessions = support.session_count(target.iqn)
    connector.disconnect_volume(first, info1)
    assert support.session_count(target.iqn) == sessions
    support.assert_is(info2['path'], two)
    connector.disconnect_volume(second, info2)


@pytest.mark.leaves('wwid')
def test_session_of_someone_else_with_a_lun_stays(shelf, single):
    """A session that was there before, with a disk of someone else, stays; and its record."""
    theirs, ours = support.stamped(shelf, 'theirs'), support.stamped(shelf, 'ours')
    target = shelf.target('elsewhere', 1)
    target.map(1, ours)
    target.map(2, theirs)
    props = target.properties(1)
    support.login(props)
    support.scan(target.iqn, 2)
    lab.shell.settle()
    info = single.connect_volume(props)
    single.disconnect_volume(props, info)
    assert support.session_count(target.iqn) == 1
    support.logout(props)


def test_mounted_file_system(held, tmp_path):
    """A disk with foreign holders (a mount) is not pulled without force, and the error names the
    holder; once it is let go the detach works and the data is there."""
    connector, _volume, props, info = held
    lab.shell.run('mkfs.ext4', '-q', '-F', info['path'])
    where = tmp_path / 'mounted'
    where.mkdir()
    lab.shell.run('mount', info['path'], str(where))
    try:
        (where / 'file').write_text('precious')
        refused(held, str(where))
        assert (where / 'file').read_text() == 'precious'
        (where / 'file').write_text('still writable')
    finally:
        lab.shell.run('umount', str(where))
    connector.disconnect_volume(props, info)


@pytest.mark.parametrize('layer', ['crypt'])
def test_dm_crypt(held, layer):
    """The same for dm-crypt."""
    connector, _volume, props, info = held
    key = ('--key-file', '/dev/zero', '--keyfile-size', '32')
    plain = ('--type', 'plain', '--cipher', 'aes-xts-plain64', '--key-size', '256')
    lab.shell.run('cryptsetup', 'open', *plain, *key, info['path'], 'labcrypt')
    try:
        refused(held, 'labcrypt')
    finally:
        lab.shell.run('cryptsetup', 'close', 'labcrypt')
    connector.disconnect_volume(props, info)


def lvm(path, program, *words):
    """Run a program of LVM that sees one device: the target's store has the same content."""
    devices = f'use_devicesfile=0 filter=["a|^{path}$|","r|.*|"] multipath_component_detection=0'
    config = f'devices {{ {devices} }} activation {{ udev_sync=0 udev_rules=0 }}'
    return lab.shell.run(program, '--config', config, *words)


def test_active_logical_volume(held):
    """The same for an active LV."""
    connector, _volume, props, info = held
    support.write(info['path'], bytes(support.BLOCK))
    lvm(info['path'], 'vgcreate', '-qq', 'labvg', info['path'])
    lvm(info['path'], 'lvcreate', '-qq', '-y', '-Zn', '-Wn', '-L', '8M', '-n', 'guest', 'labvg')
    try:
        refused(held, 'labvg-guest')
    finally:
        lvm(info['path'], 'vgchange', '-qq', '-an', 'labvg')
        # udev's rules activate it again when they hear of what vgchange has written.
        lab.shell.settle()
        lvm(info['path'], 'vgchange', '-qq', '-an', 'labvg')
    connector.disconnect_volume(props, info)


@pytest.mark.leaves('multipathd')
def test_active_logical_volume_is_not_the_map(shelf, single, multi, multipathd):
    """An auto-activated LV on the volume is never taken for the multipath map (look at the dm
    uuid)."""
    multipathd(find_multipaths='strict')
    volume = shelf.volume('guestlv', 64)
    target = shelf.target('guestlv', 1)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    info = single.connect_volume(props)
    lvm(info['path'], 'vgcreate', '-qq', 'labvg', info['path'])
    lvm(info['path'], 'lvcreate', '-qq', '-y', '-Zn', '-Wn', '-L', '8M', '-n', 'guest', 'labvg')
    try:
        again = multi.connect_volume(props)
        assert lab.shell.read(f'/sys/block/{support.node(again["path"])}/dm/name') != 'labvg-guest'
        assert again['scsi_wwn'] == volume.wwid
        assert support.disks_of(again['path']) == [support.node(info['path'])]
    finally:
        lvm(info['path'], 'vgchange', '-qq', '-an', 'labvg')
    multi.disconnect_volume(props, again)


def test_open_map_is_not_pulled(shelf, multi):
    """A map that a guest (here: a process) has open stays whole when the detach is refused."""
    volume = support.stamped(shelf, 'open')
    target = shelf.target('open', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    descriptor = os.open(info['path'], os.O_RDONLY)
    try:
        with pytest.raises(support.FAILURES) as caught:
            multi.disconnect_volume(props, info)
        assert not isinstance(caught.value, exception.ExceptionChainer)
        support.wait_disks(info['path'], 2)
        support.assert_is(info['path'], volume)
    finally:
        os.close(descriptor)
    multi.disconnect_volume(props, info)


def test_force_goes_past_a_holder(shelf, multi):
    """With force the detach does what can be done and then raises what went wrong; with
    ignore_errors it only says it. It comes back in either case, and the LUN can go."""
    volume = support.stamped(shelf, 'forced')
    target = shelf.target('forced', 1)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    descriptor = os.open(info['path'], os.O_RDONLY)
    with subprocess.Popen(['sleep', '60'], stdin=descriptor) as holder:
        os.close(descriptor)
        try:
            with support.Stopwatch() as watch, pytest.raises(exception.ExceptionChainer):
                multi.disconnect_volume(props, info, force=True)
            assert watch.seconds < 60
            multi.disconnect_volume(props, info, force=True, ignore_errors=True)
        finally:
            holder.kill()
    multi.disconnect_volume(props, info, force=True, ignore_errors=True)


def partition(volume, count):
    """Give a volume so many partitions of 1 MiB: a master boot record, in the array."""
    sectors = 2048
    entries = [
        struct.pack('<8B2I', 0, 0, 0, 0, 0x83, 0, 0, 0, sectors * (1 + number), sectors)
        for number in range(count)
    ]
    table = b''.join(entries).ljust(64, b'\0')
    volume.write(bytes(446) + table + b'\x55\xaa')


def test_partition_map_that_is_open(shelf, multi):
    """Someone has the map of a partition open: the detach is refused, and no map has gone."""
    volume = shelf.volume('parted', 32)
    partition(volume, 3)
    target = shelf.target('parted', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2)
    lab.shell.run('kpartx', '-a', '-s', support.mapper(volume.wwid))
    before = lab.oracle.maps()
    parts = sorted(pathlib.Path('/dev/mapper').glob(f'{volume.wwid}?*'))
    assert len(parts) == 3
    descriptor = os.open(parts[1], os.O_RDONLY)
    try:
        with pytest.raises(exception.VolumeInUse, match=parts[1].name):
            multi.disconnect_volume(props, info)
        assert lab.oracle.maps() == before
    finally:
        os.close(descriptor)
    multi.disconnect_volume(props, info)
