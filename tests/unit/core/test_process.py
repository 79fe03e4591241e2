# SPDX-License-Identifier: Apache-2.0
"""Programs end, whatever they do; children that hang are left behind."""

from collections.abc import Iterator
import contextlib
import errno
import gc
import os
import pathlib
import signal
import time

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.core import process

SECRET = 'pa55-word'


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that no one has waited for yet does not."""
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def ends(pid: int, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_alive(pid)


def test_result() -> None:
    result = process.run('sh', '-c', 'echo out; echo err >&2; exit 3', ok=(0, 3))
    assert (result.exit_code, result.stdout, result.stderr) == (3, 'out\n', 'err\n')
    assert result.argv == ('sh', '-c', 'echo out; echo err >&2; exit 3')


@pytest.mark.parametrize(('stdin', 'out'), [(None, ''), ('text', 'text'), (b'bytes', 'bytes')])
def test_stdin(stdin: str | bytes | None, out: str) -> None:
    assert process.run('cat', stdin=stdin, timeout=10).stdout == out


def test_words_reach_the_program_as_they_are() -> None:
    words = ('$HOME', ';', 'a b', '*', '', "'")
    assert process.run('printf', '%s|', *words).stdout == ''.join(f'{word}|' for word in words)


def test_cwd_and_environment(tmp_path: pathlib.Path) -> None:
    result = process.run('sh', '-c', 'pwd; echo $X', cwd=str(tmp_path), env={'X': '7'})
    assert result.stdout == f'{tmp_path.resolve()}\n7\n'


def test_shell() -> None:
    assert process.run('echo a | tr a b', shell=True).stdout == 'b\n'


def test_bytes_that_are_no_text() -> None:
    assert process.run('printf', r'\377').stdout == '\N{REPLACEMENT CHARACTER}'


def test_another_exit_code() -> None:
    with pytest.raises(processutils.ProcessExecutionError) as caught:
        process.run('sh', '-c', 'echo out; echo err >&2; exit 3')
    assert (caught.value.exit_code, caught.value.stdout, caught.value.stderr) == (
        3,
        'out\n',
        'err\n',
    )
    assert process.run('sh', '-c', 'exit 3', ok=None).exit_code == 3


@pytest.mark.parametrize('name', ['no-such-program-at-all', '/etc/passwd', ''])
def test_a_program_that_cannot_be_started(name: str) -> None:
    with pytest.raises(processutils.ProcessExecutionError) as caught:
        process.run(name, 'x')
    assert name in str(caught.value)


def test_a_hang_is_ended_and_what_it_said_is_kept() -> None:
    with at_most(5), pytest.raises(exception.ExecutionTimeout) as caught:
        process.run('sh', '-c', 'echo partial; echo trouble >&2; exec sleep 60', timeout=0.3)
    assert caught.value.stdout == 'partial\n'
    assert caught.value.stderr == 'trouble\n'
    assert isinstance(caught.value, processutils.ProcessExecutionError)


def test_who_ignores_term_is_killed() -> None:
    script = 'trap "" TERM; echo $$; while :; do sleep 0.1; done'
    with at_most(6), pytest.raises(exception.ExecutionTimeout) as caught:
        process.run('sh', '-c', script, timeout=0.3)
    assert ends(int(str(caught.value.stdout).split()[0]))


def test_who_cleans_up_at_term_may() -> None:
    script = 'trap "echo cleaned; exit 0" TERM; while :; do sleep 0.05; done'
    with at_most(5), pytest.raises(exception.ExecutionTimeout) as caught:
        process.run('sh', '-c', script, timeout=0.3)
    assert 'cleaned' in str(caught.value.stdout)


def test_grandchildren_are_ended_as_well() -> None:
    with at_most(6), pytest.raises(exception.ExecutionTimeout) as caught:
        process.run('sh', '-c', 'sleep 60 & echo $!; wait', timeout=0.3)
    assert ends(int(str(caught.value.stdout).split()[0]))


def test_a_grandchild_that_holds_the_pipes_holds_no_one_up() -> None:
    """It has left the process group, so it cannot be ended; the caller goes on all the same."""
    script = 'setsid sleep 20 & echo $!; exit 0'
    pid = 0
    try:
        with at_most(8), pytest.raises(exception.ExecutionTimeout) as caught:
            process.run('sh', '-c', script, timeout=0.3)
        pid = int(str(caught.value.stdout).split()[0])
    finally:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_much_output_does_not_block() -> None:
    result = process.run('sh', '-c', 'head -c 3000000 /dev/zero | tr "\\0" x', timeout=30)
    assert len(result.stdout) == 3_000_000


@pytest.mark.parametrize(
    'script',
    ['echo $0; echo $0 >&2; exit 1', 'echo $0; echo $0 >&2; exec sleep 60'],
)
def test_secrets_show_in_no_error_and_no_log(script: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    with pytest.raises(processutils.ProcessExecutionError) as caught:
        process.run('sh', '-c', script, SECRET, timeout=0.5, secrets=[SECRET, ''])
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.__dict__)
    assert '***' in str(caught.value)
    assert SECRET not in caplog.text
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize('name', ['no-such-program', '/etc/passwd'])
def test_secrets_of_a_program_that_cannot_be_started(name: str) -> None:
    with pytest.raises(processutils.ProcessExecutionError) as caught:
        process.run(name, SECRET, secrets=[SECRET])
    assert SECRET not in str(caught.value)
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


def test_the_longer_secret_is_hidden_whole() -> None:
    with pytest.raises(processutils.ProcessExecutionError) as caught:
        process.run('sh', '-c', 'exit 1', 'abcdef', secrets=['abc', 'abcdef'])
    assert 'def' not in str(caught.value)


# Children that touch devices.


@pytest.mark.parametrize(
    'value', [None, True, 7, 2**70, 1.5, 'text', b'\0\xff', ('a', (1, b'')), {'a': [1, None]}]
)
def test_isolated_brings_plain_values_back(value: object) -> None:
    assert process.isolated('it', 10, lambda: value) == value


def test_isolated_passes_arguments() -> None:
    def call(*args: int, **kwargs: int) -> tuple[tuple[int, ...], dict[str, int]]:
        return args, kwargs

    assert process.isolated('it', 10, call, 1, 2, a=3) == ((1, 2), {'a': 3})


def test_isolated_results_may_be_big() -> None:
    assert process.isolated('it', 30, bytes, 5_000_000) == bytes(5_000_000)


def test_isolated_runs_elsewhere() -> None:
    changed: list[int] = []
    assert process.isolated('it', 10, lambda: changed.append(1) or os.getpid()) != os.getpid()  # type: ignore[func-returns-value]
    assert changed == []


def _times_out() -> None:
    raise OSError(errno.ETIMEDOUT, 'says the kernel')


def test_the_kernels_timeout_is_an_answer() -> None:
    """Python makes a TimeoutError of ETIMEDOUT; that is not the child's time limit."""
    with pytest.raises(TimeoutError, match='says the kernel'):
        process.isolated('it', 10, _times_out)


def test_isolated_keeps_the_number_of_an_error() -> None:
    with pytest.raises(FileNotFoundError, match='No such file'):
        process.isolated('it', 10, os.stat, '/no/such/file')
    with pytest.raises(OSError, match='ZeroDivisionError'):
        process.isolated('it', 10, lambda: 1 // 0)
    with pytest.raises(OSError, match='plain text'):
        process.isolated('it', 10, _raise, OSError('plain text'))


def _raise(error: Exception) -> None:
    raise error


def test_isolated_result_that_is_not_plain() -> None:
    with pytest.raises(OSError, match='ValueError'):
        process.isolated('it', 10, lambda: pathlib.Path('/'))


def test_isolated_child_that_dies() -> None:
    with at_most(5), pytest.raises(OSError, match='died'):
        process.isolated('it', 30, os._exit, 3)
    with at_most(5), pytest.raises(OSError, match='died'):
        process.isolated('it', 30, lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_isolated_child_that_hangs(tmp_path: pathlib.Path) -> None:
    """The caller goes on in time, the error says what hung, and the child is ended."""
    note = tmp_path / 'pid'

    def hang() -> None:
        note.write_text(str(os.getpid()))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # As in the kernel. eventlet's sleep would wait for the hub's descriptors, which are the
        # parent's.
        while True:
            signal.pause()

    with at_most(4), pytest.raises(exception.OperationTimedOut, match='the flush of sdx') as caught:
        process.isolated('the flush of sdx', 0.5, hang)
    assert '0.5' in str(caught.value)
    assert ends(int(note.read_text()))


def test_isolated_child_keeps_no_descriptor_of_the_parents() -> None:
    reader, writer = os.pipe()
    try:
        assert not process.isolated(
            'it',
            10,
            lambda: (
                os.path.exists(f'/proc/self/fd/{writer}')
                and os.readlink(f'/proc/self/fd/{writer}').startswith('pipe')
            ),
        )
    finally:
        os.close(reader)
        os.close(writer)


def _children() -> set[str]:
    found: set[str] = set()
    for task in pathlib.Path('/proc/self/task').iterdir():
        with contextlib.suppress(FileNotFoundError):  # A thread that ends meanwhile.
            found |= set((task / 'children').read_text().split())
    return found


def test_isolated_leaves_no_zombie_and_no_descriptor() -> None:
    gc.collect()  # What other tests have dropped is closed at a moment of its own.
    children, descriptors = _children(), len(os.listdir('/proc/self/fd'))
    for _ in range(5):
        process.isolated('it', 10, int)
    assert len(os.listdir('/proc/self/fd')) <= descriptors
    assert not _children() - children
