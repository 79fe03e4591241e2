# SPDX-License-Identifier: Apache-2.0
"""The one way to start a program, and the one way to touch a device that may hang.

A program runs in a session of its own with a time limit; when the limit passes, its whole
process group is told to end and then killed. A call into the kernel that may never come back
(a flush, a read, a scan of a dead path) runs in a child (:mod:`os_brick.core.children`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
import contextlib
import dataclasses
import functools
import os
import signal
import subprocess
import threading
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import children, clock

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

    def isolated(self, call: children.Call, timeout: float) -> Any:
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
        return cast(T, _current.isolated(functools.partial(call, *args, **kwargs), timeout))
    except TimeoutError as error:
        if error.errno is not None:
            raise  # The kernel's ETIMEDOUT is an answer.
        raise exception.OperationTimedOut(what=what, seconds=round(timeout, 1)) from None


def _hide(text: str, secrets: Collection[str]) -> str:
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _text(data: bytes | str | None) -> str:
    return data.decode('utf-8', 'replace') if isinstance(data, bytes) else data or ''


class _SystemRunner:
    def __init__(self) -> None:
        self._children = children.Pool()

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

    def isolated(self, call: children.Call, timeout: float) -> Any:
        return self._children.call(call, timeout)


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
