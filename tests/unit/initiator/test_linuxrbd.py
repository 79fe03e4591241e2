# SPDX-License-Identifier: Apache-2.0
"""Connections to Ceph, open images, and what is left open: nothing."""

import errno
import itertools
import logging
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest

from os_brick import exception
from os_brick.core import clock, wait
from os_brick.initiator import linuxrbd
from tests.unit.initiator import fakeceph, forked

MIB = 1 << 20
KEY = 'AQBSdFhcGgQ+GRAAiRVRUO2YbSrN7eVOdtDLWw=='


@pytest.fixture
def ceph() -> fakeceph.Cluster:
    cluster = fakeceph.Cluster()
    cluster.create('gold', 8 * MIB)
    return cluster


def client(ceph: fakeceph.Cluster, user: Any = 'cinder', pool: Any = 'rbd', **more: Any) -> Any:
    return linuxrbd.RBDClient(
        user, pool, rados=ceph.rados, rbd=ceph.rbd, **{'conffile': '/etc/ceph/x.conf'} | more
    )


def test_a_client_is_connected_to_its_pool_and_closed_after_the_block(
    ceph: fakeceph.Cluster,
) -> None:
    with client(ceph, b'cinder', b'rbd', rbd_cluster_name='far') as found:
        assert (found.rbd_user, found.rbd_pool) == ('cinder', 'rbd')
        assert (found.rbd_conf, found.rbd_cluster_name) == ('/etc/ceph/x.conf', 'far')
        assert found.client.words == {
            'rados_id': 'cinder',
            'clustername': 'far',
            'conffile': '/etc/ceph/x.conf',
        }
        assert found.ioctx.place == ('rbd', '')
    ceph.assert_closed()
    found.disconnect()


def test_defaults_are_those_of_ceph(ceph: fakeceph.Cluster) -> None:
    found = linuxrbd.RBDClient(None, 'rbd', rados=ceph.rados, rbd=ceph.rbd)
    words = {'rados_id': None, 'clustername': 'ceph', 'conffile': '/etc/ceph/ceph.conf'}
    assert found.client.words == words


@pytest.mark.parametrize(
    ('configured', 'limits'),
    [
        ({}, ('15', '15', '15')),
        ({'client_mount_timeout': '10'}, ('10', '15', '15')),
        ({'client_mount_timeout': '0'}, ('15', '15', '15')),
        ({'rados_osd_op_timeout': '5', 'rados_mon_op_timeout': '7.5'}, ('15', '7.5', '5')),
        ({'rados_osd_op_timeout': '0s'}, ('15', '15', '15')),
    ],
)
def test_no_call_is_without_a_limit(
    ceph: fakeceph.Cluster, configured: dict[str, str], limits: tuple[str, ...]
) -> None:
    ceph.config.update(configured)
    with client(ceph, operation_seconds=30.9) as found:
        assert tuple(found.client.conf[name] for name in fakeceph.CLIENT) == limits


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        ({'user': 'stranger'}, 'as user stranger to pool rbd of Ceph cluster ceph failed'),
        ({'pool': 'other'}, "error opening pool 'other'"),
        ({'conffile': '/missing'}, 'conf_read_file'),
    ],
)
def test_a_connection_that_fails_leaves_nothing_open(
    ceph: fakeceph.Cluster, words: dict[str, Any], said: str
) -> None:
    with pytest.raises(exception.BrickException, match=said) as caught:
        client(ceph, **words)
    assert isinstance(caught.value.__cause__, fakeceph.RadosError)
    ceph.assert_closed()


def test_a_cluster_that_does_not_answer_is_a_timeout(ceph: fakeceph.Cluster) -> None:
    ceph.answers = False
    with pytest.raises(exception.OperationTimedOut, match='30 s waiting for pool rbd'):
        client(ceph, operation_seconds=30)
    ceph.assert_closed()


def test_an_interrupt_while_connecting_leaves_nothing_open(ceph: fakeceph.Cluster) -> None:
    def interrupted(_self: object, _pool: str) -> None:
        raise KeyboardInterrupt

    with (
        mock.patch.object(fakeceph.Rados, 'open_ioctx', interrupted),
        pytest.raises(KeyboardInterrupt),
    ):
        client(ceph)
    ceph.assert_closed()


def test_an_image_is_found_by_pool_and_namespace(ceph: fakeceph.Cluster) -> None:
    for number, place in enumerate([('rbd', ''), ('rbd', 'one'), ('fast', ''), ('fast', 'one')]):
        ceph.create('same', number + 1, pool=place[0], namespace=place[1])
        with linuxrbd.RBDVolume(client(ceph, pool=place[0], namespace=place[1]), 'same') as found:
            assert found.size() == number + 1
    ceph.assert_closed()


def test_a_snapshot_is_read_as_it_was_and_cannot_be_written(ceph: fakeceph.Cluster) -> None:
    stored = ceph.pools['rbd', '']['gold']
    stored.snapshots['before'] = b'old'
    with linuxrbd.RBDVolume(client(ceph), b'gold', snapshot='before') as found:  # type: ignore[arg-type]
        assert found.name == 'gold'
        file = linuxrbd.RBDVolumeIOWrapper(linuxrbd.RBDImageMetadata(found, 'rbd', 'cinder', None))
        assert file.read() == b'old'
        assert not file.writable()
        file.close()
    ceph.assert_closed()


@pytest.mark.parametrize('name', ['silver', 'gold@before', 'rbd/gold'])
def test_an_image_that_is_missing_closes_its_client(ceph: fakeceph.Cluster, name: str) -> None:
    with pytest.raises(fakeceph.ImageNotFound):
        linuxrbd.RBDVolume(client(ceph), name)
    ceph.assert_closed()


def test_a_name_that_is_not_text_closes_its_client(ceph: fakeceph.Cluster) -> None:
    with pytest.raises(UnicodeDecodeError):
        linuxrbd.RBDVolume(client(ceph), b'\xff')  # type: ignore[arg-type]
    ceph.assert_closed()


@pytest.mark.parametrize('seconds', [float('nan'), float('inf'), -1, 'abc', [3]])
def test_a_time_limit_that_is_none_is_refused_by_its_name(
    ceph: fakeceph.Cluster, seconds: Any
) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='operation_seconds'):
        client(ceph, operation_seconds=seconds)
    assert not ceph.clients


def test_a_disconnected_client_opens_nothing(ceph: fakeceph.Cluster) -> None:
    """librbd 16.2 crashes on a pool that is closed."""
    found = client(ceph)
    found.disconnect()
    with pytest.raises(exception.BrickException, match='disconnected'):
        linuxrbd.RBDVolume(found, 'gold')


def test_the_client_is_disconnected_even_if_the_image_cannot_be_closed(
    ceph: fakeceph.Cluster,
) -> None:
    volume = linuxrbd.RBDVolume(client(ceph), 'gold')
    ceph.fail = lambda what, _offset: errno.ETIMEDOUT if what == 'close' else 0
    with pytest.raises(fakeceph.RbdError):
        volume.close()
    ceph.assert_closed()


def test_an_image_whose_close_hangs_is_closed_in_the_background(
    ceph: fakeceph.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[bool] = []
    volume = linuxrbd.RBDVolume(client(ceph, operation_seconds=0.05), 'gold')

    def hangs(what: str, _offset: int) -> int:
        while what == 'close' and not answers:
            clock.sleep(0.01)
        return 0

    ceph.fail = hangs
    volume.close()
    assert 'Image gold is being closed in the background' in caplog.text
    assert not ceph.clients[0].is_shut_down, 'librbd crashes without its connection'
    answers.append(True)
    assert wait.holds(lambda: ceph.clients[0].is_shut_down, wait.Deadline.after(10))
    ceph.assert_closed()


def test_the_connection_ends_after_the_last_image_in_every_order(
    ceph: fakeceph.Cluster,
) -> None:
    """librbd crashes on an image whose connection has ended."""
    acts = ['first', 'second', 'client']
    for order in sorted(set(itertools.permutations(acts + acts))):
        found = client(ceph)
        things = {
            'first': linuxrbd.RBDVolume(found, 'gold'),
            'second': linuxrbd.RBDVolume(found, 'gold'),
        }
        opened = set(things)
        for each in order:
            if each == 'client':
                found.disconnect()
            else:
                things[each].close()
                opened.discard(each)
            assert found.client.is_shut_down is not bool(opened), order
        assert found.ioctx is None
    ceph.assert_closed()


def test_a_second_close_does_not_end_the_connection_under_the_first(
    ceph: fakeceph.Cluster,
) -> None:
    """The binding calls an image closed before librbd has closed it."""
    goes_on: list[bool] = []
    ceph.close_takes = lambda: wait.holds(lambda: bool(goes_on), wait.Deadline.after(30))
    with (
        client(ceph, operation_seconds=0.05) as found,
        linuxrbd.RBDVolume(found, 'gold') as volume,
    ):
        volume.close()
        volume.close()
    assert not found.client.is_shut_down
    goes_on.append(True)
    assert wait.holds(lambda: bool(found.client.is_shut_down), wait.Deadline.after(30))
    ceph.assert_closed()


def test_an_image_that_is_opened_for_no_one_keeps_the_connection_until_it_is_closed(
    ceph: fakeceph.Cluster,
) -> None:
    """Its caller is gone; librbd crashes if the connection ends while it opens one."""
    found = client(ceph)
    found.lend()
    found.disconnect()
    assert not found.client.is_shut_down
    found.give_back()
    ceph.assert_closed()


def test_a_volume_asks_its_image_what_it_does_not_know(ceph: fakeceph.Cluster) -> None:
    with linuxrbd.RBDVolume(client(ceph), 'gold') as found:
        assert found.stat()['obj_size'] == 4 * MIB
        with pytest.raises(AttributeError):
            _ = found.nothing
    half_made = linuxrbd.RBDVolume.__new__(linuxrbd.RBDVolume)
    with pytest.raises(AttributeError):
        _ = half_made.anything


@pytest.mark.native
def test_a_forked_process_leaves_images_and_connections_alone(ceph: fakeceph.Cluster) -> None:
    """None of librbd's threads are in it: a call would wait for ever."""
    found = client(ceph)
    volume = linuxrbd.RBDVolume(found, 'gold')

    def child() -> None:
        with pytest.raises(OSError, match='image gold was opened before this process was forked'):
            volume.size()
        with pytest.raises(exception.BrickException, match='connected before this process'):
            linuxrbd.RBDVolume(found, 'gold')
        volume.close()
        found.disconnect()
        assert not volume.image.is_closed
        assert not found.client.is_shut_down

    assert forked.status(child) == 0
    assert volume.size() == 8 * MIB
    volume.close()
    ceph.assert_closed()


def test_metadata_are_text() -> None:
    found = linuxrbd.RBDImageMetadata('image', None, b'me', None)  # type: ignore[arg-type]
    assert (found.image, found.pool, found.user, found.conf) == ('image', '', 'me', '')


@pytest.mark.parametrize(
    ('missing', 'package'), [('rados', 'python3-rados'), ('rbd', 'python3-rbd')]
)
def test_without_the_bindings_the_system_package_is_named(
    monkeypatch: pytest.MonkeyPatch, missing: str, package: str
) -> None:
    monkeypatch.setattr(linuxrbd, 'rados', object())
    monkeypatch.setattr(linuxrbd, 'rbd', object())
    monkeypatch.setattr(linuxrbd, missing, None)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(exception.InvalidParameterValue, match=f'system package {package},'):
        linuxrbd.RBDClient('cinder', 'rbd')


def test_the_bindings_are_imported_when_they_are_used(
    monkeypatch: pytest.MonkeyPatch, ceph: fakeceph.Cluster
) -> None:
    code = (
        'import sys; from os_brick.initiator import linuxrbd;'
        'print(linuxrbd.rados, linuxrbd.rbd, "rbd" in sys.modules)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['None', 'None', 'False']
    monkeypatch.setattr(linuxrbd, 'rados', None)
    monkeypatch.setattr(linuxrbd, 'rbd', None)
    monkeypatch.setitem(sys.modules, 'rados', ceph.rados)
    monkeypatch.setitem(sys.modules, 'rbd', ceph.rbd)
    with linuxrbd.RBDClient('cinder', 'rbd') as found:
        assert found.rbd is linuxrbd.rbd is ceph.rbd


def test_no_key_is_shown(
    ceph: fakeceph.Cluster, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    conf = tmp_path / 'ceph.conf'
    conf.write_text(f'[client.cinder]\nkey = {KEY}\n')
    caplog.set_level(logging.DEBUG)
    volume = linuxrbd.RBDVolume(client(ceph, conffile=str(conf)), 'gold')
    meta = linuxrbd.RBDImageMetadata(volume, 'rbd', 'cinder', str(conf))
    file = linuxrbd.RBDVolumeIOWrapper(meta)
    shown = ''.join(map(repr, (volume, volume.client, meta, file)))
    file.close()
    assert KEY not in shown + caplog.text
    assert repr(file) == '<RBDVolumeIOWrapper image rbd/gold closed>'
    assert 'rbd/gold' in shown
