# SPDX-License-Identifier: Apache-2.0
"""Never stuck: one deadline, dead portals, absent LUNs, stopped daemons, hanging devices."""

import contextlib
import subprocess
import sys

import pytest

from os_brick import exception
from os_brick.host import multipath
from tests.functional import lab, support

# Grace on top of a limit: programs that are being killed, under emulation.
MARGIN = 4


@pytest.fixture
def four(shelf):
    """A target of four portals, a group each, with a volume: (target, volume, props)."""
    volume = support.stamped(shelf, 'four')
    target = shelf.target('four', 4, apart=True)
    target.map(1, volume)
    return target, volume, target.properties(1, plural=True)


def healthy_seconds(connector, props):
    """How long an attach takes when nothing is wrong."""
    with support.Stopwatch() as watch:
        info = connector.connect_volume(props)
    connector.disconnect_volume(props, info)
    return watch.seconds


def test_black_holed_portal_of_four(shelf, multi, four):
    """One black-holed portal of four: the map of the live paths is returned soon after they are
    up, and the dead one neither blocks other volumes nor is forgotten: it joins when it comes
    back."""
    _target, volume, props = four
    other = shelf.target('bystander', ['10.99.0.5'])
    other.map(1, support.stamped(shelf, 'bystander'))
    healthy = healthy_seconds(multi, props)
    alone = healthy_seconds(multi, other.properties(1, plural=True))
    lab.net.cut('10.99.0.4')
    with support.Stopwatch() as watch:
        info = multi.connect_volume(props)
    assert watch.seconds < 1.5 * healthy + 1
    support.wait_disks(info['path'], 3)
    support.assert_is(info['path'], volume)
    with support.Stopwatch() as beside:
        second = multi.connect_volume(other.properties(1, plural=True))
    assert beside.seconds < 1.5 * alone + 1
    multi.disconnect_volume(other.properties(1, plural=True), second)
    lab.net.heal('10.99.0.4')
    lab.shell.until(
        lambda: len(support.disks_of(info['path'])) == 4, 60, 'the fourth path joins', 0.5
    )
    lab.shell.until(
        lambda: list(lab.daemons.map_paths(volume.wwid).values()) == ['active'] * 4, 20, 'active'
    )
    multi.disconnect_volume(props, info)


def test_portal_that_never_answers(multi, four):
    """The same with a portal that never was: attach, extend and detach are all soon done, and
    after the detach no login to it goes on."""
    _target, volume, props = four
    healthy = healthy_seconds(multi, props)
    unresponsive = lab.net.portal(lab.net.UNRESPONSIVE[0])
    props = {**props, 'target_portals': [*props['target_portals'][:3], unresponsive]}
    with support.Stopwatch() as attach:
        info = multi.connect_volume(props)
    assert attach.seconds < 1.5 * healthy + 1
    bigger = volume.grow(48)
    assert multi.extend_volume(props) == bigger
    with support.Stopwatch() as detach:
        multi.disconnect_volume(props, info)
    assert detach.seconds < 15


def test_portal_dies_in_use(multi, four):
    """A portal that dies in use does not stop detach, and leaves nothing of it."""
    _target, volume, props = four
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 4)
    lab.net.cut('10.99.0.2')
    support.assert_is(info['path'], volume)
    with support.Stopwatch() as watch:
        multi.disconnect_volume(props, info)
    assert watch.seconds < 40


def test_every_portal_unresponsive(four, multi, options):
    """Every operation has one deadline (option operation_timeout), honoured by every wait and
    program in it: no portal answers."""
    target, _volume, props = four
    options(operation_timeout=6)
    unresponsive = [lab.net.portal(address) for address in lab.net.UNRESPONSIVE]
    props = {**props, 'target_portal': unresponsive[0], 'target_portals': unresponsive}
    props |= {'target_iqns': [target.iqn] * 2, 'target_luns': [1, 1]}
    with support.Stopwatch() as watch, pytest.raises(exception.BrickException) as caught:
        multi.connect_volume(props)
    assert watch.seconds < 6 + MARGIN
    assert unresponsive[0] in str(caught.value)


def test_discovery_portal_unresponsive(shelf, multi, options):
    """The same for a portal that is to be asked for the others."""
    options(operation_timeout=5)
    target = shelf.target('mute', 1)
    unresponsive = lab.net.portal(lab.net.UNRESPONSIVE[0])
    with support.Stopwatch() as watch, pytest.raises(exception.BrickException) as caught:
        multi.connect_volume(target.properties(1, target_portal=unresponsive))
    assert watch.seconds < 5 + MARGIN
    assert unresponsive in str(caught.value)


@pytest.mark.parametrize('multipath', [False, True])
def test_absent_lun(shelf, options, multipath):
    """A LUN that does not exist fails within the scan time-out with the target, portal and LUN
    in the message."""
    options(scan_timeout=4)
    target = shelf.target('absent', 2)
    target.map(1, support.stamped(shelf, 'absent'))
    connector = lab.bricks.ours(multipath=multipath)
    with support.Stopwatch() as watch, pytest.raises(exception.VolumeDeviceNotFound) as caught:
        connector.connect_volume(target.properties(37, plural=True))
    assert watch.seconds < (4 if multipath else 8) + MARGIN
    text = str(caught.value)
    assert target.iqn in text
    assert target.portals[0] in text
    assert '37' in text


def test_lun_that_comes_late(shelf, single, options):
    """A LUN that the array maps a moment after the attach has begun is still found."""
    options(scan_timeout=20)
    volume = support.stamped(shelf, 'late')
    target = shelf.target('late', 1)
    props = target.properties(1)
    code = (
        'import os, time, sys; time.sleep(4);'
        'os.makedirs(sys.argv[1]); os.symlink(sys.argv[2], sys.argv[1] + "/x")'
    )
    link = target.groups[0].root / 'lun' / 'lun_1'
    with subprocess.Popen([sys.executable, '-c', code, str(link), str(volume.store)]):
        info = single.connect_volume(props)
    support.assert_is(info['path'], volume)
    single.disconnect_volume(props, info)


@pytest.fixture
def without_multipathd(clean_host):
    """multipathd is stopped during the test."""
    lab.daemons.stop_multipathd()
    yield
    lab.daemons.start_multipathd()


@pytest.mark.leaves('multipathd')
def test_multipathd_stopped_enforced(shelf, multi, without_multipathd):
    """multipathd stopped: clear error when enforced, before any login."""
    target = shelf.target('enforced', 2)
    target.map(1, support.stamped(shelf, 'enforced'))
    with pytest.raises(exception.BrickException, match=r'(?i)multipathd'):
        multi.connect_volume(target.properties(1, plural=True, enforce_multipath=True))
    assert support.session_count(target.iqn) == 0


@pytest.mark.leaves('multipathd')
def test_multipathd_stopped(shelf, multi, without_multipathd):
    """multipathd stopped: a working single path when not enforced; detach works too."""
    volume = support.stamped(shelf, 'nodaemon')
    target = shelf.target('nodaemon', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    with support.Stopwatch() as watch:
        info = multi.connect_volume(props)
    assert watch.seconds < 20
    assert 'multipath_id' not in info
    support.assert_is(info['path'], volume)
    bigger = volume.grow(48)
    assert multi.extend_volume(props) == bigger
    multi.disconnect_volume(props, info)


@pytest.mark.leaves('multipathd')
@pytest.mark.parametrize('enforce', [True, False])
def test_multipathd_hangs_in_the_attach(shelf, multi, options, monkeypatch, enforce):
    """multipathd stops answering when it is to build the map, and has the order in its socket: no
    disk is handed out that it takes for itself when it goes on. An error in time, nothing left."""
    options(operation_timeout=8)
    target = shelf.target('hangs', 2)
    target.map(1, support.stamped(shelf, 'hangs'))
    build = multipath.build

    def stop_and_build(*args):
        lab.daemons.freeze_multipathd()
        return build(*args)

    monkeypatch.setattr(multipath, 'build', stop_and_build)
    try:
        with support.Stopwatch() as watch, pytest.raises(exception.OperationTimedOut) as caught:
            multi.connect_volume(target.properties(1, plural=True, enforce_multipath=enforce))
    finally:
        lab.daemons.thaw_multipathd()
    assert 'multipath' in str(caught.value)
    # A question to multipathd may take 5 s: the last offer, and one for the taking back.
    assert watch.seconds < 8 + 2 * 5 + 2 * MARGIN


def test_multipathd_is_slow(shelf, multi, options):
    """The whole deadline is too short for multipathd: an error or the map, never one disk."""
    options(operation_timeout=1)
    target = shelf.target('slow', 2)
    volume = support.stamped(shelf, 'slow')
    target.map(1, volume)
    props = target.properties(1, plural=True)
    for _ in range(3):
        try:
            info = multi.connect_volume(props)
        except exception.BrickException:
            continue
        assert info['multipath_id'] == volume.wwid
    options(operation_timeout=60)
    multi.disconnect_volume(props, None)


def test_flush_that_fails(shelf, single):
    """The only disk takes no commands any more: the error names it and its state, and it stays;
    force takes it away."""
    target = shelf.target('blocked', 1)
    target.map(1, support.stamped(shelf, 'blocked'))
    props = target.properties(1)
    info = single.connect_volume(props)
    disk = support.node(info['path'])
    state = support.SYS / 'block' / disk / 'device' / 'state'
    lab.shell.write(state, 'offline\n')
    with pytest.raises(exception.BrickException, match=f'{disk}.*offline'):
        single.disconnect_volume(props, info)
    assert state.exists()
    single.disconnect_volume(props, info, force=True, ignore_errors=True)


def test_multipathd_stops_while_attached(shelf, multi):
    """multipathd is gone when a map is to be detached: the map goes all the same."""
    target = shelf.target('gone', 2)
    target.map(1, support.stamped(shelf, 'gone'))
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    lab.daemons.stop_multipathd()
    try:
        with support.Stopwatch() as watch:
            multi.disconnect_volume(props, info, force=True, ignore_errors=True)
        assert watch.seconds < 40
        assert not any('mpath-' in line and target.iqn in line for line in lab.oracle.maps())
    finally:
        lab.daemons.start_multipathd()


@pytest.mark.parametrize('reader', [False, True])
def test_queueing_map_without_paths(shelf, multi, multipathd, reader):
    """A map that queues without paths does not hang a forced detach (stop queueing, flush,
    remove; never a forced dm remove)."""
    multipathd(no_path_retry='queue')
    volume = support.stamped(shelf, 'queue')
    target = shelf.target('queue', 2, apart=True)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2)
    for group in target.groups:
        group.disable()
    lab.shell.until(
        lambda: 'active' not in lab.daemons.map_paths(volume.wwid).values(), 40, 'no path is left'
    )
    with contextlib.ExitStack() as stack:
        if reader:
            dd = ['dd', f'if={info["path"]}', 'of=/dev/null', 'bs=4k', 'count=1', 'iflag=direct']
            process = stack.enter_context(subprocess.Popen(dd, stderr=subprocess.DEVNULL))
            stack.callback(process.kill)
            lab.shell.until(lambda: lab.oracle.stuck(), 10, 'the reader hangs')
        with lab.programs.Recorder() as recorder, support.Stopwatch() as watch:
            multi.disconnect_volume(props, info, force=True, ignore_errors=True)
    assert watch.seconds < 40
    lines = [line for line in recorder.attempts() if 'dmsetup' in line and 'remove' in line]
    assert not any('-f' in line.split() or '--force' in line for line in lines)


def test_suspended_map(shelf, multi):
    """A map is never left suspended, and one that someone else suspended does not hang a forced
    detach."""
    volume = support.stamped(shelf, 'asleep')
    target = shelf.target('asleep', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    # While multipathd adds a path it has the map suspended itself, and dmsetup gets EINVAL.
    support.wait_disks(info['path'], 2)
    lab.shell.run('dmsetup', 'suspend', volume.wwid)
    with support.Stopwatch() as watch:
        multi.disconnect_volume(props, info, force=True, ignore_errors=True)
    assert watch.seconds < 40


@pytest.mark.parametrize('multipath', [False, True])
def test_device_that_hangs(shelf, options, multipath):
    """A device that hangs blocks a child process, not the caller: the attach ends at its
    deadline; once the device answers again, nothing is left or a detach removes it."""
    options(operation_timeout=8)
    volume = support.stamped(shelf, 'hang', layer='linear DEVICE 0')
    target = shelf.target('hang', 1)
    target.map(1, volume)
    connector = lab.bricks.ours(multipath=multipath)
    props = target.properties(1, plural=True)
    volume.freeze()
    try:
        with support.Stopwatch() as watch, pytest.raises(exception.BrickException):
            connector.connect_volume(props)
        # What cleaning up asks of multipathd has limits of its own: 12 s more were seen with a map.
        assert watch.seconds < 8 + 4 * MARGIN
    finally:
        volume.thaw()
    with contextlib.suppress(exception.BrickException):
        connector.disconnect_volume(props, None, force=True)


def test_detach_of_a_device_that_hangs(shelf, multi, options):
    """The flush of a hanging device ends at the deadline, with an error or by giving it up;
    nothing written is lost, and the detach works when the device answers again."""
    options(operation_timeout=6)
    volume = support.stamped(shelf, 'freeze', layer='linear DEVICE 0')
    target = shelf.target('freeze', 1)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    support.assert_is(info['path'], volume)
    volume.freeze()
    try:
        with support.Stopwatch() as watch, pytest.raises(support.FAILURES):
            multi.disconnect_volume(props, info)
        assert watch.seconds < 6 + 2 * MARGIN
    finally:
        volume.thaw()
    with contextlib.suppress(exception.VolumeDeviceNotFound, exception.VolumePathsNotFound):
        multi.disconnect_volume(props, info)


def test_session_that_is_in_recovery(shelf, multi, four):
    """A session that exists but whose portal is dead does not count as a path to the volume: a
    second volume on the same target attaches over the others."""
    target, _volume, props = four
    second = support.stamped(shelf, 'second')
    target.map(2, second)
    healthy = healthy_seconds(multi, target.properties(2, plural=True))
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 4)
    lab.net.cut('10.99.0.3')
    more = target.properties(2, plural=True)
    with support.Stopwatch() as watch:
        other = multi.connect_volume(more)
    # The session still looks alive for a few seconds (ping interval and its time-out).
    assert watch.seconds < 1.5 * healthy + 12
    support.assert_is(other['path'], second)
    multi.disconnect_volume(more, other)
    multi.disconnect_volume(props, info)
