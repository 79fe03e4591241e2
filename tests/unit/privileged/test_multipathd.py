# SPDX-License-Identifier: Apache-2.0
"""What is said to multipathd, and how its socket may behave."""

from collections.abc import Callable, Iterator
import contextlib
import socket
import struct
import threading
import time

import pytest

from os_brick import exception
from os_brick.core import kernel
from os_brick.privileged import multipathd

LENGTH = struct.Struct('@N')


class Daemon:
    """At the other end of the socket: hears one question, and does what ``reply`` does."""

    def __init__(self, reply: Callable[[socket.socket], None]) -> None:
        self.reply = reply
        self.received: list[bytes] = []
        self.threads: list[threading.Thread] = []

    def open(self, path: str, flags: int) -> int:
        raise NotImplementedError

    def ioctl(self, descriptor: int, request: int, argument: bytearray | int) -> None:
        raise NotImplementedError

    def connect(self, address: str, timeout: float) -> socket.socket:
        assert address == '\0/org/kernel/linux/storage/multipathd'
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        self.threads.append(threading.Thread(target=self._serve, args=(theirs,), daemon=True))
        self.threads[-1].start()
        return ours

    def _serve(self, channel: socket.socket) -> None:
        with channel, contextlib.suppress(OSError):
            (size,) = LENGTH.unpack(channel.recv(LENGTH.size, socket.MSG_WAITALL))
            self.received.append(channel.recv(size, socket.MSG_WAITALL))
            self.reply(channel)


@contextlib.contextmanager
def daemon(reply: Callable[[socket.socket], None]) -> Iterator[Daemon]:
    with kernel.use(found := Daemon(reply)):
        yield found
    for thread in found.threads:
        thread.join(5)


def says(text: bytes) -> Callable[[socket.socket], None]:
    return lambda channel: channel.sendall(LENGTH.pack(len(text)) + text)


@pytest.mark.parametrize(
    ('ask', 'question'),
    [
        (lambda: multipathd.daemon_status(5.0), b'show daemon\0'),
        (lambda: multipathd.paths(5.0), b'show paths raw format "%d %w %T %m"\0'),
        (lambda: multipathd.add_path('sda', 5.0), b'add path sda\0'),
        (lambda: multipathd.add_map('36001', 5.0), b'add map 36001\0'),
        (lambda: multipathd.remove_path('sdaa', 5.0), b'del path sdaa\0'),
        (lambda: multipathd.resize_map('36001', 5.0), b'resize map 36001\0'),
        (lambda: multipathd.disable_queueing('a-b.c', 5.0), b'disablequeueing map a-b.c\0'),
    ],
)
def test_questions(ask: Callable[[], str], question: bytes) -> None:
    with daemon(says(b'ok\n\0')) as found:
        assert ask() == 'ok'
    assert found.received == [question]


@pytest.mark.parametrize(
    ('raw', 'answer'),
    [
        (b'ok\n\0', 'ok'),
        (b'fail\ndevice not found\n\0', 'fail\ndevice not found'),
        (b'pid 762 idle\n\0', 'pid 762 idle'),
        (b'\xff\0', '\N{REPLACEMENT CHARACTER}'),
        (b'x' * 300_000 + b'\0', 'x' * 300_000),
        (b'\0', ''),
    ],
)
def test_answers(raw: bytes, answer: str) -> None:
    with daemon(says(raw)):
        assert multipathd.paths(5.0) == answer


@pytest.mark.parametrize(
    'reply',
    [
        lambda channel: None,
        lambda channel: channel.sendall(b'\x05'),
        lambda channel: channel.sendall(LENGTH.pack(10) + b'half'),
        lambda channel: channel.sendall(LENGTH.pack(0)),
        lambda channel: channel.sendall(LENGTH.pack(1 << 62)),
        lambda channel: channel.sendall(LENGTH.pack((1 << 64) - 1)),
    ],
)
def test_a_daemon_that_breaks_off(reply: Callable[[socket.socket], None]) -> None:
    with daemon(reply), pytest.raises(OSError, match='multipathd'):
        multipathd.paths(5.0)


def test_a_daemon_that_says_nothing() -> None:
    gate = threading.Event()
    with daemon(lambda channel: gate.wait(5)):  # type: ignore[arg-type,return-value]
        with pytest.raises(OSError, match='timed out'):
            multipathd.paths(0.1)
        gate.set()


def test_a_daemon_that_is_not_there() -> None:
    class Absent(Daemon):
        def connect(self, address: str, timeout: float) -> socket.socket:
            raise ConnectionRefusedError(111, 'Connection refused')

    with kernel.use(Absent(says(b''))), pytest.raises(ConnectionRefusedError):
        multipathd.daemon_status(5.0)


ASKS = [
    multipathd.add_path,
    multipathd.remove_path,
    multipathd.resize_map,
    multipathd.disable_queueing,
]


@pytest.mark.parametrize('name', ['', 'sda\0del map x', 'sda\n', '../a', 'a\u2028b', 'a' * 128])
@pytest.mark.parametrize('ask', ASKS)
def test_a_name_that_would_be_more_is_refused(ask: Callable[..., str], name: str) -> None:
    with daemon(says(b'ok\0')) as found, pytest.raises(exception.InvalidParameterValue):
        ask(name, 5.0)
    assert found.received == []


@pytest.mark.parametrize('name', ['-a', 'a b', '"a"', 'a;b'])
@pytest.mark.parametrize('ask', ASKS[:2])
def test_a_disk_is_one_word(ask: Callable[..., str], name: str) -> None:
    with daemon(says(b'ok\0')) as found, pytest.raises(exception.InvalidParameterValue):
        ask(name, 5.0)
    assert found.received == []


@pytest.mark.parametrize(
    ('in_kernel', 'word'),
    [
        ('mpatha', 'mpatha'),
        ('3600140512345678', '3600140512345678'),
        # libdevmapper writes these into the kernel as hexadecimal; multipathd knows the alias.
        ('my\\x20disk', '"my disk"'),
        ('gr\\xc3\\xb6e', '"gröe"'),
        ('my disk', '"my disk"'),
        ('größe', '"größe"'),
        ('a"b', '"a""b"'),
        ('{a}#!', '"{a}#!"'),
        ('-a', '"-a"'),
    ],
)
def test_an_alias_may_be_of_any_characters(in_kernel: str, word: str) -> None:
    with daemon(says(b'ok\0')) as found:
        multipathd.resize_map(in_kernel, 5.0)
    assert found.received == [f'resize map {word}\0'.encode()]


def test_one_limit_for_all_disks() -> None:
    """Each order comes in time, and all of them do not."""
    pause = threading.Event()

    def late(channel: socket.socket) -> None:
        pause.wait(0.4)
        says(b'ok\0')(channel)

    begun = time.monotonic()
    with daemon(late) as found, pytest.raises(OSError, match='timed out'):
        multipathd.remove_paths(tuple((f'sd{letter}', 0) for letter in 'uvwxyz'), 1.0)
    assert time.monotonic() - begun < 2.0
    assert len(found.received) == 3
