# SPDX-License-Identifier: Apache-2.0
"""Images of a real Ceph: mapped by the kernel, and opened by a process."""

import contextlib
import logging
import os
import pathlib
import stat
import tempfile
import threading
import time

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.host import notes
from os_brick.model import rbd_mark
from tests.functional import lab, support

PLACES = (tempfile.gettempdir(), '/run', '/dev/shm', '/etc/ceph')


@pytest.fixture
def local(library):
    """A connector whose volumes are block devices."""
    return lab.bricks.ours('RBD', do_local_attach=True)


def props(cluster, image, user='cinder', **more):
    """Properties with the user's key in them, as cinderlib passes it."""
    keyring = cluster.keyring(user, image.pool, image.namespace)
    return cluster.properties(image, user, **{'keyring': keyring, **more})


def stamped(cluster, name, **more):
    """An image with its name and its cluster at its beginning."""
    image = cluster.image(name, **more)
    cluster.write(image, stamp(cluster, image))
    return image


def stamp(cluster, image):
    return f'{cluster.fsid} {image}'.encode().ljust(4096, b'.')


def assert_is(path, cluster, image):
    """The device is this image: its stamp is read, and what is written arrives."""
    assert support.read(path) == stamp(cluster, image)
    mark = f'{image} {time.monotonic_ns()}'.encode().ljust(4096, b'#')
    support.write(path, mark, 1 << 20)
    assert cluster.read(image, 4096, 1 << 20) == mark


def number(path):
    return support.node(path).removeprefix('rbd')


def map_by_hand(cluster, image, *options, blanks=' '):
    """The device that another one on this host has mapped; it is unmapped by the test.

    :param blanks: what stands before the last word of the order.
    """
    before = set(lab.ceph.devices())
    secret = cluster.user('operator', image.pool)
    where = f'[{cluster.address}]' if ':' in cluster.address else cluster.address
    words = ','.join(('name=operator', f'secret={secret}', *options))
    order = f'{where}:{lab.ceph.PORT} {words} {image.pool} {image.name}{blanks}-'
    lab.shell.write('/sys/bus/rbd/add_single_major', order)
    (device,) = set(lab.ceph.devices()) - before
    lab.shell.settle()
    return f'/dev/rbd{device.name}'


def files_with(secret):
    """The files that have a secret in them, where a program may have put it."""
    for place in PLACES:
        for directory, _folders, names in os.walk(place):
            if directory.startswith('/dev/shm/lab-ceph-'):
                continue
            for name in names:
                path = pathlib.Path(directory, name)
                with contextlib.suppress(OSError):
                    if stat.S_ISREG(path.stat().st_mode) and secret.encode() in path.read_bytes():
                        yield str(path)


def test_map_grow_unmap(ceph, local, caplog):
    """The whole life of a volume; its key is in no log, error, command line or file."""
    caplog.set_level(logging.DEBUG)
    image = stamped(ceph, 'gold')
    given = props(ceph, image)
    secret = ceph.user('cinder')
    with lab.programs.watch_cmdlines(secret) as leaks:
        info = support.as_planned(local, 'attach', given)
        assert info == {'type': 'block', 'path': info['path']}
        assert_is(info['path'], ceph, image)
        assert not list(files_with(secret))
        assert local.get_volume_paths(given) == [info['path']]
        assert local.check_valid_device(info['path'])
        # Attached twice: the same device.
        assert local.connect_volume(given) == info
        assert len(lab.ceph.devices()) == 1
        told = lab.shell.read(lab.ceph.DEVICES / number(info['path']) / 'config_info')
        assert told
        assert secret not in told
        ceph.grow(image, 32)
        assert support.as_planned(local, 'extend', given) == 32 << 20
        assert support.size(info['path']) == 32 << 20
        support.as_planned(local, 'detach', given, info)
        assert not lab.ceph.devices()
        local.disconnect_volume(given, info)
    with lab.programs.Recorder() as recorder:
        local.disconnect_volume(given, local.connect_volume(given))
    assert not recorder.ours()
    support.assert_nowhere(secret, caplog, leaks, local, info)


def noted():
    """The paths of the images whose attaches are noted."""
    found = notes.every(cfg.CONF.os_brick.state_path).notes
    return {f'/dev/{each.device}' for each in found if each.protocol == 'rbd'}


def test_two_clusters_with_one_name(ceph, second_ceph, local):
    """Each volume is its own cluster's, through both ends of its life, and so is its note; the
    second one has an IPv6 monitor."""
    one, other = stamped(ceph, 'twin'), stamped(second_ceph, 'twin')
    first, second = props(ceph, one), props(second_ceph, other)
    info = local.connect_volume(first)
    info2 = local.connect_volume(second)
    assert info != info2
    assert_is(info['path'], ceph, one)
    assert_is(info2['path'], second_ceph, other)
    assert local.connect_volume(first) == info
    assert noted() == {info['path'], info2['path']}
    assert local.get_volume_paths(second) == [info2['path']]
    second_ceph.grow(other, 32)
    assert local.extend_volume(first) == 16 << 20
    assert local.extend_volume(second) == 32 << 20
    # Without device_info, as nova calls it.
    local.disconnect_volume(first, None)
    assert_is(info2['path'], second_ceph, other)
    local.disconnect_volume(first, info)
    assert noted() == {info2['path']}
    assert [lab.shell.read(each / 'cluster_fsid') for each in lab.ceph.devices()] == [
        second_ceph.fsid
    ]
    local.disconnect_volume(second, info2)
    assert not noted()


def test_namespaces_pools_and_snapshots(ceph, local):
    """Four images of one name are four devices."""
    ceph.namespace('gold')
    plain = stamped(ceph, 'same')
    images = [plain, stamped(ceph, 'same', pool='other'), stamped(ceph, 'same', namespace='gold')]
    with ceph.opened(plain) as handle:
        handle.create_snap('before')
    ceph.write(plain, b'x' * 4096, 8192)
    users = ('cinder', 'glance', 'nova')
    given = [props(ceph, *pair) for pair in zip(images, users, strict=True)]
    snapshot = {**given[0], 'name': 'rbd/same@before'}
    infos = [local.connect_volume(each) for each in given]
    frozen = local.connect_volume(snapshot)
    for image, info in zip(images, infos, strict=True):
        assert_is(info['path'], ceph, image)
    assert support.read(frozen['path'], 4096, 8192) == bytes(4096)
    assert support.read(infos[0]['path'], 4096, 8192) == b'x' * 4096
    with pytest.raises(OSError, match=r'(?i)permitted|read-only'):
        support.write(frozen['path'], bytes(4096))
    local.disconnect_volume(given[1], infos[1])
    assert [local.get_volume_paths(each) for each in (*given, snapshot)] == [
        [infos[0]['path']],
        [],
        [infos[2]['path']],
        [frozen['path']],
    ]
    for each in (given[2], snapshot, given[0]):
        local.disconnect_volume(each, None)


def test_in_use(ceph, local):
    """A detach of what is in use is refused, and with force goes on."""
    image = stamped(ceph, 'busy')
    given = props(ceph, image)
    info = local.connect_volume(given)
    with open(info['path'], 'rb'):
        with pytest.raises(exception.VolumeInUse, match=info['path']):
            local.disconnect_volume(given, info)
        assert_is(info['path'], ceph, image)
        local.disconnect_volume(given, info, force=True, ignore_errors=True)
    assert not lab.ceph.devices()


def test_a_map_of_another_user_of_this_host(ceph, local):
    """It is used where it can be written to, and stays where there is one of ours."""
    image = stamped(ceph, 'shared')
    given = props(ceph, image)
    by_hand = map_by_hand(ceph, image, 'ro')
    info = local.connect_volume(given)
    assert info['path'] != by_hand
    assert_is(info['path'], ceph, image)
    local.disconnect_volume(given, None)
    assert [f'/dev/rbd{each.name}' for each in lab.ceph.devices()] == [by_hand]
    lab.ceph.unmap(number(by_hand))
    # One that os-brick 7.1.1 has made has no mark of ours, either.
    by_hand = map_by_hand(ceph, image)
    assert local.connect_volume(given)['path'] == by_hand
    local.disconnect_volume(given, {'path': '/dev/rbd/rbd/shared', 'type': 'block'})


def test_the_kernel_keeps_the_blanks_of_an_order(ceph, local):
    """They are the mark of a map of a cluster without keys."""
    mark = 'os-brick-map-0123456789abcdef'
    device = map_by_hand(ceph, stamped(ceph, 'blanks'), blanks=rbd_mark.blanks_of(mark))
    shown = pathlib.Path(f'/sys/bus/rbd/devices/{number(device)}/config_info').read_text()
    assert rbd_mark.of_blanks(shown) == mark
    lab.ceph.unmap(number(device))


def test_watchers(ceph, local):
    """An image that another client has open can be attached, and that client keeps it."""
    image = stamped(ceph, 'watched')
    given = props(ceph, image)
    with ceph.opened(image) as handle:
        info = local.connect_volume(given)
        assert len(ceph.watchers(image)) == 2
        assert support.read(info['path']) == stamp(ceph, image)
        local.disconnect_volume(given, info)
        assert len(ceph.watchers(image)) == 1
        # One that does not let its lock go is named.
        import rbd

        handle.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)
        with pytest.raises(exception.VolumeInUse, match=r'rbd/watched.*locked'):
            local.connect_volume(given)


WRONG = 'AQAAAAAAAAAAABAAZ2VoZWltIDQ3MTEgaGVyZQ=='


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        ({'keyring': f'[client.cinder]\n\tkey = {WRONG}\n'}, 'reject'),
        ({'name': 'rbd/absent'}, 'no such pool, namespace, image'),
        ({'name': 'nowhere/bad'}, 'no such pool'),
        ({'name': 'rbd/absent/bad'}, 'no such pool'),
        ({'name': 'other/bad'}, 'capabilities'),
        ({'name': 'rbd/new'}, 'rbd feature disable'),
        ({'keyring': None}, r'/etc/ceph/ceph\.client\.cinder\.keyring'),
    ],
    ids=['key', 'image', 'pool', 'namespace', 'capabilities', 'features', 'no key'],
)
def test_what_cannot_be_mapped(ceph, local, caplog, change, match):
    """The error says why, without the key, and nothing is left."""
    caplog.set_level(logging.DEBUG)
    image = ceph.image('bad')
    ceph.image('new', features=1 | 4 | 64)  # with a journal, which the kernel cannot write
    given = {**props(ceph, image), **change}
    with (
        lab.programs.watch_cmdlines(WRONG) as leaks,
        pytest.raises(exception.VolumeDeviceNotFound, match=match) as caught,
    ):
        local.connect_volume(given)
    assert not list(files_with(WRONG))
    support.assert_nowhere(WRONG, caplog, leaks, local, caught.value)


def test_a_key_of_this_host(ceph, local):
    """Without a key in the properties: that of root's keyring, and the monitors of ceph.conf."""
    image = stamped(ceph, 'hosted')
    conf, keyring = (
        pathlib.Path('/etc/ceph/gold.conf'),
        pathlib.Path('/etc/ceph/gold.client.cinder.keyring'),
    )
    given = {**ceph.properties(image), 'cluster_name': 'gold', 'hosts': [], 'ports': []}
    try:
        conf.write_text(
            f'[global]\nmon host = [v2:{ceph.address}:3300/0,v1:{ceph.address}:6789/0]\n'
        )
        keyring.write_text(ceph.keyring())
        keyring.chmod(0o600)
        info = local.connect_volume(given)
        assert_is(info['path'], ceph, image)
        assert local.get_volume_paths(given) == [info['path']]
        local.disconnect_volume(given, info)
    finally:
        conf.unlink(missing_ok=True)
        keyring.unlink(missing_ok=True)


def test_a_monitor_that_is_away(ceph, local):
    """One of two monitors answers: the attach succeeds, and so does the detach with none."""
    image = stamped(ceph, 'lonely')
    given = props(ceph, image)
    given |= {'hosts': [lab.net.UNRESPONSIVE[0], ceph.address], 'ports': ['6789', 6789]}
    info = local.connect_volume(given)
    assert_is(info['path'], ceph, image)
    ceph.hang(lab.ceph.MON)
    local.disconnect_volume(given, info)
    assert not lab.ceph.devices()


@pytest.mark.parametrize('daemon', [lab.ceph.MON, lab.ceph.OSD])
def test_a_hung_cluster(ceph, local, options, daemon):
    """The attach ends in its time with an error, and nothing is left, hung or later."""
    image = ceph.image('stuck')
    given = props(ceph, image)
    options(operation_timeout=5)
    ceph.hang(daemon)
    began = time.monotonic()
    with pytest.raises(exception.OperationTimedOut, match='rbd/stuck'):
        local.connect_volume(given)
    assert time.monotonic() - began < 8
    ceph.resume(daemon)
    lab.shell.until(lambda: not lab.oracle.stuck(), 10, 'no process is stuck')
    assert not lab.ceph.devices()
    options(operation_timeout=60)
    local.disconnect_volume(given, local.connect_volume(given))


@pytest.mark.parametrize('force', [False, True])
def test_a_detach_from_a_hung_cluster(ceph, local, options, force):
    """It ends in its time with an error; what was written arrives once the cluster goes on."""
    image = stamped(ceph, 'dirty')
    given = props(ceph, image)
    info = local.connect_volume(given)
    ceph.hang(lab.ceph.OSD)
    descriptor = os.open(info['path'], os.O_WRONLY)
    os.pwrite(descriptor, b'late'.ljust(4096, b'!'), 8192)  # into the page cache
    # The last close of a device writes back, and waits for the cluster.
    threading.Thread(target=os.close, args=[descriptor], daemon=True).start()
    options(operation_timeout=5)
    began = time.monotonic()
    with pytest.raises((exception.BrickException, exception.ExceptionChainer), match=r'(?i)rbd'):
        local.disconnect_volume(given, info, force=force)
    assert time.monotonic() - began < 8
    ceph.resume(lab.ceph.OSD)
    lab.shell.until(lambda: not lab.oracle.stuck(), 10, 'no process is stuck')
    options(operation_timeout=60)
    local.disconnect_volume(given, info)
    assert not lab.ceph.devices()
    # The watch of a map that went by force ends in its time (osd_client_watch_timeout, 30 s).
    lab.shell.until(lambda: not ceph.watchers(image), 45, 'the watch has ended')
    # With force, what could not be written back may be lost.
    assert force or ceph.read(image, 8, 8192) == b'late!!!!'


def test_killed_while_it_maps(ceph, local, workers):
    """What a killed process leaves is used by the next attach, and goes with a detach."""
    image = stamped(ceph, 'orphan')
    given = props(ceph, image)
    worker = workers()
    worker.make('RBD', do_local_attach=True)
    ceph.hang(lab.ceph.OSD)
    worker.begin('connect_volume', given)
    time.sleep(1)
    worker.kill()
    ceph.resume(lab.ceph.OSD)
    info = local.connect_volume(given)
    assert_is(info['path'], ceph, image)
    local.disconnect_volume(given, None)
    assert not lab.ceph.devices()


def test_two_at_once(ceph, workers):
    """Two processes attach one volume: one device."""
    image = stamped(ceph, 'twice')
    given = props(ceph, image)
    both = [workers(), workers()]
    for worker in both:
        worker.make('RBD', do_local_attach=True)
    for worker in both:
        worker.begin('connect_volume', given)
    infos = [worker.finish() for worker in both]
    assert infos[0] == infos[1]
    assert len(lab.ceph.devices()) == 1
    both[0].call('disconnect_volume', given, infos[0])
    both[1].call('disconnect_volume', given, infos[1])
    assert not lab.ceph.devices()


def test_encrypted(ceph, local):
    """The path is a link of ours, which goes with the detach."""
    image = stamped(ceph, 'secret')
    given = props(ceph, image, encrypted=True)
    info = local.connect_volume(given)
    assert info['path'].startswith('/dev/disk/by-id/os-brick')
    assert_is(info['path'], ceph, image)
    local.disconnect_volume({**given, 'device_path': info['path']}, None)
    assert not pathlib.Path(info['path']).is_symlink()


def confs():
    """The configuration files of open images."""
    return list(pathlib.Path(tempfile.gettempdir()).glob('brickrbd_*/*'))


def test_open_image(ceph, library, caplog):
    """An image that this process opens; the file with its key is private, and goes with it."""
    caplog.set_level(logging.DEBUG)
    ceph.namespace('team')
    image = stamped(ceph, 'open', namespace='team')
    given = props(ceph, image, 'glance')
    secret = ceph.user('glance', 'rbd', 'team')
    connector = lab.bricks.ours('RBD')
    with lab.programs.watch_cmdlines(secret) as leaks:
        info = connector.connect_volume(given)
        handle = info['path']
        (conf,) = confs()
        assert (handle.rbd_conf, handle.rbd_user, handle.rbd_pool) == (str(conf), 'glance', 'rbd')
        assert list(files_with(secret)) == [str(conf)]
        assert stat.S_IMODE(conf.stat().st_mode) == 0o600
        assert stat.S_IMODE(conf.parent.stat().st_mode) == 0o700
        assert handle.read(4096) == stamp(ceph, image)
        handle.write(b'x' * 4096)
        assert connector.check_valid_device(handle)
        ceph.grow(image, 32)
        assert connector.extend_volume(given) == 32 << 20
        connector.disconnect_volume(given, info)
        assert not confs()
    assert ceph.read(image, 4096, 4096) == b'x' * 4096
    assert not ceph.watchers(image)
    support.assert_nowhere(secret, caplog, leaks, connector, handle)
    bad = {**given, 'keyring': f'[client.glance]\n\tkey = {WRONG}\n'}
    with pytest.raises(exception.BrickException, match='glance') as caught:
        connector.connect_volume(bad)
    assert not confs()
    support.assert_nowhere(WRONG, caplog, [], caught.value)


def test_killed_with_an_image_open(ceph, library, workers):
    """What a killed process has left on this host goes with the next attach."""
    image = stamped(ceph, 'lost')
    given = props(ceph, image)
    worker = workers()
    worker.make('RBD')
    worker.call('connect_volume', given)
    assert len(confs()) == 1
    worker.kill()
    ceph.evict(image)
    connector = lab.bricks.ours('RBD')
    info = connector.connect_volume(given)
    assert [str(each) for each in confs()] == [info['path'].rbd_conf]
    connector.disconnect_volume(given, info)
    assert not confs()
