# SPDX-License-Identifier: Apache-2.0
"""Any history of attaches, crashes, reboots and remapped LUNs: a call touches one volume only.

Several targets, or arrays of a fabric, show their volume as the same LUN; the kernel gives names
again; the array gives LUNs to other volumes while disks are there; processes are killed in the
middle. Callers keep what an attach returned for ever, as nova does.

*Touched* is a volume whose disk or map goes, changes its size or gets a disk; into which a flush of
another one's data goes; whose link (of an encrypted volume) goes or leads elsewhere; or that is
returned to one who has asked for another.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib
import tempfile
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from oslo_concurrency import processutils

from os_brick import exception
from os_brick.core import background
from os_brick.host import links
from os_brick.initiator.connectors import fibre_channel, iscsi
from tests import breadth
from tests.unit.fakehost import array, fabric
from tests.unit.fakehost import host as fake_host

ERRORS = (exception.BrickException, processutils.ProcessExecutionError, OSError)
NAMES = ('a', 'b', 'c')
LUN = 1
EXAMPLES = breadth.examples(4, 400)


@dataclasses.dataclass
class Caller:
    """One who has attached a volume once, and keeps what was returned.

    :ivar name: the target, or the array, at which it was.
    """

    name: str
    unit: array.Unit
    info: dict[str, Any]
    encrypted: bool


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a volume's user sees of one disk: it stays there, as large, in its map."""

    disk: str
    size: str
    above: str
    above_size: int
    links: frozenset[str]


class Iscsi:
    """Targets with two portals each."""

    host_in = fake_host.Host

    def __init__(self, host: Any, *, several: bool) -> None:
        self.targets = {name: host.target(name, portals=2) for name in NAMES}
        self.brick: Any = iscsi.ISCSIConnector(None, use_multipath=several)
        self._host = host

    def props(self, name: str, *, plural: bool) -> dict[str, Any]:
        return dict(self.targets[name].properties(LUN, plural=plural))

    def is_at(self, disk: fake_host.Disk, name: str) -> bool:
        return disk.session.target is self.targets[name]

    def reboot(self) -> None:
        for session in list(self._host.sessions.values()):
            self._host.log_out(session)


class FibreChannel:
    """Arrays with two ports each, all of them seen by one adapter."""

    host_in = fabric.FabricHost

    def __init__(self, host: Any, *, several: bool) -> None:
        self.targets = {name: host.storage(ports=2) for name in NAMES}
        adapter = host.adapter()
        for storage in self.targets.values():
            for port in storage.ports:
                host.see(adapter, storage, port)
        self.brick: Any = fibre_channel.FibreChannelConnector(None, use_multipath=several)
        self._host = host

    def props(self, name: str, *, plural: bool) -> dict[str, Any]:
        found = self.targets[name].properties(LUN)
        return found if plural else {**found, 'target_wwn': found['target_wwn'][0]}

    def is_at(self, disk: fake_host.Disk, name: str) -> bool:
        return bool(disk.session.target.storage is self.targets[name])

    def reboot(self) -> None:
        for disk in list(self._host.disks.values()):
            self._host.remove_disk(disk)


class History:
    """A host, three places for volumes, and everyone who has ever attached one."""

    def __init__(self, host: Any, kind: Any, *, several: bool) -> None:
        self.host = host
        self.kind = kind(host, several=several)
        self.callers: dict[str, list[Caller]] = {name: [] for name in NAMES}
        self.made = 0
        for name in NAMES:
            self.kind.targets[name].luns[LUN] = self.new()

    def new(self) -> array.Unit:
        self.made += 1
        return array.Unit(f'unit{self.made}')

    def unit(self, name: str) -> array.Unit:
        found: array.Unit = self.kind.targets[name].luns[LUN]
        return found

    @staticmethod
    def at(disk: fake_host.Disk) -> array.Unit:
        """The volume that the array has at a disk's place, whatever the kernel believes."""
        found: array.Unit = disk.session.target.luns[disk.lun]
        return found

    def step(self, what: str, name: str, plural: bool, informed: bool, number: int) -> None:
        if what in ('reboot', 'remap', 'swap', 'rescan'):
            getattr(self, what)(name)
        elif what in ('attach', 'attach and crash'):
            encrypted = number % 2 == 1
            self.attach(name, plural, informed, encrypted, number if 'crash' in what else None)
        elif self.callers[name]:
            # The newest caller, or one of before a remap.
            caller = self.callers[name][-1 if number % 3 else 0]
            self.call(what, caller, plural, informed, number)
        self.host.settle()

    def remap(self, name: str) -> None:
        """The array gives the LUN to a new volume."""
        self.kind.targets[name].luns[LUN] = self.new()

    def swap(self, name: str) -> None:
        """The array exchanges two volumes."""
        other = NAMES[(NAMES.index(name) + 1) % len(NAMES)]
        luns, others = self.kind.targets[name].luns, self.kind.targets[other].luns
        luns[LUN], others[LUN] = others[LUN], luns[LUN]

    def rescan(self, name: str) -> None:
        """A program has the kernel read a target's disks anew."""
        for disk in list(self.host.disks.values()):
            if self.kind.is_at(disk, name):
                self.host._rescan(disk)

    def reboot(self, _name: str) -> None:
        """Everything of the host is gone; what callers keep is not."""
        self.end_process()
        for found in list(self.host.maps.values()):
            self.host.remove_map(found)
        self.kind.reboot()
        self.host.paths_known.clear()
        for path in links.every():  # /dev is made anew.
            self.host.tree.remove(path)

    def end_process(self) -> None:
        """What goes on in the background ends with the process; the kernel keeps what it has."""
        background.stop_all(0)
        self.host.settle()
        self.host._fault = None

    @contextlib.contextmanager
    def killed_at(self, number: int | None) -> Iterator[None]:
        if number is None:
            yield
            return
        self.host.fail(number, 'killed')
        try:
            yield
        finally:
            self.end_process()

    def node(self, path: str) -> str:
        """The device that a path or a link of ours leads to."""
        return self.host.node(links.where(path) if path.startswith(links.PREFIX) else path)

    def links(self) -> dict[str, str]:
        """What each link of an encrypted volume leads to."""
        return {path: self.node(path) for path in links.every()}

    def attach(
        self, name: str, plural: bool, informed: bool, encrypted: bool, kill: int | None
    ) -> None:
        unit = self.unit(name)
        props = self.kind.props(name, plural=plural)
        if informed:
            props['expected_wwid'] = unit.wwid
        props['encrypted'] = encrypted
        with self.alone(name, unit, is_told=True), self.killed_at(kill), quiet():
            info = self.kind.brick.connect_volume(props)
            assert info['path'].startswith(links.PREFIX) is encrypted
            assert info['scsi_wwn'] == unit.wwid
            device = self.node(info['path'])
            over = self.host.maps.get(device)
            disks = over.disks if over else [self.host.disks[device]]
            assert disks
            assert {self.at(disk).name for disk in disks} == {unit.name}
            own = {each.info['path'] for each in self.everyone() if each.unit is unit}
            to_it = {link for link, node in self.links().items() if node == device}
            assert to_it <= {*own, info['path']}
            self.callers[name].append(Caller(name, unit, info, encrypted))

    def everyone(self) -> list[Caller]:
        return [caller for callers in self.callers.values() for caller in callers]

    def call(self, what: str, caller: Caller, plural: bool, informed: bool, number: int) -> None:
        brick, unit = self.kind.brick, caller.unit
        props = {
            **self.kind.props(caller.name, plural=plural),
            'device_path': caller.info['path'],
            'encrypted': caller.encrypted,
        }
        if what == 'mix up':  # By a caller that mixes up what it has kept.
            mixed = self.callers[NAMES[NAMES.index(caller.name) - 1]]
            props['device_path'] = mixed[-1].info['path'] if mixed else None
        kill = number if 'crash' in what else None
        with self.alone(caller.name, unit, is_told=informed), self.killed_at(kill), quiet():
            if what == 'extend':
                unit.megabytes += 32
                wanted = {**props, 'expected_wwid': unit.wwid} if informed else props
                size = brick.extend_volume(wanted)
                assert size == unit.megabytes << 20 or not informed
            else:
                brick.disconnect_volume(props, caller.info if informed else None)
                self.host.settle()
                left = [d for d in self.host.disks.values() if self.kind.is_at(d, caller.name)]
                assert not [d for d in left if d.unit is unit and self.at(d) is unit]

    def shown(self, name: str, unit: array.Unit, *, is_told: bool) -> set[Shown]:
        """What is not the caller's: disks at other places, and other volumes at its own."""
        return {
            self._show(disk)
            for disk in self.host.disks.values()
            if unit.wwid not in self._wwids(disk)
            if not self.kind.is_at(disk, name)
            # Where the caller tells no identity its place decides; stale disks are dealt with.
            or (is_told and len(self._wwids(disk)) == 1)
        }

    def _wwids(self, disk: fake_host.Disk) -> set[str]:
        """Who a disk is to the kernel, to the array, and to multipath."""
        over = self.host.map_over(disk.name)
        return {disk.unit.wwid, self.at(disk).wwid, *([over.wwid] if over else [])}

    def _show(self, disk: fake_host.Disk) -> Shown:
        size = self.host.tree.at(f'{disk.device}/block/{disk.name}/size').read_text()
        over = self.host.map_over(disk.name)
        return Shown(
            f'{disk.name} {disk.address} {disk.unit.name}',
            size,
            over.name if over else '',
            over.sectors if over else 0,
            frozenset(
                link
                for link, node in self.links().items()
                if node in (disk.name, over and over.name)
            ),
        )

    @contextlib.contextmanager
    def alone(self, name: str, unit: array.Unit, *, is_told: bool) -> Iterator[None]:
        """A call for one volume, after which every other one is as it was."""
        before = self.shown(name, unit, is_told=is_told)
        flushed = len(self.host.flushed_from)
        yield
        self.host.settle()
        after = self.shown(name, unit, is_told=is_told)
        assert before <= after, sorted(map(str, before - after))
        assert {each for each in after if not self._is_at(each, name)} == {
            each for each in before if not self._is_at(each, name)
        }
        for wwid, reached in self.host.flushed_from[flushed:]:
            assert {wwid} == {each.wwid for each in reached} or not reached
            assert unit in reached or not is_told or not reached

    def _is_at(self, shown: Shown, name: str) -> bool:
        return self.kind.is_at(self.host.disks[shown.disk.split()[0]], name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """An error of the library is a good answer, too."""
    with contextlib.suppress(*ERRORS):
        yield


WORDS = [
    *('attach', 'attach', 'attach', 'attach and crash', 'detach', 'detach', 'detach and crash'),
    *('extend', 'mix up', 'reboot', 'remap', 'swap', 'rescan'),
]
STEPS = st.tuples(
    st.sampled_from(WORDS),
    st.sampled_from(['a', 'a', 'b', 'c']),
    st.booleans(),
    st.booleans(),
    st.integers(0, 45),
)


def run(kind: Any, steps: list[tuple[str, str, bool, bool, int]], *, several: bool) -> None:
    with tempfile.TemporaryDirectory() as place, kind.host_in(pathlib.Path(place)) as host:
        history = History(host, kind, several=several)
        for each in steps:
            history.step(*each)


def after(*words: str) -> list[tuple[str, str, bool, bool, int]]:
    """A history of one place, with all that a caller can tell."""
    return [(word, 'a', True, True, 1) for word in words]


@settings(max_examples=EXAMPLES, deadline=None)
@example(after('attach', 'remap', 'attach', 'detach'), True)
@example(after('attach', 'attach', 'swap', 'rescan', 'detach'), True)
@example([*after('attach', 'reboot'), ('attach', 'b', True, True, 1), *after('detach')], False)
@given(st.lists(STEPS, max_size=8), st.booleans())
def test_iscsi(steps: list[tuple[str, str, bool, bool, int]], several: bool) -> None:
    run(Iscsi, steps, several=several)


@settings(max_examples=EXAMPLES, deadline=None)
@example(after('attach', 'remap', 'attach', 'detach'), True)
@example(after('attach', 'attach', 'swap', 'rescan', 'detach'), False)
@given(st.lists(STEPS, max_size=8), st.booleans())
def test_fibre_channel(steps: list[tuple[str, str, bool, bool, int]], several: bool) -> None:
    run(FibreChannel, steps, several=several)
