# SPDX-License-Identifier: Apache-2.0
"""Answers of rtnetlink, whole and broken."""

import struct

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.core import netlink

DONE = struct.pack('=IHHII', 20, 3, 2, 1, 0) + b'\0' * 4


def message(kind: int, index: int, *attributes: tuple[int, bytes]) -> bytes:
    """One message about an address, as ``rtnetlink.h`` has it."""
    body = struct.pack('=BBBBI', 2, 24, 0x80, 0, index)
    for number, value in attributes:
        padded = value + b'\0' * (-len(value) % 4)
        body += struct.pack('=HH', 4 + len(value), number) + padded
    return struct.pack('=IHHII', 16 + len(body), kind, 2, 1, 0) + body


def ip(text: str) -> bytes:
    return bytes(map(int, text.split('.')))


def test_addresses_of_both_families() -> None:
    """IFA_LOCAL is this host's end of a link; IPv6 has IFA_ADDRESS only. The label is skipped."""
    data = message(20, 1, (1, ip('127.0.0.1')), (2, ip('127.0.0.1')), (3, b'lo\0'))
    data += message(20, 2, (1, ip('10.0.0.1')), (2, ip('10.0.0.2')), (3, b'ppp0\0'))
    data += message(20, 2, (1, bytes(15) + b'\x07'))
    assert netlink.addresses(data) == ([(1, '127.0.0.1'), (2, '10.0.0.2'), (2, '::7')], False)
    assert netlink.addresses(DONE) == ([], True)
    assert netlink.addresses(data + DONE)[1]


def test_what_is_not_an_address() -> None:
    data = message(16, 1, (1, ip('10.0.0.1'))) + message(20, 1, (1, b'x')) + message(20, 1)
    assert netlink.addresses(data) == ([], False)


def test_an_error() -> None:
    with pytest.raises(ValueError, match='rejects'):
        netlink.addresses(message(2, 0))


@given(st.binary(max_size=200))
def test_anything_else_ends(data: bytes) -> None:
    try:
        found, _is_last = netlink.addresses(message(20, 1, (1, ip('10.0.0.1'))) + data)
    except ValueError:
        return
    assert found[0] == (1, '10.0.0.1')
