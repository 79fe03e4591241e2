# SPDX-License-Identifier: Apache-2.0
"""Which programs were started, by whom, and with what on their command lines.

The kernel's trace events tell: ``sched_process_fork`` and ``sched_process_exec`` give ancestry,
and a probe on execve reads the arguments before the program runs, so that none is too short-lived
to be seen.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import os
import pathlib
import re
import time

from tests.functional.lab import shell

TRACING = pathlib.Path('/sys/kernel/tracing')
GROUP, _PROBE = 'osbricklab', 'execve'
_EVENTS = ('sched/sched_process_fork', 'sched/sched_process_exec', f'{GROUP}/{_PROBE}')
_ARGUMENTS = 24
# These and what they start are not us: udev's rules, the daemons, the kernel's helper.
_FOREIGN = {'systemd-udevd', '(udev-worker)', 'udev-worker', 'iscsid', 'multipathd', 'kthreadd'}
_EVENT = re.compile(r'^\s*(?P<comm>.+)-(?P<pid>\d+)\s+\[\d+\].*?: (?P<name>\w+): (?P<rest>.*)$')
_QUOTED = re.compile(r'a\d+="(.*?)"(?= a\d+=|$)')


def open_record(root: pathlib.Path, probe: str, where: str) -> None:
    """Have a record of the kernel's at ``root``, and a probe (group and name) at a place in it."""
    if not (TRACING / 'events').exists():
        shell.run('mount', '-t', 'tracefs', 'tracefs', str(TRACING))
    if not (TRACING / 'events' / probe).exists():
        # Not open(…, 'a'): Python would seek, which the file refuses.
        out = os.open(TRACING / 'kprobe_events', os.O_WRONLY | os.O_APPEND)
        try:
            os.write(out, f'p:{probe} {where}\n'.encode())
        finally:
            os.close(out)
    if root.exists():
        root.rmdir()
    # Names of tasks are not needed here. Noting them has the scheduler's code patched at each
    # start and stop, which an emulated guest has once not survived.
    shell.write(TRACING / 'options' / 'record-cmd', 0)
    root.mkdir()


@dataclasses.dataclass(frozen=True)
class Program:
    """One program that was started."""

    pid: int
    name: str
    argv: tuple[str, ...]

    def __str__(self) -> str:
        return ' '.join(self.argv) or self.name


def _hold() -> None:
    """Have the events enabled as long as the machine runs, by a record that takes nothing down.

    The first to enable one and the last to disable it have the kernel's code patched where every
    process passes. QEMU 7.2 may go on to run what was there in between, an int3: the guest panics.
    """
    root = TRACING / 'instances' / 'osbrick-lab-hold'
    if not root.exists():
        root.mkdir()
        shell.write(root / 'tracing_on', 0)
        for event in _EVENTS:
            shell.write(root / 'events' / event / 'enable', 1)


class Recorder:
    """Records while it is open (``with Recorder() as recorder``); read the answers afterwards."""

    def __init__(self) -> None:
        self._root = TRACING / 'instances' / f'osbrick-lab-{os.getpid()}'
        self._parents: dict[int, int] = {}
        self._comms: dict[int, str] = {}
        self._lines: list[str] = []

    def __enter__(self) -> 'Recorder':
        # struct pt_regs of x86-64: rsi (argv) at 104.
        words = ' '.join(f'a{n}=+0(+u{8 * n}(+104(%di))):ustring' for n in range(_ARGUMENTS))
        open_record(self._root, f'{GROUP}/{_PROBE}', f'__x64_sys_execve {words}')
        shell.write(self._root / 'buffer_size_kb', 4096)
        # Everybody's parent is known before the first start counts: a short-lived child of udev
        # would else be one of ours.
        shell.write(self._root / 'events' / 'sched/sched_process_fork' / 'enable', 1)
        self._living()
        shell.write(self._root / 'events' / GROUP / _PROBE / 'enable', 1)
        shell.write(self._root / 'events' / 'sched/sched_process_exec' / 'enable', 1)
        _hold()
        return self

    def __exit__(self, *_exc: object) -> None:
        shell.write(self._root / 'tracing_on', 0)
        self._lines = (self._root / 'trace').read_text(errors='replace').splitlines()
        for event in _EVENTS:
            shell.write(self._root / 'events' / event / 'enable', 0)
        self._root.rmdir()
        for line in self._lines:
            self._follow(line)

    def _living(self) -> None:
        for task in pathlib.Path('/proc').glob('[0-9]*/task/[0-9]*'):
            process, thread = int(task.parent.parent.name), int(task.name)
            stat = shell.read(task / 'stat')
            if not stat:
                continue
            if thread == process:
                self._parents[thread] = int(stat[stat.rfind(')') + 2 :].split()[1])
            else:
                self._parents[thread] = process
            self._comms[thread] = stat[stat.find('(') + 1 : stat.rfind(')')]

    def _follow(self, line: str) -> None:
        found = _EVENT.match(line)
        if not found or found['name'] != 'sched_process_fork':
            return
        pid = re.search(r'\bpid=(\d+)', found['rest'])
        child = re.search(r'child_comm=(.*) child_pid=(\d+)', found['rest'])
        if pid and child:
            self._parents[int(child[2])] = int(pid[1])
            self._comms.setdefault(int(child[2]), child[1])

    def _foreign(self, pid: int) -> bool:
        seen: set[int] = set()
        while pid and pid not in seen:
            if self._comms.get(pid) in _FOREIGN or pid == 2:
                return True
            seen.add(pid)
            pid = self._parents.get(pid, 0)
        return False

    def everything(self) -> list[Program]:
        """Every program that was really started, udev's too, in order."""
        argv: dict[int, tuple[str, ...]] = {}
        started = []
        for line in self._lines:
            found = _EVENT.match(line)
            if not found:
                continue
            pid = int(found['pid'])
            if found['name'] == _PROBE:
                argv[pid] = tuple(_arguments(found['rest']))
            elif found['name'] == 'sched_process_exec':
                name = re.search(r'filename=(\S+)', found['rest'])
                path = name[1] if name else ''
                started.append(Program(pid, os.path.basename(path), argv.get(pid, ())))
        return started

    def ours(self) -> list[Program]:
        """The programs that no daemon, udev or the kernel started."""
        return [program for program in self.everything() if not self._foreign(program.pid)]

    def attempts(self) -> list[str]:
        """Every command line that was handed to the kernel, whether or not the program existed."""
        found = (_EVENT.match(line) for line in self._lines)
        return [' '.join(_arguments(f['rest'])) for f in found if f and f['name'] == _PROBE]


def _arguments(rest: str) -> Iterator[str]:
    # The first argument that cannot be read is the end of the list.
    for found in re.finditer(r'a\d+=("(?P<text>.*?)"|\(fault\))(?= a\d+=|$)', rest):
        if found['text'] is None:
            return
        yield found['text']


@contextlib.contextmanager
def watch_cmdlines(*secrets: str) -> Iterator[list[str]]:
    """Yield a list that holds, after the block, each command line with one of the secrets in it.

    Watches itself first: a planted word must be seen, or the watch is worth nothing.
    """
    leaks: list[str] = []
    canary = f'canary-{time.monotonic_ns()}'
    with Recorder() as recorder:
        shell.run('true', canary)
        yield leaks
    lines = recorder.attempts()
    assert any(canary in line for line in lines), 'the watch on command lines is blind'
    leaks += [line for line in lines if any(secret in line for secret in secrets)]
