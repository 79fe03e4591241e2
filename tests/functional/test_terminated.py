# SPDX-License-Identifier: Apache-2.0
"""Services that are told to end in the middle of an operation, and those that fork workers."""

import contextlib
import os
import signal
import time

import pytest

from os_brick import exception
from tests import breadth
from tests.functional import fc_support, lab, nvme_support, support

# Shares of the time that the operation takes, at which the signal comes.
MOMENTS = [0.3, 0.7] if not breadth.EVERYTHING else [number / 20 for number in range(20)]


def life(kind, shelf, request):
    """A volume of a kind: protocol, properties, a connector of ours."""
    if kind == 'iscsi':
        target = shelf.target('ended', 2)
        target.map(1, support.stamped(shelf, 'ended'))
        return 'ISCSI', target.properties(1, plural=True)
    if kind == 'nvme':
        _store, subsystem = nvme_support.served(shelf, 'ended', 2)
        return 'NVMEOF', subsystem.properties(1)
    fabric = request.getfixturevalue('fabric')
    fc_support.served(shelf, fabric, 'ended')
    return 'FIBRE_CHANNEL', fabric.properties(1)


def end_in(worker, moment, seconds, method, *args):
    """Send SIGTERM at a share of the time that the call takes; whether it had ended before."""
    worker.terminable()
    started = time.monotonic()
    worker.begin(method, *args)
    time.sleep(moment * seconds)
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.pid, signal.SIGTERM)
    try:
        worker.finish(60)
    except EOFError:
        is_done = False
    else:
        is_done = True
    assert time.monotonic() - started < 30
    return is_done


@pytest.mark.parametrize('kind', ['iscsi', *['nvme', 'fc'] * breadth.EVERYTHING])
def test_terminated(shelf, workers, request, kind):
    """SIGTERM at any moment of an attach takes back what it has made, in time; in a detach, the
    next one finishes."""
    protocol, props = life(kind, shelf, request)
    ours = lab.bricks.ours(protocol, multipath=True)
    taken, info = lab.bricks.timed(ours.connect_volume, props)
    ours.disconnect_volume(props, info)
    before = lab.oracle.snapshot()
    for moment in MOMENTS:
        worker = workers()
        worker.make(protocol, multipath=True)
        if end_in(worker, moment, taken, 'connect_volume', props):
            ours.disconnect_volume(props, None)
        lab.oracle.assert_same(before, 20)
    for moment in MOMENTS:
        info = ours.connect_volume(props)
        worker = workers()
        worker.make(protocol, multipath=True)
        end_in(worker, moment, taken, 'disconnect_volume', props, info)
        with contextlib.suppress(exception.VolumeDeviceNotFound, exception.VolumePathsNotFound):
            ours.disconnect_volume(props, info)
        lab.oracle.assert_same(before, 20)


def test_forked_workers(shelf, workers):
    """A service that has used its root daemon and forks workers, each of which attaches a volume;
    what one has attached another may detach, and the parent works on."""
    target = shelf.target('forks', 1)
    volumes = [support.stamped(shelf, f'fork{number}') for number in range(3)]
    for number, volume in enumerate(volumes):
        target.map(number, volume)
    props = [target.properties(number) for number in range(3)]
    service = workers()
    service.make()
    first = service.call('connect_volume', props[0])
    answers = service.forked('connect_volume', [[each] for each in props[1:]])
    infos = [first, *(answer['result'] for answer in answers)]
    for info, volume in zip(infos, volumes, strict=True):
        support.assert_is(info['path'], volume)
    service.call('disconnect_volume', props[1], infos[1])
    (answer,) = service.forked('disconnect_volume', [[props[0], infos[0]]])
    assert answer == {'result': None}
    service.call('disconnect_volume', props[2], infos[2])
    assert not support.session_count(target.iqn)
