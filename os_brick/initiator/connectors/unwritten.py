# SPDX-License-Identifier: Apache-2.0
"""Stands in for the connector of a protocol that is not written yet.

Callers import the classes of all protocols and look at their methods, so these are
there. Making one says what is missing.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from os_brick import exception, initiator
from os_brick.initiator import initiator_connector


class UnwrittenConnector(initiator_connector.InitiatorConnector):
    """A connector that cannot be made."""

    os_type = initiator.OS_TYPE_LINUX
    protocol: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._refuse()

    @classmethod
    def _refuse(cls) -> NoReturn:
        raise exception.ProtocolNotSupported(
            f'Protocol {cls.protocol} is not supported by this version: '
            'its connector is not written yet.'
        )

    @staticmethod
    def get_connector_properties(root_helper: str | None, *args: Any, **kwargs: Any) -> Any:
        """Return nothing."""
        return {}

    def check_valid_device(self, path: Any, run_as_root: bool = True) -> bool:
        """Refuse, as all that follow."""
        self._refuse()

    def connect_volume(self, connection_properties: Mapping[str, Any]) -> dict[str, Any]:
        self._refuse()

    def disconnect_volume(
        self,
        connection_properties: Mapping[str, Any],
        device_info: Mapping[str, Any] | None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> None:
        self._refuse()

    def get_volume_paths(self, connection_properties: Mapping[str, Any]) -> list[str]:
        self._refuse()

    def get_search_path(self) -> str | None:
        self._refuse()

    def extend_volume(self, connection_properties: Mapping[str, Any]) -> int | None:
        self._refuse()

    def get_all_available_volumes(
        self, connection_properties: Mapping[str, Any] | None = None
    ) -> list[str]:
        self._refuse()
