# SPDX-License-Identifier: Apache-2.0
"""StorPool volumes: the cluster attaches them to this host, whose client makes the devices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
import functools
import pathlib
from typing import Any

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files, locks, observe, operation, teardown, wait
from os_brick.host import block, links
from os_brick.host import storpool as host
from os_brick.initiator import storpool_utils
from os_brick.initiator.connectors import block as block_connector
from os_brick.initiator.connectors import storpool_cluster
from os_brick.initiator.connectors.storpool_cluster import Cluster
from os_brick.model import names
from os_brick.model import storpool as model
from os_brick.plans import acts, agents
from os_brick.plans import steps as steps_module
from os_brick.plans.agents import Verb
from os_brick.request import common, result
from os_brick.request import storpool as request_storpool

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]

_AGENT = 'cluster of StorPool'
DEV_STORPOOL = storpool_utils.DEV_STORPOOL
DEV_STORPOOL_BYID = storpool_utils.DEV_STORPOOL_BYID


def path_to_volname(path: pathlib.Path) -> str:
    """Return what StorPool's API calls the volume of a device's path.

    :raises InvalidParameterValue: if it is not in one of StorPool's directories.
    """
    if path.parent == DEV_STORPOOL_BYID:
        return f'~{common.parsed("device_path", path.name, names.STORPOOL_GLOBAL_ID.parse)}'
    if path.parent == DEV_STORPOOL:
        return common.parsed('device_path', path.name, names.STORPOOL_VOLUME.parse)
    raise common.bad(
        'device_path', f'{names.shown(str(path))} is not a valid path of a StorPool volume'
    )


class StorPoolConnector(block_connector.BlockConnector):
    """Attaches volumes of StorPool. Its configuration is read when it is needed."""

    Request = request_storpool.StorPoolRequest

    def __init__(
        self, root_helper: str | None, driver: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(root_helper, driver, *args, **kwargs)

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return nothing: Cinder knows this host by StorPool's configuration."""
        return {}

    def _attach(
        self, request: request_storpool.StorPoolRequest, op: operation.Operation
    ) -> result.BlockDevice:
        access = request.require_access()
        cluster = Cluster.of_this_host(op.work)
        name = cluster.name_of(request.require_volume())
        with observe.step(Verb.ASK, _AGENT):
            volume = cluster.volume(name)
        with _locked(volume.global_id, op.work), op.undo.on_error():
            device = _bring(cluster, volume, access, op)
            with observe.step(Verb.READ, device):
                _verify(cluster, name, volume, device, op)
        return result.BlockDevice(host.path_of(volume.global_id))

    def _detach(
        self,
        request: request_storpool.StorPoolRequest,
        steps: teardown.Teardown,
        op: operation.Operation,
    ) -> Collection[str]:
        cluster = Cluster.of_this_host(op.deadline)
        with observe.step(Verb.ASK, _AGENT):
            global_id = _meant(cluster, request)
        if global_id is None:
            LOG.warning('There is no volume %s to be detached from this host', request.volume)
            return []
        with _locked(global_id, op.deadline):
            return _release(cluster, global_id, steps, op)

    def _extend(self, request: request_storpool.StorPoolRequest, op: operation.Operation) -> int:
        cluster = Cluster.of_this_host(op.work)
        global_id = _meant(cluster, request)
        device = host.device_of(global_id) if global_id else None
        if global_id is None or device is None:
            raise exception.VolumePathsNotFound
        _require_own(cluster, global_id, device)
        before = block.size_bytes(device)
        with observe.step(Verb.ASK, _AGENT):
            size = cluster.volume(f'~{global_id}').size
        if size < before:
            raise exception.VolumeHasShrunk(device=f'/dev/{device}', size=size, before=before)
        with observe.step(Verb.AWAIT_SIZE, device):
            return host.grown(device, size, op.work)

    def _plan(
        self,
        operation_name: str,
        request: request_storpool.StorPoolRequest,
        _op: Any,
        *,
        force: bool,
    ) -> tuple[steps_module.Plan[Any], ...]:
        if operation_name == observe.ATTACH:
            access = request.require_access()
            found = _found(request)
            return (agents.storpool_attach(found, access, is_encrypted=request.encrypted),)
        found = _found(request)
        if operation_name == observe.EXTEND:
            if not found.devices:
                raise exception.VolumePathsNotFound
            return (agents.storpool_extend(found),)
        here = [name for each in found.devices if (name := block.name_of(each.path))]
        return (agents.storpool_detach(found, block_connector.link_steps(request, here)),)

    def get_search_path(self) -> str | None:
        """Return the directory of the links that StorPool names after its volumes."""
        return model.BY_NAME

    def get_volume_paths(self, connection_properties: Raw) -> list[str]:
        """Return the path of a volume if it is attached.

        :raises InvalidParameterValue: naming the property that is missing or wrong.
        """
        request = self.Request.parse({'client_id': 0, **common.mapping(connection_properties)})
        prefix = storpool_cluster.prefix_of(storpool_utils.get_conf())
        name = storpool_utils.os_to_sp_volume_name(prefix, request.require_volume())
        path = links.device_of(request.device_path or f'{model.BY_NAME}/{name}')
        path_to_volname(pathlib.Path(path))
        return [path] if block.name_of(path) else []

    def get_all_available_volumes(self, connection_properties: Raw | None = None) -> list[str]:
        """Return Cinder's ids of the volumes that are attached to this host."""
        prefix = storpool_cluster.prefix_of(storpool_utils.get_conf())
        begins = storpool_utils.os_to_sp_volume_name(prefix, '')
        found = [each for each in files.names(model.BY_NAME) if each.startswith(begins)]
        paths = {each.removeprefix(begins): f'{model.BY_NAME}/{each}' for each in found}
        return [
            each
            for each, path in paths.items()
            if files.is_link(path) and not files.is_directory(path)
        ]


def _found(request: request_storpool.StorPoolRequest) -> agents.Found:
    """What there is of a volume, by its kept path or by the link that its name has."""
    prefix = storpool_cluster.prefix_of(storpool_utils.get_conf())
    name = storpool_utils.os_to_sp_volume_name(prefix, request.require_volume())
    path = links.device_of(request.device_path or f'{model.BY_NAME}/{name}')
    path_to_volname(pathlib.Path(path))
    return agents.Found(f'volume {name}', _AGENT, _devices(block.name_of(path)))


def _devices(name: str | None) -> tuple[agents.Device, ...]:
    if name is None:
        return ()
    return (agents.Device(f'/dev/{name}', block.inode(name), block.size_bytes(name)),)


def _locked(global_id: str, deadline: wait.Deadline) -> Any:
    """The lock of the volume itself: Cinder may give its name to another one."""
    return locks.hold(locks.IDENTITY, f'storpool {global_id}', deadline)


def _meant(cluster: Cluster, request: request_storpool.StorPoolRequest) -> str | None:
    """The global id of an attached volume: from the path that the caller has kept, if it has one.

    That is who the volume was; after a migration another one has its name.

    :return: ``None`` if the cluster has no such volume.
    :raises InvalidParameterValue: if the path is not one of StorPool's.
    """
    if request.device_path:
        name = path_to_volname(pathlib.Path(links.device_of(request.device_path)))
        if name.startswith('~'):
            return name[1:]
    else:
        name = cluster.name_of(request.require_volume())
    found = cluster.volume_or_none(name)
    return found.global_id if found else None


def _bring(cluster: Cluster, volume: model.Volume, access: str, op: operation.Operation) -> str:
    """Have a volume be attached; return its device. Rights that it has already stay."""
    global_id = volume.global_id
    before = cluster.attachments().of(global_id) if host.device_of(global_id) else None
    if before is None or not before.allows(access):
        rights = before.rights if before else ''
        op.undo.add(storpool_cluster.take_back, global_id, rights, op.clean_up_seconds)
        with observe.step(Verb.ORDER_ATTACH, _AGENT):
            cluster.attach(global_id, access)
    elif before.rights != access:
        LOG.warning('Volume %s is attached as %s already, and stays so', global_id, before.rights)
    limit = op.work.within(op.settings.scan_seconds)
    with observe.step(Verb.AWAIT_DEVICE, global_id):
        return host.appeared(global_id, cluster.attachments().owner, limit)


def _verify(
    cluster: Cluster, name: str, volume: model.Volume, device: str, op: operation.Operation
) -> None:
    """Have a device be the volume that is meant, and be usable.

    :raises VolumeIdentityMismatch: if it is another one, or another one has its name by now.
    :raises VolumeDeviceNotFound: if it cannot be read.
    """
    number = block.inode(device)
    path = host.path_of(volume.global_id)
    error = block.why_unusable(device, op.work.limit(block.READ_SECONDS))
    if error is not None:
        raise exception.VolumeDeviceNotFound(device=f'{path} ({error})') from error
    host.require_size(device, lambda: _size_of(cluster, name, volume.global_id), op.work)
    if host.device_of(volume.global_id) != device or block.inode(device) != number:
        raise exception.VolumeDeviceNotFound(device=path)


def _size_of(cluster: Cluster, name: str, global_id: str) -> int:
    """The size of the volume that has a name, which is still the one that is meant.

    :raises VolumeIdentityMismatch: if it is another one.
    """
    found = cluster.volume(name)
    if found.global_id != global_id:
        raise exception.VolumeIdentityMismatch(
            device=host.path_of(global_id),
            expected=name,
            actual='the volume that had this name before',
        )
    return found.size


def _require_own(cluster: Cluster, global_id: str, device: str) -> None:
    """Have a device be a volume's, whatever its link was made for.

    :raises VolumeIdentityMismatch: if it is another volume's.
    """
    owner = cluster.attachments().owner(device, global_id)
    if owner:
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{device}', expected=f'volume {global_id}', actual=owner
        )


def _write_back(device: str, number: int, steps: teardown.Teardown, limit: float) -> None:
    """Have nothing use a device, and what is cached of it be written."""
    acts_of = {
        Verb.CHECK_USERS: functools.partial(host.require_unused, device),
        Verb.FLUSH: functools.partial(block.flush, device, number, limit),
    }
    for each in agents.written_back(*_devices(device)):
        steps.run(each, acts_of[Verb(each.verb)])


def _release(
    cluster: Cluster, global_id: str, steps: teardown.Teardown, op: operation.Operation
) -> list[str]:
    """Detach a volume; return the name of its device if that is gone."""
    device = host.device_of(global_id)
    # Read before the cluster is asked whose device it is, and proved again by each act.
    number = block.inode(device) if device else 0
    attachments = cluster.attachments()
    if device and (owner := attachments.owner(device, global_id)):
        LOG.warning('The link of volume %s leads to the device of %s', global_id, owner)
        device = None
    if device is None and attachments.of(global_id) is None:
        LOG.warning('Volume %s is not attached to this host', global_id)
        return []
    force = steps.on_error.is_forced
    if device:
        _write_back(device, number, steps, teardown.flush_limit(op.deadline, force))
    detach = functools.partial(cluster.detach, global_id, op.deadline, force=force)
    is_detached = steps.run(acts.Act(Verb.ORDER_DETACH, f'volume {global_id}'), detach)
    if not device or not is_detached:
        return []
    gone = functools.partial(host.require_gone, device, number, op.deadline)
    is_gone = steps.run(acts.Act(Verb.AWAIT_GONE, f'/dev/{device}', number), gone)
    return [device] if is_gone else []
