# SPDX-License-Identifier: Apache-2.0
"""Run, read, write, wait: what everything in the laboratory is made of."""

from collections.abc import Callable
import pathlib
import subprocess
import time
from typing import TypeVar

T = TypeVar('T')


def run(*argv: str, check: bool = True, timeout: float = 60, stdin: str | None = None) -> str:
    """Run a program and return what it printed (both streams, without the last newline).

    :raises RuntimeError: if it fails and ``check`` is true; the text has the output.
    """
    done = subprocess.run(
        argv,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode:
        raise RuntimeError(f'{" ".join(argv)} exited {done.returncode}: {done.stdout.strip()}')
    return done.stdout.rstrip('\n')


def read(path: str | pathlib.Path) -> str:
    """The text of a file without white space around it; empty when it cannot be read."""
    try:
        with open(path, 'rb', buffering=0) as file:
            return file.read().decode(errors='replace').strip()
    except OSError:
        return ''


def write(path: str | pathlib.Path, text: object) -> None:
    """Write to a file of the kernel (one write, no truncation games)."""
    with open(path, 'w') as out:
        out.write(str(text))


def until(probe: Callable[[], T], seconds: float, what: str, pause: float = 0.05) -> T:
    """The first truthy answer of ``probe``.

    :raises AssertionError: if there is none in ``seconds``.
    """
    end = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f'not within {seconds} s: {what}')
        time.sleep(pause)


def settle(seconds: int = 20) -> None:
    """Return when udev has handled every event (or after ``seconds``)."""
    run('udevadm', 'settle', f'--timeout={seconds}', check=False, timeout=seconds + 10)


def modules(*names: str) -> None:
    """Load kernel modules (those that are built in are not an error)."""
    run('modprobe', '-a', *names, check=False)
