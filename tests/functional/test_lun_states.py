# SPDX-License-Identifier: Apache-2.0
"""Names that change, ports without capacity, reservations, and devices that are in the place."""

import pathlib
import time

import pytest

from tests.functional import lab, support

EITHER = pytest.mark.parametrize('multipath', [False, True])
UNAVAILABLE, OPTIMIZED = 3, 0
MEBI = lab.lio.MEBI


def rename(target, volume, name):
    """The array renames a volume: LIO's T10 name has its product in it, which can only be written
    while nothing is mapped. The initiator is not told."""
    for group in target.groups:
        group._unlink(group.root / 'lun' / 'lun_1')
    lab.shell.write(volume.store / 'wwn' / 'product_id', name)
    for group in target.groups:
        group.map(1, volume)


@EITHER
def test_a_volume_that_is_renamed_at_the_array(shelf, multipath):
    """Its registered name stays: no disk is replaced, extend works, and detach flushes."""
    volume = support.stamped(shelf, 'before')
    target = shelf.target('renamed', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    connector = lab.bricks.ours(multipath=multipath)
    info = connector.connect_volume(props)
    disks = support.disks()
    rename(target, volume, 'after')
    assert connector.connect_volume(props) == info
    assert support.disks() == disks
    bigger = volume.grow(64)
    assert connector.extend_volume(props) == bigger
    support.assert_is(info['path'], volume)
    connector.disconnect_volume(props, info)


@EITHER
@pytest.mark.parametrize('bad', [0, 1])
def test_a_port_that_is_unavailable(shelf, multipath, bad):
    """INQUIRY works there and READ CAPACITY does not: never a disk of 0 bytes, and no delay."""
    volume = support.stamped(shelf, 'alua')
    target = shelf.target('alua', 2, apart=True)
    target.map(1, volume)
    groups = [volume.port_group(group, 1) for group in target.groups]
    lab.shell.write(groups[bad] / 'alua_access_state', UNAVAILABLE)
    props = target.properties(1, plural=True)
    connector = lab.bricks.ours(multipath=multipath)
    begun = time.monotonic()
    info = connector.connect_volume(props)
    assert time.monotonic() - begun < 25
    assert support.size(info['path']) == 32 * MEBI
    support.assert_is(info['path'], volume)
    bigger = volume.grow(64)
    assert connector.extend_volume(props) == bigger
    if multipath:
        lab.shell.write(groups[bad] / 'alua_access_state', OPTIMIZED)
        lab.shell.until(lambda: len(support.disks_of(info['path'])) == 2, 60, 'the other path')
    connector.disconnect_volume(props, info)


@pytest.fixture
def other_host():
    """An interface record with an initiator name of its own: another host."""
    lab.shell.run('iscsiadm', '-m', 'iface', '-I', 'other', '--op', 'new')
    for name, value in (
        ('iface.transport_name', 'tcp'),
        ('iface.initiatorname', 'iqn.2026-11.org.lab:other'),
    ):
        update = ('--op', 'update', '-n', name, '-v', value)
        lab.shell.run('iscsiadm', '-m', 'iface', '-I', 'other', *update)
    yield 'other'
    lab.shell.run('iscsiadm', '-m', 'iface', '-I', 'other', '--op', 'delete')


def reserve(props, iface):
    """Reserve a volume for exclusive access through another initiator, which then leaves."""
    node = ('iscsiadm', '-m', 'node', '-T', props['target_iqn'], '-p', props['target_portal'])
    node = (*node, '-I', iface)
    before = support.disks()
    # LIO refuses to register anyone where it cannot write its file of registrations.
    state = pathlib.Path(lab.shell.read(lab.lio.ROOT / 'dbroot')) / 'pr'
    state.mkdir(parents=True, exist_ok=True)
    lab.shell.run(*node, '--op', 'new')
    lab.shell.run(*node, '--op', 'update', '-n', 'node.session.scan', '-v', 'manual')
    lab.shell.run(*node, '--login')
    support.scan(props['target_iqn'], 1)
    lab.shell.until(lambda: set(support.disks()) - set(before), 10, 'a disk')
    (disk,) = set(support.disks()) - set(before)
    lab.shell.settle()
    path = f'/dev/{disk}'
    lab.shell.run('sg_persist', '--out', '--register', '--param-sark=0xabc', path)
    lab.shell.run('sg_persist', '--out', '--reserve', '--param-rk=0xabc', '--prout-type=3', path)
    lab.shell.run(*node, '--logout')
    lab.shell.run(*node, '--op', 'delete')
    lab.shell.settle()


@EITHER
def test_a_volume_that_another_host_has_reserved(shelf, multipath, other_host):
    """It is the right one, says INQUIRY; that it cannot be read is the device's own answer."""
    volume = support.stamped(shelf, 'reserved')
    target = shelf.target('reserved', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    reserve(props, other_host)
    connector = lab.bricks.ours(multipath=multipath)
    begun = time.monotonic()
    info = connector.connect_volume(props)
    assert time.monotonic() - begun < 25
    assert info['scsi_wwn'] == volume.wwid
    with pytest.raises(OSError, match='Invalid exchange'):
        support.read(info['path'])
    connector.disconnect_volume(props, info)


@EITHER
@pytest.mark.parametrize('how', ['offline', 'without a driver'])
def test_what_stands_in_the_volumes_place(shelf, multipath, how):
    """A disk that was taken offline is set running; one without its driver is scanned anew."""
    volume = support.stamped(shelf, 'place')
    target = shelf.target('place', 1)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    before = support.disks()
    support.login(props)
    support.scan(target.iqn, 1)
    lab.shell.until(lambda: set(support.disks()) - set(before), 10, 'a disk')
    (disk,) = set(support.disks()) - set(before)
    lab.shell.settle()
    device = (support.SYS / 'block' / disk / 'device').resolve()
    if how == 'offline':
        lab.shell.write(device / 'state', 'offline\n')
    else:
        lab.shell.write(support.SYS / 'bus/scsi/drivers/sd/unbind', device.name)
    connector = lab.bricks.ours(multipath=multipath)
    info = connector.connect_volume(props)
    support.assert_is(info['path'], volume)
    connector.disconnect_volume(props, info)
    support.logout(props)
