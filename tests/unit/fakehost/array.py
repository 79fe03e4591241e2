# SPDX-License-Identifier: Apache-2.0
"""The far side: logical units, and targets that show them at portals."""

import dataclasses
import itertools
import struct

from tests.unit.fakehost import network

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

    :ivar unresponsive: whether it answers no command.
    :ivar without_capacity: ports at which READ CAPACITY fails (ALUA: unavailable).
    :ivar standby_at: ports at which it reports its size and reads nothing (ALUA: standby).
    :ivar short_at: ports through which a read ends after 512 bytes.
    :ivar smaller_at: ports at which it reports another size, in MiB.
    :ivar reserved: whether another host has reserved it for itself alone.
    :ivar device_type: its peripheral device type; with 0x20 added it has qualifier 001b.
    :ivar names: its designators, instead of those of LIO.
    :ivar names_at: further designators at one of its ports.
    :ivar udev_name: what udev calls it then.
    :ivar kernel_reads: the pages that the kernel reads at a scan and keeps.
    """

    name: str = 'gold'
    megabytes: int = 64
    unresponsive: bool = False
    without_capacity: set[int] = dataclasses.field(default_factory=set)
    standby_at: set[int] = dataclasses.field(default_factory=set)
    short_at: set[int] = dataclasses.field(default_factory=set)
    smaller_at: dict[int, int] = dataclasses.field(default_factory=dict)
    reserved: bool = False
    device_type: int = 0
    names: list[bytes] | None = None
    names_at: dict[int, list[bytes]] = dataclasses.field(default_factory=dict)
    udev_name: str = ''
    kernel_reads: tuple[int, ...] = (0x80, 0x83)
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
        return self.udev_name or '3' + self.naa.hex()

    @property
    def sectors(self) -> int:
        return self.megabytes * 2048

    def sectors_at(self, port: int) -> int:
        """What READ CAPACITY tells the kernel at one of its ports; 0 where it fails."""
        megabytes = self.smaller_at.get(port, self.megabytes)
        return 0 if port in self.without_capacity else megabytes * 2048

    def readable_at(self, port: int) -> int:
        """How many of the first 4096 bytes can be read through one of its ports."""
        wanted = min(4096, 512 * self.sectors_at(port))
        return min(wanted, 512) if port in self.short_at else wanted

    @property
    def is_disk(self) -> bool:
        """Whether the kernel's disk driver takes it."""
        return self.device_type == 0

    def pages(self, port: int = 1) -> dict[int, bytes]:
        """Its pages as it shows them at one of its ports."""
        return {
            0x80: self._page(0x80, self.serial.encode() + b'\0'),
            0x83: self._page(
                0x83,
                b''.join(self.names if self.names is not None else self._lio_names())
                + b''.join(self.names_at.get(port, ()))
                + designator(4, 1, struct.pack('>HH', 0, port), association=1)
                + designator(5, 1, struct.pack('>HH', 0, port), association=1)
                + designator(6, 1, bytes(4)),
            ),
        }

    def _page(self, number: int, content: bytes) -> bytes:
        return bytes([self.device_type]) + page(number, content)[1:]

    def _lio_names(self) -> list[bytes]:
        text = b'LIO-ORG ' + f'{self.name}:{self.serial}'.encode() + b'\0'
        return [designator(3, 1, self.naa), designator(1, 2, text)]


class Portal:
    """A listening address; ``close`` makes it refuse."""

    def __init__(self, address: str, tag: int) -> None:
        self.tag = tag
        self.address, self.port = address, 0
        self.open()

    def open(self) -> None:
        """Listen, after ``close`` at the same port again."""
        self.port = network.listen(self.address, self.port)

    @property
    def is_open(self) -> bool:
        return network.is_open(self.address, self.port)

    def close(self) -> None:
        network.close(self.address, self.port)

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
