# SPDX-License-Identifier: Apache-2.0
"""NVMe over Fabrics: replicated volumes on md RAID 1."""

import contextlib
import os
import signal

import pytest

from os_brick import exception
from tests import breadth
from tests.functional import lab, nvme_support, support
from tests.functional.lab import nvmet

MEGABYTES = 48


class Mirror:
    """A volume of two copies, each in a subsystem of its own at an address of its own."""

    def __init__(self, shelf, name):
        self.alias = f'lab-{name}'
        self.path = f'/dev/md/{self.alias}'
        self.stores = [shelf.store(f'{name}{n}', MEGABYTES) for n in (1, 2)]
        self.members = [shelf.subsystem(f'{name}{n}', [f'10.99.0.{n}']) for n in (1, 2)]
        for subsystem, store in zip(self.members, self.stores, strict=True):
            subsystem.map(1, store)

    def properties(self, *numbers, count=2, **more):
        """For an attach with these copies (all, if none are named)."""
        members = [(self.members[n], 1) for n in numbers or (0, 1)]
        return nvmet.replicated(self.alias, members, count, **more)

    def everywhere(self, data):
        """Return when every copy has the data."""

        def missing():
            return [s.name for s in self.stores if data not in s.read(s.size)]

        lab.shell.until(lambda: not missing(), 20, 'the data is in every copy', 0.3)

    def degraded(self):
        """How many members the running array lacks."""
        return nvme_support.array_of(self.path)['degraded']

    def gone(self):
        """No controller and no array is left."""
        return not any(nvme_support.controllers(member) for member in self.members) and not [
            line for line in lab.oracle.arrays() if 'raid1' in line
        ]


@pytest.fixture
def mirror(shelf):
    """A replicated volume."""
    lab.shell.modules('raid1')
    return Mirror(shelf, 'mirror')


def mark(path, text, offset=1 << 20):
    """Write a block that is easy to find and return it."""
    data = f'<{text} {os.urandom(8).hex()}>'.encode().ljust(support.BLOCK, b'=')
    support.write(path, data, offset)
    return data


def test_whole_life(mirror, nvme):
    """Created at the first attach, both members in it; I/O reaches both copies; grown; stopped;
    assembled again with the data in it."""
    props = mirror.properties()
    info = nvme.connect_volume(props)
    assert info == {**info, 'type': 'block', 'path': mirror.path}
    array = nvme_support.array_of(mirror.path)
    assert (array['level'], array['degraded'], array['raid_disks']) == ('raid1', '0', '2')
    data = mark(info['path'], 'first')
    mirror.everywhere(data)
    before = support.size(mirror.path)
    for store in mirror.stores:
        store.grow(MEGABYTES + 32)
    bigger = nvme.extend_volume(props)
    assert bigger == support.size(mirror.path) >= before + (31 << 20)
    last = mark(info['path'], 'last', bigger - support.BLOCK)
    mirror.everywhere(last)
    nvme.disconnect_volume(props, info)
    assert mirror.gone()
    info = nvme.connect_volume(props)
    assert support.read(info['path'], offset=1 << 20) == data
    assert nvme_support.array_of(mirror.path)['uuid'] == array['uuid']
    nvme.disconnect_volume({**props, 'device_path': info['path']}, None)
    assert mirror.gone()


def test_member_missing_at_attach_and_back(mirror, nvme):
    """A member that is not there: a degraded start, soon; it is taken in again by the next attach
    and gets what was written meanwhile."""
    props = mirror.properties()
    info = nvme.connect_volume(props)
    nvme.disconnect_volume(props, info)
    mirror.members[1].cut(0)
    with support.Stopwatch() as watch:
        info = nvme.connect_volume(props)
    assert watch.seconds < 20
    assert mirror.degraded() == '1'
    data = mark(info['path'], 'meanwhile')
    assert data not in mirror.stores[1].read(mirror.stores[1].size)
    nvme.disconnect_volume(props, info)
    mirror.members[1].heal(0)
    info = nvme.connect_volume(props)
    lab.shell.until(lambda: mirror.degraded() == '0', 20, 'both members are in it')
    mirror.everywhere(data)
    nvme.disconnect_volume(props, info)
    assert mirror.gone()


def test_terminated_while_a_member_is_awaited(mirror, nvme, workers):
    """SIGTERM once udev has begun to assemble the member that is here: nothing stays."""
    props = mirror.properties()
    nvme.disconnect_volume(props, nvme.connect_volume(props))
    before = lab.oracle.snapshot()
    mirror.members[1].cut(0)
    worker = workers()
    worker.make('NVMEOF', multipath=True)
    worker.terminable()
    worker.begin('connect_volume', props)
    lab.shell.until(lambda: "slaves=['nvme" in ' '.join(lab.oracle.arrays()), 20, 'an array')
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.pid, signal.SIGTERM)
    try:
        worker.finish(60)
    except EOFError:
        pass
    else:
        nvme.disconnect_volume(props, None)
    lab.oracle.assert_same(before, 20)
    mirror.members[1].heal(0)
    assert mirror.gone()


def test_member_lost_during_io(mirror, nvme):
    """A member is lost while I/O goes on: it goes on; another attach of the same volume takes the
    member in again when it is back."""
    props = mirror.properties()
    info = nvme.connect_volume(props)
    with nvme_support.Traffic(info['path'], None) as traffic:
        mirror.members[1].cut(0)
        nvme_support.wait_cut(mirror.members[1], 0)
        traffic.step(40)
        nvme_support.hasten(mirror.members[1])
        mirror.members[1].heal(0)
        nvme_support.wait_state(mirror.members[1], 0, 'live', seconds=30)
        traffic.step()
    assert nvme.connect_volume(props) == info
    lab.shell.until(lambda: mirror.degraded() == '0', 20, 'both members are in it')
    mirror.everywhere(mark(info['path'], 'after'))
    nvme.disconnect_volume(props, info)
    assert mirror.gone()


def test_cycles_leave_nothing(mirror, nvme):
    """Attach and detach again and again, each with what the last one wrote, and nothing left."""
    props = mirror.properties()
    data = b''
    for number in range(breadth.examples(3, 10)):
        info = nvme.connect_volume(props)
        if data:
            assert support.read(info['path'], offset=1 << 20) == data
        data = mark(info['path'], f'cycle {number}')
        assert mirror.degraded() == '0'
        nvme.disconnect_volume(props, info)
        assert mirror.gone()


def foreign(kind, store):
    """Put someone else's signature on a store and return what is on it then."""
    if kind == 'ext4':
        lab.shell.run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=1', str(store.image))
    else:
        argv = ('mdadm', '--create', '/dev/md/labforeign', '--run', '--level=1', '--metadata=1.2')
        more = ('--homehost=any', '--force', '--raid-devices=1', store.loop)
        lab.shell.run(*argv, *more)
        lab.shell.run('mdadm', '--stop', '/dev/md/labforeign')
        lab.shell.settle()
    return store.read(store.size)


@pytest.mark.parametrize('kind', ['ext4', 'array'])
@pytest.mark.parametrize('member', [False, True])
def test_foreign_member_is_not_overwritten(mirror, nvme, kind, member):
    """A member with a file system or as part of another array: never overwritten, neither beside an
    empty member nor beside one that is the volume's. A degraded start is all there may be."""
    props = mirror.properties()
    if member:
        nvme.disconnect_volume(props, nvme.connect_volume(props))
        mirror.stores[1].write(bytes(mirror.stores[1].size))
    there = foreign(kind, mirror.stores[1])
    try:
        info = nvme.connect_volume(props)
    except exception.BrickException:
        assert not member or mirror.gone()
    else:
        assert member, 'an array must not be made of a member with something on it'
        assert mirror.degraded() == '1'
        mark(info['path'], 'beside')
        nvme.disconnect_volume(props, info)
    assert mirror.stores[1].read(mirror.stores[1].size) == there
    if not member:
        assert not any(mirror.stores[0].read(1 << 20))
    assert mirror.gone()


def test_no_array_is_made_of_too_few_members(mirror, nvme, options):
    """One member of two at the very first attach: nothing is made, and nothing is written."""
    options(scan_timeout=3, operation_timeout=20)
    mirror.members[1].cut(0)
    with pytest.raises(exception.BrickException):
        nvme.connect_volume(mirror.properties())
    with pytest.raises(exception.BrickException):
        nvme.connect_volume(mirror.properties(0))
    assert not any(mirror.stores[0].read(mirror.stores[0].size))
    assert mirror.gone()


def test_single_replica(mirror, nvme):
    """One replica: the plain device; where it is a member of an array, the array."""
    props = mirror.properties(0, count=1)
    info = nvme.connect_volume(props)
    assert nvme_support.HEAD.fullmatch(info['path'])
    bigger = mirror.stores[0].grow(MEGABYTES + 16)
    assert nvme.extend_volume({**props, 'device_path': info['path']}) == bigger
    nvme.disconnect_volume(props, info)
    both = mirror.properties()
    info = nvme.connect_volume(both)
    data = mark(info['path'], 'both')
    nvme.disconnect_volume(both, info)
    info = nvme.connect_volume(props)
    assert info['path'] == mirror.path
    assert support.read(info['path'], offset=1 << 20) == data
    nvme.disconnect_volume(props, info)
    assert mirror.gone()
