# SPDX-License-Identifier: Apache-2.0
"""Volumes that are on this host already: there is nothing to attach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from os_brick import exception, opts
from os_brick.core import files, observe, operation, process
from os_brick.host import block
from os_brick.initiator.connectors import base
from os_brick.model import names
from os_brick.plans import acts, here
from os_brick.request import common, result

T = TypeVar('T')
Raw = Mapping[str, Any]


class LocalBaseConnector(base.BaseLinuxConnector):
    """Tells where a volume is; attach and detach do nothing.

    :cvar kind: what an attach says of the volume's kind.
    """

    kind: ClassVar[str]

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return nothing: a back end on this host has to know nothing of it."""
        return {}

    def connect_volume(self, connection_properties: Raw) -> dict[str, Any]:
        """Return the volume's path.

        :raises ValueError: if ``device_path`` is missing or no path.
        """
        path = _path(connection_properties)
        operation.check_now()
        return result.BlockDevice(path, kind=self.kind).as_dict()

    def disconnect_volume(
        self,
        connection_properties: Raw,
        device_info: Raw | None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> None:
        """Do nothing."""
        operation.check_now()

    def require(self, operation_name: str, connection_properties: Raw) -> None:
        """Refuse properties that make no sense; an attach or a detach by a service takes them.

        :raises ValueError: if ``device_path`` is missing, or is not an absolute path.
        :raises VolumeDeviceNotFound: for an attach, if there is nothing at it.
        :raises OperationTimedOut: if the file system on which the path lies does not answer.
        """
        path = _path(connection_properties)
        if not path.startswith('/'):
            raise ValueError(
                f'connection property device_path: {names.shown(path)} is not an absolute path'
            )
        if operation_name == observe.ATTACH and not _looked(path, files.exists):
            raise exception.VolumeDeviceNotFound(device=path)

    def plan(
        self,
        operation_name: str,
        connection_properties: Raw,
        device_info: Raw | None = None,
        *,
        force: bool = False,
    ) -> tuple[acts.Plan, ...]:
        """What an operation would do now: nothing.

        :raises ValueError: if ``device_path`` is missing or no path.
        :raises VolumeDeviceNotFound: for an extend, if there is no block device at it.
        :raises OperationTimedOut: if the file system on which the path lies does not answer.
        """
        path = _path(connection_properties)
        name = _name_of(path)
        if name is None and operation_name == observe.EXTEND:
            raise exception.VolumeDeviceNotFound(device=path)
        return (here.plan(operation_name, path, name, block.size_bytes(name) if name else 0),)

    def get_volume_paths(self, connection_properties: Raw) -> list[str]:
        """Return the volume's path.

        :raises ValueError: if ``device_path`` is missing or no path.
        """
        return [_path(connection_properties)]

    def get_search_path(self) -> str | None:
        """Return nothing: the volumes may be anywhere."""
        return None

    def get_all_available_volumes(self, connection_properties: Raw | None = None) -> list[str]:
        """Return nothing: it is not known which devices of this host are volumes."""
        return []

    def extend_volume(self, connection_properties: Raw) -> int:
        """Return the volume's size in bytes; it is grown by what provides it here.

        :raises ValueError: if ``device_path`` is missing or no path.
        :raises VolumeDeviceNotFound: if there is no block device at it.
        :raises OperationTimedOut: if the file system on which the path lies does not answer.
        """
        path = _path(connection_properties)
        operation.check_now()
        name = _name_of(path)
        if name is None:
            raise exception.VolumeDeviceNotFound(device=path)
        return block.size_bytes(name)


def _name_of(path: str) -> str | None:
    return _looked(path, block.name_of)


def _looked(path: str, look: Callable[[str], T]) -> T:
    """What a look at a path tells, which may lie on a share whose server has gone.

    :raises OperationTimedOut: if that does not answer.
    """
    return process.isolated(f'a look at {path}', opts.current().operation_seconds, look, path)


def _path(connection_properties: Raw) -> str:
    raw = common.mapping(connection_properties)
    found = common.device_path(raw)
    if found is None:
        given = raw.get('device_path')
        why = f'{names.shown(given)} is not a valid path' if given else 'missing'
        raise ValueError(f'connection property device_path: {why}')
    return found
