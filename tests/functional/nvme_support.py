# SPDX-License-Identifier: Apache-2.0
"""What the tests of NVMe over Fabrics share: controllers and paths, I/O that goes on."""

import contextlib
import errno
import os
import pathlib
import re
import threading
import time
from typing import Any

from tests.functional import lab, support

CLASS = lab.nvmet.CLASS
HEAD = re.compile(r'/dev/nvme\d+n\d+')
_PATH = re.compile(r'(nvme\d+)(?:c\d+)?(n\d+)')


def served(
    shelf: lab.Testbed,
    name: str,
    ports: Any = 1,
    transport: str = 'tcp',
    **more: Any,
) -> tuple[lab.nvmet.Store, lab.nvmet.Subsystem]:
    """A new volume with its stamp on it, as namespace 1 of a new subsystem."""
    store = shelf.store(name, **more)
    support.stamp(store)
    subsystem = shelf.subsystem(name, ports, transport)
    subsystem.map(1, store)
    return store, subsystem


def controllers(subsystem: lab.nvmet.Subsystem) -> dict[str, str]:
    """Name and number (cntlid) of every controller for it: what survives keeps both."""
    names = lab.nvmet.controllers(subsystem.nqn)
    found = {name: lab.shell.read(CLASS / name / 'cntlid') for name in names}
    # ``a`` is also the beginning of ``ab``.
    return {n: i for n, i in found.items() if attribute(n, 'subsysnqn') == subsystem.nqn}


def attribute(controller: str, name: str) -> str:
    """What the kernel says of a controller; empty when it has gone."""
    return lab.shell.read(CLASS / controller / name)


def controller_at(subsystem: lab.nvmet.Subsystem, number: int) -> str:
    """The controller through one port of the subsystem; empty if there is none."""
    wanted = f'traddr={subsystem.ports[number].address}'
    for name in controllers(subsystem):
        if wanted in attribute(name, 'address').split(','):
            return name
    return ''


def state(subsystem: lab.nvmet.Subsystem, number: int) -> str:
    """``live``, ``connecting``, …: the controller's through this port."""
    return attribute(controller_at(subsystem, number), 'state')


def wait_state(
    subsystem: lab.nvmet.Subsystem, number: int, *states: str, seconds: float = 15
) -> None:
    """Return when the path through this port is in one of the states."""
    what = f'{subsystem.nqn} through port {number} is {" or ".join(states)}'
    lab.shell.until(lambda: state(subsystem, number) in states, seconds, what)


def wait_cut(subsystem: lab.nvmet.Subsystem, number: int) -> None:
    """Return when the host has noticed that the path is cut."""
    wait_state(subsystem, number, 'connecting', 'resetting')


def hasten(subsystem: lab.nvmet.Subsystem) -> None:
    """Let every controller try again each second, not each ten."""
    for name in controllers(subsystem):
        lab.shell.write(CLASS / name / 'reconnect_delay', 1)


def paths(path: str) -> list[str]:
    """``nvme0c1n1``, …: the kernel's paths under a head."""
    head = _PATH.fullmatch(support.node(path))
    found = []
    for entry in CLASS.glob('nvme*/nvme*n*'):
        match = _PATH.fullmatch(entry.name)
        if match and head and match.groups() == head.groups():
            found.append(entry.name)
    return sorted(found)


def wait_paths(path: str, count: int) -> None:
    """Return when the head has so many paths: a late one may join after the attach."""
    lab.shell.until(lambda: len(paths(path)) == count, 10, f'{count} paths of {path}')


def disconnect_all(subsystem: lab.nvmet.Subsystem) -> None:
    """Undo connections that were made by hand, and others."""
    for name in controllers(subsystem):
        lab.nvmet.disconnect(name)


class Traffic:
    """Writes that go on in a thread while the block runs: each must succeed and arrive.

    ``step()`` returns when several more writes have ended, so that they are known to have used
    the paths as they are now. ``lenient``: one that ends with EIO is tried again for 10 s (fcloop
    answers a command in flight at the cut with an error that the kernel takes for the target's).
    """

    def __init__(self, path: str, store: Any, *, lenient: bool = False) -> None:
        self._path = path
        self._store = store
        self._lenient = lenient
        self._count = 0
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                data = f'{self._count}'.encode().ljust(support.BLOCK, b'~')
                offset = (2 << 20) + support.BLOCK * (self._count % 64)
                self._write(data, offset)
                if self._store is not None:
                    seen = self._store.read(support.BLOCK, offset)
                    assert seen == data, f'write {self._count} has not arrived'
                self._count += 1
                time.sleep(0.005)
        except Exception as error:  # told to the test by step()
            self._error = error

    def _write(self, data: bytes, offset: int) -> None:
        for left in range(20 if self._lenient else 0, -1, -1):
            try:
                support.write(self._path, data, offset)
            except OSError as error:
                if error.errno != errno.EIO or not left:
                    raise
                time.sleep(0.5)
            else:
                return

    def step(self, seconds: float = 20) -> None:
        """Return when ten more writes have ended well."""
        wanted = self._count + 10
        lab.shell.until(lambda: self._error or self._count >= wanted, seconds, 'I/O goes on')
        if self._error:
            raise self._error

    def __enter__(self) -> 'Traffic':
        self._thread.start()
        self.step()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join(20)
        if self._error:
            raise self._error


@contextlib.contextmanager
def opened(path: str) -> Any:
    """The device held open while the block runs."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def array_of(path: str) -> dict[str, str]:
    """What md says of an array: ``degraded``, ``array_state``, ``raid_disks``, ``uuid``."""
    root = pathlib.Path('/sys/block') / support.node(path) / 'md'
    names = ('degraded', 'array_state', 'raid_disks', 'uuid', 'sync_action', 'level')
    return {name: lab.shell.read(root / name) for name in names}
