# SPDX-License-Identifier: Apache-2.0
"""What nova-compute does with volumes of instances that run, by the public calls that it makes.

It keeps what it was given as connection properties, with the device's path in them, and passes no
``device_info``; it holds ``guard_connection`` around each call. ``test_services.py`` runs its code.
"""

import contextlib
import tempfile
import uuid

import pytest

from os_brick import exception
from os_brick.initiator import utils
from tests import breadth
from tests.functional import fc_support, lab, nvme_support, support, test_rbd

MEBI = 1 << 20


class Compute:
    """A compute service: two volumes of one back end, and its calls."""

    def __init__(self, brick, volumes, props, grow):
        self._brick = brick
        self.volumes = volumes
        self.props = props
        self.grow = grow
        # What Cinder's API says of the volumes.
        self._volume = {'shared_targets': None, 'service_uuid': str(uuid.uuid4())}

    def attach(self, number, **more):
        """The connection that is kept of an instance's volume."""
        data = {**self.props[number], **more}
        with utils.guard_connection(self._volume):
            data['device_path'] = self._brick.connect_volume(data)['path']
        self.check(number, data)
        return data

    def check(self, number, data):
        """The device is this volume."""
        volume = self.volumes[number]
        if isinstance(volume, Image):
            assert support.read(data['device_path']) == volume.stamp
        else:
            support.assert_is(data['device_path'], volume)

    def extend(self, number, data, megabytes):
        """The volume grows, and its device does."""
        self.grow(number, megabytes)
        assert self._brick.extend_volume(data) == megabytes * MEBI
        assert support.size(data['device_path']) == megabytes * MEBI

    def detach(self, data, **more):
        with utils.guard_connection(self._volume):
            self._brick.disconnect_volume(data, None, **{'force': False, **more})


class Image:
    """An image of Ceph as ``Traffic`` knows volumes."""

    def __init__(self, cluster, image):
        self.cluster = cluster
        self.image = image
        self.stamp = test_rbd.stamp(cluster, image)

    def read(self, length, offset):
        return self.cluster.read(self.image, length, offset)


def iscsi(request, shelf):
    """Two LUNs of a target with two portals."""
    volumes = [support.stamped(shelf, name) for name in ('old', 'new')]
    target = shelf.target('cloud', 2)
    for lun, volume in enumerate(volumes, 1):
        target.map(lun, volume)
    props = [target.properties(lun, plural=True) for lun in (1, 2)]
    brick = request.getfixturevalue('multi')
    return Compute(brick, volumes, props, lambda number, size: volumes[number].grow(size))


def fc(request, shelf):
    """Two LUNs of two ports."""
    fabric = request.getfixturevalue('fabric')
    names = enumerate(('old', 'new'), 1)
    volumes = [fc_support.served(shelf, fabric, name, lun) for lun, name in names]
    brick = request.getfixturevalue('fc')
    props = [fabric.properties(lun) for lun in (1, 2)]
    return Compute(brick, volumes, props, lambda number, size: volumes[number].grow(size))


def nvme(request, shelf):
    """Two namespaces of a subsystem with two ports."""
    old, subsystem = nvme_support.served(shelf, 'old', 2)
    new = shelf.store('new')
    support.stamp(new)
    subsystem.map(2, new)
    props = [subsystem.properties(nsid) for nsid in (1, 2)]
    brick = request.getfixturevalue('nvme')
    return Compute(brick, [old, new], props, lambda number, size: (old, new)[number].grow(size))


def rbd(request, shelf):
    """Two images of a pool, mapped by the kernel."""
    cluster = request.getfixturevalue('ceph')
    images = [test_rbd.stamped(cluster, name) for name in ('old', 'new')]
    props = [test_rbd.props(cluster, image) for image in images]
    brick = lab.bricks.ours('RBD', do_local_attach=True)
    volumes = [Image(cluster, image) for image in images]
    return Compute(brick, volumes, props, lambda number, size: cluster.grow(images[number], size))


KINDS = [iscsi, nvme] + [fc, rbd] * breadth.EVERYTHING


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def compute(request, shelf):
    return request.param(request, shelf)


def test_one_volume_of_two_instances(compute):
    """Multi-attach: nova attaches it for each instance, and detaches it with the last one. Where
    a caller detaches it before, the volume stays with the instance that uses it; it grows there."""
    first = compute.attach(0)
    second = compute.attach(0)
    assert second == first
    volume, path = compute.volumes[0], second['device_path']
    with contextlib.ExitStack() as users:
        users.enter_context(nvme_support.opened(path))
        traffic = users.enter_context(nvme_support.Traffic(path, volume))
        with pytest.raises(exception.VolumeInUse):
            compute.detach(first)
        traffic.step()
        compute.extend(0, second, 48)
        traffic.step()
    compute.check(0, second)
    compute.detach(second)


def test_swapped_volume(compute):
    """The new volume comes beside the old one, which is in use; the old one goes while the new one
    is, through the same sessions, and the new one grows. Their paths are links of ours, as of
    encrypted volumes."""
    volumes = compute.volumes
    old = compute.attach(0, encrypted=True)
    with nvme_support.Traffic(old['device_path'], volumes[0]) as traffic:
        new = compute.attach(1, encrypted=True)
        assert new['device_path'] != old['device_path']
        traffic.step()
    with nvme_support.Traffic(new['device_path'], volumes[1]) as traffic:
        compute.detach(old)
        traffic.step()
        compute.extend(1, new, 48)
        traffic.step()
    compute.check(1, new)
    compute.detach(new)


@pytest.fixture
def elsewhere(library):
    """A process on another host."""
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(lab.elsewhere.Host())
        states = stack.enter_context(tempfile.TemporaryDirectory(prefix='lab-elsewhere-'))
        more = {'state_path': states, 'scan_timeout': 2}
        nursery = lab.bricks.Nursery(wrapper=host.wrapper, **more)
        worker = stack.enter_context(nursery).spawn()
        stack.callback(worker.close)
        yield worker, host.nqn


def of_host(subsystem, nqn):
    """The controllers that a host has made, with their numbers."""
    found = nvme_support.controllers(subsystem).items()
    return {n: i for n, i in found if nvme_support.attribute(n, 'hostnqn') == nqn}


def test_live_migration_of_an_nvme_volume(shelf, nvme, elsewhere):
    """Source and destination attach one volume; a migration is rolled back, another is not: what
    one of them detaches, or fails to attach, leaves the connections of the other as they are.

    Neither has the device open while the other detaches: it is one device in this one kernel.
    """
    destination, nqn = elsewhere
    destination.make('NVMEOF', multipath=True)
    store, subsystem = nvme_support.served(shelf, 'moved', 2)
    props = subsystem.properties(1)
    source = {**props}
    source['device_path'] = nvme.connect_volume(source)['path']
    nvme_support.wait_paths(source['device_path'], 2)
    own = nvme_support.controllers(subsystem)
    wrong = {**props, 'volume_nguid': 'f' * 31 + '0'}
    with pytest.raises(lab.bricks.RemoteError):
        destination.call('connect_volume', wrong)
    assert nvme_support.controllers(subsystem) == own
    for rolled_back in (True, False):
        target = {**props, 'device_path': destination.call('connect_volume', props)['path']}
        nvme_support.wait_paths(target['device_path'], 4)
        theirs = of_host(subsystem, nqn)
        assert len(theirs) == 2
        assert nvme_support.controllers(subsystem) == own | theirs
        support.assert_is(target['device_path'], store)
        if rolled_back:
            destination.call('disconnect_volume', target, None, force=False)
            assert nvme_support.controllers(subsystem) == own
        else:
            nvme.disconnect_volume(source, None, force=False)
            assert nvme_support.controllers(subsystem) == theirs
    with nvme_support.Traffic(target['device_path'], store) as traffic:
        size = store.grow(48)
        assert destination.call('extend_volume', target) == size
        traffic.step()
    destination.call('disconnect_volume', target, None, force=False)
    assert not nvme_support.controllers(subsystem)


DESTINATION = 'iqn.2026-11.org.lab:another-host'


def test_live_migration_of_an_iscsi_volume(shelf, multi):
    """Another host, with a name of its own, uses the volume while this one attaches, grows and
    detaches it as the source; and this one uses it as the destination when the other one leaves.
    """
    volume = support.stamped(shelf, 'moved')
    target = shelf.target('moved', 2)
    target.map(1, volume)
    for name in (lab.daemons.INITIATOR, DESTINATION):
        target.groups[0].only(name, [1])
    props = target.properties(1, plural=True)
    with lab.initiator.Session(DESTINATION, target.iqn, target.portals[0], 1) as other:

        def use(text):
            other.write(text.ljust(support.BLOCK, b'.'), 2 << 20)
            assert volume.read(len(text), 2 << 20) == text

        use(b'before')
        source = {**props, 'device_path': multi.connect_volume(props)['path']}
        support.wait_disks(source['device_path'], 2)
        use(b'attached')
        multi.disconnect_volume(source, None, force=False)
        assert not support.session_count(target.iqn)
        use(b'detached')
        again = {**props, 'device_path': multi.connect_volume(props)['path']}
        support.wait_disks(again['device_path'], 2)
        assert other.read(support.BLOCK, 0) == support.read(again['device_path'])
    path = again['device_path']
    with nvme_support.Traffic(path, volume) as traffic:
        size = volume.grow(48)
        assert multi.extend_volume(again) == size
        traffic.step()
    multi.disconnect_volume(again, None, force=False)
