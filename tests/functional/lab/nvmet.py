# SPDX-License-Identifier: Apache-2.0
"""NVMe-oF subsystems, ports and namespaces of the kernel's nvmet, made through configfs only.

A namespace is a loop device on a sparse file in RAM, so it can really grow, has 512-byte or 4 KiB
blocks, and the file shows which bytes have arrived. ``connect`` is one write to the kernel, as
someone else on the host would do it: the lab needs neither nvme-cli nor the library.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
import contextlib
import hashlib
import os
import pathlib
import uuid as uuids
import zlib

from tests.functional.lab import fcloop, loops, net, rdma, shell

ROOT = pathlib.Path('/sys/kernel/config/nvmet')
FABRICS = pathlib.Path('/dev/nvme-fabrics')
CLASS = pathlib.Path('/sys/class/nvme')
NQN = 'nqn.2026-11.org.lab:'
SERVICE = '4420'
_ETC = pathlib.Path('/etc/nvme')
_OF_UUID = 'nqn.2014-08.org.nvmexpress:uuid:'
_MODULES = {
    'tcp': ('nvmet-tcp', 'nvme-tcp'),
    'rdma': ('nvmet-rdma', 'nvme-rdma'),
    'fc': (),
    'loop': ('nvme-loop',),
}
_loaded: set[str] = set()


def sweep() -> None:
    """Remove what a killed run left, if there was one in this boot."""
    if ROOT.exists():
        start()


def start() -> None:
    """Load nvmet and, the first time, clear it."""
    if not _loaded:
        _loaded.add('')
        shell.modules('configfs', 'loop', 'nvmet', 'nvme-fabrics')
        if not ROOT.parent.is_mount():
            shell.run('mount', '-t', 'configfs', 'configfs', str(ROOT.parent), check=False)
        clear()


def load(transport: str) -> None:
    """Load the target's and the host's side of a transport."""
    start()
    if transport in _loaded:
        return
    shell.modules(*_MODULES[transport])
    if transport == 'rdma':
        rdma.up()
    elif transport == 'fc':
        fcloop.up()
    _loaded.add(transport)


def addresses(transport: str) -> Sequence[str]:
    """The addresses of the lab where a port of this transport can be."""
    # Each port over FC brings a new one.
    return {'tcp': net.V4, 'rdma': rdma.ADDRESSES, 'loop': ('',), 'fc': ('',) * 4}[transport]


class Store:
    """What is behind a namespace: a device with a UUID and an NGUID of its own.

    ``block``: bytes of a logical block. Both identities follow from the name unless given.
    """

    def __init__(
        self, name: str, megabytes: int = 32, block: int = 512, *, uuid: str = '', nguid: str = ''
    ) -> None:
        start()
        self.name = name
        self.uuid = uuid or _identity(f'{name} uuid')
        self.nguid = nguid or _identity(f'{name} nguid')
        self.image = pathlib.Path(f'/dev/shm/labns-{name}.img')
        self.image.write_bytes(b'')
        os.truncate(self.image, megabytes * loops.MEBI)
        self.loop = loops.attach(self.image, block)
        self.shown: set[pathlib.Path] = set()

    @property
    def serial(self) -> str:
        """What makes the bytes of a stamp unlike every other volume's."""
        return self.uuid

    @property
    def size(self) -> int:
        """Bytes."""
        return self.image.stat().st_size

    def grow(self, megabytes: int, *, announce: bool = True) -> int:
        """Give the volume a new size in bytes; without ``announce`` the host is not told."""
        loops.grow(self.loop, self.image, megabytes)
        for root in self.shown if announce else ():
            shell.write(root / 'revalidate_size', 1)
        return megabytes * loops.MEBI

    def write(self, data: bytes, offset: int = 0) -> None:
        """Change the bytes behind the host's back."""
        with open(self.image, 'r+b') as image:
            image.seek(offset)
            image.write(data)

    def read(self, length: int, offset: int = 0) -> bytes:
        """The bytes that have really arrived."""
        with open(self.image, 'rb') as image:
            image.seek(offset)
            return image.read(length)

    def close(self) -> None:
        """Remove device and file (no namespace may show it any more)."""
        loops.detach(self.loop)
        self.image.unlink(missing_ok=True)


def _identity(text: str) -> str:
    return str(uuids.UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()))


class Port:
    """One address at which some subsystems can be reached."""

    def __init__(self, transport: str, address: str, service: str = SERVICE) -> None:
        load(transport)
        self.transport = transport
        self._fc = fcloop.TargetPort() if transport == 'fc' else None
        self.address = address = self._fc.address if self._fc else address
        self.service = {'fc': 'none', 'loop': ''}.get(transport, service)
        self.root = ROOT / 'ports' / str(_free(ROOT / 'ports'))
        self.root.mkdir()
        family = 'ipv6' if ':' in address else 'ipv4'
        values = {
            'addr_trtype': transport,
            'addr_adrfam': {'fc': 'fc', 'loop': ''}.get(transport, family),
            'addr_traddr': address,
            'addr_trsvcid': self.service,
        }
        for name, value in values.items():
            if value:
                shell.write(self.root / name, value)
        self._cut: list[Subsystem] = []
        self._links: list[Subsystem] = []

    def portal(self) -> tuple[str, str, str]:
        """``(address, service, transport)``, as connection properties have it."""
        return self.address, self.service, self.transport

    def link(self, subsystem: 'Subsystem') -> None:
        """Offer a subsystem here (the first one starts the listener)."""
        os.symlink(subsystem.root, self.root / 'subsystems' / subsystem.nqn)
        self._links.append(subsystem)

    def unlink(self, subsystem: 'Subsystem') -> None:
        """Offer it no longer: connections are dropped; the last one stops the listener.

        While another subsystem is still here, a host that reconnects is told never to come back
        (and removes its controller); without a listener it tries again.
        """
        if subsystem in self._links:
            (self.root / 'subsystems' / subsystem.nqn).unlink()
            self._links.remove(subsystem)

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Offer nothing here during the block, so that the port itself can be changed."""
        links = list(self._links)
        for subsystem in links:
            self.unlink(subsystem)
        try:
            yield
        finally:
            for subsystem in links:
                self.link(subsystem)

    def cut(self) -> None:
        """Break this path so that hosts reconnect (FC: the target port goes)."""
        for subsystem in self._links:
            subsystem.renumber()
        if self._fc:
            self._fc.cut()
            return
        self._cut = list(self._links)
        for subsystem in self._cut:
            self.unlink(subsystem)

    def heal(self) -> None:
        """Let hosts in again; also when nothing was cut."""
        if self._fc:
            self._fc.heal()
            return
        back, self._cut = self._cut, []
        for subsystem in back:
            self.link(subsystem)

    def ana(self, state: str, group: int = 1) -> None:
        """Say how a group is reached through here.

        optimized, non-optimized, inaccessible, persistent-loss or change.
        """
        root = self.root / 'ana_groups' / str(group)
        root.mkdir(exist_ok=True)
        shell.write(root / 'ana_state', state)

    def close(self) -> None:
        """Remove the port (no subsystem may be offered here)."""
        if self._fc:
            self._fc.heal()
        _close_port(self.root)


def _free(directory: pathlib.Path) -> int:
    taken = {int(name) for name in os.listdir(directory)}
    return next(n for n in range(1, len(taken) + 2) if n not in taken)


class Subsystem:
    """One NVMe subsystem, offered at some ports, with namespaces.

    ``name``: the end of its NQN; after an ``=``, the whole NQN, of whatever form.
    """

    def __init__(self, name: str, ports: Iterable[Port]) -> None:
        whole = name.removeprefix('=')
        self.nqn = whole if name[:1] == '=' or name.startswith('nqn.') else NQN + name
        self.ports = tuple(ports)
        self.root = ROOT / 'subsystems' / self.nqn
        self.root.mkdir()
        shell.write(self.root / 'attr_allow_any_host', 1)
        # The kernel asks for 20 characters that tell one subsystem from another.
        serial = hashlib.md5(self.nqn.encode(), usedforsecurity=False).hexdigest()[:20]
        shell.write(self.root / 'attr_serial', serial)
        self.stores: dict[int, Store] = {}
        self._least = 1
        for port in self.ports:
            port.link(self)

    def map(self, nsid: int, store: Store, group: int = 1) -> None:
        """Show a volume as this namespace, in this ANA group; hosts are told."""
        root = self._namespace(nsid)
        root.mkdir()
        shell.write(root / 'device_path', store.loop)
        shell.write(root / 'device_uuid', store.uuid)
        shell.write(root / 'device_nguid', store.nguid)
        if group != 1:
            shell.write(root / 'ana_grpid', group)
        shell.write(root / 'enable', 1)
        store.shown.add(root)
        self.stores[nsid] = store

    def unmap(self, nsid: int) -> None:
        """Take the namespace away; hosts are told."""
        root = self._namespace(nsid)
        shell.write(root / 'enable', 0)
        root.rmdir()
        self.stores.pop(nsid).shown.discard(root)

    def remap(self, nsid: int, store: Store) -> None:
        """Put another volume behind a namespace id."""
        self.unmap(nsid)
        self.map(nsid, store)

    def _namespace(self, nsid: int) -> pathlib.Path:
        return self.root / 'namespaces' / str(nsid)

    def allow(
        self, host_nqn: str, key: str = '', ctrl_key: str = '', *, group: str = 'null'
    ) -> None:
        """Admit just this host (and others so named), if it knows the key (DH-HMAC-CHAP).

        ``ctrl_key``: what this subsystem proves itself with. ``group``: null, ffdhe2048, ….
        """
        root = ROOT / 'hosts' / host_nqn
        root.mkdir(exist_ok=True)
        for name, value in (
            ('dhchap_key', key),
            ('dhchap_ctrl_key', ctrl_key),
            ('dhchap_hash', 'hmac(sha256)' if key else ''),
            ('dhchap_dhgroup', group if key else ''),
        ):
            if value:
                shell.write(root / name, value)
        shell.write(self.root / 'attr_allow_any_host', 0)
        os.symlink(root, self.root / 'allowed_hosts' / host_nqn)

    def renumber(self) -> None:
        """Give new controllers numbers that none has had.

        nvmet forgets a controller whose path is cut, and would give its number to the next one;
        a host that still reconnects the first refuses that one as a duplicate.
        """
        self._least += 64
        shell.write(self.root / 'attr_cntlid_min', self._least)

    def cut(self, number: int) -> None:
        """Break the path through one port."""
        self.ports[number].cut()

    def heal(self, number: int) -> None:
        """Mend it."""
        self.ports[number].heal()

    def properties(
        self,
        nsid: int,
        shape: str = 'B',
        by: Sequence[str] = ('volume_nguid',),
        **more: object,
    ) -> dict[str, object]:
        """Connection properties of a namespace, old (``A``) or new (``B``), identified by these.

        ``by``: vol_uuid, volume_nguid, ns_id. FC gets the ``host_traddr`` that it needs here.
        """
        store = self.stores.get(nsid)
        known = {
            'vol_uuid': store.uuid if store else '',
            'volume_nguid': store.nguid if store else '',
            'ns_id': nsid,
        }
        props: dict[str, object] = {key: known[key] for key in by}
        if shape == 'A':
            address, service, transport = self.ports[0].portal()
            props |= {'nqn': self.nqn, 'target_portal': address, 'target_port': service}
            props |= {'transport_type': transport}
        else:
            props |= {'target_nqn': self.nqn, 'portals': [port.portal() for port in self.ports]}
        if any(port.transport == 'fc' for port in self.ports):
            props['host_traddr'] = fcloop.host_address()
        return props | more

    def close(self) -> None:
        """Remove the subsystem with everything in it."""
        for port in self.ports:
            port.heal()
            port.unlink(self)
        for store in self.stores.values():
            store.shown.clear()
        _close_subsystem(self.root)


def replicated(
    alias: str, members: Iterable[tuple[Subsystem, int]], count: int | None = None, **more: object
) -> dict[str, object]:
    """Connection properties of a volume whose copies are these namespaces.

    ``count``: how many there should be, if not all are listed.
    """
    replicas = [subsystem.properties(nsid, by=('vol_uuid',)) for subsystem, nsid in members]
    return {
        'vol_uuid': _identity(alias),
        'alias': alias,
        'volume_replicas': replicas,
        'replica_count': len(replicas) if count is None else count,
    } | more


def secret(text: str) -> str:
    """A key for DH-HMAC-CHAP in its written form, made of a text."""
    key = hashlib.sha256(text.encode()).digest()
    check = zlib.crc32(key).to_bytes(4, 'little')
    return f'DHHC-1:00:{base64.b64encode(key + check).decode()}:'


def host_identity() -> tuple[str, str]:
    """The host's NQN and id; made first if they are missing or do not agree."""
    nqn, host_id = shell.read(_ETC / 'hostnqn'), shell.read(_ETC / 'hostid')
    if not host_id or nqn != _OF_UUID + host_id:
        host_id = str(uuids.uuid4())
        nqn = _OF_UUID + host_id
        _ETC.mkdir(exist_ok=True)
        (_ETC / 'hostnqn').write_text(f'{nqn}\n')
        (_ETC / 'hostid').write_text(f'{host_id}\n')
    return nqn, host_id


def connect(subsystem: Subsystem, number: int = 0, **options: object) -> str:
    """Connect by hand as someone else on the host would; the controller's name."""
    address, service, transport = subsystem.ports[number].portal()
    nqn, host_id = host_identity()
    words: dict[str, object] = {'transport': transport, 'traddr': address, 'trsvcid': service}
    if transport in {'fc', 'loop'}:
        del words['trsvcid']
    if transport == 'fc':
        words['host_traddr'] = fcloop.host_address()
    words |= {'nqn': subsystem.nqn, 'hostnqn': nqn, 'hostid': host_id, **options}
    text = ','.join(f'{key}={value}' for key, value in words.items() if value != '')
    with open(FABRICS, 'rb+', buffering=0) as fabrics:
        fabrics.write(text.encode())
        answer = fabrics.read(256).decode()
    number = int(answer.split('instance=')[1].split(',')[0])
    return f'nvme{number}'


def disconnect(name: str) -> None:
    """Delete a controller, with a limit: one that hangs must not hang the lab."""
    path = CLASS / name / 'delete_controller'
    if path.exists():
        shell.run('sh', '-c', f'echo 1 > {path}', check=False, timeout=30)


def controllers(nqn: str = NQN) -> list[str]:
    """The names of this host's controllers for subsystems whose NQN begins so."""
    names = (path.name for path in CLASS.glob('nvme*'))
    return sorted(n for n in names if shell.read(CLASS / n / 'subsysnqn').startswith(nqn))


def address_of(name: str) -> str:
    """Where a controller is connected to, as the kernel has it."""
    return shell.read(CLASS / name / 'address')


def clear() -> None:
    """Remove what an earlier, killed run left: arrays, controllers, ports, subsystems, stores."""
    _stop_arrays()
    for name in controllers():
        disconnect(name)
    # One that has never been connected (FC tries on its own) has no subsystem yet: "(efault)".
    for name in controllers(''):
        if not shell.read(CLASS / name / 'subsysnqn').startswith('nqn.'):
            disconnect(name)
    for port in (ROOT / 'ports').glob('*'):
        for link in (port / 'subsystems').iterdir():
            link.unlink()
        _close_port(port)
    for root in (ROOT / 'subsystems').glob(f'{NQN}*'):
        _close_subsystem(root)
    loops.forget('labns-*.img')


def _stop_arrays() -> None:
    for array in pathlib.Path('/sys/block').glob('md*'):
        if any(name.startswith('nvme') for name in os.listdir(array / 'slaves')):
            shell.run('mdadm', '--stop', f'/dev/{array.name}', check=False)


def _close_port(root: pathlib.Path) -> None:
    for group in (root / 'ana_groups').iterdir():
        if group.name != '1':
            group.rmdir()
    root.rmdir()


def _close_subsystem(root: pathlib.Path) -> None:
    for namespace in (root / 'namespaces').iterdir():
        shell.write(namespace / 'enable', 0)
        namespace.rmdir()
    hosts = [link.name for link in (root / 'allowed_hosts').iterdir()]
    for host in hosts:
        (root / 'allowed_hosts' / host).unlink()
    root.rmdir()
    for host in hosts:
        if not any((ROOT / 'subsystems').glob(f'*/allowed_hosts/{host}')):
            (ROOT / 'hosts' / host).rmdir()
