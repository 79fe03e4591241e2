# SPDX-License-Identifier: Apache-2.0
"""Attach, use, grow, detach: the main job."""

import os

import pytest

from os_brick import exception
from tests.functional import lab, support


def whole_life(connector, target, volume, props, count, multipath):
    """Attach, read and write, grow, detach; the fixture then checks that nothing is left."""
    support.live(connector, volume, props, count, multipath)
    assert support.session_count(target.iqn) == 0


@pytest.mark.parametrize('portals', [1, 4])
@pytest.mark.parametrize('how', ['static', 'discovered'])
def test_whole_life_multipath(shelf, multi, portals, how):
    """Static and discovered, 1 and 4 portals, attach, I/O, grow (the backing store really grows;
    every disk and the map follow; the new size is returned), detach; afterwards no disk, map,
    session, node record, link or lock holder that was not there before."""
    volume = support.stamped(shelf, 'life')
    target = shelf.target('life', portals)
    target.map(1, volume)
    props = target.properties(1, plural=how == 'static')
    whole_life(multi, target, volume, props, portals, multipath=True)


@pytest.mark.parametrize('plural', [False, True])
def test_whole_life_single_path(shelf, single, multipathd, plural):
    """Static, singular and plural keys, a connector without multipath: one disk is returned."""
    multipathd(find_multipaths='strict')
    volume = support.stamped(shelf, 'one')
    target = shelf.target('one', 2 if plural else 1)
    target.map(1, volume)
    whole_life(single, target, volume, target.properties(1, plural=plural), 1, multipath=False)


@pytest.mark.parametrize('policy', ['yes', 'no', 'strict'])
def test_find_multipaths(shelf, multi, multipathd, policy):
    """Whatever multipath.conf says of find_multipaths, a map is built, also over one path."""
    multipathd(find_multipaths=policy)
    volume = support.stamped(shelf, f'find{policy}')
    target = shelf.target('find', 1)
    target.map(1, volume)
    whole_life(multi, target, volume, target.properties(1, plural=True), 1, multipath=True)


def test_friendly_names(shelf, multi, multipathd):
    """multipath_id is the WWID, never the friendly name; detach finds the map by its uuid."""
    multipathd(user_friendly_names='yes')
    volume = support.stamped(shelf, 'friend')
    target = shelf.target('friend', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    assert info['multipath_id'] == volume.wwid
    assert os.path.basename(info['path']).startswith('dm-')
    support.assert_is(info['path'], volume)
    multi.disconnect_volume(props, info)


def test_single_path_while_multipathd_takes_every_disk(shelf, single):
    """A connector without multipath, find_multipaths no: multipathd makes a map no one asked
    for; whatever is returned is the volume, and detach removes the map as well."""
    volume = support.stamped(shelf, 'taken')
    target = shelf.target('taken', 1)
    target.map(1, volume)
    props = target.properties(1)
    info = single.connect_volume(props)
    assert info['scsi_wwn'] == volume.wwid
    assert support.read(info['path']).startswith(b'taken ')
    lab.shell.until(lambda: below_a_map(info['path']), 6, 'the map that no one asked for')
    # The map keeps the disk open, so that the kernel does not write back at this close.
    with open(info['path'], 'r+b', buffering=0) as device:
        device.seek(1 << 20)
        device.write(b'written through the disk'.ljust(support.BLOCK))
    single.disconnect_volume(props, info)
    assert volume.read(support.BLOCK, 1 << 20).startswith(b'written through the disk')


def below_a_map(path):
    """Whether a map holds the device."""
    return any((support.SYS / 'block' / support.node(path) / 'holders').iterdir())


# udev keeps its links to a map whose every read fails, though the map has gone (udev 257.13).
@pytest.mark.leaves('link')
@pytest.mark.parametrize('multipath', [False, True])
def test_unreadable_device_is_not_returned(shelf, multipath):
    """A device is returned only when a read of it succeeds."""
    volume = shelf.volume('unreadable', layer='error')
    target = shelf.target('unreadable', 2)
    target.map(1, volume)
    connector = lab.bricks.ours(multipath=multipath)
    with pytest.raises((exception.BrickException, OSError)) as caught:
        connector.connect_volume(target.properties(1, plural=True))
    assert not isinstance(caught.value, exception.ExceptionChainer)


def test_nothing_else_is_scanned_or_reconfigured(shelf, multi, clean_host):
    """No global `multipathd reconfigure`, no host-wide scan: a LUN that no one asked for does
    not appear, and a change in multipath.conf is not noticed."""
    wanted = support.stamped(shelf, 'wanted')
    other = support.stamped(shelf, 'other')
    target = shelf.target('narrow', 2)
    target.map(1, wanted)
    target.map(2, other)
    props = target.properties(1, plural=True)
    conf = lab.daemons.MULTIPATH_CONF
    old = conf.read_text()
    conf.write_text(old.replace('"^(vd', '"^(nosuchdisk|vd'))
    try:
        info = multi.connect_volume(props)
        assert len(support.disks()) == len(clean_host['disk']) + 2
        wanted.grow(48)
        multi.extend_volume(props)
        assert len(support.disks()) == len(clean_host['disk']) + 2
        multi.disconnect_volume(props, info)
        assert 'nosuchdisk' not in lab.daemons.ask('show config')
    finally:
        conf.write_text(old)


def test_attach_twice_is_the_same_device(shelf, multi):
    """Attaching what is attached returns the same answer and adds nothing."""
    volume = support.stamped(shelf, 'twice')
    target = shelf.target('twice', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    first = multi.connect_volume(props)
    support.wait_disks(first['path'], 2)
    disks = support.disks_of(first['path'])
    assert multi.connect_volume(props) == first
    assert support.disks_of(first['path']) == disks
    assert support.session_count(target.iqn) == 2
    multi.disconnect_volume(props, first)


def test_caller_dictionary_is_not_changed(shelf, multi):
    """The caller's dictionaries come out of every call as they went in."""
    volume = support.stamped(shelf, 'dict')
    target = shelf.target('dict', 1)
    target.map(1, volume)
    props = target.properties(1, plural=True, target_luns=['1'])
    copy = {key: list(value) if isinstance(value, list) else value for key, value in props.items()}
    info = multi.connect_volume(props)
    kept = dict(info)
    multi.extend_volume(props)
    multi.disconnect_volume(props, info)
    assert (props, info) == (copy, kept)
