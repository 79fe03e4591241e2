# SPDX-License-Identifier: Apache-2.0
"""The one way to start a program, and the one way to touch a device that may hang.

A program runs in a session of its own with a time limit; when the limit passes, its whole
process group is told to end and then killed. A call into the kernel that may never come back
(a flush, a read, a scan of a dead path) runs in a forked child: a child in uninterruptible sleep
survives even SIGKILL, so it is left behind, and the caller goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
import contextlib
import dataclasses
import gc
import marshal
import os
import select
import signal
import subprocess
import threading
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar, cast

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import clock

LOG = logging.getLogger(__name__)
P = ParamSpec('P')
T = TypeVar('T')

# Between the request to end and the kill: open-iscsi's and multipath's tools clean up in
# milliseconds, and whoever needs longer hangs.
TERM_GRACE_SECONDS = 1.0
HIDDEN = '***'


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What a program left behind when it ended."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str


class Runner(Protocol):
    """What starts programs and children; a test brings its own."""

    def run(
        self,
        argv: tuple[str, ...],
        *,
        timeout: float | None,
        stdin: bytes | None,
        cwd: str | None,
        env: Mapping[str, str] | None,
        shell: bool,
    ) -> Result:
        """Run one program to its end.

        :raises subprocess.TimeoutExpired: if it was killed at its time limit.
        :raises OSError: if it cannot be started.
        """

    def isolated(self, call: Callable[[], Any], timeout: float) -> Any:
        """What ``call`` gives in a child process.

        :raises TimeoutError: if the child did not answer in time.
        :raises OSError: what ``call`` raised.
        """


def run(
    *argv: str,
    ok: Collection[int] | None = (0,),
    timeout: float | None = None,
    stdin: bytes | str | None = None,
    secrets: Collection[str] = (),
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    shell: bool = False,
) -> Result:
    """Run one program and return what it left behind.

    :param ok: the exit codes that are no error; ``None`` for any.
    :param timeout: in seconds; ``None`` for no limit.
    :param secrets: texts that must not show in an error or a log.
    :raises ProcessExecutionError: if it ends with another code, or cannot be started.
    :raises ExecutionTimeout: if it was killed at its time limit.
    """
    words = tuple(str(word) for word in argv)
    shown = _hide(' '.join(words), secrets)
    data = stdin.encode() if isinstance(stdin, str) else stdin
    started = clock.monotonic()
    try:
        result = _current.run(words, timeout=timeout, stdin=data, cwd=cwd, env=env, shell=shell)
    except subprocess.TimeoutExpired as error:
        raise exception.ExecutionTimeout(
            stdout=_hide(_text(error.stdout), secrets),
            stderr=_hide(_text(error.stderr), secrets),
            cmd=shown,
            description=f'Killed after {timeout:g} s without an end',
        ) from None
    except OSError as error:
        raise processutils.ProcessExecutionError(cmd=shown, description=str(error)) from None
    LOG.debug('%s ended with %s after %.3f s', shown, result.exit_code, clock.monotonic() - started)
    if ok is not None and result.exit_code not in ok:
        raise processutils.ProcessExecutionError(
            stdout=_hide(result.stdout, secrets),
            stderr=_hide(result.stderr, secrets),
            exit_code=result.exit_code,
            cmd=shown,
        )
    return result


def isolated(
    what: str, timeout: float, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """What ``call`` gives in a child process, which is left behind if it hangs.

    Arguments may be anything; the result has to be made of plain values. ``call`` must not log:
    other threads may have held a lock of the logging module when the child was forked.

    :param what: what is done, for the message of the error.
    :raises OperationTimedOut: if the child did not answer in time.
    :raises OSError: what ``call`` raised.
    """
    try:
        return cast(T, _current.isolated(lambda: call(*args, **kwargs), timeout))
    except TimeoutError:
        raise exception.OperationTimedOut(what=what, seconds=round(timeout, 1)) from None


def _hide(text: str, secrets: Collection[str]) -> str:
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _text(data: bytes | str | None) -> str:
    return data.decode('utf-8', 'replace') if isinstance(data, bytes) else data or ''


class _SystemRunner:
    def run(
        self,
        argv: tuple[str, ...],
        *,
        timeout: float | None,
        stdin: bytes | None,
        cwd: str | None,
        env: Mapping[str, str] | None,
        shell: bool,
    ) -> Result:
        child = subprocess.Popen(
            ' '.join(argv) if shell else argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            shell=shell,
            start_new_session=True,
        )
        try:
            stdout, stderr = child.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            error.stdout, error.stderr = _end(child)
            raise
        except BaseException:
            _signal_group(child.pid, signal.SIGKILL)
            raise
        return Result(argv, child.returncode, _text(stdout), _text(stderr))

    def isolated(self, call: Callable[[], Any], timeout: float) -> Any:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            _child(call, writer)
        os.close(writer)
        try:
            answer = _read_all(reader, timeout)
        except TimeoutError:
            # In uninterruptible sleep the signal waits as well; nobody waits for the child.
            os.kill(pid, signal.SIGKILL)
            threading.Thread(target=_reap, args=(pid,), daemon=True).start()
            raise
        finally:
            os.close(reader)
        _reap(pid)
        return _unpack(answer)


def _end(child: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """End the process group of a child; return what it had written."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal_group(child.pid, number)
        try:
            return child.communicate(timeout=TERM_GRACE_SECONDS)
        except subprocess.TimeoutExpired as error:
            written = (error.stdout or b'', error.stderr or b'')
    # In uninterruptible sleep, or a grandchild left the group and holds the pipes.
    for pipe in filter(None, (child.stdin, child.stdout, child.stderr)):
        with contextlib.suppress(OSError):
            pipe.close()
    threading.Thread(target=child.wait, daemon=True).start()
    return written


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _child(call: Callable[[], Any], writer: int) -> NoReturn:
    status = 1
    try:
        gc.disable()  # Finalizers of the parent's objects are not the child's business.
        # The child must not keep the parent's sockets and lock files open if it hangs.
        os.dup2(writer, 0)
        os.closerange(3, os.sysconf('SC_OPEN_MAX'))
        try:
            answer = marshal.dumps((True, call()))
        except OSError as error:
            answer = marshal.dumps((False, error.errno, error.strerror or str(error)))
        except Exception as error:
            answer = marshal.dumps((False, None, f'{type(error).__name__}: {error}'))
        while answer:
            answer = answer[os.write(0, answer) :]
        status = 0
    finally:
        os._exit(status)


def _read_all(reader: int, timeout: float) -> bytes:
    ends = clock.monotonic() + timeout
    poller = select.poll()
    poller.register(reader, select.POLLIN | select.POLLHUP)
    answer = b''
    while True:
        if not poller.poll(max(0.0, ends - clock.monotonic()) * 1000):
            raise TimeoutError
        piece = os.read(reader, 65536)
        if not piece:
            return answer
        answer += piece


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # Where SIGCHLD is ignored.
        os.waitpid(pid, 0)


def _unpack(answer: bytes) -> Any:
    if not answer:
        raise OSError('the child process died without an answer')
    good, *rest = marshal.loads(answer)  # noqa: S302 written by our own child
    if good:
        return rest[0]
    number, text = rest
    raise OSError(number, text) if number else OSError(text)


_current: Runner = _SystemRunner()


@contextlib.contextmanager
def use(runner: Runner) -> Iterator[None]:
    """Have every program and child started by ``runner`` for a while; a seam for tests."""
    global _current  # noqa: PLW0603 the seam itself
    before, _current = _current, runner
    try:
        yield
    finally:
        _current = before
