# SPDX-License-Identifier: Apache-2.0
"""Lightbits' discovery client: connects this host to the clusters that files name.

Written from its README (https://github.com/LightBitsLabs/discovery-client): a file that appears in
its directory, but for one called ``tmp.dc.*``, is read as a whole; every controller of a cluster
that a discovery service reports is connected; what it knows already makes it do nothing, and so
does a file that goes.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import socketserver
import threading
from typing import Any

from tests.unit.fakehost import nvme

DIRECTORY = 'etc/discovery-client/discovery.d'
ANSWERS = ('127.0.0.1', 6060)
SERVICE = '8009'
_FIELDS = {'-t': 'transport', '-a': 'address', '-s': 'port', '-q': 'host', '-n': 'nqn'}


@dataclasses.dataclass(frozen=True)
class Service:
    """One line of a file."""

    transport: str
    address: str
    port: str
    host: str
    nqn: str


def parsed(text: str) -> list[Service]:
    """The lines of a file, as ``conf_parser.go`` reads them."""
    found = []
    for line in text.splitlines():
        words = line.partition('#')[0].replace('=', ' ').split()
        if words:
            fields = {
                _FIELDS[key]: value for key, value in zip(words[::2], words[1::2], strict=True)
            }
            found.append(Service(**fields))
    return found


class _Metrics(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _Answer)
        self.answer: bytes | None = b'HTTP/1.1 200 OK\r\n\r\n'
        self.over = threading.Event()
        self.asked: list[bytes] = []


class _Answer(socketserver.StreamRequestHandler):
    server: _Metrics

    def handle(self) -> None:
        self.server.asked.append(self.rfile.readline().rstrip())
        while self.rfile.readline().strip():
            pass
        if self.server.answer is None:
            self.server.over.wait(20)
        else:
            self.wfile.write(self.server.answer)


class DiscoveryClient:
    """The client; a context during which it runs.

    ``delay``: seconds until it has connected. ``connects``: whether it gets that far.
    """

    def __init__(self, fabric: nvme.Fabric, *, delay: float = 0.0, connects: bool = True) -> None:
        self.fabric = fabric
        self.delay = delay
        self.connects = connects
        self.known: set[Service] = set()
        self.broken: list[str] = []
        self.seen: list[str] = []
        self._stop = threading.Event()
        self._busy = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.metrics = _Metrics()
        self.directory = fabric.root / DIRECTORY

    def __enter__(self) -> 'DiscoveryClient':
        self.directory.mkdir(parents=True, exist_ok=True)
        self.fabric.network.names['localhost'] = (ANSWERS[0],)
        self.fabric.network.servers[ANSWERS] = self.metrics.server_address[1]
        threading.Thread(target=self.metrics.serve_forever, args=(0.05,), daemon=True).start()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        self.metrics.over.set()
        self.metrics.shutdown()
        self.metrics.server_close()

    def stop(self) -> None:
        """It does not run any more."""
        self.fabric.network.servers.pop(ANSWERS, None)
        self._stop.set()
        self._thread.join()

    def files(self) -> dict[str, str]:
        """What is in its directory."""
        return {path.name: path.read_text() for path in sorted(self.directory.iterdir())}

    def _run(self) -> None:
        before: dict[str, Any] = {}
        while not self._stop.wait(0.01):
            now = dict(self._inodes())
            new = [name for name, inode in now.items() if before.get(name) != inode]
            before = now
            for name in new:
                self._appeared(name)

    def _inodes(self) -> Iterator[tuple[str, int]]:
        for path in self.directory.iterdir():
            with contextlib.suppress(FileNotFoundError):
                yield path.name, path.stat().st_ino

    def _appeared(self, name: str) -> None:
        self.seen.append(name)
        if name.startswith('tmp.dc.'):
            return
        try:
            found = parsed((self.directory / name).read_text())
        except FileNotFoundError:
            return
        except (KeyError, TypeError, ValueError) as error:
            self.broken.append(f'{name}: {error}')
            return
        fresh = [service for service in found if service not in self.known]
        self.known |= set(fresh)
        if fresh and self.connects:
            self._stop.wait(self.delay)
            self.connect({service.nqn for service in fresh})

    def settle(self) -> None:
        """Wait until it is done with what it does now."""
        with self._busy:
            pass

    def connect(self, nqns: set[str]) -> None:
        """Connect every controller of some clusters that is not."""
        with self._busy:
            self._connect(nqns)

    def _connect(self, nqns: set[str]) -> None:
        for nqn in nqns:
            subsystem = self.fabric.subsystems.get(nqn)
            if subsystem is not None:
                there = {
                    address for one, address in self.fabric.controllers.values() if one is subsystem
                }
                for address in sorted(subsystem.portals - there):
                    self.fabric.by_hand(subsystem, address)


def properties(subsystem: nvme.Subsystem, nsid: int, **more: Any) -> dict[str, Any]:
    """Connection properties of one volume, as Cinder's driver makes them."""
    nodes = {
        f'server{number}': {
            'target_portal': address,
            'target_port': int(SERVICE),
            'transport_type': 'tcp',
        }
        for number, address in enumerate(sorted(subsystem.portals))
    }
    uuid = subsystem.namespaces[nsid].uuid
    return {'uuid': uuid, 'subsysnqn': subsystem.nqn, 'lightos_nodes': nodes, **more}
