# SPDX-License-Identifier: Apache-2.0
"""Run, read, write, wait: what everything in the laboratory is made of."""

from collections.abc import Callable, Iterator
import contextlib
import os
import pathlib
import socket
import struct
import subprocess
import time
from typing import TypeVar

T = TypeVar('T')
# systemd-udevd's control socket (udev-ctrl.c of systemd 257): version, magic number, type, value.
_UDEV, _UDEV_QUEUE = '/run/udev/control', '/run/udev/queue'
_UDEV_MESSAGE = struct.Struct('=16sIi256s')
_UDEV_MAGIC, _UDEV_END, _UDEV_PING = 0xDEAD1DEA, 0, 7


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
    """Return when udev has handled every event (or after ``seconds``).

    Does what ``udevadm settle`` does, which takes a tenth of a second to start under emulation.
    """
    end = time.monotonic() + seconds
    try:
        _ping_udev(seconds)
    except OSError:
        run('udevadm', 'settle', f'--timeout={seconds}', check=False, timeout=seconds + 10)
        return
    while os.path.exists(_UDEV_QUEUE) and time.monotonic() < end:
        time.sleep(0.01)


def _ping_udev(seconds: float) -> None:
    """Return when udevd has read every event that the kernel has sent by now.

    udevd hangs up on the end of the messages, and reads this socket only when there is no event.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control:
        control.settimeout(seconds)
        control.connect(_UDEV)
        for kind in (_UDEV_PING, _UDEV_END):
            control.send(_UDEV_MESSAGE.pack(b'udev-257', _UDEV_MAGIC, kind, b''))
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            control.recv(1)


def processes() -> Iterator[str]:
    """The number of every process now, but for the kernel's own threads: most of /proc is theirs.

    To read a file of each takes long under emulation.
    """
    kernels = {'2', *read('/proc/2/task/2/children').split()}
    return (name for name in os.listdir('/proc') if name.isdigit() and name not in kernels)


def modules(*names: str) -> None:
    """Load kernel modules (those that are built in are not an error)."""
    run('modprobe', '-a', *names, check=False)
