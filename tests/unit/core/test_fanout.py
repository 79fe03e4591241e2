# SPDX-License-Identifier: Apache-2.0
"""Side by side, with the request's context; no one waits for who is late."""

from collections.abc import Iterator
import threading

from oslo_context import context
import pytest

from os_brick import exception
from os_brick.core import bound, clock, fanout, wait


@pytest.fixture
def request_context() -> Iterator[context.RequestContext]:
    before = context.get_current()
    yield context.RequestContext(request_id='req-fan')
    if before is not None:
        before.update_store()


@pytest.mark.parametrize('count', [0, 1, 2, 20])
def test_results_and_errors_by_item(count: int) -> None:
    results, errors = fanout.fanout(lambda item: 12 // (item % 3), range(count))
    assert set(results) | set(errors) == set(range(count))
    assert set(errors) == {item for item in range(count) if item % 3 == 0}
    assert all(isinstance(error, ZeroDivisionError) for error in errors.values())
    assert all(value == 12 // (item % 3) for item, value in results.items())


def test_side_by_side() -> None:
    """Each waits for all others: one after the other would never end."""
    barrier = threading.Barrier(8, timeout=10)
    results, errors = fanout.fanout(lambda item: barrier.wait() >= 0, range(8))
    assert len(results) == 8
    assert not errors


@pytest.mark.parametrize('count', [1, 3])
def test_the_context_goes_along(request_context: context.RequestContext, count: int) -> None:
    results, _ = fanout.fanout(
        lambda _item: getattr(context.get_current(), 'request_id', None), range(count)
    )
    assert set(results.values()) == {'req-fan'}


def test_who_is_late_is_left_behind() -> None:
    gate = threading.Event()
    fan: fanout.Fanout[str, str] = fanout.Fanout(
        lambda item: item if item == 'quick' else str(gate.wait(10))
    )
    fan.start(['quick', 'late'])
    assert fan.wait_for(lambda: 'quick' in fan.results, wait.Deadline.after(10))
    assert fan.pending == {'late'}
    assert not fan.wait_for(lambda: not fan.pending, wait.Deadline.after(0.05))
    assert not fan.have_ended(0)
    gate.set()
    assert fan.have_ended(10)
    assert fan.results == {'quick': 'quick', 'late': 'True'}


def test_nothing_is_started_twice_at_once() -> None:
    gate = threading.Event()
    started: list[str] = []

    def step(item: str) -> None:
        started.append(item)
        gate.wait(10)

    fan: fanout.Fanout[str, None] = fanout.Fanout(step)
    fan.start(['a'])
    fan.start(['a', 'b'])
    gate.set()
    assert fan.have_ended(10)
    assert sorted(started) == ['a', 'b']


@pytest.mark.parametrize('count', [1, 3])
@pytest.mark.parametrize('kind', [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_of_a_step_reaches_the_caller(count: int, kind: type[BaseException]) -> None:
    """And no one waits for a step that has ended so."""

    def step(item: int) -> int:
        if item == 0:
            raise kind
        return item

    with pytest.raises(kind):
        fanout.fanout(step, range(count))
    fan = fanout.Fanout(step)
    fan.start(range(count))
    with pytest.raises(kind):
        fan.wait_for(lambda: fan.have_ended(10) and False, wait.Deadline.after(20))
    assert isinstance(fan.errors[0], fanout.Interrupted)


def test_a_second_try_makes_the_first_one_void() -> None:
    tries: list[str] = []

    def step(item: str) -> str:
        tries.append(item)
        if len(tries) == 1:
            raise ValueError('not yet')
        return item

    fan: fanout.Fanout[str, str] = fanout.Fanout(step)
    fan.start(['path'])
    assert fan.have_ended(10)
    assert list(fan.errors) == ['path']
    fan.start(['path'])
    assert fan.have_ended(10)
    assert (fan.results, fan.errors) == ({'path': 'path'}, {})


def test_a_step_without_an_end_ends_with_the_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' results are there; what is late counts as failed."""
    monkeypatch.setattr(fanout, 'OVERDUE_SECONDS', 0.2)
    never = threading.Event()

    def step(item: int) -> float:
        if item == 1:
            never.wait(20)
        return bound.at()

    ends = clock.monotonic() + 0.1
    with bound.until(ends):
        results, errors = fanout.fanout(step, range(3))
    never.set()
    assert results == {0: ends, 2: ends}, 'the steps know the deadline, too'
    assert isinstance(errors[1], exception.OperationTimedOut)
    assert bound.remaining() == float('inf')


def test_what_lasts_is_looked_at_less_often() -> None:
    """Ten times a second in the end: there may be a hundred operations that wait so."""
    gate = threading.Event()
    fan: fanout.Fanout[str, bool] = fanout.Fanout(lambda item: gate.wait(10))
    fan.start(['slow'])
    looks = []
    assert not fan.wait_for(lambda: bool(looks.append(1)), wait.Deadline.after(1.5))  # type: ignore[func-returns-value]
    gate.set()
    assert fan.have_ended(10)
    assert len(looks) < 30


def test_the_end_of_a_step_is_seen_at_once() -> None:
    """However long it has lasted: within a moment, not at the next look."""
    gate = threading.Event()
    fan: fanout.Fanout[str, bool] = fanout.Fanout(lambda item: gate.wait(10))
    fan.start(['slow'])
    timer = threading.Timer(0.3, gate.set)
    timer.start()
    assert fan.wait_for(lambda: not fan.pending, wait.Deadline.after(10))
    assert fan.results == {'slow': True}
