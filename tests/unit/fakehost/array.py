# SPDX-License-Identifier: Apache-2.0
"""The far side: logical units, and targets that show them at portals.

Portals listen on this machine's loopback addresses, so that a connection is a real one.
"""

import dataclasses
import itertools
import socket
import struct

_serials = itertools.count(1)


def designator(kind: int, coding: int, value: bytes, association: int = 0) -> bytes:
    """One name in the page of device identification (SPC-4, 7.8.6.1)."""
    return struct.pack('BBBB', coding, association << 4 | kind, 0, len(value)) + value


def page(number: int, content: bytes) -> bytes:
    """A page of vital product data."""
    return struct.pack('>BBH', 0, number, len(content)) + content


@dataclasses.dataclass
class Unit:
    """A logical unit, which describes itself as LIO's do (recorded/guest.json).

    :ivar silent: whether it answers no command.
    """

    name: str = 'gold'
    megabytes: int = 64
    silent: bool = False
    number: int = dataclasses.field(default_factory=lambda: next(_serials))

    @property
    def serial(self) -> str:
        return f'{self.number:08x}-0000-4000-8000-{self.number:012x}'

    @property
    def naa(self) -> bytes:
        """LIO: NAA 6, the company 0x001405, and the serial number's digits."""
        digits = self.serial.replace('-', '')
        return bytes.fromhex(('6001405' + digits)[:32])

    @property
    def wwid(self) -> str:
        return '3' + self.naa.hex()

    @property
    def sectors(self) -> int:
        return self.megabytes * 2048

    def pages(self, port: int = 1) -> dict[int, bytes]:
        """Its pages as it shows them at one of its ports."""
        return {
            0x80: page(0x80, self.serial.encode() + b'\0'),
            0x83: page(
                0x83,
                designator(3, 1, self.naa)
                + designator(1, 2, b'LIO-ORG ' + f'{self.name}:{self.serial}'.encode() + b'\0')
                + designator(4, 1, struct.pack('>HH', 0, port), association=1)
                + designator(5, 1, struct.pack('>HH', 0, port), association=1)
                + designator(6, 1, bytes(4)),
            ),
        }


class Portal:
    """A listening address; ``close`` makes it refuse."""

    def __init__(self, address: str, tag: int) -> None:
        self.tag = tag
        self.address, self.port = address, 0
        self.open()

    def open(self) -> None:
        """Listen, after ``close`` at the same port again."""
        family = socket.AF_INET6 if ':' in self.address else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((self.address, self.port))
        self._listener.listen(64)
        self.port = self._listener.getsockname()[1]

    @property
    def is_open(self) -> bool:
        return self._listener.fileno() >= 0

    def close(self) -> None:
        self._listener.close()

    def __str__(self) -> str:
        return f'{self.address}:{self.port}'


class Target:
    """A target with its portals.

    :ivar luns: the units by LUN.
    :ivar chap: user name and password it wants, or ``None``.
    :ivar knows_initiator: whether it lets this host in at all.
    """

    def __init__(self, name: str, portals: int) -> None:
        self.iqn = f'iqn.2026-11.org.lab:{name}'
        self.portals = [Portal(f'127.0.0.{number}', number) for number in range(1, portals + 1)]
        self.luns: dict[int, Unit] = {}
        self.chap: tuple[str, str] | None = None
        self.knows_initiator = True

    def close(self) -> None:
        for portal in self.portals:
            portal.close()

    def portal_at(self, address: str, port: int) -> Portal | None:
        for portal in self.portals:
            if (portal.address, portal.port) == (address, port):
                return portal
        return None

    def properties(
        self, lun: int = 1, *, plural: bool = False, **more: object
    ) -> dict[str, object]:
        """Connection properties as cinder makes them."""
        found: dict[str, object] = {
            'target_discovered': False,
            'target_portal': str(self.portals[0]),
            'target_iqn': self.iqn,
            'target_lun': lun,
            'volume_id': 'b2a2e1c4-7b58-4b7a-8b31-5f1a3f0a4c11',
        }
        if plural:
            count = len(self.portals)
            found |= {
                'target_portals': [str(portal) for portal in self.portals],
                'target_iqns': [self.iqn] * count,
                'target_luns': [lun] * count,
            }
        return found | more
