# SPDX-License-Identifier: Apache-2.0
"""Threads and processes exclude each other, no one waits past its deadline."""

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


def _child(place: pathlib.Path, program: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-c', PRELUDE + program, str(place), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).parents[3])},
    )


PRELUDE = """
import sys
from oslo_config import cfg
from os_brick import opts
from os_brick.core import locks
cfg.CONF.set_override('lock_path', sys.argv[1], group='os_brick')
"""
LIVE = """
with locks.lifeline() as token, locks.lifeline() as other:
    print(token, other, flush=True)
    sys.stdin.read()
"""


def test_a_lifeline_is_seen_by_other_processes_and_ends_with_its_own(place: pathlib.Path) -> None:
    child = _child(place, LIVE)
    assert child.stdout is not None
    tokens = child.stdout.readline().split()
    assert [locks.is_alive(token) for token in tokens] == [True, True]
    # Asking has not ended it.
    assert [locks.is_alive(token) for token in tokens] == [True, True]
    child.kill()
    child.wait()
    assert [locks.is_alive(token) for token in tokens] == [False, False]


def test_a_lifeline_of_this_process_lasts_as_long_as_its_block(place: pathlib.Path) -> None:
    ask = 'print(locks.is_alive(sys.argv[2]))'
    with locks.lifeline() as token:
        with locks.lifeline() as other:
            assert locks.is_alive(token)
            assert locks.is_alive(other)
        assert locks.is_alive(token)
        assert not locks.is_alive(other)
        assert _child(place, ask, token).communicate()[0] == 'True\n'
        assert _child(place, ask, other).communicate()[0] == 'False\n'
    assert not locks.is_alive(token)
    assert _child(place, ask, token).communicate()[0] == 'False\n'


def test_a_forked_child_does_not_hold_a_lifeline(place: pathlib.Path) -> None:
    """The children that make calls which may hang are forked, and may live on."""
    fork = """
import os
with locks.lifeline() as token:
    print(token, flush=True)
    if os.fork() == 0:
        print(locks.is_alive(token), flush=True)
        sys.stdin.read()
        os._exit(0)
    os.kill(os.getpid(), 9) if sys.stdin.readline() else None
"""
    parent = _child(place, fork)
    assert parent.stdout is not None
    assert parent.stdin is not None
    token, said = parent.stdout.readline().strip(), parent.stdout.readline()
    assert said == 'True\n'
    assert locks.is_alive(token)
    parent.kill()
    parent.wait()
    assert not locks.is_alive(token)
    parent.stdin.close()


@pytest.mark.parametrize('token', ['', 'x', '-1', '1 2', 'f' * 40, '\0', '4242 17/99'])
def test_what_is_not_a_token_is_not_alive(token: str) -> None:
    assert not locks.is_alive(token)


def test_a_lifeline_outlives_the_removal_of_its_file(place: pathlib.Path) -> None:
    """A cleaner of temporary files may remove it; later ones are seen by everyone again."""
    with locks.lifeline() as before:
        (place / 'os-brick-lifelines').unlink()
        assert locks.is_alive(before)
        with locks.lifeline() as token:
            ask = 'print(locks.is_alive(sys.argv[2]))'
            assert _child(place, ask, token).communicate()[0] == 'True\n'


def test_without_a_directory_lifelines_are_this_process_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg.CONF.set_override('lock_path', None, group='os_brick')
    cfg.CONF.set_override('lock_path', None, group='oslo_concurrency')
    cfg.CONF.set_override('disable_process_locking', True, group='oslo_concurrency')
    try:
        with (
            locks.hold(locks.VOLUME, 'v', wait.Deadline.after(1)),
            locks.lifeline() as token,
        ):
            assert locks.is_alive(token)
        assert not locks.is_alive(token)
        assert os.listdir(tmp_path) == []
    finally:
        cfg.CONF.clear_override('lock_path', group='oslo_concurrency')
        cfg.CONF.clear_override('disable_process_locking', group='oslo_concurrency')


@pytest.mark.parametrize('kind', ['link', 'dangling link', 'directory', 'fifo'])
def test_a_lock_file_is_a_file_of_its_own(place: pathlib.Path, kind: str) -> None:
    """In a directory that other services may write to it could lead anywhere."""
    victim = place / 'victim'
    lock = place / f'{locks.PREFIX}{locks._bucket(locks.VOLUME, "v")}'
    if kind == 'link':
        victim.write_text('theirs')
    if kind == 'directory':
        lock.mkdir()
    elif kind == 'fifo':
        os.mkfifo(lock)
    else:
        lock.symlink_to(victim)
    with (
        pytest.raises(exception.BrickException, match=str(lock)),
        locks.hold(locks.VOLUME, 'v', wait.Deadline.after(1)),
    ):
        pass
    assert not victim.exists() or victim.read_text() == 'theirs'


def test_without_a_directory_the_error_says_which_option_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was an error of oslo.config that named another group."""
    monkeypatch.delenv('OSLO_LOCK_PATH', raising=False)
    cfg.CONF.set_override('lock_path', None, group='os_brick')
    cfg.CONF.set_override('lock_path', None, group='oslo_concurrency')
    try:
        with (
            pytest.raises(exception.HostNotReady, match=r'\[os_brick\] lock_path') as caught,
            locks.hold(locks.VOLUME, 'v', wait.Deadline.after(1)),
        ):
            pass
    finally:
        cfg.CONF.clear_override('lock_path', group='oslo_concurrency')
    assert '/run/lock/os-brick' in str(caught.value.remedy)
