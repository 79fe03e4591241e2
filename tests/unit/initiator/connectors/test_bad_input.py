# SPDX-License-Identifier: Apache-2.0
"""Connection properties with something wrong in them, for each protocol that attaches.

Whatever is wrong is an error that names the key, in a few words and without a secret, before
anything is done; and the caller's dictionary stays as it is.
"""

from collections.abc import Callable, Iterator
import contextlib
import copy
import pathlib
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import process
from os_brick.initiator.connectors import (
    fibre_channel,
    gpfs,
    huawei,
    iscsi,
    local,
    nvmeof,
    rbd,
)
from os_brick.request import fibre_channel as request_fc
from os_brick.request import iscsi as request_iscsi
from os_brick.request import nvmeof as request_nvmeof
from os_brick.request import rbd as request_rbd
from tests.unit import seams
from tests.unit.fakehost import nvme

SECRET = 'geheim-4711'
IQN = 'iqn.2026-11.org.lab:t1'
NQN = 'nqn.2026-11.org.lab:t1'
UUID = '12345678-90ab-cdef-1234-567890abcdef'
REPLICA = {'target_nqn': NQN, 'portals': [['10.0.0.1', '4420', 'tcp']], 'vol_uuid': UUID}
COMMON = {'device_path': '/dev/sda', 'encrypted': False, 'enforce_multipath': False}

BASES: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    'iscsi': (
        iscsi.ISCSIConnector,
        [
            {
                **COMMON,
                'target_portal': '10.0.0.1:3260',
                'target_iqn': IQN,
                'target_lun': 1,
                'auth_method': 'CHAP',
                'auth_username': 'me',
                'auth_password': SECRET,
                'scsi_wwn': '36001405e07e81c20cf5935f5225765f0',
                'addressing_mode': 'SAM2',
            },
            {
                'target_portals': ['10.0.0.1:3260', '10.0.0.2:3260'],
                'target_iqns': [IQN, IQN],
                'target_luns': [1, 1],
                'expected_wwid': '36001405e07e81c20cf5935f5225765f0',
                'discovery_auth_method': 'CHAP',
                'discovery_auth_username': 'me',
                'discovery_auth_password': SECRET,
            },
        ],
    ),
    'fc': (
        fibre_channel.FibreChannelConnector,
        [
            {
                **COMMON,
                'target_wwn': ['500a0981891b8dc5', '500a0981891b8dc6'],
                'target_lun': 1,
                'initiator_target_map': {'21000024ff0b2c3d': ['500a0981891b8dc5']},
                'scsi_wwn': '36001405e07e81c20cf5935f5225765f0',
                'addressing_mode': 'SAM2',
            },
            {
                'target_wwns': ['500a0981891b8dc5'],
                'target_luns': [1],
                'initiator_target_lun_map': {'21000024ff0b2c3d': [['500a0981891b8dc5', 1]]},
            },
            {'targets': [['500a0981891b8dc5', 1]]},
        ],
    ),
    'nvme': (
        nvmeof.NVMeOFConnector,
        [
            {
                **COMMON,
                'nqn': NQN,
                'target_portal': '10.0.0.1',
                'target_port': 4420,
                'transport_type': 'tcp',
                'ns_id': 1,
                'host_nqn': NQN,
                'host_iface': 'eth0',
                'dhchap_secret': 'DHHC-1:00:' + 'A' * 48 + ':',
            },
            {
                **REPLICA,
                'volume_nguid': UUID,
                'eui64': '0002c90300010203',
                'tls_psk': 'NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:',
            },
            {
                'vol_uuid': UUID,
                'volume_replicas': [REPLICA, REPLICA],
                'replica_count': 2,
                'alias': 'gold',
            },
        ],
    ),
    'rbd': (
        rbd.RBDConnector,
        [
            {
                'device_path': '/dev/rbd0',
                'encrypted': False,
                'name': 'volumes/volume-1',
                'hosts': ['10.0.0.1'],
                'ports': ['6789'],
                'cluster_name': 'ceph',
                'auth_username': 'cinder',
                'keyring': '[client.cinder]\nkey = AQAAAAAAAAAAABAAZ2VoZWltIDQ3MTEgaGVyZQ==\n',
                'do_local_attach': True,
            },
        ],
    ),
    'local': (local.LocalConnector, [{'device_path': '/dev/vg/lv'}]),
    'gpfs': (gpfs.GPFSConnector, [{'device_path': '/gpfs/volume-1'}]),
    'huawei': (huawei.HuaweiStorHyperConnector, [{'volume_id': 'volume-1'}]),
}

KEYS = {key for _, bases in BASES.values() for base in bases for key in base} | {*REPLICA}

NESTED: list[Any] = []
for _ in range(2000):
    NESTED = [NESTED]

WRONG: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**64, 2**64 - 1, 10**5000, -(10**5000), 1.5, -0.0),
    *(float('nan'), float('inf'), 1j, b'', b'10.0.0.1', b'\xff', object, Ellipsis),
    *('', ' ', '\0', 'a\0b', 'a\nb', '\n', '\t', '\ud800', 'a\udcffb', '\u2028', '\x7f', '\ufeff'),
    *('*', '-a', '--login', '../../etc/passwd', '/', 'a,b', 'a b', ' a', 'a ', "'", '"', '$(id)'),
    *('1', '0x7f000001', '127.1', 'fe80::1%*', 'fe80::1%a b', '::', '[', ']', ':', '%s', '{0}'),
    *('x' * 100_000, 'é' * 400, '9' * 100_000, '٣', 'NaN', 'None', 'SAM4', 'DHHC-1:00:x:'),
    *([], [None], [[]], {}, {None: None}, {'a': 1}, (), (1, 2), set(), [{}], [1] * 1000, NESTED),
    [f'10.0.{n // 250}.{n % 250}:3260' for n in range(3000)],
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something is that can be replaced, at any depth."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:1]):
            yield from _places(inner, (*path, number))


def _with(base: dict[str, Any], path: tuple[Any, ...], wrong: Any) -> dict[str, Any]:
    found = copy.deepcopy(base)
    place: Any = found
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = wrong
    return found


@contextlib.contextmanager
def _bare_host(root: pathlib.Path) -> Iterator[Callable[[], Any]]:
    """A host without storage, where every program and every device is an error."""
    cfg.CONF.set_override('lock_path', str(root / 'locks'), group='os_brick')
    with process.use(seams.Programs({})), nvme.Fabric(root / 'root', native=True) as found:
        yield found.snapshot
    cfg.CONF.clear_override('lock_path', group='os_brick')


@pytest.mark.parametrize('protocol', BASES)
def test_a_wrong_value_is_named_before_anything_is_done(
    protocol: str, tmp_path: pathlib.Path
) -> None:
    kind, bases = BASES[protocol]
    tried = 0
    with _bare_host(tmp_path) as snapshot:
        brick = kind(None)
        before = snapshot()
        for base in bases:
            for path in _places(base):
                for wrong in WRONG:
                    tried += _is_refused(brick, path, _with(base, path, wrong))
        assert snapshot() == before
        # Huawei's valid names among them get as far as the program, which is not there.
        locks = tmp_path / 'locks'
        assert protocol == 'huawei' or not locks.exists() or not list(locks.iterdir())
    assert tried > 20


def _is_refused(brick: Any, path: tuple[Any, ...], raw: dict[str, Any]) -> bool:
    """Attach and detach what cannot be parsed; whether that was so."""
    if not _is_wrong(brick, raw):
        return False
    asked = {key: id(value) for key, value in raw.items()}
    refusals = [_refusal(lambda: brick.connect_volume(raw))]
    if not isinstance(brick, (local.LocalConnector, gpfs.GPFSConnector)):
        refusals.append(_refusal(lambda: brick.disconnect_volume(raw, None)))
    assert asked == {key: id(value) for key, value in raw.items()}
    for text in refusals:
        assert text.startswith('connection property '), text
        assert any(f'connection property {key}: ' in text for key in KEYS), text
        assert len(text) < 500, (path, len(text))
        assert SECRET not in text
        assert '\n' not in text
    return True


_PARSERS: dict[Any, Callable[[Any], object]] = {
    iscsi.ISCSIConnector: request_iscsi.IscsiRequest.parse,
    fibre_channel.FibreChannelConnector: request_fc.FcRequest.parse,
    nvmeof.NVMeOFConnector: request_nvmeof.NvmeRequest.parse,
    rbd.RBDConnector: request_rbd.RbdRequest.parse,
}


def _is_wrong(brick: Any, raw: dict[str, Any]) -> bool:
    try:
        _PARSERS.get(type(brick), brick.connect_volume)(raw)
    except (exception.InvalidParameterValue, ValueError):
        return True
    except exception.BrickException:
        return False  # A volume that is not here.
    return False


def _refusal(call: Callable[[], object]) -> str:
    # GPFS and local: 7.1.1 raises ValueError where the path is missing.
    with pytest.raises((exception.InvalidParameterValue, ValueError)) as caught:
        call()
    is_ours = isinstance(caught.value, exception.InvalidParameterValue)
    assert is_ours or 'device_path' in str(caught.value)
    return str(caught.value)
