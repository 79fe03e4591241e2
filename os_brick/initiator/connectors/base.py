# SPDX-License-Identifier: Apache-2.0
"""Stands in for the base of Linux connectors until it is written."""

from typing import Any

from os_brick import initiator, utils
from os_brick.initiator import host_driver, initiator_connector


class BaseLinuxConnector(initiator_connector.InitiatorConnector):
    """What connectors on Linux share."""

    os_type = initiator.OS_TYPE_LINUX

    def __init__(
        self,
        root_helper: str | None,
        driver: Any = None,
        execute: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(root_helper, driver or host_driver.HostDriver(), execute, *args, **kwargs)

    @staticmethod
    def get_connector_properties(root_helper: str | None, *args: Any, **kwargs: Any) -> Any:
        """Return what the caller says of multipath."""
        return {
            'multipath': kwargs['multipath'],
            'enforce_multipath': kwargs['enforce_multipath'],
        }

    def check_valid_device(self, path: str, run_as_root: bool = True) -> bool:
        """Whether the first block of the volume can be read."""
        return utils.check_valid_device(self, path)
