# SPDX-License-Identifier: Apache-2.0
"""Where things are kept: outside the checkout, so that every clone shares one image."""

from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib

from guestlib import progress

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
INSIDE = pathlib.Path(__file__).resolve().parent / 'inside'


def cache() -> pathlib.Path:
    """The cache directory, made if it is not there."""
    chosen = os.environ.get('OS_BRICK_GUEST_CACHE')
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    directory = pathlib.Path(chosen or os.path.join(base, 'os-brick-guest'))
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


@contextlib.contextmanager
def locked(name: str, waiting_for: str) -> Iterator[None]:
    """Hold the named lock of the cache; others wait, and are told for whom."""
    path = cache() / name
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 500, 0).decode(errors='replace').strip()
            progress.line(f'waiting for {waiting_for} ({holder or "in use"})')
            fcntl.flock(fd, fcntl.LOCK_EX)
        os.ftruncate(fd, 0)
        command = ' '.join(os.fsdecode(part) for part in _command_line())[:300]
        os.pwrite(fd, f'process {os.getpid()}: {command}'.encode(), 0)
        yield
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _command_line() -> list[bytes]:
    with open('/proc/self/cmdline', 'rb') as stream:
        return stream.read().strip(b'\0').split(b'\0')[1:]
