# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel: never the wrong volume."""

import contextlib
import os
import pathlib

import pytest

from os_brick import exception
from tests.functional import fc_support, lab, support

EITHER = pytest.mark.parametrize('multipath', [False, True])


@EITHER
def test_remapped_lun_that_was_never_detached(shelf, fabric, multipath):
    """The array maps another volume to a LUN that the host still has disks for: the stale disks
    are replaced, and the new volume's identity and data are returned."""
    old, new = fc_support.served(shelf, fabric, 'old'), support.stamped(shelf, 'new')
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    props = fabric.properties(1)
    first = connector.connect_volume(props)
    assert first['scsi_wwn'] == old.wwid
    fabric.remap(1, new)
    info = connector.connect_volume(props)
    assert info['scsi_wwn'] == new.wwid
    support.assert_is(info['path'], new)
    connector.disconnect_volume(props, info)


@pytest.mark.parametrize('detaches', [True, False])
def test_remapped_lun_that_was_rescanned(shelf, fabric, fc, detaches):
    """The kernel believes the new volume, the old one's map is still there: a detach of the old
    one takes it away, and the new volume gets a map of its own."""
    old, new = fc_support.served(shelf, fabric, 'rold'), support.stamped(shelf, 'rnew')
    props = fabric.properties(1)
    first = fc.connect_volume(props)
    support.wait_disks(first['path'], 4)
    fabric.remap(1, new)
    support.rescan(support.disks_of(first['path']))
    if detaches:
        fc.disconnect_volume(props, first)
        assert not any(old.wwid in line for line in lab.oracle.maps())
        assert not any(fabric_disk.startswith('sd') for fabric_disk in support.disks())
    info = fc.connect_volume(props)
    assert info['scsi_wwn'] == info['multipath_id'] == new.wwid
    support.assert_is(info['path'], new)
    assert not any(old.wwid in line for line in lab.oracle.maps())
    fc.disconnect_volume(props, info)


def test_stale_disk_in_use_is_not_pulled(shelf, fabric, fc):
    """Someone holds the old map: an error with both identities, and nothing is touched."""
    old, new = fc_support.served(shelf, fabric, 'held'), support.stamped(shelf, 'wanting')
    props = fabric.properties(1)
    info = fc.connect_volume(props)
    support.wait_disks(info['path'], 4)
    descriptor = os.open(info['path'], os.O_RDONLY)
    try:
        fabric.remap(1, new)
        with pytest.raises(exception.VolumeIdentityMismatch) as caught:
            fc.connect_volume(props)
    finally:
        os.close(descriptor)
    for wwid in (old.wwid, new.wwid):
        assert wwid in str(caught.value)
    assert pathlib.Path(info['path']).exists()
    fabric.remap(1, old)
    fc.disconnect_volume(props, info)


def test_ports_that_show_different_volumes(shelf, fabric, fc):
    """The ports that the caller named have to agree: else an error with both identities."""
    one, other = support.stamped(shelf, 'gold'), support.stamped(shelf, 'silver')
    fabric.targets[0].map(1, one)
    fabric.targets[1].map(1, other)
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        fc.connect_volume(fabric.properties(1))
    for wwid in (one.wwid, other.wwid):
        assert wwid in str(caught.value)


@EITHER
def test_another_volume_than_expected(shelf, fabric, multipath):
    """The caller says which volume it wants: nothing else is attached, and nothing is left."""
    volume, other = fc_support.served(shelf, fabric, 'there'), support.stamped(shelf, 'expected')
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        connector.connect_volume(fabric.properties(1, expected_wwid=other.wwid))
    assert volume.wwid in str(caught.value)


def test_detach_by_the_properties_alone(shelf, fabric, fc):
    """As nova calls it: the connection properties are ``device_info``, too."""
    fc_support.served(shelf, fabric, 'nova')
    props = fabric.properties(1)
    info = fc.connect_volume(props)
    stored = {**props, 'device_path': info['path'], 'multipath_id': info['multipath_id']}
    fc.disconnect_volume(stored, stored)


@EITHER
def test_a_holder_is_named_and_kept(shelf, fabric, multipathd, multipath):
    """A mount on the volume: detach refuses, says who, and works once it is gone."""
    if not multipath:
        # The disk's link is waited for, and by then multipathd has a map over any disk it may have.
        multipathd(find_multipaths='strict')
    fc_support.served(shelf, fabric, 'mounted', megabytes=64)
    connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=multipath)
    props = fabric.properties(1)
    info = connector.connect_volume(props)
    place = pathlib.Path('/run/lab-fc-mount')
    place.mkdir(exist_ok=True)
    lab.shell.run('mkfs.ext4', '-q', '-F', info['path'])
    lab.shell.run('mount', info['path'], str(place))
    try:
        with pytest.raises(exception.VolumeInUse, match=str(place)):
            connector.disconnect_volume(props, info)
    finally:
        lab.shell.run('umount', str(place))
        with contextlib.suppress(OSError):
            place.rmdir()
    connector.disconnect_volume(props, info)
