# SPDX-License-Identifier: Apache-2.0
"""Portals mean the same however they are spelled; LUNs are translated once."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick import constants, exception
from os_brick.model import addresses

Portal = addresses.Portal
PORTS = st.integers(1, 65535)
V6 = st.ip_addresses(v=6)
# The letters, digits and marks of which a portal is made, and some of which none is.
TEXTS = st.text('0123456789abcdefABCDEF:.[]%,-_ \n', max_size=45)


@pytest.mark.parametrize(
    ('text', 'address', 'port', 'shown'),
    [
        ('10.0.0.1', '10.0.0.1', 3260, '10.0.0.1:3260'),
        ('10.0.0.1:3261', '10.0.0.1', 3261, '10.0.0.1:3261'),
        ('10.0.0.1:3260,1', '10.0.0.1', 3260, '10.0.0.1:3260'),
        ('10.0.0.1,1', '10.0.0.1', 3260, '10.0.0.1:3260'),
        (' 10.0.0.1:3260\n', '10.0.0.1', 3260, '10.0.0.1:3260'),
        ('fe80::1', 'fe80::1', 3260, '[fe80::1]:3260'),
        ('[fe80::1]', 'fe80::1', 3260, '[fe80::1]:3260'),
        ('[FE80:0:0:0:0:0:0:1]:860,2', 'fe80::1', 860, '[fe80::1]:860'),
        ('fe80:0000::0001', 'fe80::1', 3260, '[fe80::1]:3260'),
        ('Array-1.Example.ORG', 'array-1.example.org', 3260, 'array-1.example.org:3260'),
        ('san:3262', 'san', 3262, 'san:3262'),
    ],
)
def test_portals(text: str, address: str, port: int, shown: str) -> None:
    portal = Portal.parse(text)
    assert (portal.address, portal.port, str(portal)) == (address, port, shown)


@pytest.mark.parametrize(
    'text',
    [
        *('', ':', ':3260', '[]:3260', '10.0.0.1:', '10.0.0.1:0', '10.0.0.1:65536', '10.0.0.1:x'),
        *('10.0.0.1:3260:1', '[10.0.0.1', '-a', '--login', 'a b', 'a/b', 'a\nb', '[fe80::1]3260'),
        *('10.0.0.1:-1', 'x' * 254),
        '10.0.0.1:٣٢٦٠',
    ],
)
def test_what_is_no_portal(text: str) -> None:
    with pytest.raises(ValueError, match='is not a valid portal'):
        Portal.parse(text)


@given(V6, PORTS)
def test_every_spelling_of_an_ipv6_portal_is_the_same(
    address: ipaddress.IPv6Address, port: int
) -> None:
    groups = [int(address) >> shift & 0xFFFF for shift in range(112, -1, -16)]
    spellings = {
        str(address),
        address.exploded,
        address.exploded.upper(),
        str(address).upper(),
        ':'.join(f'{group:x}' for group in groups),
        ':'.join(f'{group:04X}' for group in groups),
    }
    parsed = {Portal.parse(f'[{text}]:{port}') for text in spellings}
    assert len(parsed) == 1
    assert {Portal.parse(text, port) for text in spellings} == parsed


@given(
    st.ip_addresses().map(str) | st.from_regex(r'[a-z][a-z0-9-]{0,20}[a-z0-9]', fullmatch=True),
    PORTS,
)
def test_what_is_shown_is_parsed_back(address: str, port: int) -> None:
    portal = Portal.parse(f'[{address}]:{port}' if ':' in address else f'{address}:{port}')
    assert Portal.parse(str(portal)) == portal
    assert Portal.parse(str(portal), default_port=1) == portal


@given(TEXTS)
def test_any_text_is_a_portal_or_an_error(text: str) -> None:
    try:
        portal = Portal.parse(text)
    except ValueError:
        return
    assert Portal.parse(str(portal)) == portal
    assert not set(portal.address) & set(' \n/,[]')
    assert not portal.address.startswith('-')


def test_a_portal_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the sessions of a target parses the texts of all their portals."""
    asked: list[str] = []
    ip_address = ipaddress.ip_address

    def counted(text: str) -> object:
        asked.append(text)
        return ip_address(text)

    monkeypatch.setattr(ipaddress, 'ip_address', counted)
    first = Portal.parse('[fd00:1234::77]:3260,1')
    assert asked
    asked.clear()
    assert Portal.parse('[fd00:1234::77]:3260,1') == first
    assert first.is_ip
    assert asked == []


def test_long_texts_are_not_kept() -> None:
    """A caller may pass a megabyte of blanks with a portal in it, time after time."""
    before = addresses._parsed.cache_info().currsize
    assert Portal.parse(f'10.0.0.1{" " * 100_000}') == Portal('10.0.0.1')
    assert addresses._parsed.cache_info().currsize == before
    before = addresses._ip.cache_info().currsize
    assert addresses.ip('1' * 100_000) is None
    assert addresses._ip.cache_info().currsize == before


@pytest.mark.parametrize(('raw', 'lun'), [(0, 0), (7, 7), ('0', 0), ('300', 300), ('007', 7)])
def test_luns(raw: object, lun: int) -> None:
    assert addresses.lun(raw) == lun


@pytest.mark.parametrize('raw', [None, True, -1, '-1', '', '1.0', 1.0, ' 1', '٣', 2**64, [1], b'1'])
def test_what_is_no_lun(raw: object) -> None:
    with pytest.raises(ValueError, match='is not a valid LUN'):
        addresses.lun(raw)


@pytest.mark.parametrize(
    ('mode', 'number', 'kernel'),
    [
        (None, 1, 1),
        (None, 300, 300),
        (constants.SCSI_ADDRESSING_SAM, 300, 300),
        (constants.SCSI_ADDRESSING_SAM2, 0, 0),
        (constants.SCSI_ADDRESSING_SAM2, 255, 255),
        (constants.SCSI_ADDRESSING_SAM2, 256, 0x4100),
        (constants.SCSI_ADDRESSING_SAM2, 300, 0x412C),
        (constants.SCSI_ADDRESSING_SAM3_FLAT, 0, 0x4000),
        (constants.SCSI_ADDRESSING_SAM3_FLAT, 1, 0x4001),
        (constants.SCSI_ADDRESSING_SAM3_FLAT, 300, 0x412C),
        (constants.SCSI_ADDRESSING_TRANSPARENT, 300, 300),
    ],
)
def test_kernel_luns(mode: str | None, number: int, kernel: int) -> None:
    assert addresses.kernel_lun(number, mode) == kernel


def test_another_addressing_mode_is_an_error() -> None:
    with pytest.raises(exception.InvalidParameterValue, match='SAM4'):
        addresses.kernel_lun(1, 'SAM4')


@given(st.integers(0, 0x3FFF), st.sampled_from(constants.SCSI_ADDRESSING_MODES))
def test_modes_never_let_two_luns_meet(number: int, mode: str) -> None:
    here = addresses.kernel_lun(number, mode)
    assert here & 0x3FFF == number
    assert addresses.kernel_lun(number ^ 1, mode) != here


@pytest.mark.parametrize(
    ('number', 'text'),
    [
        (0, '0'),
        (255, '255'),
        (256, '0x0100000000000000'),
        (0x412C, '0x412c000000000000'),
        (0x0001_4001, '0x4001000100000000'),
    ],
)
def test_udev_luns(number: int, text: str) -> None:
    assert addresses.udev_lun(number) == text
