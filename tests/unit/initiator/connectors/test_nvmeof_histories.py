# SPDX-License-Identifier: Apache-2.0
"""Any history of attaches, reboots, reused numbers and stale data: a call touches one volume only.

Callers keep what an attach returned for ever, and use it in a later detach, as nova does.
"""

import contextlib
import pathlib
import tempfile
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from os_brick import exception
from os_brick.core import process
from os_brick.initiator.connectors import nvmeof
from tests.unit import seams
from tests.unit.fakehost import nvme

# Most steps are about one number of one subsystem, where histories meet.
STEPS = st.tuples(
    st.sampled_from(
        ['attach', 'attach', 'attach', 'detach', 'detach', 'reuse', 'unmap', 'reboot', 'look']
    ),
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([1, 1, 1, 2]),
    st.sampled_from(['ns_id', 'ns_id', 'vol_uuid', 'volume_nguid', 'nothing']),
    st.booleans(),
)


def steps(*words: str) -> list[tuple[str, int, int, str, bool]]:
    """A history of namespace 1 of the first subsystem; a call is the oldest caller's."""
    found = []
    for word in words:
        what, _, shape = word.partition(' ')
        found.append((what, 0, 1, shape or 'ns_id', False))
    return found


class Caller:
    """A volume of a consumer: its connection properties, as the array told them once."""

    def __init__(self, subsystem: nvme.Subsystem, nsid: int, shape: str) -> None:
        self.volume = subsystem.namespaces[nsid]
        self.props: dict[str, Any] = subsystem.properties(nsid)
        del self.props['vol_uuid']
        names = {'vol_uuid': self.volume.uuid, 'volume_nguid': self.volume.nguid, 'ns_id': nsid}
        if shape in names:
            self.props[shape] = names[shape]
        self.key = nvmeof.Volume.parse(self.props).key
        self.info: dict[str, str] | None = None
        self.is_attached = False


class History:
    """One host and two subsystems, and everyone who has ever asked for a volume."""

    def __init__(self, fabric: nvme.Fabric, *, multipath: bool) -> None:
        self.fabric = fabric
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

    def step(self, what: str, number: int, nsid: int, shape: str, newest: bool) -> None:
        subsystem = self.subsystems[number]
        callers = self.callers.setdefault((number, nsid, shape), [])
        if what == 'attach':
            self.attach(subsystem, nsid, shape, callers)
        elif what in ('detach', 'look') and callers:
            self.call(what, callers[-1 if newest else 0])
        elif what == 'reboot':
            self.fabric.reboot()
            for caller in self.everyone():
                caller.is_attached = False
        elif what in ('reuse', 'unmap'):
            subsystem.namespaces.pop(nsid, None)
            if what == 'reuse':
                subsystem.namespaces[nsid] = self.new()
            for name in list(self.fabric.controllers):
                self.fabric.scan(name)
                self.fabric.scan(name)

    def attach(
        self, subsystem: nvme.Subsystem, nsid: int, shape: str, callers: list[Caller]
    ) -> None:
        if nsid not in subsystem.namespaces:
            return
        caller = Caller(subsystem, nsid, shape)
        with contextlib.suppress(exception.BrickException):
            caller.info = self.brick.connect_volume(caller.props)
            if shape == 'nothing' and len(subsystem.namespaces) == 1:
                (caller.volume,) = subsystem.namespaces.values()
            assert (caller.volume.name, caller.info['path']) in self.shown()
            caller.is_attached = True
            callers.append(caller)

    def call(self, what: str, caller: Caller) -> None:
        others = {
            (other.volume.name, other.info['path'])
            for other in self.everyone()
            if other.is_attached and other.info and other.volume is not caller.volume
            # A number alone, and the same name of the device: these two cannot be told apart.
            if (other.key, other.info) != (caller.key, caller.info)
        }
        others &= self.shown()
        flushed = len(self.fabric.flushed)
        kept = {**caller.props, 'device_path': (caller.info or {}).get('path')}
        own = {path for name, path in self.shown() if name == caller.volume.name}
        others_paths = {path for _name, path in others} - own
        with contextlib.suppress(exception.BrickException):
            if what == 'detach':
                self.brick.disconnect_volume(kept, caller.info)
                caller.is_attached = False
            else:
                assert not set(self.brick.get_volume_paths(kept)) & others_paths
                caller.volume.size += 1 << 20
                assert self.brick.extend_volume(kept) == caller.volume.size
        assert others <= self.shown(), (what, caller.props)
        assert not {f'/dev/{name}' for name in self.fabric.flushed[flushed:]} & others_paths


@settings(max_examples=15, deadline=None)
@example(steps('attach', 'reboot', 'reuse', 'attach vol_uuid', 'detach', 'look'), True, True)
@example(steps('attach', 'reuse', 'attach vol_uuid', 'look', 'detach'), True, True)
@example(steps('attach', 'reboot', 'reuse', 'attach nothing', 'look', 'detach'), False, False)
@example(steps('attach vol_uuid', 'reuse', 'attach', 'detach vol_uuid', 'look'), True, True)
@given(st.lists(STEPS, max_size=12), st.booleans(), st.booleans())
def test_no_volume_is_touched_by_a_call_for_another(
    history: list[tuple[str, int, int, str, bool]], native: bool, multipath: bool
) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = pathlib.Path(place)
        cfg.CONF.set_override('lock_path', str(root / 'locks'), group='os_brick')
        cfg.CONF.set_override('scan_timeout', 0.2, group='os_brick')
        try:
            with (
                process.use(seams.Programs({})),
                nvme.Fabric(root / 'root', native=native) as fabric,
            ):
                host = History(fabric, multipath=multipath)
                for step in history:
                    host.step(*step)
        finally:
            cfg.CONF.clear_override('lock_path', group='os_brick')
            cfg.CONF.clear_override('scan_timeout', group='os_brick')
