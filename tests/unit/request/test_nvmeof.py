# SPDX-License-Identifier: Apache-2.0
"""The four shapes of connection properties of NVMe volumes."""

import copy
import json
from typing import Any

import pytest

from os_brick import exception
from os_brick.model import fabrics, nvme_psk
from os_brick.request import nvmeof

NQN = 'nqn.2026-11.org.lab:t1'
UUID = '12345678-90ab-cdef-1234-567890abcdef'
PORTAL = fabrics.NvmePortal('tcp', '10.0.0.1', '4420')
OLD = {
    'nqn': NQN,
    'target_portal': '10.0.0.1',
    'target_port': 4420,
    'transport_type': 'tcp',
}
NEW = {'target_nqn': NQN, 'portals': [('10.0.0.1', '4420', 'tcp')]}
REPLICA = {**NEW, 'vol_uuid': UUID}
PSK = 'NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:'
SECRET = 'DHHC-1:00:' + 'ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:'


@pytest.mark.parametrize(
    ('raw', 'identity'),
    [
        (OLD, {}),
        ({**OLD, 'ns_id': '7'}, {'nsid': 7}),
        ({**NEW, 'ns_id': 7, 'vol_uuid': None}, {'nsid': 7}),
        ({**NEW, 'vol_uuid': UUID.upper()}, {'uuid': UUID}),
        ({**NEW, 'vol_uuid': '', 'volume_nguid': UUID.replace('-', '')}, {'nguid': UUID}),
        ({**NEW, 'volume_nguid': '0002c90300010203'}, {'eui64': '0002c90300010203'}),
        ({**NEW, 'eui64': 'eui.0002C90300010203'}, {'eui64': '0002c90300010203'}),
        ({**NEW, 'find_controllers': True, 'volume_uuid': 'x'}, {}),
    ],
)
def test_one_namespace(raw: dict[str, Any], identity: dict[str, Any]) -> None:
    before = copy.deepcopy(raw)
    for shape in (raw, json.loads(json.dumps(raw))):
        props = nvmeof.NvmeRequest.parse(shape)
        (target,) = props.namespaces
        assert (target.nqn, target.portals) == (NQN, (PORTAL,))
        assert target.identity == fabrics.NamespaceIdentity(**identity)
        assert props.replication is nvmeof.Replication.NONE
    assert raw == before


@pytest.mark.parametrize(
    ('count', 'members', 'kind'),
    [
        (2, 2, nvmeof.Replication.ARRAY),
        # The number that is wanted decides, not the number of members that are known.
        (2, 1, nvmeof.Replication.ARRAY),
        (0, 2, nvmeof.Replication.ARRAY),
        ('2', 2, nvmeof.Replication.ARRAY),
        (1, 1, nvmeof.Replication.PERHAPS),
    ],
)
def test_replicas(count: Any, members: int, kind: nvmeof.Replication) -> None:
    props = nvmeof.NvmeRequest.parse(
        {
            'vol_uuid': UUID,
            'volume_replicas': [REPLICA] * members,
            'replica_count': count,
            'alias': 'gold',
            'host_nqn': 'nqn.2026-11.org.lab:me',
        }
    )
    assert (props.replication, props.alias, len(props.namespaces)) == (kind, 'gold', members)
    assert {namespace.host_nqn for namespace in props.namespaces} == {'nqn.2026-11.org.lab:me'}
    assert props.key == f'nvme volume {UUID}'


@pytest.mark.parametrize(
    ('count', 'members', 'wanted'), [(2, 2, 2), (2, 1, 2), (0, 3, 3), (2, 3, 3), (3, 2, 3)]
)
def test_a_new_array_needs_all_replicas_that_are_named(
    count: int, members: int, wanted: int
) -> None:
    """Two blank ones of three would become an empty volume, while the third has its data."""
    props = {'vol_uuid': UUID, 'volume_replicas': [REPLICA] * members, 'replica_count': count}
    assert nvmeof.NvmeRequest.parse(props).replica_count == wanted


@pytest.mark.parametrize(
    ('raw', 'key'),
    [
        ({}, 'nqn'),
        ({**OLD, 'nqn': 'a,hostnqn=b'}, 'nqn'),
        ({key: value for key, value in OLD.items() if key != 'target_port'}, 'target_port'),
        ({**OLD, 'transport_type': 'pigeon'}, 'transport_type'),
        ({**OLD, 'target_port': 'http'}, 'target_port'),
        ({**OLD, 'target_portal': 'a b'}, 'target_portal'),
        ({**OLD, 'host_iface': 'eth0,nqn=x'}, 'host_iface'),
        ({**OLD, 'host_traddr': 'a b'}, 'host_traddr'),
        ({**NEW, 'host_iface': 'eth 0'}, 'host_iface'),
        ({**NEW, 'host_traddr': ['a b']}, 'host_traddr'),
        ({**NEW, 'portals': [('10.0.0.1', '4420', 'tcp', 'a b')]}, 'portals'),
        ({'target_nqn': NQN}, 'portals'),
        ({**NEW, 'portals': '10.0.0.1'}, 'portals'),
        ({**NEW, 'portals': [('10.0.0.1', '4420')]}, 'portals'),
        ({**NEW, 'vol_uuid': 'nonsense'}, 'vol_uuid'),
        ({**NEW, 'vol_uuid': []}, 'vol_uuid'),
        ({**NEW, 'vol_uuid': '0' * 32}, 'vol_uuid'),
        ({**NEW, 'volume_nguid': '0' * 32}, 'volume_nguid'),
        ({**NEW, 'volume_nguid': 'nonsense'}, 'volume_nguid'),
        ({**NEW, 'ns_id': True}, 'ns_id'),
        ({**NEW, 'ns_id': 0}, 'ns_id'),
        ({**NEW, 'ns_id': 2**32}, 'ns_id'),
        ({**NEW, 'host_nqn': 'nqn.2026-11.a:b,c'}, 'host_nqn'),
        ({**NEW, 'host_traddr': ['10.0.0.2', '10.0.0.3'][:0] or []}, 'host_traddr'),
        ({**NEW, 'dhchap_secret': 'geheim'}, 'dhchap_secret'),
        ({**NEW, 'dhchap_ctrl_secret': SECRET}, 'dhchap_secret'),
        ({**NEW, 'tls_psk': 'geheim'}, 'tls_psk'),
        ({**NEW, 'tls_psk': 7}, 'tls_psk'),
        ({**NEW, 'portals': [('10.0.0.1', '4420', 'rdma')], 'tls_psk': PSK}, 'tls_psk'),
        ({'volume_replicas': [], 'vol_uuid': UUID, 'replica_count': 2}, 'volume_replicas'),
        ({'volume_replicas': [REPLICA], 'vol_uuid': UUID}, 'replica_count'),
        ({'volume_replicas': [REPLICA], 'replica_count': 1}, 'vol_uuid'),
        ({'volume_replicas': ['x'], 'vol_uuid': UUID, 'replica_count': 1}, 'volume_replicas'),
    ],
)
def test_what_is_wrong_is_named(raw: dict[str, Any], key: str) -> None:
    with pytest.raises(exception.BrickException) as caught:
        nvmeof.NvmeRequest.parse(raw)
    assert key in str(caught.value)
    assert 'geheim' not in str(caught.value)


def test_a_secret_does_not_show() -> None:
    props = nvmeof.NvmeRequest.parse({**NEW, 'dhchap_secret': SECRET, 'dhchap_ctrl_secret': SECRET})
    assert props.namespaces[0].dhchap == nvmeof.Dhchap(SECRET, SECRET)
    assert SECRET not in repr(props)


def test_a_key_for_tls_is_that_of_every_member_without_one() -> None:
    raw = {'vol_uuid': UUID, 'volume_replicas': [REPLICA, REPLICA], 'replica_count': 2}
    props = nvmeof.NvmeRequest.parse({**raw, 'alias': 'gold', 'tls_psk': PSK})
    assert [namespace.psk for namespace in props.namespaces] == [nvme_psk.Psk.parse(PSK)] * 2
    assert PSK[20:40] not in repr(props)


def test_own_addresses_of_several_portals() -> None:
    two = [('10.0.0.1', 4420, 'tcp'), ('10.0.1.1', 4420, 'tcp', '10.0.1.9')]
    props = nvmeof.NvmeRequest.parse(
        {**NEW, 'portals': two, 'host_traddr': ['10.0.0.9', '10.0.9.9']}
    )
    assert [portal.host_address for portal in props.namespaces[0].portals] == [
        '10.0.0.9',
        '10.0.1.9',
    ]
