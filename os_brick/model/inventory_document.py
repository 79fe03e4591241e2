# SPDX-License-Identifier: Apache-2.0
"""An inventory as plain values: the contract of ``os-brick tree -f json``.

Keys are only added within a version of the schema. Bytes are numbers, identities are text, what is
not known is ``null`` or the empty text.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from os_brick.model import inventory


def of_host(host: inventory.Host, schema: str = 'os-brick/tree/1') -> dict[str, Any]:
    """The document of all that one look has found."""
    return {
        'schema': schema,
        'host': host.name,
        'at': host.at,
        'volumes': [of_volume(volume) for volume in host.volumes],
        'links': [plain(link) for link in host.links],
        'ports': [plain(port) for port in host.ports],
        'unread': [plain(unread) for unread in host.unread],
    }


def of_volume(volume: inventory.Volume) -> dict[str, Any]:
    """The document of one volume, with what is derived of it."""
    return {
        'volume_id': volume.volume_id or None,
        'device': volume.device,
        'path': volume.path,
        'state': str(volume.state),
        'is_used': volume.is_used,
        'ready_paths': volume.ready_paths,
        'expected_paths': volume.expected_paths,
        **{key: value for key, value in plain(volume).items() if key != 'device'},
    }


def plain(value: Any) -> Any:
    """Values of dataclasses as dictionaries, at any depth."""
    if dataclasses.is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    return value
