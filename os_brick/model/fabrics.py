# SPDX-License-Identifier: Apache-2.0
"""NVMe over Fabrics: where a controller is reached, and the names of a namespace."""

from __future__ import annotations

import dataclasses
import functools
import re
import uuid as uuid_lib

from os_brick.model import addresses, names

_UUID_OF_NQN = re.compile(r'nqn\.2014-08\.org\.nvmexpress:uuid:([0-9a-f-]{36})', re.IGNORECASE)
# FC-NVMe: node and port name.
_FC = re.compile(r'nn-(?:0x)?([0-9a-f]{16}):pn-(?:0x)?([0-9a-f]{16})')
_EUI64 = re.compile(r'[0-9a-f]{16}')
_PORT = re.compile(r'[0-9]{1,5}')
# nvme0c1n2: namespace 2 of subsystem 0 through controller 1; nvme0n2 without multipath.
_PATH = re.compile(r'(nvme(\d+))(?:c\d+)?(n\d+)')
_NSID = re.compile(r'[0-9]{1,10}')

TCP = 'tcp'
RDMA = 'rdma'
FC = 'fc'
LOOP = 'loop'
# Drivers have words of their own for the transports, such as RoCEv2.
_WORDS = {
    TCP: ('tcp',),
    RDMA: ('rdma', 'roce', 'infiniband', 'iwarp'),
    FC: ('fc', 'fibre'),
    LOOP: ('loop',),
}
# IANA's port of NVMe over RDMA and over TCP for I/O controllers.
DEFAULT_PORT = '4420'


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class NvmePortal:
    """Where a controller of a subsystem is reached.

    :ivar address: an IP address in its shortest spelling or a host name in lower case; for
        Fibre Channel ``nn-0x...:pn-0x...``.
    :ivar port: the service's ID in the transport; empty for Fibre Channel.
    :ivar host_address: this host's address on the path, empty for any.
    :ivar host_interface: this host's network interface on the path, empty for any.
    """

    transport: str
    address: str
    port: str = ''
    host_address: str = ''
    host_interface: str = ''

    @classmethod
    def parse(
        cls,
        address: object,
        port: object,
        transport: object,
        host_address: object = '',
        host_interface: object = '',
    ) -> NvmePortal:
        """The portal that a driver reports.

        :raises ValueError: saying which of these is wrong.
        """
        kind = transport_of(transport)
        interface = names.INTERFACE.parse(host_interface) if host_interface else ''
        return cls(
            kind,
            _address(kind, address),
            port_of(kind, port),
            _address(kind, host_address) if host_address else '',
            interface,
        )

    @property
    def is_ip(self) -> bool:
        """Whether the address is an IP address, and not a host name or that of another network."""
        return addresses.ip(self.address) is not None

    def serves(self, other: NvmePortal) -> bool:
        """Whether a connection through ``other`` is one that was asked for with this portal.

        What was not asked for (this host's own address) may be anything.
        """
        mine = (self.transport, self.address, self.port)
        return (
            mine == (other.transport, other.address, other.port)
            and self.host_address in {'', other.host_address}
            and self.host_interface in {'', other.host_interface}
        )

    def __str__(self) -> str:
        address = f'[{self.address}]' if ':' in self.address and self.is_ip else self.address
        place = f'{address}:{self.port}' if self.port else address
        via = ' from ' + (self.host_address or self.host_interface)
        return f'{self.transport} {place}{via if len(via) > len(" from ") else ""}'


def transport_of(word: object) -> str:
    """The kernel's word for a transport.

    :raises ValueError: if it is not one of them.
    """
    text = names.require_text(word).strip().lower()
    for kind, words in _WORDS.items():
        if any(each in text for each in words):
            return kind
    raise ValueError(f'{names.shown(word)} is not an NVMe transport (tcp, rdma, fc or loop)')


def _address(kind: str, value: object) -> str:
    if kind == LOOP and not value:
        return ''
    text = names.require_text(value).strip().lower()
    if kind == FC:
        match = _FC.fullmatch(text)
        if match is None:
            raise ValueError(
                f'{names.shown(value)} is not a Fibre Channel address '
                '(nn-0x<node name>:pn-0x<port name>)'
            )
        return f'nn-0x{match[1]}:pn-0x{match[2]}'
    return addresses.host(text.removeprefix('[').removesuffix(']'))


def port_of(kind: str, value: object) -> str:
    """The service's ID in a transport; empty where it has none.

    :raises ValueError: if it is not a port.
    """
    if kind in {FC, LOOP}:
        return ''
    number = DEFAULT_PORT if value in (None, '') else value
    text = str(number).strip() if _is_number(number) else ''
    if not (_PORT.fullmatch(text) and 0 < int(text) < 65536):
        raise ValueError(f'{names.shown(value)} is not a valid port')
    return str(int(text))


def _is_number(value: object) -> bool:
    """Whether a value may be a number: an integer of reasonable length, or a text."""
    if isinstance(value, bool):
        return False
    return isinstance(value, str) or (isinstance(value, int) and -(2**64) < value < 2**64)


@dataclasses.dataclass(frozen=True, slots=True)
class NamespaceIdentity:
    """The names of a namespace; ``None`` where it has none, or none is known.

    :ivar uuid: unique for ever (NVM Express Base Specification 2.0, section 4.5.1.5).
    :ivar nguid: unique for ever by the specification; arrays are known to use one again.
    :ivar nsid: its number in the subsystem, which may be another namespace's tomorrow.
    """

    uuid: str | None = None
    nguid: str | None = None
    eui64: str | None = None
    nsid: int | None = None

    @property
    def is_unique(self) -> bool:
        """Whether there is a name that no other namespace has."""
        return bool(self.uuid or self.nguid or self.eui64)

    @property
    def name(self) -> str:
        """Its most lasting name, with the kind before it; empty if it has none."""
        kinds = (('uuid', self.uuid), ('nguid', self.nguid), ('eui', self.eui64))
        return next((f'{kind}.{value}' for kind, value in kinds if value), '')

    def matches(self, actual: NamespaceIdentity) -> bool:
        """Whether a namespace with the names ``actual`` is the one with these.

        Every name that both have has to be the same, so that a UUID that the subsystem does not
        support hides no other name; the number decides where there is nothing else.
        """
        pairs = (
            (self.uuid, actual.uuid),
            (self.nguid, actual.nguid),
            (self.eui64, actual.eui64),
        )
        both = [(mine, other) for mine, other in pairs if mine and other]
        if both:
            return all(mine == other for mine, other in both)
        return not self.is_unique and self.nsid in {None, actual.nsid}

    def __str__(self) -> str:
        words = [
            f'{name} {value}'
            for name, value in (
                ('UUID', self.uuid),
                ('NGUID', self.nguid),
                ('EUI-64', self.eui64),
                ('NSID', self.nsid),
            )
            if value is not None
        ]
        return ', '.join(words) or 'the only namespace'


@dataclasses.dataclass(frozen=True, slots=True)
class Controller:
    """A controller over fabrics that the kernel has.

    :ivar name: the kernel's, such as ``nvme3``; it is used again for another one.
    :ivar id: its number at the subsystem, which may give it again.
    :ivar number: the kernel's number of its directory, which no other one has had since boot.
    :ivar host_nqn: by what name this host has connected; empty where the kernel does not tell.
    :ivar is_encrypted: whether the connection is one over TLS.
    """

    name: str
    nqn: str
    portal: NvmePortal
    id: str
    host_nqn: str = ''
    host_id: str = ''
    is_encrypted: bool = False
    number: int = 0

    @property
    def lock(self) -> str:
        """What connecting to and disconnecting from its portal is locked by."""
        return lock_of(self.nqn, self.portal)

    def __str__(self) -> str:
        return f'controller {self.name} of {self.nqn} at {self.portal}'


@dataclasses.dataclass(frozen=True, slots=True)
class Path:
    """A namespace behind one controller.

    :ivar name: the kernel's, such as ``nvme0c1n2``.
    :ivar identity: who the kernel believes it to be.
    """

    name: str
    controller: str
    identity: NamespaceIdentity

    @property
    def head(self) -> str:
        """The block device that users open, such as ``nvme0n2``."""
        return head_of(self.name)


def lock_of(nqn: str, portal: NvmePortal) -> str:
    """What connecting to a subsystem at a portal is locked by."""
    return f'{nqn} {portal.transport} {portal.address} {portal.port}'


def head_of(path: str) -> str:
    """The head of a path: ``nvme0n2`` of ``nvme0c1n2``; any other name is its own."""
    match = _PATH.fullmatch(path)
    return match[1] + match[3] if match else path


def instance_of(name: str) -> str:
    """The kernel's number in the name of a namespace, such as 50 in ``nvme50n3``."""
    match = _PATH.fullmatch(name)
    return match[2] if match else ''


def is_head(name: str) -> bool:
    """Whether a name is that of a namespace's block device, such as ``nvme0n2``."""
    return _PATH.fullmatch(name) is not None and head_of(name) == name


def is_path(name: str) -> bool:
    """Whether a name is that of a namespace behind one controller, such as ``nvme0c1n2``."""
    return _PATH.fullmatch(name) is not None


def uuid(value: object) -> str | None:
    """A 128-bit name in lower case with hyphens; ``None`` for one of zeros only.

    :raises ValueError: if it is not one.
    """
    text = str(value) if isinstance(value, uuid_lib.UUID) else names.require_text(value)
    try:
        return _uuid(text)
    except ValueError:
        raise ValueError(f'{names.shown(value)} is not a valid 128-bit identifier') from None


# An operation reads the same names again and again: who a namespace is, each time it is looked at.
@functools.lru_cache(maxsize=1024)
def _uuid(text: str) -> str | None:
    bare = text.strip().removeprefix('uuid.').removeprefix('eui.').removeprefix('0x')
    found = uuid_lib.UUID(bare)
    return str(found) if found.int else None


def eui64(value: object) -> str | None:
    """A 64-bit name as 16 hexadecimal digits; ``None`` for one of zeros only.

    :raises ValueError: if it is not one.
    """
    text = names.require_text(value).strip().lower().removeprefix('eui.').removeprefix('0x')
    digits = re.sub(r'[\s:-]', '', text)
    if not _EUI64.fullmatch(digits):
        raise ValueError(f'{names.shown(value)} is not a valid 64-bit identifier')
    return digits if int(digits, 16) else None


def nsid(value: object) -> int:
    """A namespace ID, given as an integer or as its decimal text.

    :raises ValueError: if it is not one; NVM Express Base Specification 2.0, 3.2.1.1: from 1 to
        FFFFFFFEh.
    """
    text = str(value).strip() if _is_number(value) else ''
    if not (_NSID.fullmatch(text) and 0 < int(text) < 2**32 - 1):
        raise ValueError(f'{names.shown(value)} is not a valid namespace ID')
    return int(text)


def nqn(value: object) -> str:
    """An NVMe qualified name of any form that Linux takes.

    :raises ValueError: if it is not one.
    """
    return names.NQN.parse(names.require_text(value).strip())


def uuid_of_nqn(name: str) -> str | None:
    """The UUID in a host's name, if it was made of one."""
    match = _UUID_OF_NQN.fullmatch(name)
    try:
        return str(uuid_lib.UUID(match[1])) if match else None
    except ValueError:
        return None


def host_id_of(name: str) -> str:
    """The host ID that goes with a host's name: the UUID in it, or one that follows from it.

    Linux refuses one ID under two names (drivers/nvme/host/fabrics.c, ``nvmf_host_add``).
    """
    return uuid_of_nqn(name) or str(uuid_lib.uuid5(uuid_lib.NAMESPACE_URL, name))
