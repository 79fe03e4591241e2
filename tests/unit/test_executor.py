# SPDX-License-Identifier: Apache-2.0
"""The base class through which consumers run programs."""

import threading
from typing import Any

from oslo_concurrency import processutils
from oslo_context import context
import pytest

from os_brick import executor
from os_brick.core import process
from tests.unit import seams


def test_calls_the_callable_with_everything_unchanged() -> None:
    calls: list[Any] = []

    def execute(*args: Any, **kwargs: Any) -> tuple[bytes, str]:
        calls.append((args, kwargs))
        return b'out\xff', 'err'

    made = executor.Executor('sudo helper', execute, 'ignored', also='ignored')
    assert made._execute('ls', 1, run_as_root=True) == ('out', 'err')
    assert calls == [(('ls', 1), {'run_as_root': True})]
    assert made._root_helper == 'sudo helper'


@pytest.mark.parametrize('nothing', [None, (), ''])
def test_a_false_result_is_returned_as_it_is(nothing: Any) -> None:
    assert executor.Executor(None, lambda *_args: nothing)._execute('x') == nothing


def test_errors_are_made_text() -> None:
    def execute(*_args: Any) -> None:
        raise processutils.ProcessExecutionError(
            stdout=b'o\xff', stderr=b'e', cmd=['a', b'b'], description=b'd'
        )

    with pytest.raises(processutils.ProcessExecutionError) as caught:
        executor.Executor(None, execute)._execute('x')
    error = caught.value
    assert (error.stdout, error.stderr, error.cmd, error.description) == ('o', 'e', ['a', 'b'], 'd')


def test_other_errors_pass() -> None:
    def execute(*_args: Any) -> None:
        raise KeyError('x')

    with pytest.raises(KeyError):
        executor.Executor(None, execute)._execute('x')


def test_safe_decode() -> None:
    assert executor.Executor.safe_decode(None) is None
    with pytest.raises(TypeError):
        executor.Executor.safe_decode(5)


def test_the_setters_can_be_overridden_and_are_used_by_the_constructor() -> None:
    seen: list[Any] = []

    class Mine(executor.Executor):
        def set_execute(self, execute: Any) -> None:
            seen.append(execute)
            super().set_execute(execute)

    made = Mine(root_helper=None, execute=len)
    made.set_root_helper('other')
    assert seen == [len]
    assert made._root_helper == 'other'


def test_the_default_runs_programs_here() -> None:
    programs = seams.Programs({'echo hello': [(0, 'hello\n', '')]})
    with process.use(programs):
        assert executor.Executor(None)._execute('echo', 'hello') == ('hello\n', '')


def test_a_thread_has_the_context_of_its_maker() -> None:
    seen: list[Any] = []
    mine = context.RequestContext(request_id='req-1')
    thread = executor.Thread(target=lambda: seen.append(context.get_current()))
    other = threading.Thread(target=thread.start)
    other.start()
    other.join()
    thread.join()
    assert seen == [mine]
