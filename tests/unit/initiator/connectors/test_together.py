# SPDX-License-Identifier: Apache-2.0
"""Many volumes attached and detached at once: threads are bounded, and none holds up another."""

from collections.abc import Callable, Sequence
import concurrent.futures
import threading
import time
from typing import Any

import pytest

from os_brick import exception
from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

_VOLUMES = 16
_PORTALS = 2
_LIMIT_SECONDS = 60
# Besides the callers and their paths: what others have under way, and what joins late.
_SPARE = 8


def targets(host: fake_host.Host, count: int, volumes: int) -> list[dict[str, Any]]:
    """So many volumes on each of so many targets of two portals: their properties, in turns."""
    found = []
    made = [host.target(f't{number}', portals=_PORTALS) for number in range(count)]
    for lun in range(1, volumes + 1):
        for target in made:
            target.luns[lun] = array.Unit(f'{target.iqn} {lun}')
            found.append(target.properties(lun=lun, plural=True))
    return found


def together(call: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    with concurrent.futures.ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(call, items, timeout=_LIMIT_SECONDS))


class Threads(threading.Thread):
    """Counts the threads of the process until it is ended."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before = threading.active_count()
        self.most = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.002):
            self.most = max(self.most, threading.active_count() - self.before - 1)


@pytest.mark.native
def test_a_thread_a_caller_and_one_for_each_path(host: fake_host.Host) -> None:
    """Not more, however many are attached; then there are none any more, and nothing is left."""
    props = targets(host, 2, _VOLUMES // 2)
    connector = iscsi.ISCSIConnector(None, use_multipath=True)
    before = host.snapshot()
    threads = Threads()
    threads.start()
    infos = together(connector.connect_volume, props)
    together(lambda pair: connector.disconnect_volume(*pair), list(zip(props, infos, strict=True)))
    threads.ended.set()
    threads.join()
    assert len({info['path'] for info in infos}) == _VOLUMES
    assert threads.most <= _VOLUMES * (1 + _PORTALS) + _SPARE
    assert host.snapshot() == before
    ends = time.monotonic() + 5
    while threading.active_count() > threads.before and time.monotonic() < ends:
        time.sleep(0.01)
    assert threading.active_count() <= threads.before


def hang_at_login(host: fake_host.Host, target: array.Target, gate: threading.Event) -> None:
    def hang(act: str) -> None:
        if target.iqn in act and '--login' in act:
            gate.wait(_LIMIT_SECONDS)

    host.before_act = hang


def hang_at_connection(host: fake_host.Host, target: array.Target, gate: threading.Event) -> None:
    connect = host.network.connect

    def hang(address: str, port: int, seconds: float, source: str) -> None:
        if (address, port) in {(each.address, each.port) for each in target.portals}:
            gate.wait(_LIMIT_SECONDS)
            raise TimeoutError('timed out')
        connect(address, port, seconds, source)

    host.network.connect = hang  # type: ignore[method-assign]


@pytest.mark.native
@pytest.mark.parametrize('hang', [hang_at_login, hang_at_connection])
def test_a_target_that_hangs_holds_up_no_other(
    host: fake_host.Host,
    hang: Callable[[fake_host.Host, array.Target, threading.Event], None],
) -> None:
    """All volumes of the others are attached and detached while not one of its steps has ended."""
    well = targets(host, 3, 4)
    dead = host.target('dead', portals=_PORTALS)
    for lun in range(1, 9):
        dead.luns[lun] = array.Unit(f'dead {lun}')
    gate = threading.Event()
    hang(host, dead, gate)
    connector = iscsi.ISCSIConnector(None, use_multipath=True)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        try:
            sick = [
                pool.submit(connector.connect_volume, dead.properties(lun=lun, plural=True))
                for lun in dead.luns
            ]
            infos = together(connector.connect_volume, well)
            pairs = list(zip(well, infos, strict=True))
            together(lambda pair: connector.disconnect_volume(*pair), pairs)
            assert not any(one.done() for one in sick)
        finally:
            host.before_act = lambda act: None
            gate.set()
    for lun, one in enumerate(sick, 1):
        if one.exception() is None:
            connector.disconnect_volume(dead.properties(lun=lun, plural=True), one.result())
        else:
            assert isinstance(one.exception(), exception.BrickException)
