# SPDX-License-Identifier: Apache-2.0
"""What the two flags of a detach mean, and how its errors come out."""

import logging

import pytest

from os_brick import exception
from os_brick.core import teardown


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ('force', 'ignore', 'expected'),
    [
        (False, False, teardown.OnError.RAISE),
        (False, True, teardown.OnError.RAISE),
        (True, False, teardown.OnError.FINISH),
        (True, True, teardown.OnError.IGNORE),
    ],
)
def test_flags(force: bool, ignore: bool, expected: teardown.OnError) -> None:
    assert teardown.OnError.of(force, ignore) is expected
    assert expected.is_forced is force


def test_raise_ends_at_the_first_error() -> None:
    steps = teardown.Teardown(teardown.OnError.RAISE)
    assert steps.run('first', lambda: None)
    with pytest.raises(ZeroDivisionError):
        steps.run('second', lambda: fail(ZeroDivisionError()))


def test_finish_then_raise() -> None:
    steps = teardown.Teardown(teardown.OnError.FINISH)
    done: list[str] = []
    assert not steps.run('first', lambda: fail(ZeroDivisionError('one')))
    assert not steps.run('second', lambda: fail(OSError('two')))
    assert steps.run('third', lambda: done.append('x'))
    assert done == ['x']
    with pytest.raises(exception.ExceptionChainer) as caught:
        steps.end()
    assert 'one' in str(caught.value)
    assert 'two' in str(caught.value)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_finish_and_only_warn(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    steps = teardown.Teardown(teardown.OnError.IGNORE)
    assert not steps.run('first', lambda: fail(OSError('one')))
    steps.end()
    assert 'one' in caplog.text
    assert 'first' in caplog.text


@pytest.mark.parametrize('on_error', list(teardown.OnError))
def test_nothing_went_wrong(on_error: teardown.OnError) -> None:
    steps = teardown.Teardown(on_error)
    assert steps.run('first', lambda: None)
    steps.end()


@pytest.mark.parametrize('on_error', list(teardown.OnError))
def test_interrupts_are_never_swallowed(on_error: teardown.OnError) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teardown.Teardown(on_error).run('first', interrupt)
