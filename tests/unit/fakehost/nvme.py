# SPDX-License-Identifier: Apache-2.0
"""A kernel with NVMe over fabrics: subsystems, controllers that are made by one write, Identify.

A directory stands for ``/``. ``/dev/nvme-fabrics`` is answered by a thread; the attributes of a
controller that are written to are pipes, and what comes out of them has consequences.
"""

from collections.abc import Callable, Iterator
import contextlib
import ctypes
import dataclasses
import errno
import itertools
import os
import pathlib
import shutil
import socket
import struct
import threading
import time
from typing import Any
import uuid as uuids

from oslo_config import cfg

from os_brick.core import clock, files, kernel, net, process
from os_brick.host import machine
from tests.unit.fakehost import network

_COMMAND = struct.Struct('=BBHIIIQQIIIIIIIIII')
_BLKFLSBUF = 0x1261
_ADMIN = 0xC0484E41
HOST = 'nqn.2014-08.org.nvmexpress:uuid:5a9c1a5e-7d0f-4c3a-9d39-1f1b3c2d4e5f'


@dataclasses.dataclass(eq=False)
class Volume:
    """What is behind a namespace.

    ``power``: of two, the bytes of a block. ``twin``: the volume whose names it has as well.
    ``supported``: whether the kernel takes its format. ``shown``: whether a kernel that looks finds
    it. ``readable``: so many bytes can be read. ``reserved``: another host has exclusive access.
    """

    name: str
    size: int = 64 << 20
    power: int = 9
    has_uuid: bool = True
    twin: 'Volume | None' = None
    supported: bool = True
    shown: bool = True
    readable: int = 4096
    reserved: bool = False

    @property
    def uuid(self) -> str:
        return str(uuids.uuid5(uuids.NAMESPACE_OID, f'{(self.twin or self).name} uuid'))

    @property
    def nguid(self) -> str:
        return str(uuids.uuid5(uuids.NAMESPACE_OID, f'{(self.twin or self).name} nguid'))


@dataclasses.dataclass
class Subsystem:
    """A subsystem at the array. ``portals``: those that answer. ``tls``: the keys it knows."""

    nqn: str
    portals: set[str]
    namespaces: dict[int, Volume] = dataclasses.field(default_factory=dict)
    tls: dict[str, bytes] | None = None
    port: int = 4420

    def properties(self, nsid: int, **more: Any) -> dict[str, Any]:
        """Connection properties of one namespace over every portal."""
        portals = [(address, '4420', 'rdma') for address in sorted(self.portals)]
        found = {'target_nqn': self.nqn, 'portals': portals}
        return {**found, 'vol_uuid': self.namespaces[nsid].uuid, **more}


class Fabric:
    """The host and the array; a context during which the library sees it."""

    def __init__(self, root: pathlib.Path, *, native: bool = True) -> None:
        self.root = root
        self.native = native
        self.subsystems: dict[str, Subsystem] = {}
        self.controllers: dict[str, tuple[Subsystem, str]] = {}
        self.shown: dict[str, dict[int, tuple[Volume, int]]] = {}
        self.flushed: list[str] = []
        self.claimed: set[str] = set()  # Devices that a holder has for itself.
        # The options with which each controller was made.
        self.told: dict[str, dict[str, str]] = {}
        # What the kernel shows, where it is not as usual: states, ANA states by portal, nodes.
        self.states: dict[str, str] = {}
        self.ana: dict[str, str] = {}
        self.has_udev = True
        # Called in the thread that connects, in which a test may have it interrupted.
        self.before_connecting: Callable[[], None] = lambda: None
        self.keys: dict[int, tuple[str, bytes]] = {}
        self.tried: list[str] = []
        self.network = network.Network(clock)
        self._numbers: list[str] = []
        self._buried = 0
        self._bases: dict[str, int] = {}
        self._behind: dict[str, Volume] = {}  # By the names of the block devices.
        self._guard = threading.RLock()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> 'Fabric':
        for place in ('dev', 'etc/nvme', 'sys/class/nvme-fabrics/ctl', 'sys/class/block', 'proc'):
            (self.root / place).mkdir(parents=True, exist_ok=True)
        self.file('/etc/nvme/hostnqn', HOST)
        self.file('/etc/nvme/hostid', HOST.rpartition(':')[2])
        self.file('/dev/nvme-fabrics', '')
        self.file('/sys/module/nvme_core/parameters/multipath', 'Y' if self.native else 'N')
        self.file('/sys/module/nvme_keyring/refcnt', '1')
        self.file('/sys/class/dmi/id/product_uuid', HOST.rpartition(':')[2])
        self._stack.enter_context(files.use(str(self.root)))
        self._stack.enter_context(kernel.use(self))
        self._stack.enter_context(net.use(self.network))
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def file(self, path: str, text: str) -> None:
        """Have a file with this text."""
        real = self.root / path.lstrip('/')
        real.parent.mkdir(parents=True, exist_ok=True)
        # At once, as the kernel's attributes change: no one reads half of one.
        fresh = real.with_name(f'.{real.name}')
        fresh.write_text(text)
        fresh.rename(real)

    def subsystem(self, name: str, portals: int = 1) -> Subsystem:
        """A new subsystem, without namespaces."""
        nqn = f'nqn.2026-11.org.lab:{name}'
        found = Subsystem(nqn, {f'10.0.{len(self.subsystems)}.{n + 1}' for n in range(portals)})
        self.subsystems[nqn] = found
        return found

    def snapshot(self) -> set[str]:
        """Every file, but for those of processes and locks."""
        with self._guard:
            return {str(p.relative_to(self.root)) for p in self.root.rglob('*') if p.is_file()}

    # What the kernel does.

    def open(self, path: str, flags: int) -> int:
        """A descriptor of a device."""
        if path == '/dev/nvme-fabrics':
            self.before_connecting()
            ours, theirs = socket.socketpair()
            threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
            return ours.detach()
        if flags & os.O_EXCL and path.rpartition('/')[2] in self.claimed:
            raise OSError(errno.EBUSY, 'Device or resource busy')
        if flags & os.O_DIRECT and self._is_reserved(path.rpartition('/')[2]):
            raise OSError(errno.EBADE, 'Invalid exchange')
        return files.descriptor(path, flags & ~os.O_DIRECT & ~os.O_EXCL)

    def _is_reserved(self, head: str) -> bool:
        """Whether a read of a device ends in a reservation conflict (BLK_STS_RESV_CONFLICT)."""
        return any(
            volume.reserved
            for name, known in self.shown.items()
            for nsid, (volume, _size) in known.items()
            if self.head(name, nsid) == head
        )

    def open_block(self, path: str, flags: int) -> int:
        """A descriptor of a namespace."""
        return self.open(path, flags & ~os.O_PATH)

    def connect(self, address: str, timeout: float) -> socket.socket:
        """No daemon listens."""
        raise FileNotFoundError(errno.ENOENT, address)

    def add_key(self, kind: str, name: str, value: bytes) -> int:
        """A key of the type that the handshakes of NVMe read."""
        assert kind == 'psk'
        number = 4711 + len(self.tried)
        self.keys[number] = (name, value)
        self.tried.append(name)
        return number

    def drop_key(self, number: int) -> None:
        """The process has it no more."""
        del self.keys[number]

    def number(self, descriptor: int) -> str:
        """What sysfs says of the name that the stand-in has."""
        name = os.readlink(f'/proc/self/fd/{descriptor}').rpartition('/')[2]
        return files.read_or(f'/sys/class/block/{name}/dev')

    def ioctl(self, descriptor: int, request: int, argument: bytearray | int) -> int:
        """Flush or Identify."""
        name = os.readlink(f'/proc/self/fd/{descriptor}').rpartition('/')[2]
        if request == _BLKFLSBUF:
            self.flushed.append(name)
            return 0
        assert request == _ADMIN
        assert isinstance(argument, bytearray)
        words = _COMMAND.unpack(bytes(argument))
        nsid, address, cns = words[3], words[7], words[10]
        namespaces = self.controllers[name][0].namespaces
        volume = namespaces.get(nsid)
        if self.states.get(name, 'live') != 'live':
            raise OSError(errno.EIO, f'{name} is {self.states[name]}')
        if cns == 2:
            numbers = struct.pack(f'<{len(namespaces)}I', *sorted(namespaces))
            ctypes.memmove(address, numbers.ljust(4096, b'\0'), 4096)
            return 0
        if volume is None:
            return 0x0B
        data = self._namespace(volume) if cns == 0 else self._names(volume)
        ctypes.memmove(address, data.ljust(4096, b'\0'), 4096)
        return 0

    @staticmethod
    def _namespace(volume: Volume) -> bytes:
        data = bytearray(4096)
        data[0:8] = (volume.size >> volume.power).to_bytes(8, 'little')
        data[26] = 1  # The second of two formats.
        data[104:120] = uuids.UUID(volume.nguid).bytes
        data[130], data[134] = 14, volume.power
        return bytes(data)

    @staticmethod
    def _names(volume: Volume) -> bytes:
        found = bytes([2, 16, 0, 0]) + uuids.UUID(volume.nguid).bytes
        if volume.has_uuid:
            found += bytes([3, 16, 0, 0]) + uuids.UUID(volume.uuid).bytes
        return found

    def _serve(self, end: socket.socket) -> None:
        """Answer one write to /dev/nvme-fabrics; a refused one ends the connection."""
        with end:
            text = end.recv(4096).decode()
            words = (word.partition('=') for word in text.split(','))
            options = {key: value for key, _, value in words}
            subsystem = self.subsystems.get(options['nqn'])
            if (
                subsystem is None
                or options['traddr'] not in subsystem.portals
                or not self._shakes_hands(subsystem, options)
            ):
                end.sendall(b'refused')
                return
            with self._guard:
                name = self._make(subsystem, options)
                self.told[name] = options
            end.sendall(f'instance={name.removeprefix("nvme")},cntlid=7'.encode())

    def _shakes_hands(self, subsystem: Subsystem, options: dict[str, str]) -> bool:
        if subsystem.tls is None or 'tls' not in options:
            return subsystem.tls is None and 'tls' not in options
        identity, value = self.keys[int(options['tls_key'])]
        return subsystem.tls.get(identity) == value

    def uuid_of(self, path: str) -> str:
        """What the kernel shows of a block device, when it is through with what it does now."""
        with self._guard:
            name = path.rpartition('/')[2]
            return (self.root / 'sys/class/block' / name / 'uuid').read_text()

    def becomes(self, name: str, state: str) -> None:
        """A controller gets into another state."""
        self.states[name] = state
        self.file(f'/sys/class/nvme-fabrics/ctl/{name}/state', f'{state}\n')

    def lose(self, *names: str) -> None:
        """Controllers are gone, and their names free again."""
        with self._guard:
            for name in names:
                self._bury(self.root / 'sys/class/nvme-fabrics/ctl' / name)
                (self.root / 'dev' / name).unlink()
                self._part(name)
                del self.controllers[name], self.shown[name]
                self._numbers.remove(name)

    def reboot(self) -> None:
        """Nothing is connected any more, and every name is free."""
        self.lose(*self.controllers)
        self._heads()
        for node in [*(self.root / 'dev').glob('nvme[0-9]*')]:
            node.unlink()
        self.file('/proc/sys/kernel/random/boot_id', str(uuids.uuid4()))

    def _join(self, name: str, subsystem: Subsystem) -> None:
        """A subsystem links to its controllers; it goes with the last one."""
        number = self._base(name).removeprefix('nvme')
        place = f'/sys/class/nvme-subsystem/nvme-subsys{number}'
        self.file(f'{place}/subsysnqn', f'{subsystem.nqn}\n')
        self.file(f'{place}/{name}', '')

    def _part(self, name: str) -> None:
        for link in (self.root / 'sys/class/nvme-subsystem').glob(f'*/{name}'):
            link.unlink()
            if [each.name for each in link.parent.iterdir()] == ['subsysnqn']:
                shutil.rmtree(link.parent)

    def _bury(self, place: pathlib.Path) -> None:
        """Remove a directory, as sysfs does: its number is not given again."""
        self._buried += 1
        grave = self.root.parent / 'graves'
        grave.mkdir(exist_ok=True)
        place.rename(grave / str(self._buried))

    def connect_by_hand(self, subsystem: Subsystem) -> str:
        """The controller that someone else makes; its name."""
        place = {'transport': 'rdma', 'traddr': min(subsystem.portals), 'trsvcid': '4420'}
        host = {'hostnqn': HOST, 'hostid': HOST.rpartition(':')[2]}
        with self._guard:
            return self._make(subsystem, place | host)

    def _make(self, subsystem: Subsystem, options: dict[str, str]) -> str:
        name = next(n for n in map('nvme{}'.format, itertools.count()) if n not in self._numbers)
        self._numbers.append(name)
        base = f'/sys/class/nvme-fabrics/ctl/{name}'
        port = options.get('trsvcid', '')
        for key, value in {
            'subsysnqn': subsystem.nqn,
            'transport': options['transport'],
            'address': f'traddr={options["traddr"]},trsvcid={port},src_addr=10.9.9.9',
            'hostnqn': options.get('hostnqn', HOST),
            'hostid': options.get('hostid', HOST.rpartition(':')[2]),
            'cntlid': '7',
            'state': self.states.get(name, 'live'),
            'tls_key': options.get('tls_key', ''),
        }.items():
            self.file(f'{base}/{key}', f'{value}\n')
        self.file(f'/dev/{name}', '')
        self.controllers[name] = (subsystem, options['traddr'])
        self._join(name, subsystem)
        self.shown[name] = {}
        self._pipe(name, 'delete_controller', self.delete)
        self._pipe(name, 'rescan_controller', self.scan)
        self.scan(name)
        return name

    def _pipe(self, name: str, attribute: str, act: Callable[[str], None]) -> None:
        path = self.root / 'sys/class/nvme-fabrics/ctl' / name / attribute
        os.mkfifo(path)
        descriptor = os.open(path, os.O_RDWR)

        def serve() -> None:
            while name in self.controllers and os.read(descriptor, 8):
                act(name)
            os.close(descriptor)

        threading.Thread(target=serve, daemon=True).start()

    def scan(self, name: str) -> None:
        """Look at the namespaces: another one under a number is dropped, and found next time."""
        with self._guard:
            if name not in self.controllers:
                return
            subsystem, _ = self.controllers[name]
            known = self.shown[name]
            for nsid, (volume, _size) in list(known.items()):
                if subsystem.namespaces.get(nsid) is not volume:
                    del known[nsid]
                    shutil.rmtree(self._path(name, nsid))
                else:
                    self._show(name, nsid, volume)
            for nsid, volume in subsystem.namespaces.items():
                if nsid not in known and self._may_show(subsystem, nsid, volume):
                    self._show(name, nsid, volume)
            self._heads()

    def _may_show(self, subsystem: Subsystem, nsid: int, volume: Volume) -> bool:
        """Whether the kernel adds a namespace, or ignores it because of one that it has."""
        for name, known in self.shown.items():
            if self.controllers[name][0] is subsystem:
                # "IDs don't match for shared namespace".
                if self.native and known.get(nsid, (volume, 0))[0] is not volume:
                    return False
            elif any(other.uuid == volume.uuid for other, _size in known.values()):
                return False  # "ignoring nsid because of duplicate IDs".
        return volume.shown

    def _show(self, name: str, nsid: int, volume: Volume) -> None:
        size = volume.size if volume.supported else 0
        self.shown[name][nsid] = (volume, size)
        path = '/' + str(self._path(name, nsid).relative_to(self.root))
        for key, value in {
            'nsid': nsid,
            'nguid': volume.nguid,
            # Without a UUID the kernel shows the NGUID in its place.
            'uuid': volume.uuid if volume.has_uuid else volume.nguid,
            'size': size >> 9,
            'ana_state': self.ana.get(self.controllers[name][1], 'optimized'),
        }.items():
            self.file(f'{path}/{key}', f'{value}\n')

    def head(self, name: str, nsid: int) -> str:
        """The block device of a namespace behind a controller."""
        return f'{self._base(name) if self.native else name}n{nsid}'

    def _path(self, name: str, nsid: int) -> pathlib.Path:
        place = self.root / 'sys/class/nvme-fabrics/ctl' / name
        return place / (
            f'{self._base(name)}c{name[4:]}n{nsid}' if self.native else f'{name}n{nsid}'
        )

    def _base(self, name: str) -> str:
        """Subsystems have numbers of their own, given again once the last controller has gone."""
        nqns = [subsystem.nqn for subsystem, _ in self.controllers.values()]
        for nqn in [nqn for nqn in self._bases if nqn not in nqns]:
            del self._bases[nqn]
        free = (number for number in range(50, 999) if number not in self._bases.values())
        return f'nvme{self._bases.setdefault(self.controllers[name][0].nqn, next(free))}'

    def _heads(self) -> None:
        """Have a block device for every namespace that has a path, and no other.

        A head is made with the first path that takes I/O.
        """
        wanted: dict[str, tuple[str, Volume, int]] = {}
        for name, known in self.shown.items():
            subsystem, portal = self.controllers[name]
            for nsid, (volume, size) in known.items():
                head = self.head(name, nsid)
                is_usable = self.ana.get(portal, 'optimized') in ('optimized', 'non-optimized')
                if is_usable or (self.root / 'sys/class/block' / head).exists():
                    wanted[head] = (subsystem.nqn, volume, size)
        blocks = self.root / 'sys/class/block'
        for place in [*blocks.glob('nvme*n*')]:
            now = wanted.get(place.name)
            # Another volume has a block device of its own, even if that has the same name.
            if now is None or self._behind.get(place.name, now[1]) is not now[1]:
                (self.root / 'dev' / place.name).unlink(missing_ok=True)
                self._bury(place)
        self._behind = {head: volume for head, (_nqn, volume, _size) in wanted.items()}
        for head, (nqn, volume, size) in wanted.items():
            self.file(f'/sys/class/block/{head}/size', str(size >> 9))
            self.file(f'/sys/class/block/{head}/dev', '259:0')
            self.file(f'/sys/class/block/{head}/uuid', volume.uuid)
            self.file(f'/sys/class/block/{head}/nguid', volume.nguid)
            self.file(f'/sys/class/block/{head}/device/subsysnqn', nqn)
            node = self.root / 'dev' / head
            if self.has_udev and not node.exists():
                node.write_bytes(b'x' * volume.readable)

    def delete(self, name: str) -> None:
        """Take a controller down."""
        with self._guard:
            self.shown.pop(name)
            self.states.pop(name, None)
            self._part(name)
            del self.controllers[name]
            self._bury(self.root / 'sys/class/nvme-fabrics/ctl' / name)
            (self.root / 'dev' / name).unlink()
            self._heads()

    def by_hand(self, subsystem: Subsystem, address: str) -> str:
        """Someone else connects."""
        host = {'hostnqn': HOST, 'hostid': HOST.rpartition(':')[2]}
        words = {'traddr': address, 'trsvcid': '4420', 'transport': 'rdma', **host}
        with self._guard:
            return self._make(subsystem, words)

    def settle(self) -> None:
        """Let what was written to the pipes have its consequences."""
        time.sleep(0.05)


@contextlib.contextmanager
def configured(place: pathlib.Path, **values: Any) -> Iterator[pathlib.Path]:
    """A configuration with a place of its own for locks; the place of the host."""
    values = {
        'lock_path': str(place / 'locks'),
        'scan_timeout': 1,
        'operation_timeout': 20,
    } | values
    for name, value in values.items():
        cfg.CONF.set_override(name, value, group='os_brick')
    machine.system_uuid.cache_clear()
    try:
        yield place / 'root'
    finally:
        for name in values:
            cfg.CONF.clear_override(name, group='os_brick')
        machine.system_uuid.cache_clear()


def states(place: pathlib.Path) -> list[str]:
    """The states that are kept beside the locks."""
    return sorted(file.name for file in (place / 'locks').glob('*-state-*'))


class StrikingFabric(Fabric):
    """The same, and one isolated act goes wrong, as ``Host.fail`` has it."""

    def __init__(self, root: pathlib.Path, *, native: bool = True) -> None:
        super().__init__(root, native=native)
        self.struck = ''
        self.interrupt: type[BaseException] = KeyboardInterrupt
        self._fault: tuple[int, str] | None = None
        self._acts = 0
        self._threads_before = threading.enumerate()
        self._entered: dict[pathlib.Path, bytes] = {}

    @property
    def acts(self) -> int:
        """How many isolated acts there have been."""
        return self._acts

    def fail(self, number: int, how: str) -> None:
        """Have the isolated act with that number, from now on and from 0, go wrong."""
        self._fault = (self._acts + number, how)

    def run(self, argv: tuple[str, ...], **_keywords: Any) -> process.Result:
        """No program is there."""
        raise FileNotFoundError(errno.ENOENT, argv[0])

    def isolated(self, call: Callable[[], Any], timeout: float) -> Any:
        """Do one act, unless it is the one that goes wrong."""
        with self._guard:
            number, self._acts = self._acts, self._acts + 1
        how = self._fault[1] if self._fault and self._fault[0] == number else ''
        if how:
            self.struck = f'{how}: {getattr(getattr(call, "func", call), "__name__", call)}'
        if how == 'refused':
            raise OSError(errno.EIO, 'Input/output error')
        if how == 'hung':
            raise TimeoutError
        if how == 'interrupted':
            raise self.interrupt
        before = set(self.controllers)
        found = call()
        if set(self.controllers) > before:
            self._entered = {path: path.read_bytes() for path in self.entered()}
        if how == 'late':
            raise TimeoutError
        if how == 'interrupted late':
            raise self.interrupt
        return found

    def entered(self) -> list[pathlib.Path]:
        """The files of states beside the locks."""
        return [*(self.root.parent / 'locks').glob('*-state-*')]

    def unwrite(self) -> None:
        """Have the states be as they were just after the last connection, as after a kill then."""
        for path in self.entered():
            path.unlink()
        for path, data in self._entered.items():
            path.write_bytes(data)

    def settle(self) -> None:
        """Wait until nothing is under way any more."""
        super().settle()
        for thread in threading.enumerate():
            if thread not in self._threads_before and 'serve' not in thread.name:
                thread.join(0.2 if thread.name.startswith('os-brick ') else 10)

    def snapshot(self) -> dict[str, str]:  # type: ignore[override]
        """Every file, once nothing is under way."""
        self.settle()
        return dict.fromkeys(super().snapshot(), '')


@contextlib.contextmanager
def striking(place: pathlib.Path, *, native: bool = True) -> Iterator[StrikingFabric]:
    """A host with one fabric, below a directory, configured as :func:`configured` does."""
    with (
        configured(place) as root,
        StrikingFabric(root, native=native) as found,
        process.use(found),
    ):
        yield found
