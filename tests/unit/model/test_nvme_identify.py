# SPDX-License-Identifier: Apache-2.0
"""Identify answers: what is long, cut or unknown is not known, and never another name."""

import uuid as uuids

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import fabrics, nvme_identify

UUID, NGUID = (uuids.uuid5(uuids.NAMESPACE_OID, name) for name in ('uuid', 'nguid'))
EUI = bytes.fromhex('0025385b71b0a1c2')


def namespace(*, size: int = 0, flbas: int = 0, power: int = 9, nguid: bytes = b'') -> bytes:
    data = bytearray(4096)
    data[0:8] = size.to_bytes(8, 'little')
    data[26] = flbas
    number = flbas & 0x0F | (flbas & 0x60) >> 1
    data[128 + 4 * number + 2] = power
    data[104 : 104 + len(nguid)] = nguid
    return bytes(data)


def entry(kind: int, name: bytes, length: int | None = None) -> bytes:
    return bytes([kind, len(name) if length is None else length, 0, 0]) + name


@pytest.mark.parametrize(
    ('names', 'uuid', 'nguid', 'eui64'),
    [
        (b'', None, None, None),
        (bytes(4096), None, None, None),
        (entry(3, UUID.bytes), str(UUID), None, None),
        (entry(2, NGUID.bytes) + entry(3, UUID.bytes), str(UUID), str(NGUID), None),
        (entry(1, EUI) + entry(2, NGUID.bytes), None, str(NGUID), EUI.hex()),
        # The command set (4), and what is not known yet, stand between names.
        (entry(4, b'\0') + entry(9, b'xyz') + entry(3, UUID.bytes), str(UUID), None, None),
        (entry(3, UUID.bytes[:10]), None, None, None),
        (entry(3, UUID.bytes[:10], length=16), None, None, None),
        (entry(3, UUID.bytes + b'more'), None, None, None),
        (entry(3, bytes(16)), None, None, None),
        # The list ends with the first entry of no length.
        (bytes(4) + entry(3, UUID.bytes), None, None, None),
    ],
)
def test_names(names: bytes, uuid: str | None, nguid: str | None, eui64: str | None) -> None:
    found = nvme_identify.identity(7, namespace(), names)
    assert found == fabrics.NamespaceIdentity(uuid, nguid, eui64, 7)


def test_the_list_goes_before_the_old_fields() -> None:
    other = uuids.uuid5(uuids.NAMESPACE_OID, 'other')
    data = namespace(nguid=other.bytes)
    assert nvme_identify.identity(1, data, b'').nguid == str(other)
    assert nvme_identify.identity(1, data, entry(2, NGUID.bytes)).nguid == str(NGUID)


@given(st.binary(max_size=64), st.binary(min_size=24, max_size=24))
def test_any_bytes(names: bytes, fields: bytes) -> None:
    """No name is made up: each is in the answer as it is."""
    data = bytes(104) + fields + bytes(4096 - 128)
    found = nvme_identify.identity(1, data, names)
    for name in filter(None, (found.uuid, found.nguid, found.eui64)):
        assert bytes.fromhex(name.replace('-', '')) in names + data


@pytest.mark.parametrize(('flbas', 'power'), [(0, 9), (1, 12), (0x0F, 12), (0x2F, 17), (0x90, 9)])
def test_sizes(flbas: int, power: int) -> None:
    """Bits 5 and 6 are the upper ones of the format's number; 4 and 7 are not."""
    data = namespace(size=1000, flbas=flbas, power=power)
    assert nvme_identify.block_bytes(data) == 1 << power
    assert nvme_identify.size_bytes(data) == 1000 << power
    assert nvme_identify.is_active(data)
    assert not nvme_identify.is_active(bytes(4096))
