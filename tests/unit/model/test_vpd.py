# SPDX-License-Identifier: Apache-2.0
"""Who a logical unit says it is: recorded pages, made-up ones, and any bytes."""

import json
import pathlib
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import vpd
from tests.unit.fakehost import array

RECORDED = json.loads(
    (pathlib.Path(__file__).parents[1] / 'fakehost/recorded/guest.json').read_text()
)
DISKS = [*RECORDED['scsi_debug'], *RECORDED['iscsi']['disks']]
NAA6 = bytes.fromhex('600140500000000000000000000000ff')
NAA5 = bytes.fromhex('50014050000000ff')
NAA3 = bytes.fromhex('3333333000000bb8')
NAA2 = bytes.fromhex('2333333000000bb8')
EUI = bytes.fromhex('0025385b71b00a1f')


EUI_NAME = array.designator(2, 1, EUI)
OTHER_EUI = array.designator(2, 1, EUI[:-1] + b'\1')


def naa(value: bytes) -> bytes:
    return array.designator(3, 1, value)


def page83(*names: bytes) -> bytes:
    return array.page(0x83, b''.join(names))


def wwid(*names: bytes, inquiry: str = 'LIO-ORG gold            ') -> str:
    return vpd.identity(b'', page83(*names), inquiry).wwid


@pytest.mark.parametrize('disk', DISKS, ids=lambda disk: f'{disk["vendor"].strip()} {disk["name"]}')
def test_recorded_units_have_udevs_name(disk: dict[str, Any]) -> None:
    """Kernel 6.12.107, udev 257.13 with sg3-utils' rules (Debian 13)."""
    pages = [bytes.fromhex(disk['asked'][number]) for number in ('80', '83')]
    properties = dict(line.split('=', 1) for line in disk['udev'].splitlines())
    found = vpd.identity(*pages, f'{disk["vendor"].strip():8}{disk["model"].strip():16}')
    assert found.wwid == properties['ID_SERIAL']
    assert found.serial == properties['SCSI_IDENT_SERIAL']
    cached = [bytes.fromhex(disk['cached'][number]) for number in ('80', '83')]
    assert vpd.identity(*cached) == vpd.identity(*pages)


@pytest.mark.parametrize(
    ('names', 'name'),
    [
        ([], ''),
        ([array.designator(3, 1, NAA6)], '3' + NAA6.hex()),
        ([array.designator(3, 1, NAA5)], '3' + NAA5.hex()),
        ([array.designator(3, 1, NAA5), array.designator(3, 1, NAA6)], '3' + NAA6.hex()),
        ([array.designator(2, 1, EUI), array.designator(3, 1, NAA5)], '3' + NAA5.hex()),
        ([array.designator(2, 1, EUI)], '2' + EUI.hex()),
        ([array.designator(1, 2, b'ACME    a  b\0')], '1ACME_a_b'),
        ([array.designator(1, 2, b'x'), array.designator(2, 1, EUI)], '2' + EUI.hex()),
        ([naa(NAA3), array.designator(1, 2, b'ACME x')], '1ACME_x'),
        ([array.designator(3, 1, NAA3)], '3' + NAA3.hex()),
        ([array.designator(3, 1, NAA2), array.designator(1, 2, b'x')], '3' + NAA2.hex()),
        # Of the port, of the target: not the unit's.
        ([array.designator(3, 1, NAA6, association=1)], ''),
        ([array.designator(3, 1, NAA6, association=2)], ''),
        ([array.designator(4, 1, b'\0\0\0\1')], ''),
        ([array.designator(3, 1, b'')], ''),
    ],
)
def test_the_best_name(names: list[bytes], name: str) -> None:
    assert wwid(*names) == name


def test_a_vendors_own_name_has_vendor_and_model_before_it() -> None:
    assert wwid(array.designator(0, 2, b'serial 1')) == '0LIO-ORG_gold_serial_1'


def test_ports_do_not_matter() -> None:
    unit = array.Unit()
    one, two = (unit.pages(port) for port in (1, 2))
    assert one[0x83] != two[0x83]
    assert vpd.identity(one[0x80], one[0x83]) == vpd.identity(two[0x80], two[0x83])
    assert vpd.identity(one[0x80], one[0x83]).wwid == unit.wwid


def test_two_units_differ() -> None:
    one, two = (array.Unit().pages() for _ in range(2))
    assert compared((one[0x80], one[0x83]), (two[0x80], two[0x83])) is vpd.Match.ANOTHER


T10 = array.designator(1, 2, b'LIO-ORG gold')
RENAMED = array.designator(1, 2, b'LIO-ORG silver')
OTHER_NAA6 = bytes.fromhex('600140500000000000000000000000fe')
PORTS_NAME = array.designator(0, 2, b'controller A')
WHO = 'LIO-ORG gold            '


def page80(serial: bytes) -> bytes:
    return array.page(0x80, serial)


def compared(one: tuple[bytes, bytes], two: tuple[bytes, bytes]) -> vpd.Match:
    first, second = (vpd.identity(*each, WHO) for each in (one, two))
    assert first.compare(second) is second.compare(first)
    assert first.compare(first) is not vpd.Match.ANOTHER
    if first.is_another(second):
        assert str(first) != str(second), 'an error has to show what differs'
    return first.compare(second)


@pytest.mark.parametrize(
    ('one', 'two', 'match'),
    [
        # The volume was renamed at the array; its registered name and serial number stay.
        (('s', [naa(NAA6), T10]), ('s', [naa(NAA6), RENAMED]), 'SAME'),
        # Vendor-specific names differ by port, or are all there is.
        (('s', [naa(NAA6), PORTS_NAME]), ('s', [naa(NAA6)]), 'SAME'),
        (('', [PORTS_NAME]), ('', [array.designator(0, 2, b'controller B')]), 'UNKNOWN'),
        (('s', [PORTS_NAME]), ('s', [array.designator(0, 2, b'controller B')]), 'SAME'),
        # A registered name decides, whatever the serial number: some arrays report their own.
        (('s', [naa(NAA6)]), ('s', [naa(OTHER_NAA6)]), 'ANOTHER'),
        (('s', [naa(NAA6), T10]), ('s', [naa(OTHER_NAA6), T10]), 'ANOTHER'),
        (('s', [naa(NAA6)]), ('other', [naa(NAA6)]), 'UNKNOWN'),
        (('s', [naa(NAA6)]), ('', [naa(NAA6)]), 'SAME'),
        # One of two is equal, the other differs.
        (('', [naa(NAA6), EUI_NAME]), ('', [naa(NAA6), OTHER_EUI]), 'UNKNOWN'),
        (('', [naa(NAA6), EUI_NAME]), ('', [naa(OTHER_NAA6), EUI_NAME]), 'UNKNOWN'),
        (('', [naa(NAA6), EUI_NAME]), ('', [naa(OTHER_NAA6), OTHER_EUI]), 'ANOTHER'),
        # Firmware adds a format, or replaces it.
        (('', [naa(NAA6), EUI_NAME]), ('', [naa(NAA6)]), 'SAME'),
        (('', [naa(NAA6)]), ('', [EUI_NAME]), 'ANOTHER'),
        (('s', [naa(NAA6)]), ('s', [EUI_NAME]), 'UNKNOWN'),
        # Without a registered name: the serial number, then the other names.
        (('s', [T10]), ('s', [RENAMED]), 'SAME'),
        (('s', [T10]), ('other', [T10]), 'ANOTHER'),
        (('0000', [T10]), ('0000', [RENAMED]), 'ANOTHER'),
        (('', [T10]), ('', [RENAMED]), 'ANOTHER'),
        (('', [T10]), ('', [array.designator(1, 2, b'LIO-ORG gold  \0')]), 'SAME'),
        (('', [naa(NAA3)]), ('', [naa(NAA2)]), 'UNKNOWN'),
        (('s', []), ('s', []), 'SAME'),
        (('s', []), ('other', []), 'ANOTHER'),
        # Zeros are not a name.
        (('', [naa(NAA6)]), ('', [array.designator(2, 1, bytes(8))]), 'UNKNOWN'),
        # The kernel has no page: not known.
        (('', []), ('s', [naa(NAA6)]), 'UNKNOWN'),
        (('', []), ('', [T10]), 'UNKNOWN'),
        (('s', []), ('s', [naa(NAA6)]), 'SAME'),
        (('', [T10]), ('', [naa(NAA6), T10]), 'UNKNOWN'),
    ],
)
def test_the_same_another_or_not_known(
    one: tuple[str, list[bytes]], two: tuple[str, list[bytes]], match: str
) -> None:
    pages = [
        (page80(serial.encode()) if serial else b'', page83(*names) if names else b'')
        for serial, names in (one, two)
    ]
    assert compared(*pages) is vpd.Match[match]


def test_serial_numbers_of_two_products_tell_nothing() -> None:
    one, two = (vpd.identity(page80(b's'), b'', who) for who in ('ACME a', 'ACME b'))
    assert one.compare(two) is vpd.Match.UNKNOWN


FORMATS = [(3, b'\x60', 16), (3, b'\x50', 8), (3, b'\x20', 8), (2, b'\0', 8), (2, b'\0', 12)]


@st.composite
def registered(draw: st.DrawFn, fill: int) -> list[bytes]:
    """Registered names of a unit, at most one of a format."""
    chosen = draw(st.lists(st.sampled_from(FORMATS), min_size=1, unique=True))
    return [
        array.designator(kind, 1, first + bytes([fill + draw(st.integers(0, 1))]) * (length - 1))
        for kind, first, length in chosen
    ]


REST = st.lists(
    st.builds(
        array.designator,
        st.sampled_from([0, 1, 4, 5, 6, 7, 8, 9]),
        st.integers(1, 3),
        st.binary(max_size=40),
        st.integers(0, 2),
    ),
    max_size=3,
)
SERIALS = st.sampled_from([b'', b'one', b'two'])


@given(registered(fill=2), registered(fill=2), REST, REST, SERIALS, SERIALS, st.randoms())
def test_what_is_equal_is_never_another_and_what_differs_never_the_same(
    names: list[bytes],
    others: list[bytes],
    rest: list[bytes],
    more: list[bytes],
    serial: bytes,
    other_serial: bytes,
    dice: random.Random,
) -> None:
    """Whatever else they are called, in any order, and the pages cut off anywhere."""
    pages = []
    for number, mixed in ((serial, [*names, *rest]), (other_serial, [*others, *more])):
        whole = page83(*dice.sample(mixed, len(mixed)))
        cut = dice.choice([dice.randint(0, len(whole)), len(whole)])
        pages.append((page80(number), whole[:cut]))
    match = compared(*pages)
    one, two = (set(vpd.identity(*page).registered) for page in pages)
    heads = [
        {name[:2] if name[0] == '3' else len(name): name for name in each} for each in (one, two)
    ]
    differing = [
        head for head in heads[0].keys() & heads[1].keys() if heads[0][head] != heads[1][head]
    ]
    if one & two:
        assert match is not vpd.Match.ANOTHER
    if differing:
        assert match is not vpd.Match.SAME


@given(registered(fill=2), REST, SERIALS)
def test_a_unit_is_never_another_than_its_own_page_cut_off_at_any_byte(
    names: list[bytes], rest: list[bytes], serial: bytes
) -> None:
    whole = page83(*names, *rest)
    full = vpd.identity(page80(serial), whole, WHO)
    assert full.compare(full) is vpd.Match.SAME
    for end in range(len(whole)):
        cut = vpd.identity(page80(serial), whole[:end], WHO)
        assert full.compare(cut) is not vpd.Match.ANOTHER
        assert cut.compare(full) is not vpd.Match.ANOTHER
        assert not cut.contradicts(full.wwid)


def test_a_page_of_64_kib() -> None:
    names = [array.designator(1, 2, b'%05d' % n + bytes(200)) for n in range(310)]
    found = vpd.identity(b'', page83(*names, naa(NAA6)))
    assert found.wwid == '3' + NAA6.hex()
    assert found.is_whole
    assert not vpd.identity(b'', page83(*names, naa(NAA6))[:252]).is_whole


@pytest.mark.parametrize(
    ('page', 'serial'),
    [
        (b'', ''),
        (b'\0\x80\0\0', ''),
        (array.page(0x80, b'  abc  '), 'abc'),
        (array.page(0x80, b'abc\0\0'), 'abc'),
        (array.page(0x80, b'    '), ''),
    ],
)
def test_serials(page: bytes, serial: str) -> None:
    assert vpd.identity(page, b'').serial == serial


@given(st.binary(max_size=300), st.binary(max_size=300), st.text(max_size=24))
def test_any_bytes_are_some_identity(page80: bytes, page83: bytes, inquiry: str) -> None:
    found = vpd.identity(page80, page83, inquiry)
    assert found == vpd.identity(page80, page83, inquiry)
    assert not set(found.wwid) & set(' \t\n\r')
    assert str(found)


@pytest.mark.parametrize(
    ('name', 'match'),
    [
        ('3' + NAA6.hex(), 'SAME'),
        ('3' + NAA6.hex().upper(), 'SAME'),
        ('2' + EUI.hex(), 'SAME'),
        ('3' + NAA6[:-1].hex() + '00', 'ANOTHER'),
        ('2' + NAA6.hex(), 'ANOTHER'),
        ('3' + NAA5.hex(), 'ANOTHER'),
        # What earlier releases have kept: the name of any link, or what scsi_id prints.
        ('1LIO-ORG_a:b_c', 'SAME'),
        ('1LIO-ORG  a:b c', 'SAME'),
        ('SLIO-ORG_gold_s-1', 'SAME'),
        ('SLIO-ORG gold            s-1', 'SAME'),
        ('0LIO-ORG_gold_own', 'SAME'),
        ('0LIO-ORG gold            own', 'SAME'),
        # What multipathd may take from anywhere, and what is nothing at all.
        ('mpatha', 'UNKNOWN'),
        ('1ACME_x', 'UNKNOWN'),
        ('SLIO-ORG_silver_s-2', 'UNKNOWN'),
        ('3333333000000bb8', 'UNKNOWN'),
        ('', 'UNKNOWN'),
    ],
)
def test_whose_wwid_it_is(name: str, match: str) -> None:
    texts = [array.designator(1, 2, b'LIO-ORG a:b c\0'), array.designator(0, 2, b'own')]
    unit = vpd.identity(page80(b's-1'), page83(naa(NAA6), EUI_NAME, *texts), WHO)
    assert unit.compare_wwid(name) is vpd.Match[match]
    assert unit.contradicts(name) is (match == 'ANOTHER')
    assert not vpd.identity(b'', b'').contradicts(name)


def test_wwids_of_a_unit_without_a_registered_name() -> None:
    unit = vpd.identity(page80(b's-1'), page83(T10), WHO)
    assert unit.compare_wwid('1LIO-ORG     gold') is vpd.Match.SAME
    assert unit.compare_wwid('1LIO-ORG_silver') is vpd.Match.ANOTHER
    assert unit.compare_wwid('8iqn.x') is vpd.Match.UNKNOWN
    assert unit.compare_wwid('3' + NAA6.hex()) is vpd.Match.UNKNOWN
    # A map keeps the name that its volume had when it was built.
    assert not unit.contradicts('1LIO-ORG_silver')


@pytest.mark.parametrize(
    ('text', 'spelled'),
    [
        ('1NETAPP LUN 81LgM$V4waSp', '1NETAPP_LUN_81LgM_V4waSp'),
        ('a/b(c)!d"e\\f', 'a_b_c__d_e_f'),
        ('é江#+-.:=@_', 'é江#+-.:=@_'),
        ('  a \t\n b  ', 'a_b'),
        ('a\0b\x7f', 'a_b_'),
        ('a\udcff', 'a_'),
    ],
)
def test_udevs_spelling(text: str, spelled: str) -> None:
    assert vpd.udev_text(text) == spelled


@given(st.binary(min_size=1, max_size=60))
def test_whatever_an_array_puts_into_a_name_is_spelled_with_safe_characters(name: bytes) -> None:
    found = wwid(array.designator(1, 2, name))
    assert not set(found) & set(' \t\n\r\0/\\"\'$%')
    assert found.encode()
    assert vpd.identity(b'', page83(array.designator(1, 2, name))).compare_wwid(found) in (
        vpd.Match.SAME,
        *(() if found.strip('_') else (vpd.Match.UNKNOWN,)),
    )


NAMES = st.builds(
    array.designator,
    st.integers(0, 9),
    st.integers(1, 3),
    st.binary(max_size=40),
    st.integers(0, 2),
)


@given(st.lists(NAMES, max_size=8), st.data())
def test_a_page_cut_off_anywhere_is_read_as_far_as_it_goes(
    names: list[bytes], data: st.DataObject
) -> None:
    whole = page83(*names)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    full, part = vpd.identity(b'', whole), vpd.identity(b'', cut)
    assert part.names <= full.names


@given(
    st.permutations(
        [
            array.designator(3, 1, NAA6),
            array.designator(2, 1, EUI),
            array.designator(1, 2, b'ACME x'),
            array.designator(5, 1, bytes(4), 1),
        ]
    )
)
def test_the_order_does_not_matter(names: list[bytes]) -> None:
    found = vpd.identity(b'', page83(*names))
    assert found.wwid == '3' + NAA6.hex()
    assert len(found.names) == 3
