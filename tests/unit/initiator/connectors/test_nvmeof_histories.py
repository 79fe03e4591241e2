# SPDX-License-Identifier: Apache-2.0
"""Any history of attaches, reboots, reused numbers and stale data: a call touches one volume only.

Callers keep what an attach returned for ever, and use it in a later detach, as nova does. Attaches
and detaches are interrupted, or their process is killed; controllers end by themselves; the array
gives a number to another volume, whether the kernel is told or not.
"""

from collections.abc import Iterator
import contextlib
import pathlib
import tempfile
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from os_brick import exception
from os_brick.core import operation, process
from os_brick.host import links
from os_brick.initiator.connectors import nvmeof
from tests import breadth
from tests.unit.fakehost import nvme

# Most steps are about one number of one subsystem, where histories meet.
CALLS = ['attach', 'attach', 'attach', 'attach', 'detach', 'detach', 'detach', 'look']
ARRAYS = ['reuse', 'unmap', 'remap', 'remap']
ENDS = [
    'reboot',
    'vanish',
    'kill',
    'kill',
    'kill early',
    'interrupt',
    'interrupt late',
    'interrupt detach',
]


def any_step(*shapes: str) -> st.SearchStrategy[tuple[str, int, int, str, bool]]:
    return st.tuples(
        st.sampled_from(CALLS + ARRAYS + ENDS),
        st.sampled_from([0, 0, 0, 1]),
        st.sampled_from([1, 1, 1, 2]),
        st.sampled_from(shapes),
        st.booleans(),
    )


def steps(*words: str) -> list[tuple[str, int, int, str, bool]]:
    """A history of namespace 1 of the first subsystem; a call is the oldest caller's."""
    found = []
    for word in words:
        what, _, shape = word.rpartition(' ')
        is_shape = shape in ('vol_uuid', 'volume_nguid', 'nothing')
        found.append((what if is_shape else word, 0, 1, shape if is_shape else 'ns_id', False))
    return found


ENCRYPTED = ('attach', 0, 1, 'vol_uuid', True)


class Killed(Exception):
    """The process has ended: nothing of it runs any more."""


class Connector(nvmeof.NVMeOFConnector):
    """Its process is killed when an attach is done, and no one is told."""

    def _attach(self, props: nvmeof.Volume, op: operation.Operation) -> Any:
        super()._attach(props, op)
        op.undo.drop()
        raise Killed


class Early(Connector):
    """Its process is killed just after the kernel has made a controller for it, if it does so."""

    fabric: nvme.StrikingFabric

    def _attach(self, props: nvmeof.Volume, op: operation.Operation) -> Any:
        before = set(self.fabric.controllers)
        try:
            super()._attach(props, op)
        finally:
            if set(self.fabric.controllers) > before:
                self.fabric.unwrite()


class Caller:
    """A volume of a consumer: its connection properties, as the array told them once."""

    def __init__(self, subsystem: nvme.Subsystem, nsid: int, shape: str) -> None:
        self.volume = subsystem.namespaces[nsid]
        self.props: dict[str, Any] = subsystem.properties(nsid)
        del self.props['vol_uuid']
        names = {'vol_uuid': self.volume.uuid, 'volume_nguid': self.volume.nguid, 'ns_id': nsid}
        if shape in names:
            self.props[shape] = names[shape]
        if shape == 'old':
            self.props = {
                'nqn': subsystem.nqn,
                'target_portal': min(subsystem.portals),
                'target_port': '4420',
                'transport_type': 'rdma',
                'ns_id': nsid,
            }
        self.key = nvmeof.Volume.parse(self.props).key
        self.info: dict[str, str] | None = None
        self.device = ''  # Behind the link of an encrypted volume.
        self.is_attached = False


class History:
    """One host and two subsystems, and everyone who has ever asked for a volume."""

    def __init__(self, fabric: nvme.StrikingFabric, *, multipath: bool) -> None:
        self.fabric = fabric
        self.killed = Connector(None, use_multipath=multipath)
        self.early = Early(None, use_multipath=multipath)
        self.early.fabric = fabric
        self.acts = 0
        self.brick = nvmeof.NVMeOFConnector(None, use_multipath=multipath)
        self.subsystems = [fabric.subsystem(name, portals=1) for name in ('one', 'two')]
        self.made = 0
        self.callers: dict[tuple[int, int, str], list[Caller]] = {}
        for each in self.subsystems:
            each.namespaces |= {nsid: self.new() for nsid in (1, 2)}

    def new(self) -> nvme.Volume:
        self.made += 1
        return nvme.Volume(f'volume {self.made}')

    def everyone(self) -> list[Caller]:
        return [caller for callers in self.callers.values() for caller in callers]

    def shown(self) -> set[tuple[str, str]]:
        return {
            (volume.name, '/dev/' + self.fabric.head(name, nsid))
            for name, known in self.fabric.shown.items()
            for nsid, (volume, _size) in known.items()
        }

    def stale(self) -> set[str]:
        """The devices that lead to another volume than the kernel knows."""
        found = set()
        for name, known in self.fabric.shown.items():
            subsystem, _portal = self.fabric.controllers[name]
            for nsid, (volume, _size) in known.items():
                if subsystem.namespaces.get(nsid) is not volume:
                    found.add(self.fabric.head(name, nsid))
        return found

    def step(self, what: str, number: int, nsid: int, shape: str, newest: bool) -> None:
        subsystem = self.subsystems[number]
        callers = self.callers.setdefault((number, nsid, shape), [])
        if what in ('attach', 'kill', 'kill early', 'interrupt', 'interrupt late'):
            self.attach(subsystem, nsid, shape, callers, what, encrypted=newest)
        elif what in ('detach', 'look', 'interrupt detach') and callers:
            self.call(what, callers[-1 if newest else 0])
        elif what == 'reboot':
            self.fabric.reboot()
            for link in links.every():  # /dev is made anew.
                (self.fabric.root / link[1:]).unlink()
            for caller in self.everyone():
                caller.is_attached = False
        elif what == 'vanish':
            lost = [n for n, (whose, _) in self.fabric.controllers.items() if whose is subsystem]
            self.fabric.lose(*lost)
            self.fabric._heads()
        elif what in ARRAYS:
            self.change(what, subsystem, nsid)

    def change(self, what: str, subsystem: nvme.Subsystem, nsid: int) -> None:
        """The array gives a number to another volume, or to none; it may not tell the host."""
        subsystem.namespaces.pop(nsid, None)
        if what != 'unmap':
            subsystem.namespaces[nsid] = self.new()
        if what != 'remap':
            for name in list(self.fabric.controllers) * 2:
                self.fabric.scan(name)

    def strike(self, what: str) -> None:
        """Have one of the next acts be interrupted; each time another one."""
        if what.startswith('interrupt'):
            self.acts += 1
            self.fabric.fail(self.acts % 4, f'interrupted{" late" * what.endswith("late")}')

    def attach(
        self,
        subsystem: nvme.Subsystem,
        nsid: int,
        shape: str,
        callers: list[Caller],
        what: str,
        *,
        encrypted: bool,
    ) -> None:
        if nsid not in subsystem.namespaces:
            return
        caller = Caller(subsystem, nsid, shape)
        caller.props['encrypted'] = encrypted
        others = self.others(caller, but=self.stale())
        kept = self.links_to(others)
        self.strike(what)
        brick = {'kill': self.killed, 'kill early': self.early}.get(what, self.brick)
        try:
            caller.info = brick.connect_volume(caller.props)
        except Killed:
            callers.append(caller)  # Its service knows what it has asked for, and no more.
        except (exception.BrickException, KeyboardInterrupt):
            assert others <= self.shown(), (what, caller.props)
        else:
            assert others <= self.shown(), (what, caller.props)
            if shape == 'nothing' and len(subsystem.namespaces) == 1:
                (caller.volume,) = subsystem.namespaces.values()
            assert caller.info['path'].startswith(links.PREFIX) is encrypted
            caller.device = links.where(caller.info['path']) if encrypted else caller.info['path']
            assert (caller.volume.name, caller.device) in self.shown()
            assert not self.links_of_others(caller)
            caller.is_attached = True
            callers.append(caller)
        assert kept <= self.links_to(others), (what, caller.props)
        self.fabric._fault = None

    @staticmethod
    def links_to(devices: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """The links of encrypted volumes that lead to some of the devices."""
        paths = {path for _name, path in devices}
        return {(link, to) for link in links.every() if (to := links.where(link)) in paths}

    def links_of_others(self, caller: Caller) -> set[str]:
        """The links that lead to a caller's volume, and were never made for it."""
        own = {
            other.info['path']
            for other in [caller, *self.everyone()]
            if other.info and other.volume is caller.volume
        }
        return {link for link in links.every() if links.where(link) == caller.device} - own

    def others(self, caller: Caller, but: set[str]) -> set[tuple[str, str]]:
        """The volumes of other callers, with their devices, that are here.

        :param but: devices that the kernel drops as soon as it looks: the array has another volume
            in their places.
        """
        others = {
            (other.volume.name, other.device)
            for other in self.everyone()
            if other.is_attached and other.info and other.volume is not caller.volume
            # A number alone, and the same name of the device: these two cannot be told apart.
            if (other.key, other.info) != (caller.key, caller.info)
        }
        return {each for each in others & self.shown() if each[1].removeprefix('/dev/') not in but}

    def call(self, what: str, caller: Caller) -> None:
        stale = self.stale()
        others = self.others(caller, but=stale if what == 'look' else set())
        flushed = len(self.fabric.flushed)
        kept = {**caller.props, 'device_path': (caller.info or {}).get('path')}
        own = {path for name, path in self.shown() if name == caller.volume.name}
        others_paths = {path for _name, path in others} - own
        left = self.links_to(others)
        self.strike(what)
        with contextlib.suppress(exception.BrickException, KeyboardInterrupt):
            if 'detach' in what:
                caller.is_attached = False  # Even if it fails: what is left is not to be used.
                self.brick.disconnect_volume(kept, caller.info)
            else:
                assert not set(self.brick.get_volume_paths(kept)) & others_paths
                caller.volume.size += 1 << 20
                assert self.brick.extend_volume(kept) == caller.volume.size
        assert others <= self.shown(), (what, caller.props)
        assert {each for each in left if each[1] in others_paths} <= self.links_to(others)
        self.fabric._fault = None
        now = set(self.fabric.flushed[flushed:])
        assert not {f'/dev/{name}' for name in now} & others_paths
        assert not now & stale, 'what was written to one volume reaches another'


@contextlib.contextmanager
def host(*, native: bool, multipath: bool) -> Iterator[History]:
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place,
        nvme.configured(pathlib.Path(place), scan_timeout=0.5, state_path=f'{place}/notes') as root,
        nvme.StrikingFabric(root, native=native) as fabric,
        process.use(fabric),
    ):
        yield History(fabric, multipath=multipath)


@settings(max_examples=breadth.examples(5, 150), deadline=None)
@example(steps('attach', 'reboot', 'reuse', 'attach vol_uuid', 'detach', 'look'), True, True)
@example(steps('attach', 'reuse', 'attach vol_uuid', 'look', 'detach'), True, True)
@example(steps('attach', 'reboot', 'reuse', 'attach nothing', 'look', 'detach'), False, False)
@example(steps('attach vol_uuid', 'reuse', 'attach', 'detach vol_uuid', 'look'), True, True)
@example(steps('attach', 'remap', 'detach', 'attach', 'detach'), True, True)
@example(steps('attach', 'remap', 'attach vol_uuid', 'detach', 'look vol_uuid'), False, False)
@example(steps('attach', 'unmap', 'remap', 'attach nothing'), False, False)
@given(
    st.lists(any_step('ns_id', 'old', 'vol_uuid', 'volume_nguid', 'nothing'), max_size=12),
    st.booleans(),
    st.booleans(),
)
def test_no_volume_is_touched_by_a_call_for_another(
    history: list[tuple[str, int, int, str, bool]], native: bool, multipath: bool
) -> None:
    with host(native=native, multipath=multipath) as found:
        for step in history:
            found.step(*step)


@settings(max_examples=breadth.examples(5, 150), deadline=None)
@example(steps('kill vol_uuid', 'remap', 'attach vol_uuid', 'vanish'), True, True)
@example(steps('attach vol_uuid', 'vanish', 'kill volume_nguid', 'reboot'), False, False)
@example(steps(*['interrupt late vol_uuid'] * 8), True, True)
@example(steps('kill early vol_uuid'), True, False)
@example([ENCRYPTED, *steps('reuse', 'attach vol_uuid')], False, False)
@given(st.lists(any_step('vol_uuid', 'volume_nguid'), max_size=12), st.booleans(), st.booleans())
def test_nothing_is_left_when_everyone_has_detached(
    history: list[tuple[str, int, int, str, bool]], native: bool, multipath: bool
) -> None:
    """Whatever has happened to the host, and to the volumes at the array."""
    with host(native=native, multipath=multipath) as found:
        before = found.fabric.snapshot()
        for step in history:
            found.step(*step)
        for caller in found.everyone():
            found.brick.disconnect_volume(caller.props, caller.info)
        left = set(found.fabric.snapshot()) - set(before)
        assert not {name for name in left if 'boot_id' not in name}
        assert not nvme.states(found.fabric.root.parent)
        # One who was killed does not know the name of a link.
        assert not links.every() or any(caller.info is None for caller in found.everyone())
