# SPDX-License-Identifier: Apache-2.0
"""Paths side by side: used, closed, excluded; late ones join, are called off, or are taken back."""

from collections.abc import Iterator, Sequence
import pathlib
import threading

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import background, locks, operation, turns, undo, wait
from os_brick.paths import path_set
from os_brick.paths.attempt import Attempt
from os_brick.plans import paths as plans
from os_brick.plans.verdicts import PathUnreachable
from tests.unit.paths.doubles import HOST, KEY, SETTINGS, Assembly, Driver, begin


@pytest.fixture(autouse=True)
def _host(tmp_path: pathlib.Path) -> Iterator[None]:
    HOST.clear()
    cfg.CONF.set_override('lock_path', str(tmp_path), group='os_brick')
    yield
    background.stop(KEY)
    cfg.CONF.clear_override('lock_path', group='os_brick')


def path_set_of(
    op: operation.Operation, names: str, **errors: Exception
) -> path_set.PathSet[str, str]:
    """A set of paths that all answer, and are all waited for."""
    driver = Driver(**errors)
    return path_set.PathSet(driver, Assembly(), names, plans.Policy(wanted=len(names)), op)


def attach(driver: Driver, assembly: Assembly) -> None:
    """An attach that has its volume by the path ``a``, and ``b`` is late."""
    with begin() as op:
        paths = path_set.PathSet(driver, assembly, 'ab', plans.Policy(), op)
        assert paths.open() == ['a']
        paths.add_in_background()


def unlocked() -> bool:
    try:
        with locks.hold(locks.VOLUME, KEY, wait.Deadline.after(10)):
            return True
    except exception.OperationTimedOut:
        return False


def test_side_by_side_those_that_open_are_used() -> None:
    with begin() as op:
        paths = path_set_of(op, 'abc', b=exception.VolumeDeviceNotFound('b has no disk'))
        assert paths.open() == ['a', 'c']
        assert paths.failures() == ['b has no disk']
        paths.keep()
    assert {'a', 'c'} == HOST


def test_an_operation_that_fails_later_closes_them() -> None:
    def attach_and_fail() -> None:
        with begin() as op:
            path_set_of(op, 'ab').open()
            assert {'a', 'b'} == HOST
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attach_and_fail()
    assert set() == HOST


def test_a_path_to_another_volume_forbids_the_attach() -> None:
    other = exception.VolumeIdentityMismatch(device='/dev/b', expected='gold', actual='silver')
    with pytest.raises(exception.VolumeIdentityMismatch), begin() as op:
        path_set_of(op, 'ab', b=other).open()
    assert set() == HOST


def test_one_that_is_excluded_is_taken_back_and_the_others_stay() -> None:
    with begin() as op:
        paths = path_set_of(op, 'ab')
        paths.open()
        paths.exclude('a')
        paths.keep()
    assert {'b'} == HOST


def test_what_would_be_taken_back_is_data() -> None:
    with begin() as op:
        paths = path_set_of(op, 'ab')
        paths.open()
        assert sorted(step['args'] for step in paths.steps()) == [['a'], ['b']]
        paths.keep()


def test_one_in_the_middle_of_something_joins_and_holds_the_lock_until_then() -> None:
    driver, assembly = Driver(late='b', has_begun=True), Assembly()
    attach(driver, assembly)
    with (
        pytest.raises(exception.OperationTimedOut),
        locks.hold(locks.VOLUME, KEY, wait.Deadline.after(0)),
    ):
        pass
    driver.answer.set()
    assert assembly.joined.wait(10)
    assert unlocked()
    assert (assembly.late, HOST) == (['b'], {'a', 'b'})


def test_another_operation_calls_it_off_and_what_it_has_made_goes() -> None:
    driver, assembly = Driver(late='b', has_begun=True), Assembly()
    attach(driver, assembly)
    background.interrupt(KEY)
    driver.answer.set()
    assert unlocked()
    assert (assembly.late, HOST) == ([], {'a'})


def test_a_volume_that_has_gone_gets_no_path() -> None:
    driver, assembly = Driver(late='b', has_begun=True), Assembly()
    attach(driver, assembly)
    assembly.is_here = False
    driver.answer.set()
    assert unlocked()
    assert (assembly.late, HOST) == ([], {'a'})


def test_an_attach_that_fails_waits_for_what_is_under_way() -> None:
    driver, assembly = Driver(late='b', has_begun=True), Assembly()

    def fail() -> None:
        with begin() as op:
            paths = path_set.PathSet(driver, assembly, 'ab', plans.Policy(), op)
            paths.open()
            threading.Timer(0.1, driver.answer.set).start()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert set() == HOST
    assert unlocked()


class Answering(Driver):
    """Portals that are known to answer, but for those there is an error for."""

    def reachable(self, path: str, deadline: wait.Deadline, *, ask: bool) -> bool:
        if path in self.errors:
            raise self.errors[path]
        return True


def is_free(of: turns.Turns) -> bool:
    """Whether another attach would have its turn now."""
    other = turns.Turn(of)
    other.take(wait.Deadline.after(0), lambda: None)
    found = other in of._taken
    other.give(counts=True)
    return found


def test_an_attach_has_its_turn_until_it_has_its_volume() -> None:
    of = turns.Turns(1)
    with begin() as op:
        turn, policy = turns.Turn(of), plans.Policy(wanted=2)
        paths = path_set.PathSet(Answering(), Assembly(), 'ab', policy, op, turn=turn)
        assert len(paths.open()) == 2
        assert not is_free(of)
        paths.add_in_background()
        assert is_free(of)


def test_an_attach_that_fails_gives_its_turn_back() -> None:
    of = turns.Turns(1)

    def fail() -> None:
        with begin() as op:
            turn = turns.Turn(of)
            path_set.PathSet(Answering(), Assembly(), 'a', plans.Policy(), op, turn=turn).open()
            raise RuntimeError('no map')

    with pytest.raises(RuntimeError, match='no map'):
        fail()
    assert is_free(of)
    assert not HOST


def test_a_portal_that_does_not_answer_has_no_turn() -> None:
    """Nor has it when it is tried all the same: 16 attaches of a dead array hold up no other."""
    of = turns.Turns(1)
    driver = Answering(a=PathUnreachable('a'))
    free = []

    class Trying(Answering):
        def reachable(self, path: str, deadline: wait.Deadline, *, ask: bool) -> bool:
            return not ask or driver.reachable(path, deadline, ask=ask)

        def open(self, path: str, attempt: Attempt) -> str:
            free.append(is_free(of))
            return super().open(path, attempt)

    with begin() as op:
        turn = turns.Turn(of)
        paths = path_set.PathSet(Trying(), Assembly(), 'a', plans.Policy(), op, turn=turn)
        assert paths.open() == ['a']
        paths.keep()
    assert free == [True]


@pytest.mark.native
def test_attaches_that_wait_for_their_turn_have_it_one_after_the_other() -> None:
    """No two are between their first disk and their map at once, and all get there."""
    of = turns.Turns(1)
    inside, most = [], []

    def one(number: int) -> None:
        key = (locks.VOLUME, f'{KEY} {number}')
        with operation.begin('connect', {}, key, SETTINGS) as op:
            turn, policy = turns.Turn(of), plans.Policy(wanted=2)
            names = (f'{number}a', f'{number}b')
            paths = path_set.PathSet(Answering(), Assembly(), names, policy, op, turn=turn)
            paths.open()
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)
            paths.add_in_background()

    threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert most == [1] * 12


@pytest.mark.parametrize('act', ['exclude', 'fail'])
def test_an_interrupt_before_the_paths_are_closed_loses_none(act: str) -> None:
    """What stands above them is looked at first."""

    class Interrupted(Assembly):
        looks = 0

        def before(self, opened: Sequence[str], seconds: float) -> list[undo.Step]:
            self.looks += 1
            if self.looks == 1:
                raise SystemExit
            return []

    def attach_and_fail() -> None:
        with begin() as op:
            policy = plans.Policy(wanted=2)
            paths = path_set.PathSet(Driver(), Interrupted(), 'ab', policy, op)
            paths.open()
            if act == 'exclude':
                paths.exclude('a')
            raise ZeroDivisionError

    with pytest.raises(SystemExit):
        attach_and_fail()
    assert set() == HOST
    assert unlocked()
