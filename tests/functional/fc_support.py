# SPDX-License-Identifier: Apache-2.0
"""What the tests of Fibre Channel share."""

from collections.abc import Callable
import ctypes
import os
import threading
from typing import TypeVar

from tests.functional import lab, support

T = TypeVar('T')
_CLONE_NEWNS = 0x20000


def served(
    shelf: lab.Testbed, fabric: lab.fc.Fabric, name: str, lun: int = 1, megabytes: int = 32
) -> lab.lio.Volume:
    """A new volume with its stamp on it, shown as this LUN on every port."""
    volume = support.stamped(shelf, name, megabytes)
    fabric.map(lun, volume)
    return volume


def host_of(disk: str) -> str:
    """``host3`` of a disk."""
    real = os.path.realpath(support.SYS / 'block' / disk / 'device')
    return next(part for part in real.split('/') if part.startswith('host'))


def address_of(disk: str) -> str:
    """``2:0:1:7``: where a disk is."""
    return os.path.basename(os.path.realpath(support.SYS / 'block' / disk / 'device'))


def lun_of(disk: str) -> str:
    """The kernel's LUN of a disk."""
    return address_of(disk).rpartition(':')[2]


def port_of(disk: str) -> str:
    """The name of the array's port that a disk is behind."""
    real = os.path.realpath(support.SYS / 'block' / disk / 'device' / '..')
    target = os.path.basename(real)
    name = support.SYS / 'class' / 'fc_transport' / target / 'port_name'
    return lab.shell.read(name).removeprefix('0x')


def wait_active(volume: lab.lio.Volume, count: int, failed: int = 0) -> None:
    """Return when multipathd uses so many paths of a volume, and shows so many others as failed."""
    wanted = ['active'] * count + ['failed'] * failed
    lab.shell.until(
        lambda: sorted(lab.daemons.map_paths(volume.wwid).values()) == wanted,
        60,
        f'{count} active and {failed} failed paths of {volume.name}',
        0.2,
    )


def wait_away(port: lab.fc.Port) -> None:
    """Return when the kernel has noticed that a port of this host is down."""
    lab.shell.until(lambda: port.state != 'Online', 10, f'{port.host} is down')


def behind_mounts(ask: Callable[[], T], *mount: str) -> T:
    """The answer of ``ask`` in a thread of its own that alone sees this mount (for mount(8))."""
    answers: list[T] = []

    def inside() -> None:
        assert ctypes.CDLL(None).unshare(_CLONE_NEWNS) == 0
        lab.shell.run('mount', '--make-rprivate', '/')
        lab.shell.run('mount', *mount)
        answers.append(ask())

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert answers, 'the thread has failed'
    return answers[0]
