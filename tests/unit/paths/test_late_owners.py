# SPDX-License-Identifier: Apache-2.0
"""What a thread of one operation does late: it takes nothing from another, and makes nothing."""

from collections.abc import Callable
import ctypes
import json
import pathlib
import sys
import threading
import time
from typing import Any

import pytest

from os_brick import exception, opts
from os_brick.core import background, locks, operation, undo
from os_brick.initiator.connectors import fibre_channel, iscsi
from os_brick.paths import iscsi as iscsi_paths
from os_brick.paths import path_set
from os_brick.paths import scsi as scsi_paths
from os_brick.plans import paths as plans
from os_brick.request import iscsi as request_iscsi
from tests.unit.fakehost import array, fabric
from tests.unit.fakehost import host as fake_host

Host = fake_host.Host


def comes_true(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether other threads bring it about in time, in real seconds."""
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.005)
    return condition()


class Call(threading.Thread):
    """One call in a thread of its own, which can be interrupted."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: Any = None
        self.error: BaseException | None = None
        self._green: Any = None
        self.start()

    def run(self) -> None:
        self._green = _green_thread()
        try:
            self.result = self._call()
        except BaseException as error:
            self.error = error

    def interrupt(self, kind: type[BaseException]) -> None:
        if self._green is not None:
            sys.modules['eventlet'].kill(self._green, kind)
            return
        assert self.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self.ident), ctypes.py_object(kind)
        )


def _green_thread() -> Any:
    """The green thread that runs this; ``None`` where threads are real ones."""
    patcher = sys.modules.get('eventlet.patcher')
    if patcher is None or not patcher.is_monkey_patched('thread'):
        return None
    return sys.modules['greenlet'].getcurrent()


class Timeout(BaseException):
    """As eventlet.Timeout is."""


@pytest.mark.parametrize('kind', [KeyboardInterrupt, SystemExit, Timeout])
@pytest.mark.parametrize('multipath', [False, True])
def test_second_attach_after_an_interrupt_in_the_login(
    host: Host, multipath: bool, kind: type[BaseException]
) -> None:
    """defects.md 2: the first attach's thread took back what the second one had handed out."""
    target = host.target('t1')
    target.luns[1] = array.Unit('gold')
    before = host.snapshot()
    host.login_seconds = {str(target.portals[0]): 20.0}
    brick = iscsi.ISCSIConnector(None, use_multipath=multipath)
    first = Call(lambda: brick.connect_volume(target.properties()))
    assert comes_true(lambda: any('--login' in words for words in host.commands))
    first.interrupt(kind)
    info = brick.connect_volume(target.properties())
    attached = dict(host.disks), dict(host.maps), dict(host.sessions)
    first.join(20)
    assert isinstance(first.error, kind)
    host.settle()
    assert (host.disks, host.maps, host.sessions) == attached
    assert attached[0]
    brick.disconnect_volume(target.properties(), info)
    assert host.snapshot() == before


@pytest.mark.parametrize('multipath', [False, True])
def test_second_attach_after_an_interrupt_while_the_lun_is_late(
    tmp_path: pathlib.Path, multipath: bool
) -> None:
    with fabric.FabricHost(tmp_path) as host:
        storage = host.storage()
        host.adapter(storage)
        before = host.snapshot()
        brick = fibre_channel.FibreChannelConnector(None, use_multipath=multipath)
        first = Call(lambda: brick.connect_volume(storage.properties()))
        assert comes_true(lambda: bool(host.scans))
        first.interrupt(KeyboardInterrupt)
        storage.luns[1] = array.Unit('gold')
        info = brick.connect_volume(storage.properties())
        disks = dict(host.disks)
        first.join(20)
        host.settle()
        assert host.disks == disks
        assert disks
        brick.disconnect_volume(storage.properties(), info)
        assert host.snapshot() == before


def test_nothing_begins_after_a_detach(host: Host) -> None:
    """reports.md 10: a first try that was under way made a record, a session and a disk."""
    target = host.target('t1', portals=2)
    target.luns[1] = array.Unit('gold')
    before = host.snapshot()
    host.login_seconds = {str(target.portals[1]): 18.0}
    brick = iscsi.ISCSIConnector(None, use_multipath=True)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    brick.disconnect_volume(props, info)
    acts, commands = len(host.acts), len(host.commands)
    assert host.snapshot() == before
    assert host.acts[acts:] == []
    assert host.commands[commands:] == []


def test_wide_scans_side_by_side(tmp_path: pathlib.Path) -> None:
    """defects.md 5: two volumes with one LUN number behind an adapter that tells nothing."""
    for number in range(3):
        with fabric.FabricHost(tmp_path / str(number)) as host:
            host.tells_nothing = True
            storages = [host.storage(), host.storage()]
            adapter = host.adapter()
            for storage, name in zip(storages, ('A', 'B'), strict=True):
                storage.luns[1] = array.Unit(name)
                host.see(adapter, storage, storage.ports[0])
            before = host.snapshot()
            bricks = [fibre_channel.FibreChannelConnector(None) for _ in storages]
            calls = [
                Call(lambda b=b, s=s: b.connect_volume(s.properties()))  # type: ignore[misc]
                for b, s in zip(bricks, storages, strict=True)
            ]
            for call in calls:
                call.join(60)
                assert call.error is None
            host.settle()
            assert {disk.unit.name for disk in host.disks.values()} == {'A', 'B'}
            for brick, storage, call in zip(bricks, storages, calls, strict=True):
                brick.disconnect_volume(storage.properties(), call.result)
            assert host.snapshot() == before


def test_a_late_lun_whose_session_another_detach_ends(host: Host) -> None:
    """The attach logs in again, within the scan time-out."""
    target = host.target('t1')
    target.luns[1] = array.Unit('gold')
    before = host.snapshot()
    brick = iscsi.ISCSIConnector(None)
    info = brick.connect_volume(target.properties(1))
    (first,) = host.sessions
    late = Call(lambda: brick.connect_volume(target.properties(2)))
    assert comes_true(lambda: any("scan', '0 0 2'" in act for act in host.acts))
    brick.disconnect_volume(target.properties(1), info)
    assert first not in host.sessions
    target.luns[2] = array.Unit('late')
    late.join(30)
    assert late.error is None
    assert host.disk_of(late.result['path']).unit.name == 'late'
    brick.disconnect_volume(target.properties(2), late.result)
    assert host.snapshot() == before


def test_a_login_that_was_ended_and_succeeds_all_the_same(host: Host) -> None:
    """iscsid goes on with a login whose iscsiadm was killed."""
    target = host.target('t1')
    target.luns[1] = array.Unit('gold')
    before = host.snapshot()
    brick = iscsi.ISCSIConnector(None)

    def when_killed(what: str) -> None:
        if '--login' in what:
            host.clock.after(5, lambda: host.log_in(target, target.portals[0]) and None)
            raise fake_host.Hung

    host.before_act = when_killed  # type: ignore[method-assign]
    with pytest.raises(exception.FailedISCSITargetPortalLogin):
        brick.connect_volume(target.properties())
    assert host.sessions == {}
    assert host.snapshot() == before


def test_late_work_is_found_by_wwid(host: Host) -> None:
    """The key of the lock depends on the paths that are named; the WWID does not."""
    target = host.target('t1', portals=2)
    unit = target.luns[1] = array.Unit('gold')
    target.portals[1].close()
    brick = iscsi.ISCSIConnector(None, use_multipath=True)
    info = brick.connect_volume(target.properties(plural=True))
    assert background._of([unit.wwid])
    background.stop(unit.wwid)
    assert all(work.called_off.is_set() for work in background._of([unit.wwid]))
    brick.disconnect_volume(target.properties(plural=True), info)


def test_steps_are_data_that_another_process_replays(host: Host) -> None:
    """What the paths of an attach have made can be written down, and taken back without it."""
    target = host.target('t1', portals=2)
    target.luns[1] = array.Unit('gold')
    before = host.snapshot()
    props = request_iscsi.IscsiRequest.parse(target.properties(plural=True))
    driver = iscsi_paths.Driver(iscsi_paths.Options(props, 'default', 3, 20.0, 5.0, True))
    assembly: scsi_paths.MultipathMap[iscsi_paths.OpenPath] = scsi_paths.MultipathMap()
    lock = locks.VOLUME, props.key
    with operation.begin('connect', None, lock, opts.current()) as op:
        opening = path_set.PathSet(driver, assembly, props.paths, plans.Policy(wanted=2), op)
        opened = opening.open()
        assembly.build(scsi_paths.disks_of(opened), op)
        steps = json.loads(json.dumps(op.undo.steps()))
        opening.keep()
    assert host.maps
    assert {step['verb'] for step in steps} <= undo.verbs()
    assert undo.replay(steps) == []
    assert host.snapshot() == before
