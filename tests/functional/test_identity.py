# SPDX-License-Identifier: Apache-2.0
"""Never the wrong volume."""

import os

import pytest

from os_brick import exception
from tests.functional import lab, support


def attach_new_or_refuse(connector, props, old, new):
    """Attach; either it is the new volume, or the error has both identities. Never the old."""
    try:
        info = connector.connect_volume(props)
    except exception.BrickException as error:
        named = {wwid for wwid in (old.wwid, new.wwid) if wwid in str(error)}
    else:
        assert info['scsi_wwn'] == new.wwid
        support.assert_is(info['path'], new)
        return info
    assert named == {old.wwid, new.wwid}, 'the error must have both identities'
    return None


@pytest.mark.parametrize('portals', [1, 2])
@pytest.mark.parametrize('multipath', [False, True])
def test_remapped_lun_that_was_never_detached(shelf, multipath, portals):
    """The array maps another volume to a LUN that the host still has a disk for (no one
    detached): attach returns the new volume's identity and data, or a clear error, never the old
    disk with the old WWID. A stale disk is removed, the LUN scanned again and verified again."""
    old, new = support.stamped(shelf, 'old'), support.stamped(shelf, 'new')
    target = shelf.target('remap', portals)
    target.map(1, old)
    props = target.properties(1, plural=True)
    connector = lab.bricks.ours(multipath=multipath)
    first = connector.connect_volume(props)
    assert first['scsi_wwn'] == old.wwid
    target.remap(1, new)
    info = attach_new_or_refuse(connector, props, old, new)
    assert info is not None, 'nothing used the stale disk: it should have been repaired'
    connector.disconnect_volume(props, info)


def test_remapped_lun_after_a_restart(shelf, multi, clean_host):
    """The same with a disk that this process has never seen: scanned by someone, remapped."""
    old, new = support.stamped(shelf, 'before'), support.stamped(shelf, 'after')
    target = shelf.target('restart', 1)
    target.map(1, old)
    props = target.properties(1, plural=True)
    support.login(props)
    support.scan(target.iqn, 1)
    lab.shell.until(lambda: len(support.disks()) > len(clean_host['disk']), 10, 'a disk')
    lab.shell.settle()
    target.remap(1, new)
    info = attach_new_or_refuse(multi, props, old, new)
    assert info is not None
    multi.disconnect_volume(props, info)
    support.logout(props)


def test_multipathd_believes_the_new_identity(shelf, multi):
    """multipathd needs a `change` event to believe it too: its new map has every path, and the
    old map is gone."""
    old, new = support.stamped(shelf, 'mpold'), support.stamped(shelf, 'mpnew')
    target = shelf.target('believe', 2)
    target.map(1, old)
    props = target.properties(1, plural=True)
    first = multi.connect_volume(props)
    support.wait_disks(first['path'], 2)
    target.remap(1, new)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2)
    assert len(lab.daemons.map_paths(new.wwid)) == 2
    assert lab.daemons.map_paths(old.wwid) == {}
    assert not any(old.wwid in line for line in lab.oracle.maps())
    multi.disconnect_volume(props, info)


@pytest.fixture
def rescanned(shelf, multi):
    """A volume attached, its LUN given to another, and the kernel told: (props, info, new)."""
    old, new = support.stamped(shelf, 'rold'), support.stamped(shelf, 'rnew')
    target = shelf.target('rescanned', 2)
    target.map(1, old)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2)
    target.remap(1, new)
    support.rescan(support.disks_of(info['path']))
    return props, info, new


def test_remapped_lun_that_was_rescanned(rescanned, multi):
    """The kernel believes the new volume, the old one's map is still there: the new volume gets
    a map of its own."""
    props, old, new = rescanned
    info = multi.connect_volume(props)
    assert info['scsi_wwn'] == info['multipath_id'] == new.wwid
    support.assert_is(info['path'], new)
    support.wait_disks(info['path'], 2)
    assert not any(old['scsi_wwn'] in line for line in lab.oracle.maps())
    multi.disconnect_volume(props, info)


@pytest.mark.parametrize('knows', [True, False])
def test_detach_after_a_rescan(rescanned, multi, knows):
    """The old volume is detached: its map and its disks go, and nothing is written to the new."""
    props, old, new = rescanned
    content = new.read(new.size)
    with pytest.raises(exception.VolumeIdentityMismatch):
        multi.extend_volume({**props, 'device_path': old['path']})
    multi.disconnect_volume(props, old if knows else None)
    assert new.read(new.size) == content


def test_single_path_after_a_rescan(rescanned, single, multi):
    """Without multipath the new volume is not a disk below the old map."""
    props, old, new = rescanned
    info = single.connect_volume(props)
    assert info['scsi_wwn'] == new.wwid
    assert old['scsi_wwn'] not in str(lab.oracle.maps()) or len(support.disks_of(old['path'])) == 1
    support.assert_is(info['path'], new)
    single.disconnect_volume(props, info)
    multi.disconnect_volume(props, old)


def test_map_in_use_after_a_rescan(rescanned, multi):
    """Someone has the old map open: an error with both identities, and nothing is touched."""
    props, old, new = rescanned
    descriptor = os.open(old['path'], os.O_RDONLY)
    try:
        with pytest.raises(exception.VolumeIdentityMismatch) as caught:
            multi.connect_volume(props)
        with pytest.raises(exception.VolumeInUse):
            multi.disconnect_volume(props, old)
        assert len(support.disks_of(old['path'])) == 2
    finally:
        os.close(descriptor)
    for wwid in (old['scsi_wwn'], new.wwid):
        assert wwid in str(caught.value)
    multi.disconnect_volume(props, old)


def test_multipathd_takes_another_attribute_for_the_wwid(shelf, multi, multipathd):
    """``multipath.conf`` may name one: the map is the volume's all the same, and goes."""
    multipathd(uid_attribute='SCSI_IDENT_SERIAL')
    volume = support.stamped(shelf, 'another-name')
    target = shelf.target('attribute', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    for known in (True, False):
        info = multi.connect_volume(props)
        assert support.is_multipath(info['path'])
        assert info['scsi_wwn'] == volume.wwid
        assert volume.wwid not in str(lab.oracle.maps())
        support.wait_disks(info['path'], 2)
        assert multi.connect_volume(props) == info
        assert multi.extend_volume(props) == volume.size
        multi.disconnect_volume(props, info if known else None)


@pytest.fixture(params=['iscsi', 'fc'])
def served(request, shelf):
    """Where volumes are mapped, a connector for multipath, its properties of a LUN; how many paths
    there are."""
    if request.param == 'iscsi':
        target = shelf.target('served', 2)
        connector = lab.bricks.ours(multipath=True)
        return target, connector, lambda n: target.properties(n, plural=True), 2
    fabric = request.getfixturevalue('fabric')
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=True)
    return fabric, connector, fabric.properties, len(fabric.initiators) * len(fabric.targets)


@pytest.mark.parametrize('is_rescanned', [False, True])
def test_volume_that_has_moved_to_another_lun(shelf, served, is_rescanned):
    """No one detached it, and its old LUN is another volume now: no old disk is below its map, and
    no write reaches the other volume."""
    array, connector, properties, paths = served
    moved, intruder = support.stamped(shelf, 'moved'), support.stamped(shelf, 'intruder')
    array.map(2, moved)
    first = connector.connect_volume(properties(2))
    support.wait_disks(first['path'], paths)
    stale = support.disks_of(first['path'])
    array.remap(2, intruder)
    array.map(1, moved)
    if is_rescanned:
        support.rescan(stale)
    before = intruder.read(intruder.size)
    info = connector.connect_volume({**properties(1), 'expected_wwid': moved.wwid})
    assert info['scsi_wwn'] == moved.wwid
    support.wait_disks(info['path'], paths)
    for number in range(20):
        support.assert_is(info['path'], moved)
        support.write(info['path'], bytes([number]) * support.BLOCK, (2 + number) << 20)
    assert intruder.read(intruder.size) == before
    for disk in support.disks_of(info['path']):
        assert support.read(f'/dev/{disk}').startswith(b'moved')
    other = connector.connect_volume(properties(2))
    support.assert_is(other['path'], intruder)
    connector.disconnect_volume(properties(2), other)
    connector.disconnect_volume(properties(1), info)


def test_one_disk_is_still_below_the_old_map(shelf, served, multipathd):
    """All disks of the LUN but one have left the old map, which someone has open: no attach of
    the new volume without the one, and no detach; afterwards everything goes."""
    array, connector, properties, paths = served
    multipathd(find_multipaths='strict', no_path_retry='queue')
    old, new = support.stamped(shelf, 'oldest'), support.stamped(shelf, 'newest', 40)
    array.map(1, old)
    props = properties(1)
    first = connector.connect_volume(props)
    support.wait_disks(first['path'], paths)
    disks = support.disks_of(first['path'])
    descriptor = os.open(first['path'], os.O_RDONLY)
    try:
        for disk in disks[:-1]:
            lab.daemons.ask(f'del path {disk}')
        support.wait_disks(first['path'], 1)
        array.remap(1, new)
        support.rescan(disks[:-1])
        with pytest.raises(exception.VolumeIdentityMismatch) as caught:
            connector.connect_volume(props)
        assert old.wwid in str(caught.value)
        assert new.wwid in str(caught.value)
        with pytest.raises(exception.VolumeInUse):
            connector.disconnect_volume(props, first)
        assert support.disks_of(first['path']) == disks[-1:]
    finally:
        os.close(descriptor)
    connector.disconnect_volume(props, first)
    info = connector.connect_volume(props)
    support.assert_is(info['path'], new)
    connector.disconnect_volume(props, info)


def test_exactly_the_stale_disk_is_removed(shelf, single):
    """A stale disk is removed (exactly that one): the other LUN of the session keeps its disk."""
    old, new = support.stamped(shelf, 'xold'), support.stamped(shelf, 'xnew')
    other = support.stamped(shelf, 'xother')
    target = shelf.target('exact', 1)
    target.map(1, old)
    target.map(2, other)
    one, two = target.properties(1), target.properties(2)
    single.connect_volume(one)
    neighbour = single.connect_volume(two)
    target.groups[0].remap(1, new)
    descriptor = os.open(neighbour['path'], os.O_RDONLY)
    try:
        info = single.connect_volume(one)
        assert info['scsi_wwn'] == new.wwid
        support.assert_is(info['path'], new)
        assert os.path.exists(neighbour['path'])
        support.assert_is(neighbour['path'], other)
    finally:
        os.close(descriptor)
    single.disconnect_volume(one, info)
    support.assert_is(neighbour['path'], other)
    single.disconnect_volume(two, neighbour)


def test_stale_map_in_use_is_not_pulled(shelf, multi):
    """A stale map that someone has open: attach answers with the new volume or an error with
    both identities, and never writes of the old user land unseen in an answer of ours."""
    old, new = support.stamped(shelf, 'busyold'), support.stamped(shelf, 'busynew')
    target = shelf.target('busy', 2)
    target.map(1, old)
    props = target.properties(1, plural=True)
    first = multi.connect_volume(props)
    descriptor = os.open(first['path'], os.O_RDONLY)
    try:
        target.remap(1, new)
        info = attach_new_or_refuse(multi, props, old, new)
    finally:
        os.close(descriptor)
    multi.disconnect_volume(props, info or first, force=True, ignore_errors=True)


def test_disks_with_different_identity(shelf, multi):
    """Two disks with different identity or size are never made one volume."""
    left, right = support.stamped(shelf, 'left'), support.stamped(shelf, 'right')
    target = shelf.target('twins', 2, apart=True)
    target.groups[0].map(1, left)
    target.groups[1].map(1, right)
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        multi.connect_volume(target.properties(1, plural=True))
    assert left.wwid in str(caught.value)
    assert right.wwid in str(caught.value)


def test_disks_with_different_size(shelf, multi):
    """The same with two volumes of one identity that differ in size: a broken array."""
    serial = 'c0ffee00' * 4
    small = support.stamped(shelf, 'small', 32, serial=serial)
    large = support.stamped(shelf, 'large', 48, serial=serial)
    target = shelf.target('sizes', 2, apart=True)
    target.groups[0].map(1, small)
    target.groups[1].map(1, large)
    with pytest.raises(exception.BrickException):
        multi.connect_volume(target.properties(1, plural=True))


@pytest.mark.parametrize('multipath', [False, True])
def test_expected_identity(shelf, multipath):
    """If the caller passes an expected identity it is checked."""
    volume, other = support.stamped(shelf, 'expected'), support.stamped(shelf, 'another')
    target = shelf.target('expect', 2)
    target.map(1, volume)
    connector = lab.bricks.ours(multipath=multipath)
    props = target.properties(1, plural=True, expected_wwid=volume.wwid)
    info = connector.connect_volume(props)
    support.assert_is(info['path'], volume)
    connector.disconnect_volume(props, info)
    wrong = {**props, 'expected_wwid': other.wwid}
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        connector.connect_volume(wrong)
    assert volume.wwid in str(caught.value)
    assert other.wwid in str(caught.value)


def test_extend_checks_the_expected_identity(shelf, multi):
    """Extend of a LUN that has become another volume does not return that volume's size."""
    old, new = support.stamped(shelf, 'exold'), support.stamped(shelf, 'exnew', 64)
    target = shelf.target('exremap', 1)
    target.map(1, old)
    props = target.properties(1, plural=True, expected_wwid=old.wwid)
    info = multi.connect_volume(props)
    target.remap(1, new)
    with pytest.raises(exception.BrickException) as caught:
        multi.extend_volume(props)
    assert new.wwid in str(caught.value)
    multi.disconnect_volume(props, info, force=True, ignore_errors=True)
    target.remap(1, old)


def test_vanished_lun_is_not_attached(shelf, single):
    """The LUN is unmapped while the host keeps the disk: attach fails; the dead disk with its
    remembered WWID is not returned, and is cleaned up."""
    volume = support.stamped(shelf, 'vanished')
    target = shelf.target('vanished', 1)
    target.map(1, volume)
    lab.bricks.configure_here(scan_timeout=3)
    props = target.properties(1)
    single.connect_volume(props)
    target.unmap(1)
    with pytest.raises(exception.BrickException):
        single.connect_volume(props)
    single.disconnect_volume(props, None, force=True, ignore_errors=True)
