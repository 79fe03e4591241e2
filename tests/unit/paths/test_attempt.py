# SPDX-License-Identifier: Apache-2.0
"""One try at a path: from its first act on it shares the volume's lock, until all is over."""

from collections.abc import Iterator
import pathlib
import threading

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import locks, wait
from os_brick.paths import attempt
from os_brick.plans import verdicts

KEY = 'iscsi iqn.x 1'


@pytest.fixture(autouse=True)
def _locks(tmp_path: pathlib.Path) -> Iterator[None]:
    cfg.CONF.set_override('lock_path', str(tmp_path), group='os_brick')
    yield
    cfg.CONF.clear_override('lock_path', group='os_brick')


def is_locked() -> bool:
    try:
        with locks.hold(locks.VOLUME, KEY, wait.Deadline.after(0)):
            return False
    except exception.OperationTimedOut:
        return True


class Try:
    """An attempt, and whether its path is of use to anyone."""

    def __init__(self, lock: locks.Hold) -> None:
        self.is_wanted = True
        self.guard = threading.Condition()
        self.attempt = attempt.Attempt(
            *('path a', self.guard, lock, wait.Deadline.after(30)),
            lambda: self.is_wanted,
            ask=True,
            clean_up_seconds=3.0,
        )

    def call_off(self, *, unless_begun: bool = False) -> None:
        with self.guard:
            self.attempt.call_off(unless_begun=unless_begun)


def test_the_lock_outlives_the_operation_until_the_try_has_ended() -> None:
    with locks.shared(locks.VOLUME, KEY, wait.Deadline.after(5)) as lock:
        one = Try(lock)
        one.attempt.begin()
        one.attempt.begin()  # Each act says so; it is one share.
    assert is_locked()
    one.attempt.end()
    assert not is_locked()


def test_a_try_that_has_made_nothing_holds_nothing() -> None:
    with locks.shared(locks.VOLUME, KEY, wait.Deadline.after(5)) as lock:
        one = Try(lock)
    assert not is_locked()
    one.attempt.end()


def test_one_that_is_called_off_makes_nothing_more() -> None:
    with locks.shared(locks.VOLUME, KEY, wait.Deadline.after(5)) as lock:
        one = Try(lock)
        one.attempt.check()
        one.call_off()
        for act in (one.attempt.begin, one.attempt.check):
            with pytest.raises(verdicts.CalledOff, match='path a'):
                act()
        assert not one.attempt.is_wanted
    assert not is_locked()


@pytest.mark.parametrize('is_begun', [True, False])
def test_what_is_in_the_middle_of_something_may_go_on(is_begun: bool) -> None:
    with locks.shared(locks.VOLUME, KEY, wait.Deadline.after(5)) as lock:
        one = Try(lock)
        if is_begun:
            one.attempt.begin()
        one.call_off(unless_begun=True)
        assert one.attempt.is_wanted is is_begun
        one.attempt.end()


def test_a_path_that_no_one_wants_any_more_is_not_wanted() -> None:
    with locks.shared(locks.VOLUME, KEY, wait.Deadline.after(5)) as lock:
        one = Try(lock)
        assert one.attempt.is_wanted
        one.is_wanted = False
        assert not one.attempt.is_wanted


def test_whether_it_is_worth_waiting_for() -> None:
    with locks.shared(locks.VOLUME, KEY, wait.Deadline.after(5)) as lock:
        one = Try(lock)
        found = []
        for act in (lambda: None, one.attempt.respond, one.attempt.stall):
            act()
            with one.guard:
                found.append(one.attempt.is_responding)
    assert found == [False, True, False]
