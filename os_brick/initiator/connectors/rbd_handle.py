# SPDX-License-Identifier: Apache-2.0
"""Volumes of Ceph as open images: opened with a configuration file that goes when they close."""

from __future__ import annotations

import os
from typing import Any

from oslo_log import log as logging

from os_brick import exception, opts
from os_brick.core import atomic, teardown, trace
from os_brick.host import ceph_conf, krbd
from os_brick.initiator import linuxrbd
from os_brick.request import rbd as request_rbd

LOG = logging.getLogger(__name__)

_READ_BYTES = 4096


class Handle(linuxrbd.RBDVolumeIOWrapper):
    """An open image that owns its configuration file."""

    def __init__(self, meta: linuxrbd.RBDImageMetadata, conf: atomic.Private) -> None:
        self._conf = conf
        super().__init__(meta)

    def close(self) -> None:
        """Close the image and its connection, and then remove the file they were made with.

        :raises OSError: if something that was written is not safe in the cluster.
        """
        try:
            super().close()
        finally:
            self._conf.remove()


def opened(request: request_rbd.RbdRequest, *, read_only: bool = False) -> Handle:
    """An open image; a snapshot is read-only.

    :raises InvalidParameterValue: if the properties do not say where the cluster is, or Ceph's
        Python bindings are not installed.
    :raises OperationTimedOut: if the cluster does not answer in time.
    :raises BrickException: if this service can read no key of the user, or no connection is made.
    """
    monitors = request.monitors or krbd.monitors_of_host(request.cluster)
    if not monitors:
        request.require_monitors()
    with trace.operation('open', request):
        conf = ceph_conf.write(monitors, request.user, request.cluster, request.secret)
        try:
            return Handle(_meta(request, conf.path, read_only=read_only), conf)
        except BaseException:
            conf.remove()
            raise


def _meta(
    request: request_rbd.RbdRequest, conf: str, *, read_only: bool
) -> linuxrbd.RBDImageMetadata:
    image = request.image
    client = linuxrbd.RBDClient(
        request.user,
        image.pool,
        conffile=conf,
        rbd_cluster_name=request.cluster,
        namespace=image.namespace,
        operation_seconds=opts.current().operation_seconds,
    )
    volume = linuxrbd.RBDVolume(client, image.name, image.snapshot or None, read_only)
    return linuxrbd.RBDImageMetadata(volume, image.pool, request.user, conf)


def size(request: request_rbd.RbdRequest) -> int:
    """The size of an image in bytes, asked over a connection of its own.

    :raises BrickException: as :func:`opened`.
    """
    with opened(request, read_only=True) as handle:
        return handle.seek(0, os.SEEK_END)


def is_readable(handle: Any) -> bool:
    """Whether the start of an open image can be read; its offset stays as it is."""
    try:
        if isinstance(handle, linuxrbd.RBDVolumeIOWrapper):
            handle.read_at(0, _READ_BYTES)
            return True
        offset = handle.tell()
        handle.seek(0)
        try:
            handle.read(_READ_BYTES)
        finally:
            handle.seek(offset)
    except Exception as error:  # noqa: BLE001 whatever it is, it is not readable
        LOG.warning('An open image of Ceph cannot be read: %s', error)
        return False
    return True


def close(handle: Any, on_error: teardown.OnError) -> None:
    """Close an open image; one that is closed already is not an error.

    :raises InvalidParameterValue: if it is not one.
    :raises ExceptionChainer: if it fails with ``force``, and errors are not ignored.
    """
    if not callable(getattr(handle, 'close', None)):
        text = f'device_info: path is neither a text nor an open image but {type(handle).__name__}'
        raise exception.InvalidParameterValue(err=text)
    steps = teardown.Teardown(on_error)
    steps.run('close of an open image', handle.close)
    steps.end()
