# SPDX-License-Identifier: Apache-2.0
"""Whatever hangs, and whenever: an operation ends by its deadline, or soon after.

Every act of an attach, a detach and an extend hangs in turn until it is given up at its own limit:
alone, or with all that come after it, as where an array or the host's daemons have gone. How much
later than ``operation_timeout`` an operation may end is said in doc/source/user/behaviour.rst.
"""

from collections.abc import Callable, Iterator
import contextlib
import pathlib
from typing import Any

from oslo_concurrency import processutils
from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import clock, process
from os_brick.initiator.connectors import fibre_channel, iscsi, nvmeof
from tests import breadth
from tests.unit.fakehost import array, fabric, nvme
from tests.unit.fakehost import clock as fake_clock
from tests.unit.fakehost import host as fake_host

ERRORS = (exception.BrickException, processutils.ProcessExecutionError, OSError)
TIMEOUT = 60
# How much later an operation may end where everything hangs, taking back included. The page has
# it, too.
OVERRUN_SHARE = 2 / 3
# Who hangs does so in steps of this length.
_STEP_SECONDS = 0.2
# More acts than an operation of these tests has: then the fault no longer strikes.
MANY = 200
PAGE = pathlib.Path(__file__).parents[4] / 'doc/source/user/behaviour.rst'


@contextlib.contextmanager
def _settings(place: pathlib.Path) -> Iterator[None]:
    options = {'operation_timeout': TIMEOUT, 'lock_path': str(place / 'locks')}
    for name, value in options.items():
        cfg.CONF.set_override(name, value, group='os_brick')
    try:
        yield
    finally:
        for name in options:
            cfg.CONF.clear_override(name, group='os_brick')


class HangingFabric(nvme.StrikingFabric):
    """A fabric whose acts hang for as long as they are given, on a clock that does not wait."""

    def __init__(self, root: pathlib.Path) -> None:
        super().__init__(root, native=True)
        self.clock = fake_clock.Clock()

    def isolated(self, call: Callable[[], Any], timeout: float) -> Any:
        """Do one act, unless it is the one that hangs, or comes after it."""
        with self._guard:
            number = self._acts
        try:
            if self._fault and self._fault[1] == 'hung from here' and number > self._fault[0]:
                with self._guard:
                    self._acts += 1
                raise TimeoutError
            return super().isolated(call, timeout)
        except TimeoutError:
            ends = self.clock.monotonic() + timeout
            while self.clock.monotonic() < ends:  # In steps: the others go on meanwhile.
                self.clock.sleep(_STEP_SECONDS)
            raise


@contextlib.contextmanager
def _iscsi(place: pathlib.Path, *, several: bool) -> Iterator[tuple[Any, Any, Any, Any]]:
    with fake_host.Host(place) as host, _settings(place):
        target = host.target(portals=2 if several else 1)
        target.luns[1] = volume = array.Unit()
        brick = iscsi.ISCSIConnector(None, use_multipath=several)
        yield host, brick, target.properties(plural=several), volume


@contextlib.contextmanager
def _fibre_channel(place: pathlib.Path, *, several: bool) -> Iterator[tuple[Any, Any, Any, Any]]:
    with fabric.FabricHost(place) as host, _settings(place):
        storage = host.storage()
        storage.luns[1] = volume = array.Unit()
        for _ in range(2 if several else 1):
            host.adapter(storage)
        brick = fibre_channel.FibreChannelConnector(None, use_multipath=several)
        yield host, brick, storage.properties(), volume


@contextlib.contextmanager
def _nvme(place: pathlib.Path, *, several: bool) -> Iterator[tuple[Any, Any, Any, Any]]:
    host = HangingFabric(place / 'root')
    with _settings(place), clock.use(host.clock), host, process.use(host):
        subsystem = host.subsystem('s', 2 if several else 1)
        subsystem.namespaces[1] = volume = nvme.Volume('gold')
        brick = nvmeof.NVMeOFConnector(None, use_multipath=several)
        yield host, brick, subsystem.properties(1), volume
        host._fault = None
        host.settle()


def _attach(brick: Any, props: Any, _info: Any) -> None:
    brick.connect_volume(props)


def _detach(brick: Any, props: Any, info: Any) -> None:
    brick.disconnect_volume(props, info)


def _forced(brick: Any, props: Any, info: Any) -> None:
    brick.disconnect_volume(props, info, force=True, ignore_errors=True)


def _extend(brick: Any, props: Any, _info: Any) -> None:
    brick.extend_volume(props)


CASES = [
    (_iscsi, _attach, 'one path', 'hung'),
    (_iscsi, _detach, 'paths', 'hung'),
    (_iscsi, _extend, 'paths', 'hung'),
    (_iscsi, _attach, 'paths', 'hung from here'),
    (_fibre_channel, _attach, 'paths', 'hung'),
    (_fibre_channel, _detach, 'one path', 'hung from here'),
    (_fibre_channel, _forced, 'paths', 'hung from here'),
    (_nvme, _attach, 'paths', 'hung'),
    (_nvme, _detach, 'one path', 'hung from here'),
    (_nvme, _extend, 'paths', 'hung'),
]
if breadth.EVERYTHING:
    CASES = [
        (kind, act, paths, how)
        for kind in (_iscsi, _fibre_channel, _nvme)
        for act in (_attach, _detach, _forced, _extend)
        for paths in ('one path', 'paths')
        for how in ('hung', 'hung from here')
    ]


def _seconds(place: pathlib.Path, kind: Any, act: Any, number: int, how: str, several: bool) -> Any:
    """What was struck, and how long the operation has taken."""
    place.mkdir()
    with kind(place, several=several) as (host, brick, props, _volume):
        info = None if act is _attach else brick.connect_volume(props)
        host.fail(number, how)
        began = clock.monotonic()
        with contextlib.suppress(*ERRORS):
            act(brick, props, info)
        took = clock.monotonic() - began
        struck, host._fault = host.struck, None
        return struck, took


@pytest.mark.parametrize(('kind', 'act', 'paths', 'how'), CASES)
def test_it_ends_by_its_deadline(
    tmp_path: pathlib.Path, kind: Any, act: Any, paths: str, how: str
) -> None:
    late = []
    limit = TIMEOUT + (0 if how == 'hung' else TIMEOUT * OVERRUN_SHARE)
    # With all that comes after it, neighbours differ little.
    stride = 2 if how == 'hung' else 5
    number = 0
    # An extend may have one act only, so each case strikes at the first.
    for number in range(0, MANY, 1 if breadth.EVERYTHING else stride):
        several = paths == 'paths'
        struck, took = _seconds(tmp_path / str(number), kind, act, number, how, several)
        if took > limit:
            late.append(f'{took:.1f} s: act {number}, {struck}')
        if not struck:
            break
    assert 0 < number < MANY - stride, 'the fault never struck, or always does'
    assert not late, '\n'.join(late)


def test_the_page_says_how_late_it_may_be() -> None:
    text = ' '.join(PAGE.read_text().split())
    assert 'where one thing hangs (a device, a program, a target), before its deadline' in text
    assert 'at most two thirds of ``operation_timeout`` later' in text
    assert OVERRUN_SHARE == 2 / 3
