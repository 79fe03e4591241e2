# SPDX-License-Identifier: Apache-2.0
"""Identify answers of NVMe controllers: the bytes, and what they mean.

Figures are those of the NVM Express Base Specification 2.0 and the NVM Command Set 1.0.
"""

from __future__ import annotations

from os_brick.model import fabrics

_NSZE = slice(0, 8)
_FLBAS = 26
_NGUID = slice(104, 120)
_EUI64 = slice(120, 128)
_FORMATS_AT = 128
# What an entry of the list of names is, by its type and its length (figure 315).
_KINDS = {(1, 8): 'eui64', (2, 16): 'nguid', (3, 16): 'uuid'}


def is_active(namespace: bytes) -> bool:
    """Whether there is such a namespace: the data of one that is not active are all zeros."""
    return any(namespace)


def identity(nsid: int, namespace: bytes, names: bytes) -> fabrics.NamespaceIdentity:
    """The identity of a namespace.

    :param namespace: the answer about the namespace (CNS 00h; NVM Command Set, figure 97).
    :param names: the list of its names (CNS 03h), empty where the controller has none.
    """
    found = {'eui64': namespace[_EUI64].hex(), 'nguid': namespace[_NGUID].hex()} | _listed(names)
    return fabrics.NamespaceIdentity(
        uuid=fabrics.uuid(found['uuid']) if 'uuid' in found else None,
        nguid=fabrics.uuid(found['nguid']),
        eui64=fabrics.eui64(found['eui64']),
        nsid=nsid,
    )


def _listed(answer: bytes) -> dict[str, str]:
    """The names in a list (figure 315): type, length, two reserved bytes, the name."""
    found: dict[str, str] = {}
    at = 0
    while at + 4 < len(answer) and answer[at + 1]:
        kind, length = answer[at], answer[at + 1]
        value = answer[at + 4 : at + 4 + length]
        if (kind, length) in _KINDS and len(value) == length:
            found[_KINDS[kind, length]] = value.hex()
        at += 4 + length
    return found


def block_bytes(namespace: bytes) -> int:
    """The size of a namespace's blocks, by the format it is in."""
    # Bits 0 to 3 and 5 to 6 of FLBAS are the format's number.
    number = namespace[_FLBAS] & 0x0F | (namespace[_FLBAS] & 0x60) >> 1
    # A format is 4 bytes: metadata size (2), data size as a power of two, performance.
    return 1 << namespace[_FORMATS_AT + 4 * number + 2]


def size_bytes(namespace: bytes) -> int:
    """The size of a namespace."""
    return int.from_bytes(namespace[_NSZE], 'little') * block_bytes(namespace)
