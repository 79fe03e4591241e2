# SPDX-License-Identifier: Apache-2.0
"""StorPool: real devices of a cluster's double, whose API is asked over a real socket."""

from collections.abc import Iterator
import os

import pytest

from os_brick import exception
from tests.functional import lab, support
from tests.functional.lab import storpool as lab_storpool


@pytest.fixture
def cluster(clean_host: lab.oracle.Snapshot) -> Iterator[lab_storpool.Lab]:
    with lab_storpool.Lab() as found:
        yield found


@pytest.fixture
def connector(library: None):
    return lab.bricks.ours('STORPOOL')


def test_whole_life(cluster, connector):
    """Attach, I/O, grow, detach, and again: what was written through a cache has arrived."""
    volume = cluster.volume('gold')
    props = cluster.properties('gold')
    info = connector.connect_volume(props)
    assert info == {'type': 'block', 'path': f'/dev/storpool-byid/{volume.global_id}'}
    assert support.read(info['path']).startswith(b'gold...')
    cluster.state.grow(volume, 24 << 20)
    assert connector.extend_volume({**props, 'device_path': info['path']}) == 24 << 20
    block = os.urandom(support.BLOCK)
    with open(info['path'], 'r+b') as file:
        file.seek((24 << 20) - support.BLOCK)
        file.write(block)
    device = os.path.realpath(info['path'])
    connector.disconnect_volume({**props, 'device_path': info['path']}, None)
    assert cluster.content(volume, support.BLOCK, (24 << 20) - support.BLOCK) == block
    assert cluster.attached() == {}
    assert not os.path.exists(device)
    connector.disconnect_volume(props, info)
    second = connector.connect_volume(props)
    assert second == info
    connector.disconnect_volume(props, second)
    assert cluster.attached() == {}


def test_in_use_and_forced(cluster, connector):
    """Mounted, then merely open: neither goes; by force the one that is open does."""
    volume = cluster.volume('used')
    props = cluster.properties('used')
    info = connector.connect_volume(props)
    device = os.path.realpath(info['path'])
    lab.shell.run('mkfs.ext4', '-q', device)
    lab.shell.run('mount', device, '/mnt')
    try:
        with pytest.raises(exception.VolumeInUse, match='/mnt'):
            connector.disconnect_volume(props, info)
    finally:
        lab.shell.run('umount', '/mnt')
    reader = os.open(device, os.O_RDONLY)
    try:
        with pytest.raises(exception.VolumeInUse, match=f'process {os.getpid()} '):
            connector.disconnect_volume(props, info)
        assert cluster.attached() == {volume.global_id: 'rw'}
    finally:
        os.close(reader)
    connector.disconnect_volume(props, info, force=True)
    assert cluster.attached() == {}


def test_encrypted_link(cluster, connector):
    """It leads to the device, and goes with it."""
    cluster.volume('secret')
    props = cluster.properties('secret', encrypted=True)
    info = connector.connect_volume(props)
    assert os.path.basename(info['path']).startswith('os-brick+dev+storpool-byid+')
    assert support.read(info['path']).startswith(b'secret...')
    connector.disconnect_volume(props, info)
    assert not os.path.lexists(info['path'])


def test_killed_in_an_attach(cluster, workers):
    """The cluster has attached the volume by then; what follows uses that, and leaves nothing."""
    volume = cluster.volume('killed')
    props = cluster.properties('killed')
    cluster.server.fail(2, 'hung')
    worker = workers()
    worker.make('STORPOOL')
    worker.begin('connect_volume', props)
    lab.shell.until(lambda: cluster.server.struck, 20, 'the attach is under way')
    worker.kill()
    cluster.server.heal()
    assert cluster.attached() == {volume.global_id: 'rw'}
    other = workers()
    other.make('STORPOOL')
    info = other.call('connect_volume', props)
    assert support.read(info['path']).startswith(b'killed...')
    other.call('disconnect_volume', props, info)
    assert cluster.attached() == {}
