# SPDX-License-Identifier: Apache-2.0
"""What the functional tests share: patterns on volumes, questions about disks, connectors."""

import contextlib
import mmap
import os
import pathlib
import time
import traceback
from typing import Any

from oslo_concurrency import processutils

from os_brick import exception
from os_brick.core import background, observe
from tests.functional import lab

# What an operation of the library may fail with.
FAILURES = (exception.BrickException, processutils.ProcessExecutionError, OSError)
BLOCK = 4096
SYS = pathlib.Path('/sys')


def stamp(volume: lab.lio.Volume) -> bytes:
    """Put a block that only this volume has at its beginning and return it."""
    block = f'{volume.name} {volume.serial} '.encode().ljust(64, b'.') * (BLOCK // 64)
    volume.write(block)
    return block


def stamped(shelf: lab.Testbed, name: str, megabytes: int = 32, **more: Any) -> lab.lio.Volume:
    """A new volume with its stamp on it."""
    volume = shelf.volume(name, megabytes, **more)
    stamp(volume)
    return volume


def read(path: str, length: int = BLOCK, offset: int = 0) -> bytes:
    """Bytes of a device, past every cache."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, length) as buffer:
            count = os.preadv(descriptor, [buffer], offset)
            return buffer[:count]
    finally:
        os.close(descriptor)


def write(path: str, data: bytes, offset: int = 0) -> None:
    """Write to a device, past every cache."""
    descriptor = os.open(path, os.O_WRONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, len(data)) as buffer:
            buffer[:] = data
            os.pwritev(descriptor, [buffer], offset)
    finally:
        os.close(descriptor)


def assert_is(path: str, volume: lab.lio.Volume) -> None:
    """The device is this volume: its stamp is read, and what is written arrives."""
    seen = read(path)
    assert seen.startswith(f'{volume.name} {volume.serial}'.encode()), f'{path}: {seen[:64]!r}'
    mark = f'{volume.name} {time.monotonic_ns()}'.encode().ljust(BLOCK, b'#')
    write(path, mark, 1 << 20)
    assert volume.read(BLOCK, 1 << 20) == mark, f'a write to {path} missed volume {volume.name}'


def node(path: str) -> str:
    """``sda`` or ``dm-0`` of any path."""
    return os.path.basename(os.path.realpath(path))


def size(path: str) -> int:
    """Bytes of a device, by the kernel."""
    return int(lab.shell.read(SYS / 'class' / 'block' / node(path) / 'size')) * 512


def disks_of(path: str) -> list[str]:
    """The disks below a map; of a disk, itself."""
    name = node(path)
    if not name.startswith('dm-'):
        return [name]
    return sorted(os.listdir(SYS / 'block' / name / 'slaves'))


def wait_disks(path: str, count: int) -> None:
    """Return when the map has so many disks: a late one may join after the attach.

    And when its thread is done with it: it asks a disk once more that is in the map, and removes
    one that a test has given to another volume by then. A thread may also wait for another path.
    """
    lab.shell.until(lambda: len(disks_of(path)) == count, 20, f'{count} disks of {path}')
    ends = time.monotonic() + 2
    while background._running and time.monotonic() < ends:
        time.sleep(0.05)


def mapper(name: str) -> str:
    """The link ``/dev/mapper/NAME`` of a map, once udev has made it: a map is used before that."""
    link = f'/dev/mapper/{name}'
    lab.shell.until(lambda: os.path.exists(link), 20, f'udev makes {link}')
    return link


def is_multipath(path: str) -> bool:
    """Whether the device is a multipath map, by its device-mapper uuid."""
    return lab.shell.read(SYS / 'block' / node(path) / 'dm' / 'uuid').startswith('mpath-')


def disks() -> set[str]:
    """The names of the disks that may come and go."""
    return {line.split()[0] for line in lab.oracle.disks()}


def rescan(disks: list[str]) -> None:
    """Have the kernel ask these disks anew who they are, as a cron job of an operator may."""
    for disk in disks:
        lab.shell.write(SYS / 'block' / disk / 'device' / 'rescan', 1)
    lab.shell.settle()


def session_of(disk: str) -> str:
    """``session7`` of an iSCSI disk."""
    real = os.path.realpath(SYS / 'block' / disk / 'device')
    return next(part for part in real.split('/') if part.startswith('session'))


def disk_on(path: str, address: str) -> str:
    """The disk of a map that goes through the portal with this address."""
    for disk in disks_of(path):
        number = session_of(disk).removeprefix('session')
        connection = SYS / 'class' / 'iscsi_connection' / f'connection{number}:0'
        if lab.shell.read(connection / 'persistent_address') == address:
            return disk
    raise AssertionError(f'{path} has no disk through {address}')


def session_count(iqn: str) -> int:
    """How many sessions to this target there are."""
    names = SYS.glob('class/iscsi_session/session*/targetname')
    return sum(lab.shell.read(name) == iqn for name in names)


def login(props: dict[str, Any], *, scan: str = 'manual') -> None:
    """Log in by hand to the portal of the properties, as someone else on the host would."""
    base = ('iscsiadm', '-m', 'node', '-T', props['target_iqn'], '-p', props['target_portal'])
    lab.shell.run(*base, '--op', 'new')
    lab.shell.run(*base, '--op', 'update', '-n', 'node.session.scan', '-v', scan)
    lab.shell.run(*base, '--login')


def logout(props: dict[str, Any]) -> None:
    """Undo ``login``."""
    base = ('iscsiadm', '-m', 'node', '-T', props['target_iqn'], '-p', props['target_portal'])
    lab.shell.run(*base, '--logout', check=False)
    lab.shell.run(*base, '--op', 'delete', check=False)


def scan(iqn: str, lun: int) -> None:
    """Scan one LUN on every session of a target by hand."""
    for root in SYS.glob('class/iscsi_session/session*'):
        if lab.shell.read(root / 'targetname') == iqn:
            real = os.path.realpath(root)
            host = next(part for part in real.split('/') if part.startswith('host'))
            channel, target = 0, lab.shell.read(root / 'target_id') or '0'
            lab.shell.write(SYS / 'class/scsi_host' / host / 'scan', f'{channel} {target} {lun}')


def forget_database() -> None:
    """Lose open-iscsi's whole database, as a container without its volume does."""
    for line in sorted(lab.oracle.records()):
        path = pathlib.Path(line)
        with contextlib.suppress(OSError):
            path.unlink()
    for root in ('/etc/iscsi', '/var/lib/iscsi'):
        for kind in ('nodes', 'send_targets'):
            lab.shell.run('find', f'{root}/{kind}', '-mindepth', '1', '-delete', check=False)


class Stopwatch:
    """Seconds of a block: ``with Stopwatch() as watch: …; watch.seconds``."""

    seconds = 0.0

    def __enter__(self) -> 'Stopwatch':
        self._started = time.monotonic()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.seconds = time.monotonic() - self._started


def text_of(error: BaseException) -> str:
    """Everything that an error says: its text, its representation, its causes and notes."""
    parts = []
    seen: BaseException | None = error
    while seen is not None:
        parts += [str(seen), repr(seen), repr(seen.args), *getattr(seen, '__notes__', [])]
        parts.append(repr(vars(seen)))
        seen = seen.__cause__ or seen.__context__
    return '\n'.join(parts)


def assert_nowhere(secret: str, caplog: Any, leaks: list[str], *things: object) -> None:
    """The secret is in no log, on no command line and in no text of these things."""
    assert leaks == []
    for record in caplog.records:
        line = record.getMessage()
        assert secret not in line, f'{record.name} {record.levelname}: {line}'
        assert secret not in repr(record.args)
        assert secret not in (record.exc_text or '')
    for thing in things:
        text = text_of(thing) if isinstance(thing, BaseException) else repr(thing)
        assert secret not in text
        if isinstance(thing, BaseException):
            assert secret not in ''.join(traceback.format_exception(thing))


def live(connector: Any, volume: Any, props: Any, count: int, multipath: bool) -> None:
    """The whole life of a SCSI volume with so many disks: attach, read and write, grow, detach."""
    info = connector.connect_volume(props)
    path = info['path']
    assert info['type'] == 'block'
    assert info['scsi_wwn'] == volume.wwid
    assert is_multipath(path) == multipath
    assert ('multipath_id' in info) == multipath
    wait_disks(path, count)
    assert_is(path, volume)
    bigger = volume.grow(48)
    assert connector.extend_volume(props) == bigger
    assert {size(disk) for disk in disks_of(path)} == {bigger}
    assert size(path) == bigger
    block = os.urandom(BLOCK)
    write(path, block, bigger - BLOCK)
    assert volume.read(BLOCK, bigger - BLOCK) == block
    connector.disconnect_volume(props, info)


def as_planned(brick, operation, props, info=None):
    """Do an operation whose steps are those of its plan, by their names; return what it returns."""
    (plan,) = brick.plan(operation, props, info)
    done = []

    def hear(record):
        if isinstance(record, observe.Step) and record.name != 'lock':
            done.append(str(record.name))

    acts = {
        'attach': lambda: brick.connect_volume(props),
        'extend': lambda: brick.extend_volume(props),
        'detach': lambda: brick.disconnect_volume(props, info),
    }
    stop = observe.observe(hear)
    try:
        found = acts[operation]()
    finally:
        stop()
    assert sorted(done) == sorted(str(step.verb) for step in plan.steps)
    return found
