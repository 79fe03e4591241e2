# SPDX-License-Identifier: Apache-2.0
"""RBDConnector with images that are opened by this process, on Ceph's bindings."""

from collections.abc import Iterator
import contextlib
import copy
import io
import logging
import pathlib
import pickle
import stat
import tempfile
import threading
import traceback
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import files
from os_brick.initiator import linuxrbd
from os_brick.initiator.connectors import rbd
from tests.unit.initiator import fakeceph

MIB = 1 << 20
SECRET = 'AQAAAAAAAAAAABAAZ2VoZWltIDQ3MTEgaGVyZQ=='
GIVEN: dict[str, Any] = {
    'name': 'rbd/gold',
    'hosts': ['10.0.0.1', 'fd00::1'],
    'ports': ['6789', '6789'],
    'cluster_name': 'ceph',
    'auth_username': 'cinder',
    'keyring': f'[client.cinder]\n\tkey = {SECRET}\n',
}


@pytest.fixture
def root(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    monkeypatch.setattr(tempfile, 'tempdir', '/tmp')
    (tmp_path / 'tmp').mkdir()
    with files.use(str(tmp_path)):
        yield tmp_path


@pytest.fixture
def cluster(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fakeceph.Cluster]:
    found = fakeceph.Cluster()
    found.create('gold', 8 * MIB)
    monkeypatch.setattr(linuxrbd, 'rados', found.rados)
    monkeypatch.setattr(linuxrbd, 'rbd', found.rbd)
    yield found
    found.assert_closed()
    assert not list((root / 'tmp').iterdir())


def test_the_life_of_a_handle(cluster: fakeceph.Cluster, root: pathlib.Path) -> None:
    connector = rbd.RBDConnector(None)
    info = connector.connect_volume(GIVEN)
    assert list(info) == ['path']
    handle = info['path']
    assert isinstance(handle, linuxrbd.RBDVolumeIOWrapper)
    assert (handle.rbd_user, handle.rbd_pool) == ('cinder', 'rbd')
    conf = root / handle.rbd_conf.lstrip('/')
    assert conf.read_text() == (
        f'[global]\nmon_host = 10.0.0.1:6789,[fd00::1]:6789\n[client.cinder]\nkey = {SECRET}\n'
    )
    assert stat.S_IMODE(conf.stat().st_mode) == 0o600
    assert cluster.clients[0].words == {
        'rados_id': 'cinder',
        'clustername': 'ceph',
        'conffile': handle.rbd_conf,
    }
    handle.write(b'gold')
    handle.seek(7)
    assert connector.check_valid_device(handle)
    assert handle.tell() == 7
    assert connector.extend_volume(GIVEN) == 8 * MIB
    assert connector.get_volume_paths(GIVEN) == []
    assert conf.exists()
    connector.disconnect_volume(GIVEN, info)
    assert not conf.exists()
    assert bytes(cluster.pools['rbd', '']['gold'].data[:4]) == b'gold'
    connector.disconnect_volume(GIVEN, info)
    connector.disconnect_volume(GIVEN, None)
    connector.disconnect_volume(GIVEN, {})
    assert not connector.check_valid_device(handle)
    assert not connector.check_valid_device(None)


def test_cinders_private_name(cluster: fakeceph.Cluster) -> None:
    """Closing the handle removes the file, as cinder does not call disconnect_volume."""
    with rbd.RBDConnector(None)._get_rbd_handle(GIVEN) as handle:
        assert handle.read(4) == bytes(4)


def test_a_namespace_and_a_snapshot(cluster: fakeceph.Cluster) -> None:
    stored = cluster.create('gold', MIB, namespace='team')
    stored.snapshots['before'] = b'x' * MIB
    connector = rbd.RBDConnector(None)
    with connector.connect_volume({**GIVEN, 'name': 'rbd/team/gold@before'})['path'] as handle:
        assert handle.read(4) == b'xxxx'
        assert not handle.writable()


def test_a_failed_flush_is_raised_and_the_file_goes(cluster: fakeceph.Cluster) -> None:
    connector = rbd.RBDConnector(None)
    for force, ignore, error in (
        (False, False, OSError),
        (True, False, exception.ExceptionChainer),
        (True, True, None),
    ):
        info = connector.connect_volume(GIVEN)
        cluster.fail = lambda what, _offset: 5 if what == 'flush' else 0
        info['path'].write(b'x')
        with pytest.raises(error) if error else contextlib.nullcontext():
            connector.disconnect_volume(GIVEN, info, force, ignore)
        cluster.fail = lambda _what, _offset: 0


@pytest.mark.parametrize(
    ('change', 'kind', 'match'),
    [
        ({'name': 'rbd/absent'}, fakeceph.ImageNotFound, 'absent'),
        ({'name': 'nowhere/gold'}, exception.BrickException, 'nowhere'),
        ({'auth_username': 'nova', 'keyring': f'[client.nova]\nkey = {SECRET}'},
         exception.BrickException, 'nova'),
        ({'keyring': None}, exception.BrickException, r'ceph\.client\.cinder\.keyring'),
        ({'hosts': [], 'ports': []}, exception.InvalidParameterValue, 'property hosts'),
        ({'name': 'gold'}, exception.InvalidParameterValue, 'property name'),
    ],
)  # fmt: skip
def test_what_cannot_be_opened(
    cluster: fakeceph.Cluster,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, Any],
    kind: type[Exception],
    match: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(kind, match=match) as caught:
        rbd.RBDConnector(None).connect_volume({**GIVEN, **change})
    shown = ''.join(traceback.format_exception(caught.value)) + caplog.text
    assert SECRET not in shown


def test_a_cluster_that_does_not_answer(cluster: fakeceph.Cluster) -> None:
    cluster.answers = False
    with pytest.raises(exception.OperationTimedOut):
        rbd.RBDConnector(None).connect_volume(GIVEN)


def test_without_the_bindings(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linuxrbd, 'rados', None)
    monkeypatch.setitem(__import__('sys').modules, 'rados', None)
    with pytest.raises(exception.InvalidParameterValue, match='python3-rados'):
        rbd.RBDConnector(None).connect_volume(GIVEN)
    assert not list((root / 'tmp').iterdir())


def test_a_handle_of_someone_else_is_closed_and_its_file_stays(root: pathlib.Path) -> None:
    class Other(io.BytesIO):
        rbd_conf = '/etc/ceph/ceph.conf'

    (root / 'etc/ceph').mkdir(parents=True)
    (root / 'etc/ceph/ceph.conf').touch()
    handle = Other(b'x')
    rbd.RBDConnector(None).disconnect_volume(GIVEN, {'path': handle})
    assert handle.closed
    assert (root / 'etc/ceph/ceph.conf').exists()


def test_a_repr_has_no_secret(cluster: fakeceph.Cluster) -> None:
    handle = rbd.RBDConnector(None).connect_volume(GIVEN)['path']
    assert SECRET not in repr(handle)
    assert SECRET not in repr(vars(handle))
    handle.close()


@pytest.mark.native
def test_a_check_leaves_the_position_to_the_thread_that_writes(cluster: fakeceph.Cluster) -> None:
    connector = rbd.RBDConnector(None)
    handle = connector.connect_volume(GIVEN)['path']
    ends: list[bool] = []

    def check() -> None:
        while not ends:
            assert connector.check_valid_device(handle)

    thread = threading.Thread(target=check)
    thread.start()
    try:
        for number in range(64):
            assert handle.tell() == number * 512
            handle.write(bytes([number]) * 512)
    finally:
        ends.append(True)
        thread.join()
    handle.close()
    written = cluster.pools['rbd', '']['gold'].data[: 64 * 512]
    assert written == b''.join(bytes([number]) * 512 for number in range(64))


@pytest.mark.parametrize('act', [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_handle_is_not_copied(cluster: fakeceph.Cluster, act: Any) -> None:
    """A copy would close the image of the handle, and remove its file."""
    with rbd.RBDConnector(None).connect_volume(GIVEN)['path'] as handle:
        with pytest.raises(TypeError, match='Handle image rbd/gold> cannot be copied'):
            act(handle)
        assert handle.read(4) == bytes(4)
