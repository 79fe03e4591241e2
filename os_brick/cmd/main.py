# SPDX-License-Identifier: Apache-2.0
"""The entry point: from arguments to an exit code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
import io
import os
import signal
import sys
import threading
from types import FrameType
import warnings

from os_brick.cmd import arguments, exits, output, table
from os_brick.core import files

_JSON = ('-f json', '-fjson', '--format json', '--format=json')


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    :param argv: the words after the program's name; ``None`` for those of this process.
    :return: the exit code, see :class:`os_brick.cmd.exits.Exit`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # Closed streams, as cron and systemd may have them, are sinks.
    sys.stdout, sys.stderr = sys.stdout or io.StringIO(), sys.stderr or io.StringIO()
    console = output.error_console()
    is_for_programs = _wants_json(words)
    try:
        return _run(words)
    except exits.CommandError as error:
        _print_error(error, console, is_for_programs=is_for_programs)
        return error.exit_code
    except SystemExit as ended:  # argparse has printed the help of a command
        return ended.code if isinstance(ended.code, int) else 0
    except KeyboardInterrupt:
        return exits.Exit.INTERRUPTED
    except BrokenPipeError:  # while argparse printed the help of a command
        _forget_output()
        return exits.Exit.OK
    except Exception as error:  # noqa: BLE001 whatever it is, the shell has to tell it from a finding
        return _report_bug(error, words)


def _run(words: list[str]) -> int:
    if not _is_verbose(words):
        # Of libraries, about themselves: no one who looks at a host can do anything about them.
        # Some come with the import of a command (oslo.privsep 3.12 imports an installed eventlet).
        warnings.simplefilter('ignore')
    command, options = arguments.parse(words)
    console = output.console_of(options, sys.stdout, sys.stderr)
    if command is None:
        _print(arguments.overview(), console)
        return exits.Exit.OK if options.help else exits.Exit.USAGE
    with _time_limit(command, options.timeout):
        result = arguments.module_of(command).run(options, console)
        text = output.rendered(result, options, console)
    if text:
        _print(text, console, must_arrive=command.group == table.CHANGE)
    with contextlib.suppress(OSError):
        for note in () if options.quiet else result.notes:
            console.stderr.write(f'{console.spelled(console.plain(note))}\n')
    return int(result.code)


def _print(text: str, console: output.Console, *, must_arrive: bool = False) -> None:
    # What a name on the host holds need not be valid in any encoding.
    encoding = getattr(console.stdout, 'encoding', None) or 'utf-8'
    safe = text.encode(encoding, 'backslashreplace').decode(encoding)
    try:
        console.stdout.write(f'{safe}\n')
        console.stdout.flush()
    except OSError as error:
        _forget_output()
        if isinstance(error, BrokenPipeError) and not must_arrive:
            return  # The reader has seen enough (os-brick tree | head).
        raise exits.CommandError(
            'not-printed',
            f'The command has ended, but its result cannot be written: {error.strerror}.',
            exit_code=exits.Exit.NOT_PRINTED,
            remedy='See what the standard output is connected to.',
        ) from None


def _forget_output() -> None:
    """Have what is left in the buffer go nowhere: Python flushes once more as it ends."""
    os.dup2(files.descriptor(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _time_limit(command: table.Command, seconds: float | None) -> Iterator[None]:
    """End a command that looks after its time; those that change keep their own deadline.

    What hangs in the kernel for good is never waited for in this process, so a signal is enough.
    """
    if (
        seconds is None
        or command.group == table.CHANGE
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise exits.time_is_up(seconds)

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _wants_json(words: Sequence[str]) -> bool:
    """Whether errors go to a program, told before the arguments are known to make sense."""
    joined = f' {" ".join(words)} '
    return any(f' {form} ' in joined for form in _JSON)


def _is_verbose(words: Sequence[str]) -> bool:
    """Whether more is wanted, told before the arguments are known to make sense."""
    return any(word == '--verbose' or word.startswith('-v') for word in words)


def _print_error(
    error: exits.CommandError, console: output.Console, *, is_for_programs: bool
) -> None:
    if is_for_programs:
        import json

        text = json.dumps(error.as_document())
    else:
        lines = [f'os-brick: {error.text}', *(f'  {each}' for each in error.candidates)]
        lines += [f'  {error.remedy}'] if error.remedy else []
        text = console.spelled('\n'.join(map(console.plain, lines)))
    with contextlib.suppress(OSError):  # There is nothing left to tell it by.
        sys.stderr.write(f'{text}\n')


def _report_bug(error: Exception, words: Sequence[str]) -> int:
    if _is_verbose(words):
        import traceback

        traceback.print_exception(error)
    sys.stderr.write(
        f'os-brick: This is a fault of os-brick itself: {type(error).__name__}: {error}\n'
        '  Please report it with what the same command prints with -vv\n'
        '  (https://bugs.launchpad.net/os-brick).\n'
    )
    return exits.Exit.BUG
