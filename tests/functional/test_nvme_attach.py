# SPDX-License-Identifier: Apache-2.0
"""NVMe over Fabrics: attach, use, grow, detach."""

import copy
import json
import os
import pathlib

import pytest

from os_brick import exception
from tests.functional import lab, nvme_support, support
from tests.functional.lab import nvmet

PREFIX = '/dev/disk/by-id/os-brick'


def attach_and_detach(connector, store, subsystem, props):
    """Attach, see that it is the volume, detach; no controller is left."""
    info = connector.connect_volume(props)
    assert nvme_support.HEAD.fullmatch(info['path'])
    support.assert_is(info['path'], store)
    connector.disconnect_volume(props, info)
    assert not nvme_support.controllers(subsystem)


@pytest.mark.parametrize('ports', [1, 2])
@pytest.mark.parametrize('transport', ['tcp', 'rdma', 'fc'])
def test_whole_life(shelf, nvme, transport, ports):
    """TCP, RDMA and FC, 1 and 2 portals: attach, I/O on the head, grow, detach; afterwards no
    device, controller or subsystem that was not there before."""
    store, subsystem = nvme_support.served(shelf, f'life{transport}', ports, transport)
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    path = info['path']
    assert info['type'] == 'block'
    assert nvme_support.HEAD.fullmatch(path)
    nvme_support.wait_paths(path, ports)
    kinds = {nvme_support.attribute(n, 'transport') for n in nvme_support.controllers(subsystem)}
    assert kinds == {transport}
    support.assert_is(path, store)
    bigger = store.grow(48)
    assert nvme.extend_volume(props) == bigger
    assert support.size(path) == bigger
    block = os.urandom(support.BLOCK)
    support.write(path, block, bigger - support.BLOCK)
    assert store.read(support.BLOCK, bigger - support.BLOCK) == block
    nvme.disconnect_volume(props, info)
    assert not nvme_support.controllers(subsystem)


@pytest.mark.parametrize(('block', 'announced'), [(4096, True), (4096, False), (512, False)])
def test_grow(shelf, nvme, block, announced):
    """512-byte and 4 KiB blocks, arrays that tell and that do not: the new size is returned, is
    the kernel's, and takes no ten seconds."""
    store, subsystem = nvme_support.served(shelf, 'grow', 2, block=block)
    props = subsystem.properties(1)
    info = nvme.connect_volume(props)
    for megabytes in (40, 64):
        bigger = store.grow(megabytes, announce=announced)
        with support.Stopwatch() as watch:
            if announced:  # The kernel may know the size by then.
                assert nvme.extend_volume(props) == bigger
            else:
                assert support.as_planned(nvme, 'extend', props) == bigger
        assert watch.seconds < 3
        assert support.size(info['path']) == bigger
    assert nvme.extend_volume({**props, 'device_path': info['path']}) == bigger
    nvme.disconnect_volume(props, info)


def test_several_namespaces(shelf, nvme):
    """Two volumes of one subsystem: the detach of one leaves the other and its paths alone, the
    detach of the other takes every path away."""
    first, subsystem = nvme_support.served(shelf, 'several', 2)
    second = shelf.store('second')
    support.stamp(second)
    subsystem.map(2, second)
    one, two = subsystem.properties(1), subsystem.properties(2)
    info = nvme.connect_volume(one)
    other = nvme.connect_volume(two)
    nvme_support.wait_paths(other['path'], 2)
    support.assert_is(info['path'], first)
    kept = nvme_support.controllers(subsystem)
    assert len(kept) == 2
    nvme.disconnect_volume(one, info)
    subsystem.unmap(1)
    assert nvme_support.controllers(subsystem) == kept
    support.assert_is(other['path'], second)
    nvme.disconnect_volume(two, other)
    assert not nvme_support.controllers(subsystem)


def persisted(props):
    """The properties as nova keeps them: through JSON, tuples as lists."""
    return json.loads(json.dumps({**props, 'vol_uuid': None}))


def test_shapes(shelf, nvme):
    """Old and new properties, ports as numbers and as text, tuples and lists; every way to name
    the namespace. The caller's dictionary is not changed by any call."""
    store, subsystem = nvme_support.served(shelf, 'shapes')
    plain = store.nguid.replace('-', '').upper()
    shapes = {
        'old': subsystem.properties(1, 'A', target_port=4420),
        'old by nsid': subsystem.properties(1, 'A', by=('ns_id',), transport_type='TCP'),
        'persisted': persisted(subsystem.properties(1)),
        'nsid text': subsystem.properties(1, by=(), ns_id='1'),
        'nguid plain': subsystem.properties(1, volume_nguid=plain),
        'uuid': subsystem.properties(1, vol_uuid=store.uuid.upper(), by=()),
        'all': subsystem.properties(1, by=('vol_uuid', 'volume_nguid', 'ns_id'), unknown='word'),
    }
    for name, props in shapes.items():
        given = copy.deepcopy(props)
        info = nvme.connect_volume(props)
        kept = dict(info)
        support.assert_is(info['path'], store)
        assert nvme.extend_volume(props) == store.size, name
        assert nvme.get_volume_paths(props) == [info['path']], name
        nvme.disconnect_volume(props, info)
        assert (props, info) == (given, kept), name
        assert not nvme_support.controllers(subsystem), name


def test_namespace_without_a_name(shelf, nvme):
    """No name given at all: the only namespace is returned; of two, none is."""
    store, subsystem = nvme_support.served(shelf, 'unnamed')
    props = subsystem.properties(1, by=())
    attach_and_detach(nvme, store, subsystem, props)
    subsystem.map(2, shelf.store('unnamed2'))
    lab.bricks.configure_here(scan_timeout=2)
    with pytest.raises(exception.BrickException):
        nvme.connect_volume(props)
    assert not nvme_support.controllers(subsystem)


BAD = {
    'target_nqn': 'nqn.2024-01.org.example:a,b',
    'portals': [('10.99.0.1', 4420)],
    'vol_uuid': 'nonsense',
    'volume_nguid': 'nonsense',
    'ns_id': 'one',
}


def test_bad_properties(shelf, nvme):
    """A property that is missing or wrong is named, and nothing is connected."""
    _store, subsystem = nvme_support.served(shelf, 'bad')
    props = subsystem.properties(1)
    for key, value in BAD.items():
        with pytest.raises(exception.InvalidParameterValue, match=key):
            nvme.connect_volume({**props, key: value})
    for key in ('nqn', 'target_portal', 'target_port', 'transport_type'):
        old = subsystem.properties(1, 'A')
        del old[key]
        with pytest.raises(exception.InvalidParameterValue, match=key):
            nvme.connect_volume(old)
    assert not nvme_support.controllers(subsystem)


def test_encrypted_link(shelf, nvme):
    """An encrypted volume is returned by a link of ours, found again by it, and it goes."""
    store, subsystem = nvme_support.served(shelf, 'locked', 2)
    props = subsystem.properties(1, encrypted=True)
    info = nvme.connect_volume(props)
    assert info['path'] == PREFIX + os.path.realpath(info['path']).replace('/', '+')
    support.assert_is(info['path'], store)
    bigger = store.grow(48)
    given = {**props, 'device_path': info['path']}
    assert nvme.extend_volume(given) == bigger
    nvme.disconnect_volume(given, None)
    assert not os.path.lexists(info['path'])


def test_single_path(shelf, nvme_single):
    """A connector without multipath: one connection is enough, the next portal is tried where
    the first refuses or does not show the namespace."""
    store, subsystem = nvme_support.served(shelf, 'one', 2)
    (plan,) = nvme_single.plan('attach', subsystem.properties(1))
    assert [step.verb.value for step in plan.steps].count('connect') == 2
    assert not nvme_support.controllers(subsystem)
    info = nvme_single.connect_volume(subsystem.properties(1))
    assert len(nvme_support.controllers(subsystem)) == 1
    support.assert_is(info['path'], store)
    (plan,) = nvme_single.plan('attach', subsystem.properties(1))
    assert [step.verb.value for step in plan.steps].count('connect') == 1
    assert info['path'] in plan.now[-1]
    nvme_single.disconnect_volume(subsystem.properties(1), info)
    refusing = [(lab.net.REFUSING, '4420', 'tcp'), subsystem.ports[1].portal()]
    props = subsystem.properties(1, portals=refusing)
    attach_and_detach(nvme_single, store, subsystem, props)
    subsystem.ports[0].ana('inaccessible')
    attach_and_detach(nvme_single, store, subsystem, subsystem.properties(1))


def test_enforced_multipath(shelf, nvme):
    """Where multipath is enforced one path is not enough: nothing is attached."""
    store, subsystem = nvme_support.served(shelf, 'enforced', 2)
    props = subsystem.properties(1, enforce_multipath=True)
    attach_and_detach(nvme, store, subsystem, props)
    portals = [subsystem.ports[0].portal(), (lab.net.REFUSING, '4420', 'tcp')]
    with pytest.raises(exception.BrickException, match=lab.net.REFUSING):
        nvme.connect_volume({**props, 'portals': portals})
    assert not nvme_support.controllers(subsystem)


def test_ana_at_attach(shelf, nvme, options):
    """A non-optimized path is enough beside an inaccessible one; with every path inaccessible
    there is nothing to return, in time and without a read that hangs."""
    store, subsystem = nvme_support.served(shelf, 'ana', 2)
    props = subsystem.properties(1)
    subsystem.ports[0].ana('inaccessible')
    subsystem.ports[1].ana('non-optimized')
    attach_and_detach(nvme, store, subsystem, props)
    subsystem.ports[1].ana('inaccessible')
    options(scan_timeout=3)
    with support.Stopwatch() as watch, pytest.raises(exception.VolumeDeviceNotFound) as caught:
        nvme.connect_volume(props)
    assert watch.seconds < 8
    assert store.nguid in str(caught.value)
    assert not nvme_support.controllers(subsystem)


def test_no_program_is_started(shelf, nvme):
    """Attach, extend and detach start no program at all."""
    store, subsystem = nvme_support.served(shelf, 'programs', 2)
    props = subsystem.properties(1)
    with lab.programs.Recorder() as recorder:
        info = nvme.connect_volume(props)
        bigger = store.grow(48)
        assert nvme.extend_volume(props) == bigger
        nvme.disconnect_volume(props, info)
    assert [str(program) for program in recorder.ours()] == []


def test_connector_properties(library):
    """The host's names as the files have them, and whether there is native multipath; no
    program is started the second time."""
    from os_brick.initiator import connector

    nqn, host_id = nvmet.host_identity()
    connector.get_connector_properties(None, '10.0.0.1', True, False)
    with lab.programs.Recorder() as recorder:
        props = connector.get_connector_properties(None, '10.0.0.1', True, False)
    assert (props['nqn'], props['nvme_hostid']) == (nqn, host_id)
    assert props['nvme_native_multipath'] is True
    started = [str(program) for program in recorder.ours()]
    assert not [line for line in started if 'nvme' in line or 'findmnt' in line or 'blkid' in line]


def test_host_identity_is_made_once(workers):
    """Without the two files: two processes make them at once, so that they agree; both answer
    with what is in the files."""
    paths = [pathlib.Path('/etc/nvme/hostnqn'), pathlib.Path('/etc/nvme/hostid')]
    old = [path.read_text() for path in paths]
    staff = [workers(), workers()]
    for worker in staff:
        worker.make('NVMEOF', multipath=True)
    try:
        for path in paths:
            path.unlink()
        for worker in staff:
            worker.start(do='properties', multipath=True, enforce=False)
        seen = [worker.finish() for worker in staff]
        made = [lab.shell.read(path) for path in paths]
    finally:
        for path, text in zip(paths, old, strict=True):
            path.write_text(text)
    assert made[0].endswith(f':uuid:{made[1]}')
    assert [[props['nqn'], props['nvme_hostid']] for props in seen] == [made, made]


def test_run_nvme_cli(nvme):
    """cinder calls nvme-cli through the connector, with numbers among the words."""
    out, err = nvme.run_nvme_cli(['version'])
    assert 'nvme version' in out
    assert isinstance(err, str)
