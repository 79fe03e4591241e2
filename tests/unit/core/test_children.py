# SPDX-License-Identifier: Apache-2.0
"""Calls in child processes: none is lost, whatever the service does with threads and signals."""

from collections.abc import Callable, Iterator
import contextlib
import errno
import functools
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.core import children, files, process
from os_brick.core import reaper as core_reaper

ROOT = pathlib.Path(__file__).parents[3]

# Run by a Python of its own: eventlet changes all of it.
IN_PROCESS = """
import collections, sys
if sys.argv[1] != 'native':
    import eventlet
    eventlet.monkey_patch()
import os, threading
from os_brick import privileged
privileged.default.set_client_mode(False)   # as cinderlib does where it is root
from os_brick.core import files, process

with open('f', 'w') as file:
    file.write('x' * 2**20)
results = collections.Counter()

def call(number):
    try:
        if number % 3:
            process.isolated('a write', 20, files.write, 'g', 'y')
        else:
            assert len(process.isolated('a read', 20, files.read, 'f')) == 2**20
        results['good'] += 1
    except BaseException as error:
        results[f'{type(error).__name__}: {error}'] += 1

open('g', 'w').close()
for number in range(60):
    call(number)
threads = [threading.Thread(target=lambda: [call(n) for n in range(40)]) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(dict(results))
"""


@pytest.mark.parametrize('how', ['native', 'green'])
def test_300_of_300(tmp_path: pathlib.Path, how: str) -> None:
    """Big answers, one after the other and from six threads at once."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', IN_PROCESS, how],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "{'good': 300}\n", done.stderr


@pytest.fixture
def pool() -> Iterator[children.Pool]:
    found = children.Pool()
    yield found
    for child in found._idle:
        child.end('')


def _call(function: object, *arguments: object) -> children.Call:
    return functools.partial(function, *arguments)  # type: ignore[arg-type]


def _gone(pid: int) -> bool:
    """Whether a process has ended, collected or not."""
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] == 'Z'
    except OSError:
        return True


def _until(condition: object, seconds: float = 5.0) -> bool:
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:  # type: ignore[operator]
        time.sleep(0.005)
    return bool(condition())  # type: ignore[operator]


def test_a_child_takes_the_next_call(pool: children.Pool) -> None:
    first = pool.call(_call(os.getpid), 10)
    assert pool.call(_call(os.getpid), 10) == first != os.getpid()


def test_a_waiting_child_that_is_killed_costs_no_call(pool: children.Pool) -> None:
    first = pool.call(_call(os.getpid), 10)
    os.kill(first, signal.SIGKILL)
    assert _until(lambda: _gone(first))
    assert pool.call(_call(os.getpid), 10) != first


def test_a_child_that_is_stopped_and_killed_with_a_call_that_it_has_not_read(
    pool: children.Pool,
) -> None:
    first = pool.call(_call(os.getpid), 10)
    os.kill(first, signal.SIGSTOP)
    killer = threading.Timer(0.2, os.kill, (first, signal.SIGKILL))
    killer.start()
    assert pool.call(_call(os.getpid), 10) != first
    killer.join()


def test_a_call_that_has_begun_is_not_done_twice(
    pool: children.Pool, tmp_path: pathlib.Path
) -> None:
    note = tmp_path / 'done'
    note.touch()
    pool.call(_call(os.getpid), 10)
    with pytest.raises(OSError, match='died without an answer'):
        pool.call(_call(_append_and_die, str(note)), 10)
    assert note.read_text() == 'once '


def _append_and_die(path: str) -> None:
    with open(path, 'a') as file:
        file.write('once ')
    os._exit(1)


def test_a_dead_child_is_not_put_back(pool: children.Pool) -> None:
    pid = pool.call(_call(os.getpid), 10)
    child = pool._idle.pop()
    os.kill(pid, signal.SIGKILL)
    assert _until(lambda: _gone(pid))
    pool._keep(child, '')
    assert not pool._idle


def test_a_module_that_was_imported_later(
    pool: children.Pool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is imported in a child, where the lock of an import may be held for ever."""
    first = pool.call(_call(os.getpid), 10)
    (tmp_path / 'comes_later.py').write_text('import os\ndef who(): return os.getpid()\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    import comes_later  # type: ignore[import-not-found]

    assert pool.call(_call(comes_later.who), 10) not in {first, os.getpid()}


# What a service does with its signals.


IGNORES_SIGCHLD = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if sys.argv[1] == 'old kernel':
    del os.pidfd_open
killed = []
kill = os.kill
os.kill = lambda pid, number: (killed.append(pid), kill(pid, number))
from os_brick import exception
from os_brick.core import children, process
pool = children.Pool()
first = pool.call(children.functools.partial(os.getpid), 10)
child = pool._idle[0]
kill(first, signal.SIGKILL)
while True:
    try: kill(first, 0)
    except ProcessLookupError: break
child.end('')
print('killed', [pid for pid in killed if pid == first])
try:
    process.isolated('it', 0.3, signal.pause)
except exception.OperationTimedOut as error:
    print('hang', type(error).__name__)
print('call', process.isolated('it', 10, len, 'four'))
try:
    print('run', process.run('false', ok=None).exit_code)
except Exception as error:
    print('run', 'SIGCHLD' in str(error))
"""


@pytest.mark.parametrize('how', ['', 'old kernel'])
def test_sigchld_is_ignored(how: str) -> None:
    """The kernel takes the PID of a child back at once: no other process is killed for it."""
    done = subprocess.run(
        [sys.executable, '-c', IGNORES_SIGCHLD, how],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.splitlines() == [
        'killed []',
        'hang OperationTimedOut',
        'call 4',
        'run True',
    ], done.stderr


def test_without_pidfd(pool: children.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, 'pidfd_open')
    assert pool.call(_call(os.getpid), 10) == pool.call(_call(os.getpid), 10)
    pid = pool._idle[0].pid
    pool._idle.pop().end('')
    assert _until(lambda: not os.path.exists(f'/proc/{pid}'))


# What hangs.


class Left:
    """A process that was killed, and does not end before it is told to."""

    def __init__(self) -> None:
        self.is_over = False

    def has_ended(self) -> bool:
        return self.is_over


@pytest.fixture
def left() -> Iterator[list[Left]]:
    made: list[Left] = []
    yield made
    for each in made:
        each.is_over = True
    assert _until(lambda: not core_reaper.reaper._left)


def _hang(left: list[Left], key: str) -> None:
    left.append(Left())
    core_reaper.reaper.take(key, left[-1].has_ended)


def test_a_device_that_hangs_is_not_tried_for_ever(left: list[Left]) -> None:
    for _ in range(core_reaper.MOST_OF_ONE):
        _hang(left, '/sys/sdx')
    with pytest.raises(BlockingIOError, match='4 earlier calls to /sys/sdx still hang') as caught:
        process.isolated('it', 10, files.write, '/sys/sdx', '1')
    assert caught.value.errno == errno.EAGAIN
    with pytest.raises(FileNotFoundError):  # Another device is not held up.
        process.isolated('it', 10, files.write, '/sys/sdy', '1')
    left[0].is_over = True
    with pytest.raises(FileNotFoundError):
        process.isolated('it', 10, files.write, '/sys/sdx', '1')


def test_there_is_a_limit_to_all_that_hangs(left: list[Left]) -> None:
    threads = threading.active_count()
    for number in range(core_reaper.MOST_OF_ALL):
        _hang(left, f'/sys/sd{number}')
    assert threading.active_count() <= threads + 1
    with pytest.raises(OSError, match='100 processes'):
        process.isolated('it', 10, os.getpid)
    with pytest.raises(processutils.ProcessExecutionError, match='100 processes'):
        process.run('true')


def test_what_was_only_killed_a_moment_ago_does_not_count() -> None:
    for _ in range(core_reaper.MOST_OF_ONE + 2):
        with pytest.raises(exception.OperationTimedOut):
            process.isolated('it', 0.02, _pause, '/sys/sdx')


def _pause(path: str) -> None:
    signal.pause()


def test_a_fork_of_the_service_has_children_of_its_own(pool: children.Pool) -> None:
    """The copy neither uses nor ends those of its parent."""
    first = pool.call(_call(os.getpid), 10)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.write(writer, b'%d' % pool.call(_call(os.getpid), 10))
        os._exit(0)
    os.waitpid(pid, 0)
    own = int(os.read(reader, 100))
    os.close(reader)
    os.close(writer)
    assert own not in {first, pid, os.getpid()}
    assert pool.call(_call(os.getpid), 10) == first


def test_two_threads_look_for_the_end_of_one_child(
    pool: children.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reaper's thread and an operation that asks it may look side by side.

    One that closes the descriptor would have the other wait for a closed one, EBADF, or for
    whatever has its number by then.
    """
    pid = pool.call(_call(os.getpid), 10)
    child = pool._idle.pop()
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    looks, may_look, waitid = threading.Event(), threading.Event(), os.waitid
    first = threading.Thread(target=lambda: outcome.append(_raised(child.has_ended)))
    outcome: list[object] = []

    def slow(*words: int) -> object:
        if threading.current_thread() is first:
            looks.set()
            may_look.wait(10)
        return waitid(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(os, 'waitid', slow)
    first.start()
    assert looks.wait(10)
    child.has_ended()
    may_look.set()
    first.join(10)
    assert outcome == [True]
    assert child.has_ended()


def _raised(call: Callable[[], object]) -> object:
    try:
        return call()
    except OSError as error:
        return error


def test_what_cannot_be_asked_does_not_end_the_reaper(caplog: pytest.LogCaptureFixture) -> None:
    """Its thread goes on with the others."""
    own, asked = core_reaper.Reaper(), []

    def broken() -> bool:
        asked.append(1)
        if len(asked) > 1:
            raise OSError(errno.EBADF, 'Bad file descriptor')
        return False

    ends = iter([False, False, False, True])
    own.take('broken', broken)
    own.take('good', lambda: next(ends))
    assert _until(lambda: not own._left)
    assert 'Bad file descriptor' in caplog.text
