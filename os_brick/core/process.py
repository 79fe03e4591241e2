# SPDX-License-Identifier: Apache-2.0
"""Starting programs and touching devices that may hang: nothing else does either.

A program runs in a session of its own with a time limit; when the limit passes, its whole
process group is told to end and then killed. A call into the kernel that may never come back
(a flush, a read, a scan of a dead path) runs in a child (:mod:`os_brick.core.children`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
import contextlib
import dataclasses
import errno
import functools
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import children, clock
from os_brick.core.reaper import reaper

if TYPE_CHECKING:
    from oslo_concurrency import processutils

LOG = logging.getLogger(__name__)
P = ParamSpec('P')
T = TypeVar('T')

# Between the request to end and the kill: open-iscsi's and multipath's tools clean up in
# milliseconds, and what needs longer hangs.
TERM_GRACE_SECONDS = 1.0
HIDDEN = '***'


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What a program left behind when it ended."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str


class TimeLimit(Exception):
    """A program was killed at its time limit; what it had written by then."""

    def __init__(self, stdout: str = '', stderr: str = '') -> None:
        super().__init__()
        self.stdout = stdout
        self.stderr = stderr


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

        :raises TimeLimit: if it was killed at its time limit.
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

    :param ok: the exit codes that are not errors; ``None`` for any.
    :param timeout: in seconds; ``None`` for no limit.
    :param secrets: texts that must not show in an error or a log.
    :raises ProcessExecutionError: if it ends with another code, or cannot be started.
    :raises ExecutionTimeout: if it was killed at its time limit.
    """
    words = tuple(str(word) for word in argv)
    shown = _hide(' '.join(words), secrets)
    data = stdin.encode() if isinstance(stdin, str) else stdin
    started = clock.monotonic()
    ended = _ended(words, timeout=timeout, stdin=data, cwd=cwd, env=env, shell=shell)
    # Raised here, and not where the first error is handled: that one knows the whole command line,
    # and would go along as the context of this one.
    if isinstance(ended, TimeLimit):
        raise exception.ExecutionTimeout(
            stdout=_hide(ended.stdout, secrets),
            stderr=_hide(ended.stderr, secrets),
            cmd=shown,
            description=f'Killed after {timeout:g} s without an end',
        )
    if isinstance(ended, str):
        why = _hide(ended, secrets)
        raise failure()(cmd=shown, description=why)
    LOG.debug('%s ended with %s after %.3f s', shown, ended.exit_code, clock.monotonic() - started)
    if ok is not None and ended.exit_code not in ok:
        raise failure()(
            stdout=_hide(ended.stdout, secrets),
            stderr=_hide(ended.stderr, secrets),
            exit_code=ended.exit_code,
            cmd=shown,
        )
    return ended


def failure() -> type[processutils.ProcessExecutionError]:
    """The kind of error that :func:`run` raises.

    Not loaded before a program has failed: see :mod:`os_brick.exception.execution`.
    """
    from oslo_concurrency import processutils

    return processutils.ProcessExecutionError


def is_missing(program: str, error: processutils.ProcessExecutionError) -> bool:
    """Whether a program that :func:`run` has failed with is not installed."""
    return f'No such file or directory: {program!r}' in (error.description or '')


def _ended(words: tuple[str, ...], **keywords: Any) -> Result | TimeLimit | str:
    """What a program left behind, how it was ended, or why it cannot be started."""
    try:
        return _current.run(words, **keywords)
    except TimeLimit as limit:
        return limit
    except OSError as error:
        return str(error)


def isolated(
    what: str, timeout: float, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """What ``call`` gives in a child process, which is left behind if it hangs.

    Arguments may be anything; the result has to be made of plain values. ``call`` must not log:
    other threads may have held a lock of the logging module when the child was forked.

    :param what: what is done, for the message of the error.
    :raises OperationTimedOut: if the child did not answer in time.
    :raises OSError: what ``call`` raised; ``EAGAIN`` if too many earlier calls still hang.
    """
    try:
        return cast(T, _current.isolated(functools.partial(call, *args, **kwargs), timeout))
    except TimeoutError as error:
        if error.errno is not None:
            raise  # The kernel's ETIMEDOUT is an answer.
    raise exception.OperationTimedOut(what=what, seconds=round(timeout, 1))


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
        _require_exit_codes()
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
            written = _written(child, stdin, timeout)
        except BaseException:
            _signal_group(child.pid, signal.SIGKILL)
            _leave(child)
            raise
        if written is None:
            raise TimeLimit(*map(_text, _end(child)))
        return Result(argv, child.returncode, _text(written[0]), _text(written[1]))

    def isolated(self, call: children.Call, timeout: float) -> Any:
        return self._children.call(call, timeout)


def _require_exit_codes() -> None:
    """Refuse to start what would seem to succeed, or would join too many that hang.

    :raises OSError: naming the reason.
    """
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        # The kernel throws the exit code away, and `subprocess` makes 0 of that.
        raise OSError('this process ignores SIGCHLD, so no program can tell it whether it failed')
    why = reaper.why_full()
    if why is not None:
        raise OSError(errno.EAGAIN, why)


def _written(
    child: subprocess.Popen[bytes], stdin: bytes | None, timeout: float | None
) -> tuple[bytes, bytes] | None:
    """What a program has written until its end; ``None`` if that does not come in time."""
    try:
        return child.communicate(stdin, timeout=timeout)
    except Exception as error:
        # eventlet's `communicate` raises a class of its own, which inherits from no other.
        if type(error).__name__ != subprocess.TimeoutExpired.__name__:
            raise
    return None


def _end(child: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """End the process group of a child; return what it had written."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal_group(child.pid, number)
        written = _written(child, None, TERM_GRACE_SECONDS)
        if written is not None:
            return written
    # In uninterruptible sleep, or a grandchild left the group and holds the pipes.
    so_far = _so_far(child)
    _leave(child)
    return so_far


def _so_far(child: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What was read from a program that does not close its pipes."""
    try:
        child.communicate(timeout=0)
    except Exception as error:  # noqa: BLE001 whatever its class is, it has what was read
        return getattr(error, 'output', None) or b'', getattr(error, 'stderr', None) or b''
    return b'', b''


def _leave(child: subprocess.Popen[bytes]) -> None:
    """Have a killed child be collected when it ends; nothing waits for it."""
    for pipe in filter(None, (child.stdin, child.stdout, child.stderr)):
        with contextlib.suppress(OSError):
            pipe.close()
    reaper.take('', lambda: child.poll() is not None)


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
