# SPDX-License-Identifier: Apache-2.0
"""NVMe over Fabrics: only what a call made is undone; detach in all its circumstances."""

import contextlib
import os
import threading
import uuid

import pytest

from os_brick import exception
from tests.functional import lab, nvme_support, support
from tests.functional.lab import nvmet

OTHER_HOST = 'nqn.2014-08.org.nvmexpress:uuid:{}'


def absent(subsystem):
    """Properties of a namespace that the subsystem does not have."""
    return subsystem.properties(1, by=('volume_nguid',), volume_nguid='f' * 31 + '0')


def test_controller_that_was_there(shelf, nvme, options):
    """Someone else's controller is used by an attach, not doubled, and survives attaches that
    fail: it keeps its number, and the other path is made and unmade beside it."""
    options(scan_timeout=2)
    store, subsystem = nvme_support.served(shelf, 'there', 2)
    nvmet.connect(subsystem, 0)
    kept = nvme_support.controllers(subsystem)
    with pytest.raises(exception.VolumeDeviceNotFound):
        nvme.connect_volume(absent(subsystem))
    assert nvme_support.controllers(subsystem) == kept
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    support.assert_is(info['path'], store)
    assert len(nvme_support.controllers(subsystem)) == 2
    assert kept.items() <= nvme_support.controllers(subsystem).items()
    nvme.disconnect_volume(props, info)
    nvme_support.disconnect_all(subsystem)


def test_second_attach_of_an_attached_volume(shelf, nvme, options):
    """Attaching what is attached gives the same answer and adds nothing; when it fails, the
    device stays under the process that uses it."""
    options(scan_timeout=2)
    store, subsystem = nvme_support.served(shelf, 'again', 2)
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    nvme_support.wait_paths(info['path'], 2)
    kept = nvme_support.controllers(subsystem)
    assert nvme.connect_volume(props) == info
    with nvme_support.opened(info['path']):
        for wrong in (absent(subsystem), subsystem.properties(1, vol_uuid=str(uuid.uuid4()))):
            with pytest.raises(exception.BrickException):
                nvme.connect_volume(wrong)
    assert nvme_support.controllers(subsystem) == kept
    support.assert_is(info['path'], store)
    nvme.disconnect_volume(props, info)


def test_attach_that_races_with_a_connection_by_hand(shelf, nvme):
    """Whichever is first, both succeed or the other is told "already connected": the attach
    returns the device, and there is one controller for each portal."""
    store, subsystem = nvme_support.served(shelf, 'race', 2)
    props = subsystem.properties(1)
    for _round in range(3):
        hand = threading.Thread(target=connect_quietly, args=(subsystem,))
        hand.start()
        info = nvme.connect_volume(props)
        hand.join()
        support.assert_is(info['path'], store)
        assert len(nvme_support.controllers(subsystem)) == 2
        nvme.disconnect_volume(props, info)
        nvme_support.disconnect_all(subsystem)


def connect_quietly(subsystem):
    """Connect to every port; that someone was first is not an error."""
    for number in range(len(subsystem.ports)):
        with contextlib.suppress(OSError):
            nvmet.connect(subsystem, number)


def test_two_volumes_of_one_subsystem_in_two_processes(shelf, workers):
    """Two processes attach and detach a volume each of one subsystem at once, again and again:
    each gets its own, none pulls the other's controllers, and at the end there is none."""
    first, subsystem = nvme_support.served(shelf, 'pair', 2)
    second = shelf.store('pair2')
    support.stamp(second)
    subsystem.map(2, second)
    staff = [(workers(), store, n) for n, store in enumerate((first, second), 1)]
    for worker, _store, _nsid in staff:
        worker.make('NVMEOF', multipath=True)
    for _round in range(3):
        for worker, _store, nsid in staff:
            worker.begin('connect_volume', subsystem.properties(nsid))
        infos = [worker.finish() for worker, _store, _nsid in staff]
        for (worker, store, nsid), info in zip(staff, infos, strict=True):
            support.assert_is(info['path'], store)
            worker.begin('disconnect_volume', subsystem.properties(nsid), info)
        for worker, _store, _nsid in staff:
            worker.finish()


def test_detach_by_whatever_is_known(shelf, nvme):
    """With what attach returned, with device_path as nova has it, with nothing at all; and a
    second time, when there is nothing to do any more."""
    _store, subsystem = nvme_support.served(shelf, 'detach', 2)
    props = subsystem.properties(1)
    for given in ('info', 'device_path', 'nothing', 'missing'):
        info = nvme.connect_volume(props)
        known = {**props, 'device_path': info['path']} if given == 'device_path' else props
        if given == 'missing':
            known = {**props, 'device_path': '/dev/nvme77n1'}
        for _twice in range(2):
            nvme.disconnect_volume(known, info if given == 'info' else None)
            assert not nvme_support.controllers(subsystem), given


@pytest.mark.parametrize('how', ['unmapped', 'node'])
def test_detach_when_the_device_has_gone(shelf, nvme, how):
    """The array unmapped first, or the node in /dev was removed: detach still takes every
    controller away."""
    _store, subsystem = nvme_support.served(shelf, 'gone', 2)
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    if how == 'unmapped':
        subsystem.unmap(1)
        name = support.node(info['path'])
        lab.shell.until(lambda: not os.path.exists(f'/sys/block/{name}'), 10, 'the device goes')
    else:
        os.unlink(info['path'])
    nvme.disconnect_volume({**props, 'device_path': info['path']}, None)
    assert not nvme_support.controllers(subsystem)


@pytest.fixture
def attached(shelf, nvme):
    """A volume that is attached: (props, info, subsystem); detached in the end."""
    _store, subsystem = nvme_support.served(shelf, 'inuse', 2, megabytes=48)
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    yield props, info, subsystem
    nvme.disconnect_volume(props, info)


def refused(nvme, attached, holder):
    """Detach is refused with the holder's name, and the device is as it was."""
    props, info, subsystem = attached
    kept = nvme_support.controllers(subsystem)
    with pytest.raises(exception.VolumeInUse) as caught:
        nvme.disconnect_volume(props, info)
    assert holder in str(caught.value)
    assert support.node(info['path']) in str(caught.value)
    assert nvme_support.controllers(subsystem) == kept
    assert support.read(info['path'])


def test_detach_of_a_mounted_volume(nvme, attached, tmp_path):
    """A mounted volume is not pulled; the mount point is named."""
    lab.shell.run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=1', attached[1]['path'])
    lab.shell.run('mount', attached[1]['path'], str(tmp_path))
    try:
        refused(nvme, attached, str(tmp_path))
    finally:
        lab.shell.run('umount', str(tmp_path))


def test_detach_of_a_volume_below_another_device(nvme, attached):
    """A volume that another block device stands on is not pulled; that device is named."""
    table = f'0 2048 linear {attached[1]["path"]} 0'
    lab.shell.run('dmsetup', 'create', 'labholder', '--table', table)
    try:
        refused(nvme, attached, os.path.basename(os.path.realpath('/dev/mapper/labholder')))
    finally:
        lab.shell.run('dmsetup', 'remove', '--retry', 'labholder')


def test_detach_of_an_open_volume(nvme, attached):
    """A volume that a process has open is not pulled, unless by force."""
    with nvme_support.opened(attached[1]['path']):
        refused(nvme, attached, str(os.getpid()))
        nvme.disconnect_volume(attached[0], attached[1], force=True, ignore_errors=True)
        assert not nvme_support.controllers(attached[2])


def test_controller_of_another_host(shelf, nvme):
    """The controller that the same machine has under another host NQN is neither used nor
    removed; with host_nqn in the properties it is the other way round."""
    store, subsystem = nvme_support.served(shelf, 'hosts')
    host_id = str(uuid.uuid4())
    other = OTHER_HOST.format(host_id)
    nvmet.connect(subsystem, 0, hostnqn=other, hostid=host_id)
    kept = nvme_support.controllers(subsystem)
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    support.assert_is(info['path'], store)
    assert len(nvme_support.controllers(subsystem)) == 2
    nvme.disconnect_volume(props, info)
    assert nvme_support.controllers(subsystem) == kept
    nvme_support.disconnect_all(subsystem)
    subsystem.allow(other)
    with pytest.raises(exception.BrickException):
        nvme.connect_volume(props)
    named = {**props, 'host_nqn': other}
    info = nvme.connect_volume(named)
    (name,) = nvme_support.controllers(subsystem)
    assert nvme_support.attribute(name, 'hostnqn') == other
    support.assert_is(info['path'], store)
    nvme.disconnect_volume(named, info)
    assert not nvme_support.controllers(subsystem)
