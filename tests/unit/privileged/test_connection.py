# SPDX-License-Identifier: Apache-2.0
"""No root call outlasts its limit, whatever the daemon is busy with, and forks harm none."""

import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

from os_brick import exception, privileged
from os_brick.privileged import connection, rootwrap

ROOT = pathlib.Path(__file__).parents[3]

# Run by a process of its own, because a daemon stays as long as its client. It gives up all
# capabilities: nothing here needs any, nor root.
START = r"""
import functools, os, sys, threading, time
print = functools.partial(print, flush=True)  # os._exit loses what is not
from oslo_config import cfg
from oslo_privsep import priv_context
cfg.CONF(sys.argv[1:], project='test')
priv_context.init(['env'])
from os_brick import exception, privileged
from os_brick.privileged import connection, daemon_start, iscsiadm, rootwrap

def daemon():
    return rootwrap.execute_root('sh', '-c', 'echo $PPID')[0].strip()

def thread(call, *arguments):
    made = threading.Thread(target=call, args=arguments, daemon=True)
    made.start()
    return made

def seconds(call, *arguments, **keywords):
    begun = time.monotonic()
    try:
        call(*arguments, **keywords)
    except Exception as error:
        first = str(error).splitlines()[0].partition('; the log')[0]
        print(f'{type(error).__name__} {first}\n', end='', flush=True)
    return time.monotonic() - begun

def login(limit):
    return iscsiadm.discover('192.0.2.1', 3260, 'default', timeout=limit)
"""


GREEN = 'import eventlet\neventlet.monkey_patch()\n'


def _client(
    tmp_path: pathlib.Path, code: str, settings: str = '', *, before: str = ''
) -> list[str]:
    configuration = tmp_path / 'test.conf'
    configuration.write_text(
        '[os_brick]\nextra_root_programs = sh, sleep\n'
        f'[privsep_osbrick]\ncapabilities =\n{settings}\n'
    )
    # A target that hangs.
    iscsiadm = tmp_path / 'iscsiadm'
    iscsiadm.write_text('#!/bin/sh\nexec sleep 40\n')
    iscsiadm.chmod(0o755)
    programs = os.path.dirname(sys.executable)
    done = subprocess.run(
        [
            *(sys.executable, '-W', 'ignore', '-c', before + START + textwrap.dedent(code)),
            *('--config-file', str(configuration)),
        ],
        env={
            **os.environ,
            'PATH': f'{tmp_path}:{programs}:{os.environ["PATH"]}',
            'PYTHONPATH': str(ROOT),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,  # a machine that is very busy
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_fork_has_a_daemon_of_its_own(tmp_path: pathlib.Path) -> None:
    """The parent's goes on: with a call that is under way, and with the next one."""
    said = _client(
        tmp_path,
        """
        own = daemon()
        slow = thread(lambda: print('slow', rootwrap.execute_root('sh', '-c', 'sleep 2; echo ok')))
        time.sleep(0.3)
        if os.fork() == 0:
            print('same' if daemon() == own else 'another', flush=True)
            os._exit(0)
        os.wait()
        slow.join()
        print('same' if daemon() == own else 'another')
        """,
    )
    assert sorted(said) == ['another', 'same', "slow ('ok\\n', '')"]


def test_locks_that_other_threads_hold_at_a_fork(tmp_path: pathlib.Path) -> None:
    said = _client(
        tmp_path,
        """
        daemon()
        held = threading.Event()
        def hold():
            with privileged._connection._guard, privileged.default.start_lock:
                with privileged.default.channel.lock:
                    held.set()
                    time.sleep(20)
        thread(hold)
        held.wait()
        if os.fork() == 0:
            print('good' if daemon() else '', flush=True)
            os._exit(0)
        os.wait()
        os._exit(0)
        """,
    )
    assert said == ['good']


def test_logins_that_hang_leave_room_for_questions_and_end_in_time(tmp_path: pathlib.Path) -> None:
    said = _client(
        tmp_path,
        """
        daemon()
        connection.SHORT_SECONDS = 1.0
        for _ in range(6):
            thread(login, 30)
        time.sleep(0.5)
        print('question', seconds(rootwrap.unlink_root, '/dev/disk/by-id/os-brick+none',
                                  no_errors=True) < 2)
        print('login', seconds(login, 1.5) < 3.5)
        os._exit(0)
        """,
        'thread_pool_size = 4',
    )
    assert said[0] == 'question True'
    assert said[1].startswith('OperationTimedOut')
    assert 'a free thread of the privileged daemon' in said[1]
    assert said[2] == 'login True'


@pytest.mark.parametrize('limit', [9.0, 30.0])
def test_a_full_daemon(tmp_path: pathlib.Path, limit: float) -> None:
    """80 calls that hang, more than it has threads: flushes of a dead array have 60 s or, with a
    short operation_timeout, less than 10. What hangs in nothing is done at once; what may hang
    ends when it would have ended, and with the operation."""
    said = _client(
        tmp_path,
        f"""
        from os_brick.core import bound
        daemon()
        link = '/dev/disk/by-id/os-brick+none'
        rootwrap.unlink_root(link, no_errors=True)
        for _ in range(80):
            thread(login, {limit})
        time.sleep(1)
        print('question', seconds(rootwrap.unlink_root, link, no_errors=True) < 2)
        with bound.until(time.monotonic() + 1.5):
            print('operation', seconds(login, 1.5) < 1.5 + connection.SLACK_SECONDS)
        os._exit(0)
        """,
    )
    assert said[0] == 'question True'
    assert said[-1] == 'operation True'


def test_commands_of_callers_leave_room_for_logins(tmp_path: pathlib.Path) -> None:
    """64 threads, of which 32 are theirs, whatever limits they have."""
    said = _client(
        tmp_path,
        """
        daemon()
        connection.SHORT_SECONDS = 1.0
        for _ in range(6):
            thread(lambda: rootwrap.execute_root('sleep', '30', timeout=None))
        time.sleep(0.5)
        print(seconds(login, 0.5) < 4, seconds(login, 1.5) > 1)
        os._exit(0)
        """,
        'thread_pool_size = 4',
    )
    # The login itself is ended in time, so it had a thread.
    assert [line.split()[0] for line in said] == ['ExecutionTimeout', 'ExecutionTimeout', 'True']
    assert said[-1] == 'True True'


def test_a_daemon_that_stops_answering(tmp_path: pathlib.Path) -> None:
    said = _client(
        tmp_path,
        """
        import signal
        stopped = int(daemon())  # its first call imports a module, with the limits as they are
        connection.SLACK_SECONDS = connection.BEGIN_SECONDS = 0.5
        os.kill(stopped, signal.SIGSTOP)
        print(seconds(login, 0.5) < 4)
        os.kill(stopped, signal.SIGKILL)
        os._exit(0)
        """,
    )
    assert said[0].startswith('OperationTimedOut')
    assert 'the answer of the privileged daemon to os_brick.privileged.iscsiadm.discover' in said[0]
    assert said[1] == 'True'


def test_what_the_daemon_may_take_ends_with_the_operation(tmp_path: pathlib.Path) -> None:
    """Neither its start nor a wait for it outlasts the operation by more than a moment."""
    helper = tmp_path / 'helper'
    helper.write_text(
        '#!/bin/sh\n[ -e asked ] && exec privsep-helper "$@"\n: >asked\nexec sleep 9\n'
    )
    helper.chmod(0o755)
    said = _client(
        tmp_path,
        """
        import signal
        from os_brick.core import bound
        daemon_start.LEAST_SECONDS = connection.SLACK_SECONDS = 0.5
        connection.START_AGAIN_SECONDS = 0
        with bound.until(time.monotonic() + 1):
            print('start', seconds(daemon) < 3)
        stopped = int(daemon())
        os.kill(stopped, signal.SIGSTOP)
        with bound.until(time.monotonic() + 1):
            print('answer', seconds(login, 1) < 4)
        os.kill(stopped, signal.SIGKILL)
        os._exit(0)
        """,
        f'helper_command = {helper} --config-file {tmp_path}/test.conf',
    )
    assert said[0].startswith('OperationTimedOut')
    assert 'the start of the privileged daemon' in said[0]
    assert said[1] == 'start True'
    assert 'the answer of the privileged daemon' in said[2]
    assert said[3] == 'answer True'


def test_sudo_asks_for_a_password(tmp_path: pathlib.Path) -> None:
    """All that wait for the start give up; a later call makes another one."""
    helper = tmp_path / 'helper'
    helper.write_text(
        '#!/bin/sh\n[ -e asked ] && exec privsep-helper "$@"\n: >asked\nexec sleep 12 >/dev/null\n'
    )
    helper.chmod(0o755)
    said = _client(
        tmp_path,
        """
        daemon_start.START_SECONDS = 1.0
        connection.START_AGAIN_SECONDS = 2.0
        threads = [thread(lambda: seconds(daemon)) for _ in range(3)]
        [each.join(10) for each in threads]
        print([each.is_alive() for each in threads])
        time.sleep(1.5)
        daemon_start.START_SECONDS = 30
        print('pid', daemon().isdecimal(), daemon() == daemon())
        os._exit(0)
        """,
        f'helper_command = {helper} --config-file {tmp_path}/test.conf',
    )
    assert [line.split()[0] for line in said[:3]] == ['OperationTimedOut'] * 3
    assert 'does sudo ask for a password?' in said[0]
    assert said[3:] == ['[False, False, False]', 'pid True True']


def test_a_daemon_that_does_not_start(tmp_path: pathlib.Path) -> None:
    said = _client(tmp_path, 'seconds(daemon)', 'helper_command = false')
    assert said == [
        'BrickException The privileged daemon cannot be started: '
        'privsep helper command exited non-zero (1)'
    ]


@pytest.mark.parametrize('helper', ['false', 'true'])
def test_a_program_that_dies_while_a_daemon_starts_and_no_one_is_told(
    tmp_path: pathlib.Path, helper: str
) -> None:
    """The service ignores SIGCHLD, so that the kernel tells no one how a program has ended."""
    said = _client(
        tmp_path,
        """
        import signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print(seconds(daemon) < 5, seconds(daemon) < 5)
        """,
        f'helper_command = {helper}',
    )
    why = 'the program has ended, and the daemon has not connected'
    assert said == [f'BrickException The privileged daemon cannot be started: {why}'] * 2 + [
        'True True'
    ]


def test_a_daemon_of_a_service_that_ignores_sigchld(tmp_path: pathlib.Path) -> None:
    """One that is slow to connect, too."""
    helper = tmp_path / 'helper'
    helper.write_text('#!/bin/sh\nsleep 2\nexec privsep-helper "$@"\n')
    helper.chmod(0o755)
    said = _client(
        tmp_path,
        """
        import signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print(rootwrap.unlink_root('/dev/disk/by-id/os-brick+none', no_errors=True))
        """,
        f'helper_command = {helper} --config-file {tmp_path}/test.conf',
    )
    assert said == ['None']


def test_a_start_that_succeeds_late_is_not_used(tmp_path: pathlib.Path) -> None:
    """Another one was made when it had hung for long; calls go on by that."""
    helper = tmp_path / 'helper'
    helper.write_text(
        '#!/bin/sh\n[ -e asked ] || { : >asked; sleep 5; : >late; }\nexec privsep-helper "$@"\n'
    )
    helper.chmod(0o755)
    said = _client(
        tmp_path,
        """
        daemon_start.START_SECONDS = connection.START_AGAIN_SECONDS = 0.5
        seconds(daemon)
        daemon_start.START_SECONDS = 30
        own = daemon()
        used = privileged.default.channel
        while not os.path.exists('late'):
            time.sleep(0.1)
        for each in threading.enumerate():
            if each.name == 'os-brick daemon start':
                each.join(20)
        print(privileged.default.channel is used, daemon() == own)
        """,
        f'helper_command = {helper} --config-file {tmp_path}/test.conf',
    )
    assert said[0].startswith('OperationTimedOut')
    assert said[1:] == ['True True']


def test_a_call_that_comes_too_late_does_nothing() -> None:
    """Its caller has taken back by then what it had done."""
    link = '/dev/disk/by-id/os-brick+dev+none'
    with pytest.raises(FileNotFoundError):
        rootwrap.unlink_root(link)
    with pytest.raises(exception.OperationTimedOut, match=r'free thread.*unlink_root'):
        rootwrap.unlink_root(link, _begin_by=0.0)  # type: ignore[call-arg]


def _order(**changes: object) -> connection.Order:
    values = {'name': 'f', 'args': (1, 30.0), 'kwargs': {}, 'lane': 'long', 'seconds': 30.0}
    return connection.Order(**{**values, **changes})  # type: ignore[arg-type]


def test_who_has_waited_has_less_left() -> None:
    replace = privileged._Timeout(1).replaced
    assert _order(replace=replace).patience(10) == 20
    assert _order(replace=replace).after(10).args == (1, 20.0)
    assert _order(replace=replace).after(40).args == (1, 0.1)
    assert _order(replace=replace, kwargs={'timeout': 30}).after(10).kwargs == {'timeout': 20}
    assert _order(replace=replace).after(0.01).args == (1, 30.0)


def test_who_cannot_do_with_less_waits_a_moment() -> None:
    assert _order().patience(0) == connection.SLACK_SECONDS
    assert _order().patience(7) == 0
    assert _order(lane=connection.OUTSIDE).patience(7) == 23
    assert _order(seconds=None).patience(7) is None


@pytest.mark.parametrize(
    ('keywords', 'seconds'),
    [
        ({}, 600),
        ({'timeout': 7}, 7),
        ({'timeout': 7, 'attempts': 3}, 7 * 3 + 2 + 4),
        ({'timeout': 7, 'attempts': 2, 'delay_on_retry': True}, 7 * 2 + 1),
        ({'timeout': None}, None),
        ({'timeout': 0}, None),
    ],
)
def test_the_limit_of_a_callers_command(keywords: dict[str, object], seconds: object) -> None:
    assert rootwrap._longest('true', **keywords) == seconds


def test_secrets_of_a_call_show_in_no_repr() -> None:
    shown = repr(_order(args=('pa55',), kwargs={'key': 'pa55'}))
    assert 'pa55' not in shown


@pytest.mark.parametrize('before', ['', GREEN], ids=['native', 'green'])
def test_the_first_calls_start_one_daemon(tmp_path: pathlib.Path, before: str) -> None:
    """From threads side by side, real or green ones; the others go on while it starts."""
    said = _client(
        tmp_path,
        """
        turns, found = [], []
        def turn():
            while len(found) < 12:
                turns.append(time.monotonic())
                time.sleep(0.01)
        turning = thread(turn)
        callers = [thread(lambda: found.append(daemon())) for _ in range(12)]
        for each in callers + [turning]:
            each.join()
        print('daemons', len(set(found)), os.getpid() != int(found[0]))
        pauses = [after - before for before, after in zip(turns, turns[1:])]
        print('turns', len(turns) > 5, 'longest pause', max(pauses) < 2 or max(pauses))
        print('late', seconds(rootwrap.execute_root, 'sleep', '9', timeout=0.5) < 3)
        print('again', daemon() == found[0])
        """,
        before=before,
    )
    assert said[:2] == ['daemons 1 True', 'turns True longest pause True']
    assert said[2].startswith('ExecutionTimeout'), said
    assert said[3:] == ['late True', 'again True']


def test_64_threads_through_one_daemon(tmp_path: pathlib.Path) -> None:
    """Each gets its turn: when the first thread has all its answers, no other is without one.

    And the service has not many more threads than callers.
    """
    said = _client(
        tmp_path,
        """
        daemon()
        done, least, ended = [0] * 64, [], threading.Event()
        together = threading.Barrier(64)
        def ask(number):
            together.wait()  # A busy machine takes a while to start 64 threads.
            for _ in range(12):
                rootwrap.unlink_root('/dev/disk/by-id/os-brick+none', no_errors=True)
                done[number] += 1
            if not ended.is_set():
                ended.set()
                least.append(min(done))
        callers = [thread(ask, number) for number in range(64)]
        ended.wait()
        service = threading.active_count()
        for each in callers:
            each.join()
        print('all', sum(done) == 64 * 12)
        print('fair', least[0] > 0)
        print('threads', service <= 64 + 6)
        """,
    )
    assert said == ['all True', 'fair True', 'threads True']
