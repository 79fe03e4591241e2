# SPDX-License-Identifier: Apache-2.0
"""Volumes of Ceph: an open image, or a block device that the kernel maps."""

from __future__ import annotations

from collections.abc import Mapping
import os
from typing import Any

from os_brick import initiator, opts
from os_brick.core import observe, operation, teardown, wait
from os_brick.initiator import linuxrbd, reports
from os_brick.initiator.connectors import base_rbd, block, rbd_handle
from os_brick.plans import steps as plans_steps
from os_brick.request import common, result
from os_brick.request import rbd as request_rbd

Raw = Mapping[str, Any]


class RBDConnector(base_rbd.RBDConnectorMixin, block.BlockConnector):
    """Opens images of Ceph for this process, or has the kernel map them.

    :param kwargs: ``do_local_attach``: whether the kernel maps them, where the properties of a
        volume do not say it.
    """

    Request = request_rbd.RbdRequest
    # Two clusters may have an image of one name each, and an image may have been made anew.
    _has_namesakes = True

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
        return reports.rbd(root_helper, **kwargs)

    @staticmethod
    def get_rbd_device_name(pool: str, volume: str) -> str:
        """Return udev's link to an image; it leads to the one of this name that was mapped last."""
        return f'/dev/rbd/{pool}/{volume}'

    def get_search_path(self) -> None:
        """Return nothing: a directory of devices does not tell clusters apart."""

    def get_all_available_volumes(self, connection_properties: Raw | None = None) -> list[str]:
        """Return nothing, for the same reason."""
        return []

    def check_valid_device(self, path: Any, run_as_root: bool = True) -> bool:
        """Whether the start of a volume can be read: of a device, or of an open image.

        :param run_as_root: ignored; a device is read as root, and an image by this process.
        """
        if not path:
            return False
        if isinstance(path, (str, bytes)):
            return super().check_valid_device(os.fsdecode(path), run_as_root)
        return rbd_handle.is_readable(path)

    def connect_volume(self, connection_properties: Raw) -> dict[str, Any]:
        """Attach a volume.

        :return: ``type`` and ``path`` of a block device; without ``do_local_attach`` a ``path``
            that is the open image, which :meth:`disconnect_volume` closes.
        :raises InvalidParameterValue: naming the property that is missing or wrong; or without
            Ceph's Python bindings.
        :raises VolumeDeviceNotFound: if the image cannot be mapped or read, with the reason.
        :raises VolumeInUse: if another client has locked the image.
        :raises OperationTimedOut: if the cluster does not answer in time.
        """
        if not self._is_local(self.Request.parse(connection_properties)):
            operation.check_now()
            return result.Handle(self._get_rbd_handle(connection_properties)).as_dict()
        return super().connect_volume(connection_properties)

    def _get_rbd_handle(self, connection_properties: Raw) -> linuxrbd.RBDVolumeIOWrapper:
        """Return an open image; closing it removes its configuration file. Cinder calls this."""
        return rbd_handle.opened(self.Request.parse(connection_properties))

    def disconnect_volume(
        self,
        connection_properties: Raw,
        device_info: Raw | None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> None:
        """Detach a volume; one that is not there is detached already.

        :param device_info: what ``connect_volume`` returned, ``None`` or ``{}``.
        :param force: go on where its data could not be written back, or it is in use.
        :param ignore_errors: with ``force``, do not raise what went wrong.
        :raises InvalidParameterValue: if its path is neither a text nor an open image.
        :raises VolumeInUse: if it is in use, without ``force``.
        :raises OSError: if an open image had data that could not be written back.
        :raises ExceptionChainer: with ``force``, all that went wrong.
        """
        path = device_info.get('path') if isinstance(device_info, Mapping) else None
        if path is not None and not isinstance(path, (str, bytes)):
            rbd_handle.close(path, teardown.OnError.of(force, ignore_errors))
            return
        request = self.Request.parse(connection_properties, device_info)
        # Another text says nothing: that of an open image, say, from a caller's database.
        if self._is_local(request) or base_rbd.is_mapped(request):
            super().disconnect_volume(connection_properties, device_info, force, ignore_errors)
        else:
            operation.check_now()

    def require(self, operation_name: str, connection_properties: Raw) -> None:
        """Refuse properties by which a command has nothing to detach; a service has the image.

        :raises InvalidParameterValue: naming the property.
        """
        request = self.Request.parse(connection_properties)
        if operation_name == observe.DETACH and not (
            self._is_local(request) or base_rbd.is_mapped(request)
        ):
            raise common.bad(
                'do_local_attach',
                'it is false: a process opens the image for itself and closes it, and there is '
                'nothing to detach from this host. Where the kernel has mapped it, pass true',
            )

    def extend_volume(self, connection_properties: Raw) -> int:
        """Have the host see a volume's new size; an open image sees it by itself.

        :return: the size in bytes; of an encrypted volume that of the device below.
        :raises VolumePathsNotFound: if the volume is to be mapped and is not.
        """
        request = self.Request.parse(connection_properties)
        if self._is_local(request):
            return super().extend_volume(connection_properties)
        operation.check_now()
        return rbd_handle.size(request)

    def plan(
        self,
        operation_name: str,
        connection_properties: Raw,
        device_info: Raw | None = None,
        *,
        force: bool = False,
    ) -> tuple[plans_steps.Plan[Any], ...]:
        """What an operation would do now with a volume that the kernel maps; as of other protocols.

        :raises NotImplementedError: for an image that a process opens for itself.
        """
        # An extend is not told what the attach returned, so its plan is not, either.
        info = None if operation_name == observe.EXTEND else device_info
        request = self.Request.parse(connection_properties, info)
        if self._is_local(request) or base_rbd.is_mapped(request):
            return super().plan(operation_name, connection_properties, info, force=force)
        raise NotImplementedError(
            'without do_local_attach the process that attaches it opens the image for itself, and '
            'nothing on this host changes'
        )

    def get_volume_paths(self, connection_properties: Raw) -> list[str]:
        """Return the devices of a volume that the kernel has mapped; its cluster is not asked."""
        request = self.Request.parse(connection_properties)
        if not self._is_local(request):
            return []
        return self._paths(request, wait.Deadline.after(opts.current().operation_seconds))

    def _is_local(self, request: request_rbd.RbdRequest) -> bool:
        return self.do_local_attach if request.is_local is None else request.is_local
