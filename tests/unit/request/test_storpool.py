# SPDX-License-Identifier: Apache-2.0
"""What callers pass for a StorPool volume."""

from typing import Any

import pytest

from os_brick import exception
from os_brick.request import storpool

BASE = {'client_id': 1, 'volume': 'v1', 'access_mode': 'rw'}
PATH = '/dev/storpool-byid/a.b.1'


def test_whole() -> None:
    found = storpool.StorPoolRequest.parse({**BASE, 'encrypted': True, 'qos_specs': None})
    assert (found.volume, found.access, found.encrypted) == ('v1', 'rw', True)
    assert found.require_access() == 'rw'
    assert found.require_volume() == 'v1'


def test_attach_extend_and_detach_have_one_lock() -> None:
    calls: list[tuple[dict[str, Any], Any]] = [
        (BASE, None),
        ({**BASE, 'device_path': PATH}, None),
        (BASE, {'type': 'block', 'path': PATH}),
        ({'client_id': 65, 'volume': 'v1'}, {'path': PATH}),
    ]
    assert {storpool.StorPoolRequest.parse(*call).key for call in calls} == {'storpool v1'}


def test_path_alone() -> None:
    """A detach may know no more; reference: so it may."""
    found = storpool.StorPoolRequest.parse({'client_id': 1}, {'path': PATH})
    assert (found.volume, found.access, found.key) == (None, None, f'storpool {PATH}')
    for require, key in ((found.require_access, 'access_mode'), (found.require_volume, 'volume')):
        with pytest.raises(exception.InvalidParameterValue, match=f'{key}: missing'):
            require()


@pytest.mark.parametrize(
    ('raw', 'key'),
    [
        ([], 'connection properties'),
        ({}, 'client_id'),
        ({**BASE, 'client_id': None}, 'client_id'),
        ({'client_id': 1}, 'volume'),
        ({**BASE, 'volume': ''}, 'volume'),
        ({**BASE, 'volume': 'a/b'}, 'volume'),
        ({**BASE, 'volume': 'a' * 201}, 'volume'),
        ({**BASE, 'access_mode': 'w'}, 'access_mode'),
        ({**BASE, 'access_mode': ['rw']}, 'access_mode'),
        ({**BASE, 'encrypted': 'perhaps'}, 'encrypted'),
    ],
)
def test_wrong(raw: Any, key: str) -> None:
    with pytest.raises(exception.InvalidParameterValue, match=key):
        storpool.StorPoolRequest.parse(raw)
