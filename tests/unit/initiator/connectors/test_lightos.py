# SPDX-License-Identifier: Apache-2.0
"""Volumes of Lightbits' clusters on a host in a directory, beside a client that connects."""

from collections.abc import Iterator
import json
import pathlib
import queue
import threading
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import clock, process, wait
from os_brick.host import notes
from os_brick.initiator.connectors import lightos, nvmeof
from tests import breadth
from tests.unit import seams
from tests.unit.fakehost import discovery_client, nvme

Client = discovery_client.DiscoveryClient
properties = discovery_client.properties


@pytest.fixture
def fabric(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[nvme.Fabric]:
    with (
        nvme.configured(tmp_path) as root,
        process.use(seams.Programs({})),
        nvme.Fabric(root, native=getattr(request, 'param', True)) as found,
    ):
        found.file('/usr/sbin/nvme', '')
        yield found


@pytest.fixture
def client(fabric: nvme.Fabric) -> Iterator[Client]:
    with Client(fabric) as found:
        yield found


BOTH = pytest.mark.parametrize(
    'fabric', [True, False], indirect=True, ids=['native', 'no multipath']
)


def connector(**more: Any) -> lightos.LightOSConnector:
    return lightos.LightOSConnector(None, **more)


def cluster(fabric: nvme.Fabric, nodes: int = 2) -> tuple[nvme.Subsystem, nvme.Volume]:
    subsystem = fabric.subsystem('cluster', nodes)
    volume = subsystem.namespaces[3] = nvme.Volume('gold')
    return subsystem, volume


def head(fabric: nvme.Fabric) -> str:
    return '/dev/nvme50n3' if fabric.native else '/dev/nvme0n3'


@BOTH
def test_a_whole_life(fabric: nvme.Fabric, client: Client, state_path: str) -> None:
    subsystem, volume = cluster(fabric)
    props = properties(subsystem, 3)
    given = json.loads(json.dumps(props))
    brick = connector()
    info = brick.connect_volume(props)
    assert info == {'type': 'block', 'path': head(fabric)}
    assert notes.every(state_path).notes[0].identity == f'uuid.{volume.uuid}'
    (name,) = client.files()
    assert name == f'{volume.uuid}.conf'
    services = discovery_client.parsed(client.files()[name])
    assert {(each.transport, each.address, each.port) for each in services} == {
        ('tcp', address, '8009') for address in subsystem.portals
    }
    assert {(each.host, each.nqn) for each in services} == {(nvme.HOST, subsystem.nqn)}
    assert client.directory.joinpath(name).stat().st_mode & 0o777 == 0o600
    assert head(fabric) in brick.get_volume_paths(props)
    assert wait.holds(lambda: len(fabric.controllers) == 2, wait.Deadline.after(5))
    client.settle()
    volume.size = 96 << 20
    assert brick.extend_volume(props) == 96 << 20
    connected = set(fabric.controllers)
    brick.disconnect_volume(props, info)
    assert not client.files()
    assert head(fabric).rpartition('/')[2] in fabric.flushed
    # They are the client's, which would not connect them again.
    assert set(fabric.controllers) == connected
    brick.disconnect_volume(props, None)
    assert props == given
    assert not client.broken


def test_nova_detaches_with_what_it_has_kept(fabric: nvme.Fabric, client: Client) -> None:
    """Through JSON, without device_info, with the path among the properties."""
    subsystem, _volume = cluster(fabric)
    props = properties(subsystem, 3)
    props['device_path'] = connector().connect_volume(props)['path']
    kept = json.loads(json.dumps(props))
    assert connector().extend_volume(kept) == 64 << 20
    connector().disconnect_volume(kept, None, force=True)
    assert not client.files()


def test_the_client_sees_no_file_that_is_not_whole(fabric: nvme.Fabric, client: Client) -> None:
    subsystem, volume = cluster(fabric)
    for _turn in range(3):
        info = connector().connect_volume(properties(subsystem, 3))
        connector().disconnect_volume(properties(subsystem, 3), info)
    assert not client.broken
    others = [name for name in client.seen if name != f'{volume.uuid}.conf']
    assert all(name.startswith('tmp.dc.') for name in others)


@BOTH
def test_a_cluster_that_is_connected_already(fabric: nvme.Fabric, client: Client) -> None:
    """The client does nothing for a second volume; the kernel finds it."""
    subsystem, _volume = cluster(fabric)
    connector().connect_volume(properties(subsystem, 3))
    assert wait.holds(lambda: len(fabric.controllers) == 2, wait.Deadline.after(5))
    client.settle()
    subsystem.namespaces[4] = nvme.Volume('silver')
    info = connector().connect_volume(properties(subsystem, 4))
    assert info['path'].endswith('n4')
    connector().disconnect_volume(properties(subsystem, 3), None)
    assert list(client.files()) == [f'{subsystem.namespaces[4].uuid}.conf']


def test_nodes_that_do_not_show_the_volume(fabric: nvme.Fabric, client: Client) -> None:
    """A volume is behind some nodes only: the others are not waited for, and nothing is theirs."""
    subsystem, volume = cluster(fabric, 1)
    other = fabric.subsystem('cluster2')
    other.nqn = subsystem.nqn
    fabric.by_hand(other, next(iter(other.portals)))
    info = connector().connect_volume(properties(subsystem, 3))
    assert fabric.uuid_of(info['path']) == f'{volume.uuid}'


@pytest.mark.parametrize('force', [False, True])
def test_the_wrong_namespace_is_not_returned(
    fabric: nvme.Fabric, client: Client, force: bool
) -> None:
    """The cluster has given the number to another volume, and the kernel does not know yet."""
    subsystem, gold = cluster(fabric, 1)
    props = properties(subsystem, 3)
    connector().connect_volume(props)
    silver = subsystem.namespaces[3] = nvme.Volume('silver')
    with pytest.raises(exception.BrickException) as caught:
        connector().connect_volume(props)
    assert gold.uuid in str(caught.value)
    fabric.flushed.clear()
    connector().disconnect_volume(props, None, force=force)
    assert not fabric.flushed
    info = connector().connect_volume(properties(subsystem, 3))
    assert fabric.uuid_of(info['path']) == silver.uuid


def test_a_failed_attach_leaves_nothing(fabric: nvme.Fabric, client: Client) -> None:
    subsystem, _volume = cluster(fabric)
    props = properties(subsystem, 3)
    client.connect({subsystem.nqn})
    subsystem.namespaces.clear()
    before = fabric.snapshot()
    with pytest.raises(exception.VolumeDeviceNotFound, match=props['uuid']):
        connector().connect_volume(props)
    assert not client.files()
    assert {name for name in fabric.snapshot() if 'discovery' in name} == {
        name for name in before if 'discovery' in name
    }
    assert len(fabric.controllers) == 2
    assert not nvme.states(fabric.root.parent)


def test_a_failed_attach_leaves_the_file_of_another(fabric: nvme.Fabric, client: Client) -> None:
    """It was there before: it is brought up to date, and stays."""
    subsystem, volume = cluster(fabric)
    props = properties(subsystem, 3)
    connector().connect_volume(props)
    name = f'{volume.uuid}.conf'
    volume.readable = 0
    (fabric.root / head(fabric)[1:]).write_bytes(b'')
    node = {'target_portal': '10.0.0.9', 'target_port': 8009, 'transport_type': 'tcp'}
    props['lightos_nodes'] = {'server7': node}
    with pytest.raises(exception.VolumeDeviceNotFound):
        connector().connect_volume(props)
    (service,) = discovery_client.parsed(client.files()[name])
    assert service.address == '10.0.0.9'


def test_a_client_that_connects_late(fabric: nvme.Fabric, client: Client) -> None:
    """A second after the file, which is as long as scan_timeout."""
    client.delay = 1.5
    subsystem, _volume = cluster(fabric)
    assert connector().connect_volume(properties(subsystem, 3))['path'] == head(fabric)


def test_a_client_that_never_connects(
    fabric: nvme.Fabric, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lightos.LightOSConnector, 'WAIT_DEVICE_TIMEOUT', 0.5)
    client.connects = False
    subsystem, _volume = cluster(fabric)
    with pytest.raises(exception.VolumeDeviceNotFound, match='no controller'):
        connector().connect_volume(properties(subsystem, 3))
    assert not client.files()


def test_without_a_client_nothing_is_written(
    fabric: nvme.Fabric, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lightos.LightOSConnector, 'CLIENT_TIMEOUT', 0.2)
    subsystem, _volume = cluster(fabric)
    fabric.network.servers.clear()
    with pytest.raises(exception.VolumeDeviceNotFound, match='does not answer at localhost port'):
        connector().connect_volume(properties(subsystem, 3))
    client.stop()
    client.directory.rmdir()
    with pytest.raises(exception.BrickException, match='directory /etc/discovery-client'):
        connector().connect_volume(properties(subsystem, 3))
    assert not client.seen


def test_a_volume_in_use_stays(fabric: nvme.Fabric, client: Client) -> None:
    subsystem, volume = cluster(fabric)
    props = properties(subsystem, 3)
    messages: queue.Queue[Any] = queue.Queue()
    brick = connector(message_queue=messages)
    info = brick.connect_volume(props)
    fabric.file('/proc/swaps', f'Filename Type\n{info["path"]} partition 1 0 -2\n')
    with pytest.raises(exception.VolumeInUse):
        brick.disconnect_volume(props, info)
    assert list(client.files()) == [f'{volume.uuid}.conf']
    assert messages.get_nowait() == ('add', props)
    assert messages.empty()
    with pytest.raises(exception.ExceptionChainer, match='swap'):
        brick.disconnect_volume(props, info, force=True)
    assert not client.files()
    assert messages.get_nowait() == ('delete', props)


def test_an_encrypted_volume_is_a_link(fabric: nvme.Fabric, client: Client) -> None:
    subsystem, _volume = cluster(fabric)
    props = properties(subsystem, 3, encrypted=True)
    info = connector().connect_volume(props)
    link = f'/dev/disk/by-id/os-brick{head(fabric).replace("/", "+")}'
    assert info['path'] == link
    assert (fabric.root / link[1:]).is_symlink()
    connector().disconnect_volume({**props, 'device_path': link}, None)
    assert not (fabric.root / link[1:]).is_symlink()
    assert not client.files()


@BOTH
def test_an_nvmeof_detach_leaves_the_controllers(fabric: nvme.Fabric, client: Client) -> None:
    """A volume of the NVMe over Fabrics connector behind the same controllers, made by that."""
    subsystem, _volume = cluster(fabric, 1)
    subsystem.namespaces[4] = nvme.Volume('silver')
    other = nvmeof.NVMeOFConnector(None, use_multipath=True)
    info = other.connect_volume(subsystem.properties(4))
    mine = connector().connect_volume(properties(subsystem, 3))
    other.disconnect_volume(subsystem.properties(4), info)
    assert len(fabric.controllers) == 1
    assert fabric.uuid_of(mine['path'])
    connector().disconnect_volume(properties(subsystem, 3), mine)
    assert len(fabric.controllers) == 1


@BOTH
def test_two_volumes_side_by_side(fabric: nvme.Fabric, client: Client) -> None:
    subsystem, _volume = cluster(fabric)
    subsystem.namespaces[4] = nvme.Volume('silver')
    found: dict[int, str] = {}

    def attach(nsid: int) -> None:
        found[nsid] = connector().connect_volume(properties(subsystem, nsid))['path']

    threads = [threading.Thread(target=attach, args=(nsid,)) for nsid in (3, 4, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {nsid: fabric.uuid_of(path) for nsid, path in found.items()} == {
        nsid: volume.uuid for nsid, volume in subsystem.namespaces.items()
    }
    for nsid in (3, 4):
        connector().disconnect_volume(properties(subsystem, nsid), None)
    assert not client.files()


BAD: list[tuple[str, Any]] = [
    ('uuid', None),
    ('uuid', '../../etc/passwd'),
    ('uuid', '00000000-0000-0000-0000-000000000000'),
    ('subsysnqn', None),
    ('subsysnqn', 'nqn.2016-01.com.lightbits:a b'),
    ('subsysnqn', 'nqn.2016-01.com.lightbits:a -a 10.0.0.1'),
    ('lightos_nodes', None),
    ('lightos_nodes', {}),
    ('lightos_nodes', ['10.0.0.1']),
    ('lightos_nodes', {'a': '10.0.0.1'}),
    ('lightos_nodes', {'a': {'target_portal': '10.0.0.1', 'transport_type': 'tcp'}}),
    *(
        (
            'lightos_nodes',
            {'a': {'target_portal': address, 'target_port': port, 'transport_type': kind}},
        )
        for address, port, kind in (
            ('10.0.0.1 -q x', 8009, 'tcp'),
            ('10.0.0.1\n-t', 8009, 'tcp'),
            ('10.0.0.1', 'x', 'tcp'),
            ('10.0.0.1', 8009, 'rdma'),
            ('10.0.0.1', 8009, 'post'),
        )
    ),
]


@pytest.mark.parametrize(('key', 'value'), BAD)
def test_bad_properties_are_named(
    fabric: nvme.Fabric, client: Client, key: str, value: Any
) -> None:
    subsystem, _volume = cluster(fabric)
    with pytest.raises(exception.InvalidParameterValue, match=key):
        connector().connect_volume({**properties(subsystem, 3), key: value})
    assert not client.seen
    assert not fabric.controllers


class TestProperties:
    def test_of_a_host_with_the_client(self, fabric: nvme.Fabric, client: Client) -> None:
        fabric.network.own += [('eth0', '10.1.0.7'), ('eth0', 'fe80::7'), ('eth1', '10.1.0.7')]
        expected = {'nqn': nvme.HOST, 'found_dsc': 'found', 'host_ips': ['10.1.0.7', 'fe80::7']}
        assert lightos.LightOSConnector.get_connector_properties(None, multipath=True) == expected
        assert connector().get_connector_properties(None)['nqn'] == nvme.HOST
        assert lightos.LightOSConnector.get_ip_addresses() == ['10.1.0.7', 'fe80::7']

    @pytest.mark.parametrize('answer', [b'HTTP/1.1 404 Not Found\r\n\r\n', b'', b'x' * (1 << 20)])
    def test_something_else_listens(
        self, fabric: nvme.Fabric, client: Client, answer: bytes
    ) -> None:
        client.metrics.answer = answer
        assert connector().find_dsc() == ''
        assert client.metrics.asked[0] == b'HEAD /metrics HTTP/1.1'

    def test_something_that_never_answers(self, fabric: nvme.Fabric, client: Client) -> None:
        """It holds up the properties of every protocol for two seconds, and not for ever."""
        client.metrics.answer = None
        begun = clock.monotonic()
        found = lightos.LightOSConnector.get_connector_properties(None)
        assert clock.monotonic() - begun < 4
        assert (found['nqn'], found['found_dsc']) == (nvme.HOST, '')

    def test_of_a_host_without_the_client(self, fabric: nvme.Fabric) -> None:
        """It is not asked: a host without LightOS has nothing to wait for."""
        found = lightos.LightOSConnector.get_connector_properties(None)
        assert (found['nqn'], found['found_dsc']) == (nvme.HOST, '')
        assert 'localhost' not in fabric.network.lookups

    def test_of_a_host_without_nvme(self, fabric: nvme.Fabric) -> None:
        (fabric.root / 'usr/sbin/nvme').unlink()
        (fabric.root / 'etc/nvme/hostnqn').unlink()
        before = fabric.snapshot()
        assert lightos.LightOSConnector.get_connector_properties(None) == {}
        assert fabric.snapshot() == before


class TestMonitor:
    def test_files_that_are_missing_come_back(self, fabric: nvme.Fabric, client: Client) -> None:
        subsystem, volume = cluster(fabric)
        props = properties(subsystem, 3)
        database: dict[str, Any] = {}
        messages: queue.Queue[Any] = queue.Queue()
        brick = connector(message_queue=messages)
        brick.connect_volume(props)
        brick.monitor_message_queue(messages, database)
        assert database == {volume.uuid: props}
        (client.directory / f'{volume.uuid}.conf').unlink()
        assert brick.dsc_need_connect(props)
        brick.monitor_db(database)
        assert not brick.dsc_need_connect(props)
        assert brick.dsc_file_name(volume.uuid).endswith(f'discovery.d/{volume.uuid}.conf')
        brick.disconnect_volume(props, None)
        brick.monitor_db(database)
        assert not client.files()
        assert not database

    def test_a_message_that_was_not_read_yet(self, fabric: nvme.Fabric, client: Client) -> None:
        """The volume was detached since: its file does not come back."""
        subsystem, _volume = cluster(fabric)
        props = properties(subsystem, 3)
        messages: queue.Queue[Any] = queue.Queue()
        brick = connector(message_queue=messages)
        brick.connect_volume(props)
        database = {props['uuid']: props}
        brick.disconnect_volume(props, None)
        brick.monitor_db(database)
        assert not client.files()

    def test_bad_entries_do_not_end_it(self, fabric: nvme.Fabric, client: Client) -> None:
        subsystem, volume = cluster(fabric)
        database = {'x': {'uuid': 'x'}, volume.uuid: properties(subsystem, 3)}
        connector().monitor_db(database)
        assert list(client.files()) == [f'{volume.uuid}.conf']

    @pytest.mark.parametrize('forms', [(str.upper, str.lower), (str.lower, str.upper)])
    def test_a_uuid_in_capitals(self, fabric: nvme.Fabric, client: Client, forms: Any) -> None:
        """It is the same volume in an attach, in a detach and in the database."""
        subsystem, volume = cluster(fabric)
        props = properties(subsystem, 3)
        first, second = ({**props, 'uuid': form(props['uuid'])} for form in forms)
        messages: queue.Queue[Any] = queue.Queue()
        brick = connector(message_queue=messages)
        database: dict[str, Any] = {props['uuid'].upper(): first}
        info = brick.connect_volume(first)
        brick.monitor_message_queue(messages, database)
        assert list(database) == [volume.uuid]
        brick.disconnect_volume(second, info)
        brick.monitor_db(database)
        assert not client.files()
        assert not database

    def test_an_attach_that_fails_at_its_end(self, fabric: nvme.Fabric, client: Client) -> None:
        """The link of an encrypted volume cannot be made: the monitor learns of nothing."""
        subsystem, _volume = cluster(fabric)
        link = f'dev/disk/by-id/os-brick{head(fabric).replace("/", "+")}'
        (fabric.root / link / 'is a directory').mkdir(parents=True)
        messages: queue.Queue[Any] = queue.Queue()
        database: dict[str, Any] = {}
        brick = connector(message_queue=messages)
        with pytest.raises((exception.BrickException, OSError)):
            brick.connect_volume(properties(subsystem, 3, encrypted=True))
        brick.monitor_message_queue(messages, database)
        brick.monitor_db(database)
        assert not database
        assert not client.files()

    @pytest.mark.parametrize(
        'message',
        [
            None,
            7,
            (),
            ('add',),
            ('add', None),
            ('add', {}),
            ('add', {'uuid': 5}),
            ('add', {'uuid': 'x'}),
            ('delete', []),
            ('x', {'uuid': '3f53a1b2-0000-4000-8000-000000000001'}),
        ],
    )
    def test_a_message_that_is_not_one(
        self, fabric: nvme.Fabric, client: Client, message: Any
    ) -> None:
        subsystem, volume = cluster(fabric)
        messages: queue.Queue[Any] = queue.Queue()
        messages.put(message)
        messages.put(('add', properties(subsystem, 3)))
        database: dict[str, Any] = {}
        connector().monitor_message_queue(messages, database)
        assert list(database) == [volume.uuid]

    def test_a_queue_that_is_full(
        self, fabric: nvme.Fabric, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No monitor reads it: the attach fails in its time, and leaves nothing."""
        subsystem, _volume = cluster(fabric)
        messages: queue.Queue[Any] = queue.Queue(maxsize=1)
        messages.put('taken')
        real = messages.put
        waited: list[Any] = []

        def put(item: Any, block: bool = True, timeout: float | None = None) -> None:
            waited.append(timeout)
            real(item, block=False)

        monkeypatch.setattr(messages, 'put', put)
        with pytest.raises(exception.BrickException, match='Check that lightos_monitor runs'):
            connector(message_queue=messages).connect_volume(properties(subsystem, 3))
        assert waited == [5.0]
        assert not client.files()

    def test_a_full_queue_that_does_not_tell_its_size(
        self, fabric: nvme.Fabric, client: Client
    ) -> None:
        """As those of multiprocessing, and of its managers."""

        class Full:
            def put(self, *words: Any, **_more: Any) -> None:
                told.append(words[1:])
                raise queue.Full

        told: list[tuple[Any, ...]] = []
        subsystem, _volume = cluster(fabric)
        with pytest.raises(exception.BrickException, match='Check that lightos_monitor runs'):
            connector(message_queue=Full()).connect_volume(properties(subsystem, 3))
        assert told == [(True, 5.0)]
        assert not client.files()

    def test_a_queue_that_takes_no_limit(self, fabric: nvme.Fabric, client: Client) -> None:
        class Plain:
            def put(self, message: Any) -> None:
                told.append(message[0])

        told: list[str] = []
        subsystem, _volume = cluster(fabric)
        connector(message_queue=Plain()).connect_volume(properties(subsystem, 3))
        assert told == ['add']

    def test_a_message_that_another_reader_takes(self, fabric: nvme.Fabric) -> None:
        """It is not waited for, as the lock of a volume is held."""

        class Shared(queue.Queue[Any]):
            def empty(self) -> bool:
                return False

            def get(self, block: bool = True, timeout: float | None = None) -> Any:
                assert not block, 'it waits for ever'
                return super().get(block, timeout)

        subsystem, volume = cluster(fabric)
        messages = Shared()
        messages.put(('add', properties(subsystem, 3)))
        database: dict[str, Any] = {}
        connector().monitor_message_queue(messages, database)
        assert list(database) == [volume.uuid]

    def test_it_goes_on(
        self, fabric: nvme.Fabric, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Over(BaseException):
            pass

        class Messages(queue.Queue[Any]):
            def empty(self) -> bool:
                if not self.qsize() and len(turns) > 4:
                    raise Over
                turns.append(1)
                return super().empty()

        turns: list[int] = []
        naps: list[float] = []
        monkeypatch.setattr(lightos.clock, 'sleep', naps.append)
        subsystem, volume = cluster(fabric)
        messages = Messages()
        messages.put(('add', properties(subsystem, 3)))
        messages.put(('delete', {'uuid': 'unknown'}))
        with pytest.raises(Over):
            connector().lightos_monitor({}, messages)
        assert naps[0] == 5
        assert list(client.files()) == [f'{volume.uuid}.conf']


def test_the_options(fabric: nvme.Fabric, client: Client) -> None:
    """Another directory and place of the client."""
    place = fabric.root / 'srv/dsc'
    place.mkdir(parents=True)
    values = {'dir_path': '/srv/dsc/', 'address': '127.0.0.1', 'port': 7070}
    for name, value in values.items():
        cfg.CONF.set_override(f'lightos_discovery_client_{name}', value, group='os_brick')
    try:
        servers = fabric.network.servers
        servers['127.0.0.1', 7070] = servers.pop(discovery_client.ANSWERS)
        assert connector().find_dsc() == 'found'
        subsystem, volume = cluster(fabric)
        client.connect({subsystem.nqn})
        connector().connect_volume(properties(subsystem, 3))
        assert [path.name for path in place.iterdir()] == [f'{volume.uuid}.conf']
    finally:
        for name in values:
            cfg.CONF.clear_override(f'lightos_discovery_client_{name}', group='os_brick')
    (group, found), *_ = lightos.list_opts()
    assert (group, len(found)) == ('os_brick', 3)


NEVER = 10**9
HOWS = ['refused', 'hung', 'late', 'interrupted', 'interrupted late']


def _strikes() -> list[tuple[int, str]]:
    return [
        (number, how)
        for turn, how in enumerate(HOWS)
        for number in breadth.acts(turn, len(HOWS), 10)
    ]


class TestFaults:
    """One act of root goes wrong, whichever it is: a question to the cluster, a read, a flush."""

    @pytest.fixture
    def striking(self, tmp_path: pathlib.Path) -> Iterator[nvme.StrikingFabric]:
        with (
            nvme.configured(tmp_path, operation_timeout=10) as root,
            nvme.StrikingFabric(root) as found,
            process.use(found),
        ):
            found.file('/usr/sbin/nvme', '')
            yield found

    @pytest.mark.parametrize(('number', 'how'), _strikes())
    def test_in_an_attach(self, striking: nvme.StrikingFabric, number: int, how: str) -> None:
        """Nothing is left of one that fails but what the client has connected."""
        subsystem, volume = cluster(striking)
        props = properties(subsystem, 3)
        with Client(striking) as client:
            client.connect({subsystem.nqn})
            striking.fail(number, how)
            try:
                connector().connect_volume(props)
            except (Exception, KeyboardInterrupt):
                assert not client.files()
                assert not nvme.states(striking.root.parent)
            else:
                assert list(client.files()) == [f'{volume.uuid}.conf']
            assert len(striking.controllers) == 2
            striking.fail(NEVER, '')
            info = connector().connect_volume(props)
            assert striking.uuid_of(info['path']) == volume.uuid
            connector().disconnect_volume(props, info)
            assert not client.files()
            assert not nvme.states(striking.root.parent)

    @pytest.mark.parametrize(('number', 'how'), _strikes())
    @pytest.mark.parametrize('force', [True, False])
    def test_in_a_detach(
        self, striking: nvme.StrikingFabric, number: int, how: str, force: bool
    ) -> None:
        """One that fails can be repeated; a forced one has removed the file all the same."""
        subsystem, _volume = cluster(striking)
        props = properties(subsystem, 3)
        with Client(striking) as client:
            info = connector().connect_volume(props)
            striking.fail(number, how)
            try:
                connector().disconnect_volume(props, info, force=force)
            except KeyboardInterrupt:
                pass
            except Exception:
                assert not (force and client.files())
            else:
                assert not client.files()
            striking.fail(NEVER, '')
            connector().disconnect_volume(props, info)
            assert not client.files()
            assert not nvme.states(striking.root.parent)
