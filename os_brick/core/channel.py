# SPDX-License-Identifier: Apache-2.0
"""A connection to a server that ends with its deadline, whatever the server does.

The time limit of a socket is that of one wait: a server that sends a byte a second never passes it.
Here each wait is given what is left of the whole. TLS is done in memory, between the socket and its
user, because the waits inside the handshake of an ``ssl.SSLSocket`` have a limit each under
eventlet.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import hashlib
import io
import ssl
from typing import Protocol, TypeVar

from os_brick.core import files, wait

T = TypeVar('T')

_PIECE = 65536
# More than the certificates of any authority, and of all that a system trusts.
_LARGEST_CA_FILE = 16 << 20


class TooMuch(OSError):
    """A server sends more than it may."""


class OtherCertificate(OSError):
    """A server has another certificate than the one that is expected."""


class Socket(Protocol):
    """What is used of a connected socket."""

    def settimeout(self, seconds: float, /) -> None: ...

    def recv(self, size: int, /) -> bytes: ...

    def send(self, data: bytes | memoryview, /) -> int: ...

    def close(self) -> None: ...


def tls_context(*, verify: bool, ca_path: str | None) -> ssl.SSLContext:
    """The rules of TLS by which a server is trusted.

    :param verify: whether its certificate has to be signed by an authority, and of its name.
    :param ca_path: a file of PEM certificates, or a directory as ``openssl rehash`` makes it;
        ``None`` for the authorities that the system trusts. A server's own certificate will do.
    :raises OSError: if they cannot be read.
    :raises ValueError: if they are not certificates.
    """
    if verify and not ca_path:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    # A certificate that is named is trusted by itself; Python 3.13 has this by default.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if files.is_directory(str(ca_path)):
        context.load_verify_locations(capath=files.real(str(ca_path)))
    else:
        # What is not ASCII is a comment.
        text = files.read_regular(str(ca_path), _LARGEST_CA_FILE).decode('ascii', 'ignore')
        context.load_verify_locations(cadata=text)
    return context


class Channel:
    """What ``http.client`` takes for a socket."""

    def __init__(self, sock: Socket, deadline: wait.Deadline, most_bytes: int) -> None:
        """Use a connected socket, which is closed with this.

        :param most_bytes: how much is received at most.
        """
        self._sock = sock
        self._deadline = deadline
        self._left = most_bytes
        self._tls: _Tls | None = None

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Shake hands with the server, and encrypt what follows.

        :param host: the name or the address that its certificate has to be of.
        :raises OSError: if that fails; ``ssl.SSLCertVerificationError`` if it is not trusted.
        """
        self._tls = _Tls(context, host, self._send, self._receive)

    def require_thumbprint(self, thumbprint: str) -> None:
        """Have the server's certificate be the one with a SHA-1 digest, in hexadecimal.

        :raises OtherCertificate: if it is another one.
        """
        wanted = thumbprint.replace(':', '').lower()
        found = self._tls.certificate if self._tls is not None else b''
        if hashlib.sha1(found, usedforsecurity=False).hexdigest() != wanted:
            raise OtherCertificate(f'its certificate is not the one with thumbprint {thumbprint}')

    def sendall(self, data: bytes) -> None:
        """Send data.

        :raises TimeoutError: if the deadline passes.
        """
        if self._tls is None:
            self._send(data)
        else:
            self._tls.write(data)

    def receive(self) -> bytes:
        """What has come, at least a byte of it; empty at the end.

        :raises TimeoutError: if the deadline passes.
        :raises TooMuch: if the server has sent more than it may.
        """
        return self._receive() if self._tls is None else self._tls.read()

    def makefile(self, mode: str) -> io.BufferedReader:
        """A file to read the answer from."""
        return io.BufferedReader(_Incoming(self), _PIECE)

    def close(self) -> None:
        """Do nothing: ``http.client`` has done with its socket before the answer is read."""

    def end(self) -> None:
        """Close the connection."""
        self._sock.close()

    def _limit(self) -> None:
        if self._deadline.passed:
            raise TimeoutError
        self._sock.settimeout(self._deadline.remaining or wait.LEAST_LIMIT_SECONDS)

    def _send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            self._limit()
            left = left[self._sock.send(left) :]

    def _receive(self) -> bytes:
        self._limit()
        data = self._sock.recv(_PIECE)
        self._left -= len(data)
        if self._left < 0:
            raise TooMuch
        return data


class _Tls:
    def __init__(
        self,
        context: ssl.SSLContext,
        host: str,
        send: Callable[[bytes], None],
        receive: Callable[[], bytes],
    ) -> None:
        self._send, self._receive = send, receive
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_hostname=host)
        self._run(self._object.do_handshake)

    @property
    def certificate(self) -> bytes:
        return self._object.getpeercert(binary_form=True) or b''

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._run(lambda: self._object.write(left)) :]  # noqa: B023 called at once

    def read(self) -> bytes:
        try:
            return self._run(lambda: self._object.read(_PIECE))
        except ssl.SSLZeroReturnError:
            return b''

    def _run(self, act: Callable[[], T]) -> T:
        """Have TLS do something, with what it has to send and to receive for that."""
        while True:
            try:
                done = act()
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            except ssl.SSLError:
                # The reason why is sent to the server, if that takes it.
                with contextlib.suppress(OSError):
                    self._flush()
                raise
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        if self._out.pending:
            self._send(self._out.read())

    def _feed(self) -> None:
        data = self._receive()
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()


class _Incoming(io.RawIOBase):
    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._kept = memoryview(b'')

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._kept:
            self._kept = memoryview(self._channel.receive())
        size = min(len(buffer), len(self._kept))
        buffer[:size] = self._kept[:size]
        self._kept = self._kept[size:]
        return size
