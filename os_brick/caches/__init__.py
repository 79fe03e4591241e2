# SPDX-License-Identifier: Apache-2.0
"""Caches on local devices for attached volumes: the caller uses a cached device instead."""

import abc
from typing import Any

from oslo_log import log as logging
from oslo_utils import importutils

from os_brick import exception

LOG = logging.getLogger(__name__)

CACHE_ENGINE_TO_CACHE_CLASS_MAP = {
    'opencas': 'os_brick.caches.opencas.OpenCASEngine',
}


class CacheEngineBase(abc.ABC):
    """What puts a cache before a device."""

    def __init__(self, **kwargs: Any) -> None:
        self._root_helper = kwargs.get('root_helper')

    @abc.abstractmethod
    def is_engine_ready(self, **kwargs: Any) -> bool:
        """Whether a device can be attached to the cache."""

    @abc.abstractmethod
    def attach_volume(self, **kwargs: Any) -> str:
        """Put the cache before ``dev_path`` and return the cached device."""

    @abc.abstractmethod
    def detach_volume(self, **kwargs: Any) -> str:
        """Remove the cache from before the cached device ``dev_path`` and return the one below."""


class CacheManager:
    """The cache of one volume: ``cache_name`` says which engine makes it.

    A volume that is not ``cacheable`` keeps its own path.
    """

    def __init__(
        self, root_helper: str | None, connection_info: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        """Look at the volume, and at the engine if it is cacheable.

        :raises VolumeLocalCacheNotSupported: if the volume has no ``device_path``.
        :raises Invalid: if the engine is not known or not ready.
        """
        data = connection_info['data']
        if not data.get('device_path'):
            raise exception.VolumeLocalCacheNotSupported(
                volume_id=data.get('volume_id') or connection_info.get('serial'),
                volume_type=connection_info.get('driver_volume_type'),
            )
        self.ori_device_path = data['device_path']
        self.cacheable = data.get('cacheable')
        if not self.cacheable:
            return
        self.root_helper = root_helper
        self.engine_name = kwargs.get('cache_name')
        self.args = args
        self.kwargs = {**kwargs, 'root_helper': root_helper, 'dev_path': self.ori_device_path}
        self.engine = self._get_engine()

    def _get_engine(self) -> CacheEngineBase:
        name = CACHE_ENGINE_TO_CACHE_CLASS_MAP.get(self.engine_name or '')
        if name is None:
            known = ', '.join(sorted(CACHE_ENGINE_TO_CACHE_CLASS_MAP))
            raise exception.Invalid(
                f'cache_name {self.engine_name!r} is not a known cache engine (known: {known})'
            )
        engine: CacheEngineBase = importutils.import_object(name, **self.kwargs)
        if not engine.is_engine_ready(**self.kwargs):
            raise exception.Invalid(f'The cache engine {self.engine_name} is not ready')
        return engine

    def attach_volume(self) -> str:
        """Put the cache before the volume and return the path to use.

        :raises BrickException: if that fails; the volume then has no cache.
        """
        if not self.cacheable:
            return str(self.ori_device_path)
        LOG.debug('Putting cache %s before %s', self.engine_name, self.ori_device_path)
        return self.engine.attach_volume(**self.kwargs)

    def detach_volume(self) -> str:
        """Remove the cache from before the volume and return the path of the volume itself.

        :raises BrickException: if it has none.
        """
        if not self.cacheable:
            return str(self.ori_device_path)
        LOG.debug('Removing cache %s from before %s', self.engine_name, self.ori_device_path)
        return self.engine.detach_volume(**self.kwargs)
