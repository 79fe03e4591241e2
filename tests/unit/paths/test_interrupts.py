# SPDX-License-Identifier: Apache-2.0
"""Whatever ends a thread, at whatever act: nothing is left, and no one else is touched.

KeyboardInterrupt and SystemExit, and what eventlet raises in a green thread: GreenletExit when it
is killed, Timeout when its time is over. Each strikes before an act of an attach, a detach or an
extend, or after it; a second attach follows at once, and a detach.

Each act meets one of them, in turn; with ``OS_BRICK_TEST_ALL`` in the environment all, both ways.
"""

from collections.abc import Callable
import itertools
import pathlib
import sys
from typing import Any

import pytest

from tests.unit import breadth
from tests.unit.paths import test_ownership as owners

MIB = 1 << 20
HOWS = ('interrupted', 'interrupted late')


class _GreenletExit(BaseException):
    """As greenlet.GreenletExit is."""


class _Timeout(BaseException):
    """As eventlet.Timeout is."""


def _kinds() -> tuple[type[BaseException], ...]:
    """The real ones where eventlet is in this process."""
    green, let = sys.modules.get('eventlet'), sys.modules.get('greenlet')
    return (
        *(KeyboardInterrupt, SystemExit),
        let.GreenletExit if let else _GreenletExit,
        green.Timeout if green else _Timeout,
    )


KINDS = _kinds()
STRIKES = list(itertools.product(KINDS, HOWS))


def attach(stage: Any, strike: Callable[[], None]) -> None:
    """The first attach is interrupted."""
    strike()
    stage.brick.connect_volume(stage.props)


def detach(stage: Any, strike: Callable[[], None]) -> None:
    """The detach after a good attach is interrupted."""
    info = stage.brick.connect_volume(stage.props)
    strike()
    stage.brick.disconnect_volume(stage.props, info)


def extend(stage: Any, strike: Callable[[], None]) -> None:
    """An extend of the volume, which has grown, is interrupted."""
    stage.brick.connect_volume(stage.props)
    stage.grow()
    strike()
    stage.brick.extend_volume(stage.props)


class Iscsi(owners.Iscsi):
    def grow(self) -> None:
        self.host.targets[0].luns[1].megabytes = 96


class FibreChannel(owners.FibreChannel):
    def grow(self) -> None:
        self.host.adapters[0].remotes[0].target.luns[1].megabytes = 96


class Nvme(owners.Nvme):
    def grow(self) -> None:
        (subsystem,) = self.host.subsystems.values()
        subsystem.namespaces[3].size = 96 * MIB


def _round(
    place: pathlib.Path,
    case: tuple[Any, bool, Any],
    number: int,
    strike: tuple[type[BaseException], str],
) -> str:
    """Return what was struck; empty if there is no act of that number."""
    kind, multipath, course = case
    place.mkdir()
    with kind.host_in(place) as host:
        stage = kind(host, multipath=multipath)
        before = host.snapshot()
        host.interrupt, how = strike
        ended: list[BaseException] = []
        try:
            course(stage, lambda: host.fail(number, how))
        except (*owners.ERRORS, *KINDS) as error:
            ended.append(error)
        what, host._fault = host.struck, None
        # At once: what the first one has left may still be under way.
        info = stage.brick.connect_volume(stage.props)
        devices = stage.devices(info)
        host.settle()
        assert stage.devices(info)[: len(devices)] == devices, f'{what}: not the same any more'
        if course is extend:
            assert stage.brick.extend_volume(stage.props) == 96 * MIB, what
        stage.brick.disconnect_volume(stage.props, info)
        after = host.snapshot()
        left = sorted(name for name in before | after if before.get(name) != after.get(name))
        assert not left, f'{what}: {left[:4]} is left'
        return what


CASES = [
    (Iscsi, True, attach),
    (Iscsi, False, extend),
    (FibreChannel, True, attach),
    (FibreChannel, False, detach),
    (Nvme, True, attach),
    (Nvme, True, detach),
    (Nvme, False, extend),
]
if breadth.EVERYTHING:
    CASES = list(
        itertools.product((Iscsi, FibreChannel, Nvme), (False, True), (attach, detach, extend))
    )


@pytest.mark.parametrize('case', CASES)
def test_nothing_is_left_of_what_was_interrupted(
    tmp_path: pathlib.Path, case: tuple[Any, bool, Any]
) -> None:
    bad, struck = [], 0
    for number in range(owners.MANY):
        turn = (number + CASES.index(case)) % len(STRIKES)
        what = ''
        for strike in STRIKES if breadth.EVERYTHING else STRIKES[turn : turn + 1]:
            words = f'{strike[0].__name__} {strike[1]}'
            try:
                what = _round(tmp_path / f'{number} {words}', case, number, strike) or what
            except (AssertionError, *owners.ERRORS, *KINDS) as error:
                bad.append(f'{words} at act {number}: {error!r}')
                what = what or 'failed'
        if not what or len(bad) > 9:
            break
        struck += 1
    assert not bad, '\n'.join(bad)
    assert 1 < struck < owners.MANY - 1
