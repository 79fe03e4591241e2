# SPDX-License-Identifier: Apache-2.0
"""Images of a real Ceph as open files, as glance and cinder-backup use them."""

import contextlib
import gc
import hashlib
import io
import json
import logging
import os
import random
import subprocess
import sys
import time

import pytest

from os_brick import exception
from tests.functional import lab, support

MIB = 1 << 20
WRONG = 'AQAAAAAAAAAAABAAZ2VoZWltIDQ3MTEgaGVyZQ=='
LAYERING = 1  # and no lock of its own


@pytest.fixture
def brick(library):
    """A connector whose volumes are open images."""
    return lab.bricks.ours('RBD')


def props(cluster, image, user='cinder', **more):
    """Properties with the user's key in them."""
    keyring = cluster.keyring(user, image.pool, image.namespace)
    return cluster.properties(image, user, **{'keyring': keyring, **more})


@contextlib.contextmanager
def attached(brick, given):
    """The open image of a volume; it is detached after the block."""
    info = brick.connect_volume(given)
    try:
        yield info['path']
    finally:
        brick.disconnect_volume(given, info)


def noise(size, seed=0):
    return random.Random(seed).randbytes(size)


def stream_out(file, chunk):
    return b''.join(iter(lambda: file.read(chunk), b''))


def grow(ceph, image, file, megabytes):
    """Have another client grow an image; the open file learns of it, and stays where it is."""
    ceph.grow(image, megabytes)
    offset = file.tell()
    lab.shell.until(lambda: file.seek(0, os.SEEK_END) == megabytes * MIB, 10, 'it has grown')
    file.seek(offset)


def test_a_stream_in_and_out_with_seek_and_resize(ceph, brick):
    """As glance writes an image of unknown size: it grows the volume when that is full."""
    data = noise(30 * MIB + 12345)
    image = ceph.image('gold', 8)
    given = props(ceph, image)
    with attached(brick, given) as file:
        for start in range(0, len(data), 65536):
            part = data[start : start + 65536]
            if start and start % (8 * MIB) == 0:
                with pytest.raises(OSError, match='ends before byte'):
                    file.write(part)
                grow(ceph, image, file, start // MIB + 8)
            assert file.write(part) == len(part)
    assert hashlib.sha256(ceph.read(image, len(data))).digest() == hashlib.sha256(data).digest()
    assert brick.extend_volume(given) == 32 * MIB

    with attached(brick, given) as file:
        assert brick.check_valid_device(file)
        whole = stream_out(file, 4 * MIB)
        assert (whole[: len(data)], len(whole)) == (data, 32 * MIB)
        file.seek(5 * MIB + 1)
        assert file.write(b'changed') == 7
        assert file.read(10) == data[5 * MIB + 8 : 5 * MIB + 18]
        file.seek(-7, os.SEEK_CUR)
        with pytest.raises(io.UnsupportedOperation):
            file.fileno()
        file.flush()
        assert ceph.read(image, 7, 5 * MIB + 1) == b'changed'
        buffered = io.BufferedReader(file)
        buffered.seek(20 * MIB - 3)
        assert buffered.read(100) == data[20 * MIB - 3 : 20 * MIB + 97]
        buffered.detach()
        assert file.truncate(6 * MIB) == 6 * MIB
        assert file.seek(0, os.SEEK_END) == 6 * MIB
    assert brick.extend_volume(given) == 6 * MIB


def test_sparse_images_snapshots_and_clones(ceph, brick):
    """Each is what it is: holes are zeros, a snapshot is what was, a clone is written alone."""
    import rbd

    image = ceph.image('parent', 16)
    ceph.write(image, b'old', 9 * MIB)
    with ceph.opened(image) as handle:
        handle.create_snap('before')
        handle.protect_snap('before')
    ceph.write(image, b'new', 9 * MIB)
    with ceph.pool() as pool:
        rbd.RBD().clone(pool, 'parent', 'before', pool, 'child', features=LAYERING)
    child = lab.ceph.Image('child')
    try:
        given = props(ceph, image)
        expected = bytes(9 * MIB) + b'old' + bytes(7 * MIB - 3)
        with attached(brick, {**given, 'name': 'rbd/parent@before'}) as file:
            assert stream_out(file, MIB) == expected
            assert not file.writable()
            with pytest.raises(io.UnsupportedOperation):
                file.write(b'x')
        with attached(brick, {**given, 'name': 'rbd/child'}) as file:
            assert stream_out(file, 16 * MIB) == expected
            file.seek(9 * MIB + 1)
            file.write(b'LD')
        assert ceph.read(child, 3, 9 * MIB) == b'oLD'
        with attached(brick, given) as file:
            file.seek(9 * MIB)
            assert file.read(4) == b'new\0'
    finally:
        with ceph.pool() as pool:
            rbd.RBD().remove(pool, 'child')


def test_one_name_in_pools_namespaces_and_clusters(ceph, second_ceph, brick):
    """Each open image is its own; the second cluster has an IPv6 monitor."""
    ceph.namespace('gold')
    places = [
        (ceph, {}),
        (ceph, {'pool': 'other'}),
        (ceph, {'namespace': 'gold'}),
        (second_ceph, {}),
    ]
    users = ('cinder', 'glance', 'nova', 'cinder')
    images = [cluster.image('same', 4, **place) for cluster, place in places]
    with contextlib.ExitStack() as stack:
        files = [
            stack.enter_context(attached(brick, props(cluster, image, user)))
            for (cluster, _place), image, user in zip(places, images, users, strict=True)
        ]
        for number, file in enumerate(files):
            file.write(f'volume {number}'.encode())
    found = [
        cluster.read(image, 8) for (cluster, _place), image in zip(places, images, strict=True)
    ]
    assert found == [b'volume 0', b'volume 1', b'volume 2', b'volume 3']


@pytest.mark.parametrize(
    ('change', 'error', 'match'),
    [
        ({'keyring': f'[client.cinder]\n\tkey = {WRONG}\n'}, exception.BrickException, 'as user'),
        ({'name': 'rbd/absent'}, Exception, 'absent'),
        ({'name': 'rbd/absent/bad'}, Exception, 'bad'),
        ({'name': 'nowhere/bad'}, exception.BrickException, 'nowhere'),
        ({'name': 'rbd/bad@absent'}, Exception, 'bad'),
    ],
    ids=['key', 'image', 'namespace', 'pool', 'snapshot'],
)
def test_what_cannot_be_opened(ceph, brick, caplog, change, error, match):
    """The error says what, without the key, and no connection stays."""
    caplog.set_level(logging.DEBUG)
    given = {**props(ceph, ceph.image('bad', 4)), **change}
    with pytest.raises(error, match=match) as caught:
        brick.connect_volume(given)
    for secret in (WRONG, ceph.user('cinder')):
        support.assert_nowhere(secret, caplog, [], brick, caught.value)


def test_a_monitor_that_is_away(ceph, brick, options):
    """One of two answers: it opens. None answers: it ends in its time."""
    image = ceph.image('lonely', 4)
    given = props(ceph, image)
    both = {'hosts': [lab.net.UNRESPONSIVE[0], ceph.address], 'ports': ['6789', '6789']}
    with attached(brick, {**given, **both}) as file:
        assert file.read(8) == bytes(8)
    options(operation_timeout=6)
    ceph.hang(lab.ceph.MON)
    began = time.monotonic()
    with pytest.raises(exception.OperationTimedOut, match='pool rbd'):
        brick.connect_volume(given)
    assert time.monotonic() - began < 10


def test_an_osd_that_hangs(ceph, brick, options):
    """Reads and writes end in their time, each lost write is told, and it closes all the same."""
    image = ceph.image('stuck', 16)
    given = props(ceph, image)
    options(operation_timeout=6)
    info = brick.connect_volume(given)
    file = info['path']
    file.write(b'before')
    file.flush()
    ceph.hang(lab.ceph.OSD)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        file.read(4096)
    assert file.tell() == 6
    file.write(noise(4 * MIB))
    with pytest.raises(TimeoutError):
        file.flush()
    file.write(b'more')
    with pytest.raises(TimeoutError):
        brick.disconnect_volume(given, info)
    assert file.closed
    assert time.monotonic() - began < 40
    ceph.resume(lab.ceph.OSD)
    options(operation_timeout=60)
    lab.shell.until(lambda: not ceph.watchers(image), 40, 'the image has been closed')
    with attached(brick, given) as again:
        assert again.read(6) == b'before'
        again.seek(0)
        again.write(b'after.')
    assert ceph.read(image, 6) == b'after.'


def test_watchers(ceph, brick):
    """An image that another client has open, with its lock, is read and written, and grows."""
    image = ceph.image('watched', 4)
    given = props(ceph, image)
    with ceph.opened(image) as other:
        other.write(b'theirs', 0)
        with attached(brick, given) as file:
            assert len(ceph.watchers(image)) == 2
            assert file.read(6) == b'theirs'
            file.write(b'ours')
            file.flush()
            assert other.read(0, 10) == b'theirsours'
            other.resize(8 * MIB)
            lab.shell.until(lambda: file.seek(0, os.SEEK_END) == 8 * MIB, 10, 'it has grown')
        assert len(ceph.watchers(image)) == 1


KILLED = """
import json, sys
from os_brick.initiator import connector
import os_brick
given, config = json.load(sys.stdin)
from oslo_config import cfg
cfg.CONF([], project='os_brick', default_config_files=[config])
os_brick.setup(cfg.CONF)
file = connector.InitiatorConnector.factory('RBD', None).connect_volume(given)['path']
file.write(b'safe')
file.flush()
file.write(b'x' * (1 << 20))
print('open', flush=True)
sys.stdin.read()
import time
time.sleep(600)
"""


def test_killed_with_the_image_open(ceph, brick, tmp_path):
    """What was flushed is there, and another process goes on at once."""
    image = ceph.image('orphan', 4, features=LAYERING)
    given = props(ceph, image)
    config = lab.bricks.write_config(tmp_path)
    environment = {**os.environ, 'PYTHONPATH': str(lab.bricks.CHECKOUT)}
    process = subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-c', KILLED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps([given, config]))
    process.stdin.close()
    assert process.stdout.readline() == 'open\n'
    process.kill()
    process.wait()
    process.stdout.close()
    with attached(brick, given) as file:
        assert file.read(4) == b'safe'
        file.seek(0)
        file.write(b'next')
    assert ceph.read(image, 4) == b'next'
    # The cluster forgets the watch of a dead client after 30 s, or when it is told.
    for address in ceph.watchers(image):
        ceph.monitor(prefix='osd blocklist', blocklistop='add', addr=address)


def test_a_handle_that_is_dropped_is_written_and_closed(ceph, brick):
    """Nothing of it stays open, and a warning says so."""
    image = ceph.image('dropped', 4)
    files = [brick.connect_volume(props(ceph, image))['path']]
    files[0].write(b'kept')
    with pytest.warns(ResourceWarning, match='unclosed .*rbd/dropped'):
        files.clear()
    gc.collect()
    assert not ceph.watchers(image)
    assert ceph.read(image, 4) == b'kept'
