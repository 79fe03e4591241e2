# SPDX-License-Identifier: Apache-2.0
"""Connection properties of Fibre Channel: every spelling that is about, read into one."""

import contextlib
import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick import exception
from os_brick.request import fibre_channel as fc

A, B = '500a098000000001', '500a098000000002'
OWN, OTHER = '2100000000000001', '2100000000000002'
FcRequest, Target = fc.FcRequest, fc.TargetPort


def pairs(*found: tuple[str, int]) -> tuple[fc.TargetPort, ...]:
    return tuple(Target(*pair) for pair in found)


@pytest.mark.parametrize(
    ('raw', 'expected'),
    [
        ({'target_wwn': A}, pairs((A, 0))),
        ({'target_wwn': A.upper(), 'target_lun': 3}, pairs((A, 3))),
        ({'target_wwn': f'0x{A}', 'target_lun': '3'}, pairs((A, 3))),
        ({'target_wwn': '50:0A:09:80:00:00:00:01', 'target_lun': 3}, pairs((A, 3))),
        ({'target_wwn': [A, B], 'target_lun': 3}, pairs((A, 3), (B, 3))),
        ({'target_wwn': (B, A), 'target_luns': [1, '2']}, pairs((B, 1), (A, 2))),
        # The plural keys win.
        ({'target_wwn': B, 'target_wwns': [A], 'target_lun': 9}, pairs((A, 9))),
        ({'target_wwn': [A], 'target_lun': 9, 'target_luns': [4]}, pairs((A, 4))),
        ({'target_wwn': [A, B], 'target_luns': [4]}, pairs((A, 4), (B, 4))),
        # Empty plural keys do not count, and what is named twice is one port.
        ({'target_wwn': [A, A.upper()], 'target_wwns': [], 'target_luns': []}, pairs((A, 0))),
        # What an earlier release left in the caller's dictionary.
        ({'targets': [[A, 1], (B, '2')]}, pairs((A, 1), (B, 2))),
        ({'target_wwn': [A], 'target_lun': 1, 'targets': [[B, 2]]}, pairs((A, 1))),
        # Addressing.
        ({'target_wwn': A, 'target_lun': 300, 'addressing_mode': 'SAM2'}, pairs((A, 16684))),
        ({'target_wwn': A, 'target_lun': 3, 'addressing_mode': 'SAM3-flat'}, pairs((A, 16387))),
        ({'targets': [[A, 300]], 'addressing_mode': 'SAM2'}, pairs((A, 16684))),
    ],
)
def test_targets(raw: dict[str, Any], expected: tuple[fc.TargetPort, ...]) -> None:
    before = copy.deepcopy(raw)
    found = FcRequest.parse(raw)
    assert found.target_ports == expected
    assert found.by_initiator is None
    assert found.reached_from(OWN) == expected
    assert raw == before


@pytest.mark.parametrize(
    ('more', 'expected'),
    [
        ({'initiator_target_map': None}, None),
        ({'initiator_target_map': {}}, None),
        ({'initiator_target_map': {OWN.upper(): [A.upper()]}}, {OWN: pairs((A, 1))}),
        (
            {'initiator_target_map': {OWN: A, OTHER: [B, A]}},
            {OWN: pairs((A, 1)), OTHER: pairs((A, 1), (B, 1))},
        ),
        # The map may be of the whole fabric.
        ({'initiator_target_map': {OWN: ['500a0980ffffffff']}}, {OWN: ()}),
        ({'initiator_target_lun_map': {OWN: [[A, 7]]}}, {OWN: pairs((A, 7))}),
        (
            {'initiator_target_lun_map': {OWN: [[A, 300]]}, 'addressing_mode': 'SAM2'},
            {OWN: pairs((A, 16684))},
        ),
        (
            {'initiator_target_map': {OWN: [A]}, 'initiator_target_lun_map': {OWN: [[B, 7]]}},
            {OWN: pairs((A, 1))},
        ),
    ],
)
def test_which_initiator_uses_which_target(more: dict[str, Any], expected: Any) -> None:
    found = FcRequest.parse({'target_wwn': [A, B], 'target_lun': 1, **more})
    assert found.by_initiator == expected
    assert found.reached_from('2100000000000099') == (() if expected else found.target_ports)


@pytest.mark.parametrize(
    ('raw', 'key'),
    [
        ({}, 'target_wwn'),
        ({'target_wwn': ''}, 'target_wwn'),
        ({'target_wwn': []}, 'target_wwn'),
        ({'target_wwn': 'a; rm -rf /'}, 'target_wwn'),
        ({'target_wwn': [A[:-1]]}, 'target_wwn'),
        ({'target_wwn': [17]}, 'target_wwn'),
        ({'target_wwns': [A, None]}, 'target_wwns'),
        ({'target_wwn': A, 'target_lun': -1}, 'target_lun'),
        ({'target_wwn': A, 'target_lun': 'one'}, 'target_lun'),
        ({'target_wwn': A, 'target_luns': [1, 2]}, 'target_luns'),
        ({'target_wwn': [A, B, A], 'target_luns': [1, 2]}, 'target_luns'),
        ({'target_wwn': A, 'addressing_mode': 'SAM9'}, 'addressing_mode'),
        ({'targets': [[A]]}, 'targets'),
        ({'targets': [[A, 'x']]}, 'targets'),
        ({'targets': A}, 'targets'),
        ({'target_wwn': A, 'initiator_target_map': [OWN]}, 'initiator_target_map'),
        ({'target_wwn': A, 'initiator_target_map': {'x': [A]}}, 'initiator_target_map'),
        ({'target_wwn': A, 'initiator_target_map': {OWN: ['x']}}, 'initiator_target_map'),
        ({'target_wwn': A, 'initiator_target_lun_map': {OWN: [A]}}, 'initiator_target_lun_map'),
        ({'target_wwn': A, 'expected_wwid': 'a\nb'}, 'expected_wwid'),
        ({'target_wwn': A, 'device_path': '/dev/\0'}, 'device_path'),
        ({'target_wwn': A, 'encrypted': 'maybe'}, 'encrypted'),
    ],
)
def test_a_wrong_key_is_named(raw: dict[str, Any], key: str) -> None:
    with pytest.raises(exception.InvalidParameterValue, match=key):
        FcRequest.parse(raw)


@pytest.mark.parametrize('raw', [None, 'text', [A]])
def test_something_else_than_properties(raw: object) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='dictionary'):
        FcRequest.parse(raw)


@pytest.mark.parametrize(
    ('value', 'meaning'),
    [(True, True), (False, False), (None, False), ('True', True), ('False', False), ('0', False)],
)
def test_a_flag_as_text_says_what_it_means(value: object, meaning: bool) -> None:
    """Cinder sends JSON, and some drivers put what a database or a command line gave them."""
    keys = ('encrypted', 'enforce_multipath', 'enable_wildcard_scan')
    request = FcRequest.parse({'target_wwn': A, **dict.fromkeys(keys, value)})
    found = (request.encrypted, request.enforce_multipath, request.may_scan_widely)
    assert found == (meaning,) * 3


def test_the_rest() -> None:
    plain = FcRequest.parse({'target_wwn': A})
    assert (plain.encrypted, plain.enforce_multipath, plain.is_read_only) == (False,) * 3
    assert plain.may_scan_widely
    assert plain.expected_wwid is None
    raw = {
        'target_wwn': A,
        'encrypted': True,
        'enforce_multipath': True,
        'access_mode': 'ro',
        'enable_wildcard_scan': False,
        'device_path': '/dev/dm-1',
    }
    full = FcRequest.parse(raw, {'path': b'/dev/dm-2', 'multipath_id': '3600a'})
    assert (full.encrypted, full.enforce_multipath, full.is_read_only) == (True,) * 3
    assert not full.may_scan_widely
    assert (full.device_path, full.expected_wwid) == ('/dev/dm-2', '3600a')
    assert FcRequest.parse(raw).device_path == '/dev/dm-1'


def test_the_lock_does_not_depend_on_order_or_spelling() -> None:
    one = FcRequest.parse({'target_wwn': [A, B], 'target_lun': 1})
    other = FcRequest.parse({'target_wwns': [f'0x{B}', A.upper()], 'target_luns': ['1', 1]})
    assert one.key == other.key
    assert one.key != FcRequest.parse({'target_wwn': [A, B], 'target_lun': 2}).key


@given(st.integers(0, 2**64 - 1), st.booleans(), st.booleans())
def test_every_name_in_every_spelling(number: int, upper: bool, colons: bool) -> None:
    digits = f'{number:016x}'
    text = ':'.join(digits[n : n + 2] for n in range(0, 16, 2)) if colons else f'0x{digits}'
    assert fc.name(text.upper() if upper else text) == digits


@given(st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x, max_size=3)))
def test_anything_else_is_refused_and_nothing_else_raised(value: Any) -> None:
    for key in ('target_wwn', 'target_wwns', 'targets', 'initiator_target_map', 'target_luns'):
        with contextlib.suppress(exception.InvalidParameterValue):
            FcRequest.parse({'target_wwn': A, key: value})


@pytest.mark.parametrize(
    ('said', 'wwid'),
    [
        ('3600A0980ABCDEF0123456789ABCDEF01', '3600a0980abcdef0123456789abcdef01'),
        ('2001B4D2A3F00E5C1', '2001b4d2a3f00e5c1'),
        # A text of the vendor's is one in its own spelling.
        ('SLIO-ORG_gold_ABC', 'SLIO-ORG_gold_ABC'),
    ],
)
def test_a_wwid_in_udevs_spelling(said: str, wwid: str) -> None:
    assert fc.FcRequest.parse({'target_wwn': A, 'scsi_wwn': said}).expected_wwid == wwid
    info = {'scsi_wwn': said}
    assert fc.FcRequest.parse({'target_wwn': A}, info).expected_wwid == wwid


@pytest.mark.parametrize('nothing', [None, '', [], {}, False, True, 'x', 1.5])
def test_a_lun_that_is_none_is_not_lun_0(nothing: Any) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='target_lun'):
        fc.FcRequest.parse({'target_wwn': A, 'target_lun': nothing})
    assert fc.FcRequest.parse({'target_wwn': A}).target_ports[0].lun == 0


def test_a_text_is_no_list_of_luns() -> None:
    with pytest.raises(exception.InvalidParameterValue, match='target_luns'):
        fc.FcRequest.parse({'target_wwns': [A, A[:-1] + '9'], 'target_luns': '11'})
