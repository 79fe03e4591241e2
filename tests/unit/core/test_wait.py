# SPDX-License-Identifier: Apache-2.0
"""One loop, one deadline."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick import exception
from os_brick.core import bound, clock, wait
from tests.unit import seams

SECONDS = st.floats(0, 1e6)


@pytest.fixture
def time() -> Iterator[seams.Clock]:
    with clock.use(found := seams.Clock()):
        yield found


def test_deadline(time: seams.Clock) -> None:
    deadline = wait.Deadline.after(10)
    assert (deadline.remaining, deadline.passed, deadline.seconds) == (10, False, 10)
    time.now += 4
    assert deadline.remaining == 6
    assert deadline.within(3).remaining == 3
    assert deadline.within(7) is deadline
    assert deadline.leaving(0.5).remaining == 3
    time.now += 6
    assert deadline.passed
    time.now += 100
    assert deadline.remaining == 0


@given(SECONDS, SECONDS, st.floats(0, 1))
def test_no_deadline_outlives_the_one_it_comes_from(a: float, b: float, share: float) -> None:
    with clock.use(seams.Clock()):
        deadline = wait.Deadline.after(a)
        assert deadline.within(b).at <= deadline.at
        assert deadline.leaving(share).at <= deadline.at


def test_the_first_look_is_at_once(time: seams.Clock) -> None:
    assert wait.until(lambda: 'there', wait.Deadline.after(10), 'it') == 'there'
    assert time.naps == []


def test_pauses_grow_and_stay_short(time: seams.Clock) -> None:
    looks: list[int] = []
    assert wait.poll(
        lambda: looks.append(1) or (len(looks) > 40 or None),  # type: ignore[func-returns-value]
        wait.Deadline.after(100),
    )
    assert time.naps == sorted(time.naps)
    assert time.naps[0] < 0.01
    assert max(time.naps) <= 0.1


def test_no_answer_in_time(time: seams.Clock) -> None:
    with pytest.raises(
        exception.OperationTimedOut, match=r'after 5.* s waiting for the disk'
    ) as caught:
        wait.until(lambda: None, wait.Deadline.after(5), 'the disk')
    assert '5' in str(caught.value)
    assert time.now == pytest.approx(1005)


def test_a_passed_deadline_still_looks_once(time: seams.Clock) -> None:
    deadline = wait.Deadline.after(0)
    assert wait.poll(lambda: 7, deadline) == 7
    assert wait.poll(lambda: None, deadline) is None
    assert time.naps == []


def test_the_last_look_is_at_the_deadline(time: seams.Clock) -> None:
    """What happens in the very last pause is seen."""
    deadline = wait.Deadline.after(1)
    assert wait.poll(lambda: deadline.passed or None, deadline)


@pytest.mark.parametrize('falsy', [0, '', [], False])
def test_only_none_is_no_answer(time: seams.Clock, falsy: object) -> None:
    assert wait.poll(lambda: falsy, wait.Deadline.after(1)) == falsy
    assert time.naps == []


def test_holds(time: seams.Clock) -> None:
    assert wait.holds(lambda: time.now > 1002, wait.Deadline.after(5))
    assert not wait.holds(lambda: False, wait.Deadline.after(5))


def test_an_error_of_the_probe_ends_it(time: seams.Clock) -> None:
    def probe() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wait.poll(probe, wait.Deadline.after(5))


@pytest.mark.parametrize(
    ('given', 'seconds'), [(3.0, 3.0), (30.0, 20.0), (60.0, 20.0), (600.0, 200.0)]
)
def test_a_busy_program_is_waited_for_in_proportion_to_the_time(
    given: float, seconds: float
) -> None:
    deadline = wait.Deadline.after(given)
    assert deadline.patience(20.0).remaining == pytest.approx(seconds, abs=0.1)
    with bound.until(deadline.at):
        assert bound.share(wait.PATIENCE_SHARE, 20.0) == pytest.approx(max(seconds, 20), abs=0.1)
    assert bound.share(wait.PATIENCE_SHARE, 20.0) == 20.0
