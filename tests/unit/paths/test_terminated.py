# SPDX-License-Identifier: Apache-2.0
"""SIGTERM, of which a service makes SystemExit in its main thread, at each call of a root function

The main thread waits for threads of paths then, or is in the call itself, whose act the daemon does
all the same: before the signal, or once the caller has gone. Afterwards the host is as it was
before; after a detach, the next one leaves it so.

Systemd may send the signal to the daemon as well, which dies: the next call starts another one.

Each call is struck once, in one way after the other; with ``OS_BRICK_TEST_ALL`` in all.
"""

from collections.abc import Callable
import contextlib
import pathlib
from typing import Any

import pytest

from tests import breadth
from tests.unit.fakehost import daemon as fake_daemon
from tests.unit.paths import test_ownership as owners

# Signals come to the main thread.
pytestmark = pytest.mark.native

WHENS = (
    *(fake_daemon.BEFORE, fake_daemon.AFTER),
    *(fake_daemon.DIES_BEFORE, fake_daemon.DIES_AFTER),
)


def attach(stage: Any, daemon: fake_daemon.Daemon, strike: Callable[[], None]) -> None:
    """The attach is ended; what it has returned all the same is detached."""
    strike()
    infos = []
    try:
        infos.append(stage.brick.connect_volume(stage.props))
    finally:
        daemon.calm()
        for info in infos:
            stage.brick.disconnect_volume(stage.props, info)


def undo(stage: Any, daemon: fake_daemon.Daemon, strike: Callable[[], None]) -> None:
    """An attach fails when all is there; it is ended while it takes that back."""
    daemon.refuse('link_root', strike)
    stage.brick.connect_volume(stage.props)


def detach(stage: Any, daemon: fake_daemon.Daemon, strike: Callable[[], None]) -> None:
    """The detach is ended, and another one follows."""
    info = stage.brick.connect_volume(stage.props)
    strike()
    try:
        stage.brick.disconnect_volume(stage.props, info)
    finally:
        daemon.calm()
        stage.brick.disconnect_volume(stage.props, info)


def _round(place: pathlib.Path, case: tuple[Any, ...], number: int, when: str) -> str:
    """Return what was struck; empty if there is no call of that number."""
    kind, multipath, course = case
    place.mkdir()
    with kind.host_in(place) as host, fake_daemon.serving() as daemon:
        stage = kind(host, multipath=multipath)
        stage.props = {**stage.props, 'encrypted': True}
        before = host.snapshot()
        with contextlib.suppress(*owners.ERRORS, SystemExit):
            course(stage, daemon, lambda: daemon.strike(number, when))
        after = host.snapshot()
        left = sorted(name for name in before | after if before.get(name) != after.get(name))
        assert not left, f'{daemon.struck}: {left[:4]} is left'
        return daemon.struck


CASES = [
    (owners.Iscsi, True, attach),
    (owners.Iscsi, True, undo),
    (owners.Iscsi, False, undo),
    (owners.Iscsi, False, detach),
    (owners.FibreChannel, False, attach),
    (owners.FibreChannel, True, undo),
    (owners.FibreChannel, True, detach),
    (owners.Nvme, True, attach),
    (owners.Nvme, False, undo),
]
if breadth.EVERYTHING:
    CASES = [
        (kind, multipath, course)
        for kind in (owners.Iscsi, owners.FibreChannel, owners.Nvme)
        for multipath in (True, False)
        for course in (attach, undo, detach)
    ]


@pytest.mark.parametrize('case', CASES)
def test_nothing_is_left_of_what_was_ended(tmp_path: pathlib.Path, case: tuple[Any, ...]) -> None:
    bad, struck = [], 0
    for number in range(owners.MANY):
        turn = number % len(WHENS)
        what = ''
        for when in WHENS if breadth.EVERYTHING else WHENS[turn : turn + 1]:
            try:
                what = _round(tmp_path / f'{number} {when}', case, number, when) or what
            except (AssertionError, *owners.ERRORS) as error:
                bad.append(f'{when} call {number}: {error!r}')
                what = what or 'failed'
        if not what or len(bad) > 9:
            break
        struck += 1
    assert not bad, '\n'.join(bad)
    assert 1 < struck < owners.MANY - 1
