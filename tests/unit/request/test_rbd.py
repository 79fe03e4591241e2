# SPDX-License-Identifier: Apache-2.0
"""Connection properties of Ceph; ``connectors/test_rbd`` has what is wrong with them."""

import copy
from typing import Any

import pytest

from os_brick import exception
from os_brick.request import rbd

SECRET = 'AQAAAAAAAAAAABAAZ2VoZWltIDQ3MTEgaGVyZQ=='
# As cinder's driver makes it.
CINDER: dict[str, Any] = {
    'name': 'volumes/volume-6f0c1c1e-2222-4333-8444-555566667777',
    'hosts': ['10.0.0.1', '[fd00::1]', 'mon-a'],
    'ports': ['6789', 6789, '6790'],
    'cluster_name': 'ceph',
    'auth_enabled': True,
    'auth_username': 'cinder',
    'secret_type': 'ceph',
    'secret_uuid': '0a1b',
    'volume_id': '6f0c1c1e-2222-4333-8444-555566667777',
    'discard': True,
}


def test_what_cinder_passes() -> None:
    given = copy.deepcopy(CINDER)
    found = rbd.RbdRequest.parse(given, None)
    assert given == CINDER
    assert str(found.image) == CINDER['name']
    assert [str(each) for each in found.monitors] == [
        '10.0.0.1:6789',
        '[fd00::1]:6789',
        'mon-a:6790',
    ]
    assert (found.user, found.cluster, found.secret, found.is_local) == (
        'cinder',
        'ceph',
        None,
        None,
    )
    assert found.key == f'rbd {CINDER["name"]}'


def test_the_secret_is_in_no_repr() -> None:
    keyring = f'[client.cinder]\n\tkey = {SECRET}\n\tcaps mon = "profile rbd"\n'
    found = rbd.RbdRequest.parse({**CINDER, 'keyring': keyring})
    assert found.secret == SECRET
    assert SECRET not in repr(found)


@pytest.mark.parametrize(('given', 'is_local'), [(True, True), ('false', False), (None, None)])
def test_who_opens_it(given: Any, is_local: bool | None) -> None:
    assert rbd.RbdRequest.parse({**CINDER, 'do_local_attach': given}).is_local is is_local


def test_a_longer_list_of_hosts_or_ports() -> None:
    found = rbd.RbdRequest.parse({**CINDER, 'ports': ['6789']})
    assert [str(each) for each in found.monitors] == ['10.0.0.1:6789']


def test_a_name_that_the_kernel_cannot_map() -> None:
    found = rbd.RbdRequest.parse({**CINDER, 'name': 'my pool/v1'})
    with pytest.raises(exception.InvalidParameterValue, match='connection property name'):
        found.require_mappable()


def test_a_handle_of_a_device_info() -> None:
    """What an attach of the other kind has returned is not a path."""
    found = rbd.RbdRequest.parse(CINDER, {'path': object(), 'conf': object()})
    assert (found.device_path, found.conf) == (None, None)
