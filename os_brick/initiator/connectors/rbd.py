# SPDX-License-Identifier: Apache-2.0
"""Volumes of Ceph: an open image, or a block device that the kernel maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from os_brick import exception, initiator, opts
from os_brick.core import wait
from os_brick.initiator.connectors import base_rbd, block
from os_brick.request import rbd as request_rbd

Raw = Mapping[str, Any]


class RBDConnector(base_rbd.RBDConnectorMixin, block.BlockConnector):
    """Opens images of Ceph for this process, or has the kernel map them.

    :param kwargs: ``do_local_attach``: whether the kernel maps them, where the properties of a
        volume do not say it.
    """

    Request = request_rbd.RbdRequest

    def __init__(
        self,
        root_helper: str | None,
        driver: Any = None,
        use_multipath: bool = False,
        device_scan_attempts: int = initiator.DEVICE_SCAN_ATTEMPTS_DEFAULT,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *(root_helper, driver, *args),
            **{'device_scan_attempts': device_scan_attempts, **kwargs},
        )
        self.do_local_attach: bool = bool(kwargs.get('do_local_attach', False))

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return whether the kernel maps volumes, which a caller may pass as a keyword."""
        return {'do_local_attach': kwargs.get('do_local_attach', False)}

    @staticmethod
    def get_rbd_device_name(pool: str, volume: str) -> str:
        """Return udev's link to an image; it leads to the one of this name that was mapped last."""
        return f'/dev/rbd/{pool}/{volume}'

    def get_search_path(self) -> None:
        """Return nothing: a directory of devices does not tell clusters apart."""

    def get_all_available_volumes(self, connection_properties: Raw | None = None) -> list[str]:
        """Return nothing, for the same reason."""
        return []

    def connect_volume(self, connection_properties: Raw) -> dict[str, Any]:
        """Attach a volume.

        :return: ``type`` and ``path`` of a block device.
        :raises InvalidParameterValue: naming the property that is missing or wrong.
        :raises VolumeDeviceNotFound: if the image cannot be mapped or read, with the reason.
        :raises VolumeInUse: if another client has locked the image.
        :raises OperationTimedOut: if the cluster does not answer in time.
        :raises ProtocolNotSupported: without ``do_local_attach``: it is not written yet.
        """
        if not self._is_local(self.Request.parse(connection_properties)):
            raise exception.ProtocolNotSupported(
                'RBD without do_local_attach is not supported by this version.'
            )
        return super().connect_volume(connection_properties)

    def get_volume_paths(self, connection_properties: Raw) -> list[str]:
        """Return the devices of a volume that the kernel has mapped; its cluster is not asked."""
        request = self.Request.parse(connection_properties)
        if not self._is_local(request):
            return []
        return self._paths(request, wait.Deadline.after(opts.current().operation_seconds))

    def _is_local(self, request: request_rbd.RbdRequest) -> bool:
        return self.do_local_attach if request.is_local is None else request.is_local
