# SPDX-License-Identifier: Apache-2.0
"""What an attach may leave behind on a host, as sets of readable lines that can be compared."""

from collections.abc import Iterable, Iterator
import contextlib
import difflib
import logging
import os
import pathlib
import re
import time

from tests.functional.lab import ceph, daemons, shell

LOG = logging.getLogger(__name__)

Snapshot = dict[str, frozenset[str]]

SYS = pathlib.Path('/sys')
# A loop device stays as an empty shell once used; ram and virtio disks do not come and go.
_DISKS = re.compile(r'(sd[a-z]+|nvme\d+(c\d+)?n\d+|md\d+)$')
_NVME = SYS / 'class' / 'nvme'
# What a host adds to a controller's address on its own.
_SOURCE = re.compile(r',?src_addr=[^,]*')
_LINKS = ('/dev/mapper', '/dev/md')
_RECORDS = ('/etc/iscsi', '/var/lib/iscsi')
# The last is where the library keeps what records were before.
_RECORD_KINDS = ('nodes', 'send_targets', 'static', 'isns', 'slp', 'fw', 'os-brick')
lock_paths: list[str] = []


def disks() -> frozenset[str]:
    """``sdc 8:0:0:1 LIO-ORG size``: every disk that may come and go."""
    lines = []
    for entry in os.scandir(SYS / 'block'):
        if _DISKS.match(entry.name):
            device = os.path.realpath(f'{entry.path}/device')
            size = shell.read(f'{entry.path}/size')
            lines.append(f'{entry.name} {os.path.basename(device)} {size} sectors')
    return frozenset(lines)


def maps() -> frozenset[str]:
    """``dm-0 name uuid suspended=0 holders=[] slaves=[sda]``: every device-mapper device."""
    lines = []
    for root in SYS.glob('block/dm-*'):
        dm = root / 'dm'
        if shell.read(dm / 'name').startswith('labstore-'):
            continue
        holders = sorted(_names(root / 'holders'))
        slaves = sorted(_names(root / 'slaves'))
        lines.append(
            f'{root.name} {shell.read(dm / "name")} {shell.read(dm / "uuid")} '
            f'suspended={shell.read(dm / "suspended")} holders={holders} slaves={slaves}'
        )
    return frozenset(lines)


def _names(directory: pathlib.Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def sessions() -> frozenset[str]:
    """``iqn portal``: every iSCSI session of the kernel (as often as there are; numbered)."""
    seen: dict[str, int] = {}
    for root in SYS.glob('class/iscsi_session/session*'):
        number = root.name.removeprefix('session')
        connection = SYS / 'class' / 'iscsi_connection' / f'connection{number}:0'
        address = shell.read(connection / 'persistent_address')
        key = f'{shell.read(root / "targetname")} {address}'
        seen[key] = seen.get(key, 0) + 1
    return frozenset(f'{key} x{count}' for key, count in seen.items())


def controllers() -> frozenset[str]:
    """``nqn transport address hostnqn``: every NVMe controller (numbered like sessions)."""
    seen: dict[str, int] = {}
    for root in _NVME.glob('nvme*'):
        address = _SOURCE.sub('', shell.read(root / 'address'))
        words = [shell.read(root / name) for name in ('subsysnqn', 'transport', 'hostnqn')]
        key = f'{words[0]} {words[1]} {address} {words[2]}'
        seen[key] = seen.get(key, 0) + 1
    return frozenset(f'{key} x{count}' for key, count in seen.items())


def subsystems() -> frozenset[str]:
    """The NQN of every NVMe subsystem that the kernel knows."""
    names = SYS.glob('class/nvme-subsystem/nvme-subsys*/subsysnqn')
    return frozenset(shell.read(name) for name in names)


def arrays() -> frozenset[str]:
    """``md127 level uuid slaves=[]``: every md array, running or not."""
    lines = []
    for md in SYS.glob('block/md*/md'):
        words = [shell.read(md / name) for name in ('level', 'uuid')]
        slaves = sorted(_names(md.parent / 'slaves'))
        lines.append(f'{md.parent.name} {" ".join(words)} slaves={slaves}')
    return frozenset(lines)


def identity() -> frozenset[str]:
    """What this host calls itself towards NVMe subsystems."""
    return frozenset(f'{n} {shell.read(f"/etc/nvme/{n}")}' for n in ('hostnqn', 'hostid'))


def records() -> frozenset[str]:
    """Every file of open-iscsi's node and discovery databases (links as links)."""
    lines = []
    for root in _RECORDS:
        for kind in _RECORD_KINDS:
            for directory, folders, files in os.walk(f'{root}/{kind}'):
                lines += [f'{directory}/{name}' for name in files]
                lines += [f'{directory}/{n}' for n in folders if os.path.islink(f'{directory}/{n}')]
    return frozenset(lines)


def links() -> frozenset[str]:
    """Every link below /dev/disk, /dev/mapper and /dev/md, with what it points to."""
    lines = []
    stores = {os.path.basename(os.path.realpath(p)) for p in _stores()}
    for directory in (*pathlib.Path('/dev/disk').glob('by-*'), *map(pathlib.Path, _LINKS)):
        for name in _names(directory):
            path = directory / name
            with contextlib.suppress(OSError):  # udev may take any of them away meanwhile.
                target = os.path.basename(os.readlink(path))
                if not target.startswith('loop') and target not in stores:
                    lines.append(f'{path} -> {target}')
    return frozenset(lines)


def _stores() -> Iterator[str]:
    return (f'/dev/mapper/{n}' for n in _names(pathlib.Path('/dev/mapper')) if 'labstore-' in n)


def multipath() -> frozenset[str]:
    """multipathd's own paths and maps (none when it does not run)."""
    try:
        paths = daemons.ask('show paths raw format "path %d %w"')
        known = daemons.ask('show maps raw format "map %n %w"')
    except OSError:
        return frozenset()
    return frozenset(line.strip() for line in f'{paths}\n{known}'.splitlines() if 'p' in line)


def wwids() -> frozenset[str]:
    """The identities that multipath has been told to claim."""
    lines = shell.read('/etc/multipath/wwids').splitlines()
    return frozenset(line for line in lines if line and not line.startswith('#'))


# Bytes of this file are marks of disks that were handed out (core/handed), for which no one waits.
# Those of disks that others have removed, the reference for one, are dropped at the next look.
_MARKS = 'os-brick-handed-out'


def locks() -> frozenset[str]:
    """Who holds a lock on a file in one of ``lock_paths`` (the files themselves may stay)."""
    table = shell.read('/proc/locks')
    # The directories have hundreds of files; mostly there is no lock on their file system at all.
    roots = [path for path in map(pathlib.Path, lock_paths) if path.exists()]
    files = {}
    for root in roots:
        for path in root.glob('**/*') if _device(root) in table else ():
            if path.name == _MARKS:
                continue
            with contextlib.suppress(FileNotFoundError):
                files[_place(path)] = path
    return frozenset(_holders(table, files))


def _device(path: pathlib.Path) -> str:
    """``00:19:``, as ``/proc/locks`` names a file system, with the blank before it."""
    device = path.stat().st_dev
    return f' {os.major(device):02x}:{os.minor(device):02x}:'


def _place(path: pathlib.Path) -> str:
    """A file as ``/proc/locks`` names it: the device, which counts its inodes alone, and the inode.

    ``/run`` and ``/tmp`` are both tmpfs, each counting from 1: by its inode alone
    ``/run/multipathd.pid``, which multipathd locks as long as it runs, is one of our lock files.
    """
    found = path.stat()
    return f'{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}'


def _holders(table: str, files: dict[str, pathlib.Path]) -> Iterator[str]:
    # proc(5): "1: POSIX ADVISORY WRITE 4711 00:19:1234 0 EOF"; one that waits has "->".
    for line in table.splitlines():
        fields = line.replace('->', '').split()
        if len(fields) > 5 and fields[5] in files:
            yield f'{files[fields[5]]} held by {fields[4]}'


def mounts() -> frozenset[str]:
    """``device directory`` of every mount."""
    lines = shell.read('/proc/self/mounts').splitlines()
    return frozenset(' '.join(line.split()[:2]) for line in lines)


def stuck() -> frozenset[str]:
    """Zombies of ours, and processes of anyone in uninterruptible sleep."""
    return frozenset(_stuck())


def _stuck() -> Iterator[str]:
    for pid in shell.processes():
        text = shell.read(f'/proc/{pid}/stat')
        if not text:
            continue
        name = text[text.find('(') + 1 : text.rfind(')')]
        state, parent = text[text.rfind(')') + 2 :].split(maxsplit=2)[:2]
        kernel = parent in {'0', '2'}
        if (state == 'Z' and int(parent) == os.getpid()) or (state == 'D' and not kernel):
            yield f'{pid} {name} {state}'


_PARTS = {
    'disk': disks,
    'map': maps,
    'session': sessions,
    'controller': controllers,
    'subsystem': subsystems,
    'rbd': ceph.mapped,
    'array': arrays,
    'identity': identity,
    'record': records,
    'link': links,
    'multipathd': multipath,
    'wwid': wwids,
    'lock': locks,
    'mount': mounts,
    'stuck': stuck,
}


def snapshot() -> Snapshot:
    """Everything, once udev has come to rest: it removes links long after their disks have gone."""
    shell.settle(10)
    return {name: part() for name, part in _PARTS.items()}


def difference(before: Snapshot, after: Snapshot) -> str:
    """What differs, a line each, ``+`` for what is there now and was not; empty if nothing."""
    lines = []
    for name in before:
        gone = sorted(f'- {name}: {line}' for line in before[name] - after.get(name, frozenset()))
        come = sorted(f'+ {name}: {line}' for line in after.get(name, frozenset()) - before[name])
        # Whoever is stuck no more was only waiting for a disk at that moment.
        lines += come if name == 'stuck' else gone + come
    return '\n'.join(lines)


def assert_same(before: Snapshot, seconds: float = 20, ignoring: tuple[str, ...] = ()) -> Snapshot:
    """Return what the host is when it is as it was; udev and multipathd get a moment to follow.

    :raises AssertionError: if it is not in ``seconds``; the text lists the differences.
    """
    wanted = {name: lines for name, lines in before.items() if name not in ignoring}
    end = time.monotonic() + seconds
    while True:
        late = time.monotonic() > end
        after = snapshot()
        left = difference(wanted, after)
        if not left:
            return after
        assert not late, f'the host is not as it was:\n{left}'
        time.sleep(0.05)


def text(before: Snapshot, after: Snapshot) -> str:
    """A unified difference of two snapshots, for reading."""
    old, new = (sorted(f'{k}: {line}' for k, v in s.items() for line in v) for s in (before, after))
    return '\n'.join(difflib.unified_diff(old, new, 'before', 'after', lineterm='', n=0))


def _quietly(*argv: str) -> None:
    try:
        shell.run(*argv, check=False, timeout=20)
    except Exception as error:
        print(f'sweep: {" ".join(argv)}: {error}')  # noqa: T201


def put_right(before: Snapshot, seconds: float = 20) -> None:
    """Sweep until the host is as it was; what the library still does in the background may add.

    What no sweep takes away, since a process has it open for example, is printed.
    """
    end = time.monotonic() + seconds
    left = ''
    while True:
        sweep(before)
        try:
            assert_same(before, 2)
        except AssertionError as error:
            if str(error) == left or time.monotonic() > end:
                print(f'sweep: {error}')  # noqa: T201
                return
            left = str(error)
        else:
            return


def sweep(before: Snapshot) -> None:
    """Take away by force what a failed test left, so that the next one starts clean."""
    for line in mounts() - before['mount']:
        _quietly('umount', '-l', line.split()[1])
    _sweep_maps(before)
    _sweep_arrays(before)
    ceph.sweep(before['rbd'])
    _sweep_controllers(before)
    _sweep_disks(before)
    _sweep_iscsi(before)
    for line in links() - before['link']:
        path = line.split(' -> ')[0]
        if '/os-brick' in path:
            pathlib.Path(path).unlink(missing_ok=True)
    for wwid in wwids() - before['wwid']:
        _quietly('multipath', '-w', wwid.strip('/'))
    shell.settle()


def clear(prefix: str) -> None:
    """Log out of every target whose name begins so, with its disks and maps (of a killed run)."""
    for root in SYS.glob('class/iscsi_session/session*'):
        if shell.read(root / 'targetname').startswith(prefix):
            for disk in (root / 'device').glob('target*/*:*:*:*/block/*'):
                for holder in _names(disk / 'holders'):
                    name = shell.read(SYS / 'block' / holder / 'dm' / 'name')
                    _quietly('dmsetup', 'message', name, '0', 'fail_if_no_path')
                    _quietly('dmsetup', 'resume', name)
                    _quietly('dmsetup', 'remove', '--retry', name)
            number = root.name.removeprefix('session')
            _quietly('iscsiadm', '-m', 'session', '-r', number, '-u')
    _forget(line for line in records() if prefix in line)
    shell.settle()


def _sweep_maps(before: Snapshot) -> None:
    known = {line.split()[1] for line in before['map']}
    for line in maps():
        if line.split()[1] not in known:
            if ' mpath-' in line:
                _quietly('dmsetup', 'message', line.split()[1], '0', 'fail_if_no_path')
            _quietly('dmsetup', 'resume', line.split()[1])
    for _again in range(3):
        left = [line for line in maps() if line.split()[1] not in known]
        for line in sorted(left, key=lambda line: 'holders=[]' not in line):
            _quietly('dmsetup', 'remove', '--retry', line.split()[1])


def _sweep_arrays(before: Snapshot) -> None:
    known = {line.split()[0] for line in before['array']}
    for line in arrays():
        if line.split()[0] not in known:
            _quietly('mdadm', '--stop', f'/dev/{line.split()[0]}')


def _sweep_controllers(before: Snapshot) -> None:
    """Delete every controller if there is one more than before: which it is, no one can say."""
    if controllers() - before['controller']:
        for root in _NVME.glob('nvme*'):
            _quietly('sh', '-c', f'echo 1 > {root}/delete_controller')


def _sweep_disks(before: Snapshot) -> None:
    known = {line.split()[1] for line in before['disk']}
    for line in disks():
        if line.startswith('sd') and line.split()[1] not in known:
            try:
                shell.write(SYS / 'block' / line.split()[0] / 'device' / 'delete', 1)
            except OSError as error:
                LOG.warning('sweep: %s: %s', line, error)


def _sweep_iscsi(before: Snapshot) -> None:
    if sessions() - before['session']:
        for root in SYS.glob('class/iscsi_session/session*'):
            _quietly('iscsiadm', '-m', 'session', '-r', root.name.removeprefix('session'), '-u')
    _forget(records() - before['record'])


def _forget(lines: Iterable[str]) -> None:
    for line in lines:
        path = pathlib.Path(line)
        path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent.name in _RECORD_KINDS or any(parent.iterdir()):
                break
            parent.rmdir()
