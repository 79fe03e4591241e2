# SPDX-License-Identifier: Apache-2.0
"""Different targets side by side; one target serialised only around log in and log out."""

import concurrent.futures

import pytest

from tests import breadth
from tests.functional import lab, support


def side_by_side(function, items):
    """Call the function for every item at once; the answers, or the first error."""
    with concurrent.futures.ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(function, items))


def volumes(shelf, name, count, portals):
    """One target with so many volumes as LUN 1, 2, …: (target, volumes, properties)."""
    target = shelf.target(name, portals)
    made = [support.stamped(shelf, f'{name}{n}') for n in range(1, count + 1)]
    for lun, volume in enumerate(made, 1):
        target.map(lun, volume)
    return target, made, [target.properties(n, plural=True) for n in range(1, count + 1)]


@pytest.mark.parametrize('multipath', [False, True])
def test_volumes_of_one_target_in_threads(shelf, multipath):
    """8 volumes of one target at once: each caller gets its own volume; all detach at once."""
    target, made, props = volumes(shelf, 'eight', 8, 2)
    connector = lab.bricks.ours(multipath=multipath)
    infos = side_by_side(connector.connect_volume, props)
    for info, volume in zip(infos, made, strict=True):
        assert info['scsi_wwn'] == volume.wwid
        support.assert_is(info['path'], volume)
    pairs = list(zip(props, infos, strict=True))
    side_by_side(lambda pair: connector.disconnect_volume(*pair), pairs)
    assert support.session_count(target.iqn) == 0


def test_targets_in_threads(shelf, multi):
    """Different targets attach and detach side by side. (That none waits for another is shown
    by the unresponsive target below: two emulated processors cannot measure time.)"""
    groups = [volumes(shelf, f'side{n}', 1, 2) for n in range(4)]
    props = [group[2][0] for group in groups]
    infos = side_by_side(multi.connect_volume, props)
    for info, group in zip(infos, groups, strict=True):
        assert info['scsi_wwn'] == group[1][0].wwid
    pairs = list(zip(props, infos, strict=True))
    side_by_side(lambda pair: multi.disconnect_volume(*pair), pairs)


def test_targets_in_processes(shelf, workers):
    """The same in processes: four targets and four processes."""
    groups = [volumes(shelf, f'proc{n}', 1, 2) for n in range(4)]
    staff = [workers() for _group in groups]
    for worker in staff:
        worker.make(multipath=True)
    for worker, (_target, _made, props) in zip(staff, groups, strict=True):
        worker.begin('connect_volume', props[0])
    infos = [worker.finish() for worker in staff]
    for info, (_target, made, _props) in zip(infos, groups, strict=True):
        assert info['scsi_wwn'] == made[0].wwid
        support.assert_is(info['path'], made[0])
    for worker, info, (_target, _made, props) in zip(staff, infos, groups, strict=True):
        worker.begin('disconnect_volume', props[0], info)
    for worker in staff:
        worker.finish()


def test_volumes_of_one_target_in_processes(shelf, workers):
    """Volumes of one target in four processes: one logs in, no one logs out under the others."""
    target, made, props = volumes(shelf, 'common', 4, 2)
    staff = [workers() for _volume in made]
    for worker in staff:
        worker.make(multipath=True)
    for worker, each in zip(staff, props, strict=True):
        worker.begin('connect_volume', each)
    infos = [worker.finish() for worker in staff]
    for info in infos:
        support.wait_disks(info['path'], 2)
    assert support.session_count(target.iqn) == 2
    for worker, each, info in list(zip(staff, props, infos, strict=True))[:3]:
        worker.begin('disconnect_volume', each, info)
    for worker in staff[:3]:
        worker.finish()
    support.assert_is(infos[3]['path'], made[3])
    staff[3].call('disconnect_volume', props[3], infos[3])


def test_attach_while_the_last_other_volume_is_detached(shelf, multi):
    """One target is serialised around log in and log out: an attach that meets the log-out of
    the last other volume gets its volume all the same."""
    _target, made, props = volumes(shelf, 'meet', 2, 2)
    info = multi.connect_volume(props[0])
    here, there = 0, 1
    for _round in range(breadth.examples(2, 4)):

        def leave(here=here, info=info):
            multi.disconnect_volume(props[here], info)

        def come(there=there):
            return multi.connect_volume(props[there])

        _gone, info = side_by_side(lambda call: call(), [leave, come])
        support.assert_is(info['path'], made[there])
        here, there = there, here
    multi.disconnect_volume(props[here], info)


def test_unresponsive_target_beside_a_healthy_one(shelf, multi, options):
    """A target whose portal swallows everything does not slow the attach of another."""
    options(operation_timeout=20)
    _target, made, props = volumes(shelf, 'well', 1, 2)
    with support.Stopwatch() as alone:
        multi.disconnect_volume(props[0], multi.connect_volume(props[0]))
    unresponsive = {**props[0], 'target_portal': lab.net.portal(lab.net.UNRESPONSIVE[0])}
    unresponsive = {
        k: v for k, v in unresponsive.items() if not k.endswith('s') and k != 'volume_id'
    }
    unresponsive |= {'target_iqn': 'iqn.2026-11.org.lab:unresponsive', 'volume_id': 'unresponsive'}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        sick = pool.submit(multi.connect_volume, unresponsive)
        with support.Stopwatch() as beside:
            info = multi.connect_volume(props[0])
            support.assert_is(info['path'], made[0])
            multi.disconnect_volume(props[0], info)
        assert not sick.done() or sick.exception()
        assert beside.seconds < 1.5 * alone.seconds + 1
        assert sick.exception(60) is not None


def test_many_rounds_leave_nothing(shelf, multi):
    """Attaches and detaches in a row: each gives the volume, none leaves anything."""
    _target, made, props = volumes(shelf, 'rounds', 1, 2)
    for _round in range(breadth.examples(4, 10)):
        info = multi.connect_volume(props[0])
        support.assert_is(info['path'], made[0])
        multi.disconnect_volume(props[0], info)
