# SPDX-License-Identifier: Apache-2.0
"""What the kernel reports of its network addresses: messages of rtnetlink.

The layout is that of ``linux/netlink.h``, ``linux/rtnetlink.h`` and ``linux/if_addr.h``.
"""

from __future__ import annotations

from collections.abc import Iterator
import ipaddress
import struct

_HEADER = struct.Struct('=IHHII')
_ADDRESS = struct.Struct('=BBBBI')
_ATTRIBUTE = struct.Struct('=HH')
_ERROR, _DONE = 2, 3
_NEW_ADDRESS, _GET_ADDRESS = 20, 22
_REQUEST_DUMP = 0x301
# With IPv4 IFA_ADDRESS is the other end of a point-to-point link, and IFA_LOCAL this host's.
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_BYTES = {4, 16}

# A question for every address, of every family and interface.
GET_ADDRESSES = (
    _HEADER.pack(_HEADER.size + _ADDRESS.size, _GET_ADDRESS, _REQUEST_DUMP, 1, 0)
    + _ADDRESS.pack(0, 0, 0, 0, 0)
)  # fmt: skip


def addresses(data: bytes) -> tuple[list[tuple[int, str]], bool]:
    """What is in one datagram of the answer, and whether it is the last one.

    :return: the number of the interface and the IP address of each.
    :raises ValueError: if the kernel reports an error.
    """
    found: list[tuple[int, str]] = []
    for kind, body in _messages(data):
        if kind == _ERROR:
            raise ValueError('the kernel rejects the question for network addresses')
        if kind == _DONE:
            return found, True
        if kind == _NEW_ADDRESS and len(body) >= _ADDRESS.size:
            index = _ADDRESS.unpack_from(body)[4]
            attributes = dict(_attributes(body[_ADDRESS.size :]))
            own = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b'')
            if len(own) in _BYTES:
                found.append((index, str(ipaddress.ip_address(own))))
    return found, False


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        size, kind, *_rest = _HEADER.unpack_from(data)
        if not _HEADER.size <= size <= len(data):
            return
        yield kind, data[_HEADER.size : size]
        data = data[_aligned(size) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= size <= len(data):
            return
        yield kind, data[_ATTRIBUTE.size : size]
        data = data[_aligned(size) :]


def _aligned(size: int) -> int:
    return (size + 3) & ~3
