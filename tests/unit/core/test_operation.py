# SPDX-License-Identifier: Apache-2.0
"""The course of an operation, held by something that is not a connector."""

import pathlib

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import locks, observe, operation, teardown, wait
from os_brick.model import settings

LOCK = (locks.VOLUME, 'v')


@pytest.fixture(autouse=True)
def _locks(tmp_path: pathlib.Path):
    cfg.CONF.set_override('lock_path', str(tmp_path), group='os_brick')
    yield
    cfg.CONF.clear_override('lock_path', group='os_brick')


SETTINGS = settings.Settings(operation_seconds=100.0)


def begin():
    return operation.begin('connect', {'auth_password': 's3cret'}, LOCK, SETTINGS)


def is_locked() -> bool:
    try:
        with locks.hold(*LOCK, wait.Deadline.after(0)):
            return False
    except exception.OperationTimedOut:
        return True


def remove(act, on_error=teardown.OnError.RAISE, seconds=100.0):
    asked = settings.Settings(operation_seconds=seconds)
    operation.remove('disconnect', {}, LOCK, asked, on_error, act)


def test_work_leaves_time_for_taking_back():
    with begin() as op:
        assert op.deadline.remaining == pytest.approx(100, abs=1)
        assert op.work.remaining == pytest.approx(85, abs=1)
        assert op.clean_up_seconds == pytest.approx(15, abs=1)
        assert op.settings is SETTINGS


def test_what_is_taken_back_is_taken_back_under_the_lock():
    seen = []

    def act():
        with begin() as op:
            op.undo.add_local(lambda: seen.append(is_locked()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        act()
    assert seen == [True]
    assert not is_locked()


def test_nothing_is_taken_back_of_what_succeeded():
    with begin() as op:
        op.undo.add_local(lambda: pytest.fail('taken back'))
    assert not is_locked()


def test_a_removal_raises_at_once():
    def act(_op, steps):
        steps.run('flush', lambda: 1 / 0)
        pytest.fail('went on')

    with pytest.raises(ZeroDivisionError):
        remove(act)
    assert not is_locked()


def fails_twice(_op, steps):
    assert not steps.run('flush', lambda: 1 / 0)
    assert steps.run('removal', lambda: None)
    assert is_locked()
    raise ValueError('the last')


def test_a_forced_removal_goes_on_and_raises_all_once_the_lock_is_free():
    with pytest.raises(exception.ExceptionChainer, match=r'(?s)division.*the last') as caught:
        remove(fails_twice, teardown.OnError.FINISH)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not is_locked()


def test_errors_that_are_to_be_ignored_are_only_logged(caplog):
    remove(fails_twice, teardown.OnError.IGNORE)
    assert 'Detach: the flush failed' in caplog.text
    assert 'the last' in caplog.text


@pytest.mark.parametrize(
    ('on_error', 'raised'),
    [
        (teardown.OnError.RAISE, exception.OperationTimedOut),
        (teardown.OnError.FINISH, exception.ExceptionChainer),
        (teardown.OnError.IGNORE, None),
    ],
)
def test_a_lock_that_is_not_free_in_time_is_an_error_like_others(on_error, raised):
    entered = []

    def act(_op, _steps):
        entered.append(1)

    with locks.hold(*LOCK, wait.Deadline.after(10)):
        if raised is None:
            remove(act, on_error, 0.1)
        else:
            with pytest.raises(raised):
                remove(act, on_error, 0.1)
    assert not entered


def test_an_interrupt_while_the_end_is_noted_takes_back():
    """The caller is not told of what it has, so that it would be left."""
    seen = []

    class Interrupted:
        def course(self, name, key):
            return observe.Course(name, key)

        def begin(self, course):
            pass

        def reach(self, step):
            pass

        def end(self, course, error):
            seen.append('noted')
            raise SystemExit

    def act():
        with operation.begin('connect', {}, LOCK, SETTINGS, Interrupted()) as op:
            op.undo.add_local(lambda: seen.append(is_locked()))

    with pytest.raises(SystemExit):
        act()
    assert seen == ['noted', True]
    assert not is_locked()
