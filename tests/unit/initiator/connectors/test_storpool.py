# SPDX-License-Identifier: Apache-2.0
"""The life of StorPool volumes: a host and a cluster, before and after."""

from collections.abc import Callable, Iterator
import logging
import pathlib
import threading
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import locks, wait
from os_brick.initiator import connector as factory
from os_brick.initiator import storpool_utils
from os_brick.initiator.connectors import storpool
from tests.doubles import storpool as double
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost import storpool as fake_storpool

BYID = '/dev/storpool-byid/'
MEBI = 1 << 20
StorPool = fake_storpool.StorPool


@pytest.fixture
def cluster(host: fake_host.Host) -> Iterator[StorPool]:
    with fake_storpool.on(host) as found:
        yield found


@pytest.fixture
def connector() -> storpool.StorPoolConnector:
    return storpool.StorPoolConnector(None)


Connector = storpool.StorPoolConnector


def changes(cluster: StorPool) -> list[Any]:
    """What the cluster was asked to attach and detach."""
    return [body['reassign'][0] for body in cluster.server.bodies if body]


def test_attach_and_detach(cluster: StorPool, connector: Connector) -> None:
    volume = cluster.volume()
    before = cluster.host.snapshot()
    info = connector.connect_volume(cluster.properties())
    assert info == {'type': 'block', 'path': BYID + volume.global_id}
    assert cluster.attached() == {volume.global_id: 'rw'}
    assert cluster.host.node(info['path']) == 'sp-0'
    connector.disconnect_volume(cluster.properties(), info)
    assert cluster.attached() == {}
    assert cluster.host.flushes == ['sp-0']
    assert cluster.host.snapshot() == before


def test_what_is_asked_for(cluster: StorPool, connector: Connector) -> None:
    """By the volume itself, and not by a name that may be another one's by then."""
    volume = cluster.volume()
    connector.connect_volume(cluster.properties())
    connector.disconnect_volume(cluster.properties(), None)
    own = f'~{volume.global_id}'
    assert changes(cluster) == [
        {'volume': own, 'rw': [fake_storpool.CLIENT]},
        {'volume': own, 'detach': [fake_storpool.CLIENT], 'force': False},
    ]
    authorized = {each['Authorization'] for each in cluster.server.headers}
    assert authorized == {f'Storpool v1:{double.TOKEN}'}


def test_second_attach_changes_nothing(cluster: StorPool, connector: Connector) -> None:
    cluster.volume()
    info = connector.connect_volume(cluster.properties())
    before, asked = cluster.host.snapshot(), changes(cluster)
    assert connector.connect_volume(cluster.properties()) == info
    assert cluster.host.snapshot() == before
    assert changes(cluster) == asked


@pytest.mark.parametrize('absent', ['ok', 'error'])
@pytest.mark.parametrize('how', ['info', 'device_path', 'neither'])
def test_repeated_detach(
    cluster: StorPool,
    connector: Connector,
    caplog: pytest.LogCaptureFixture,
    absent: str,
    how: str,
) -> None:
    """As each caller does it; whatever the cluster answers to a detach of what is not attached."""
    cluster.state.detach_of_absent = absent
    cluster.volume()
    info = connector.connect_volume(cluster.properties())
    props = cluster.properties(**({'device_path': info['path']} if how == 'device_path' else {}))
    given = info if how == 'info' else None
    connector.disconnect_volume(props, given)
    assert cluster.attached() == {}
    caplog.clear()
    connector.disconnect_volume(props, given)
    assert 'is not attached to this host' in caplog.text
    assert len(changes(cluster)) == 2


@pytest.mark.parametrize('knows_path', [True, False])
def test_detach_of_a_volume_that_is_deleted(
    cluster: StorPool, connector: Connector, knows_path: bool
) -> None:
    volume = cluster.volume()
    info = connector.connect_volume(cluster.properties())
    connector.disconnect_volume(cluster.properties(), info)
    del cluster.state.volumes[volume.global_id]
    connector.disconnect_volume(cluster.properties(), info if knows_path else None)
    assert cluster.attached() == {}


def test_the_volume_that_was_attached_is_detached_after_a_migration(
    cluster: StorPool, connector: Connector
) -> None:
    """Cinder has given its name to another volume, which is attached here, too."""
    old = cluster.volume()
    info = connector.connect_volume(cluster.properties())
    new = cluster.volume('new')
    connector.connect_volume(cluster.properties('new'))
    old.name, new.name = new.name, old.name
    connector.disconnect_volume(cluster.properties(), info)
    assert cluster.attached() == {new.global_id: 'rw'}


def test_name_that_moves_to_another_volume_in_an_attach(
    cluster: StorPool, connector: Connector
) -> None:
    old, new = cluster.volume(), cluster.volume('new')
    before = cluster.host.snapshot()

    def migrate(what: str) -> None:
        if what.endswith('VolumesReassignWait') and old.name.endswith('v1'):
            old.name, new.name = new.name, old.name

    cluster.server.before = migrate
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        connector.connect_volume(cluster.properties())
    assert caught.value.device == BYID + old.global_id
    assert cluster.attached() == {}
    assert cluster.host.snapshot() == before


class TestLinkThatIsLate:
    """udev has not removed the link of a volume yet, whose device is the next volume's by now."""

    @pytest.fixture
    def both(self, cluster: StorPool, connector: Connector) -> tuple[double.Volume, double.Volume]:
        old, new = cluster.volume('old'), cluster.volume('new')
        cluster.client.link_goes_seconds = 1000
        info = connector.connect_volume(cluster.properties('old'))
        connector.disconnect_volume(cluster.properties('old'), info)
        connector.connect_volume(cluster.properties('new'))
        assert cluster.host.node(BYID + old.global_id) == 'sp-0'
        assert cluster.host.node(BYID + new.global_id) == 'sp-0'
        cluster.host.flushes.clear()
        return old, new

    def test_detach(
        self, cluster: StorPool, connector: Connector, both: tuple[double.Volume, ...]
    ) -> None:
        old, new = both
        props = cluster.properties('old', device_path=BYID + old.global_id)
        connector.disconnect_volume(props, None, force=True)
        assert cluster.attached() == {new.global_id: 'rw'}
        assert cluster.host.flushes == []
        assert cluster.host.node(BYID + new.global_id) == 'sp-0'

    def test_extend(
        self, cluster: StorPool, connector: Connector, both: tuple[double.Volume, ...]
    ) -> None:
        with pytest.raises(exception.VolumeIdentityMismatch, match=both[1].global_id):
            connector.extend_volume(cluster.properties('old'))

    def test_attach(
        self, cluster: StorPool, connector: Connector, both: tuple[double.Volume, ...]
    ) -> None:
        info = connector.connect_volume(cluster.properties('old'))
        assert cluster.host.node(info['path']) == 'sp-1'

    def test_attach_without_udev(
        self, cluster: StorPool, connector: Connector, both: tuple[double.Volume, ...]
    ) -> None:
        cluster.client.makes_links = False
        with pytest.raises(exception.VolumeIdentityMismatch, match=both[1].global_id) as caught:
            connector.connect_volume(cluster.properties('old'))
        assert cluster.attached() == {both[1].global_id: 'rw'}
        # Nothing waits for the other volume's device to go.
        assert not getattr(caught.value, '__notes__', [])


@pytest.mark.parametrize('missing', ['makes_devices', 'makes_links'])
def test_device_that_does_not_come(cluster: StorPool, connector: Connector, missing: str) -> None:
    volume = cluster.volume()
    before = cluster.host.snapshot()
    setattr(cluster.client, missing, False)
    with pytest.raises(exception.VolumeDeviceNotFound) as caught:
        connector.connect_volume(cluster.properties())
    assert caught.value.device == BYID + volume.global_id
    assert cluster.attached() == {}
    assert cluster.host.snapshot() == before


def test_device_that_goes_at_the_last_moment(cluster: StorPool, connector: Connector) -> None:
    volume = cluster.volume()

    def lose(what: str) -> None:
        if len(cluster.server.requests) == 4:
            cluster.client.detach(volume.global_id)

    cluster.server.before = lose
    cluster.client.link_goes_seconds = 0
    with pytest.raises((exception.VolumeDeviceNotFound, exception.VolumeIdentityMismatch)):
        connector.connect_volume(cluster.properties())
    assert cluster.attached() == {}


def test_device_that_another_volume_has_at_the_last_moment(
    cluster: StorPool, connector: Connector
) -> None:
    """Of the same size and under the same name; the link still leads there."""
    volume = cluster.volume()

    def replace(what: str) -> None:
        if len(cluster.server.requests) == 4:
            cluster.client.link_goes_seconds = 1000
            cluster.client.detach(volume.global_id)
            cluster.client.take_name('zx4.b.ff', 'sp-0', volume.size)

    cluster.server.before = replace
    with pytest.raises(exception.VolumeDeviceNotFound):
        connector.connect_volume(cluster.properties())
    assert cluster.attached() == {}


def test_device_that_stays_after_an_attach_that_fails(
    cluster: StorPool, connector: Connector
) -> None:
    cluster.volume()
    cluster.client.goes = False
    cluster.host.before_act = lambda what: cluster.host.other_devices.clear()
    with pytest.raises(exception.VolumeDeviceNotFound) as caught:
        connector.connect_volume(cluster.properties())
    (note,) = caught.value.__notes__
    assert 'The kernel has not removed /dev/sp-0' in note


class TestLockOfTheVolume:
    """Two callers may know one volume by two names, as in a migration."""

    @pytest.fixture
    def short(self) -> Iterator[None]:
        cfg.CONF.set_override('operation_timeout', 2, group='os_brick')
        yield
        cfg.CONF.clear_override('operation_timeout', group='os_brick')

    def test_attach_and_detach_wait(
        self, cluster: StorPool, connector: Connector, short: None
    ) -> None:
        volume = cluster.volume()
        key = f'storpool {volume.global_id}'
        with locks.hold(locks.IDENTITY, key, wait.Deadline.after(5)):
            with pytest.raises(exception.OperationTimedOut, match='lock on identity'):
                connector.connect_volume(cluster.properties())
            cluster.state.attach(fake_storpool.CLIENT, volume, 'rw')
            with pytest.raises(exception.OperationTimedOut, match='lock on identity'):
                connector.disconnect_volume(cluster.properties(), None)
        assert changes(cluster) == []

    def test_it_is_held_while_an_attach_is_taken_back(
        self, cluster: StorPool, connector: Connector
    ) -> None:
        volume = cluster.volume()
        cluster.client.makes_links = False
        free: list[bool] = []

        def look(what: str) -> None:
            if what.startswith('POST'):
                try:
                    with locks.hold(
                        locks.IDENTITY, f'storpool {volume.global_id}', wait.Deadline.after(0)
                    ):
                        free.append(True)
                except exception.OperationTimedOut:
                    free.append(False)

        cluster.server.before = look
        with pytest.raises(exception.VolumeDeviceNotFound):
            connector.connect_volume(cluster.properties())
        assert free == [False, False]


def test_detach_that_is_refused_without_a_device(cluster: StorPool, connector: Connector) -> None:
    """The cluster says why, and no device tells that the volume is still attached."""
    volume = cluster.volume()
    cluster.client.makes_devices = False
    cluster.state.attach(fake_storpool.CLIENT, volume, 'rw')
    cluster.server.fail(2, 'refused')
    with pytest.raises(storpool_utils.StorPoolAPIError, match='something broke'):
        connector.disconnect_volume(cluster.properties(), None)
    assert len(cluster.attached()) == 1
    connector.disconnect_volume(cluster.properties(), None)
    assert cluster.attached() == {}


def test_device_that_comes_late(cluster: StorPool, connector: Connector) -> None:
    cluster.volume()
    cluster.client.device_seconds = 15
    assert connector.connect_volume(cluster.properties())['path'].startswith(BYID)


def test_device_of_another_size(cluster: StorPool, connector: Connector) -> None:
    volume = cluster.volume()

    def shrink(what: str) -> None:
        if what.endswith('AttachmentsList'):
            volume.size = MEBI // 2

    cluster.server.before = shrink
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        connector.connect_volume(cluster.properties())
    assert (caught.value.expected, caught.value.actual) == (f'{MEBI // 2} bytes', f'{MEBI} bytes')
    assert cluster.attached() == {}


class TestInUse:
    @pytest.fixture
    def info(self, cluster: StorPool, connector: Connector) -> dict[str, Any]:
        cluster.volume()
        return connector.connect_volume(cluster.properties())

    def _hold(self, cluster: StorPool) -> None:
        cluster.host.tree.file('/sys/devices/virtual/block/sp-0/holders/dm-7')

    def test_held(self, cluster: StorPool, connector: Connector, info: dict[str, Any]) -> None:
        self._hold(cluster)
        with pytest.raises(exception.VolumeInUse, match='dm-7'):
            connector.disconnect_volume(cluster.properties(), info)
        assert len(changes(cluster)) == 1
        assert cluster.host.flushes == []

    def test_claimed(self, cluster: StorPool, connector: Connector, info: dict[str, Any]) -> None:
        cluster.host.claims.add('sp-0')
        with pytest.raises(exception.VolumeInUse, match='claimed'):
            connector.disconnect_volume(cluster.properties(), info)
        assert len(changes(cluster)) == 1

    def test_held_and_forced(
        self, cluster: StorPool, connector: Connector, info: dict[str, Any]
    ) -> None:
        self._hold(cluster)
        with pytest.raises(exception.ExceptionChainer, match='dm-7'):
            connector.disconnect_volume(cluster.properties(), info, force=True)
        assert cluster.attached() == {}

    def test_held_and_forced_and_ignored(
        self, cluster: StorPool, connector: Connector, info: dict[str, Any]
    ) -> None:
        self._hold(cluster)
        connector.disconnect_volume(cluster.properties(), info, True, True)
        assert cluster.attached() == {}

    def test_open_for_a_moment(
        self, cluster: StorPool, connector: Connector, info: dict[str, Any]
    ) -> None:
        (global_id,) = cluster.attached()
        cluster.client.open.add(global_id)
        cluster.host.clock.after(3.0, cluster.client.open.clear)
        connector.disconnect_volume(cluster.properties(), info)
        assert not any(each.get('force') for each in changes(cluster))

    def test_open(self, cluster: StorPool, connector: Connector, info: dict[str, Any]) -> None:
        """It stays, however often it is asked: no one has said that it may be forced."""
        (global_id,) = cluster.attached()
        cluster.client.open.add(global_id)
        with pytest.raises(exception.VolumeInUse) as caught:
            connector.disconnect_volume(cluster.properties(), info)
        assert caught.value.device == BYID + global_id
        assert cluster.attached() == {global_id: 'rw'}
        assert not any(each.get('force') for each in changes(cluster))

    def test_open_and_forced(
        self, cluster: StorPool, connector: Connector, info: dict[str, Any]
    ) -> None:
        cluster.client.open.update(cluster.attached())
        connector.disconnect_volume(cluster.properties(), info, force=True)
        assert cluster.attached() == {}
        assert changes(cluster)[-1]['force'] is True

    def test_device_that_stays(
        self, cluster: StorPool, connector: Connector, info: dict[str, Any]
    ) -> None:
        cluster.client.goes = False
        with pytest.raises(exception.VolumePathNotRemoved, match='sp-0'):
            connector.disconnect_volume(cluster.properties(), info)

    def test_device_that_does_not_take_the_flush(
        self, cluster: StorPool, connector: Connector, info: dict[str, Any]
    ) -> None:
        cluster.host.other_devices.discard('sp-0')
        with pytest.raises(OSError, match='Input'):
            connector.disconnect_volume(cluster.properties(), info)
        assert len(cluster.attached()) == 1
        with pytest.raises(exception.ExceptionChainer):
            connector.disconnect_volume(cluster.properties(), info, force=True)
        assert cluster.attached() == {}


class TestExtend:
    @pytest.fixture
    def volume(self, cluster: StorPool, connector: Connector) -> double.Volume:
        found = cluster.volume()
        connector.connect_volume(cluster.properties())
        return found

    def test_grown(self, cluster: StorPool, connector: Connector, volume: double.Volume) -> None:
        cluster.client.grow_seconds = 8
        cluster.state.grow(volume, 2 * MEBI)
        assert connector.extend_volume(cluster.properties()) == 2 * MEBI

    def test_after_a_migration(
        self, cluster: StorPool, connector: Connector, volume: double.Volume
    ) -> None:
        """Another volume has its name, and is larger."""
        volume.name = 'os--volume-other'
        cluster.volume('v1', 8 * MEBI)
        props = cluster.properties(device_path=BYID + volume.global_id)
        assert connector.extend_volume(props) == MEBI

    def test_not_grown(
        self, cluster: StorPool, connector: Connector, volume: double.Volume
    ) -> None:
        volume.size = 2 * MEBI
        with pytest.raises(exception.OperationTimedOut, match=f'{2 * MEBI} bytes'):
            connector.extend_volume(cluster.properties())

    def test_shrunk(self, cluster: StorPool, connector: Connector, volume: double.Volume) -> None:
        volume.size = MEBI // 2
        with pytest.raises(exception.VolumeHasShrunk) as caught:
            connector.extend_volume(cluster.properties())
        assert (caught.value.size, caught.value.before) == (MEBI // 2, MEBI)

    def test_not_attached(self, cluster: StorPool, connector: Connector) -> None:
        cluster.volume()
        with pytest.raises(exception.VolumePathsNotFound):
            connector.extend_volume(cluster.properties())

    def test_no_such_volume(self, cluster: StorPool, connector: Connector) -> None:
        with pytest.raises(exception.VolumePathsNotFound):
            connector.extend_volume(cluster.properties())


class TestRights:
    def test_ro(self, cluster: StorPool, connector: Connector) -> None:
        volume = cluster.volume()
        connector.connect_volume(cluster.properties(access_mode='ro'))
        assert cluster.attached() == {volume.global_id: 'ro'}

    def test_more(self, cluster: StorPool, connector: Connector) -> None:
        volume = cluster.volume()
        connector.connect_volume(cluster.properties(access_mode='ro'))
        connector.connect_volume(cluster.properties())
        assert cluster.attached() == {volume.global_id: 'rw'}

    def test_never_less(
        self, cluster: StorPool, connector: Connector, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Who has it may be writing."""
        volume = cluster.volume()
        connector.connect_volume(cluster.properties())
        connector.connect_volume(cluster.properties(access_mode='ro'))
        assert cluster.attached() == {volume.global_id: 'rw'}
        assert 'stays so' in caplog.text

    def test_taken_back(self, cluster: StorPool, connector: Connector) -> None:
        """A failing attach takes back the rights that it has added, and not the attachment."""
        volume = cluster.volume()
        connector.connect_volume(cluster.properties(access_mode='ro'))
        cluster.host.other_devices.discard('sp-0')
        with pytest.raises(exception.VolumeDeviceNotFound):
            connector.connect_volume(cluster.properties())
        assert cluster.attached() == {volume.global_id: 'ro'}


def test_encrypted(cluster: StorPool, connector: Connector) -> None:
    volume = cluster.volume()
    before = cluster.host.snapshot()
    props = cluster.properties(encrypted=True)
    info = connector.connect_volume(props)
    link = f'/dev/disk/by-id/os-brick+dev+storpool-byid+{volume.global_id}'
    assert info == {'type': 'block', 'path': link}
    assert cluster.host.node(link) == 'sp-0'
    cluster.state.grow(volume, 2 * MEBI)
    assert connector.extend_volume({**props, 'device_path': link}) == 2 * MEBI
    connector.disconnect_volume(props, info)
    assert cluster.attached() == {}
    assert cluster.host.snapshot() == before


class TestConfiguration:
    def test_none_is_needed_to_make_a_connector(self, host: fake_host.Host) -> None:
        """Nova makes one of each protocol; a host without StorPool has no such file."""
        made = factory.InitiatorConnector.factory('STORPOOL', None)
        assert made.get_connector_properties(None, multipath=False, enforce_multipath=False) == {}
        with pytest.raises(exception.HostNotReady, match='/etc/storpool'):
            made.connect_volume(StorPool.properties())

    @pytest.mark.parametrize('ours', ['', '0', '4096', 'x', '1.5'])
    def test_number_of_this_host(self, cluster: StorPool, connector: Connector, ours: str) -> None:
        cluster.volume()
        cluster.configure(ours=ours)
        with pytest.raises(exception.BrickException, match='SP_OURID'):
            connector.connect_volume(cluster.properties())
        assert cluster.server.requests == []

    @pytest.mark.parametrize('token', ['', 'geh\u00e9im'])
    def test_token_that_cannot_be_one(
        self, cluster: StorPool, connector: Connector, token: str
    ) -> None:
        cluster.configure(token=token)
        with pytest.raises(exception.InvalidParameterValue, match='SP_AUTH_TOKEN') as caught:
            connector.connect_volume(cluster.properties())
        assert 'geh' not in repr(caught.value)
        assert cluster.server.requests == []

    def test_prefix(self, cluster: StorPool, connector: Connector) -> None:
        cluster.state.create('cloud--volume-v1', MEBI)
        cluster.host.tree.file(
            '/etc/storpool.conf.d/openstack.conf', 'SP_OPENSTACK_VOLUME_PREFIX=cloud\n'
        )
        connector.connect_volume(cluster.properties())
        assert connector.get_all_available_volumes() == ['v1']

    def test_rotated_token(self, cluster: StorPool, connector: Connector) -> None:
        """One that is configured anew counts at once, for the same object."""
        cluster.volume()
        info = connector.connect_volume(cluster.properties())
        cluster.state.token = '9876543210'
        with pytest.raises(storpool_utils.StorPoolAPIError) as caught:
            connector.disconnect_volume(cluster.properties(), info)
        assert caught.value.status == 401
        assert double.TOKEN not in f'{caught.value!r} {caught.value.json}'
        cluster.configure(token='9876543210')
        connector.disconnect_volume(cluster.properties(), info)
        assert cluster.attached() == {}

    def test_token_rotated_in_an_attach(self, cluster: StorPool, connector: Connector) -> None:
        """What the attach has made is taken back with the new one."""
        cluster.volume()

        def rotate(what: str) -> None:
            if what.endswith('VolumesReassignWait') and cluster.state.token == double.TOKEN:
                cluster.configure(token='9876543210')
                cluster.host.clock.after(
                    0.01, lambda: setattr(cluster.state, 'token', '9876543210')
                )

        cluster.server.before = rotate
        with pytest.raises(storpool_utils.StorPoolAPIError):
            connector.connect_volume(cluster.properties())
        assert cluster.attached() == {}


@pytest.mark.parametrize(
    ('props', 'key'),
    [
        ({'volume': 'v1', 'access_mode': 'rw'}, 'client_id'),
        ({'client_id': 7, 'access_mode': 'rw'}, 'volume'),
        ({'client_id': 7, 'volume': 'v1'}, 'access_mode'),
        ({'client_id': 7, 'volume': 'v1', 'access_mode': 'RW'}, 'access_mode'),
        ({'client_id': 7, 'volume': 'v1', 'access_mode': 5}, 'access_mode'),
        ({'client_id': 7, 'volume': '../v1', 'access_mode': 'rw'}, 'volume'),
        ({'client_id': 7, 'volume': ['v1'], 'access_mode': 'rw'}, 'volume'),
    ],
)
def test_wrong_properties(
    cluster: StorPool, connector: Connector, props: dict[str, Any], key: str
) -> None:
    cluster.volume()
    with pytest.raises(exception.InvalidParameterValue, match=f'connection property {key}: '):
        connector.connect_volume(props)
    assert cluster.server.requests == []


@pytest.mark.parametrize('path', ['/dev/sdc', '/dev/storpool-byid/NO', '/dev/storpool/a b'])
def test_kept_path_that_is_not_of_storpool(
    cluster: StorPool, connector: Connector, path: str
) -> None:
    cluster.volume()
    connector.connect_volume(cluster.properties())
    for call in (
        lambda: connector.disconnect_volume(
            cluster.properties(device_path=path), None, True, False
        ),
        lambda: connector.extend_volume(cluster.properties(device_path=path)),
    ):
        with pytest.raises((exception.InvalidParameterValue, exception.ExceptionChainer)) as caught:
            call()
        assert 'device_path' in str(caught.value)
    assert len(cluster.attached()) == 1
    # What a caller has kept of another life does not keep it from an attach.
    connector.connect_volume(cluster.properties(device_path=path))


def test_path_by_name(cluster: StorPool, connector: Connector) -> None:
    """Of an attach by a release that returned these."""
    cluster.volume()
    connector.connect_volume(cluster.properties())
    connector.disconnect_volume(
        cluster.properties(), {'type': 'block', 'path': '/dev/storpool/os--volume-v1'}
    )
    assert cluster.attached() == {}


def test_names_and_paths(cluster: StorPool, connector: Connector) -> None:
    volume = cluster.volume()
    assert connector.get_search_path() == '/dev/storpool'
    assert connector.get_volume_paths(cluster.properties()) == []
    info = connector.connect_volume(cluster.properties())
    assert connector.get_volume_paths(cluster.properties()) == ['/dev/storpool/os--volume-v1']
    kept = cluster.properties(device_path=info['path'])
    assert connector.get_volume_paths(kept) == [info['path']]
    with pytest.raises(exception.BrickException, match='volume'):
        connector.get_volume_paths({})
    cluster.host.tree.file('/dev/storpool/os--volume-file')
    cluster.host.tree.directory('/dev/storpool/os--volume-directory')
    cluster.host.tree.link('/dev/storpool/other', '/dev/sp-0')
    assert connector.get_all_available_volumes() == ['v1']
    assert storpool.path_to_volname(pathlib.Path(info['path'])) == f'~{volume.global_id}'
    assert storpool.path_to_volname(pathlib.Path('/dev/storpool/x')) == 'x'
    with pytest.raises(exception.BrickException):
        storpool.path_to_volname(pathlib.Path('/dev/sda'))


def _together(*acts: Callable[[], object]) -> list[BaseException]:
    errors: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return errors


@pytest.mark.parametrize('volumes', [1, 4])
def test_at_once(cluster: StorPool, volumes: int) -> None:
    """Four callers, each with a connector of its own, of one volume or of four."""
    for number in range(volumes):
        cluster.volume(f'v{number}')
    before = cluster.host.snapshot()
    props = [cluster.properties(f'v{number % volumes}') for number in range(4)]
    infos: list[Any] = []

    def attach(each: dict[str, Any]) -> None:
        infos.append(storpool.StorPoolConnector(None).connect_volume(each))

    def detach(each: dict[str, Any]) -> None:
        storpool.StorPoolConnector(None).disconnect_volume(each, None)

    assert _together(*(lambda p=p: attach(p) for p in props)) == []
    assert len({info['path'] for info in infos}) == volumes
    assert set(cluster.attached().values()) == {'rw'}
    assert len(cluster.attached()) == volumes
    assert _together(*(lambda p=p: detach(p) for p in props)) == []
    assert cluster.attached() == {}
    assert cluster.host.snapshot() == before


def test_the_token_is_nowhere(
    cluster: StorPool, connector: Connector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    cluster.volume()
    info = connector.connect_volume(cluster.properties())
    cluster.state.token = 'another'
    texts = []
    for call in (
        lambda: connector.connect_volume(cluster.properties()),
        lambda: connector.extend_volume(cluster.properties()),
        lambda: connector.disconnect_volume(cluster.properties(), info),
        lambda: connector.disconnect_volume(cluster.properties(), info, True, False),
    ):
        with pytest.raises(exception.BrickException) as caught:
            call()
        texts += [repr(caught.value), str(caught.getrepr(showlocals=False))]
    cluster.state.token = double.TOKEN
    cluster.server.fail(0, 'html from here')
    with pytest.raises(exception.BrickException) as caught:
        connector.connect_volume(cluster.properties())
    texts += [repr(caught.value), caplog.text, repr(vars(connector))]
    assert not [text for text in texts if double.TOKEN in text]
    assert f'Storpool v1:{double.TOKEN}' in cluster.server.headers[0].values()
