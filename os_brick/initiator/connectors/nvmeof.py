# SPDX-License-Identifier: Apache-2.0
"""Volumes of NVMe over Fabrics subsystems: over TCP, RDMA and Fibre Channel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
import functools
from typing import Any

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import background, fanout, net, observe, operation, teardown, wait
from os_brick.host import (
    machine,
    mirror_undo,
    nvme_growth,
    nvme_removal,
    nvme_survey,
)
from os_brick.initiator import reports
from os_brick.initiator.connectors import block, nvmeof_here, nvmeof_plan, nvmeof_raid
from os_brick.initiator.connectors.nvmeof_names import *  # noqa: F403 for callers outside
from os_brick.model import fabrics
from os_brick.paths import nvme as nvme_paths
from os_brick.paths import nvme_attach, nvme_plan, nvme_request
from os_brick.plans import nvme_removal as plans_removal
from os_brick.plans import steps as plans_steps
from os_brick.request import nvmeof as request_nvmeof
from os_brick.request import result

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]
Volume = request_nvmeof.NvmeRequest
Namespace = request_nvmeof.Namespace
Replication = request_nvmeof.Replication

DEV_SEARCH_PATH = '/dev/'
DEVICE_SCAN_ATTEMPTS_DEFAULT = 5


class NVMeOFConnector(block.BlockConnector):
    """Attaches namespaces of NVMe over Fabrics subsystems, alone or as members of an array."""

    Request = request_nvmeof.NvmeRequest

    def __init__(
        self,
        root_helper: str | None,
        driver: Any = None,
        use_multipath: bool = False,
        device_scan_attempts: int = DEVICE_SCAN_ATTEMPTS_DEFAULT,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *(root_helper, driver, *args),
            **{'device_scan_attempts': device_scan_attempts, **kwargs},
        )
        self.use_multipath = use_multipath

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return who this host is to NVMe subsystems, and whether it has native multipath.

        The names are made once, where nvme-cli is installed. No program is started but for the
        machine's UUID where its firmware does not show in sysfs.
        """
        return reports.nvme(root_helper, **kwargs)

    @classmethod
    def nvme_present(cls) -> bool:
        """Return whether nvme-cli is installed."""
        return machine.has_nvme_cli()

    def supports_multipath(self) -> bool:
        """Return whether the kernel's own multipath is on."""
        return machine.has_native_nvme_multipath()

    def run_nvme_cli(self, nvme_command: Iterable[Any], **kwargs: Any) -> tuple[str, str]:
        """Run nvme-cli as root and return what it wrote, for drivers that need more of it.

        :raises ProcessExecutionError: if it ends with an error.
        """
        words = [str(word) for word in nvme_command]
        out, err = self._execute('nvme', *words, run_as_root=True, root_helper=self._root_helper)
        return out, err

    @staticmethod
    def get_search_path() -> str:
        """Return the directory of the devices."""
        return DEV_SEARCH_PATH

    def get_volume_paths(
        self, connection_properties: Raw | Volume, device_info: Raw | None = None
    ) -> list[str]:
        """Return the device of a volume if it is here; nothing is connected."""
        request = (
            connection_properties
            if isinstance(connection_properties, request_nvmeof.NvmeRequest)
            else request_nvmeof.NvmeRequest.parse(connection_properties, device_info)
        )
        limit = wait.Deadline.after(net.RESOLVE_SECONDS)
        here = nvmeof_here.every(request, limit, is_here=False)
        heads = nvmeof_here.heads_of(here)
        if request.replication is not Replication.NONE:
            array = nvmeof_here.array_of(request, heads)
            if array is not None or request.replication is Replication.ARRAY:
                return [f'/dev/md/{request.alias}' if request.alias else f'/dev/{array}'] * bool(
                    array
                )
        return [f'/dev/{head}' for head in heads]

    def _attach(self, request: Volume, op: operation.Operation) -> result.BlockDevice:
        if request.replication is not Replication.NONE:
            nvmeof_raid.require_alias(request.alias)
        several = self._wants_multipath(request)
        background.stop(op.key)
        attach = functools.partial(self._attach_target, request, several, op)
        if request.replication is Replication.NONE:
            found = attach(request.namespaces[0])
            op.course.identity = found.identity.name
            return result.BlockDevice(f'/dev/{found.head}')
        here = nvmeof_here.every(request, op.work, is_here=False)
        before = set(nvmeof_here.heads_of(here))
        try:
            devices = self._attach_members(request, attach)
        except BaseException:
            # Some may be here by now, and held by what udev has begun to assemble of them.
            op.undo.add_local(nvmeof_here.stop_begun, request, before, op.clean_up_seconds)
            raise
        new = [device for device in devices if device not in before]
        stop, members = mirror_undo.stop_auto_assembled, mirror_undo.numbered(new)
        op.undo.add(stop, members, op.clean_up_seconds)
        if request.replication is Replication.PERHAPS:
            name = nvmeof_raid.single(
                devices[0], request.alias, op.undo, op.work, attached_before=before
            )
            is_array = name != devices[0]
        else:
            alias = nvmeof_raid.require_alias(request.alias)
            name = nvmeof_raid.bring(
                alias, devices, request.replica_count, op.undo, op.work, attached_before=before
            )
            is_array = True
        return result.BlockDevice(f'/dev/md/{request.alias}' if is_array else f'/dev/{name}')

    @staticmethod
    def _attach_members(
        request: Volume, attach: Callable[[Namespace], fabrics.Path]
    ) -> tuple[str, ...]:
        """The members of a replicated volume that can be had, side by side."""
        found, errors = fanout.fanout(attach, request.namespaces)
        for namespace, error in errors.items():
            LOG.warning(
                'Volume %s goes on without one of its replicas: %s: %s',
                request.volume_id,
                namespace,
                error,
            )
        if not found:
            text = '; '.join(str(error) for error in errors.values())
            raise exception.VolumeDeviceNotFound(
                f'Volume {request.volume_id} has no replica that can be attached: {text}'
            )
        return tuple(found[each].head for each in request.namespaces if each in found)

    def _wants_multipath(self, request: Volume) -> bool:
        if not self.use_multipath:
            return False
        if self.supports_multipath():
            return True
        if request.enforce_multipath:
            raise exception.BrickException(
                'Multipath is enforced, and the kernel has no native multipath for NVMe '
                '(nvme_core.multipath): nothing was attached'
            )
        LOG.warning(
            'Multipath is wanted, and the kernel has no native NVMe multipath: one path is used'
        )
        return False

    def _attach_target(
        self,
        request: Volume,
        several: bool,
        op: operation.Operation,
        namespace: Namespace,
    ) -> fabrics.Path:
        """Have one namespace here, readable; return it behind one of its controllers."""
        driver = nvme_paths.Driver(nvme_request.request_of(request, namespace, op))
        paths = nvme_request.paths_of(namespace, op.work)
        if LOG.isEnabledFor(logging.DEBUG):
            LOG.debug('%s', nvme_plan.of_paths(driver, namespace, paths, is_multipath=several))
        if several:
            wanted = min(2, len(paths)) if request.enforce_multipath else 1
            return nvme_attach.attach_all(driver, paths, wanted, op)
        return nvme_attach.attach_first(driver, paths, op)

    def _detach(
        self, request: Volume, steps: teardown.Teardown, op: operation.Operation
    ) -> Collection[str]:
        background.stop(op.key)
        here, array = nvmeof_here.to_detach(request, op.work)
        heads = nvmeof_here.heads_of(here)
        if not heads:
            what, where = nvmeof_here.named(request), nvmeof_here.elsewhere(request)
            LOG.warning('Detach: there is no %s on this host%s', what, where)
        force = steps.on_error.is_forced
        removal = plans_removal.plan(here, array, flush_used=force)
        nvme_removal.run(removal, steps, op.deadline, force=force)
        return [*heads, *([array.name] if array else [])]

    def _plan(
        self, operation_name: str, request: Volume, op: operation.Operation, *, force: bool
    ) -> tuple[plans_steps.Plan[Any], ...]:
        several = operation_name == observe.ATTACH and self._wants_multipath(request)
        return (nvmeof_plan.of(operation_name, request, op, is_multipath=several, force=force),)

    def _still_shows(self, request: Volume, device: str) -> bool:
        # The array maps it to this host until it is told, behind controllers that others use.
        return device in self.get_volume_paths(request)

    def _extend(self, request: Volume, op: operation.Operation) -> int:
        here, array = nvmeof_here.to_extend(request, op.work)

        def grow(each: plans_removal.Choice) -> int:
            return nvme_growth.grow(each.wanted.identity, each.paths, op.deadline)

        sizes, errors = fanout.fanout(grow, here)
        if errors and (array is None or not sizes):
            raise next(iter(errors.values()))
        if array is None:
            return min(sizes.values())
        return nvme_growth.grow_array(nvme_survey.array(array), op.deadline)
