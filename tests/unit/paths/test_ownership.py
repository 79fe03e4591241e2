# SPDX-License-Identifier: Apache-2.0
"""One owner at a time: what one attach leaves behind takes nothing from the next one.

Every act of an attach, and of a detach, goes wrong once (refused, hung, done without an answer) or
is interrupted (before it, after it); a second attach follows at once, and a detach. The second
attach's device stays until its detach, and nothing is left at the end.

Each act gets one way of going wrong, in turn; with ``OS_BRICK_TEST_ALL`` in the environment all.
"""

from collections.abc import Callable, Iterator
import contextlib
import os
import pathlib
from typing import Any, Protocol

from oslo_concurrency import processutils
from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import process
from os_brick.host import machine
from os_brick.initiator.connectors import fibre_channel, iscsi, nvmeof
from tests import breadth
from tests.unit.fakehost import array, fabric, nvme
from tests.unit.fakehost import host as fake_host

HOWS = ('refused', 'hung', 'late', 'interrupted', 'interrupted late')
ERRORS = (exception.BrickException, processutils.ProcessExecutionError, OSError, KeyboardInterrupt)
MANY = 200


class Stage(Protocol):
    """A host with one volume, and how it is attached."""

    brick: Any
    props: dict[str, Any]


class _Scsi:
    host: Any

    def devices(self, info: dict[str, Any]) -> list[str]:
        """The disks behind what an attach has returned, with all that they need."""
        host = self.host
        name = host.node(info['path'])
        found = host.maps[name].disks if name in host.maps else [host.disks[name]]
        assert all(host.disks[disk.name] is disk and disk.session.is_open for disk in found)
        return [disk.name for disk in found]


class Iscsi(_Scsi):
    host_in = fake_host.Host

    def __init__(self, host: fake_host.Host, *, multipath: bool) -> None:
        self.host = host
        target = host.target(portals=2 if multipath else 1)
        target.luns[1] = array.Unit()
        self.brick = iscsi.ISCSIConnector(None, use_multipath=multipath)
        self.props = target.properties(plural=multipath)


class FibreChannel(_Scsi):
    host_in = fabric.FabricHost

    def __init__(self, host: fabric.FabricHost, *, multipath: bool) -> None:
        self.host = host
        storage = host.storage()
        storage.luns[1] = array.Unit()
        for _ in range(2 if multipath else 1):
            host.adapter(storage)
        self.brick = fibre_channel.FibreChannelConnector(None, use_multipath=multipath)
        self.props = storage.properties()


class Nvme:
    @staticmethod
    @contextlib.contextmanager
    def host_in(place: pathlib.Path) -> Iterator[nvme.StrikingFabric]:
        options = {'lock_path': str(place / 'locks'), 'scan_timeout': 1, 'operation_timeout': 20}
        for name, value in options.items():
            cfg.CONF.set_override(name, value, group='os_brick')
        machine.system_uuid.cache_clear()
        with nvme.StrikingFabric(place / 'root') as found, process.use(found):
            yield found
        for name in options:
            cfg.CONF.clear_override(name, group='os_brick')
        machine.system_uuid.cache_clear()

    def __init__(self, host: nvme.StrikingFabric, *, multipath: bool) -> None:
        self.host = host
        subsystem = host.subsystem('owned', 2 if multipath else 1)
        subsystem.namespaces[3] = nvme.Volume('gold')
        self.brick = nvmeof.NVMeOFConnector(None, use_multipath=multipath)
        self.props = subsystem.properties(3)

    def devices(self, info: dict[str, Any]) -> list[str]:
        """The controllers behind what an attach has returned."""
        name = os.path.basename(info['path'])
        assert (self.host.root / 'sys/class/block' / name).exists()
        return sorted(self.host.controllers)


def attach(stage: Stage, strike: Callable[[], None]) -> None:
    """The first attach goes wrong."""
    strike()
    with contextlib.suppress(*ERRORS):
        stage.brick.connect_volume(stage.props)


def detach(stage: Stage, strike: Callable[[], None]) -> None:
    """The detach after a good attach goes wrong."""
    info = stage.brick.connect_volume(stage.props)
    strike()
    with contextlib.suppress(*ERRORS):
        stage.brick.disconnect_volume(stage.props, info)


def second_life(
    stage: Stage,
    host: fake_host.Host,
    before: dict[str, Any],
    what: str,
    use: Callable[[], None] = lambda: None,
) -> None:
    """A second attach keeps what it was given, and after its detach the host is as it was before.

    It comes at once: what the first one has left may still be under way.

    :param what: what was struck in the first one.
    :param use: called while the volume is attached.
    """
    info = stage.brick.connect_volume(stage.props)
    devices = stage.devices(info)
    host.settle()
    assert stage.devices(info)[: len(devices)] == devices, f'{what}: not the same any more'
    use()
    stage.brick.disconnect_volume(stage.props, info)
    after = host.snapshot()
    left = sorted(name for name in before | after if before.get(name) != after.get(name))
    assert not left, f'{what}: {left[:4]} is left'


def _round(
    place: pathlib.Path, kind: Any, course: Any, number: int, how: str, *, multipath: bool
) -> str:
    place.mkdir()
    with kind.host_in(place) as host:
        stage = kind(host, multipath=multipath)
        before = host.snapshot()
        course(stage, lambda: host.fail(number, how))
        what, host._fault = host.struck, None
        second_life(stage, host, before, what)
        return what


CASES = [
    (Iscsi, True, attach),
    (Iscsi, False, detach),
    (FibreChannel, False, attach),
    (FibreChannel, True, detach),
    (Nvme, True, attach),
    (Nvme, False, detach),
]
if breadth.EVERYTHING:
    CASES = [
        (kind, multipath, course)
        for kind in (Iscsi, FibreChannel, Nvme)
        for multipath in (False, True)
        for course in (attach, detach)
    ]


@pytest.mark.parametrize(('kind', 'multipath', 'course'), CASES)
def test_the_second_attach_keeps_what_it_was_given(
    tmp_path: pathlib.Path, kind: Any, multipath: bool, course: Any
) -> None:
    bad, struck = [], 0
    for number in range(MANY):
        hows = HOWS if breadth.EVERYTHING else (HOWS[number % len(HOWS)],)
        what = ''
        for how in hows:
            place = tmp_path / f'{number} {how}'
            try:
                what = _round(place, kind, course, number, how, multipath=multipath) or what
            except (AssertionError, *ERRORS) as error:
                bad.append(f'{how} at act {number}: {error!r}')
                what = what or 'failed'
        if not what or len(bad) > 9:
            break
        struck += 1
    assert not bad, '\n'.join(bad)
    assert 1 < struck < MANY - 1
