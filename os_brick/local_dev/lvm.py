# SPDX-License-Identifier: Apache-2.0
"""LVM: logical volumes of one volume group, thick, thin, mirrored and snapshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception, executor
from os_brick.host import lvm as host
from os_brick.local_dev import tools
from os_brick.model import lvm as model
from os_brick.model import names
from os_brick.plans import lvm as plans

LOG = logging.getLogger(__name__)

_THIN = 'thin'


class LVM(executor.Executor):
    """One volume group.

    Sizes are in GiB where they are returned. A size that is passed has LVM's form: a number and a
    unit, such as ``10g``; LVM counts in powers of 1024 and rounds up to whole extents.
    """

    LVM_CMD_PREFIX: list[str] = list(tools.PREFIX)

    def __init__(
        self,
        vg_name: str,
        root_helper: str,
        create_vg: bool = False,
        physical_volumes: list[Any] | None = None,
        lvm_type: str | None = 'default',
        executor: Callable[..., tuple[str, str]] | None = None,
        lvm_conf: Any = None,
        suppress_fd_warn: bool | None = False,
    ) -> None:
        """Take a volume group, which is active, or make it.

        :param create_vg: make the group on ``physical_volumes``.
        :param lvm_type: ``thin`` for volumes in a thin pool, which is made if it is not there.
        :param executor: runs the programs, instead of the root daemon.
        :param lvm_conf: a file ``lvm.conf``; its directory becomes LVM's, if the file is there.
        :param suppress_fd_warn: have LVM not warn of files that its parent has left open.
        :raises InvalidParameterValue: if a name is not valid; nothing was run.
        :raises VolumeGroupNotFound: if there is no such group.
        :raises VolumeGroupCreationFailed: if it cannot be made.
        """
        super().__init__(execute=executor, root_helper=root_helper)
        self.vg_name = model.parse_name(names.VG, vg_name, 'vg_name')
        self.LVM_CMD_PREFIX = tools.prefix(
            type(self).LVM_CMD_PREFIX, lvm_conf, suppress_fd_warn=bool(suppress_fd_warn)
        )
        self.pv_list: list[dict[str, Any]] = []
        self.vg_size = 0.0
        self.vg_free_space = 0.0
        self.vg_lv_count = 0
        self.vg_uuid: str | None = None
        self.vg_thin_pool: str | None = None
        self.vg_thin_pool_size = 0.0
        self.vg_thin_pool_free_space = 0.0
        self.vg_provisioned_capacity = 0.0
        lvm2 = self._tools()
        if create_vg and physical_volumes is not None:
            self._create_vg(physical_volumes, lvm2)
        if not self._vg_exists(lvm2):
            raise exception.VolumeGroupNotFound(vg_name=vg_name)
        if lvm_type == _THIN:
            self._take_pool(lvm2)
        self.pv_list = lvm2.devices(self.vg_name)

    # The group.

    def _tools(self, root_helper: str | None = None) -> host.Tools:
        """LVM's tools for one operation, which ends by ``[os_brick] operation_timeout``."""
        helper = self._root_helper if root_helper is None else root_helper
        return tools.begin(self._execute, helper, self.LVM_CMD_PREFIX)

    def _create_vg(self, pv_list: object, lvm2: host.Tools) -> None:
        if not isinstance(pv_list, list | tuple) or not pv_list:
            raise exception.InvalidParameterValue(err='physical_volumes: expected a list of paths')
        devices = [model.parse_name(names.PV_PATH, path, 'physical_volumes') for path in pv_list]
        try:
            lvm2.run(plans.create_group(self.vg_name, devices), self.vg_name)
        except processutils.ProcessExecutionError as error:
            LOG.error('Making volume group %s failed: %s', self.vg_name, error.stderr or error)
            raise exception.VolumeGroupCreationFailed(vg_name=self.vg_name) from error

    def _vg_exists(self, lvm2: host.Tools | None = None) -> bool:
        found = (lvm2 or self._tools()).groups(self.vg_name)
        return any(group.name == self.vg_name for group in found)

    def _take_pool(self, lvm2: host.Tools) -> None:
        """Have thin volumes made in the pool of this group, which is made if it is not there."""
        pool = f'{self.vg_name}-pool'
        if not lvm2.has(self.vg_name, pool):
            try:
                self._create_pool(pool, lvm2)
            except processutils.ProcessExecutionError:
                # Another process may have made it meanwhile.
                if not lvm2.has(self.vg_name, pool):
                    raise
        self.vg_thin_pool = pool
        lvm2.activate(self.vg_name, pool, permanent=False)

    def update_volume_group_info(self) -> None:
        """Read sizes and numbers of the group, and of its thin pool.

        :raises VolumeGroupNotFound: if there is no such group.
        """
        self._update(self._tools())

    def _update(self, lvm2: host.Tools) -> None:
        found = [group for group in lvm2.groups(self.vg_name) if group.name == self.vg_name]
        if len(found) != 1:
            raise exception.VolumeGroupNotFound(vg_name=self.vg_name)
        group = found[0]
        self.vg_size, self.vg_free_space = model.gib(group.size), model.gib(group.free)
        self.vg_lv_count, self.vg_uuid = group.volumes, group.uuid
        if self.vg_thin_pool:
            self._update_pool(lvm2)

    def _update_pool(self, lvm2: host.Tools) -> None:
        capacity = 0
        self.vg_thin_pool_size = self.vg_thin_pool_free_space = 0.0
        for volume in lvm2.states(self.vg_name):
            if volume.name != self.vg_thin_pool:
                capacity += volume.size
                continue
            self.vg_thin_pool_size = model.gib(volume.size)
            self.vg_thin_pool_free_space = volume.unused_gib
        self.vg_provisioned_capacity = model.gib(capacity)

    def vg_mirror_free_space(self, mirror_count: int) -> float:
        """How many GiB are free for volumes with so many mirrors, by ``pv_list``."""
        count = model.parse_count(mirror_count, 'mirror_count')
        return plans.mirror_room([pv['available'] for pv in self.pv_list], count)

    def vg_mirror_size(self, mirror_count: int) -> float:
        """How many GiB are free for volumes with so many mirrors, if any disk is as good."""
        return self.vg_free_space / (model.parse_count(mirror_count, 'mirror_count') + 1)

    # Questions; the static ones use the root daemon unless they are called on an instance.

    @tools.on_instances
    @staticmethod
    def get_lvm_version(root_helper: str) -> tuple[int, int, int]:
        """The release of LVM: major, minor and patch.

        :raises BrickException: if LVM does not report one.
        """
        return tools.of(root_helper).version()

    @tools.on_instances
    @staticmethod
    def get_lv_info(
        root_helper: str, vg_name: str | None = None, lv_name: str | None = None
    ) -> list[dict[str, Any]]:
        """The logical volumes of this host, of a group, or one; none if it is not there.

        A name without a group is ignored. A size is a text, in GiB.

        :raises ProcessExecutionError: if they cannot be read, as of an exported group.
        """
        vg = model.parse_name(names.VG, vg_name, 'vg_name') if vg_name else None
        lv = model.parse_name(names.LV, lv_name, 'lv_name') if vg and lv_name else None
        return [volume.as_dict() for volume in tools.of(root_helper).volumes(vg, lv)]

    @tools.on_instances
    @staticmethod
    def get_all_physical_volumes(
        root_helper: str, vg_name: str | None = None
    ) -> list[dict[str, Any]]:
        """The physical volumes of this host, or of a group; sizes in GiB."""
        return tools.of(root_helper).devices(vg_name)

    @tools.on_instances
    @staticmethod
    def get_all_volume_groups(root_helper: str, vg_name: str | None = None) -> list[dict[str, Any]]:
        """The volume groups of this host, or one; sizes in GiB.

        :raises VolumeGroupNotFound: if that one is not there.
        """
        vg = model.parse_name(names.VG, vg_name, 'vg_name') if vg_name else None
        return [group.as_dict() for group in tools.of(root_helper).groups(vg)]

    def get_volumes(self, lv_name: str | None = None) -> list[dict[str, Any]]:
        """The logical volumes of the group, or one; a size is a text, in GiB."""
        lv = model.parse_name(names.LV, lv_name, 'lv_name') if lv_name else None
        return [volume.as_dict() for volume in self._tools().volumes(self.vg_name, lv)]

    def get_volume(self, name: str) -> dict[str, Any] | None:
        """One logical volume; ``None`` if it is not there."""
        found = self.get_volumes(model.parse_name(names.LV, name, 'name'))
        return next((volume for volume in found if volume['name'] == name), None)

    def get_physical_volumes(self) -> list[dict[str, Any]]:
        """The physical volumes of the group, which ``pv_list`` has from now on."""
        self.pv_list = self._tools().devices(self.vg_name)
        return self.pv_list

    def lv_has_snapshot(self, name: str) -> bool:
        """Whether a thick volume has snapshots; a thin one never says so.

        :raises VolumeDeviceNotFound: if there is no such volume.
        """
        return self._tools().volume(self.vg_name, self._existing(name)).is_origin

    def _lv_is_active(self, name: str) -> bool:
        return self._tools().state(self.vg_name, self._existing(name)).is_active

    def _existing(self, name: object, key: str = 'name') -> str:
        return model.parse_name(names.LV, name, key)

    @staticmethod
    def _mangle_lv_name(name: str) -> str:
        return model.mangled(name)

    # Changes.

    def create_thin_pool(self, name: str | None = None) -> None:
        """Make a thin pool of all that is free, for the thin volumes of this object.

        :param name: by default the group's name and ``-pool``.
        """
        lvm2 = self._tools()
        pool = f'{self.vg_name}-pool' if name is None else name
        self._create_pool(pool, lvm2)
        self.vg_thin_pool = pool

    def _create_pool(self, pool: str, lvm2: host.Tools) -> None:
        model.parse_new_name(self.vg_name, pool, 'name')
        self._update(lvm2)
        lvm2.run(plans.create_pool(self.vg_name, pool), self.vg_name, tries=host.TRIES)

    def create_volume(
        self, name: str, size_str: str, lv_type: str = 'default', mirror_count: int = 0
    ) -> None:
        """Make a logical volume.

        :param size_str: a number and a unit, such as ``10g``.
        :param lv_type: ``thin`` for one in the pool of this object.
        :param mirror_count: how many mirrors a thick volume has.
        :raises InvalidParameterValue: if an argument is not valid; nothing was run.
        :raises ProcessExecutionError: if LVM refuses; its text has the reason.
        """
        model.parse_new_name(self.vg_name, name, 'name')
        size = model.parse_size(size_str, 'size_str')
        mirrors = model.parse_count(mirror_count, 'mirror_count')
        words = plans.create_thick(self.vg_name, name, size, mirrors)
        if lv_type == _THIN:
            words = plans.create_thin(self.vg_name, self._pool(mirrors), name, size)
        self._tools().run(words, self.vg_name, tries=host.TRIES)

    def _pool(self, mirrors: int) -> str:
        if mirrors:
            raise exception.InvalidParameterValue(
                err='mirror_count: a thin volume has no mirrors, and its pool may have'
            )
        if not self.vg_thin_pool:
            raise exception.InvalidParameterValue(
                err=f'lv_type: volume group {self.vg_name} has no thin pool: see create_thin_pool'
            )
        return self.vg_thin_pool

    def create_lv_snapshot(self, name: str, source_lv_name: str, lv_type: str = 'default') -> None:
        """Make a snapshot of a logical volume, with room for all of it unless it is thin.

        :param lv_type: ``thin`` if the source is.
        :raises VolumeDeviceNotFound: if the source is not there.
        """
        model.parse_new_name(self.vg_name, name, 'name')
        source = self._existing(source_lv_name, 'source_lv_name')
        lvm2 = self._tools()
        found = [each for each in lvm2.volumes(self.vg_name, source) if each.name == source]
        if not found:
            raise exception.VolumeDeviceNotFound(device=source_lv_name)
        lvm2.snapshot(self.vg_name, name, found[0], thin=lv_type == _THIN)

    def activate_lv(self, name: str, is_snapshot: bool = False, permanent: bool = False) -> None:
        """Activate a logical volume.

        :param is_snapshot: ignored.
        :param permanent: whether it is activated with all others from now on.
        :raises VolumeDeviceNotFound: if it is not there, or not active afterwards.
        """
        lv = self._mangle_lv_name(self._existing(name))
        self._tools().activate(self.vg_name, lv, permanent=permanent)

    def deactivate_lv(self, name: str) -> None:
        """Deactivate a logical volume.

        :raises VolumeNotDeactivated: if the kernel still has its device.
        :raises ProcessExecutionError: if it is in use.
        """
        lv = self._mangle_lv_name(self._existing(name))
        self._tools().deactivate(self.vg_name, lv)

    def delete(self, name: str) -> None:
        """Remove a logical volume, and no other one.

        :raises VolumeDeviceNotFound: if it is not there.
        :raises VolumeInUse: if its snapshots, or the volumes of a pool, would go with it.
        :raises ProcessExecutionError: if it is in use.
        """
        self._tools().remove(self.vg_name, self._existing(name))

    def revert(self, snapshot_name: str) -> None:
        """Give the origin of a snapshot the snapshot's content; the snapshot is gone then.

        If the origin is in use, that happens when it is activated next.

        :param snapshot_name: its name, with or without the group's and a slash.
        :raises InvalidParameterValue: if it is of another group.
        """
        vg, slash, name = str(snapshot_name).rpartition('/')
        if slash and vg != self.vg_name:
            raise exception.InvalidParameterValue(
                err=f'snapshot_name: {names.shown(snapshot_name)} is not in {self.vg_name}'
            )
        lv = self._existing(name if slash else snapshot_name, 'snapshot_name')
        self._tools().run(plans.merge(self.vg_name, lv), self.vg_name, lv)

    def extend_volume(self, lv_name: str, new_size: Any) -> None:
        """Grow a logical volume; one that has that size stays as it is.

        A thick volume with snapshots must not be in use: it is inactive while it grows.

        :param new_size: a number and a unit, such as ``10g``; ``+1g`` adds.
        :raises VolumeDeviceNotFound: if it is not there.
        """
        lv = self._existing(lv_name, 'lv_name')
        size = model.parse_size(new_size, 'new_size', may_be_relative=True)
        self._tools().extend(self.vg_name, lv, size)

    def rename_volume(self, lv_name: str, new_name: str) -> None:
        """Give a logical volume another name.

        :raises VolumeDeviceNotFound: if it is not there.
        """
        lv = self._existing(lv_name, 'lv_name')
        model.parse_new_name(self.vg_name, new_name, 'new_name')
        self._tools().run(plans.rename(self.vg_name, lv, new_name), self.vg_name, lv)
