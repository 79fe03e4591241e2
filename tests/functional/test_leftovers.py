# SPDX-License-Identifier: Apache-2.0
"""Nothing left behind: by failures at any step, by kill -9, by detach in bad circumstances."""

import contextlib
import logging
import os
import pathlib

import pytest

from os_brick import exception
from tests.functional import lab, support

BY_ID = pathlib.Path('/dev/disk/by-id')


@pytest.fixture
def attached(shelf, multi):
    """A volume over two portals, attached: (target, volume, props, info)."""
    volume = support.stamped(shelf, 'attached')
    target = shelf.target('attached', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2)
    return target, volume, props, info


@pytest.mark.parametrize('multipath', [False, True])
def test_login_refused(shelf, multipath):
    """A failure at any step (login refused) leaves what was there before; the first error is the
    one that surfaces."""
    target = shelf.target('refused', 2)
    target.map(1, support.stamped(shelf, 'refused'))
    for group in target.groups:
        group.only('iqn.2026-11.org.lab:somebody-else')
    connector = lab.bricks.ours(multipath=multipath)
    with pytest.raises(exception.LoginRefused) as caught:
        connector.connect_volume(target.properties(1, plural=True))
    assert target.iqn in str(caught.value)
    assert target.portals[0] in str(caught.value)
    assert isinstance(caught.value, exception.FailedISCSITargetPortalLogin)


def test_lun_absent_leaves_a_session_of_others_alone(shelf, single, options):
    """A failure (LUN absent) on a session that was there before leaves that session."""
    options(scan_timeout=3)
    volume = support.stamped(shelf, 'present')
    target = shelf.target('present', 1)
    target.map(1, volume)
    props = target.properties(1)
    info = single.connect_volume(props)
    with pytest.raises(exception.BrickException):
        single.connect_volume(target.properties(9))
    support.assert_is(info['path'], volume)
    single.disconnect_volume(props, info)


def test_map_not_built(shelf, multi, multipathd):
    """A failure (map not built, here: multipath.conf forbids it) ends as the reference does, with
    one working path, or as an error; in bounded time, and nothing is left."""
    multipathd(blacklisted_product='IBLOCK')
    volume = support.stamped(shelf, 'nomap')
    target = shelf.target('nomap', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    with support.Stopwatch() as watch:
        try:
            info = multi.connect_volume(props)
        except exception.BrickException:
            info = None
    assert watch.seconds < 40
    if info:
        assert 'multipath_id' not in info
        support.assert_is(info['path'], volume)
        multi.disconnect_volume(props, info)


@pytest.mark.parametrize('multipath', [False, True])
def test_link_not_made(shelf, multipath):
    """A failure (link not made): the error of the link surfaces, and nothing is left."""
    target = shelf.target('nolink', 1)
    target.map(1, support.stamped(shelf, 'nolink'))
    names = [f'sd{letter}' for letter in 'abcdefghijklmnop'] + [f'dm-{n}' for n in range(16)]
    obstacles = [BY_ID / f'os-brick+dev+{name}' for name in names]
    BY_ID.mkdir(parents=True, exist_ok=True)
    for obstacle in obstacles:
        obstacle.mkdir()
        (obstacle / 'full').touch()
    connector = lab.bricks.ours(multipath=multipath)
    try:
        with pytest.raises(support.FAILURES) as caught:
            connector.connect_volume(target.properties(1, plural=True, encrypted=True))
        assert 'os-brick+dev+' in str(caught.value)
        assert not isinstance(caught.value, exception.ExceptionChainer)
    finally:
        for obstacle in obstacles:
            (obstacle / 'full').unlink()
            obstacle.rmdir()


def points(target):
    """Moments of an attach, as questions that are true from then on."""
    dm = len(lab.oracle.maps())
    return {
        'record': lambda: any(target.iqn in line for line in lab.oracle.records()),
        'session': lambda: support.session_count(target.iqn) > 0,
        'disk': lambda: any(' 1' in d for d in _disks_of(target.iqn)),
        'map': lambda: len(lab.oracle.maps()) > dm,
    }


def _disks_of(iqn):
    found = []
    for root in pathlib.Path('/sys/class/iscsi_session').glob('session*'):
        if lab.shell.read(root / 'targetname') == iqn:
            found += [f'{p} 1' for p in (root / 'device').glob('target*/*:*:*:*/block/*')]
    return found


def kill_at(workers, target, props, moment):
    """Attach in another process and kill it -9, with its privsep daemon, at this moment."""
    worker = workers()
    worker.make(multipath=True)
    reached = points(target)[moment]
    worker.begin('connect_volume', props)
    lab.shell.until(reached, 60, f'{moment} during attach', pause=0.002)
    worker.kill()


@pytest.mark.parametrize('moment', ['record', 'session', 'disk', 'map'])
def test_killed_in_attach_then_detach(shelf, multi, workers, moment):
    """A failure at any step (the process killed) leaves what the next detach cleans up."""
    target = shelf.target('killed', 2)
    target.map(1, support.stamped(shelf, 'killed'))
    props = target.properties(1, plural=True)
    kill_at(workers, target, props, moment)
    # A login that was under way in iscsid goes on without its caller, and no one can see it there
    # before it is done: a detach that comes sooner leaves its session.
    with contextlib.suppress(AssertionError):
        lab.shell.until(lambda: support.session_count(target.iqn) == 2, 2, 'both are logged in')
    with contextlib.suppress(exception.VolumeDeviceNotFound, exception.VolumePathsNotFound):
        multi.disconnect_volume(props, None)


@pytest.mark.parametrize('moment', ['record', 'session', 'map'])
def test_killed_in_attach_then_attach(shelf, multi, workers, moment):
    """A failure at any step (the process killed) leaves what the next attach cleans up."""
    volume = support.stamped(shelf, 'again')
    target = shelf.target('again', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    kill_at(workers, target, props, moment)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2)
    support.assert_is(info['path'], volume)
    multi.disconnect_volume(props, info)


@pytest.mark.parametrize('moment', ['map', 'disk', 'session'])
def test_killed_in_detach(shelf, multi, workers, attached, moment):
    """The process killed in a detach: the next detach finishes it."""
    target, _volume, props, info = attached
    worker = workers()
    worker.make(multipath=True)
    there = {
        'map': lambda: not any('mpath-' in line for line in lab.oracle.maps()),
        'disk': lambda: not _disks_of(target.iqn),
        'session': lambda: support.session_count(target.iqn) < 2,
    }[moment]
    worker.begin('disconnect_volume', props, info)
    lab.shell.until(there, 60, f'{moment} gone during detach', pause=0.002)
    worker.kill()
    with contextlib.suppress(exception.VolumeDeviceNotFound, exception.VolumePathsNotFound):
        multi.disconnect_volume(props, info)


@pytest.mark.parametrize('plural', [False, True])
def test_detach_with_the_database_lost(shelf, multi, plural):
    """Detach works with open-iscsi's database lost."""
    target = shelf.target('lost', 2)
    target.map(1, support.stamped(shelf, 'lost'))
    props = target.properties(1, plural=plural)
    info = multi.connect_volume(props)
    support.forget_database()
    multi.disconnect_volume(props, info)
    assert support.session_count(target.iqn) == 0


def test_single_path_detach_with_the_database_lost(shelf, single):
    """The same for a connector without multipath."""
    target = shelf.target('lost1', 1)
    target.map(1, support.stamped(shelf, 'lost1'))
    props = target.properties(1)
    info = single.connect_volume(props)
    support.forget_database()
    single.disconnect_volume(props, info)
    assert support.session_count(target.iqn) == 0


@pytest.mark.parametrize('which', ['map', 'disk'])
def test_detach_with_the_device_node_gone(multi, attached, which):
    """Detach works with the device node gone."""
    _target, _volume, props, info = attached
    gone = info['path'] if which == 'map' else f'/dev/{support.disks_of(info["path"])[0]}'
    os.unlink(gone)
    multi.disconnect_volume(props, info)


def test_single_path_detach_with_the_device_node_gone(shelf, single, multipathd):
    """The same for one disk without a map."""
    multipathd(find_multipaths='strict')
    target = shelf.target('nonode', 1)
    target.map(1, support.stamped(shelf, 'nonode'))
    props = target.properties(1)
    info = single.connect_volume(props)
    os.unlink(info['path'])
    single.disconnect_volume(props, info)


def test_detach_with_a_lun_in_text(multi, attached):
    """Detach works with a LUN given as text."""
    _target, _volume, props, info = attached
    multi.disconnect_volume({**props, 'target_lun': '1', 'target_luns': ['1', '1']}, info)


@pytest.mark.parametrize('device_info', [None, {}])
@pytest.mark.parametrize('multipath', [False, True])
def test_detach_without_device_info(shelf, multipath, device_info):
    """Detach works with `device_info` None or `{}`, and what was written is on the volume."""
    volume = support.stamped(shelf, 'noinfo')
    target = shelf.target('noinfo', 1)
    target.map(1, volume)
    connector = lab.bricks.ours(multipath=multipath)
    props = target.properties(1, plural=True)
    info = connector.connect_volume(props)
    with open(info['path'], 'r+b') as device:  # through the page cache, not synced
        device.seek(2 << 20)
        device.write(b'late' * 1024)
        device.flush()
    connector.disconnect_volume(props, device_info)
    assert volume.read(4096, 2 << 20) == b'late' * 1024


def test_detach_with_the_properties_as_device_info(multi, attached):
    """The form that nova uses for some protocols: the properties are passed twice."""
    _target, _volume, props, info = attached
    props = {**props, 'device_path': info['path']}
    multi.disconnect_volume(props, props)


def says_so(caplog, call):
    """What a detach that found nothing said: the text of its error or of its warnings."""
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        try:
            call()
        except exception.BrickException as error:
            return str(error)
    loud = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    return '\n'.join(loud)


def test_detach_of_nothing_says_so(shelf, multi, caplog):
    """A detach that could not find what it should remove says so."""
    target = shelf.target('nothing', 1)
    props = target.properties(1, plural=True)
    said = says_so(caplog, lambda: multi.disconnect_volume(props, None))
    assert target.iqn in said
    assert '1' in said


def test_second_detach_says_so(multi, attached, caplog):
    """So does a second detach; it breaks nothing."""
    target, _volume, props, info = attached
    multi.disconnect_volume(props, info)
    said = says_so(caplog, lambda: multi.disconnect_volume(props, info))
    assert target.iqn in said


def test_detach_of_a_lun_that_is_not_there_keeps_the_others(shelf, multi, attached, caplog):
    """Detach of another LUN of a target in use says so and leaves the session and its disks."""
    target, volume, props, info = attached
    other = target.properties(7, plural=True)
    said = says_so(caplog, lambda: multi.disconnect_volume(other, None))
    assert '7' in said
    support.assert_is(info['path'], volume)
    support.wait_disks(info['path'], 2)
    multi.disconnect_volume(props, info)


def test_healthy_detach_warns_of_nothing(multi, attached, caplog):
    """A detach that did its work does not cry wolf."""
    _target, _volume, props, info = attached
    assert says_so(caplog, lambda: multi.disconnect_volume(props, info)) == ''


def test_session_lost_before_detach(multi, attached):
    """The sessions are gone (someone logged out): detach removes what is left of the rest."""
    target, _volume, props, info = attached
    lab.shell.run('iscsiadm', '-m', 'node', '-T', target.iqn, '--logout', check=False)
    with contextlib.suppress(exception.VolumeDeviceNotFound, exception.VolumePathsNotFound):
        multi.disconnect_volume(props, info)
