# SPDX-License-Identifier: Apache-2.0
"""Bodies of HTTP: whose an error is, where an answer ends, and how much of it is held."""

from collections.abc import Iterator
import errno
from http import client
import tracemalloc

import pytest

from os_brick import exception
from os_brick.core import http, wait
from tests.doubles import web

LARGE = 64 << 40
GET = http.Request('GET', '/disk')


class Disk(web.Server):
    """Answers with a disk."""

    def answer(self, request: web.Seen) -> web.Reply:
        return web.Reply(200, b'disk' * 100_000)


@pytest.fixture
def server() -> Iterator[Disk]:
    with Disk() as found:
        yield found


def _stream(server: web.Server, request: http.Request = GET, **more) -> http.Answer:
    at = http.Client(http.Server('127.0.0.1', server.port))
    return at.stream(request, wait.Deadline.after(10), **more)


def _raw(server: web.Server, raw: bytes) -> tuple[int, bytes]:
    server.faults.append(web.Fault('raw', value=raw))
    found: list[bytes] = []
    answer = _stream(server, sink=found.append, most_bytes=LARGE)
    return answer.status, b''.join(found) + answer.body


# Whose an error is.

OWN_ERRORS = [
    OSError(errno.ENOSPC, 'No space left on device'),
    OSError(errno.EIO, 'Input/output error'),
    TimeoutError(errno.ETIMEDOUT, 'the directory is on NFS'),
    ConnectionResetError(errno.ECONNRESET, 'Connection reset by peer'),
    ValueError('not a number'),
    client.IncompleteRead(b'', 1),
    exception.StorageServerError(server='https://another', request='POST /sdk', why='no'),
]


@pytest.mark.parametrize('error', OWN_ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize('after', [0, 1])
def test_an_error_of_the_sink_is_the_callers(server: Disk, error: Exception, after: int) -> None:
    cause = RuntimeError('why')
    error.__cause__ = cause
    taken = 0

    def sink(part: bytes) -> None:
        nonlocal taken
        taken += 1
        if taken > after:
            raise error

    with pytest.raises(type(error)) as caught:
        _stream(server, sink=sink, most_bytes=LARGE)
    assert caught.value is error
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize('error', OWN_ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize('after', [0, 1])
def test_an_error_of_the_source_is_the_callers(server: Disk, error: Exception, after: int) -> None:
    def source() -> Iterator[bytes]:
        yield from [b'x'] * after
        raise error

    request = http.Request('PUT', '/disk', {'Content-Length': '9'})
    with pytest.raises(type(error)) as caught:
        _stream(server, request, source=source())
    assert caught.value is error


def test_an_error_of_the_connection_is_the_servers(server: Disk) -> None:
    """With a source and a sink that do what they should."""
    request = http.Request('PUT', '/disk', {'Content-Length': '100000000'})
    server.faults.append(web.Fault('hung', times=9))
    at = http.Client(http.Server('127.0.0.1', server.port))
    with pytest.raises(exception.OperationTimedOut):
        at.stream(request, wait.Deadline.after(0.3), source=iter([b'x']))
    server.faults[:] = [web.Fault('half')]
    with pytest.raises(exception.StorageServerError, match='not complete'):
        _stream(server, sink=[].append, most_bytes=LARGE)


# How much is held.


# Under eventlet the server's sendall copies what it has not sent yet, in this process.
@pytest.mark.native
@pytest.mark.parametrize('status', [b'500 No', b'206 Partial', b'401 No', b'201 Created'])
@pytest.mark.parametrize('has_length', [True, False])
def test_what_is_not_for_the_sink_is_limited(server: Disk, status: bytes, has_length: bool) -> None:
    size = 20_000_000
    length = b'Content-Length: %d\r\n' % size if has_length else b''
    raw = b'HTTP/1.1 ' + status + b'\r\n' + length + b'\r\n' + b'x' * size
    tracemalloc.start()
    with pytest.raises(exception.StorageServerError, match='too large'):
        _raw(server, raw)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * http.MOST_BYTES


def test_a_page_beside_an_error_is_an_answer(server: Disk) -> None:
    assert _raw(server, b'HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno') == (500, b'no')


def test_a_larger_answer_may_be_asked_for(server: Disk) -> None:
    size = http.MOST_BYTES + 1
    server.faults.append(web.Fault('reply', value=web.Reply(200, b'x' * size), times=9))
    at = http.Client(http.Server('127.0.0.1', server.port))
    answer = at.ask(GET, wait.Deadline.after(10), most_bytes=2 * http.MOST_BYTES)
    assert len(answer.body) == size
    with pytest.raises(exception.StorageServerError, match='too large'):
        at.ask(http.Request('POST', '/disk'), wait.Deadline.after(10))


# Where an answer ends.

CHUNKS = b'5\r\nhello\r\n0\r\n\r\n'
VALID = {
    b'Content-Length: 5': b'hello',
    b'content-length:   5  ': b'hello',
    b'Transfer-Encoding: chunked': CHUNKS,
    b'Transfer-Encoding: CHUNKED': CHUNKS,
    b'X: y': b'hello',
}
INVALID = {
    b'Transfer-Encoding: chunked \r\n\t': CHUNKS,
    b'Transfer-Encoding: "chunked"': CHUNKS,
    b'Transfer-Encoding: gzip, chunked': CHUNKS,
    b'Transfer-Encoding: chunked, chunked': CHUNKS,
    b'Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip': CHUNKS,
    b'Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked': CHUNKS,
    b'Transfer-Encoding: identity': b'hello',
    b'Transfer-Encoding:': b'hello',
    b'Content-Length: 3\r\nContent-Length: 5': b'hello',
    b'Content-Length: 5\r\nContent-Length: 3': b'hello',
    b'Content-Length: 3, 5': b'hello',
    b'Content-Length: abc': b'hello',
    b'Content-Length: -5': b'hello',
    b'Content-Length: +5': b'hello',
    b'Content-Length: 0_5': b'hello',
    b'Content-Length: 5.0': b'hello',
    b'Content-Length: 0x5': b'hello',
    b'Content-Length:': b'hello',
    b'Content-Length: ' + b'9' * 5000: b'hello',
    b'Transfer-Encoding: chunked\r\nX: -': b'-5\r\nhello\r\n0\r\n\r\n',
    b'Transfer-Encoding: chunked\r\nX: zz': b'zz\r\nhello\r\n0\r\n\r\n',
    b'Transfer-Encoding: chunked\r\nX: cut': b'5\r\nhello\r\n',
    b'Content-Length: 9': b'hello',
}


@pytest.mark.parametrize('header', VALID)
def test_the_end_is_known(server: Disk, header: bytes) -> None:
    raw = b'HTTP/1.1 200 OK\r\n' + header + b'\r\n\r\n' + VALID[header]
    assert _raw(server, raw) == (200, b'hello')


@pytest.mark.parametrize('header', INVALID)
def test_the_end_is_not_known(server: Disk, header: bytes) -> None:
    """Something may be missing, or be part of the coding: it is not handed out as whole."""
    raw = b'HTTP/1.1 200 OK\r\n' + header + b'\r\n\r\n' + INVALID[header]
    with pytest.raises(
        exception.StorageServerError, match=r'not valid HTTP|not complete'
    ) as caught:
        _raw(server, raw)
    assert len(str(caught.value)) < 300


# What of an answer is in errors.


def test_a_header_is_one_line(server: Disk) -> None:
    kind = b'Content-Type: a\r\n ERROR\x1b[31m: forged\r\n'
    raw = b'HTTP/1.1 200 OK\r\n' + kind + b'Content-Length: 1\r\n\r\nx'
    server.faults.append(web.Fault('raw', value=raw))
    answer = _stream(server)
    assert answer.headers['content-type'] == 'a ERROR\x1b[31m: forged'
    with pytest.raises(exception.StorageServerError, match='instead of JSON') as caught:
        answer.json()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ('kind', 'value', 'why'),
    [
        ('huge', 9 << 20, 'too large'),
        ('redirect', 'https://other/', r'to https://other, which'),
        ('reply', web.Reply(200, b'', {'Content-Encoding': 'gzip'}), 'compressed'),
    ],
)
def test_what_cannot_go_better_is_asked_once(
    server: Disk, kind: str, value: object, why: str
) -> None:
    server.faults.append(web.Fault(kind, times=9, value=value))
    at = http.Client(http.Server('127.0.0.1', server.port))
    with pytest.raises(exception.StorageServerError, match=why):
        at.ask(GET, wait.Deadline.after(10))
    assert len(server.seen) == 1


def test_a_redirect_to_a_long_name(server: Disk) -> None:
    server.faults.append(web.Fault('redirect', value=f'http://{"a" * 60000}/'))
    with pytest.raises(exception.StorageServerError, match='is not followed') as caught:
        _stream(server)
    assert len(str(caught.value)) < 600
