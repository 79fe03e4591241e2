# SPDX-License-Identifier: Apache-2.0
"""What the connection properties of a StorPool volume say."""

from __future__ import annotations

import dataclasses
from typing import Self

from os_brick.model import names
from os_brick.request import common

_ACCESS = ('rw', 'ro')


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StorPoolRequest(common.BlockRequest):
    """A volume of StorPool.

    :ivar volume: Cinder's id of it; ``None`` where only a path of it was kept.
    :ivar access: ``rw`` or ``ro``; ``None`` where the caller does not say, as in a detach.
    """

    volume: str | None = None
    access: str | None = None

    @property
    def key(self) -> str:
        """What the volume is locked by."""
        return f'storpool {self.volume or self.device_path}'

    @classmethod
    def parse(cls, raw: object, device_info: object = None) -> Self:
        """Read a caller's dictionary.

        :raises InvalidParameterValue: naming the key that is missing or wrong.
        """
        properties = common.mapping(raw)
        shared = cls.shared(properties, device_info)
        if properties.get('client_id') is None:
            raise common.bad('client_id', 'missing')
        if properties.get('volume') is None and not shared['device_path']:
            raise common.bad('volume', 'missing')
        volume, access = properties.get('volume'), properties.get('access_mode')
        return cls(
            volume=None if volume is None else common.parsed('volume', volume, _volume),
            access=None if access is None else common.parsed('access_mode', access, _mode),
            **shared,
        )

    def require_access(self) -> str:
        """How the volume is to be attached.

        :raises InvalidParameterValue: if the caller does not say.
        """
        if self.access is None:
            raise common.bad('access_mode', 'missing')
        return self.access

    def require_volume(self) -> str:
        """Cinder's id of the volume.

        :raises InvalidParameterValue: if the caller does not say it.
        """
        if self.volume is None:
            raise common.bad('volume', 'missing')
        return self.volume


def _volume(value: object) -> str:
    return names.STORPOOL_VOLUME.parse(value)


def _mode(value: object) -> str:
    found = names.require_text(value)
    if found not in _ACCESS:
        raise ValueError(f'{names.shown(found)} is neither "rw" nor "ro"')
    return found
