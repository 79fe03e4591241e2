# SPDX-License-Identifier: Apache-2.0
"""A StorPool cluster's management service: state, and the JSON API over a real socket.

Written from "StorPool API Reference", version 21.0, as StorPool's Python package 7.3.0 has it in
apidoc.html, and https://kb.storpool.com/reference/rest_api.html: the paths, the header
``Authorization: Storpool v1:TOKEN``, ``{"data": ..., "generation": ...}`` or ``{"error": ...}``,
the types (ClientID, AttachmentPos, Global Volume Id) and what VolumesReassignWait means. That an
error is ``{"name", "descr", "transient"}`` is from the same package, ``storpool/spapi.py``; the
names of errors are those that Cinder's driver and our list of facts know. The reference does not
say what a refused token, or the detach of what is not attached, is answered with: the first is
assumed, for the second ``detach_of_absent`` has both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import http.server
import json
import re
import socket
import threading
from typing import Any, Protocol, Self

TOKEN = '1556129910218014736'
_NAME = re.compile(r'#?[A-Za-z0-9_.:-]+')
_GLOBAL_ID = re.compile(r'~[a-z0-9]+\.[a-z0-9]+\.[a-z0-9]+')
_HUGE_BYTES = 100 << 20
_HANG_SECONDS = 30.0
# A fake host does not wait for threads of such a name before it ends.
_THREAD = 'os-brick double of StorPool'


class Client(Protocol):
    """StorPool's block service on a host."""

    def attach(self, global_id: str, name: str, size: int, position: int, rights: str) -> None: ...

    def detach(self, global_id: str) -> None: ...

    def resize(self, global_id: str, size: int) -> None: ...

    def is_open(self, global_id: str) -> bool: ...


@dataclasses.dataclass
class Volume:
    name: str
    size: int
    global_id: str


@dataclasses.dataclass
class Attachment:
    client: int
    volume: Volume
    rights: str
    position: int


class Refusal(Exception):
    def __init__(self, name: str, descr: str, *, status: int = 400, transient: bool = False):
        super().__init__(name)
        self.status = status
        self.body = {'error': {'name': name, 'descr': descr, 'transient': transient}}


class Cluster:
    """Volumes, snapshots and attachments; ``clients`` are the hosts that have them."""

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self.volumes: dict[str, Volume] = {}
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.attachments: list[Attachment] = []
        self.clients: dict[int, Client] = {}
        self.token = TOKEN
        self.generation = 1
        self.detach_of_absent = 'ok'
        self._numbers = iter(range(1, 10000))

    def create(self, name: str, size: int) -> Volume:
        volume = Volume(name, size, f'zx4.b.{next(self._numbers):x}')
        self.volumes[volume.global_id] = volume
        return volume

    def named(self, name: str) -> Volume:
        if not _NAME.fullmatch(name) and not _GLOBAL_ID.fullmatch(name):
            raise Refusal('invalidParam', f'{name} is not a valid name')
        for volume in self.volumes.values():
            if name in {volume.name, f'~{volume.global_id}'}:
                return volume
        raise Refusal('objectDoesNotExist', f"Volume '{name}' does not exist.", status=404)

    def attachment(self, client: int, volume: Volume) -> Attachment | None:
        return next(
            (a for a in self.attachments if a.client == client and a.volume is volume), None
        )

    def of_client(self, client: int) -> dict[str, str]:
        """The rights of each volume that a client has, by its global id."""
        with self.guard:
            own = [each for each in self.attachments if each.client == client]
            return {each.volume.global_id: each.rights for each in own}

    def attach(self, client: int, volume: Volume, rights: str) -> None:
        found = self.attachment(client, volume)
        if found is not None:
            found.rights = rights
            return
        taken = {each.position for each in self.attachments if each.client == client}
        position = next(number for number in range(1024) if number not in taken)
        self.attachments.append(Attachment(client, volume, rights, position))
        if client in self.clients:
            self.clients[client].attach(
                volume.global_id, volume.name, volume.size, position, rights
            )

    def detach(self, client: int, volume: Volume, *, force: bool) -> None:
        found = self.attachment(client, volume)
        if found is None:
            if self.detach_of_absent == 'ok':
                return
            raise Refusal('objectDoesNotExist', f'{volume.name} is not attached to {client}')
        host = self.clients.get(client)
        if host is not None and host.is_open(volume.global_id) and not force:
            raise Refusal('busy', f'Volume {volume.name} is open at client {client}.')
        self.attachments.remove(found)
        if host is not None:
            host.detach(volume.global_id)

    def reassign(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        for entry in entries:
            if 'snapshot' in entry:
                continue
            volume = self.named(entry['volume'])
            self._reassign(volume, entry)
        self.generation += 1
        return {'ok': True, 'generation': self.generation}

    def _reassign(self, volume: Volume, entry: dict[str, Any]) -> None:
        gone = entry.get('detach', [])
        if gone == 'all':
            gone = [each.client for each in self.attachments if each.volume is volume]
        for client in gone:
            self.detach(_client(client), volume, force=entry.get('force', False))
        for rights in ('ro', 'rw'):
            for client in entry.get(rights, []):
                self.attach(_client(client), volume, rights)

    def grow(self, volume: Volume, size: int) -> None:
        volume.size = size
        for each in self.attachments:
            if each.volume is volume and each.client in self.clients:
                self.clients[each.client].resize(volume.global_id, size)

    # What the API answers.

    def info(self, volume: Volume) -> dict[str, Any]:
        return {'name': volume.name, 'size': volume.size, 'globalId': volume.global_id}

    def do(self, method: str, path: str, body: Any) -> Any:
        for (known, pattern), act in _CALLS.items():
            found = re.fullmatch(pattern, path)
            if found and known == method:
                return act(self, body, *found.groups())
        raise Refusal('unknownCall', f'{method} {path}', status=404)

    def list_attachments(self, body: Any) -> Any:
        return [
            {
                'client': each.client,
                'globalId': each.volume.global_id,
                'pos': each.position,
                'rights': each.rights,
                'snapshot': False,
                'volume': each.volume.name,
            }
            for each in self.attachments
        ]

    def update(self, body: Any, name: str) -> Any:
        volume = self.named(name)
        if 'rename' in body:
            if any(each.name == body['rename'] for each in self.volumes.values()):
                raise Refusal('objectExists', 'there is such a volume')
            volume.name = body['rename']
        if 'size' in body:
            self.grow(volume, body['size'])
        return self._ok()

    def add(self, body: Any) -> Any:
        if any(each.name == body['name'] for each in self.volumes.values()):
            raise Refusal('objectExists', 'there is such a volume')
        self.create(body['name'], body['size'])
        return self._ok()

    def delete(self, body: Any, name: str) -> Any:
        volume = self.named(name)
        if any(each.volume is volume for each in self.attachments):
            raise Refusal('busy', 'it is attached')
        del self.volumes[volume.global_id]
        return self._ok()

    def snapshot(self, body: Any, name: str) -> Any:
        self.snapshots[body['name']] = {'of': self.named(name).name}
        return self._ok()

    def _ok(self) -> dict[str, Any]:
        return {'ok': True, 'generation': self.generation}


def _client(value: Any) -> int:
    if not isinstance(value, int) or not 1 <= value <= 4095:
        raise Refusal('invalidParam', f'{value!r} is not a ClientID')
    return value


Act = Callable[..., Any]
_NAMED = '([^/]+)'
_CALLS: dict[tuple[str, str], Act] = {
    ('GET', '(?:MultiCluster/)?AttachmentsList'): Cluster.list_attachments,
    ('GET', 'DisksList'): lambda cluster, body: {'1': {'id': 1, 'agCount': 4}},
    ('GET', 'VolumeTemplatesList'): lambda cluster, body: [{'name': 'ssd'}],
    ('GET', 'MultiCluster/VolumesList'): lambda cluster, body: [
        cluster.info(each) for each in cluster.volumes.values()
    ],
    ('GET', f'MultiCluster/Volume/{_NAMED}'): lambda cluster, body, name: [
        cluster.info(cluster.named(name))
    ],
    ('GET', f'MultiCluster/VolumeGetInfo/{_NAMED}'): lambda cluster, body, name: cluster.info(
        cluster.named(name)
    ),
    ('POST', 'MultiCluster/VolumesReassign'): lambda cluster, body: cluster.reassign(body),
    ('POST', 'MultiCluster/VolumesReassignWait'): lambda cluster, body: cluster.reassign(
        body['reassign']
    ),
    ('POST', 'MultiCluster/VolumeCreate'): Cluster.add,
    ('POST', f'MultiCluster/VolumeUpdate/{_NAMED}'): Cluster.update,
    ('POST', f'MultiCluster/VolumeRevert/{_NAMED}'): lambda cluster, body, name: cluster._ok(),
    ('POST', f'MultiCluster/VolumeDelete/{_NAMED}'): Cluster.delete,
    ('POST', f'MultiCluster/VolumeSnapshot/{_NAMED}'): Cluster.snapshot,
    ('POST', f'SnapshotUpdate/{_NAMED}'): lambda cluster, body, name: cluster._ok(),
    ('POST', f'MultiCluster/SnapshotDelete/{_NAMED}'): lambda cluster, body, name: cluster._ok(),
    ('GET', 'iSCSIConfig'): lambda cluster, body: {'iscsi': {}},
    ('POST', 'iSCSIConfig'): lambda cluster, body: cluster._ok(),
}


class Server:
    """The service on a port of this machine; ``fail`` has one request go wrong.

    What may go wrong: ``refused``, ``transient``, ``html``, ``list``, ``redirect``, ``reset`` (not
    done); ``lost`` (done, then the connection ends), ``half``, ``huge``, ``late`` (done, and no
    answer); ``hung`` (not done, and no answer). ``... from here``: every further request, too.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.requests: list[str] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        # Called with each request before it is done.
        self.before: Callable[[str], object] = lambda what: None
        self.struck = ''
        self._fault: tuple[int, str] | None = None
        self._healed = threading.Event()
        self._server: http.server.ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        handler = type('Handler', (_Handler,), {'double': self})
        server = http.server.ThreadingHTTPServer(('127.0.0.1', self.port), handler)
        self.port = server.server_address[1]
        server.daemon_threads = True
        self._server = server
        threading.Thread(
            target=server.serve_forever,
            kwargs={'poll_interval': 0.02},
            name=_THREAD,
            daemon=True,
        ).start()

    def stop(self) -> None:
        """As a service that is stopped: its port refuses connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close(self) -> None:
        self.heal()
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def fail(self, number: int, how: str) -> None:
        """Have the request with that number, from now on and from 0, go wrong."""
        self._fault = (len(self.requests) + number, how)

    def heal(self) -> None:
        """Have nothing go wrong any more; what hangs ends without an answer."""
        self._fault = None
        self._healed.set()
        self._healed = threading.Event()

    def fault(self, number: int) -> str:
        if self._fault is None:
            return ''
        at, how = self._fault
        if number == at or (number > at and how.endswith(' from here')):
            self.struck = f'{how}: {self.requests[number]}'
            return how.removesuffix(' from here')
        return ''

    def hang(self) -> None:
        self._healed.wait(_HANG_SECONDS)


class _Handler(http.server.BaseHTTPRequestHandler):
    double: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 its name there
        """Write nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        threading.current_thread().name = _THREAD
        size = int(self.headers.get('Content-Length') or 0)
        raw = self.rfile.read(size) if size else b''
        double = self.double
        with double.cluster.guard:
            number = len(double.requests)
            what = f'{self.command} {self.path}'
            double.requests.append(what)
            double.bodies.append(json.loads(raw) if raw else None)
            double.headers.append(dict(self.headers))
            how = double.fault(number)
        double.before(what)
        with contextlib.suppress(ConnectionError):
            if not self._broken(how):
                self._finish(*self._answer(raw), how)

    def _broken(self, how: str) -> bool:
        """What goes wrong before anything is done; whether it has."""
        if how == 'hung':
            self.double.hang()
        elif how == 'reset':
            self._reset()
        elif how == 'refused':
            self._send(500, {'error': {'name': 'internal', 'descr': 'something broke'}})
        elif how == 'transient':
            error = {'name': 'busy', 'descr': 'try again', 'transient': True}
            self._send(503, {'error': error})
        elif how == 'html':
            self._raw(502, b'<html>Bad Gateway</html>', 'text/html')
        elif how == 'list':
            self._raw(500, b'[]')
        elif how == 'redirect':
            self.send_response(302)
            self.send_header('Location', 'http://10.66.66.66:80/ctrl')
            self.end_headers()
        else:
            return False
        return True

    def _answer(self, raw: bytes) -> tuple[int, Any]:
        cluster = self.double.cluster
        with cluster.guard:
            try:
                if self.headers.get('Authorization') != f'Storpool v1:{cluster.token}':
                    given = self.headers.get('Authorization')
                    raise Refusal('authFailed', f'not valid: {given}', status=401)
                prefix = '/ctrl/1.0/'
                if not self.path.startswith(prefix):
                    raise Refusal('unknownCall', self.path, status=404)
                body = json.loads(raw) if raw else None
                data = cluster.do(self.command, self.path[len(prefix) :], body)
            except Refusal as error:
                return error.status, error.body
            return 200, {'generation': cluster.generation, 'data': data}

    def _finish(self, status: int, body: Any, how: str) -> None:
        if how == 'lost':
            self._reset()
        elif how == 'late':
            self.double.hang()
        elif how == 'half':
            data = json.dumps(body).encode()
            self._head(status, len(data))
            self.wfile.write(data[: len(data) // 2])
        elif how == 'huge':
            self._head(status, None)
            piece = b' ' * (1 << 20)
            for _ in range(_HUGE_BYTES // len(piece)):
                self.wfile.write(piece)
        else:
            self._send(status, body)

    def _reset(self) -> None:
        linger = b'\1\0\0\0\0\0\0\0'
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.wfile = self.rfile = _Nothing()  # type: ignore[assignment]

    def _head(self, status: int, size: int | None, kind: str = 'application/json') -> None:
        self.send_response(status)
        self.send_header('Content-Type', kind)
        if size is not None:
            self.send_header('Content-Length', str(size))
        self.end_headers()

    def _send(self, status: int, body: Any) -> None:
        self._raw(status, json.dumps(body).encode())

    def _raw(self, status: int, data: bytes, kind: str = 'application/json') -> None:
        self._head(status, len(data), kind)
        self.wfile.write(data)


class _Nothing:
    closed = True

    def flush(self) -> None: ...

    def close(self) -> None: ...


@contextlib.contextmanager
def serving(cluster: Cluster) -> Iterator[Server]:
    with Server(cluster) as server:
        yield server
