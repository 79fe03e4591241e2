# SPDX-License-Identifier: Apache-2.0
"""Release 7 and ours on one host: neither ends what the other has just made."""

from collections.abc import Iterator
import os
import pathlib
import subprocess
import sys
import threading
import time

from oslo_config import cfg
import pytest

from os_brick import opts  # noqa: F401 registers [os_brick]
from os_brick.core import host_lock, locks, wait

# Takes the lock as release 7 does (its name is in the specification, its kind oslo.concurrency's);
# says so, and gives it back when its input ends.
SEVEN = """
import sys
from oslo_concurrency import lockutils
with lockutils.lock('connect_volume', 'os-brick-', external=True, lock_path=sys.argv[1]):
    print('held', flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    cfg.CONF.set_override('lock_path', str(tmp_path), group='os_brick')
    yield tmp_path
    cfg.CONF.clear_override('lock_path', group='os_brick')


class Seven:
    """A process of release 7 that attaches a volume as soon as it may, until ``end``."""

    def __init__(self, place: pathlib.Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, '-c', SEVEN, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        """Return when it is at work."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == 'held\n'

    def end(self) -> None:
        self._process.communicate(timeout=20)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def seven(place: pathlib.Path) -> Iterator[Seven]:
    """Release 7 in the middle of an attach."""
    process = Seven(place)
    process.wait()
    yield process
    process.kill()


def taken(kind: str, seconds: float = 20) -> threading.Event:
    """Set as soon as a thread of ours holds a lock of this kind."""
    event = threading.Event()

    def work() -> None:
        with locks.hold(kind, 'v', wait.Deadline.after(seconds)):
            event.set()

    threading.Thread(target=work, daemon=True).start()
    return event


def test_a_login_waits_for_release_7(seven: Seven) -> None:
    """Neither a login nor a logout begins while 7 may log out; what is 7's business is not ours."""
    login = taken(locks.TARGET)
    assert taken(locks.VOLUME).wait(10)
    assert not login.wait(0.2)
    seven.end()
    assert login.wait(10)


def test_several_targets_wait_for_release_7(seven: Seven) -> None:
    event = threading.Event()

    def work() -> None:
        with locks.hold_all(locks.TARGET, ['a', 'b'], wait.Deadline.after(20)):
            event.set()

    threading.Thread(target=work, daemon=True).start()
    assert not event.wait(0.2)
    seven.end()
    assert event.wait(10)


def test_release_7_waits_for_all_of_ours(place: pathlib.Path) -> None:
    """Two of ours do not wait for each other; 7 begins after the last of them."""
    (place / host_lock.NAME).touch()
    ends = wait.Deadline.after(20)
    with locks.hold(locks.TARGET, 'a', ends):
        with locks.hold(locks.TARGET, 'b', ends):
            other = Seven(place)
            began = threading.Thread(target=other.wait, daemon=True)
            began.start()
            began.join(1)
            assert began.is_alive()
        began.join(0.3)
        assert began.is_alive()
    began.join(10)
    assert not began.is_alive()
    other.kill()


def test_a_busy_service_makes_room(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads whose logins overlap all the time do not keep 7 waiting for ever."""
    monkeypatch.setattr(host_lock, 'TURN_SECONDS', 0.5)
    (place / host_lock.NAME).touch()
    is_enough = threading.Event()

    def work(number: int) -> None:
        while not is_enough.is_set():
            with locks.hold(locks.TARGET, str(number), wait.Deadline.after(20)):
                is_enough.wait(0.03 + number / 100)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    other = Seven(place)
    began = threading.Thread(target=other.wait, daemon=True)
    began.start()
    began.join(15)
    is_waiting = began.is_alive()
    other.kill()
    is_enough.set()
    for thread in threads:
        thread.join(20)
    assert not is_waiting


def test_one_that_holds_another_target_waits_a_moment_only(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_lock, 'TURN_SECONDS', 0.0)
    (place / host_lock.NAME).touch()
    started = time.monotonic()
    with (
        locks.hold(locks.TARGET, 'a', wait.Deadline.after(20)),
        locks.hold(locks.TARGET, 'b', wait.Deadline.after(20)),
    ):
        assert time.monotonic() - started < 3


def test_a_host_without_release_7(place: pathlib.Path) -> None:
    """Nothing is made that 7, as another user, could not open."""
    with locks.hold(locks.TARGET, 'a', wait.Deadline.after(20)):
        assert not (place / host_lock.NAME).exists()
    assert not (place / host_lock.NAME).exists()


@pytest.mark.parametrize('kind', ['link', 'fifo', 'directory'])
def test_what_is_no_lock_file_is_left_alone(place: pathlib.Path, kind: str) -> None:
    path = place / host_lock.NAME
    if kind == 'link':
        path.symlink_to('/etc/passwd')
    elif kind == 'fifo':
        os.mkfifo(path)
    else:
        path.mkdir()
    started = time.monotonic()
    with locks.hold(locks.TARGET, 'a', wait.Deadline.after(20)):
        assert time.monotonic() - started < 5


def test_release_7_that_does_not_end(seven: Seven, caplog: pytest.LogCaptureFixture) -> None:
    """A portal that does not answer keeps 7 in an attach for minutes: ours goes on beside it."""
    assert taken(locks.TARGET, seconds=0.4).wait(10)
    assert 'going on beside it' in caplog.text


def test_a_forked_child_holds_nothing(place: pathlib.Path) -> None:
    """A service that forks a worker during a login: the worker does not keep 7 waiting."""
    (place / host_lock.NAME).touch()
    reader, writer = os.pipe()
    with locks.hold(locks.TARGET, 'a', wait.Deadline.after(20)):
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)  # Until the parent says so.
            os._exit(0)
    other = Seven(place)
    began = threading.Thread(target=other.wait, daemon=True)
    began.start()
    began.join(10)
    is_waiting = began.is_alive()
    os.close(writer)
    os.waitpid(child, 0)
    os.close(reader)
    other.kill()
    assert not is_waiting
