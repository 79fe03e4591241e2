# SPDX-License-Identifier: Apache-2.0
"""An upgrade while volumes are attached, and the way back: os-brick 7.1.1 and ours on one host.

One test a protocol, with both directions in it: what the reference has attached ours finds, grows
and detaches; what ours has attached the reference finds, grows and detaches. Both use one lock
directory. Fibre Channel is in ``test_fc_differential``, which compares what both return as well.
"""

import concurrent.futures
import contextlib
import itertools
import os
import time

import pytest

from tests import breadth
from tests.functional import encryption_support as crypto
from tests.functional import lab, nvme_support, support
from tests.functional.test_nvme_raid import Mirror, mark
from tests.functional.test_rbd import props as rbd_properties
from tests.functional.test_rbd import stamp, stamped

pytestmark = [pytest.mark.reference, pytest.mark.leaves('wwid')]

# What a service may still have of the answer by the time it detaches: nova the path alone, in the
# properties; cinder all of it; and 7 returns an empty identity where it found none in time.
KEPT = {
    'answer': lambda props, info: (props, info),
    'device_path': lambda props, info: ({**props, 'device_path': info['path']}, None),
    'empty': lambda props, info: (props, {**info, 'scsi_wwn': ''}),
    'path': lambda props, info: (props, {'type': 'block', 'path': info['path']}),
    'nothing': lambda props, info: (props, None),
}
kept = pytest.mark.parametrize('kept', list(KEPT)[: breadth.examples(1, len(KEPT))])


@pytest.fixture
def theirs(reference_nursery, clean_host):
    """Makes connectors of the reference, each in a process of its own."""
    with contextlib.ExitStack() as stack:

        def make(protocol='ISCSI', **options):
            worker = reference_nursery.spawn()
            stack.callback(worker.close)
            worker.make(protocol, **options)
            return worker

        yield make


def upgrade(theirs, ours, props, grow=None, kept='answer'):
    """What the reference has attached: found, grown and detached by ours; what both returned."""
    info = theirs.call('connect_volume', props)
    lab.shell.settle()
    again = ours.connect_volume(props)
    if grow:
        size = grow()
        assert ours.extend_volume({**props, 'device_path': info['path']}) == size
        assert support.size(info['path']) == size
    ours.disconnect_volume(*KEPT[kept](props, info))
    return info, again


def downgrade(theirs, ours, props, grow=None, kept='answer'):
    """The other way round."""
    info = ours.connect_volume(props)
    lab.shell.settle()
    again = theirs.call('connect_volume', props)
    if grow:
        size = grow()
        assert theirs.call('extend_volume', {**props, 'device_path': info['path']}) == size
    theirs.call('disconnect_volume', *KEPT[kept](props, info))
    return info, again


# The single keys with multipath are a discovery: its records are not a volume's, and 7 keeps them.
@pytest.mark.leaves('record', 'wwid')
@pytest.mark.parametrize(
    ('multipath', 'portals', 'plural', 'kept'),
    [
        (False, 2, True, 'device_path'),
        (True, 2, True, 'answer'),
        *(
            (multipath, portals, plural, list(KEPT)[number % len(KEPT)])
            for number, (multipath, portals, plural) in enumerate(
                itertools.product((True, False), (1, 2, 4), (True, False))
            )
            if breadth.EVERYTHING
        ),
    ],
)
def test_iscsi(shelf, theirs, multipathd, multipath, portals, plural, kept):
    """One path and several, with all that a service may have kept."""
    multipathd(find_multipaths='no' if multipath else 'strict')
    volume = support.stamped(shelf, 'moved')
    target = shelf.target('moved', portals)
    target.map(1, volume)
    props = target.properties(1, plural=plural)
    ours, seven = lab.bricks.ours(multipath=multipath), theirs(multipath=multipath)
    info, again = upgrade(seven, ours, props, lambda: volume.grow(40), kept)
    assert again == info
    assert not support.session_count(target.iqn)
    # Over discovered portals the reference loses its own map in the extend now and then.
    grow = None if multipath and not plural else lambda: volume.grow(48)
    info, again = downgrade(seven, ours, props, grow, kept)
    assert again == info
    assert not support.session_count(target.iqn)


@kept
def test_nvme(shelf, theirs, kept):
    """Two portals of one subsystem; native multipath."""
    store, subsystem = nvme_support.served(shelf, 'moved', 2)
    props = subsystem.properties(1)
    ours, seven = lab.bricks.ours('NVMEOF', multipath=True), theirs('NVMEOF', multipath=True)
    info, again = upgrade(seven, ours, props, lambda: store.grow(40), kept)
    assert again == info
    assert not nvme_support.controllers(subsystem)
    info, again = downgrade(seven, ours, props, lambda: store.grow(48), kept)
    assert again == info
    assert not nvme_support.controllers(subsystem)


def test_replicated(shelf, theirs):
    """A volume of two copies keeps its array, with what is on it."""
    lab.shell.modules('raid1')
    mirror = Mirror(shelf, 'moved')
    props = mirror.properties()
    ours, seven = lab.bricks.ours('NVMEOF', multipath=True), theirs('NVMEOF', multipath=True)

    def grow(megabytes):
        for store in mirror.stores:
            store.grow(megabytes)

    info = seven.call('connect_volume', props)
    data = mark(info['path'], 'by the reference')
    array = nvme_support.array_of(info['path'])
    assert ours.connect_volume(props) == info
    before = support.size(info['path'])
    grow(64)
    assert ours.extend_volume({**props, 'device_path': info['path']}) >= before + (15 << 20)
    ours.disconnect_volume(props, info)
    assert mirror.gone()
    info = ours.connect_volume(props)
    assert support.read(info['path'], offset=1 << 20) == data
    assert nvme_support.array_of(info['path'])['uuid'] == array['uuid']
    assert seven.call('connect_volume', props) == info
    seven.call('disconnect_volume', props, info)
    assert mirror.gone()


@pytest.mark.parametrize(
    ('provider', 'multipath'),
    [('luks', True), ('luks2', False)] + [('luks', False), ('luks2', True)] * breadth.EVERYTHING,
)
def test_encrypted(shelf, theirs, multipathd, provider, multipath):
    """A header, a mapping and a link that one has made, the other uses, grows and takes away."""
    multipathd(find_multipaths='no' if multipath else 'strict')
    crypto.forget()
    volume = shelf.volume('moved', 48)
    target = shelf.target('moved', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True, encrypted=True)
    ours, seven = lab.bricks.ours(multipath=multipath), theirs(multipath=multipath)

    def encryption(method, path):
        seven.begin_encryption(method, path, provider, crypto.PASSPHRASE)
        return seven.finish()

    path = seven.call('connect_volume', props)['path']
    encryption('attach_volume', path)
    lab.shell.settle()
    text = b'the same to both'.ljust(support.BLOCK, b'.')
    support.write(path, text, 1 << 20)
    brick = crypto.encryptor(path, provider)
    given = {**props, 'device_path': path}
    size = volume.grow(56)
    assert ours.extend_volume(given) == size
    inner = brick.extend_volume(None, **{**crypto.METADATA, 'provider': provider})
    assert size > inner > size - (17 << 20)
    brick.detach_volume(**{**crypto.METADATA, 'provider': provider})
    assert not crypto.mappings()
    ours.disconnect_volume(given, None)
    assert not os.path.lexists(path)

    path = ours.connect_volume(props)['path']
    crypto.attach(path, provider)
    assert support.read(path, offset=1 << 20) == text
    given = {**props, 'device_path': path}
    size = volume.grow(64)
    assert seven.call('extend_volume', given) == size
    assert encryption('extend_volume', path) > inner
    encryption('detach_volume', path)
    assert not crypto.mappings()
    seven.call('disconnect_volume', given, None)
    assert not os.path.lexists(path)


def test_rbd(ceph, theirs):
    """An image that the kernel has mapped, by the tool and by root functions of ours."""
    image = stamped(ceph, 'moved')
    props = rbd_properties(ceph, image)
    seven = theirs('RBD', do_local_attach=True)
    ours = lab.bricks.ours('RBD', do_local_attach=True)
    info = seven.call('connect_volume', props)
    lab.shell.settle()
    assert support.read(info['path']) == stamp(ceph, image)
    ceph.grow(image, 32)
    assert ours.extend_volume({**props, 'device_path': info['path']}) == 32 << 20
    ours.disconnect_volume(props, info)
    assert not lab.ceph.devices()
    info = ours.connect_volume(props)
    lab.shell.settle()
    ceph.grow(image, 48)
    assert seven.call('extend_volume', {**props, 'device_path': info['path']}) == 48 << 20
    seven.call('disconnect_volume', props, info)
    assert not lab.ceph.devices()


@pytest.mark.parametrize('multipath', [False] + [True] * breadth.EVERYTHING)
def test_both_at_work_on_one_target(shelf, theirs, multipathd, multipath):
    """Each attaches and detaches a volume of its own, over and over, at the same time: the session
    that one ends as its last user is never the one that the other has just begun to use."""
    multipathd(find_multipaths='no' if multipath else 'strict')
    volumes = [support.stamped(shelf, name) for name in ('seven', 'ours')]
    target = shelf.target('shared', 2)
    for lun, volume in enumerate(volumes):
        target.map(lun + 1, volume)
    props = [target.properties(lun, plural=True) for lun in (1, 2)]
    ours, seven = lab.bricks.ours(multipath=multipath), theirs(multipath=multipath)
    ends = time.monotonic() + breadth.examples(3, 60)

    def work():
        while time.monotonic() < ends:
            info = seven.call('connect_volume', props[0])
            support.assert_is(info['path'], volumes[0])
            seven.call('disconnect_volume', props[0], info)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        other = pool.submit(work)
        while time.monotonic() < ends:
            info = ours.connect_volume(props[1])
            support.assert_is(info['path'], volumes[1])
            ours.disconnect_volume(props[1], info)
        other.result()
    assert not support.session_count(target.iqn)
