# SPDX-License-Identifier: Apache-2.0
"""What every connector can do, whatever the protocol."""

import abc
from collections.abc import Callable, Mapping
from typing import Any

from os_brick import exception, executor, initiator


class InitiatorConnector(executor.Executor, metaclass=abc.ABCMeta):
    """Attaches and detaches volumes of one protocol.

    ``connection_properties`` is the ``data`` of what Cinder passes for an attachment,
    ``device_info`` what ``connect_volume`` returned. Unknown arguments of the
    constructor are ignored: a caller passes the same ones for each protocol.
    """

    platform: str = initiator.PLATFORM_ALL
    os_type: str = initiator.OS_TYPE_ALL

    def __init__(
        self,
        root_helper: str | None,
        driver: Any = None,
        execute: Callable[..., Any] | None = None,
        device_scan_attempts: int = initiator.DEVICE_SCAN_ATTEMPTS_DEFAULT,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(root_helper, execute, *args, **kwargs)
        self.device_scan_attempts = device_scan_attempts
        self.set_driver(driver)

    def set_driver(self, driver: Any) -> None:
        """Use another object to list the block devices of the host."""
        self.driver = driver

    @staticmethod
    @abc.abstractmethod
    def get_connector_properties(root_helper: str | None, *args: Any, **kwargs: Any) -> Any:
        """Return what a storage back end has to know of this host; also on an instance."""

    @abc.abstractmethod
    def check_valid_device(self, path: Any, run_as_root: bool = True) -> bool:
        """Whether the volume at ``path`` can be read."""

    @abc.abstractmethod
    def connect_volume(self, connection_properties: Mapping[str, Any]) -> dict[str, Any]:
        """Attach a volume and return at least its ``type`` and ``path``."""

    @abc.abstractmethod
    def disconnect_volume(
        self,
        connection_properties: Mapping[str, Any],
        device_info: Mapping[str, Any] | None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> None:
        """Detach a volume.

        :param force: detach even where data could not be written back.
        :param ignore_errors: with ``force``, do not raise what went wrong.
        """

    @abc.abstractmethod
    def get_volume_paths(self, connection_properties: Mapping[str, Any]) -> list[str]:
        """Return the paths of a volume that exist on this host."""

    @abc.abstractmethod
    def get_search_path(self) -> str | None:
        """Return the directory in which volumes of this protocol appear."""

    @abc.abstractmethod
    def extend_volume(self, connection_properties: Mapping[str, Any]) -> int | None:
        """Have the host see the new size of a volume, and return it in bytes."""

    @abc.abstractmethod
    def get_all_available_volumes(
        self, connection_properties: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Return the paths of all volumes of this protocol on this host."""

    def check_IO_handle_valid(self, handle: Any, data_type: type, protocol: str) -> None:  # noqa: N802
        """Refuse a handle of the wrong type; none at all is not an error.

        :raises InvalidIOHandleObject: if it is of another type.
        """
        if handle and not isinstance(handle, data_type):
            raise exception.InvalidIOHandleObject(protocol=protocol, actual_type=type(handle))
