# SPDX-License-Identifier: Apache-2.0
"""Programs and links as the public names know them.

:func:`execute_root` is there for callers outside that bring commands of their own; it runs what is
on the list of :mod:`os_brick.privileged.programs`.
"""

from collections.abc import Callable, Iterable
from typing import Any

from oslo_concurrency import processutils as putils
from oslo_log import log as logging

from os_brick import exception, privileged
from os_brick.core import clock, process, trace
from os_brick.privileged import links, programs

LOG = logging.getLogger(__name__)

# For one try. A flush of a slow array takes minutes; nothing takes longer than this.
DEFAULT_TIMEOUT_SECONDS = 600

# With ``delay_on_retry``: the middle of the 0.2 to 2 s that oslo draws.
_DELAY_SECONDS = 1.0

# Keywords of others' calls that change nothing here: what is logged is fixed, the
# whole process group is always ended with TERM and then KILL, and who is root
# has been decided before.
_WITHOUT_EFFECT = frozenset({'loglevel', 'log_errors', 'signal', 'run_as_root'})

# Public names; our own code uses privileged/links.
link_root = links.link_root
unlink_root = links.unlink_root


def execute(*cmd: str, **kwargs: Any) -> tuple[str, str]:
    """Run a program, as root if ``run_as_root``, and return its output and its errors.

    Keywords are those of :func:`custom_execute`; ``root_helper`` is ignored.

    :raises oslo_concurrency.processutils.ProcessExecutionError: if it fails or is
        not there.
    """
    run_as_root = kwargs.pop('run_as_root', False)
    kwargs.pop('root_helper', None)
    if run_as_root:
        return execute_root(*cmd, **kwargs)
    return custom_execute(*cmd, **kwargs)


def custom_execute(
    *cmd: str,
    process_input: str | bytes | None = None,
    check_exit_code: bool | int | Iterable[int] = 0,
    timeout: float | None = DEFAULT_TIMEOUT_SECONDS,
    raise_timeout: bool | None = None,
    attempts: int = 1,
    interval: float | None = None,
    backoff_rate: float | None = None,
    delay_on_retry: bool | None = None,
    **kwargs: Any,
) -> tuple[str, str]:
    """Run a program in this process and return its output and its errors.

    Before try k (from the second on) there is a wait of ``interval`` (1) times
    ``backoff_rate`` (2) to the power k - 1 seconds; with ``delay_on_retry`` one
    second, or none if it is false. ``timeout`` is for each try; 0 and None mean
    no limit.

    :raises oslo_concurrency.processutils.ProcessExecutionError: if the last try
        ends with another exit code than ``check_exit_code`` allows.
    :raises ExecutionTimeout: if the last try had to be ended, unless
        ``raise_timeout`` is false: then what it had written is returned.
    """
    words = tuple(str(word) for word in cmd)
    pause = _pause(interval, backoff_rate, delay_on_retry)
    run: dict[str, Any] = {
        'ok': _allowed(check_exit_code),
        'timeout': timeout or None,
        'stdin': process_input,
        'secrets': _secrets(words),
        **_process_keywords(kwargs),
    }
    if raise_timeout is None:
        raise_timeout = check_exit_code is not False
    for number in range(1, attempts + 1):
        try:
            return _once(words, run)
        except exception.ExecutionTimeout as error:
            if number >= attempts:
                return _timed_out(error, raise_timeout)
        except putils.ProcessExecutionError:
            if number >= attempts:
                raise
        clock.sleep(pause(number))
    raise ValueError('attempts has to be at least 1')


def _longest(*_cmd: str, **kwargs: Any) -> float | None:
    """Return how long all tries of a command may take together; None for no limit."""
    timeout = kwargs.get('timeout', DEFAULT_TIMEOUT_SECONDS)
    if not timeout:
        return None
    attempts = kwargs.get('attempts', 1)
    names = ('interval', 'backoff_rate', 'delay_on_retry')
    pause = _pause(*(kwargs.get(name) for name in names))
    return float(attempts * timeout + sum(pause(number) for number in range(1, attempts)))


@privileged.limited(_longest, privileged.connection.OUTSIDE)
def execute_root(*cmd: str, **kwargs: Any) -> tuple[str, str]:
    """Run a program that may be run as root, with the keywords of :func:`custom_execute`.

    For callers outside only: our own code has a narrow function for each act.

    :raises oslo_concurrency.processutils.ProcessExecutionError: if it is not on the list, or fails.
    :raises TypeError: for ``shell`` and ``run_as_root``, which are not allowed.
    """
    words = [str(word) for word in cmd]
    variables = kwargs.pop('env_variables', None)
    programs.require(words, variables)
    return custom_execute(
        *words,
        shell=False,
        run_as_root=False,
        env_variables=programs.environment(variables),
        **kwargs,
    )


def _once(cmd: tuple[str, ...], keywords: dict[str, Any]) -> tuple[str, str]:
    result = process.run(*cmd, **keywords)
    return result.stdout, result.stderr


def _timed_out(error: exception.ExecutionTimeout, raise_it: bool) -> tuple[str, str]:
    """Raise the error, or return what the program had written before it was ended."""
    LOG.warning('%s: %s', error.cmd, error.description)
    if raise_it:
        raise error
    return str(error.stdout or ''), str(error.stderr or error.description)


def _allowed(check_exit_code: bool | int | Iterable[int] | None) -> tuple[int, ...] | None:
    """Return the exit codes that are not errors; None for any."""
    if check_exit_code is False:
        return None
    if check_exit_code is True or check_exit_code is None:
        return (0,)
    if isinstance(check_exit_code, int):
        return (check_exit_code,)
    return tuple(check_exit_code)


def _pause(
    interval: float | None, backoff_rate: float | None, delay_on_retry: bool | None
) -> Callable[[int], float]:
    """Return what answers how long to wait after a try with that number has failed."""
    if delay_on_retry is None:
        first = 1 if interval is None else interval
        rate = 2 if backoff_rate is None else backoff_rate
        return lambda number: float(first * rate**number)
    if interval is not None or backoff_rate is not None:
        raise TypeError('delay_on_retry excludes interval and backoff_rate')
    return lambda _number: _DELAY_SECONDS if delay_on_retry else 0.0


def _process_keywords(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Translate processutils' keywords into those of ``process.run``.

    :raises oslo_concurrency.processutils.UnknownArgumentError: for one that has no
        meaning here.
    """
    names = {'cwd': 'cwd', 'env_variables': 'env', 'shell': 'shell'}
    unknown = kwargs.keys() - names.keys() - _WITHOUT_EFFECT
    if unknown:
        raise putils.UnknownArgumentError(
            f'os-brick runs no program with the keywords {", ".join(sorted(unknown))}'
        )
    return {names[name]: value for name, value in kwargs.items() if name in names}


def _secrets(words: Iterable[str]) -> list[str]:
    """Return the words of a command that must not be shown, found by the word before them."""
    listed = list(words)
    hidden = zip(listed, trace.masked(listed), strict=True)
    return [word.partition('=')[2] or word for word, shown in hidden if shown != word]
