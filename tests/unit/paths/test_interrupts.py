# SPDX-License-Identifier: Apache-2.0
"""Whatever ends a thread, at whatever act: nothing is left, and no one else is touched.

KeyboardInterrupt and SystemExit, and what eventlet raises in a green thread: GreenletExit when it
is killed, Timeout when its time is over. Each strikes before an act of an attach, a detach or an
extend, or after it, also while a failed attach takes back what it has made. A second attach follows
at once, and a detach.

Each act meets one of them, in turn; with ``OS_BRICK_TEST_ALL`` in the environment all, both ways.
"""

from collections.abc import Callable
import errno
import itertools
import pathlib
import sys
from typing import Any

import pytest

from tests import breadth
from tests.unit.fakehost import nvme
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


def undo(stage: Any, strike: Callable[[], None]) -> None:
    """An attach of a volume that cannot be read is interrupted: in what it takes back, too."""
    stage.read_nothing()
    strike()
    try:
        stage.brick.connect_volume(stage.props)
    finally:
        stage.read_all()


def _no_reads(what: str) -> None:
    if what.startswith('_read_start'):
        raise OSError(errno.EIO, 'Input/output error')


class _Scsi:
    host: Any

    def read_nothing(self) -> None:
        self.host.before_act = _no_reads

    def read_all(self) -> None:
        self.host.before_act = lambda what: None


class Iscsi(_Scsi, owners.Iscsi):
    def grow(self) -> None:
        self.host.targets[0].luns[1].megabytes = 96


class FibreChannel(_Scsi, owners.FibreChannel):
    def grow(self) -> None:
        self.host.adapters[0].remotes[0].target.luns[1].megabytes = 96


class Nvme(owners.Nvme):
    def grow(self) -> None:
        self._volume().size = 96 * MIB

    def read_nothing(self) -> None:
        self._volume().readable = 512

    def read_all(self) -> None:
        self._volume().readable = 4096
        for node in (self.host.root / 'dev').glob('nvme*n*'):
            node.write_bytes(b'x' * 4096)

    def _volume(self) -> nvme.Volume:
        (subsystem,) = self.host.subsystems.values()
        return subsystem.namespaces[3]


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

        def use() -> None:
            if course is extend:
                assert stage.brick.extend_volume(stage.props) == 96 * MIB, what

        owners.second_life(stage, host, before, what, use)
        return what


CASES = [
    (Iscsi, True, attach),
    (Iscsi, False, extend),
    (FibreChannel, True, attach),
    (FibreChannel, False, detach),
    (Nvme, True, attach),
    (Nvme, True, detach),
    (Nvme, False, extend),
    (Iscsi, False, undo),
    (FibreChannel, False, undo),
]
if breadth.EVERYTHING:
    # A failing attach of several iSCSI paths goes on trying for more acts than can be struck.
    CASES = [
        (kind, multipath, course)
        for kind in (Iscsi, FibreChannel, Nvme)
        for multipath in (False, True)
        for course in (attach, detach, extend, undo)
        if (kind, multipath, course) != (Iscsi, True, undo)
    ]


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
