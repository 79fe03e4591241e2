# SPDX-License-Identifier: Apache-2.0
"""Whether somebody listens, on the loopback of the machine that runs the tests."""

from collections.abc import Iterator
import socket

import pytest

from os_brick.host import tcp


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(('127.0.0.1', 0)) as server:
        server.settimeout(5)
        yield server


@pytest.mark.parametrize('source', ['', '127.0.0.2'])
def test_somebody_listens(listener: socket.socket, source: str) -> None:
    """He sees the address that was asked for, and nothing is said to him."""
    assert tcp.why_unreachable(*listener.getsockname(), source=source) is None
    connection, (address, _port) = listener.accept()
    with connection:
        assert address == (source or '127.0.0.1')
        assert connection.recv(1) == b''


def test_nobody_listens(listener: socket.socket) -> None:
    place = listener.getsockname()
    listener.close()
    assert 'refused' in str(tcp.why_unreachable(*place)).lower()


def test_a_silent_portal(listener: socket.socket) -> None:
    """Its queue of connections is full, so the kernel answers no further SYN."""
    listener.listen(0)
    with socket.create_connection(listener.getsockname()):
        assert 'timed out' in str(tcp.why_unreachable(*listener.getsockname(), 0.2))
