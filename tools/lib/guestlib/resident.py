# SPDX-License-Identifier: Apache-2.0
"""The running guest of this cache directory: start it, find it, stop it.

A supervisor process owns QEMU. It ends the guest when told by SIGTERM, when no one used it for
hours, and, for a guest that was booted for one command, when that command's client has gone.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from guestlib import channel, hostpackages, image, machine, paths, progress, recipe

IDLE_SECONDS = 3 * 3600.0
BOOT_SECONDS = {'kvm': 60.0, 'tcg': 240.0}  # under TCG 30 s are usual, more on a busy machine
_QUIET = {'PYTHONDONTWRITEBYTECODE': '1'}  # the checkout may belong to someone else
_READY = b'OS-BRICK-GUEST-UP'


@dataclasses.dataclass(frozen=True)
class Guest:
    """What is known of a running guest; kept in `guest.json` beside its console log."""

    supervisor: int
    born: str  # the supervisor's start time, so that a reused process id is not taken for it
    image: str
    inside: str
    accelerator: str
    since: float
    owner: int  # process that booted it for one command; 0: resident

    @property
    def directory(self) -> pathlib.Path:
        return directory()

    @property
    def share(self) -> pathlib.Path:
        """Seen in the guest as /mnt/share. Use a new name for every file."""
        return directory() / 'share'


def directory() -> pathlib.Path:
    """Where the running guest has its share, its socket and its console log."""
    return paths.cache() / 'running'


def find() -> Guest | None:
    """The running guest, if there is one."""
    try:
        guest = Guest(**json.loads((directory() / 'guest.json').read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return guest if _born(guest.supervisor) == guest.born else None


def start(*, owner: int = 0) -> Guest:
    """Boot a guest in the background and wait until it answers. Call with the guest lock held.

    :raises: progress.Failure with the end of the console, when it does not.
    """
    hostpackages.need(hostpackages.RUN)
    built = image.ready()
    accelerator = machine.accelerator(built)
    try:
        return _boot(built, accelerator, owner)
    except progress.Failure as failure:
        if accelerator != 'kvm' or os.environ.get('OS_BRICK_GUEST_ACCEL'):
            # QEMU 7.2 without KVM: now and then the kernel dies of a breakpoint of its
            # own while it patches a static key at boot (int3 in sched_clock_cpu).
            progress.line(f'{failure}\nonce more')
            return _boot(built, accelerator, owner)
        progress.line('the guest does not come up with KVM; trying without, and from now on')
        machine.remember('tcg')
        return _boot(built, 'tcg', owner)


def _boot(built: pathlib.Path, accelerator: str, owner: int) -> Guest:
    place = directory()
    shutil.rmtree(place, ignore_errors=True)
    (place / 'share').mkdir(parents=True)
    shutil.copytree(paths.INSIDE, place / 'share' / 'inside')
    progress.line(f'booting ({accelerator})')
    began = time.monotonic()
    supervisor = _spawn(machine.command(accelerator, built), owner)
    guest = Guest(
        supervisor=supervisor.pid,
        born=_born(supervisor.pid),
        image=built.name,
        inside=inside_key(),
        accelerator=accelerator,
        since=time.time(),
        owner=owner,
    )
    (place / 'guest.json').write_text(json.dumps(dataclasses.asdict(guest)))
    try:
        _wait(supervisor, place, began + BOOT_SECONDS[accelerator])
    except BaseException:
        stop(guest)
        raise
    progress.line(f'guest is up after {time.monotonic() - began:.0f} s')
    return guest


def _wait(supervisor: subprocess.Popen[bytes], place: pathlib.Path, until: float) -> None:
    console = place / 'console.log'
    while not (console.exists() and _READY in console.read_bytes()):
        if supervisor.poll() is not None or time.monotonic() > until:
            tail = console.read_text(errors='replace')[-2000:] if console.exists() else ''
            raise progress.Failure(f'the guest did not come up; its console says:\n{tail}')
        time.sleep(0.1)
    with channel.connect(place) as line:
        line.hello(max(5.0, until - time.monotonic()))


def stop(guest: Guest) -> None:
    """End the guest at once: its disk is a snapshot, so nothing can be lost."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(guest.supervisor, signal.SIGTERM)
    until = time.monotonic() + 15
    while _born(guest.supervisor) == guest.born and time.monotonic() < until:
        time.sleep(0.05)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(guest.supervisor, os.WNOHANG)
    (directory() / 'guest.json').unlink(missing_ok=True)


def touch() -> None:
    """Note that the guest is in use, for the supervisor's clock."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(directory() / 'guest.json')


def idle_seconds() -> float:
    """How long no one has used the guest."""
    return max(0.0, time.time() - (directory() / 'guest.json').stat().st_mtime)


def inside_key() -> str:
    """Names the scripts that a guest was booted with."""
    return recipe.digest(sorted(paths.INSIDE.iterdir()))


def _born(pid: int) -> str:
    """The start time of a process in clock ticks; '' if there is none, or a zombie."""
    try:
        with open(f'/proc/{pid}/stat') as stream:
            fields = stream.read().rsplit(')', 1)[1].split()
    except OSError:
        return ''
    return '' if fields[0] == 'Z' else fields[19]


# --- the supervisor: a process of its own ---------------------------------------------------------


def _spawn(words: list[str], owner: int) -> subprocess.Popen[bytes]:
    program = [sys.executable, '-c', 'from guestlib import resident; resident.supervise()']
    order = json.dumps({'command': words, 'owner': owner})
    with open(directory() / 'console.log', 'wb') as console:
        return subprocess.Popen(
            [*program, order],
            cwd=directory(),
            env={**os.environ, **_QUIET, 'PYTHONPATH': str(paths.INSIDE.parents[1])},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )


def supervise() -> None:
    """Run QEMU until it ends, or should end."""
    order = json.loads(sys.argv[1])
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    qemu = subprocess.Popen(order['command'], stdin=subprocess.DEVNULL, env=_temporary_files())
    owner_born = _born(order['owner']) if order['owner'] else ''
    while qemu.poll() is None:
        owner_gone = order['owner'] and _born(order['owner']) != owner_born
        if told or owner_gone or _idle_too_long():
            qemu.kill()
        time.sleep(0.2)
    (directory() / 'agent.sock').unlink(missing_ok=True)


def _temporary_files() -> dict[str, str]:
    # QEMU keeps the snapshot's changes in TMPDIR; /tmp may be small and in memory.
    return {**os.environ, 'TMPDIR': str(directory())}


def _idle_too_long() -> bool:
    try:
        idle = idle_seconds()
    except FileNotFoundError:
        return False  # just starting
    return idle > IDLE_SECONDS and not _in_use()


def _in_use() -> bool:
    fd = os.open(paths.cache() / 'guest.lock', os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
