# SPDX-License-Identifier: Apache-2.0
"""Who a logical unit says it is: recorded pages, made-up ones, and any bytes."""

import json
import pathlib
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
        ([array.designator(3, 1, NAA3), array.designator(1, 2, b'ACME x')], '1ACME_x'),
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
    assert vpd.identity(one[0x80], one[0x83]) != vpd.identity(two[0x80], two[0x83])


def test_the_same_name_with_another_serial_is_another_unit() -> None:
    pages = array.Unit().pages()
    other = array.page(0x80, b'other')
    assert vpd.identity(pages[0x80], pages[0x83]) != vpd.identity(other, pages[0x83])


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
    ('name', 'denied'),
    [
        ('3' + NAA6.hex(), False),
        ('2' + EUI.hex(), False),
        ('3' + NAA6[:-1].hex() + '00', True),
        ('2' + NAA6.hex(), True),
        ('3' + NAA5.hex(), True),
        # What multipathd may take from anywhere, and what is nothing at all.
        ('mpatha', False),
        ('1ACME_x', False),
        ('SLIO-ORG_gold', False),
        ('', False),
    ],
)
def test_whose_name_it_is_not(name: str, denied: bool) -> None:
    names = [array.designator(3, 1, NAA6), array.designator(2, 1, EUI)]
    assert vpd.identity(b'', page83(*names)).denies(name) is denied
    assert not vpd.identity(b'', b'').denies(name)
    assert not vpd.identity(b'', page83(array.designator(1, 2, b'ACME x'))).denies(name)


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
    assert part.designators <= full.designators


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
    assert len(found.designators) == 3
