# SPDX-License-Identifier: Apache-2.0
"""Runs commands in the guest for the host: one at a time, JSON lines over a virtio-serial port.

In:  {"do": "run", "job", "argv", "cwd", "env", "timeout", "tty", "stdin"}, {"do": "input", "job",
     "data"}, {"do": "kill", "job"}, {"do": "sync", "job", "tar", "removed"}, {"do": "hello", "job"}
Out: {"job", "out" or "err": base64}, {"job", "exit": status, "note"}

When the host's end closes, the command's process group is killed: a client that dies leaves
nothing running. Output of an earlier job may still arrive; the host knows it by its job.
"""

import base64
import contextlib
import errno
import fcntl
import glob
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from typing import Any, BinaryIO

CHECKOUT = '/opt/checkout'
ENVIRONMENT = {
    'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'HOME': '/root',
    'TERM': 'dumb',
    'LC_ALL': 'C.UTF-8',
    'PYTHONWARNINGS': 'ignore',
    'OS_BRICK_GUEST': '1',
}
# INT first: on it pytest tears its fixtures down, on TERM it would not. After KILL only a process
# in D state is left; it is reported, not waited for.
SIGNALS = ((signal.SIGINT, 15.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 10.0))
LONGEST_END_SECONDS = sum(seconds for _, seconds in SIGNALS) + 1


class Port:
    """The virtio-serial port. Writes are whole lines; a read of b'' means no one is connected."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR)
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        data = b'\n' + json.dumps(message).encode() + b'\n'
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]

    def read(self) -> bytes:
        try:
            return os.read(self._fd, 65536)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EINTR):
                return b''
            raise


class Job:
    """One command and the threads that carry its output."""

    def __init__(self, port: Port, order: dict[str, Any]) -> None:
        self.name = order['job']
        self._port = port
        self._note = ''
        self._hurry = False
        self._killed = threading.Event()
        self._ended = threading.Event()
        self._stdin: int | None = None
        self._limit: float | None = order.get('timeout')
        tty = bool(order.get('tty'))
        environment = {**ENVIRONMENT, **order.get('env', {})}
        directory = order.get('cwd') or CHECKOUT
        if not os.path.isdir(directory):
            directory = '/'
        if tty:
            ours, theirs = pty.openpty()
            rows, columns = order.get('size', (24, 80))
            fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
            streams: dict[str, Any] = {'stdin': theirs, 'stdout': theirs, 'stderr': theirs}
        else:
            stdin = subprocess.PIPE if order.get('stdin') else subprocess.DEVNULL
            streams = {'stdin': stdin, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
        self.process = subprocess.Popen(
            order['argv'],
            cwd=directory,
            env=environment,
            preexec_fn=_own_terminal if tty else None,  # noqa: PLW1509 (no lock is held here)
            start_new_session=True,
            **streams,
        )
        if tty:
            os.close(theirs)
            self._stdin = ours
            self._pipes = {ours: 'out'}
        else:
            self._stdin = self.process.stdin.fileno() if self.process.stdin else None
            self._pipes = {_fd(self.process.stdout): 'out', _fd(self.process.stderr): 'err'}
        threading.Thread(target=self._carry, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    def input(self, data: bytes) -> None:
        """Hand over standard input; an empty chunk closes it."""
        if self._stdin is None:
            return
        try:
            if data:
                os.write(self._stdin, data)
            elif self.process.stdin:
                self.process.stdin.close()
                self._stdin = None
        except OSError:
            self._stdin = None

    def kill(self, why: str) -> None:
        """End the process group, politely at first; at once when asked a second time."""
        self._hurry = bool(self._note)
        self._note = self._note or why
        self._killed.set()

    def wait(self, seconds: float) -> bool:
        return self._ended.wait(seconds)

    def _watch(self) -> None:
        until = time.monotonic() + self._limit if self._limit else None
        while self.process.poll() is None and not self._killed.wait(0.02):
            if until and time.monotonic() > until:
                self.kill(f'timed out after {self._limit:g} s')
        if self.process.poll() is None:
            self._end_group()

    def _end_group(self) -> None:
        for sign, seconds in SIGNALS:
            _signal_group(self.process.pid, sign)
            until = time.monotonic() + seconds
            while time.monotonic() < until and not (self._hurry and sign != signal.SIGKILL):
                if self.process.poll() is not None:
                    _signal_group(self.process.pid, signal.SIGKILL)  # what ignored TERM
                    return
                time.sleep(0.02)
        self._note += '; it cannot be killed (waits in the kernel)'

    def _carry(self) -> None:
        """Forward output until the command has ended, not until its daemons close the pipe."""
        quiet_after_end = 0
        while self._pipes and quiet_after_end < 2:
            over = self.process.poll() is not None or 'cannot be killed' in self._note
            ready, _, _ = select.select(list(self._pipes), [], [], 0.05)
            for fd in ready:
                self._forward(fd)
            quiet_after_end = quiet_after_end + 1 if over and not ready else 0
        while self.process.poll() is None and 'cannot be killed' not in self._note:
            time.sleep(0.01)
        code = self.process.poll()
        status = 125 if code is None else code if code >= 0 else 128 - code
        if self._note.startswith('timed out'):
            status = 124
        self._ended.set()
        self._port.send({'job': self.name, 'exit': status, 'note': self._note})

    def _forward(self, fd: int) -> None:
        try:
            data = os.read(fd, 65536)
        except OSError:  # EIO: the last process has left the terminal
            data = b''
        if data:
            text = base64.b64encode(data).decode()
            self._port.send({'job': self.name, self._pipes[fd]: text})
        else:
            del self._pipes[fd]


def _fd(stream: BinaryIO | Any) -> int:
    return int(stream.fileno())


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _signal_group(group: int, sign: int) -> None:
    try:
        os.killpg(group, sign)
    except ProcessLookupError:
        pass


def sync(order: dict[str, Any]) -> None:
    """Bring the checkout up to date; bytecode of what changed goes, the rest stays."""
    os.makedirs(CHECKOUT, exist_ok=True)
    if order.get('fresh'):
        subprocess.run(['find', CHECKOUT, '-mindepth', '1', '-delete'], check=True)
    for name in order['removed']:
        _remove(name)
    os.makedirs(CHECKOUT, exist_ok=True)  # the last file of it may have been removed
    if order['tar']:
        subprocess.run(
            ['tar', '-x', '--no-same-owner', '-C', CHECKOUT, '-f', order['tar']], check=True
        )
    for name in order['changed']:
        _forget_bytecode(name)


def _remove(name: str) -> None:
    """Remove a file of the checkout and the directories that this leaves empty."""
    _forget_bytecode(name)
    path = f'{CHECKOUT}/{name}'
    try:
        os.unlink(path)
        os.removedirs(os.path.dirname(path))
    except OSError:
        pass


def _forget_bytecode(name: str) -> None:
    # Python believes bytecode of the same second and size; an edit can be that quick.
    directory, base = os.path.split(f'{CHECKOUT}/{name}')
    if not base.endswith('.py'):
        return
    cache = f'{directory}/__pycache__'
    try:
        for stale in glob.glob(f'{glob.escape(cache)}/{glob.escape(base[:-3])}.*.pyc'):
            os.unlink(stale)
        os.rmdir(cache)
    except OSError:
        pass


class Agent:
    def __init__(self, port: Port) -> None:
        self._port = port
        self._job: Job | None = None

    def serve(self) -> None:
        """Obey lines from the host for ever."""
        rest = b''
        while True:
            data = self._port.read()
            if not data:  # the client has gone, and what it started goes too
                self._drop('the client has gone')
                rest = b''
                time.sleep(0.05)
                continue
            *lines, rest = (rest + data).split(b'\n')
            for text in lines:
                self._line(text)

    def _line(self, text: bytes) -> None:
        try:
            order = json.loads(text)
        except ValueError:  # the empty line before each message, or half a line of a dead client
            return
        try:
            self._obey(order)
        except FileNotFoundError as error:
            self._port.send({'job': order.get('job'), 'exit': 127, 'note': f'{error}'})
        except Exception as error:  # the agent has to live on; the host prints this
            self._port.send({'job': order.get('job'), 'exit': 126, 'note': f'{error}'})

    def _obey(self, order: dict[str, Any]) -> None:
        do = order['do']
        if do == 'run':
            self._drop('another command came')
            self._job = Job(self._port, order)
        elif do == 'sync':
            sync(order)
            self._port.send({'job': order['job'], 'exit': 0, 'note': ''})
        elif do == 'hello':
            self._port.send({'job': order['job'], 'exit': 0, 'note': 'hello'})
        elif self._job is not None and order['job'] == self._job.name:
            if do == 'input':
                self._job.input(base64.b64decode(order['data']))
            elif do == 'kill':
                self._job.kill(order.get('why', 'killed'))

    def _drop(self, why: str) -> None:
        if self._job is not None:
            job, self._job = self._job, None
            job.kill(why)
            if why == 'another command came':
                job.wait(LONGEST_END_SECONDS)


def use_reserves() -> None:
    """Have a socket of the kernel's use its memory reserves once, while nothing else runs.

    The first one has the kernel's code patched where every socket passes. QEMU 7.2 may go on to
    run what was there in between, an int3, and the guest panics: seen at the first login of
    iscsid, beside udev. nbd's ioctls (linux/nbd.h): it ends at once, as its other end is closed.
    """
    subprocess.run(['modprobe', 'nbd', 'nbds_max=1'], check=False)
    other, mine = socket.socketpair()
    other.close()
    with contextlib.suppress(OSError), open('/dev/nbd0', 'rb') as device:
        fcntl.ioctl(device, 0xAB00, mine.fileno())
        fcntl.ioctl(device, 0xAB03)
    mine.close()
    subprocess.run(['udevadm', 'settle'], check=False)
    subprocess.run(['modprobe', '-r', 'nbd'], check=False)


def main() -> None:
    use_reserves()
    ports = '/dev/virtio-ports/os-brick'
    while not os.path.exists(ports):
        time.sleep(0.05)
    os.makedirs(CHECKOUT, exist_ok=True)
    Agent(Port(ports)).serve()


if __name__ == '__main__':
    main()
