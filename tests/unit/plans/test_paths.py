# SPDX-License-Identifier: Apache-2.0
"""When to scan, when an attach goes on without further paths, and which error it tells."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.plans import paths as plans


@pytest.mark.parametrize(
    ('seconds', 'ready', 'responding', 'unreachable', 'go'),
    [
        (0.0, 4, 0, 0, True),  # All are there.
        (0.0, 0, 0, 0, True),  # All have failed: nothing to wait for.
        (0.0, 3, 1, 0, False),
        (5.0, 3, 1, 0, False),
        (10.0, 3, 1, 0, True),
        (0.1, 3, 0, 1, False),
        (0.5, 3, 0, 1, True),
        (100.0, 0, 1, 0, False),  # Nothing to go on with.
        (100.0, 0, 0, 1, False),
        (1.0, 2, 1, 1, False),  # One is under path: the unreachable one has that time as well.
    ],
)
def test_may_stop_waiting(
    seconds: float, ready: int, responding: int, unreachable: int, go: bool
) -> None:
    assert plans.may_stop_waiting(plans.Progress(seconds, ready, responding, unreachable)) is go


@pytest.mark.parametrize(
    ('seconds', 'enough_at', 'go'),
    [
        (0.02, 0.01, False),  # A busy process needs that long for one round trip.
        (0.2, 0.01, True),
        (0.29, 0.2, False),
        (0.31, 0.2, True),
        (0.5, 0.49, True),  # No one notices less.
    ],
)
def test_a_unreachable_path_gets_as_long_as_the_others(
    seconds: float, enough_at: float, go: bool
) -> None:
    progress = plans.Progress(seconds, ready=3, responding=0, unreachable=1, enough_at=enough_at)
    assert plans.may_stop_waiting(progress) is go
    assert plans.may_stop_waiting(progress, plans.Policy(grace_seconds=0.5)) is (seconds >= 0.5)


@given(
    st.floats(0, 1000), st.integers(0, 8), st.integers(0, 8), st.integers(0, 8), st.floats(0, 1000)
)
def test_once_on_alpaths_on(
    seconds: float, ready: int, responding: int, unreachable: int, more: float
) -> None:
    """Time alone never takes back the decision to go on."""
    if plans.may_stop_waiting(plans.Progress(seconds, ready, responding, unreachable)):
        assert plans.may_stop_waiting(
            plans.Progress(seconds + more, ready, responding, unreachable)
        )


@pytest.mark.parametrize(
    ('ready', 'unreachable', 'go'),
    [(1, 1, False), (2, 1, True), (1, 0, True)],
)
def test_more_paths_are_wanted(ready: int, unreachable: int, go: bool) -> None:
    """One path is enough only when no other can come."""
    assert (
        plans.may_stop_waiting(plans.Progress(100.0, ready, 0, unreachable), plans.Policy(wanted=2))
        is go
    )


@given(st.integers(-3, 50), st.floats(0.1, 100))
def test_scan_times(attempts: int, seconds: float) -> None:
    times = plans.scan_times(attempts, seconds)
    assert len(times) == max(attempts, 1)
    assert times[0] == 0
    assert times == sorted(times)
    assert all(time < seconds for time in times)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(gaps))
