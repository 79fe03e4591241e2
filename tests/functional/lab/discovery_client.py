# SPDX-License-Identifier: Apache-2.0
"""A double of Lightbits' discovery client, beside clusters that are nvmet subsystems.

It does what the client's README says (https://github.com/LightBitsLabs/discovery-client): it reads
each file that appears in its directory, connects to every controller of the cluster that the file
names, and never disconnects one. Entries that it knows already make it do nothing.
"""

from collections.abc import Iterable
import http.server
import pathlib
import shutil
import threading
import time
from typing import Any

from tests.functional.lab import nvmet

HOME = pathlib.Path('/etc/discovery-client')
DIRECTORY = HOME / 'discovery.d'
PORT = 6060
SERVICE = 8009


class _Metrics(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(200 if self.path == '/metrics' else 404)
        self.end_headers()

    def log_message(self, *_words: Any) -> None:
        """Say nothing."""


class DiscoveryClient:
    """The client; a context during which it runs. What it has connected goes at the end.

    ``delay``: seconds until it connects.
    """

    def __init__(self, *, delay: float = 0.0) -> None:
        self.delay = delay
        self.clusters: list[nvmet.Subsystem] = []
        self.broken: list[str] = []
        self._known: set[str] = set()
        self._stop = threading.Event()
        self._http = http.server.ThreadingHTTPServer(('127.0.0.1', PORT), _Metrics)
        self._threads = [
            threading.Thread(target=target, daemon=True)
            for target in (self._http.serve_forever, self._run)
        ]

    def __enter__(self) -> 'DiscoveryClient':
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._http.shutdown()
        self._http.server_close()
        for thread in self._threads:
            thread.join(10)
        for cluster in self.clusters:
            for name in nvmet.controllers(cluster.nqn):
                nvmet.disconnect(name)
        shutil.rmtree(HOME)

    def files(self) -> list[str]:
        """What is in its directory."""
        return sorted(path.name for path in DIRECTORY.iterdir())

    def _run(self) -> None:
        before: dict[str, int] = {}
        while not self._stop.wait(0.02):
            now = dict(_inodes())
            for name in [name for name, inode in now.items() if before.get(name) != inode]:
                self._appeared(name)
            before = now

    def _appeared(self, name: str) -> None:
        if name.startswith('tmp.dc.'):
            return
        try:
            text = (DIRECTORY / name).read_text()
        except FileNotFoundError:
            return
        lines = [line.partition('#')[0].split() for line in text.splitlines()]
        for words in filter(None, lines):
            if words[::2] != ['-t', '-a', '-s', '-q', '-n'] or words[1] != 'tcp':
                self.broken.append(f'{name}: {words}')
            elif ' '.join(words) not in self._known:
                self._known.add(' '.join(words))
                time.sleep(self.delay)
                self.connect(words[-1])

    def connect(self, nqn: str) -> None:
        """Connect every controller of a cluster that is not."""
        for cluster in self.clusters:
            if cluster.nqn == nqn:
                for number, port in enumerate(cluster.ports):
                    if not _is_connected(cluster, port):
                        nvmet.connect(cluster, number)


def _inodes() -> Iterable[tuple[str, int]]:
    for path in DIRECTORY.iterdir():
        try:
            yield path.name, path.stat().st_ino
        except FileNotFoundError:
            pass


def _is_connected(cluster: nvmet.Subsystem, port: nvmet.Port) -> bool:
    addresses = [nvmet.address_of(name) for name in nvmet.controllers(cluster.nqn)]
    return any(f'traddr={port.address}' in address.split(',') for address in addresses)


def properties(cluster: nvmet.Subsystem, nsid: int, **more: object) -> dict[str, object]:
    """Connection properties of a volume, as Cinder's driver makes them."""
    nodes = {
        f'server{number}': {
            'target_portal': port.address,
            'target_port': SERVICE,
            'transport_type': 'tcp',
        }
        for number, port in enumerate(cluster.ports)
    }
    uuid = cluster.stores[nsid].uuid
    return {'uuid': uuid, 'subsysnqn': cluster.nqn, 'lightos_nodes': nodes, **more}
