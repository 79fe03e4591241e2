# SPDX-License-Identifier: Apache-2.0
"""HTTP: what is asked and answered, and that no server keeps, floods or leads astray its client."""

import base64
from collections.abc import Iterator
import contextlib
import logging
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time
import tracemalloc

import pytest

from os_brick import exception
from os_brick.core import clock, files, http, net, trace, wait
from tests.doubles import certificates, web
from tests.unit import seams
from tests.unit.fakehost import clock as fake_clock
from tests.unit.fakehost import network as fake_network

SECRET = 'correct horse battery'


class Echo(web.Server):
    """Answers with what it was asked."""

    def answer(self, request: web.Seen) -> web.Reply:
        if request.method == 'HEAD':
            return web.Reply(200, b'', {'Content-Length': '12345', 'X-Kind': 'echo'})
        return web.json_reply({'line': request.line, 'body': request.body.decode()})


@pytest.fixture
def plain() -> Iterator[Echo]:
    with Echo() as server:
        yield server


@pytest.fixture
def secure() -> Iterator[Echo]:
    with Echo(certificates.of('127.0.0.1', 'gateway.lab')) as server:
        yield server


@pytest.fixture(params=['plain', 'tls'])
def either(request: pytest.FixtureRequest) -> Echo:
    return request.getfixturevalue('plain' if request.param == 'plain' else 'secure')


def _client(server: web.Server, host: str = '127.0.0.1', **tls: object) -> http.Client:
    if server.certificate is None:
        return http.Client(http.Server(host, server.port))
    options = {'ca_path': str(server.certificate.file), **tls}
    return http.Client(http.Server(host, server.port, http.Tls(**options)))  # type: ignore[arg-type]


def _ask(client: http.Client, request: http.Request, within: float = 10, **more) -> http.Answer:
    return client.ask(request, wait.Deadline.after(within), **more)


GET = http.Request('GET', '/volumes?name=gold')
POST = http.Request.with_json('POST', '/map', {'guid': 'a'}, {'X-Token': SECRET})


def test_asked_and_answered(either: Echo) -> None:
    client = _client(either)
    assert _ask(client, GET).json() == {'line': 'GET /volumes?name=gold', 'body': ''}
    answer = _ask(client, POST)
    assert answer.status == 200
    assert answer.json() == {'line': 'POST /map', 'body': '{"guid": "a"}'}
    seen = either.seen[1]
    assert seen.headers == {
        'host': f'127.0.0.1:{either.port}',
        'accept-encoding': 'identity',
        'connection': 'close',
        'x-token': SECRET,
        'content-type': 'application/json',
        'content-length': '13',
    }


def test_head_has_no_body(either: Echo) -> None:
    answer = _ask(_client(either), http.Request('HEAD', '/metrics'))
    assert (answer.status, answer.body, answer.headers['x-kind']) == (200, b'', 'echo')


def test_post_without_a_body_says_so(plain: Echo) -> None:
    _ask(_client(plain), http.Request('POST', '/act'))
    assert plain.seen[0].headers['content-length'] == '0'


def test_a_large_request_and_a_large_answer(either: Echo) -> None:
    body = b'x' * 3_000_000
    answer = _ask(_client(either), http.Request('POST', '/big', {}, body))
    assert answer.json()['body'] == body.decode()


@pytest.mark.parametrize('status', [401, 404, 500])
def test_a_status_is_an_answer(plain: Echo, status: int) -> None:
    plain.faults.append(web.Fault('status', value=status))
    answer = _ask(_client(plain), GET)
    assert (answer.status, answer.body) == (status, b'<html>no</html>')
    with pytest.raises(exception.StorageServerError, match=r'text/html instead of JSON') as caught:
        answer.json()
    assert '<html>' not in str(caught.value)
    assert f'http://127.0.0.1:{plain.port}' in str(caught.value)
    assert 'GET /volumes' in str(caught.value)


@pytest.mark.parametrize('body', [b'[' * 100_000, b'9' * 5000, b'\xff', b'', b'{"a": "half'])
def test_what_is_not_json(plain: Echo, body: bytes) -> None:
    plain.faults.append(web.Fault('reply', value=web.Reply(200, body)))
    with pytest.raises(exception.StorageServerError, match='instead of JSON') as caught:
        _ask(_client(plain), GET).json()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# What lasts as long as the server likes.


# The faults last for a minute; a busy machine makes a short time longer.
SOON = 8.0


@pytest.mark.parametrize(
    ('kind', 'request_'),
    [('mute', GET), ('hung', GET), ('hung', POST), ('late_hung', GET), ('drip', POST)],
)
def test_the_deadline_holds(either: Echo, kind: str, request_: http.Request) -> None:
    """Whatever the server sends meanwhile; nothing is asked a second time."""
    either.faults.append(web.Fault(kind, value=0.1))
    begun = time.monotonic()
    with pytest.raises(exception.OperationTimedOut, match='the answer of http') as caught:
        _ask(_client(either), request_, 0.5)
    assert time.monotonic() - begun < SOON
    assert SECRET not in str(caught.value)
    assert len(either.seen) <= 1


def test_one_try_is_shorter_than_the_operation(plain: Echo) -> None:
    plain.faults.append(web.Fault('hung'))
    with pytest.raises(exception.OperationTimedOut, match=r'after 0\.3 s'):
        _ask(_client(plain), GET, 60, seconds=0.3)


def test_a_handshake_that_drips() -> None:
    """A byte of a TLS record at a time: no single wait is long."""
    listener = socket.create_server(('127.0.0.1', 0))

    def drip() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as opened:
            opened.recv(4096)
            opened.sendall(b'\x16\x03\x03\x40\x00')
            for _ in range(2000):
                opened.sendall(b'\x02')
                time.sleep(0.05)

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    client = http.Client(http.Server('127.0.0.1', listener.getsockname()[1], http.Tls()))
    begun = time.monotonic()
    with pytest.raises(exception.OperationTimedOut):
        _ask(client, GET, 0.4)
    assert time.monotonic() - begun < SOON
    listener.close()


def test_a_server_that_reads_nothing() -> None:
    with contextlib.closing(socket.create_server(('127.0.0.1', 0))) as listener:
        client = http.Client(http.Server('127.0.0.1', listener.getsockname()[1]))
        with pytest.raises(exception.OperationTimedOut):
            _ask(client, http.Request('POST', '/big', {}, b'x' * 50_000_000), 0.4)


def test_a_name_server_that_is_away() -> None:
    network = fake_network.Network(fake_clock.Clock())
    ends = threading.Event()

    def lookup(name: str) -> tuple[str, ...]:
        ends.wait(20)
        return ()

    network.lookup = lookup  # type: ignore[method-assign]
    with net.use(network), pytest.raises(exception.StorageServerUnreachable, match='name server'):
        _ask(http.Client(http.Server('gateway.lab', 443)), GET, 0.3)
    ends.set()


# What is too much.


@pytest.mark.parametrize('scheme', ['plain', 'tls'])
def test_an_answer_of_100_mb(scheme: str, request: pytest.FixtureRequest) -> None:
    server: Echo = request.getfixturevalue('plain' if scheme == 'plain' else 'secure')
    server.faults.append(web.Fault('huge', times=9))
    tracemalloc.start()
    with pytest.raises(exception.StorageServerError, match='its answer is too large'):
        _ask(_client(server), POST)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40_000_000


ENDLESS = {
    'a length': b'HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\nx',
    'a header': b'HTTP/1.1 200 OK\r\nX: ' + b'x' * 100_000,
    'headers': b'HTTP/1.1 200 OK\r\n' + b'X: y\r\n' * 1000,
    'continue': b'HTTP/1.1 100 Continue\r\n\r\n' * 100_000,
    'a chunk': b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\nx',
    'a negative chunk': (
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n' + b'x' * 9_000_000
    ),
    'no length': b'HTTP/1.1 200 OK\r\n\r\n' + b'x' * 9_000_000,
    'no HTTP': b'SSH-2.0-OpenSSH_9.2\r\n',
    'nothing but a status': b'HTTP/1.1 200 OK\r\n',
    'a bad status': b'HTTP/1.1 abc OK\r\n\r\n',
    'gzip': b'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}',
}


@pytest.mark.parametrize('name', [name for name in ENDLESS if name != 'nothing but a status'])
def test_an_answer_that_is_not_one(plain: Echo, name: str) -> None:
    plain.faults.append(web.Fault('raw', value=ENDLESS[name], times=9))
    with pytest.raises(exception.StorageServerError) as caught:
        _ask(_client(plain), POST)
    assert len(str(caught.value)) < 300
    assert len(plain.seen) == 1


# What may be asked again.


@pytest.fixture
def naps() -> Iterator[seams.Clock]:
    """A pause takes no time; nor does time pass, so no deadline does."""
    time_ = seams.Clock()
    with clock.use(time_):
        yield time_


@pytest.mark.parametrize('fault', ['closed', 'late', 'half'])
def test_what_breaks_off_is_asked_again_if_it_may_be(either: Echo, fault: str, naps) -> None:
    client = _client(either)
    either.faults.append(web.Fault(fault, times=2))
    assert _ask(client, GET).status == 200
    assert len(either.seen) == 3
    either.faults.append(web.Fault(fault))
    with pytest.raises(exception.StorageServerError):
        _ask(client, POST)
    assert len(either.seen) == 4
    either.faults.append(web.Fault(fault))
    again = http.Request.with_json('POST', '/map', {}, {}, is_repeatable=True)
    assert _ask(client, again).status == 200


def test_a_busy_server(plain: Echo, naps) -> None:
    plain.faults.append(web.Fault('status', value=503, times=2))
    assert _ask(_client(plain), GET).status == 200
    plain.faults.append(web.Fault('status', value=503))
    assert _ask(_client(plain), POST).status == 503
    plain.faults.append(web.Fault('status', value=503, times=99))
    assert _ask(_client(plain), GET).status == 503
    assert len(plain.seen) == 3 + 1 + len(http.PAUSES_SECONDS) + 1


def test_a_server_that_restarts(plain: Echo) -> None:
    """Nothing was sent, so anything is tried again; within the deadline."""
    plain.stop()
    client = _client(plain)
    with clock.use(seams.Clock()):
        with pytest.raises(exception.StorageServerUnreachable, match=r'(?i)refused'):
            _ask(client, POST)
        begun = clock.monotonic()
        with pytest.raises(exception.StorageServerUnreachable):
            _ask(client, POST, 1)
        assert clock.monotonic() - begun <= 1
    threading.Timer(0.1, plain.start).start()
    assert _ask(client, POST).status == 200


# Whom is spoken to.


def test_no_redirect_is_followed(either: Echo) -> None:
    with Echo() as other:
        url = f'http://user:pass@127.0.0.1:{other.port}/volumes?token={SECRET}'
        either.faults.append(web.Fault('redirect', value=url, times=9))
        with pytest.raises(exception.StorageServerError, match='is not followed') as caught:
            _ask(_client(either), POST)
        assert f'http://127.0.0.1:{other.port}' in str(caught.value)
        assert SECRET not in str(caught.value)
        assert 'pass' not in str(caught.value)
        assert not other.seen


@pytest.mark.parametrize('to', ['', '//', 'http://[', '/elsewhere', 'http://a:99999999/'])
def test_redirects_of_any_form(plain: Echo, to: str) -> None:
    plain.faults.append(web.Fault('redirect', value=to))
    with pytest.raises(exception.StorageServerError, match='is not followed'):
        _ask(_client(plain), POST)


def test_no_proxy_is_used(plain: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    with Echo() as proxy:
        for name in ('http_proxy', 'HTTP_PROXY', 'https_proxy', 'all_proxy'):
            monkeypatch.setenv(name, f'http://127.0.0.1:{proxy.port}')
        _ask(_client(plain), GET)
        assert not proxy.seen


def test_certificates(secure: Echo) -> None:
    """Trusted by its file; not by the system's authorities, and under no other name."""
    server = http.Server('127.0.0.1', secure.port, http.Tls())
    with pytest.raises(exception.StorageServerNotTrusted, match='self-signed'):
        _ask(http.Client(server), POST)
    assert not secure.seen
    assert _ask(_client(secure, verify=False, ca_path=None), GET).status == 200


def test_a_certificate_of_another_name() -> None:
    with Echo(certificates.of('other.lab')) as server:
        with pytest.raises(exception.StorageServerNotTrusted, match='not valid for') as caught:
            _ask(_client(server), POST)
        assert not server.seen
        assert SECRET not in str(caught.value)


def test_a_name_is_resolved_and_verified(secure: Echo) -> None:
    network = fake_network.Network(fake_clock.Clock())
    network.names['gateway.lab'] = ('10.0.0.8', '10.0.0.9')
    network.servers['10.0.0.9', secure.port] = secure.port
    with net.use(network):
        assert _ask(_client(secure, 'gateway.lab'), GET).status == 200
        network.names['wrong.lab'] = ('10.0.0.9',)
        with pytest.raises(exception.StorageServerNotTrusted):
            _ask(_client(secure, 'wrong.lab'), GET)


def test_authorities_in_a_directory(secure: Echo, tmp_path: pathlib.Path) -> None:
    assert secure.certificate
    shutil.copy(secure.certificate.file, tmp_path / 'gateway.pem')
    subprocess.run(['openssl', 'rehash', str(tmp_path)], check=True, capture_output=True)
    assert _ask(_client(secure, ca_path=str(tmp_path)), GET).status == 200


@pytest.mark.parametrize('content', [None, b'', b'no certificate', b'\xff'])
def test_a_file_of_authorities_that_cannot_be_used(
    content: bytes | None, tmp_path: pathlib.Path
) -> None:
    if content is not None:
        (tmp_path / 'ca.pem').write_bytes(content)
    with (
        files.use(str(tmp_path)),
        pytest.raises(exception.InvalidParameterValue, match=r'certificates of /ca\.pem'),
    ):
        http.Client(http.Server('a.lab', 443, http.Tls(ca_path='/ca.pem')))


def test_https_to_a_server_of_http_and_the_reverse(plain: Echo, secure: Echo) -> None:
    for port, tls in ((plain.port, http.Tls(verify=False)), (secure.port, None)):
        with pytest.raises((exception.StorageServerError, exception.OperationTimedOut)):
            _ask(http.Client(http.Server('127.0.0.1', port, tls)), POST, 0.5)


@pytest.mark.parametrize(
    ('server', 'url', 'header'),
    [
        (http.Server('a.lab', 443, http.Tls()), 'https://a.lab:443', 'a.lab:443'),
        (http.Server('fd00::1', 443, http.Tls()), 'https://[fd00::1]:443', '[fd00::1]:443'),
        (http.Server('fe80::1%eth0', 81), 'http://[fe80::1%eth0]:81', '[fe80::1]:81'),
    ],
)
def test_ipv6_has_brackets(server: http.Server, url: str, header: str) -> None:
    assert (str(server), server.header) == (url, header)


# What no one must read.


def test_secrets_are_in_no_log_and_no_repr(
    secure: Echo, caplog: pytest.LogCaptureFixture, naps
) -> None:
    caplog.set_level(logging.DEBUG, logger='')
    client = _client(secure)
    request = http.Request(
        'GET', '/a?token=' + SECRET.replace(' ', '+'), http.basic('admin', SECRET), SECRET.encode()
    )
    faults = ('closed', 'half', 'late')
    secure.faults += [web.Fault(kind) for kind in faults]
    answer = _ask(client, request)
    encoded = base64.b64encode(f'admin:{SECRET}'.encode()).decode()
    assert secure.seen[0].headers['authorization'] == f'Basic {encoded}'
    texts = [caplog.text, repr(request), str(request), repr(answer), str(trace.masked(request))]
    texts += [str(trace.masked(answer))]
    assert 'GET /a' in caplog.text
    for text in texts:
        assert SECRET not in text
        assert SECRET.replace(' ', '+') not in text
        assert encoded not in text


def test_a_header_that_cannot_be_sent(plain: Echo) -> None:
    request = http.Request('GET', '/', {'X-Token': f'{SECRET}\r\nX-Evil: 1'})
    with pytest.raises(exception.InvalidParameterValue, match='X-Token') as caught:
        _ask(_client(plain), request)
    assert SECRET not in str(caught.value)
    assert not plain.seen


@pytest.mark.parametrize('path', ['/a b', '/a\r\nX: 1', '/ä'])
def test_a_path_that_cannot_be_sent(plain: Echo, path: str) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='not quoted'):
        _ask(_client(plain), http.Request('POST', path))
    assert not plain.seen


@pytest.mark.parametrize(('text', 'encoded'), [('ä', 'YTrk'), ('€', 'YTrigqw=')])
def test_basic_is_encoded_as_requests_does(text: str, encoded: str) -> None:
    assert http.basic('a', text) == {'Authorization': f'Basic {encoded}'}


def test_many_at_once_and_no_descriptor_is_left(secure: Echo) -> None:
    client = _client(secure)
    before = len(os.listdir('/proc/self/fd'))
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(_ask(client, GET).status)) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 16
    secure.faults += [web.Fault(kind) for kind in ('hung', 'raw')]
    secure.faults[-1].value = b'SSH'
    for _ in range(2):
        with pytest.raises(exception.BrickException):
            _ask(client, POST, 0.2)
    # The server's threads close their side a moment later.
    secure.stop()
    ends = time.monotonic() + 5
    while len(os.listdir('/proc/self/fd')) >= before and time.monotonic() < ends:
        time.sleep(0.01)
    assert len(os.listdir('/proc/self/fd')) < before
