# SPDX-License-Identifier: Apache-2.0
"""What takes open paths back: in which order, whatever fails, and as data."""

from collections.abc import Sequence
import json
import signal
import threading
import time

import pytest

from os_brick import exception
from os_brick.core import fanout, undo, wait
from os_brick.paths import held

HOST: list[str] = []


@undo.verb
def leave(what: str) -> None:
    if what.startswith('stuck'):
        raise exception.BrickException(f'{what} stays')
    HOST.remove(what)


def interrupt() -> None:
    raise SystemExit


class Assembly:
    """Two things stand above the paths: one over them, one that outlives them."""

    wwid = 'gold'

    def before(self, opened: Sequence[str], seconds: float) -> list[undo.Step]:
        return [undo.Step(leave, ('map',))]

    def after(self, opened: Sequence[str]) -> list[undo.Step]:
        return [undo.Step(leave, ('name',))]


@pytest.fixture(autouse=True)
def _host() -> None:
    HOST[:] = ['name', 'a', 'b', 'map']


def path(name: str) -> held.Held[str]:
    made = undo.Undo()
    made.add(leave, name)
    return held.Held(name, made)


def test_all_goes() -> None:
    held.close(Assembly(), [path('a'), path('b')], wait.Deadline.after(9))
    assert HOST == []


def test_what_stays_is_named_and_keeps_nothing_else() -> None:
    with pytest.raises(exception.BrickException, match='stuck a stays'):
        held.close(Assembly(), [path('stuck a'), path('b')], wait.Deadline.after(9))
    assert HOST == ['a']


def test_the_steps_are_data_first_made_first() -> None:
    steps = held.steps(Assembly(), [path('a'), path('b')], 9.0)
    assert [step['args'] for step in steps] == [['name'], ['a'], ['b'], ['map']]
    assert json.loads(json.dumps(steps)) == steps


def test_an_interrupt_while_the_map_goes_keeps_no_path_from_its_turn() -> None:
    class Interrupted(Assembly):
        def before(self, opened: Sequence[str], seconds: float) -> list[undo.Step]:
            return [undo.Step(interrupt), *super().before(opened, seconds)]

    with pytest.raises(SystemExit):
        held.close(Interrupted(), [path('a'), path('b')], wait.Deadline.after(9))
    assert HOST == []


def test_an_interrupt_while_a_path_goes_keeps_no_other_from_its_turn() -> None:
    one = path('a')
    one.made.add_local(interrupt)
    with pytest.raises(SystemExit):
        held.close(Assembly(), [one, path('b')], wait.Deadline.after(9))
    assert HOST == []


@pytest.mark.native  # Signals come to the main thread.
def test_an_interrupt_while_a_slow_path_goes_runs_none_of_its_steps_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its disk takes longer than an interrupted caller waits; its session is needed until then."""
    monkeypatch.setattr(fanout, 'INTERRUPTED_SECONDS', 0.1)
    log: list[str] = []
    gone, ended = threading.Event(), threading.Event()

    def disk() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
        time.sleep(0.5)
        log.append('disk')
        gone.set()

    def session() -> None:
        log.append('session')
        ended.set()

    slow = held.Held('a', undo.Undo())
    slow.made.add_local(session)
    slow.made.add_local(disk)
    handler = signal.signal(signal.SIGALRM, lambda *_: interrupt())
    try:
        with pytest.raises(SystemExit):
            held.close(Assembly(), [slow, path('b')], wait.Deadline.after(9))
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert gone.wait(5)
    assert ended.wait(5)
    assert log == ['disk', 'session']
