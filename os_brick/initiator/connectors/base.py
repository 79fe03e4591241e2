# SPDX-License-Identifier: Apache-2.0
"""What every connector on Linux has, and its answers where a protocol has no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import os
from typing import Any

from oslo_log import log as logging

from os_brick import exception, initiator
from os_brick.core import files
from os_brick.core import synchronized as synchronized_module
from os_brick.host import block
from os_brick.initiator import host_driver, initiator_connector, reports

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]

synchronized = synchronized_module.synchronized


class BaseLinuxConnector(initiator_connector.InitiatorConnector):
    """A connector on Linux."""

    os_type = initiator.OS_TYPE_LINUX
    use_multipath: bool = False

    def __init__(
        self,
        root_helper: str | None,
        driver: Any = None,
        execute: Callable[..., Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if driver is None:
            driver = host_driver.HostDriver()
        super().__init__(root_helper, driver, execute, *args, **kwargs)

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return what the caller passes for multipath."""
        return reports.multipath(root_helper, **kwargs)

    def check_valid_device(self, path: str, run_as_root: bool = True) -> bool:
        """Whether the start of a volume can be read.

        :param run_as_root: ignored; it is always read as root.
        """
        name = block.name_of(os.fsdecode(path))
        return name is not None and block.is_readable(name)

    def get_all_available_volumes(self, connection_properties: Raw | None = None) -> list[str]:
        """Return every path in the search path."""
        place = self.get_search_path()
        return [f'{place}/{name}' for name in files.names(place)] if place else []

    def supports_multipath(self) -> bool:
        """Whether this host can build multipath maps now."""
        return False

    def check_multipath(self, connection_properties: Raw) -> None:
        """Fail if multipath is enforced and not available.

        :raises BrickException: if it is wanted and enforced, and not possible.
        """
        if self.use_multipath and not self.supports_multipath():
            self._without_multipath(bool(connection_properties.get('enforce_multipath')))

    @staticmethod
    def _without_multipath(enforced: bool) -> None:
        if enforced:
            raise exception.BrickException(
                'Multipath is enforced and multipathd does not answer: nothing was attached'
            )
        LOG.warning('Multipath is wanted and multipathd does not answer: one path is used')
