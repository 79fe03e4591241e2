# SPDX-License-Identifier: Apache-2.0
"""Clients that mount shares: what cinder's drivers use, and the connector of remote file systems.

A share is mounted below a directory of the service, at a place that is named by the share's MD5;
it stays mounted until the service or an operator unmounts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
import os
from typing import Any

from os_brick import exception, executor, opts
from os_brick.core import locks, operation, wait
from os_brick.host import mounts
from os_brick.model import names, shares
from os_brick.plans import share as plans
from os_brick.privileged import rootwrap
from os_brick.remotefs import course, programs
from os_brick.request import remotefs as request


class RemoteFsClient(executor.Executor):
    """Mounts the shares of one type of file system.

    :param mount_type: ``nfs``, ``cifs``, ``glusterfs``, ``quobyte``, ``scality``, ``vzstorage``.
    :param execute: what runs the programs; by default our own root daemon does.
    :param kwargs: the directory below which shares are mounted, ``nfs_mount_point_base`` for
        example, and options for ``mount``, ``nfs_mount_options``.
    :raises ProtocolNotSupported: if there is no such type.
    :raises InvalidParameterValue: if the directory is missing.
    """

    _brings_execute = False

    def __init__(
        self,
        mount_type: str,
        root_helper: str | None,
        execute: Callable[..., Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self._settings = request.Settings.of(mount_type, kwargs)
        super().__init__(root_helper, execute, *args, **kwargs)

    def set_execute(self, execute: Callable[..., Any]) -> None:
        """Run programs with ``execute`` from now on."""
        self._brings_execute = execute is not rootwrap.execute
        super().set_execute(execute)

    def get_mount_base(self) -> str:
        """Return the directory below which shares are mounted."""
        return self._settings.base

    def get_mount_point(self, device_name: str) -> str:
        """Return where a share is mounted, or would be."""
        return os.path.join(self._settings.base, shares.digest(device_name))

    def mount(self, share: str, flags: Sequence[str] | None = None) -> None:
        """Mount a share; one that is mounted is not an error.

        :param flags: words for the command line of ``mount``: ``['-o', 'vers=3']``.
        :raises InvalidParameterValue: naming what is wrong with the share or the flags.
        :raises VolumeIdentityMismatch: if something else is mounted there.
        :raises VolumeInUse: if the share's handle is stale and processes use the mount.
        :raises OperationTimedOut: if the server does not answer in time.
        :raises BrickException: if a share of NFS cannot be mounted.
        :raises ProcessExecutionError: if another one cannot be mounted.
        """
        self._run(self.wanted(share, flags))

    def wanted(
        self, share: object, flags: Sequence[str] | None = None, **keywords: Any
    ) -> request.Mount:
        """Return what is to be mounted, for :meth:`ensure`.

        :param keywords: ``keys``, what an error calls the share and the flags.
        :raises InvalidParameterValue: naming what is wrong.
        """
        point = f'{self._settings.required_base}/{_digest(share)}'
        return request.mount_of(self._settings, share, point, flags, **keywords)

    def ensure(self, wanted: request.Mount, op: operation.Operation) -> str:
        """Have a share mounted within an operation that has its lock; return where."""
        return course.ensure(wanted, self._programs(op), op)

    def look(self, wanted: request.Mount, deadline: wait.Deadline) -> plans.Found:
        """Return what there is of a share, for a plan; its server is not asked."""
        return course.look(wanted, deadline)

    def require_place(self, found: plans.Found) -> None:
        """Refuse a place where root would mount nothing.

        :raises InvalidParameterValue: naming the keyword of the directory.
        """
        if found.mounted is None and not self._brings_execute:
            request.checked_place(self._settings, found.place)

    def _run(self, wanted: request.Mount) -> None:
        lock = (locks.SHARE, wanted.key)
        with operation.begin('mount', wanted, lock, opts.current()) as op:
            self.ensure(wanted, op)

    def _programs(self, op: operation.Operation) -> programs.Programs:
        if self._brings_execute:
            return programs.OfCaller(self._execute_as_root, op.lock)
        return programs.Own()

    def _execute_as_root(self, *words: str, **keywords: Any) -> Any:
        return self._execute(*words, run_as_root=True, root_helper=self._root_helper, **keywords)

    def _read_mounts(self) -> dict[str, str]:
        """Return what is mounted, by the place; cinder's drivers use it."""
        return {mount.place: mount.source for mount in mounts.table()}

    def _mount_nfs(
        self, nfs_share: str, mount_path: str, flags: Sequence[str] | None = None
    ) -> None:
        """Mount a share of NFS at a place below the mount base; cinder's drivers use it.

        :raises InvalidParameterValue: if the place lies elsewhere, or is another share's.
        """
        wanted = dataclasses.replace(
            self.wanted(nfs_share, flags), point=self._below_base(mount_path, nfs_share)
        )
        self._run(wanted)

    def _below_base(self, mount_path: str, share: str) -> str:
        point = os.path.normpath(mount_path)
        is_below = point.startswith(f'{self._settings.required_base}/')
        if is_below and not shares.PLACE.why_not(point) and not shares.is_of_another(point, share):
            return point
        raise exception.InvalidParameterValue(
            err=f'mount_path: {names.shown(mount_path)} is not a place where {share} is mounted'
        )


def _digest(share: object) -> str:
    """The name of a share's mount point; of what is not a share another one, which is not used."""
    try:
        return shares.digest(str(share))
    except UnicodeEncodeError:
        return shares.digest('')


class ScalityRemoteFsClient(RemoteFsClient):
    """Mounts Scality's file system, as a whole and once; a share is a directory in it."""

    def get_mount_base(self) -> str:
        """Return the directory on which it is mounted."""
        return self._settings.base.rstrip('/')

    def get_mount_point(self, device_name: str) -> str:
        """Return the directory of a share."""
        return os.path.join(self.get_mount_base(), device_name, '00')

    def wanted(
        self, share: object = None, flags: Sequence[str] | None = None, **keywords: Any
    ) -> request.Mount:
        """Return what is to be mounted, whatever the share is."""
        base = self._settings.required_base
        return request.Mount(self._settings.kind, base, base, base)


class VZStorageRemoteFSClient(RemoteFsClient):
    """Mounts clusters of Virtuozzo Storage: ``[SERVER[,SERVER...]:/]CLUSTER[:PASSWORD]``."""


CLIENTS = {'scality': ScalityRemoteFsClient, 'vzstorage': VZStorageRemoteFSClient}
