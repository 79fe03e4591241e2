# SPDX-License-Identifier: Apache-2.0
"""LightOS: volumes of real subsystems, which a double of the discovery client connects."""

from collections.abc import Iterator
import os
import threading

import pytest

from os_brick import exception
from tests.functional import lab, nvme_support, support
from tests.functional.lab import discovery_client

properties = discovery_client.properties


@pytest.fixture
def client(clean_host: lab.oracle.Snapshot) -> Iterator[discovery_client.DiscoveryClient]:
    with discovery_client.DiscoveryClient() as found:
        yield found


@pytest.fixture
def lightos(library: None):
    return lab.bricks.ours('LIGHTOS')


def cluster(shelf, client, name, ports=2):
    """A cluster that the client can connect, with one volume."""
    store, subsystem = nvme_support.served(shelf, name, ports)
    client.clusters.append(subsystem)
    return store, subsystem


def test_whole_life(shelf, client, lightos):
    """Attach, I/O on the head over both nodes, grow, detach, again: the file comes and goes, what
    the client has connected stays, and with the namespace its device goes."""
    store, subsystem = cluster(shelf, client, 'lightlife')
    props = properties(subsystem, 1)
    info = lightos.connect_volume(props)
    assert nvme_support.HEAD.fullmatch(info['path'])
    assert client.files() == [f'{store.uuid}.conf']
    support.assert_is(info['path'], store)
    nvme_support.wait_paths(info['path'], 2)
    bigger = store.grow(48, announce=False)
    assert lightos.extend_volume(props) == bigger
    block = os.urandom(support.BLOCK)
    support.write(info['path'], block, bigger - support.BLOCK)
    kept = nvme_support.controllers(subsystem)
    lightos.disconnect_volume({**props, 'device_path': info['path']}, None)
    assert store.read(support.BLOCK, bigger - support.BLOCK) == block
    assert not client.files()
    assert nvme_support.controllers(subsystem) == kept
    assert len(kept) == 2
    lightos.disconnect_volume(props, info)
    subsystem.unmap(1)
    lab.shell.until(lambda: not os.path.exists(info['path']), 10, 'the device is gone')
    assert not client.broken


def test_second_volume_and_reused_number(shelf, client, lightos, options):
    """A volume of a cluster that is connected already; then another one under the number of a
    detached one, which is not taken for it, even before the host has been told."""
    _gold, subsystem = cluster(shelf, client, 'lighttwo')
    first = lightos.connect_volume(properties(subsystem, 1))
    silver = shelf.store('lightsilver')
    support.stamp(silver)
    subsystem.map(2, silver)
    two = properties(subsystem, 2)
    second = lightos.connect_volume(two)
    support.assert_is(second['path'], silver)
    lightos.disconnect_volume(two, second)
    copper = shelf.store('lightcopper')
    support.stamp(copper)
    subsystem.remap(2, copper)
    third = lightos.connect_volume(properties(subsystem, 2))
    support.assert_is(third['path'], copper)
    options(scan_timeout=2)
    with pytest.raises(exception.BrickException, match=silver.uuid):
        lightos.connect_volume(two)
    assert client.files() == sorted(f'{s.uuid}.conf' for s in subsystem.stores.values())
    for nsid, info in ((1, first), (2, third)):
        lightos.disconnect_volume(properties(subsystem, nsid), info)
    assert not client.files()


def test_in_use_and_forced(shelf, client, lightos):
    """A device that is open is not detached; with force it is, and the error is raised."""
    store, subsystem = cluster(shelf, client, 'lightused', 1)
    props = properties(subsystem, 1)
    info = lightos.connect_volume(props)
    with nvme_support.opened(info['path']):
        with pytest.raises(exception.VolumeInUse):
            lightos.disconnect_volume(props, info)
        assert client.files() == [f'{store.uuid}.conf']
        with pytest.raises(exception.ExceptionChainer):
            lightos.disconnect_volume(props, info, force=True)
    assert not client.files()


def test_killed_in_between(shelf, client, workers):
    """A process that is killed while it waits for the client leaves the file; the next attach of
    the volume uses it, and its detach removes it."""
    store, subsystem = cluster(shelf, client, 'lightkill', 1)
    client.delay = 1.5
    props = properties(subsystem, 1)
    worker = workers()
    worker.make('LIGHTOS')
    worker.begin('connect_volume', props)
    lab.shell.until(lambda: client.files() == [f'{store.uuid}.conf'], 10, 'the file is there')
    worker.kill()
    other = workers()
    other.make('LIGHTOS')
    info = other.call('connect_volume', props)
    support.assert_is(info['path'], store)
    other.call('disconnect_volume', props, info)
    assert not client.files()


def test_side_by_side(shelf, client, lightos):
    """Two volumes at once, of a cluster that is not connected yet."""
    gold, subsystem = cluster(shelf, client, 'lightpair')
    silver = shelf.store('lightpair2')
    support.stamp(silver)
    subsystem.map(2, silver)
    found = {}

    def attach(nsid):
        found[nsid] = lightos.connect_volume(properties(subsystem, nsid))['path']

    threads = [threading.Thread(target=attach, args=(nsid,)) for nsid in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    support.assert_is(found[1], gold)
    support.assert_is(found[2], silver)
    for nsid in (1, 2):
        lightos.disconnect_volume(properties(subsystem, nsid), None)
    assert not client.files()


def test_connector_properties(client, library):
    """What Cinder's driver asks of a host."""
    from os_brick.initiator import connector

    props = connector.get_connector_properties(None, '10.0.0.1', True, False)
    nqn, _host_id = lab.nvmet.host_identity()
    assert (props['nqn'], props['found_dsc']) == (nqn, 'found')
    shown = lab.shell.run('ip', '-o', 'addr').split('\n')
    words = [line.split() for line in shown if line]
    wanted = {each[3].partition('/')[0] for each in words if each[1] != 'lo'}
    assert set(props['host_ips']) == wanted
