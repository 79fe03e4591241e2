# SPDX-License-Identifier: Apache-2.0
"""Grow: every disk and the map follow, dead paths included when they come back."""

import time

import pytest

from os_brick import exception
from tests.functional import lab, support


@pytest.fixture
def pair(shelf, multi):
    """A volume over two portals of a group each, attached: (target, volume, props, info)."""
    volume = support.stamped(shelf, 'pair')
    target = shelf.target('pair', 2, apart=True)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2)
    return target, volume, props, info


def state(volume, disk):
    """multipathd's word for one path (``active``, ``failed``), empty if it is not in the map."""
    return lab.daemons.map_paths(volume.wwid).get(disk, '')


@pytest.mark.parametrize('dead', [0, 1])
def test_dead_path(multi, pair, dead):
    """Grow works with a dead path: the live disks and the map grow (compared with the smallest
    live disk, never believing the word "ok"), the short disk is kept out until it is back and
    grown."""
    target, volume, props, info = pair
    address = lab.net.V4[dead]
    disk = support.disk_on(info['path'], address)
    target.groups[dead].disable()
    lab.shell.until(lambda: state(volume, disk) != 'active', 30, f'{disk} fails')
    bigger = volume.grow(48)
    with support.Stopwatch() as watch:
        assert multi.extend_volume(props) == bigger
    assert watch.seconds < 30
    assert support.size(info['path']) == bigger
    live = support.disk_on(info['path'], lab.net.V4[1 - dead])
    assert support.size(f'/dev/{live}') == bigger
    support.assert_is(info['path'], volume)
    data = b'end!' * 1024
    support.write(info['path'], data, bigger - 4096)
    assert volume.read(4096, bigger - 4096) == data
    target.groups[dead].enable()
    lab.shell.until(lambda: _recovered(disk), 40, f'the session of {disk} is back')
    # While the disk is short it must not carry I/O of the grown map.
    if support.size(f'/dev/{disk}') < bigger:
        assert state(volume, disk) != 'active'
    assert multi.extend_volume(props) == bigger
    lab.shell.until(lambda: state(volume, disk) == 'active', 20, f'{disk} is in the map again')
    assert support.size(f'/dev/{disk}') == bigger
    support.wait_disks(info['path'], 2)
    multi.disconnect_volume(props, info)


def _recovered(disk):
    session = support.session_of(disk)
    return lab.shell.read(f'/sys/class/iscsi_session/{session}/state') == 'LOGGED_IN'


def test_short_disk_is_never_in_the_grown_map(multi, pair):
    """The short disk that is back may be grown and join by itself, or stay out; it is never in
    the map while it is short."""
    target, volume, props, info = pair
    disk = support.disk_on(info['path'], lab.net.V4[1])
    target.groups[1].disable()
    lab.shell.until(lambda: state(volume, disk) != 'active', 30, f'{disk} fails')
    bigger = volume.grow(48)
    multi.extend_volume(props)
    target.groups[1].enable()
    lab.shell.until(lambda: _recovered(disk), 40, f'the session of {disk} is back')
    for _moment in range(20):
        # The size after the state: a disk that is grown in between is not taken for a short one.
        used = state(volume, disk) == 'active'
        short = support.size(f'/dev/{disk}') < bigger
        assert not (short and used)
        if used:
            break
        time.sleep(0.25)
    multi.disconnect_volume(props, info)


def test_map_of_smaller_disks(multi, pair):
    """The disks know the new size already (someone rescanned them), the map does not."""
    _target, volume, props, info = pair
    bigger = volume.grow(48)
    for disk in support.disks_of(info['path']):
        lab.shell.write(f'/sys/block/{disk}/device/rescan', 1)
    assert multi.extend_volume(props) == bigger
    assert support.size(info['path']) == bigger
    multi.disconnect_volume(props, info)


@pytest.mark.parametrize('first', [0, 1])
def test_one_disk_was_rescanned_before(multi, pair, first):
    """One disk knows the new size already, the other does not (multipathd then answers "ok" or
    "fail" without having grown the map)."""
    _target, volume, props, info = pair
    bigger = volume.grow(48)
    disk = support.disks_of(info['path'])[first]
    lab.shell.write(f'/sys/block/{disk}/device/rescan', 1)
    assert multi.extend_volume(props) == bigger
    assert support.size(info['path']) == bigger
    multi.disconnect_volume(props, info)


def test_nothing_has_grown(multi, pair):
    """An extend of what has not grown returns the size that is."""
    _target, volume, props, info = pair
    assert multi.extend_volume(props) == volume.size == support.size(info['path'])
    multi.disconnect_volume(props, info)


def test_grow_twice(multi, pair):
    """Twice in a row, with data at the very end each time."""
    _target, volume, props, info = pair
    for megabytes in (40, 64):
        bigger = volume.grow(megabytes)
        assert multi.extend_volume(props) == bigger
        data = f'{megabytes:4}'.encode() * 1024
        support.write(info['path'], data, bigger - 4096)
        assert volume.read(4096, bigger - 4096) == data
    multi.disconnect_volume(props, info)


def test_discovered_volume_grows_on_every_disk(shelf, multi):
    """Singular keys, discovered portals: the disks are found by session, not by name."""
    volume = support.stamped(shelf, 'dgrow')
    target = shelf.target('dgrow', 3)
    target.map(1, volume)
    props = target.properties(1)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 3)
    bigger = volume.grow(48)
    assert multi.extend_volume(props) == bigger
    assert {support.size(f'/dev/{disk}') for disk in support.disks_of(info['path'])} == {bigger}
    multi.disconnect_volume(props, info)


def test_other_volumes_are_left_alone(shelf, multi, pair):
    """Only this volume is rescanned: another one that has grown as well keeps its old size."""
    target, volume, props, info = pair
    other = support.stamped(shelf, 'apart')
    target.map(2, other)
    more = target.properties(2, plural=True)
    second = multi.connect_volume(more)
    old = other.size
    other.grow(48)
    bigger = volume.grow(64)
    assert multi.extend_volume(props) == bigger
    assert support.size(second['path']) == old
    assert multi.extend_volume(more) == other.size
    multi.disconnect_volume(more, second)
    multi.disconnect_volume(props, info)


def test_not_attached(shelf, multi, single):
    """Extend of a volume that is not attached: VolumePathsNotFound, and nothing is logged in."""
    volume = support.stamped(shelf, 'absent')
    target = shelf.target('noext', 1)
    target.map(1, volume)
    for connector in (multi, single):
        with pytest.raises(exception.VolumePathsNotFound):
            connector.extend_volume(target.properties(1, plural=True))
    assert support.session_count(target.iqn) == 0


def test_while_in_use(multi, pair):
    """A map that is open and written to grows under its user."""
    _target, volume, props, info = pair
    with open(info['path'], 'r+b', buffering=0) as device:
        bigger = volume.grow(48)
        assert multi.extend_volume(props) == bigger
        device.seek(bigger - 4096)
        device.write(b'used' * 1024)
    support.assert_is(info['path'], volume)
    multi.disconnect_volume(props, info)
    assert volume.read(4096, bigger - 4096) == b'used' * 1024
