# SPDX-License-Identifier: Apache-2.0
"""TLS for NVMe over TCP: the daemon of the handshakes, and the target's keys."""

from collections.abc import Iterator
import contextlib
import pathlib
import subprocess

from tests.functional.lab import nvmet, shell

_TYPE = 'psk'


@contextlib.contextmanager
def daemon() -> Iterator[None]:
    """tlshd, for the host and for the target on it."""
    nvmet.load('tcp')
    shell.modules('tls')
    process = subprocess.Popen(
        ['tlshd', '--stderr'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        # Until it has its socket the kernel finds no one to shake hands.
        netlink = pathlib.Path('/proc/net/netlink')
        shell.until(lambda: _listens(netlink, process.pid), 10, 'tlshd listens')
        yield
    finally:
        process.terminate()
        process.wait(10)


def _listens(netlink: pathlib.Path, pid: int) -> bool:
    rows = [line.split() for line in netlink.read_text().splitlines()[1:]]
    # Generic netlink is number 16; libnl numbers a process's sockets above its ID.
    return any(row[1] == '16' and int(row[2]) & 0x3FFFFF == pid for row in rows)


def keys() -> list[str]:
    """The names of all keys for TLS that the kernel has."""
    rows = (line.split(maxsplit=8) for line in shell.read('/proc/keys').splitlines())
    return sorted(row[8] for row in rows if row[7] == _TYPE)


@contextlib.contextmanager
def known(identity: str, value: bytes) -> Iterator[None]:
    """Have the target know a key."""
    rows = (line.split(maxsplit=8) for line in shell.read('/proc/keys').splitlines())
    ring = next(str(int(row[0], 16)) for row in rows if row[8].startswith('.nvme:'))
    number = shell.run('keyctl', 'padd', '-x', _TYPE, identity, ring, stdin=value.hex())
    try:
        yield
    finally:
        shell.run('keyctl', 'unlink', number, ring)


def require(port: nvmet.Port) -> None:
    """Let no one in through a port without TLS from now on."""
    with port.closed():
        shell.write(port.root / 'addr_tsas', 'tls1.3')
        shell.write(port.root / 'addr_treq', 'required')
