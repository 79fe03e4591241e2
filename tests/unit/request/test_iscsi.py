# SPDX-License-Identifier: Apache-2.0
"""Connection properties: read once, named when wrong, never changed, and no secret shown."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick import exception
from os_brick.core import trace
from os_brick.model import addresses
from os_brick.request import iscsi

IQN = 'iqn.2026-11.org.lab:t1'
SINGULAR = {'target_portal': '10.0.0.1:3260', 'target_iqn': IQN, 'target_lun': 1}
PLURAL = {
    **SINGULAR,
    'target_portals': ['10.0.0.1:3260', '10.0.0.2:3260'],
    'target_iqns': [IQN, IQN],
    'target_luns': [1, 1],
}
CHAP = {'auth_method': 'CHAP', 'auth_username': 'user-7f3a', 'auth_password': 'secret-91b2'}
DISCOVERY = {
    'discovery_auth_method': 'CHAP',
    'discovery_auth_username': 'user-55aa',
    'discovery_auth_password': 'secret-66bb',
}
SECRETS = ('user-7f3a', 'secret-91b2', 'user-55aa', 'secret-66bb')

IscsiRequest = iscsi.IscsiRequest


def target(portal: str, lun: int = 1, name: str = IQN) -> iscsi.IscsiPath:
    return iscsi.IscsiPath(addresses.Portal.parse(portal), name, lun)


@pytest.mark.parametrize(
    ('raw', 'targets', 'explicit'),
    [
        (SINGULAR, ['10.0.0.1:3260'], False),
        (PLURAL, ['10.0.0.1:3260', '10.0.0.2:3260'], True),
        ({**SINGULAR, 'target_lun': '1'}, ['10.0.0.1:3260'], False),
        ({**PLURAL, 'target_luns': ['1', '1']}, ['10.0.0.1:3260', '10.0.0.2:3260'], True),
        # One LUN for all.
        (
            {k: v for k, v in PLURAL.items() if k != 'target_luns'},
            ['10.0.0.1:3260', '10.0.0.2:3260'],
            True,
        ),
        # The order is the caller's.
        (
            {**PLURAL, 'target_portals': ['10.0.0.2:3260', '10.0.0.1:3260']},
            ['10.0.0.2:3260', '10.0.0.1:3260'],
            True,
        ),
        # The same portal in two spellings is one path.
        (
            {**PLURAL, 'target_portals': ['[fe80::1]:3260', '[FE80:0:0:0:0:0:0:1]:3260']},
            ['[fe80::1]:3260'],
            True,
        ),
        # An empty list is none.
        ({**SINGULAR, 'target_portals': [], 'target_iqns': []}, ['10.0.0.1:3260'], False),
        ({**SINGULAR, 'target_portals': ['10.0.0.9:3260']}, ['10.0.0.1:3260'], False),
        # Tuples, as privsep and JSON libraries make them.
        (
            {**PLURAL, 'target_portals': ('10.0.0.1:3260', '10.0.0.2:3260')},
            ['10.0.0.1:3260', '10.0.0.2:3260'],
            True,
        ),
    ],
)
def test_targets(raw: dict[str, Any], targets: list[str], explicit: bool) -> None:
    request = IscsiRequest.parse(raw)
    assert request.paths == tuple(target(portal) for portal in targets)
    assert request.explicit is explicit


def test_luns_are_translated_on_every_path() -> None:
    raw = {**PLURAL, 'target_luns': [1, 300], 'addressing_mode': 'SAM2'}
    assert [path.lun for path in IscsiRequest.parse(raw).paths] == [1, 0x412C]
    single = {**SINGULAR, 'target_lun': 300, 'addressing_mode': 'SAM3-flat'}
    assert [path.lun for path in IscsiRequest.parse(single).paths] == [0x412C]


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        ({'target_portal': None}, 'target_portal'),
        ({'target_portal': ''}, 'target_portal'),
        ({'target_portal': '10.0.0.1:0'}, 'target_portal'),
        ({'target_portal': 3260}, 'target_portal'),
        ({'target_portal': '-p'}, 'target_portal'),
        ({'target_iqn': None}, 'target_iqn'),
        ({'target_iqn': 'sda'}, 'target_iqn'),
        ({'target_iqn': '../../etc'}, 'target_iqn'),
        ({'target_iqn': 'iqn.a/../b'}, 'target_iqn'),
        ({'target_iqn': f'{IQN}\nnode.startup = automatic'}, 'target_iqn'),
        ({'target_iqn': 7}, 'target_iqn'),
        ({'target_lun': 'one'}, 'target_lun'),
        ({'target_lun': -1}, 'target_lun'),
        ({'target_lun': True}, 'target_lun'),
        ({'target_lun': [1]}, 'target_lun'),
        ({'addressing_mode': 'SAM9'}, 'addressing_mode'),
        ({'auth_method': 'KRB5'}, 'auth_method'),
        ({'auth_method': 'CHAP'}, 'auth_username'),
        ({'auth_method': 'CHAP', 'auth_username': 'u'}, 'auth_password'),
        ({'auth_method': 'CHAP', 'auth_username': 'u', 'auth_password': 7}, 'auth_password'),
        ({'discovery_auth_method': 'CHAP'}, 'discovery_auth_username'),
        ({'scsi_wwn': 'a\0b'}, 'scsi_wwn'),
        ({'expected_wwid': 7}, 'expected_wwid'),
    ],
)
def test_a_bad_key_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(exception.InvalidParameterValue) as caught:
        IscsiRequest.parse({**SINGULAR, **change})
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        ({'target_portals': ['10.0.0.1:3260']}, 'target_iqns'),
        ({'target_luns': [1]}, 'target_luns'),
        ({'target_portals': '10.0.0.1:3260'}, 'target_portals'),
        ({'target_portals': ['10.0.0.1:3260', 'a b']}, 'target_portals'),
        ({'target_iqns': [IQN, 'x']}, 'target_iqns'),
        ({'target_luns': [1, 'x']}, 'target_luns'),
        ({'target_luns': None, 'target_lun': None}, 'target_lun'),
        ({'target_luns': 1}, 'target_luns'),
        ({'target_iqns': {IQN}}, 'target_iqns'),
    ],
)
def test_a_bad_list_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(exception.InvalidParameterValue) as caught:
        IscsiRequest.parse({**PLURAL, **change})
    assert named in str(caught.value)


@pytest.mark.parametrize('raw', [None, [], 'x', 7])
def test_properties_are_a_dictionary(raw: object) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='dictionary'):
        IscsiRequest.parse(raw)


@pytest.mark.parametrize('method', [None, '', 'None', 'none', 'NONE'])
def test_no_chap(method: str | None) -> None:
    assert IscsiRequest.parse({**SINGULAR, **CHAP, 'auth_method': method}).chap is None


def test_secrets_do_not_show() -> None:
    request = IscsiRequest.parse({**SINGULAR, **CHAP, **DISCOVERY})
    assert request.chap == iscsi.Chap('CHAP', 'user-7f3a', 'secret-91b2')
    assert request.discovery_chap == iscsi.Chap('CHAP', 'user-55aa', 'secret-66bb')
    shown = (
        repr(request)
        + str(request)
        + str(trace.masked(request))
        + f'{request.chap}{request.chap!r}'
    )
    assert not [secret for secret in SECRETS if secret in shown]


KEYS = [
    *PLURAL,
    *CHAP,
    *DISCOVERY,
    'addressing_mode',
    'scsi_wwn',
    'expected_wwid',
    'encrypted',
    'enforce_multipath',
    'device_path',
    'volume_id',
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.sampled_from(['10.0.0.1', '10.0.0.1:3260', '[::1]:1', IQN, 'CHAP', 'SAM2', *SECRETS]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES), st.none() | st.just({}) | VALUES)
def test_any_dictionary_is_read_or_refused_and_stays_as_it_is(
    raw: dict[str, Any], device_info: Any
) -> None:
    raw = {**PLURAL, **CHAP, **raw}
    before = copy.deepcopy(raw)
    error = ''
    try:
        request = IscsiRequest.parse(raw, device_info)
    except exception.InvalidParameterValue as refusal:
        error = str(refusal)
    assert raw == before
    if not error:
        assert request.paths
        assert len(set(request.paths)) == len(request.paths)
        assert request.key == IscsiRequest.parse(raw, device_info).key
        return
    assert [key for key in KEYS if key in error], error
    others = {name: value for name, value in raw.items() if name != 'auth_password'}
    assert 'secret-91b2' not in error or 'secret-91b2' in str(others)


@given(st.permutations([0, 1, 2, 3]))
def test_the_lock_is_the_same_whatever_the_order(order: list[int]) -> None:
    portals = [f'10.0.0.{number}:3260' for number in range(1, 5)]
    names = [f'iqn.2026-11.org.lab:t{number}' for number in range(4)]
    raw = {
        'target_portals': [portals[n] for n in order],
        'target_iqns': [names[n] for n in order],
        'target_luns': [[7, 8, 9, 10][n] for n in order],
    }
    assert IscsiRequest.parse(raw).key == 'iscsi iqn.2026-11.org.lab:t0 7'


def test_the_lock_of_one_portal_and_of_all_is_the_same() -> None:
    """A volume may be attached with one form of properties and detached with the other."""
    assert IscsiRequest.parse(SINGULAR).key == IscsiRequest.parse(PLURAL).key


@pytest.mark.parametrize(
    ('raw', 'info', 'wwid', 'path'),
    [
        ({}, None, None, None),
        ({}, {}, None, None),
        ({}, {'path': '/dev/sda', 'scsi_wwn': '36001'}, '36001', '/dev/sda'),
        ({}, {'path': b'/dev/sda'}, None, '/dev/sda'),
        ({'device_path': '/dev/sdb'}, None, None, '/dev/sdb'),
        ({'device_path': '/dev/sdb'}, {'path': '/dev/sda'}, None, '/dev/sda'),
        ({'scsi_wwn': '36002'}, {'scsi_wwn': '36001'}, '36002', None),
        ({'expected_wwid': '36003', 'scsi_wwn': '36002'}, None, '36003', None),
    ],
)
def test_what_device_info_adds(
    raw: dict[str, Any], info: dict[str, Any] | None, wwid: str | None, path: str | None
) -> None:
    request = IscsiRequest.parse({**SINGULAR, **raw}, info)
    assert (request.expected_wwid, request.device_path) == (wwid, path)
