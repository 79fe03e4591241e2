# SPDX-License-Identifier: Apache-2.0
"""The network of a fake host: what listens, and what the name servers know.

Portals open and close here by address and port; no socket of this machine is used.
"""

import errno
import itertools
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.fakehost.clock import Clock

_ports = itertools.count(40000)
_listening: set[tuple[str, int]] = set()


def listen(address: str, port: int = 0) -> int:
    """Have a port take connections; 0 is a free one. Returns the port."""
    port = port or next(_ports)
    _listening.add((address, port))
    return port


def close(address: str, port: int) -> None:
    """Have a port refuse connections."""
    _listening.discard((address, port))


def is_open(address: str, port: int) -> bool:
    return (address, port) in _listening


class Network:
    """What :func:`os_brick.core.net.use` takes.

    :ivar names: the addresses of each host name; an error is raised, ``None`` hangs for 20 s.
    :ivar unresponsive: the addresses that answer nothing.
    :ivar servers: the real port on this machine, by the address and the port of a fake server.
    :ivar own: this host's interfaces and addresses.
    """

    def __init__(self, clock: 'Clock') -> None:
        self._clock = clock
        self.names: dict[str, tuple[str, ...] | OSError | None] = {}
        self.unresponsive: set[str] = set()
        self.servers: dict[tuple[str, int], int] = {}
        self.lookups: list[str] = []
        self.own: list[tuple[str, str]] = [('lo', '127.0.0.1'), ('lo', '::1')]

    def lookup(self, name: str) -> tuple[str, ...]:
        self.lookups.append(name)
        found = self.names.get(name, OSError(-2, 'Name or service not known'))
        if found is None:
            self._clock.sleep(20)
            raise OSError(-3, 'Temporary failure in name resolution')
        if isinstance(found, OSError):
            raise found
        return found

    def connect(self, address: str, port: int, seconds: float, source: str) -> None:
        if address in self.unresponsive:
            self._clock.sleep(seconds)
            raise TimeoutError('timed out')
        if not is_open(address, port):
            raise ConnectionRefusedError(errno.ECONNREFUSED, 'Connection refused')

    def open(self, address: str, port: int, seconds: float) -> socket.socket:
        if (address, port) not in self.servers:
            self.connect(address, port, seconds, '')
        real = self.servers[address, port]
        return socket.create_connection(('127.0.0.1', real), timeout=seconds)

    def addresses(self) -> list[tuple[str, str]]:
        return self.own
