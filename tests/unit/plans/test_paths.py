# SPDX-License-Identifier: Apache-2.0
"""When to scan, when an attach goes on without further ways, and which error it tells."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick import exception
from os_brick.plans import paths as plans


@pytest.mark.parametrize(
    ('seconds', 'ready', 'answering', 'silent', 'go'),
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
        (1.0, 2, 1, 1, False),  # One is under way: the silent one has that time as well.
    ],
)
def test_may_go_on(seconds: float, ready: int, answering: int, silent: int, go: bool) -> None:
    assert plans.may_go_on(plans.Progress(seconds, ready, answering, silent)) is go


@pytest.mark.parametrize(
    ('seconds', 'enough_at', 'go'),
    [
        (0.02, 0.01, False),  # A busy process needs that long for one round trip.
        (0.2, 0.01, True),
        (0.29, 0.2, False),
        (0.31, 0.2, True),
        (0.5, 0.49, True),  # Nobody notices less.
    ],
)
def test_a_silent_way_gets_as_long_as_the_others(
    seconds: float, enough_at: float, go: bool
) -> None:
    progress = plans.Progress(seconds, ready=3, answering=0, silent=1, enough_at=enough_at)
    assert plans.may_go_on(progress) is go
    assert plans.may_go_on(progress, least_silent=0.5) is (seconds >= 0.5)


@given(
    st.floats(0, 1000), st.integers(0, 8), st.integers(0, 8), st.integers(0, 8), st.floats(0, 1000)
)
def test_once_on_always_on(
    seconds: float, ready: int, answering: int, silent: int, more: float
) -> None:
    """Time alone never takes back the decision to go on."""
    if plans.may_go_on(plans.Progress(seconds, ready, answering, silent)):
        assert plans.may_go_on(plans.Progress(seconds + more, ready, answering, silent))


@pytest.mark.parametrize(
    ('ready', 'silent', 'go'),
    [(1, 1, False), (2, 1, True), (1, 0, True)],
)
def test_more_ways_are_wanted(ready: int, silent: int, go: bool) -> None:
    """One way is enough only when no other can come."""
    assert plans.may_go_on(plans.Progress(100.0, ready, 0, silent), wanted=2) is go


def test_the_weightiest_error_decides() -> None:
    away, refused, other = OSError('away'), exception.LoginRefused('no'), OSError('busy')
    mismatch = exception.VolumeIdentityMismatch(device='d', expected='a', actual='b')
    kinds = (exception.VolumeIdentityMismatch, exception.LoginRefused)
    assert plans.deciding_error([away, refused, mismatch], kinds) is mismatch
    assert plans.deciding_error([away, refused], kinds) is refused
    assert plans.deciding_error([away], kinds) is away
    assert plans.deciding_error([away, other], kinds) is None


@given(st.integers(-3, 50), st.floats(0.1, 100))
def test_scan_times(attempts: int, seconds: float) -> None:
    times = plans.scan_times(attempts, seconds)
    assert len(times) == max(attempts, 1)
    assert times[0] == 0
    assert times == sorted(times)
    assert all(time < seconds for time in times)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(gaps))
