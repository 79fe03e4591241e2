# SPDX-License-Identifier: Apache-2.0
"""A Linux host with iSCSI in a directory: what is written to it has consequences.

    with Host(tmp_path) as host:
        target = host.target('t1', portals=2)
        target.luns[1] = array.Unit()
        before = host.snapshot()
        ISCSIConnector(None).connect_volume(target.properties())

The kernel's files are laid out as Linux 6.12 does it, programs and multipathd answer as open-iscsi
2.1.11 and multipath-tools 0.11 (recorded/guest.json says so, and ``test_fidelity`` compares).

Every step of the library that changes or asks something is one *act*: a program, a child process,
a question to multipathd, an ioctl. ``host.fail(number, how)`` has one of them go wrong.
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import errno
import marshal
import os
import pathlib
import string
import threading
import time
from typing import Any, Protocol, Self

from oslo_config import cfg

from os_brick import opts  # noqa: F401 registers [os_brick]
from os_brick.core import background, children, clock, files, handed, kernel, net, process
from tests.unit.fakehost import array, iscsiadm
from tests.unit.fakehost import clock as fake_clock
from tests.unit.fakehost import kernel as fake_kernel
from tests.unit.fakehost import network as fake_network
from tests.unit.fakehost import tree as fake_tree

INITIATOR = 'iqn.2026-11.org.lab:init'
# Between the kernel's answer to a scan and the disk, and between the disk and multipathd.
_DISK_SECONDS = 0.02
_UDEV_SECONDS = 0.1
# udev's link to a map, before its WWID.
_BY_UUID = '/dev/disk/by-id/dm-uuid-mpath-'

_DIRECTORIES = (
    *(
        f'/sys/class/{name}'
        for name in ('iscsi_session', 'iscsi_connection', 'scsi_host', 'iscsi_host', 'block')
    ),
    *('/sys/bus/scsi/drivers/sd', '/sys/block', '/sys/bus/scsi/devices', '/sys/devices/platform'),
    *('/sys/devices/virtual/block', '/dev/mapper', '/dev/bsg', '/dev/disk/by-path'),
    *('/dev/disk/by-id', '/etc/multipath', '/var/lib/iscsi/nodes', '/etc/iscsi', '/run/udev/data'),
)
_LETTERS = string.ascii_lowercase
# sda to sdz, sdaa to sdzz, sdaaa on, 16 a major number (Linux, drivers/scsi/sd.c, sd_major).
_NAMES = [
    *(f'sd{first}{last}' for first in ('', *_LETTERS) for last in _LETTERS),
    *(f'sda{first}{last}' for first in _LETTERS for last in _LETTERS),
]
_MAJORS = (8, *range(65, 72), *range(128, 136))
# Who hangs does so in steps of this length.
_STEP_SECONDS = 0.4
# Threads that a test has left may take so long to end.
_THREADS_SECONDS = 10.0


class Hung(Exception):
    """Something in the kernel does not come back."""


@dataclasses.dataclass
class Session:
    number: int
    host: int
    target: array.Target
    portal: array.Portal
    state: str = 'LOGGED_IN'
    target_id: int = 0

    @property
    def base(self) -> str:
        return f'/sys/devices/platform/host{self.host}/session{self.number}'

    @property
    def scsi_target(self) -> str:
        return f'target{self.host}:0:{self.target_id}'

    @property
    def port(self) -> int:
        """The number of the target's port behind it."""
        return self.portal.tag

    @property
    def is_open(self) -> bool:
        return self.state == 'LOGGED_IN'

    def by_path(self, lun: int) -> list[str]:
        """udev's names for a disk behind it."""
        return [f'ip-{self.portal}-iscsi-{self.target.iqn}-lun-{lun}']


class Nexus(Protocol):
    """What a disk hangs on: a session, or a remote port of a fabric."""

    @property
    def host(self) -> int: ...
    @property
    def target_id(self) -> int: ...
    @property
    def target(self) -> Any: ...
    @property
    def port(self) -> int: ...
    @property
    def base(self) -> str: ...
    @property
    def scsi_target(self) -> str: ...
    @property
    def is_open(self) -> bool: ...
    def by_path(self, lun: int) -> list[str]: ...


@dataclasses.dataclass
class Disk:
    """A SCSI disk; ``unit`` is who it was when it was scanned, not who answers now."""

    name: str
    session: Any
    lun: int
    unit: array.Unit
    state: str = 'running'

    @property
    def address(self) -> str:
        return f'{self.session.host}:0:{self.session.target_id}:{self.lun}'

    @property
    def device(self) -> str:
        return f'{self.session.base}/{self.session.scsi_target}/{self.address}'

    @property
    def number(self) -> str:
        number = _NAMES.index(self.name)
        return f'{_MAJORS[number >> 4 & 15]}:{(number & 15) << 4 | number & 0xFFF00}'


@dataclasses.dataclass
class Map:
    """A multipath map."""

    index: int
    wwid: str
    disks: list[Disk]
    sectors: int
    open_count: int = 0
    queues: bool = False
    # What multipathd answers of it (multipath-tools, snprint_queueing).
    queueing: str = 'off'
    show: Callable[[str, str], None] = lambda _name, _value: None

    def __post_init__(self) -> None:
        self._is_suspended = False

    @property
    def name(self) -> str:
        return f'dm-{self.index}'

    @property
    def is_suspended(self) -> bool:
        return self._is_suspended

    @is_suspended.setter
    def is_suspended(self, value: bool) -> None:
        self._is_suspended = value
        self.show('dm/suspended', str(int(value)))

    @property
    def base(self) -> str:
        return f'/sys/devices/virtual/block/{self.name}'

    def status(self) -> str:
        """drivers/md/dm-mpath.c; test_dm has recorded ones."""
        paths = ''.join(
            f'{disk.number} {"A" if disk.state == "running" else "F"} 0 0 1 ' for disk in self.disks
        )
        return f'2 {int(self.queues)} 0 0 1 1 A 0 {len(self.disks)} 2 {paths}'

    def table(self) -> str:
        paths = ''.join(f'{disk.number} 1 1 ' for disk in self.disks)
        features = '1 queue_if_no_path' if self.queues else '0'
        return f'{features} 1 alua 1 1 service-time 0 {len(self.disks)} 2 {paths}'


@dataclasses.dataclass
class Fault:
    """What goes wrong with one act: ``refused``, ``hung``, or ``late`` (done, and no answer).

    ``hung from here``: so does every act that comes after it.
    ``interrupted`` and ``interrupted late``: ``Host.interrupt`` (KeyboardInterrupt, unless a test
    has set another) instead of the act, or after it.
    ``killed``: this act and all that come after it do nothing, as if the process had been killed.
    """

    number: int
    how: str

    def at(self, number: int) -> str:
        """What goes wrong with an act; empty if nothing does."""
        if self.how == 'hung from here' and number > self.number:
            return 'hung'
        return self.how.removesuffix(' from here') if number == self.number else ''


class Host:
    """One host and the arrays it sees."""

    def __init__(self, place: pathlib.Path) -> None:
        self.place = place
        self.tree = fake_tree.Tree(place / 'root')
        self.clock = fake_clock.Clock()
        self.network = fake_network.Network(self.clock)
        self.guard = threading.RLock()
        self.targets: list[array.Target] = []
        self.sessions: dict[int, Session] = {}
        self.disks: dict[str, Disk] = {}
        self.maps: dict[str, Map] = {}
        self.paths_known: dict[str, str] = {}
        self.multipathd_runs = True
        # Whether it makes a map of every disk (find_multipaths is "greedy" or "no").
        self.multipathd_is_greedy = False
        # The WWIDs in the file that it reads where that is not the one here, as in a container.
        self.own_wwids: set[str] | None = None
        # Whether another process has the disks open alone, so that no map takes them.
        self.disks_in_use = False
        # The devices whose names are on its blacklist.
        self.excluded: set[str] = set()
        # What multipathd answers instead of taking a disk.
        self.multipath_refusal = ''
        # Whether the kernel's disk driver takes what a scan brings.
        self.has_disk_driver = True
        self.acts: list[str] = []
        self.flushes: list[str] = []
        # What is at the LUNs that a flush may have written to, through whatever path.
        self.reached: list[array.Unit] = []
        # The same for each flush, with the WWID of the volume that the kernel takes the device for.
        self.flushed_from: list[tuple[str, list[array.Unit]]] = []
        # How long a login at a portal takes.
        self.login_seconds: dict[str, float] = {}
        # Address and page of questions that end in an error once.
        self.inquiry_fails: list[tuple[str, int]] = []
        # The text of the record of each discovery that went by one.
        self.discovered_with: list[str] = []
        self.commands: list[tuple[str, ...]] = []
        # Programs besides iscsiadm, by their names.
        self.programs: dict[str, Callable[..., tuple[int, str, str]]] = {}
        self._fault: Fault | None = None
        self.struck = ''
        self.interrupt: type[BaseException] = KeyboardInterrupt
        # From a disk on: until udev has written down what it is, and until it tells multipathd.
        self.written_seconds = self.told_seconds = _UDEV_SECONDS
        # Whether what it has written down can be seen here.
        self.shows_database = True
        # Whether udev makes its links to disks and maps.
        self.makes_links = True
        # Character devices that answer ioctls, by their paths.
        self.ioctls: dict[str, Callable[[int, bytearray], None]] = {}
        # Devices that a process has claimed (O_EXCL), by their names.
        self.claims: set[str] = set()
        # Block devices that are neither SCSI disks nor multipath maps; each answers.
        self.other_devices: set[str] = set()
        # Nodes of a container's /dev that are other devices than the kernel's of their name.
        self.node_numbers: dict[str, str] = {}
        # Called with each act before it is done: what happens on the host between a look and it.
        self.before_act: Callable[[str], object] = lambda what: None
        self._one_child = threading.Lock()
        self._stack = contextlib.ExitStack()
        self._threads_before: list[threading.Thread] = []
        self._numbers = {'session': 0, 'host': 2}

    # The host as a context: its directory, clock, programs and kernel in the place of ours.

    def __enter__(self) -> Self:
        for path in _DIRECTORIES:
            self.tree.directory(path)
        for path in ('/dev/mapper/control', '/proc/self/mountinfo', '/proc/swaps'):
            self.tree.file(path)
        self.tree.file('/etc/multipath/wwids', '# Valid WWIDs:\n')
        self.tree.file('/etc/iscsi/initiatorname.iscsi', f'InitiatorName={INITIATOR}\n')
        locks = self.place / 'locks'
        locks.mkdir()
        self._threads_before = threading.enumerate()
        cfg.CONF.set_override('lock_path', str(locks), group='os_brick')
        self._stack.callback(cfg.CONF.clear_override, 'lock_path', group='os_brick')
        for target in self.targets:
            self._stack.callback(target.close)
        for seam in (
            files.use(str(self.tree.root)),
            clock.use(self.clock),
            process.use(self),
            kernel.use(self.kernel()),
            net.use(self.network),
        ):
            self._stack.enter_context(seam)
        self._stack.callback(self._end_threads)
        handed.forget_gone()  # Inodes of a directory are given again, those of sysfs are not.
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def kernel(self) -> fake_kernel.Kernel:
        """What stands for the kernel's devices and keys."""
        return fake_kernel.Kernel(self)

    def _threads(self) -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each not in self._threads_before]

    def _end_threads(self) -> None:
        """No thread of a test may see the machine that the test runs on."""
        background.stop_all(0)
        for thread in self._threads():
            thread.join(_THREADS_SECONDS)
            assert not thread.is_alive(), f'{thread} has not ended'

    def target(self, name: str = 't1', portals: int = 1) -> array.Target:
        """A new target of an array."""
        target = array.Target(name, portals)
        self.targets.append(target)
        self._stack.callback(target.close)
        return target

    def snapshot(self) -> dict[str, str]:
        """All there is on the host once nothing is under way any more."""
        self.settle()
        return self.tree.snapshot()

    def settle(self) -> None:
        """Wait until nothing is under way any more."""
        for thread in self._threads():
            if not thread.name.startswith('os-brick '):  # Those go on for as long as it takes.
                thread.join(_THREADS_SECONDS)
        self._react()
        self.clock.catch_up()
        self._react()

    # Acts, and what goes wrong with them.

    def fail(self, number: int, how: str) -> None:
        """Have the act with that number, from now on and from 0, go wrong."""
        self._fault = Fault(len(self.acts) + number, how)

    @contextlib.contextmanager
    def act(self, what: str, give_up: Callable[[], Exception] | None = None) -> Iterator[None]:
        """One act; what it did is seen at once."""
        with self.guard:
            number = len(self.acts)
            self.acts.append(what)
        fault = self._fault
        if fault and fault.how == 'killed' and number >= fault.number:
            self.struck = self.struck or f'killed: {what}'
            raise OSError(errno.EIO, 'This process does nothing any more')
        how = fault.at(number) if fault else ''
        if how:
            self.struck = f'{how}: {what}'
        late = give_up or (lambda: TimeoutError(errno.ETIMEDOUT, 'timed out'))
        if how == 'refused':
            raise OSError(errno.EIO, f'Input/output error ({what})')
        if how == 'hung':
            raise late()
        if how == 'interrupted':
            raise self.interrupt
        self.before_act(what)
        yield
        self._react()
        self.clock.happen()
        if how == 'late':
            raise late()
        if how == 'interrupted late':
            raise self.interrupt

    # Programs and children: what `process.use` takes.

    def run(
        self, argv: tuple[str, ...], *, timeout: float | None, **_keywords: Any
    ) -> process.Result:
        self.commands.append(argv)
        if argv[0] in self.programs:
            return self._program(argv, timeout, **_keywords)
        if argv[0] != 'iscsiadm':
            raise AssertionError(f'an unknown program is started: {argv}')

        def give_up() -> Exception:
            self._pass(timeout or 0)
            return process.TimeLimit()

        if '--login' in argv:
            self._pass(self.login_seconds.get(argv[argv.index('-p') + 1], 0), real=0.02)
        try:
            with self.act(' '.join(argv), give_up):
                code, stdout, stderr = iscsiadm.run(self, argv[1:], timeout)
        except Hung:
            raise give_up() from None
        except OSError:
            return process.Result(argv, 1, '', 'iscsiadm: error\n')
        return process.Result(argv, code, stdout, stderr)

    def _program(
        self, argv: tuple[str, ...], timeout: float | None, **keywords: Any
    ) -> process.Result:
        def give_up() -> Exception:
            self._pass(timeout or 0)
            return process.TimeLimit()

        with self.act(' '.join(argv), give_up):
            code, stdout, stderr = self.programs[argv[0]](argv, **keywords)
        return process.Result(argv, code, stdout, stderr)

    def isolated(self, call: children.Call, timeout: float) -> Any:
        name = call.func.__name__

        def give_up() -> Exception:
            self._pass(timeout)
            return TimeoutError()

        # Real children exclude each other by locks of files, which threads of one process share.
        alone = self._one_child if name == '_change' else contextlib.nullcontext()
        try:
            with self.act(f'{name} {call.args}', give_up), alone:
                # What crosses the pipe of a real child are plain values.
                return marshal.loads(marshal.dumps(self.done(call)))
        except Hung:
            raise give_up() from None

    def done(self, call: children.Call) -> Any:
        """What a call gives in its child."""
        return call()

    def _pass(self, seconds: float, real: float = 0.0) -> None:
        """Wait while the others get on with their work.

        :param real: what a step takes at least, for those who look only now and then.
        """
        ends = self.clock.monotonic() + seconds
        while (left := ends - self.clock.monotonic()) > 0:
            time.sleep(real)
            self.clock.sleep(min(left, _STEP_SECONDS))

    # The kernel: what was written to its files.

    def _react(self) -> None:
        with self.guard:
            for session in list(self.sessions.values()):
                place = f'/sys/devices/platform/host{session.host}/scsi_host/host{session.host}'
                for line in filter(None, self.tree.take(f'{place}/scan').splitlines()):
                    self._scan(session, line)
            for disk in list(self.disks.values()):
                if self.tree.take(f'{disk.device}/rescan'):
                    self._rescan(disk)
                self._state_written(disk)
                if self.tree.take(f'{disk.device}/delete'):
                    self.remove_disk(disk)

    def _state_written(self, disk: Disk) -> None:
        """``running`` was written to a state: the kernel obeys for a device that is offline."""
        try:
            text = self.tree.at(f'{disk.device}/state').read_text()
        except OSError:
            return
        if text.startswith('running\n') and disk.state != 'running':
            self.set_state(disk, 'running' if disk.state == 'offline' else disk.state)

    def _scan(self, session: Session, line: str) -> None:
        channel, target, lun = (int(word) for word in line.split())
        assert (channel, target) == (0, 0), line
        self.find_lun(session, lun)

    def find_lun(self, nexus: Nexus, lun: int) -> None:
        """The kernel looks for a LUN, and there is a disk a moment later."""
        unit = nexus.target.luns.get(lun)
        is_here = any(d.session is nexus and d.lun == lun for d in self.disks.values())
        if unit is None or is_here or not nexus.is_open or unit.device_type == 0x3F:
            return
        disk = Disk(self._free_name(), nexus, lun, unit)
        self.disks[disk.name] = disk
        self._show_device(disk)
        if unit.is_disk and self.has_disk_driver:
            self.tree.link(f'{disk.device}/driver', '/sys/bus/scsi/drivers/sd')
            self.clock.after(_DISK_SECONDS, lambda: self._show_disk(disk))

    def _free_name(self) -> str:
        return next(name for name in _NAMES if name not in self.disks)

    def _show_device(self, disk: Disk) -> None:
        tree, base = self.tree, disk.device
        scsi_target = f'{disk.session.base}/{disk.session.scsi_target}'
        tree.directory(scsi_target)
        tree.link(f'/sys/bus/scsi/devices/{disk.session.scsi_target}', scsi_target)
        for key, value in (
            ('vendor', 'LIO-ORG '),
            ('model', f'{disk.unit.name:16}'),
            ('state', disk.state),
        ):
            tree.value(f'{base}/{key}', value)
        for key in ('rescan', 'delete'):
            tree.file(f'{base}/{key}')
        self._show_pages(disk)
        tree.link(f'/sys/bus/scsi/devices/{disk.address}', base)
        tree.file(f'/dev/bsg/{disk.address}')

    def _show_pages(self, disk: Disk) -> None:
        for number, data in disk.unit.pages(disk.session.port).items():
            if number not in disk.unit.kernel_reads:
                continue
            self.tree.file(f'{disk.device}/vpd_pg{number:02x}', data)

    def _show_disk(self, disk: Disk) -> None:
        with self.guard:
            if self.disks.get(disk.name) is not disk:
                return
            tree, base = self.tree, f'{disk.device}/block/{disk.name}'
            # The kernel's order (device_add): the directory, its links, the node in /dev last.
            for name in ('holders', 'slaves'):
                tree.directory(f'{base}/{name}')
            sectors = disk.unit.sectors_at(disk.session.port)
            tree.value(f'{base}/size', sectors)
            tree.link(f'{base}/device', disk.device)
            for place in ('/sys/class/block', '/sys/block'):
                tree.link(f'{place}/{disk.name}', base)
            tree.value(f'{base}/dev', disk.number)
            tree.file(f'/dev/{disk.name}', bytes(disk.unit.readable_at(disk.session.port)))
            for name in disk.session.by_path(disk.lun) if self.makes_links else ():
                tree.link(f'/dev/disk/by-path/{name}', f'/dev/{disk.name}')
        self.clock.after(self.written_seconds, lambda: self._write_down(disk))
        self.clock.after(self.told_seconds, lambda: self._announce(disk))

    def _write_down(self, disk: Disk) -> None:
        with self.guard:
            if self.disks.get(disk.name) is disk and self.shows_database:
                entry = f'I:1\nE:ID_SERIAL={disk.unit.wwid}\n'
                self.tree.file(f'/run/udev/data/b{disk.number}', entry)

    def _announce(self, disk: Disk) -> None:
        """udev tells multipathd of a disk, which takes it if its WWID is known."""
        with self.guard:
            known = files.read_or('/etc/multipath/wwids').splitlines()
            if self.own_wwids is not None:
                known = [f'/{each}/' for each in self.own_wwids]
            is_wanted = self.multipathd_is_greedy or f'/{disk.unit.wwid}/' in known
            if self.multipathd_runs and is_wanted:
                self.claim(disk.name)

    def _rescan(self, disk: Disk) -> None:
        unit = disk.session.target.luns.get(disk.lun)
        if unit is None or unit.unresponsive or disk.state != 'running':
            return
        disk.unit = unit
        self._show_pages(disk)
        sectors = unit.sectors_at(disk.session.port)
        self.tree.value(f'{disk.device}/block/{disk.name}/size', sectors)
        self.tree.file(f'/dev/{disk.name}', bytes(unit.readable_at(disk.session.port)))

    def remove_disk(self, disk: Disk) -> None:
        """A disk goes, as after a write to its ``delete``."""
        with self.guard:
            if self.disks.get(disk.name) is not disk:
                return
            found = self.map_over(disk.name)
            if found is not None:
                self.drop_path(found, disk.name)
            del self.disks[disk.name]
            for place in ('/sys/block', '/sys/class/block', '/dev'):
                self.tree.remove(f'{place}/{disk.name}')
            for path in ('/dev/bsg', '/sys/bus/scsi/devices'):
                self.tree.remove(f'{path}/{disk.address}')
            for name in disk.session.by_path(disk.lun):
                self.tree.remove(f'/dev/disk/by-path/{name}')
            self.tree.remove(f'/run/udev/data/b{disk.number}')
            self.tree.remove(disk.device)
            self.clock.after(_UDEV_SECONDS, lambda: self._announce_removal(disk))
            if not any(other.session is disk.session for other in self.disks.values()):
                self.tree.remove(f'/sys/bus/scsi/devices/{disk.session.scsi_target}')
                self.tree.remove(f'{disk.session.base}/{disk.session.scsi_target}')

    def _announce_removal(self, disk: Disk) -> None:
        with self.guard:
            if disk.name not in self.disks:
                self.paths_known.pop(disk.name, None)

    def inquire(self, address: str, number: int) -> bytes | int | None:
        """The page of the logical unit that is there now; or its additional sense; or a lost path.

        A target that has nothing at the LUN says 0x2500, one without the page 0x2400 (SPC-4, F.2).
        """
        with self.guard:
            disk = next(d for d in self.disks.values() if d.address == address)
            unit: array.Unit | None = disk.session.target.luns.get(disk.lun)
            if (address, number) in self.inquiry_fails:
                self.inquiry_fails.remove((address, number))
                return None
        if unit is None:
            return 0x2500
        if unit.unresponsive or disk.state != 'running':
            raise Hung
        return unit.pages(disk.session.port).get(number, 0x2400)

    def touch(self, name: str) -> None:
        """A read of a device, or an open: does it answer?"""
        if name in self.other_devices:
            return
        with self.guard:
            disk, found = self.disks.get(name), self.maps.get(name)
        below = [disk] if disk else found.disks if found else []
        alive = [
            each
            for each in below
            if each.state == 'running'
            and (unit := each.session.target.luns.get(each.lun))
            and not unit.unresponsive
            and each.session.port not in unit.standby_at
        ]
        if any(each.session.target.luns[each.lun].reserved for each in alive):
            raise OSError(errno.EBADE, 'Invalid exchange')
        if not alive:
            if found and found.queues:
                raise Hung
            raise OSError(errno.EIO, 'Input/output error')

    def flushed(self, name: str) -> None:
        self.touch(name)
        self.flushes.append(name)
        disk, found = self.disks.get(name), self.maps.get(name)
        reached = [
            unit
            for each in ([disk] if disk else found.disks if found else [])
            if each.state == 'running' and (unit := each.session.target.luns.get(each.lun))
        ]
        self.reached += reached
        wwid = found.wwid if found else disk.unit.wwid if disk else ''
        self.flushed_from.append((wwid, reached))

    # Sessions.

    def log_in(self, target: array.Target, portal: array.Portal) -> Session:
        """A new session, as iscsid makes it."""
        with self.guard:
            for kind in self._numbers:
                self._numbers[kind] += 1
            session = Session(self._numbers['session'], self._numbers['host'], target, portal)
            self.sessions[session.number] = session
            tree, name = self.tree, f'session{session.number}'
            host = f'/sys/devices/platform/host{session.host}'
            tree.file(f'{host}/scsi_host/host{session.host}/scan')
            tree.link(
                f'/sys/class/scsi_host/host{session.host}', f'{host}/scsi_host/host{session.host}'
            )
            tree.link(f'/sys/bus/scsi/devices/host{session.host}', host)
            place = f'{host}/iscsi_host/host{session.host}'
            tree.directory(place)
            tree.link(f'/sys/class/iscsi_host/host{session.host}', place)
            connection = f'connection{session.number}:0'
            place = f'{session.base}/{connection}/iscsi_connection/{connection}'
            for prefix in ('', 'persistent_'):
                tree.value(f'{place}/{prefix}address', portal.address)
                tree.value(f'{place}/{prefix}port', portal.port)
            tree.link(f'/sys/class/iscsi_connection/{connection}', place)
            base = f'{session.base}/iscsi_session/{name}'
            for key, value in (
                ('targetname', target.iqn),
                ('target_id', 0),
                ('state', session.state),
                ('ifacename', 'default'),
                # As multipathd sets it below a map (its fast_io_fail_tmo, 5 s by default).
                ('recovery_tmo', 5),
                ('initiatorname', INITIATOR),
            ):
                tree.value(f'{base}/{key}', value)
            tree.link(f'/sys/class/iscsi_session/{name}', base)
            return session

    def log_out(self, session: Session) -> None:
        """A session ends, and its disks with it."""
        with self.guard:
            for disk in [d for d in self.disks.values() if d.session is session]:
                self.remove_disk(disk)
            del self.sessions[session.number]
            name = f'session{session.number}'
            for path in (
                f'/sys/class/iscsi_session/{name}',
                f'/sys/class/iscsi_connection/connection{session.number}:0',
                f'/sys/class/scsi_host/host{session.host}',
                f'/sys/class/iscsi_host/host{session.host}',
                f'/sys/bus/scsi/devices/host{session.host}',
                f'/sys/devices/platform/host{session.host}',
            ):
                self.tree.remove(path)

    def cut(self, session: Session) -> None:
        """The connection is lost: the kernel blocks the disks, and fails them after a while."""
        with self.guard:
            session.state = 'FAILED'
            name = f'session{session.number}'
            self.tree.value(f'{session.base}/iscsi_session/{name}/state', 'FAILED')
            for disk in self.disks.values():
                if disk.session is session:
                    self.set_state(disk, 'transport-offline')

    def set_state(self, disk: Disk, state: str) -> None:
        disk.state = state
        self.tree.value(f'{disk.device}/state', state)

    # Multipath maps.

    def map_over(self, disk: str) -> Map | None:
        return next((m for m in self.maps.values() if any(d.name == disk for d in m.disks)), None)

    def is_claimed(self, name: str) -> bool:
        """Whether a process, or a map above it, has a device for itself."""
        return name in self.claims or self.map_over(name) is not None

    def map_called(self, name: str) -> Map | None:
        return next((m for m in self.maps.values() if m.wwid == name), None)

    def map_of_uuid(self, uuid: str) -> Map | None:
        """The map of a device-mapper UUID."""
        return self.map_called(uuid.removeprefix('mpath-')) if uuid.startswith('mpath-') else None

    def claim(self, name: str) -> bool:
        """multipathd takes a disk; returns whether it is in a map then."""
        with self.guard:
            disk = self.disks.get(name)
            if disk is None or not self.tree.at(f'/sys/block/{name}').exists():
                return False
            if self.multipath_refusal:
                return False
            wwid = disk.unit.wwid
            self.paths_known[name] = wwid
            sectors = self._sectors(disk)
            # Linux takes a disk without capacity into a map (device_area_is_invalid). Here it is
            # left out, so that a test sees when a path joins with its size.
            if not sectors:
                return False
            found = self.map_called(wwid)
            if found is None:
                index = next(n for n in range(9999) if f'dm-{n}' not in self.maps)
                found = Map(index, wwid, [], sectors)
                self.maps[found.name] = found
                self._show_map(found)
                self._note_wwid(wwid)
            if disk not in found.disks and sectors == found.sectors:
                found.disks.append(disk)
                self._tie(found, disk)
            return disk in found.disks

    def _note_wwid(self, wwid: str) -> None:
        """multipathd writes down of which volumes it has made a map (libmultipath, domap)."""
        if self.own_wwids is not None:
            self.own_wwids.add(wwid)
            return
        path = self.tree.at('/etc/multipath/wwids')
        data, line = path.read_bytes() if path.is_file() else b'', f'/{wwid}/'.encode()
        if line not in data.splitlines():
            self.tree.file('/etc/multipath/wwids', data + line + b'\n')

    def _sectors(self, disk: Disk) -> int:
        return int(self.tree.at(f'{disk.device}/block/{disk.name}/size').read_text())

    def _show_map(self, found: Map) -> None:
        tree, base = self.tree, found.base
        for name in ('holders', 'slaves'):
            tree.directory(f'{base}/{name}')
        tree.value(f'{base}/dev', f'253:{found.index}')
        tree.value(f'{base}/size', found.sectors)
        tree.value(f'{base}/dm/name', found.wwid)
        tree.value(f'{base}/dm/uuid', f'mpath-{found.wwid}')
        tree.value(f'{base}/dm/suspended', int(found.is_suspended))
        found.show = lambda name, value: tree.value(f'{base}/{name}', value)
        tree.file(f'/dev/{found.name}', bytes(4096))
        tree.link(f'/dev/mapper/{found.wwid}', f'/dev/{found.name}')
        if self.makes_links:
            tree.link(f'{_BY_UUID}{found.wwid}', f'/dev/{found.name}')
        for place in ('/sys/class/block', '/sys/block'):
            tree.link(f'{place}/{found.name}', base)

    def _tie(self, found: Map, disk: Disk) -> None:
        block = f'{disk.device}/block/{disk.name}'
        self.tree.link(f'{found.base}/slaves/{disk.name}', block)
        self.tree.link(f'{block}/holders/{found.name}', found.base)

    def drop_path(self, found: Map, name: str) -> None:
        """A disk leaves its map; with the last one the map goes, if no one has it open."""
        with self.guard:
            for disk in [d for d in found.disks if d.name == name]:
                found.disks.remove(disk)
                self.tree.remove(f'{found.base}/slaves/{name}')
                self.tree.remove(f'{disk.device}/block/{name}/holders/{found.name}')
            if not found.disks and not found.open_count:
                self.remove_map(found)

    def remove_map(self, found: Map) -> None:
        """A map goes.

        :raises OSError: ``EBUSY`` if it is open.
        """
        with self.guard:
            if found.open_count:
                raise OSError(errno.EBUSY, 'Device or resource busy')
            for disk in found.disks:
                self.tree.remove(f'{disk.device}/block/{disk.name}/holders/{found.name}')
            for place in ('/sys/block', '/sys/class/block', '/dev'):
                self.tree.remove(f'{place}/{found.name}')
            self.tree.remove(f'/dev/mapper/{found.wwid}')
            self.tree.remove(f'{_BY_UUID}{found.wwid}')
            self.tree.remove(found.base)
            self.maps.pop(found.name, None)

    def resize_map(self, found: Map) -> None:
        """multipathd gives a map the size its disks have, if they agree."""
        sizes = {self._sectors(disk) for disk in found.disks}
        if len(sizes) == 1:
            found.sectors = sizes.pop()
            self.tree.value(f'{found.base}/size', found.sectors)

    def node(self, path: str) -> str:
        """The kernel's name of the device that a path leads to, as ``dm-0``."""
        return os.path.basename(os.path.realpath(self.tree.at(path)))

    def disk_of(self, path: str) -> Disk:
        """The disk, or one of the map's disks, that a path is of."""
        name = self.node(path)
        return self.disks[name] if name in self.disks else self.maps[name].disks[0]
