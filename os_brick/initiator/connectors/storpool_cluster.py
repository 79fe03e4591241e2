# SPDX-License-Identifier: Apache-2.0
"""StorPool's cluster as this host's client of it sees it: one object an operation.

The configuration is read for each operation, so one that has changed counts from the next one on.
"""

from __future__ import annotations

from typing import Any, Self

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import undo, wait
from os_brick.host import block
from os_brick.host import storpool as host
from os_brick.initiator import storpool_utils
from os_brick.model import storpool as model

LOG = logging.getLogger(__name__)

# udev and others look at a device that has just been closed: they are done within a second.
_OPEN_SECONDS = 5.0
_MISSING = 'objectDoesNotExist'
# How StorPool calls a volume that a process has open, and what it says then.
_OPEN = frozenset({'busy', 'invalidParam'})
_OPEN_TEXT = 'is open at'
_KEY = 'SP_OURID'
_DEFAULT_PREFIX = 'os'


class Cluster:
    """The cluster, asked until a deadline."""

    def __init__(self, api: storpool_utils.StorPoolAPI, client: int, prefix: str) -> None:
        self._api = api
        self.client = client
        self._prefix = prefix

    @classmethod
    def of_this_host(cls, deadline: wait.Deadline) -> Self:
        """Read the configuration.

        :raises BrickException: if it is missing, or wrong.
        """
        conf = storpool_utils.get_conf()
        try:
            client = model.client_id(conf.get(_KEY))
        except ValueError as error:
            raise exception.BrickException(
                f'{_KEY}, the number of this host in the configuration of StorPool: {error}'
            ) from None
        api = storpool_utils.StorPoolAPI(
            conf['SP_API_HTTP_HOST'], conf['SP_API_HTTP_PORT'], conf.get('SP_AUTH_TOKEN') or ''
        )
        return cls(api.until(deadline), client, prefix_of(conf))

    def name_of(self, volume_id: str) -> str:
        """The cluster's name of a Cinder volume."""
        return storpool_utils.os_to_sp_volume_name(self._prefix, volume_id)

    def volume(self, name: str) -> model.Volume:
        """A volume, by its name or by ``~`` and its global id.

        :raises StorPoolAPIError: if there is none, or the answer cannot be used.
        """
        try:
            return model.Volume.of(self._api.volume_get_info(name))
        except ValueError as error:
            raise _unusable(f'VolumeGetInfo of {name}', error) from None

    def volume_or_none(self, name: str) -> model.Volume | None:
        """As :meth:`volume`; ``None`` if there is none."""
        try:
            return self.volume(name)
        except storpool_utils.StorPoolAPIError as error:
            if error.name != _MISSING:
                raise
            return None

    def attachments(self) -> model.Attachments:
        """What is attached to this host.

        :raises StorPoolAPIError: if the answer cannot be used.
        """
        try:
            return model.Attachments.to(self.client, self._api.attachments_list())
        except ValueError as error:
            raise _unusable('AttachmentsList', error) from None

    def attach(self, global_id: str, access: str) -> None:
        """Attach a volume to this host, or change the rights of its attachment.

        :param access: ``rw`` or ``ro``.
        """
        self._reassign(global_id, {access: [self.client]})

    def detach(self, global_id: str, deadline: wait.Deadline, *, force: bool) -> None:
        """Detach a volume from this host; one that is not attached is not an error.

        :param force: detach it even if it stays open.
        :raises VolumeInUse: if it stays open, without ``force``.
        """
        busy = wait.poll(
            lambda: self._detached(global_id), deadline.within(_OPEN_SECONDS / (1 + force))
        )
        if busy is not None:
            return
        LOG.warning('Volume %s stays open on this host', global_id)
        if not force:
            device = host.device_of(global_id)
            openers = block.openers(device) if device else []
            raise exception.VolumeInUse(
                device=host.path_of(global_id),
                holder='; '.join(openers) or 'a process that has it open',
            )
        self._reassign(global_id, {'detach': [self.client], 'force': True})

    def _detached(self, global_id: str) -> bool | None:
        """Ask once; ``None`` if the volume is open."""
        try:
            self._reassign(global_id, {'detach': [self.client], 'force': False})
        except storpool_utils.StorPoolAPIError as error:
            if error.name in _OPEN and _OPEN_TEXT in error.desc:
                return None
            # A volume that has been deleted, or was never attached.
            if self.attachments().of(global_id) is not None:
                raise
        return True

    def _reassign(self, global_id: str, what: dict[str, Any]) -> None:
        self._api.volumes_reassign_wait({'reassign': [{'volume': f'~{global_id}', **what}]})


def prefix_of(conf: dict[str, Any]) -> str:
    """What the names of this cloud's volumes begin with."""
    return conf.get('SP_OPENSTACK_VOLUME_PREFIX') or _DEFAULT_PREFIX


@undo.verb
def take_back(global_id: str, rights: str, seconds: float) -> None:
    """Have a volume be attached as it was before an attach that has failed.

    :param rights: those of the attachment that was there; empty if there was none.
    """
    deadline = wait.Deadline.after(seconds)
    cluster = Cluster.of_this_host(deadline)
    if rights:
        cluster.attach(global_id, rights)
        return
    device = host.device_of(global_id)
    number = block.inode(device) if device else 0
    stale = device and cluster.attachments().owner(device, global_id)
    cluster.detach(global_id, deadline, force=False)
    if device and not stale:
        host.require_gone(device, number, deadline)


def _unusable(what: str, error: ValueError) -> storpool_utils.StorPoolAPIError:
    facts = {'name': 'badAnswer', 'descr': f'the answer to {what} cannot be used: {error}'}
    return storpool_utils.StorPoolAPIError(200, {'error': facts})
