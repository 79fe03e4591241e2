# SPDX-License-Identifier: Apache-2.0
"""What is told of operations: to whom, when, what it costs, and that no listener harms one."""

import logging
import pathlib
import threading
import time

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import fanout, observe, operation, teardown
from os_brick.model.settings import Settings
from os_brick.plans import removal


class Ledger:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def course(self, name: str, key: str) -> observe.Course:
        return observe.Course(name, key, protocol='iscsi', volume='v1')

    def begin(self, course: observe.Course) -> None:
        self.told.append('begin')

    def reach(self, step: str) -> None:
        self.told.append(step)

    def end(self, course: observe.Course, error: BaseException | None) -> None:
        self.told.append(course.outcome(error))


@pytest.fixture(autouse=True)
def _locks(tmp_path: pathlib.Path):
    cfg.CONF.set_override('lock_path', str(tmp_path), group='os_brick')
    yield
    cfg.CONF.clear_override('lock_path', group='os_brick')


@pytest.fixture
def told():
    records: list[observe.Record] = []
    stop = observe.observe(records.append)
    yield records
    stop()


def _attach(ledger: Ledger | None = None, name: str = 'connect'):
    return operation.begin(name, None, ('volume', 'iscsi t1 1'), Settings(), ledger)


def test_the_records_of_one_operation(told) -> None:
    with _attach(Ledger()) as op:
        with observe.step('log in', '10.0.0.1:3260'):
            pass
        op.course.count(wanted=2, ready=1)
        op.course.returns({'path': '/dev/dm-4'})
    started, lock, login, ended = told
    assert (started.operation, started.protocol, started.volume) == ('attach', 'iscsi', 'v1')
    assert (lock.name, login.name, login.thing) == ('lock', 'log in', '10.0.0.1:3260')
    assert (ended.outcome, ended.device, ended.ready, ended.wanted) == ('done', 'dm-4', 1, 2)
    assert ended.seconds >= login.since + login.seconds


def test_a_step_that_fails_and_an_operation_that_does(told) -> None:
    with pytest.raises(exception.VolumeDeviceNotFound), _attach(Ledger()), observe.step('scan'):
        raise exception.VolumeDeviceNotFound(device='sdx')
    assert [each.code for each in told[2:]] == ['VolumeDeviceNotFound'] * 2
    assert told[-1].outcome == 'failed'


def test_what_could_not_be_taken_back_is_told(told) -> None:
    def fail() -> None:
        with _attach(Ledger()) as op:
            op.undo.add_local(lambda: 1 / 0)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert told[-1].outcome == 'left'


def test_a_removal_that_goes_on_after_an_error(told) -> None:
    ledger = Ledger()

    def act(op: operation.Operation, steps: teardown.Teardown) -> None:
        steps.run(removal.Step(removal.Verb.FLUSH, 'dm-4'), lambda: 1 / 0)
        steps.run('logout of t1', lambda: None)

    operation.remove(
        *('disconnect', None, ('volume', 'iscsi t1 1'), Settings(), teardown.OnError.IGNORE),
        *(act, ledger),
    )
    flush, logout, ended = told[2:]
    assert (flush.name, flush.thing, flush.code) == ('flush', 'dm-4', 'ZeroDivisionError')
    assert (logout.name, logout.thing, logout.code) == ('logout', 't1', '')
    assert (ended.operation, ended.outcome, ended.code) == ('detach', 'left', 'ZeroDivisionError')
    assert ledger.told == ['begin', 'flush', 'logout', 'left']


def test_steps_in_threads_belong_to_the_operation(told) -> None:
    def step(number: int) -> None:
        with observe.step('scan', number):
            pass

    with _attach(Ledger()):
        fanout.fanout(step, [1, 2, 3])
        thread = threading.Thread(target=step, args=(4,))  # No one has told it whose it is.
        thread.start()
        thread.join()
    assert sorted(each.thing for each in told if isinstance(each, observe.Step))[:3] == list('123')
    assert all(each.volume == 'v1' for each in told)


def test_no_listener_harms_an_operation(told, caplog) -> None:
    def fail(record: observe.Record) -> None:
        raise RuntimeError('a listener')

    stop = observe.observe(fail)
    with _attach(Ledger()):
        pass
    stop()
    assert len(told) == 3
    assert 'a listener' in caplog.text


def test_a_listener_that_has_stopped_is_told_nothing() -> None:
    records: list[observe.Record] = []
    observe.observe(records.append)()
    with _attach():
        pass
    assert records == []


@pytest.mark.parametrize(
    ('volume', 'shown'), [('v1', 'volume=v1 '), ('a b"c', r'volume="a b\"c" '), ('a\nb', r'a\nb ')]
)
def test_the_line_at_the_end(caplog, volume: str, shown: str) -> None:
    caplog.set_level(logging.INFO)
    course = observe.Course('connect', 'iscsi t1 1', protocol='iscsi', volume=volume)
    with observe.told(course):
        course.count(wanted=2, ready=2)
        course.returns({'path': '/dev/dm-4'})
    (line,) = [each.getMessage() for each in caplog.records if each.levelno == logging.INFO]
    assert line.startswith('attach done volume=')
    assert shown in line
    assert ' protocol=iscsi device=dm-4 paths=2/2 seconds=0.' in line
    assert '\n' not in line


def test_an_operation_that_is_not_of_a_volume_has_no_line(caplog) -> None:
    caplog.set_level(logging.INFO)
    with _attach(name='mount'):
        pass
    assert not [each for each in caplog.records if each.levelno == logging.INFO]


@pytest.mark.native  # It measures.
def test_a_step_costs_nothing_when_no_one_listens() -> None:
    """Less than a microsecond on an idle machine: the best of many rounds, and a wide bound."""
    with _attach():
        best = min(_seconds_a_step() for _ in range(30))
    assert best < 5e-6


def _seconds_a_step(steps: int = 200) -> float:
    begun = time.perf_counter()
    for _ in range(steps):
        with observe.step('scan', 1):
            pass
    return (time.perf_counter() - begun) / steps
