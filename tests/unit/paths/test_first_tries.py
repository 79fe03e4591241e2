# SPDX-License-Identifier: Apache-2.0
"""When the first tries at paths are over, and what they have ended in."""

from collections.abc import Sequence
import threading
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.paths import first_tries
from os_brick.plans import paths as plans
from os_brick.plans import verdicts

UNREACHABLE = verdicts.PathUnreachable('portal does not answer')
REFUSED = exception.LoginRefused(target='t', portal='p', reason='secret')
OTHER = exception.VolumeIdentityMismatch(device='/dev/sda', expected='gold', actual='silver')
NOT_BELIEVED = verdicts.NotAuthenticated('the secret is wrong')


class Tries:
    """Tries that end as they are told; ``None`` opens a path, an event is waited for."""

    def __init__(self, outcomes: dict[str, Any], **policy: Any) -> None:
        self.outcomes = outcomes
        self.open: set[str] = set()
        self.tries = first_tries.FirstTries(
            self.attempt, plans.Policy(**policy), wait.Deadline.after(30), self.counts
        )

    def attempt(self, path: str) -> None:
        outcome = self.outcomes[path]
        if isinstance(outcome, threading.Event):
            outcome.wait(30)
        elif outcome is not None:
            raise outcome
        self.open.add(path)

    def counts(self, pending: frozenset[str]) -> tuple[int, int]:
        return len(self.open), 0

    def make(self) -> None:
        self.tries.make(list(self.outcomes))


class Driver:
    def summary(self, texts: Sequence[str], errors: Sequence[Exception]) -> Exception:
        return exception.VolumeDeviceNotFound('; '.join(texts))


def test_all_open() -> None:
    found = Tries({'a': None, 'b': None}, wanted=2)
    found.make()
    assert found.open == {'a', 'b'}
    assert not found.tries.errors
    found.tries.require_one_volume()


def test_a_path_without_an_answer_is_left_behind() -> None:
    late = threading.Event()
    found = Tries({'a': None, 'b': late})
    found.make()
    assert found.open == {'a'}
    late.set()


def test_no_other_path_is_worth_waiting_for_once_the_host_is_not_believed() -> None:
    late = threading.Event()
    found = Tries({'a': NOT_BELIEVED, 'b': late})
    found.make()
    assert not found.open
    assert found.tries.error(['a', 'b'], Driver()) is NOT_BELIEVED
    late.set()


@pytest.mark.parametrize(
    ('outcomes', 'are_unreachable'),
    [
        ({'a': UNREACHABLE, 'b': UNREACHABLE}, True),
        ({'a': UNREACHABLE, 'b': REFUSED}, False),
        ({'a': None}, False),
    ],
)
def test_whether_no_portal_has_answered(outcomes: dict[str, Any], are_unreachable: bool) -> None:
    found = Tries(outcomes)
    found.make()
    assert found.tries.are_unreachable() is are_unreachable


@pytest.mark.parametrize('is_fatal', [True, False])
def test_a_path_to_another_volume(is_fatal: bool) -> None:
    found = Tries({'a': None, 'b': OTHER}, wanted=2, is_mismatch_fatal=is_fatal)
    found.make()
    if is_fatal:
        with pytest.raises(exception.VolumeIdentityMismatch):
            found.tries.require_one_volume()
    else:
        found.tries.require_one_volume()
    assert found.tries.failures() == [f'b: {OTHER}']


@pytest.mark.parametrize(
    ('outcomes', 'expected'),
    [
        ({'a': UNREACHABLE, 'b': REFUSED}, str(REFUSED)),
        ({'a': REFUSED, 'b': OTHER}, str(OTHER)),
        ({'a': UNREACHABLE}, str(UNREACHABLE)),
        (
            {'one': UNREACHABLE, 'two': UNREACHABLE},
            'one: portal does not answer; two: portal does not answer',
        ),
    ],
)
def test_which_error_explains_an_attach_without_a_path(
    outcomes: dict[str, Any], expected: str
) -> None:
    found = Tries(outcomes)
    found.make()
    assert str(found.tries.error(list(outcomes), Driver())) == expected
