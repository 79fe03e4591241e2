# SPDX-License-Identifier: Apache-2.0
"""The cache of one volume, and which engine makes it."""

from typing import Any

from oslo_utils import importutils
import pytest

from os_brick import caches, exception


class Engine(caches.CacheEngineBase):
    """An engine that says what it is told."""

    def is_engine_ready(self, **kwargs: Any) -> bool:
        return bool(kwargs['ready'])

    def attach_volume(self, **kwargs: Any) -> str:
        return f'cached {kwargs["dev_path"]} {self._root_helper}'

    def detach_volume(self, **kwargs: Any) -> str:
        return f'plain {kwargs["dev_path"]}'


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f'{__name__}.Engine'
    monkeypatch.setitem(caches.CACHE_ENGINE_TO_CACHE_CLASS_MAP, 'mine', name)


def _connection(**data: Any) -> dict[str, Any]:
    return {'data': {'device_path': '/dev/sda', 'cacheable': True, **data}}


def test_a_cacheable_volume_is_attached_to_the_engine() -> None:
    made = caches.CacheManager('helper', _connection(), cache_name='mine', ready=True)
    assert (made.ori_device_path, made.engine_name) == ('/dev/sda', 'mine')
    assert made.attach_volume() == 'cached /dev/sda helper'
    assert made.detach_volume() == 'plain /dev/sda'


@pytest.mark.parametrize('cacheable', [False, None])
def test_another_volume_keeps_its_path(cacheable: Any) -> None:
    made = caches.CacheManager('helper', _connection(cacheable=cacheable), cache_name='none')
    assert made.attach_volume() == '/dev/sda'
    assert made.detach_volume() == '/dev/sda'


@pytest.mark.parametrize('name', [None, 'other', ''])
def test_an_unknown_engine(name: Any) -> None:
    with pytest.raises(exception.Invalid, match='cache_name'):
        caches.CacheManager('helper', _connection(), cache_name=name)


def test_an_engine_that_is_not_ready() -> None:
    with pytest.raises(exception.Invalid, match='mine is not ready'):
        caches.CacheManager('helper', _connection(), cache_name='mine', ready=False)


@pytest.mark.parametrize(
    ('info', 'said'),
    [({'serial': 's1', 'driver_volume_type': 'iscsi'}, 's1'), ({}, 'None')],
)
@pytest.mark.parametrize('path', [None, ''])
def test_a_volume_without_a_path(info: Any, said: str, path: Any) -> None:
    with pytest.raises(exception.VolumeLocalCacheNotSupported, match=said):
        caches.CacheManager('helper', {**info, 'data': {'device_path': path}})


def test_each_engine_can_be_imported() -> None:
    for name in caches.CACHE_ENGINE_TO_CACHE_CLASS_MAP.values():
        assert issubclass(importutils.import_class(name), caches.CacheEngineBase)
