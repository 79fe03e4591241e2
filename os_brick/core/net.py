# SPDX-License-Identifier: Apache-2.0
"""The one place that resolves host names and connects over the network.

A test puts another network in the place of this host's with :func:`use`.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import errno
import os
import socket
import threading
from typing import Protocol

from os_brick.core import clock, netlink, wait

# A handshake in a data centre takes a millisecond; this long covers one lost packet (the first
# SYN is sent again after 1 s).
REACH_SECONDS = 3.0
# The same for a server that is not on the storage network: two lost packets.
DIAL_SECONDS = 8.0
# glibc waits 5 s for each of up to three name servers, twice; who has an answer has it at once.
RESOLVE_SECONDS = 10.0
# A look-up, good or bad, holds so long: a wait that looks every 0.1 s asks once, and so do the
# paths of one operation.
HOLDS_SECONDS = 5.0
_DATAGRAM_BYTES = 1 << 16


class Network(Protocol):
    """What asks name servers and makes connections."""

    def lookup(self, name: str) -> tuple[str, ...]:
        """The addresses of a host name; it may take as long as it likes.

        :raises OSError: if it has none.
        """

    def connect(self, address: str, port: int, seconds: float, source: str) -> None:
        """Make a TCP connection, and close it.

        :raises OSError: if none comes about in time.
        """

    def open(self, address: str, port: int, seconds: float) -> socket.socket:
        """Make a TCP connection, to be used and closed by the caller.

        :raises OSError: if none comes about in time.
        """

    def addresses(self) -> list[tuple[str, str]]:
        """The IP addresses of this host, each after the name of its interface.

        :raises OSError: if the kernel does not tell.
        """


class _SystemNetwork:
    def lookup(self, name: str) -> tuple[str, ...]:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))

    def connect(self, address: str, port: int, seconds: float, source: str) -> None:
        own = (source, 0) if source else None
        socket.create_connection((address, port), timeout=seconds, source_address=own).close()

    def open(self, address: str, port: int, seconds: float) -> socket.socket:
        opened = socket.create_connection((address, port), timeout=seconds)
        # A request is one piece or two: the second must not wait for an acknowledgement.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def addresses(self) -> list[tuple[str, str]]:
        found: list[tuple[int, str]] = []
        is_last = False
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
            link.settimeout(REACH_SECONDS)
            link.sendto(netlink.GET_ADDRESSES, (0, 0))
            while not is_last:
                try:
                    more, is_last = netlink.addresses(link.recv(_DATAGRAM_BYTES))
                except ValueError as error:
                    raise OSError(str(error)) from None
                found += more
        names = dict(socket.if_nameindex())
        return [(names[index], address) for index, address in found if index in names]


class _Lookup:
    """One question for a name, in a thread of its own: getaddrinfo() has no time limit."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._name = name
        self._changed = threading.Condition()
        self._answer: tuple[str, ...] | OSError | None = None
        self._at = 0.0
        threading.Thread(target=self._run, name=f'os-brick {name}', daemon=True).start()

    def _run(self) -> None:
        answer: tuple[str, ...] | OSError
        try:
            answer = self._network.lookup(self._name)
        except Exception as error:  # noqa: BLE001 without an answer the name would never resolve again
            answer = error if isinstance(error, OSError) else OSError(str(error))
        with self._changed:
            self._answer, self._at = answer, clock.monotonic()
            self._changed.notify_all()

    @property
    def is_old(self) -> bool:
        return self._answer is not None and clock.monotonic() - self._at > HOLDS_SECONDS

    def answer(self, deadline: wait.Deadline) -> tuple[str, ...]:
        limit = deadline.within(RESOLVE_SECONDS)
        with self._changed:
            while self._answer is None and not limit.passed:
                # In steps, because the clock of a test moves without waking anything.
                self._changed.wait(min(limit.remaining, wait.LONGEST_PAUSE_SECONDS))
        if self._answer is None:
            raise OSError(f'no name server answers within {limit.seconds:g} s')
        if isinstance(self._answer, OSError):
            raise OSError(self._answer.errno, self._answer.strerror or str(self._answer))
        return self._answer


class _Names:
    """The questions that are under way or fresh; one at a time for a name."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.forget()

    def forget(self) -> None:
        """Start anew, in a process forked from this one: its threads are not here."""
        self._guard = threading.Lock()
        self._lookups: dict[str, _Lookup] = {}

    def resolve(self, name: str, deadline: wait.Deadline) -> tuple[str, ...]:
        with self._guard:
            for each in [each for each, found in self._lookups.items() if found.is_old]:
                del self._lookups[each]
            if name not in self._lookups:
                self._lookups[name] = _Lookup(self.network, name)
            lookup = self._lookups[name]
        return lookup.answer(deadline)


_current = _Names(_SystemNetwork())


def _forget() -> None:
    _current.forget()


os.register_at_fork(after_in_child=_forget)


def resolve(name: str, deadline: wait.Deadline) -> tuple[str, ...]:
    """The IP addresses of a host name.

    :raises OSError: if it has none, or no name server answers in time.
    """
    return _current.resolve(name, deadline)


def why_unreachable(
    address: str, port: int, seconds: float = REACH_SECONDS, *, source: str = ''
) -> str | None:
    """Why no TCP connection comes about within so many seconds, or ``None`` if one does.

    :param address: an IP address or a host name.
    :param source: the address of this host to come from; empty for any.
    """
    deadline = wait.Deadline.after(seconds)
    try:
        found = (address,) if is_ip(address) else resolve(address, deadline)
        _connect_to_any(found, port, deadline, source)
    except OSError as error:
        return str(error) or type(error).__name__
    return None


def dial(host: str, port: int, deadline: wait.Deadline) -> socket.socket:
    """A TCP connection to the first address of a host that takes one; the caller closes it.

    :param host: an IP address or a host name.
    :raises OSError: if no address takes one in time; the error of the last.
    """
    found = (host,) if is_ip(host) else resolve(host, deadline)
    for number, address in enumerate(found, 1):
        try:
            return _current.network.open(address, port, deadline.limit(DIAL_SECONDS))
        except OSError:
            if number == len(found) or deadline.passed:
                raise
    raise OSError(errno.EADDRNOTAVAIL, f'{host} has no address')


def _connect_to_any(
    found: tuple[str, ...], port: int, deadline: wait.Deadline, source: str
) -> None:
    for number, address in enumerate(found, 1):
        try:
            _current.network.connect(address, port, deadline.limit(), source)
        except OSError:
            if number == len(found) or deadline.passed:
                raise
        else:
            return


def own_addresses() -> list[tuple[str, str]]:
    """The IP addresses of this host, each after the name of its interface.

    :raises OSError: if the kernel does not tell.
    """
    return _current.network.addresses()


def is_ip(address: str) -> bool:
    """Whether a text is an IP address, with or without a scope."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, address.partition('%')[0])
            return True
    return False


@contextlib.contextmanager
def use(network: Network) -> Iterator[None]:
    """Have every name and connection be those of ``network`` for a while; a seam for tests."""
    global _current  # noqa: PLW0603 the seam itself
    before, _current = _current, _Names(network)
    try:
        yield
    finally:
        _current = before
