# SPDX-License-Identifier: Apache-2.0
"""An HTTP server of a test: what a vendor's server answers is a subclass, what goes wrong a fault.

::

    class Gateway(web.Server):
        def answer(self, request):
            return web.json_reply({'name': 'gold'})

    with Gateway(certificate=certificates.of('127.0.0.1')) as gateway:
        gateway.faults.append(web.Fault('half', 'GET /api/login'))
        ...                          # speak to 127.0.0.1, gateway.port
    assert gateway.seen[0].headers['authorization'] == ...

It speaks HTTP/1.1 as RFC 9112 has it, a request a connection, in a thread for each; a lock keeps
``answer`` to one request at a time. The kinds of a fault are methods of :class:`_Faulty`.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import dataclasses
import json
import re
import socket
import ssl
import threading
import time
from typing import Any, Self
import urllib.parse

from tests.doubles import certificates


@dataclasses.dataclass(frozen=True)
class Seen:
    """A request as it came.

    :ivar path: as it was sent, quoted, with the query.
    :ivar headers: by their names in lower case.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def line(self) -> str:
        return f'{self.method} {self.path}'

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def parts(self) -> list[str]:
        """The parts of the path between slashes, unquoted once."""
        path = self.path.partition('?')[0]
        return [urllib.parse.unquote(part) for part in path.strip('/').split('/')]

    @property
    def query(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(self.path.partition('?')[2]))


@dataclasses.dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b''
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def as_bytes(self) -> bytes:
        headers = {'Content-Length': str(len(self.body)), 'Connection': 'close', **self.headers}
        lines = [f'HTTP/1.1 {self.status} Reason', *(f'{k}: {v}' for k, v in headers.items())]
        return ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1') + self.body


def json_reply(content: Any, status: int = 200, **headers: str) -> Reply:
    body = json.dumps(content).encode()
    return Reply(status, body, {'Content-Type': 'application/json', **headers})


@dataclasses.dataclass
class Fault:
    """What goes wrong with a request.

    :ivar kind: see :class:`_Faulty`.
    :ivar line: a pattern that is searched in method and path.
    :ivar skip: so many such requests go well before.
    :ivar times: how often it happens.
    :ivar value: what a kind needs besides.
    """

    kind: str
    line: str = ''
    skip: int = 0
    times: int = 1
    value: Any = None

    def strikes(self, line: str) -> bool:
        if not self.times or not re.search(self.line, line):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class Server:
    """A server on 127.0.0.1.

    :ivar port: where it listens; the same one after a restart.
    :ivar seen: all requests that came whole.
    :ivar faults: the first one that fits a request strikes.
    """

    def __init__(self, certificate: certificates.Certificate | None = None) -> None:
        self.port = 0
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.certificate = certificate
        self._guard = threading.RLock()
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._ended = threading.Event()

    def answer(self, request: Seen) -> Reply:
        """What is answered; called by one thread at a time."""
        return Reply(404)

    def start(self) -> None:
        self._ended = threading.Event()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(('127.0.0.1', self.port))
        listener.listen(64)
        self.port = listener.getsockname()[1]
        self._listener = listener
        _start(self._accept, listener, self._ended)

    def stop(self) -> None:
        """Close the port and all connections; what is kept stays."""
        self._ended.set()
        if self._listener is not None:
            # Wakes the thread that accepts, which a close alone does not.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def lines(self) -> list[str]:
        """Method and path of each request that came."""
        return [each.line for each in self.seen]

    def _accept(self, listener: socket.socket, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                opened, _address = listener.accept()
            except OSError:
                return
            # Session tickets and the answer are two pieces: the second must not wait.
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _start(self._serve, opened, ended)

    def _serve(self, opened: socket.socket, ended: threading.Event) -> None:
        self._open.add(opened)
        # What TLS sends by itself after its handshake must not hold up the answer.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), contextlib.closing(opened):
            if not self._hangs_at_once(opened, ended):
                self._speak(self._encrypted(opened), ended)
        self._open.discard(opened)

    def _hangs_at_once(self, opened: socket.socket, ended: threading.Event) -> bool:
        """Take the connection, and say nothing: not even a handshake."""
        with self._guard:
            fault = next((each for each in self.faults if each.kind == 'mute' and each.times), None)
        if fault is not None:
            fault.times -= 1
            ended.wait(60)
        return fault is not None

    def _encrypted(self, opened: socket.socket) -> socket.socket:
        if self.certificate is None:
            return opened
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.file, self.certificate.key)
        return context.wrap_socket(opened, server_side=True)

    def _speak(self, opened: socket.socket, ended: threading.Event) -> None:
        request = _read(opened)
        if request is None:
            return
        with self._guard:
            self.seen.append(request)
            fault = next((each for each in self.faults if each.strikes(request.line)), None)
            if fault is None:
                reply = self.answer(request).as_bytes()
        if fault is None:
            opened.sendall(reply)
        else:
            _Faulty(self, request, fault, ended).strike(opened)
        if isinstance(opened, ssl.SSLSocket) and opened.fileno() >= 0:
            opened.unwrap()


class _Faulty:
    """The kinds of faults. Those of the first group do nothing of what was asked."""

    def __init__(self, server: Server, seen: Seen, fault: Fault, ended: threading.Event) -> None:
        self._server, self._seen, self._fault, self._ended = server, seen, fault, ended

    def strike(self, opened: socket.socket) -> None:
        getattr(self, self._fault.kind)(opened)

    def _reply(self) -> bytes:
        with self._server._guard:
            return self._server.answer(self._seen).as_bytes()

    def hung(self, opened: socket.socket) -> None:
        """Say nothing, for as long as the server runs."""
        self._ended.wait(60)

    def closed(self, opened: socket.socket) -> None:
        """Close the connection without a word."""
        opened.close()

    def status(self, opened: socket.socket) -> None:
        """Answer with the status ``value``, and an HTML page."""
        page = Reply(self._fault.value, b'<html>no</html>', {'Content-Type': 'text/html'})
        opened.sendall(page.as_bytes())

    def reply(self, opened: socket.socket) -> None:
        """Answer with the reply ``value``."""
        opened.sendall(self._fault.value.as_bytes())

    def raw(self, opened: socket.socket) -> None:
        """Answer with the bytes ``value``."""
        opened.sendall(self._fault.value)

    def redirect(self, opened: socket.socket) -> None:
        """Send the client to the URL ``value``."""
        opened.sendall(Reply(302, b'', {'Location': self._fault.value}).as_bytes())

    def huge(self, opened: socket.socket) -> None:
        """Answer with ``value`` bytes, or 100 MB, in chunks, as long as they are taken."""
        opened.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        for _ in range((self._fault.value or 100_000_000) // 100_000):
            opened.sendall(b'186a0\r\n' + b' ' * 100_000 + b'\r\n')
        opened.sendall(b'0\r\n\r\n')

    # What was asked is done by these.

    def late(self, opened: socket.socket) -> None:
        """Do it, and close the connection without an answer."""
        self._reply()

    def late_hung(self, opened: socket.socket) -> None:
        """Do it, and say nothing."""
        self._reply()
        self._ended.wait(60)

    def half(self, opened: socket.socket) -> None:
        """Do it, and send half of the answer."""
        whole = self._reply()
        opened.sendall(whole[: len(whole) - max(1, len(whole.partition(b'\r\n\r\n')[2]) // 2)])

    def drip(self, opened: socket.socket) -> None:
        """Do it, and send the answer a byte at a time, ``value`` seconds apart."""
        for byte in self._reply():
            opened.sendall(bytes([byte]))
            if self._ended.is_set():
                return
            time.sleep(self._fault.value or 0.05)


def _start(target: Callable[..., object], *args: object) -> None:
    # A fake host waits for all threads but those of this name before it looks at itself.
    threading.Thread(target=target, args=args, name='os-brick double', daemon=True).start()


def _read(opened: socket.socket) -> Seen | None:
    """The request of a connection; ``None`` if it ends before."""
    with opened.makefile('rb') as file:
        first = file.readline().decode('latin-1').split()
        if len(first) != 3:
            return None
        headers = {}
        while line := file.readline().decode('latin-1').strip():
            name, _colon, value = line.partition(':')
            headers[name.lower()] = value.strip()
        size = int(headers.get('content-length', 0))
        body = file.read(size)
        return Seen(first[0], first[1], headers, body) if len(body) == size else None
