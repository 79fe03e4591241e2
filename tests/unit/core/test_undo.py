# SPDX-License-Identifier: Apache-2.0
"""Last first; the first error survives; what failed on the way back is noted."""

import dataclasses
import errno
import functools
import json
import threading

import pytest

from os_brick.core import undo as core_undo


def test_success_drops_the_steps() -> None:
    done: list[str] = []
    with core_undo.Undo() as undo:
        undo.add_local(done.append, 'a')
    assert done == []


def test_last_first() -> None:
    done: list[str] = []
    with pytest.raises(ZeroDivisionError), core_undo.Undo() as undo:  # noqa: PT012
        undo.add_local(done.append, 'a')
        undo.add_local(done.append, 'b')
        raise ZeroDivisionError
    assert done == ['b', 'a']


@pytest.mark.parametrize('kind', [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_interrupts_undo_as_well(kind: type[BaseException]) -> None:
    done: list[str] = []
    with pytest.raises(kind), core_undo.Undo() as undo:  # noqa: PT012
        undo.add_local(done.append, 'a')
        raise kind
    assert done == ['a']


def test_a_step_that_fails_is_noted_and_stops_nothing() -> None:
    done: list[str] = []

    def broken() -> None:
        raise OSError('cannot')

    with pytest.raises(ZeroDivisionError) as caught, core_undo.Undo() as undo:  # noqa: PT012
        undo.add_local(done.append, 'a')
        undo.add_local(broken)
        undo.add_local(done.append, 'b')
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
        undo.add_local(step, 1, b=2)
        raise ZeroDivisionError
    assert done == [{'a': 1, 'b': 2}]


def test_steps_without_a_name() -> None:
    """A partial or another callable is a step as well."""
    done: list[str] = []
    with pytest.raises(ZeroDivisionError), core_undo.Undo() as undo:  # noqa: PT012
        undo.add_local(functools.partial(done.append, 'a'))
        raise ZeroDivisionError
    assert done == ['a']


def test_inner_then_outer() -> None:
    done: list[str] = []
    with pytest.raises(ZeroDivisionError), core_undo.Undo() as outer:  # noqa: PT012
        outer.add_local(done.append, 'outer')
        with core_undo.Undo() as inner:
            inner.add_local(done.append, 'inner')
            raise ZeroDivisionError
    assert done == ['inner', 'outer']


DONE: list[object] = []


@core_undo.verb
def note(what: str, numbers: list[int], *, twice: bool = False) -> None:
    DONE.append((what, numbers, twice))


def test_steps_are_data_and_can_be_replayed() -> None:
    DONE.clear()
    undo = core_undo.Undo()
    undo.add(note, 'a', [1, 2])
    inner = core_undo.Undo()
    inner.add(note, 'b', [], twice=True)
    undo.adopt(inner)
    steps = json.loads(json.dumps(undo.steps()))
    assert [step['args'] for step in steps] == [['a', [1, 2]], ['b', []]]
    assert {step['verb'] for step in steps} <= core_undo.verbs()
    assert core_undo.replay(steps) == []
    assert DONE == [('b', [], True), ('a', [1, 2], False)]


def test_a_function_that_is_not_a_verb_is_refused() -> None:
    """Another process could not run it."""
    undo = core_undo.Undo()
    with pytest.raises(TypeError, match='not a verb'):
        undo.add(DONE.append, 'a')  # type: ignore[arg-type]
    undo.add_local(DONE.append, 'a')
    undo.add(note, 'b', [])
    assert [step['args'] for step in undo.steps()] == [['b', []]]


@pytest.mark.parametrize('value', [object(), {1: 'a'}, [b'bytes'], {'a': {1, 2}}])
def test_arguments_of_a_verb_have_to_be_plain(value: object) -> None:
    with pytest.raises(TypeError, match='note'):
        core_undo.Undo().add(note, value, [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    'name', ['unknown', 'host.unknown.verb', 'core.undo.replay', 'os.system', '..os.system', '']
)
def test_an_unknown_verb_runs_nothing(name: str) -> None:
    DONE.clear()
    known = core_undo.Step(note, ('a', [])).as_dict()
    with pytest.raises(KeyError):
        core_undo.replay([known, {**known, 'verb': name}])
    assert DONE == []


def test_a_step_added_after_the_others_have_run_is_run_at_once() -> None:
    """A thread that an interrupted operation has left adds to a stack that no one runs again."""
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), core_undo.Undo() as undo:
        raise KeyboardInterrupt
    undo.add_local(done.append, 'late')
    assert done == ['late']


def test_an_interrupt_while_undoing_keeps_no_step_from_its_turn() -> None:
    done: list[str] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    undo = core_undo.Undo()
    undo.add_local(done.append, 'a')
    undo.add_local(interrupted)
    with pytest.raises(KeyboardInterrupt):
        undo.take_back()
    assert done == ['a']


class _Timeout(BaseException):
    """As eventlet.Timeout is."""


@pytest.mark.parametrize('kind', [KeyboardInterrupt, SystemExit, GeneratorExit, _Timeout])
def test_an_interrupt_of_any_kind_in_a_step_keeps_no_other_from_its_turn(
    kind: type[BaseException],
) -> None:
    done: list[str] = []

    def interrupted() -> None:
        raise kind

    with pytest.raises(kind), core_undo.Undo() as undo:  # noqa: PT012
        undo.add_local(done.append, 'a')
        undo.add_local(interrupted)
        undo.add_local(done.append, 'b')
        raise ZeroDivisionError
    assert done == ['b', 'a']


def test_what_failed_is_noted_once() -> None:
    """A block inside takes back under a lock of its own, before the whole does."""

    def fails() -> None:
        raise OSError('stuck')

    with pytest.raises(ZeroDivisionError) as caught, core_undo.Undo() as undo, undo.on_error():  # noqa: PT012
        undo.add_local(fails)
        raise ZeroDivisionError
    assert len(caught.value.__notes__) == 1


@dataclasses.dataclass(frozen=True, slots=True)
class Inner:
    name: str | None
    numbers: tuple[int, ...] = (1, 2)


@dataclasses.dataclass(frozen=True, slots=True)
class Outer:
    inner: Inner
    flag: bool


def test_values_with_fields_as_arguments() -> None:
    value = Outer(Inner('a'), flag=True)
    assert core_undo.plain(value) == dataclasses.asdict(value)
    assert core_undo.plain('a') == 'a'
    assert core_undo.plain(None) is None


def test_a_step_that_is_interrupted_is_run_once_more() -> None:
    """A process that is told to end has no later chance to take back what the step was at."""
    done: list[str] = []
    first = iter([SystemExit, None])

    def remove() -> None:
        if (kind := next(first)) is not None:
            raise kind
        done.append('removed')

    undo = core_undo.Undo()
    undo.add_local(done.append, 'a')
    undo.add_local(remove)
    with pytest.raises(SystemExit):
        undo.take_back()
    assert done == ['removed', 'a']


def test_a_step_that_is_interrupted_again_is_given_up() -> None:
    begun: list[int] = []

    def hangs() -> None:
        begun.append(1)
        raise KeyboardInterrupt

    undo = core_undo.Undo()
    undo.add_local(hangs)
    with pytest.raises(KeyboardInterrupt):
        undo.take_back()
    assert len(begun) == 2


def test_a_step_for_which_the_daemon_has_died_is_run_once_more() -> None:
    """The next call starts another one."""
    done: list[str] = []
    died = OSError(errno.EPIPE, 'The privileged daemon has died')
    errors = iter([died, None])

    def remove() -> None:
        if (error := next(errors)) is not None:
            raise ValueError('not removed') from error
        done.append('removed')

    undo = core_undo.Undo()
    undo.add_local(done.append, 'a')
    undo.add_local(remove)
    undo.take_back()
    assert (done, undo.failures) == (['removed', 'a'], [])
    errors = iter([died, None])
    undo.add_local(remove)
    assert (done, undo.failures) == (['removed', 'a', 'removed'], [])


def test_a_step_added_meanwhile_has_no_other_run_before_its_turn() -> None:
    """A thread adds one while another is in the middle of taking back: the session waits its turn.

    And it has ended when the taking back has: the locks of the operation are free then.
    """
    log: list[str] = []
    begun, go, over = threading.Event(), threading.Event(), threading.Event()

    def disk() -> None:
        log.append('disk begins')
        begun.set()
        go.wait(5)
        log.append('disk has gone')

    def session() -> None:
        log.append('session begins')
        over.wait(0.2)
        log.append('session has gone')

    def take_back() -> None:
        undo.take_back()
        log.append('over')
        over.set()

    undo = core_undo.Undo()
    undo.add_local(session)
    undo.add_local(disk)
    main = threading.Thread(target=take_back)
    main.start()
    assert begun.wait(5)
    late = threading.Thread(target=undo.add_local, args=(log.append, 'late'))
    late.start()
    late.join(0.1)
    go.set()
    for thread in (main, late):
        thread.join(5)
    assert log[-1] == 'over'
    log.remove('late')
    in_turn = ['disk begins', 'disk has gone', 'session begins', 'session has gone', 'over']
    assert log == in_turn
