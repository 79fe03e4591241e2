# SPDX-License-Identifier: Apache-2.0
"""Volumes that are files of a share: NFS, GlusterFS, Quobyte, Scality, Virtuozzo Storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import os
from typing import Any

from oslo_log import log as logging

from os_brick import exception, initiator, opts
from os_brick.core import locks, observe, operation, wait
from os_brick.host import mounts, note_entry
from os_brick.initiator.connectors import base
from os_brick.model import shares
from os_brick.plans import acts
from os_brick.plans import share as plans
from os_brick.remotefs import course
from os_brick.remotefs import remotefs as client
from os_brick.request import remotefs as request
from os_brick.request import result

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]

_KEYS = ('connection property export', 'connection property options')


class RemoteFsConnector(base.BaseLinuxConnector):
    """Mounts the share of a volume. A share stays mounted, as other volumes may be on it.

    :param mount_type: the type of file system, in lower case.
    :param kwargs: the directory below which shares are mounted, ``nfs_mount_point_base`` for
        example, or ``conn``, the connection of a volume with its ``mount_point_base``.
    """

    def __init__(
        self,
        mount_type: str,
        root_helper: str | None,
        driver: Any = None,
        execute: Callable[..., Any] | None = None,
        device_scan_attempts: int = initiator.DEVICE_SCAN_ATTEMPTS_DEFAULT,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        settings = {**_of_connection(mount_type, kwargs.get('conn')), **kwargs}
        kind = client.CLIENTS.get(mount_type, client.RemoteFsClient)
        self._client = kind(mount_type, root_helper, execute, **settings)
        super().__init__(root_helper, driver, execute, device_scan_attempts, *args, **kwargs)

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return nothing: a server asks for no name of this host."""
        return {}

    def set_execute(self, execute: Callable[..., Any]) -> None:
        """Run programs with ``execute`` from now on."""
        super().set_execute(execute)
        self._client.set_execute(execute)

    def get_search_path(self) -> str:
        """Return the directory below which shares are mounted."""
        return self._client.get_mount_base()

    def get_volume_paths(self, connection_properties: Raw) -> list[str]:
        """Return the path of a volume whose share is mounted, and which is there.

        :raises InvalidParameterValue: naming the property that is missing or wrong.
        :raises OperationTimedOut: if the share does not answer in time.
        """
        volume, wanted = self._parsed(connection_properties)
        deadline = wait.Deadline.after(opts.current().operation_seconds)
        if not course.is_mounted(wanted, deadline):
            return []
        try:
            self._require_file(volume, wanted, mounts.resolved(wanted.point, deadline), deadline)
        except (exception.VolumeDeviceNotFound, exception.VolumeIdentityMismatch, OSError):
            return []
        return [self._path(volume)]

    def check_valid_device(self, path: str, run_as_root: bool = True) -> bool:
        """Whether the start of a volume's file can be read.

        :param run_as_root: whether root tries it where this process may not.
        """
        deadline = wait.Deadline.after(opts.current().operation_seconds)
        return mounts.is_readable(os.fsdecode(path), deadline, as_root=run_as_root)

    def connect_volume(self, connection_properties: Raw) -> dict[str, Any]:
        """Mount the share of a volume if it is not mounted, and return the path of its file.

        :return: ``path``.
        :raises InvalidParameterValue: naming the property that is missing or wrong.
        :raises VolumeDeviceNotFound: if the share has no such file.
        :raises VolumeIdentityMismatch: if another share is mounted there, or the file is a device,
            or a link that leads out of the share.
        :raises VolumeInUse: if the share's handle is stale and processes use the mount.
        :raises OperationTimedOut: if the server does not answer in time.
        :raises BrickException: if the share cannot be mounted.
        """
        volume, wanted = self._parsed(connection_properties)
        lock, entry = (locks.SHARE, wanted.key), self._entry(volume, wanted, connection_properties)
        with operation.begin('connect', wanted, lock, opts.current(), entry) as op:
            place = self._client.ensure(wanted, op)
            with observe.step(plans.Verb.CHECK_FILE, volume.name):
                self._require_file(volume, wanted, place, op.work)
            return op.course.returns(result.Share(self._path(volume)).as_dict())

    def disconnect_volume(
        self,
        connection_properties: Raw,
        device_info: Raw | None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> None:
        """Forget the volume: its share stays mounted, for others and for services that use it.

        Nothing is asked of the share, whose server may be away, and no lock is waited for.
        """
        operation.check_now()
        try:
            volume, wanted = self._parsed(connection_properties)
        except exception.BrickException:
            return
        self._entry(volume, wanted, connection_properties).forget()

    def require(self, _operation: str, connection_properties: Raw) -> None:
        """Refuse properties that make no sense; a detach by a service ignores them.

        :raises InvalidParameterValue: naming the property that is missing or wrong.
        """
        self._parsed(connection_properties)

    def plan(
        self,
        operation_name: str,
        connection_properties: Raw,
        device_info: Raw | None = None,
        *,
        force: bool = False,
    ) -> tuple[acts.Plan, ...]:
        """What an attach or a detach would do now; nothing is changed, and no server is asked.

        :raises InvalidParameterValue: naming the property that is missing or wrong, or the
            directory below which root would mount nothing.
        :raises VolumeIdentityMismatch: if another share is mounted there.
        :raises NotImplementedError: for an extend, as a file has its new size at once.
        """
        volume, wanted = self._parsed(connection_properties)
        if operation_name == observe.EXTEND:
            raise NotImplementedError
        deadline = wait.Deadline.after(opts.current().operation_seconds)
        found = self._client.look(wanted, deadline)
        is_attach = operation_name == observe.ATTACH
        if is_attach:
            self._client.require_place(found)
        return ((plans.attach if is_attach else plans.removal)(found, volume.name),)

    @staticmethod
    def _entry(volume: request.Volume, wanted: request.Mount, properties: Raw) -> note_entry.Entry:
        # A share may have a password in it, and so may options.
        shown = {**properties, 'export': wanted.key, 'options': ' '.join(volume.flags) and '***'}
        key = f'{wanted.kind.name} {wanted.key}/{volume.name}'
        return note_entry.Entry(shown, opts.current().state_path, key)

    def extend_volume(self, connection_properties: Raw) -> int | None:
        """Refuse: a file has its new size at once, and nothing on this host is to be told.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError

    def _parsed(self, connection_properties: Raw) -> tuple[request.Volume, request.Mount]:
        volume = request.Volume.parse(connection_properties)
        if isinstance(self._client, client.ScalityRemoteFsClient):
            request.checked(shares.FILE, volume.share, _KEYS[0])
        return volume, self._client.wanted(volume.share, volume.flags, keys=_KEYS)

    def _path(self, volume: request.Volume) -> str:
        return f'{self._client.get_mount_point(volume.share)}/{volume.name}'

    def _require_file(
        self, volume: request.Volume, wanted: request.Mount, place: str, deadline: wait.Deadline
    ) -> None:
        """Have the volume's file where the share is mounted, which is above its mount point.

        Scality's file system has its shares in itself.
        """
        below = self._client.get_mount_point(volume.share)
        inner = os.path.normpath(below).removeprefix(wanted.point).strip('/')
        mounts.require_file(place, f'{inner}/{volume.name}'.strip('/'), deadline)


def _of_connection(mount_type: str, connection: object) -> dict[str, Any]:
    """The directory that the connection of a volume names, as the keyword of a client."""
    if not isinstance(connection, Mapping):
        LOG.warning('No connection is given to the connector of %s', mount_type)
        return {}
    kind = shares.KINDS.get(mount_type)
    base = connection.get('mount_point_base')
    # CIFS is not a protocol of volumes, and takes its directory by its own keyword alone.
    if not base or kind is None or kind.name == 'cifs':
        return {}
    return {f'{kind.prefix}_mount_point_base': base}
