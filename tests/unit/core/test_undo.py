# SPDX-License-Identifier: Apache-2.0
"""Last first; the first error survives; what failed on the way back is noted."""

import functools

import pytest

from os_brick.core import undo as core_undo


def test_success_drops_the_steps() -> None:
    done: list[str] = []
    with core_undo.Undo() as undo:
        undo.add(done.append, 'a')
    assert done == []


def test_last_first() -> None:
    done: list[str] = []
    with pytest.raises(ZeroDivisionError), core_undo.Undo() as undo:  # noqa: PT012
        undo.add(done.append, 'a')
        undo.add(done.append, 'b')
        raise ZeroDivisionError
    assert done == ['b', 'a']


@pytest.mark.parametrize('kind', [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_interrupts_undo_as_well(kind: type[BaseException]) -> None:
    done: list[str] = []
    with pytest.raises(kind), core_undo.Undo() as undo:  # noqa: PT012
        undo.add(done.append, 'a')
        raise kind
    assert done == ['a']


def test_a_step_that_fails_is_noted_and_stops_nothing() -> None:
    done: list[str] = []

    def broken() -> None:
        raise OSError('cannot')

    with pytest.raises(ZeroDivisionError) as caught, core_undo.Undo() as undo:  # noqa: PT012
        undo.add(done.append, 'a')
        undo.add(broken)
        undo.add(done.append, 'b')
        raise ZeroDivisionError
    assert done == ['b', 'a']
    (note,) = caught.value.__notes__
    assert 'broken' in note
    assert 'cannot' in note
    assert caught.value.__context__ is None


def test_keywords_reach_the_step() -> None:
    done: list[dict[str, int]] = []

    def step(a: int, *, b: int) -> None:
        done.append({'a': a, 'b': b})

    with pytest.raises(ZeroDivisionError), core_undo.Undo() as undo:  # noqa: PT012
        undo.add(step, 1, b=2)
        raise ZeroDivisionError
    assert done == [{'a': 1, 'b': 2}]


def test_steps_without_a_name() -> None:
    """A partial or another callable is a step as well."""
    done: list[str] = []
    with pytest.raises(ZeroDivisionError), core_undo.Undo() as undo:  # noqa: PT012
        undo.add(functools.partial(done.append, 'a'))
        raise ZeroDivisionError
    assert done == ['a']


def test_inner_then_outer() -> None:
    done: list[str] = []
    with pytest.raises(ZeroDivisionError), core_undo.Undo() as outer:  # noqa: PT012
        outer.add(done.append, 'outer')
        with core_undo.Undo() as inner:
            inner.add(done.append, 'inner')
            raise ZeroDivisionError
    assert done == ['inner', 'outer']
