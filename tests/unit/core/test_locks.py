# SPDX-License-Identifier: Apache-2.0
"""Threads and processes exclude each other, nobody waits past his deadline."""

from collections.abc import Iterator
import itertools
import os
import pathlib
import subprocess
import sys
import threading
import time

from oslo_config import cfg
import pytest

from os_brick import exception, opts  # noqa: F401 registers [os_brick]
from os_brick.core import locks, wait

# Another process that takes a lock, says so, and gives it back when its input ends.
HOLDER = """
import sys
from oslo_config import cfg
from os_brick import opts
from os_brick.core import locks, wait
cfg.CONF.set_override('lock_path', sys.argv[1], group='os_brick')
with locks.hold(sys.argv[2], sys.argv[3], wait.Deadline.after(20)):
    print('held', flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    cfg.CONF.set_override('lock_path', str(tmp_path), group='os_brick')
    yield tmp_path
    cfg.CONF.clear_override('lock_path', group='os_brick')


@pytest.fixture
def other(place: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of volume 'v'."""
    child = subprocess.Popen(
        [sys.executable, '-c', HOLDER, str(place), locks.VOLUME, 'v'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).parents[3])},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == 'held\n'
    yield child
    child.kill()
    child.wait()


def _files(count: int) -> list[tuple[str, str]]:
    """So many names, each with its lock file."""
    return [(name, locks._bucket(locks.TARGET, name)) for name in map(str, range(count))]


def _sharing() -> list[str]:
    """Two names that share a lock file; among more names than files there are some."""
    first: dict[str, str] = {}
    return next(
        [other, name]
        for name, file in _files(locks.FILES_A_KIND + 1)
        if (other := first.setdefault(file, name)) != name
    )


def _crossed() -> list[str]:
    """Two names whose files are in the reverse order of theirs."""
    pairs = itertools.combinations(sorted(_files(50)), 2)
    return next([a, b] for (a, file), (b, other) in pairs if file > other)


def test_two_that_share_a_file_are_taken_once() -> None:
    """Four portals of a volume share a lock file once in 700 volumes."""
    names = _sharing()
    with locks.hold_all(locks.TARGET, names, wait.Deadline.after(5)):
        for name in names:
            with (
                pytest.raises(exception.OperationTimedOut),
                locks.hold(locks.TARGET, name, wait.Deadline.after(0.05)),
            ):
                pass
    for name in names:
        with locks.hold(locks.TARGET, name, wait.Deadline.after(5)):
            pass


def test_several_are_taken_in_one_order() -> None:
    """Whatever the order of names: two that take the same two never block each other for good."""
    names = _crossed()
    rounds = 50
    done: list[int] = []

    def work(order: list[str]) -> None:
        for _ in range(rounds):
            with locks.hold_all(locks.TARGET, order, wait.Deadline.after(20)):
                time.sleep(0.0005)
            done.append(1)

    threads = [threading.Thread(target=work, args=(order,)) for order in (names, names[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 2 * rounds


def test_threads_exclude_each_other() -> None:
    inside: list[str] = []
    most: list[int] = []

    def work() -> None:
        with locks.hold(locks.VOLUME, 'v', wait.Deadline.after(20)):
            inside.append('x')
            most.append(len(inside))
            time.sleep(0.005)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_two_volumes_do_not_wait_for_each_other() -> None:
    with locks.hold(locks.VOLUME, 'a', wait.Deadline.after(5)):
        done = threading.Event()

        def work() -> None:
            with locks.hold(locks.VOLUME, 'b', wait.Deadline.after(5)):
                done.set()

        threading.Thread(target=work).start()
        assert done.wait(5)


def test_a_thread_gives_up_at_its_deadline() -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            with locks.hold(locks.VOLUME, 'v', wait.Deadline.after(0.1)):
                pass
        except exception.OperationTimedOut as error:
            errors.append(error)

    with locks.hold(locks.VOLUME, 'v', wait.Deadline.after(5)):
        thread = threading.Thread(target=work)
        begun = time.monotonic()
        thread.start()
        thread.join(10)
        assert 0.1 <= time.monotonic() - begun < 3
    assert 'volume v' in str(errors[0])
    assert '0.1' in str(errors[0])
    with locks.hold(locks.VOLUME, 'v', wait.Deadline.after(5)):  # Nothing is left held.
        pass


def test_another_process_excludes(other: subprocess.Popen[str]) -> None:
    begun = time.monotonic()
    with (
        pytest.raises(exception.OperationTimedOut, match='volume v'),
        locks.hold(locks.VOLUME, 'v', wait.Deadline.after(0.2)),
    ):
        pass
    assert 0.2 <= time.monotonic() - begun < 3
    assert other.stdin is not None
    other.stdin.close()
    with locks.hold(locks.VOLUME, 'v', wait.Deadline.after(20)):
        pass


def test_a_killed_process_holds_nothing(other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    with locks.hold(locks.VOLUME, 'v', wait.Deadline.after(5)):
        pass


def test_a_passed_deadline_still_takes_a_free_lock() -> None:
    """Cleaning up after the deadline needs its locks too."""
    with locks.hold(locks.VOLUME, 'v', wait.Deadline.after(0)):
        pass


def test_an_error_gives_the_lock_back() -> None:
    with (
        pytest.raises(ZeroDivisionError),
        locks.hold(locks.VOLUME, 'v', wait.Deadline.after(1)),
    ):
        raise ZeroDivisionError
    with locks.hold(locks.VOLUME, 'v', wait.Deadline.after(1)):
        pass


def test_the_files_do_not_pile_up(place: pathlib.Path) -> None:
    names = {locks._bucket(locks.VOLUME, f'iqn.2026-11.org:{n} {n}') for n in range(20_000)}
    assert len(names) <= locks.FILES_A_KIND
    for key in ('../../etc/passwd', 'a/b', 'iqn x 1'):
        with locks.hold(locks.VOLUME, key, wait.Deadline.after(1)):
            pass
    assert all(name.startswith('os-brick-volume-') for name in os.listdir(place))
    assert len(os.listdir(place)) <= 3


def test_volume_then_target_may_be_held_together() -> None:
    deadline = wait.Deadline.after(5)
    with locks.hold(locks.VOLUME, 'x', deadline), locks.hold(locks.TARGET, 'x', deadline):
        pass


def test_a_note_needs_no_lock_before_it(place: pathlib.Path) -> None:
    """Where locks between processes are switched off nobody else has made the directory."""
    cfg.CONF.set_override('lock_path', str(place / 'new'), group='os_brick')
    locks.set_note(locks.TARGET, 'v', 'text')
    assert locks.note(locks.TARGET, 'v') == 'text'
