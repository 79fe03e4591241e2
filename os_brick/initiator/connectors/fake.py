# SPDX-License-Identifier: Apache-2.0
"""Connectors that touch nothing, for tests of consumers."""

from collections.abc import Mapping
from typing import Any

from os_brick.initiator.connectors import base, base_iscsi

_BY_PATH = '/dev/disk/by-path'


class FakeConnector(base.BaseLinuxConnector):
    """Has one volume, which is always there."""

    fake_path = '/dev/vdFAKE'

    def connect_volume(self, connection_properties: Mapping[str, Any]) -> dict[str, Any]:
        """Return the volume."""
        return {'type': 'fake', 'path': self.fake_path}

    def disconnect_volume(
        self,
        connection_properties: Mapping[str, Any],
        device_info: Mapping[str, Any] | None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> None:
        """Do nothing."""

    def get_volume_paths(self, connection_properties: Mapping[str, Any]) -> list[str]:
        """Return the volume's path."""
        return [self.fake_path]

    def get_search_path(self) -> str:
        """Return udev's directory."""
        return _BY_PATH

    def extend_volume(self, connection_properties: Mapping[str, Any]) -> int | None:
        """Do nothing."""
        return None

    def get_all_available_volumes(
        self, connection_properties: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Return two paths."""
        return [f'{_BY_PATH}/fake-volume-1', f'{_BY_PATH}/fake-volume-X']


class FakeBaseISCSIConnector(FakeConnector, base_iscsi.BaseISCSIConnector):
    """The same, with the methods of :class:`BaseISCSIConnector` to be tested."""
