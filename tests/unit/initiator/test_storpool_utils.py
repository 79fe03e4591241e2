# SPDX-License-Identifier: Apache-2.0
"""StorPool's API as Cinder's driver uses it, against a cluster over a real socket."""

from collections.abc import Iterator
import copy
import logging
import pickle
import time
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import clock, net
from os_brick.initiator import storpool_utils
from tests.doubles import storpool as double
from tests.unit.fakehost import clock as fake_clock
from tests.unit.fakehost import network as fake_network

NAME = 'os--volume-1'
MEBI = 1 << 20
Error = storpool_utils.StorPoolAPIError


@pytest.fixture
def server() -> Iterator[double.Server]:
    """At 10.5.0.1:81; pauses take no time."""
    own = fake_clock.Clock()
    network = fake_network.Network(own)
    network.names['cluster.lab'] = ('10.5.0.1',)
    with double.serving(double.Cluster()) as found, clock.use(own), net.use(network):
        for address in ('10.5.0.1', 'fd00::1'):
            network.servers[address, 81] = found.port
        found.cluster.create(NAME, MEBI)
        yield found


@pytest.fixture
def api(server: double.Server) -> storpool_utils.StorPoolAPI:
    return storpool_utils.StorPoolAPI('10.5.0.1', '81', double.TOKEN)


Api = storpool_utils.StorPoolAPI


def test_life_of_a_volume(server: double.Server, api: Api) -> None:
    """As Cinder's driver has it."""
    state = server.cluster
    assert set(api.disks_list()) == {'1'}
    assert [each['name'] for each in api.volume_templates_list()] == ['ssd']
    api.volume_create({'name': 'os--volume-2', 'size': MEBI, 'template': 'ssd'})
    assert sorted(each['name'] for each in api.volumes_list()) == [NAME, 'os--volume-2']
    api.volume_update('os--volume-2', {'size': 2 * MEBI})
    assert api.volume('os--volume-2')[0]['size'] == 2 * MEBI
    api.volume_update('os--volume-2', {'rename': 'os--volume-3'})
    info = api.volume_get_info('os--volume-3')
    assert api.volume_get_info(f'~{info["globalId"]}') == info
    api.snapshot_create('os--volume-3', {'name': 'snap'})
    api.snapshot_update('snap', {'tags': {'transient': '1.0'}})
    api.volume_revert('os--volume-3', {'toSnapshot': 'snap'})
    api.snapshot_delete('snap')
    own = f'~{info["globalId"]}'
    api.volumes_reassign_wait({'reassign': [{'volume': own, 'rw': [7]}]})
    assert [each['client'] for each in api.attachments_list()] == [7]
    api.volumes_reassign([{'volume': 'os--volume-3', 'detach': 'all'}])
    assert state.attachments == []
    api.volume_delete('os--volume-3')
    assert api.get_iscsi_config() == {'iscsi': {}}
    assert api.post_iscsi_config({'commands': []}) == {'ok': True, 'generation': state.generation}


def test_requests(server: double.Server, api: Api) -> None:
    """Paths and bodies are those of 7.1.1, recorded from it."""
    api.volumes_reassign([{'volume': NAME, 'detach': 'all'}])
    api.volumes_reassign_wait({'reassign': []})
    with pytest.raises(Error):
        api.volume_delete('os--volume-9')
    api.get_iscsi_config()
    assert list(zip(server.requests, server.bodies, strict=True)) == [
        (
            'POST /ctrl/1.0/MultiCluster/VolumesReassign',
            [{'volume': NAME, 'detach': 'all'}],
        ),
        ('POST /ctrl/1.0/MultiCluster/VolumesReassignWait', {'reassign': []}),
        ('POST /ctrl/1.0/MultiCluster/VolumeDelete/os--volume-9', None),
        ('GET /ctrl/1.0/iSCSIConfig', None),
    ]


@pytest.mark.parametrize('host', ['10.5.0.1', 'cluster.lab', 'fd00::1', '[fd00::1]'])
def test_hosts(server: double.Server, host: str) -> None:
    api = storpool_utils.StorPoolAPI(host, 81, double.TOKEN)
    assert api.volumes_list()
    assert server.headers[0]['Host'] == api.url


@pytest.mark.parametrize(
    ('host', 'port', 'token', 'key'),
    [
        ('a b', 81, 'x', 'SP_API_HTTP_HOST'),
        ('http://h', 81, 'x', 'SP_API_HTTP_HOST'),
        ('h', 'x', 'x', 'SP_API_HTTP_PORT'),
        ('h', 0, 'x', 'SP_API_HTTP_PORT'),
        ('h', 65536, 'x', 'SP_API_HTTP_PORT'),
        ('h', '1234567', 'x', 'SP_API_HTTP_PORT'),
        ('h', None, 'x', 'SP_API_HTTP_PORT'),
        ('h', 81, '', 'SP_AUTH_TOKEN'),
        ('h', 81, None, 'SP_AUTH_TOKEN'),
        ('h', 81, 'gehe\nim', 'SP_AUTH_TOKEN'),
    ],
)
def test_what_cannot_be_used(host: Any, port: Any, token: Any, key: str) -> None:
    with pytest.raises(exception.InvalidParameterValue, match=key) as caught:
        storpool_utils.StorPoolAPI(host, port, token)
    assert 'gehe' not in str(caught.value)


@pytest.mark.parametrize('name', ['a/../b', 'a b', 'a?b=c', 'a#b', '\u00e9', 'a%2fb', '..', ''])
def test_names_stay_one_part_of_the_path(server: double.Server, api: Api, name: str) -> None:
    with pytest.raises(Error):
        api.volume_get_info(name)
    (line,) = server.requests
    assert line.startswith('GET /ctrl/1.0/MultiCluster/VolumeGetInfo/')
    assert line.count('/') == 5
    assert '?' not in line


@pytest.mark.parametrize('count', [1, 5])
def test_transient_errors_are_waited_out(server: double.Server, api: Api, count: int) -> None:
    """The same request, each time: reference: its JSON was encoded again by each try."""
    server.before = lambda what: (
        server.fail(0, 'transient') if len(server.requests) < count else None
    )
    server.fail(0, 'transient')
    begun = clock.monotonic()
    api.volume_create({'name': 'os--volume-2', 'size': MEBI})
    assert server.bodies == [{'name': 'os--volume-2', 'size': MEBI}] * (count + 1)
    assert clock.monotonic() - begun >= 2**count - 1


def test_transient_errors_without_end(server: double.Server, api: Api) -> None:
    server.fail(0, 'transient from here')
    with pytest.raises(Error) as caught:
        api.volume_create({'name': 'os--volume-2', 'size': MEBI})
    assert caught.value.transient
    assert (caught.value.status, caught.value.name) == (503, 'busy')
    assert len(server.requests) == 6


def test_transient_errors_and_no_tries(server: double.Server) -> None:
    api = storpool_utils.StorPoolAPI('10.5.0.1', 81, double.TOKEN, transient_retries=0)
    server.fail(0, 'transient')
    with pytest.raises(Error):
        api.volume_create({})
    assert len(server.requests) == 1


CALLS: dict[str, tuple[tuple[Any, ...], bool]] = {
    'volume_create': (({'name': 'os--volume-2', 'size': MEBI},), False),
    'volume_update': ((NAME, {'size': 2 * MEBI}), True),
    'volume_revert': ((NAME, {'toSnapshot': 'x'}), True),
    'volumes_reassign': (([{'volume': NAME, 'detach': 'all'}],), True),
    'volumes_reassign_wait': (({'reassign': []},), True),
    'snapshot_create': ((NAME, {'name': 'x'}), False),
    'snapshot_update': (('x', {'tags': {}}), True),
    'snapshot_delete': (('x',), True),
    'post_iscsi_config': (({},), False),
    'disks_list': ((), True),
}


@pytest.mark.parametrize('how', ['lost', 'half', 'reset'])
@pytest.mark.parametrize('call', CALLS)
def test_only_what_may_be_repeated_is(server: double.Server, api: Api, call: str, how: str) -> None:
    args, may_be_repeated = CALLS[call]
    server.fail(0, how)
    if may_be_repeated:
        getattr(api, call)(*args)
        assert len(server.requests) == 2
        return
    with pytest.raises(Error) as caught:
        getattr(api, call)(*args)
    assert (caught.value.status, caught.value.name) == (0, 'noAnswer')
    assert len(server.requests) == 1


def test_a_new_name_is_given_once(server: double.Server, api: Api) -> None:
    server.fail(0, 'lost')
    with pytest.raises(Error):
        api.volume_update(NAME, {'rename': 'os--volume-9'})
    assert [each.name for each in server.cluster.volumes.values()] == ['os--volume-9']
    assert len(server.requests) == 1


@pytest.mark.parametrize('how', ['html', 'list', 'redirect', 'huge', 'refused'])
def test_answers_that_cannot_be_used(server: double.Server, api: Api, how: str) -> None:
    """Whatever comes is the class that Cinder's driver catches."""
    server.fail(0, f'{how} from here')
    with pytest.raises(Error) as caught:
        api.volume_create({'name': 'os--volume-2', 'size': MEBI})
    assert caught.value.name in {'noAnswer', 'internal', '<Missing error name>'}
    assert double.TOKEN not in f'{caught.value!r}{caught.value.json}'
    assert len(server.requests) == 1


def test_server_that_is_away(server: double.Server, api: Api) -> None:
    server.stop()
    with pytest.raises(Error, match='cannot be reached') as caught:
        api.disks_list()
    assert isinstance(caught.value.__cause__, exception.StorageServerUnreachable)


@pytest.mark.parametrize('depth', [900, 100_000])
def test_answer_that_is_nested_without_end(
    server: double.Server, api: Api, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    text = b'{"error":' + b'[' * depth + b']' * depth + b'}'
    monkeypatch.setattr(double._Handler, '_answer', lambda self, raw: (500, {}))
    monkeypatch.setattr(
        double._Handler, '_send', lambda self, status, body: self._raw(status, text)
    )
    with pytest.raises(Error) as caught:
        api.disks_list()
    assert caught.value.status == 500


def test_answer_without_anything(
    server: double.Server, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(double._Handler, '_answer', lambda self, raw: (200, {'generation': 1}))
    with pytest.raises(Error, match='neither data nor an error'):
        api.disks_list()


def test_server_that_never_answers(server: double.Server) -> None:
    api = storpool_utils.StorPoolAPI('10.5.0.1', 81, double.TOKEN, timeout=0.3)
    server.fail(0, 'hung from here')
    begun = time.monotonic()
    with pytest.raises(Error, match='Timed out'):
        api.disks_list()
    assert time.monotonic() - begun < 3


def test_refused_token(server: double.Server, api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """A server that repeats the header in its answer does not get it into an error."""
    caplog.set_level(logging.DEBUG)
    server.cluster.token = 'another'
    with pytest.raises(Error) as caught:
        api.disks_list()
    error = caught.value
    assert (error.status, error.desc) == (401, 'not valid: Storpool v1:***')
    texts = [repr(error), str(error.json), caplog.text, repr(api), str(api.__dict__['_client'])]
    assert not [text for text in texts if double.TOKEN in text]


@pytest.mark.parametrize('escape', ['plain', 'unicode', 'key'])
def test_token_that_is_repeated_in_another_spelling(
    server: double.Server, api: Api, monkeypatch: pytest.MonkeyPatch, escape: str
) -> None:
    """JSON has several spellings of a text."""
    token = double.TOKEN
    if escape == 'unicode':
        token = ''.join(f'\\u{ord(each):04x}' for each in token)
    facts = f'"{token}": 1, "descr": 2' if escape == 'key' else f'"descr": "no {token}"'
    text = f'{{"error": {{{facts}}}}}'.encode()
    monkeypatch.setattr(double._Handler, '_send', lambda self, status, body: self._raw(400, text))
    with pytest.raises(Error) as caught:
        api.disks_list()
    assert '***' in str(caught.value.json)
    assert double.TOKEN not in f'{caught.value!r}{caught.value}{caught.value.json}'


def test_error_is_one_line() -> None:
    """What a server says forges no line of a log."""
    forged = 'x\r\n2026-01-01 ERROR forged\x1b[31m\u2028\ud800'
    error = Error(500, {'error': {'name': forged, 'descr': forged}})
    assert str(error).isprintable()
    assert error.desc.startswith(r'x\r\n2026')
    assert len(str(Error(500, {'error': {'name': 'x' * 10**6}}))) < 2000


@pytest.mark.parametrize(
    ('json', 'name', 'desc', 'transient'),
    [
        ({'error': {'name': 'n', 'descr': 'd', 'transient': True}}, 'n', 'd', True),
        ({'error': {}}, '<Missing error name>', '<Missing error description>', False),
        ({'error': {'descr': 'd'}}, '<Missing error name>', 'd', False),
        ({}, '<Missing error name>', '<Missing error description>', False),
        ({'error': 'x'}, '<Missing error name>', '<Missing error description>', False),
        (None, '<Missing error name>', '<Missing error description>', False),
        ([], '<Missing error name>', '<Missing error description>', False),
    ],
)
def test_error(json: Any, name: str, desc: str, transient: bool) -> None:
    """Names and values are those of 7.1.1, recorded from it, where that has them."""
    error = Error('none', json)
    assert (error.status, error.name, error.desc, error.transient) == (
        *('none', name, desc),
        transient,
    )
    assert error.json == json
    assert name in str(error)
    assert desc in str(error)
    for other in (
        pickle.loads(pickle.dumps(error)),
        copy.copy(error),
        Error(*error.portable_args()),
    ):
        assert (other.status, other.json, str(other)) == (error.status, error.json, str(error))


def test_long_description() -> None:
    assert len(str(Error(500, {'error': {'descr': 'x' * 10**6}}))) < 2000


def test_names() -> None:
    """Recorded from 7.1.1."""
    assert storpool_utils.os_to_sp_volume_name('p', 'id') == 'p--volume-id'
    snapshot = storpool_utils.os_to_sp_snapshot_name
    assert snapshot('p', 't', 'id') == 'p--t--none--snapshot-id'
    assert snapshot('p', 't', 'id', 'm') == 'p--t--m--snapshot-id'
    assert storpool_utils.STORPOOL_CONF_DEFAULTS['SP_API_HTTP_PORT'] == '81'
    assert str(storpool_utils.DEV_STORPOOL_BYID) == '/dev/storpool-byid'
