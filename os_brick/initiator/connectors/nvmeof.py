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
    links,
    machine,
    mirror_undo,
    nvme,
    nvme_growth,
    nvme_removal,
    nvme_survey,
)
from os_brick.initiator import reports
from os_brick.initiator.connectors import block, nvmeof_raid
from os_brick.initiator.connectors.nvmeof_names import *  # noqa: F403 for callers outside
from os_brick.model import fabrics
from os_brick.paths import nvme as nvme_paths
from os_brick.paths import nvme_attach, nvme_plan, nvme_request
from os_brick.plans import nvme_attach as plans_attach
from os_brick.plans import nvme_removal as plans_removal
from os_brick.plans import nvmeof as plans
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
        here = [self._survey(request, each, limit, is_here=False) for each in request.namespaces]
        heads = _heads(here)
        if request.replication is not Replication.NONE:
            array = self._array(request, heads)
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
        here = [self._survey(request, each, op.work, is_here=False) for each in request.namespaces]
        before = set(_heads(here))
        devices = self._attach_members(request, attach)
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

    def _survey(
        self,
        request: Volume,
        namespace: Namespace,
        deadline: wait.Deadline,
        *,
        is_here: bool = True,
        for_removal: bool = False,
    ) -> plans_removal.Choice:
        """What there is of a namespace at the portals of the properties.

        :param is_here: as of :func:`nvme_request.resolved`.
        :param for_removal: whether to look at what only a removal needs, too.
        """
        places = nvme_survey.Places(
            nqn=namespace.nqn,
            portals=nvme_request.resolved(namespace, deadline, is_here=is_here),
            host_nqn=namespace.host_nqn or machine.or_none(machine.known_host_nqn),
            volume=request.key,
        )
        used = _used_head(request.device_path)
        wanted = plans_removal.Wanted(str(namespace), namespace.identity, used)
        if for_removal:
            # The users of members are asked for once their array, which is one, has stopped.
            is_alone = request.replication is Replication.NONE
            found = nvme_survey.for_removal(places, wanted, with_users=is_alone)
        else:
            found = nvme_survey.namespace(places, wanted)
        return plans_removal.choose(found, wanted)

    def _detach(
        self, request: Volume, steps: teardown.Teardown, op: operation.Operation
    ) -> Collection[str]:
        background.stop(op.key)
        here = [
            self._survey(request, each, op.work, for_removal=True) for each in request.namespaces
        ]
        heads = _heads(here)
        if not heads:
            LOG.warning(
                'Detach: there is no %s on this host%s', _named(request), _elsewhere(request)
            )
        name = self._array(request, heads)
        force, array = steps.on_error.is_forced, nvme_survey.array(name) if name else None
        removal = plans_removal.plan(here, array, flush_used=force)
        nvme_removal.run(removal, steps, op.deadline, force=force)
        return [*heads, *filter(None, [name])]

    def _plan(
        self, operation_name: str, request: Volume, op: operation.Operation
    ) -> tuple[plans_steps.Plan[Any], ...]:
        if operation_name == observe.ATTACH:
            return (self._attach_plan(request, op),)
        if operation_name != observe.DETACH:
            raise NotImplementedError
        here = [
            self._survey(request, each, op.work, for_removal=True) for each in request.namespaces
        ]
        name = self._array(request, _heads(here))
        array = nvme_survey.array(name) if name else None
        return (plans_removal.plan(here, array, flush_used=False),)

    def _attach_plan(
        self, request: Volume, op: operation.Operation
    ) -> plans_steps.Plan[plans_attach.Step]:
        if request.replication is not Replication.NONE:
            raise NotImplementedError(
                'what is done with a mirror is decided by what its members have on them, which are '
                'not here before'
            )
        several = self._wants_multipath(request)
        here = self._survey(request, request.namespaces[0], op.work, is_here=False)
        return nvme_plan.of(request, here, op, is_multipath=several)

    def _still_shows(self, request: Volume, device: str) -> bool:
        # The array maps it to this host until it is told, behind controllers that others use.
        return device in self.get_volume_paths(request)

    def _extend(self, request: Volume, op: operation.Operation) -> int:
        here = [self._survey(request, namespace, op.work) for namespace in request.namespaces]
        heads = _heads(here)
        if not heads:
            raise exception.VolumePathsNotFound(f'There is no {_named(request)} on this host')

        def grow(each: plans_removal.Choice) -> int:
            return nvme_growth.grow(each.wanted.identity, each.paths, op.deadline)

        sizes, errors = fanout.fanout(grow, here)
        array = self._array(request, heads)
        if array is None and request.replication is Replication.ARRAY:
            raise exception.VolumePathsNotFound(
                f'There is no array {request.alias} over {", ".join(heads)} on this host'
            )
        if errors and (array is None or not sizes):
            raise next(iter(errors.values()))
        if array is None:
            return min(sizes.values())
        return nvme_growth.grow_array(nvme_survey.array(array), op.deadline)

    @staticmethod
    def _array(request: Volume, heads: tuple[str, ...]) -> str | None:
        """The array of a replicated volume over its members, or ``None``."""
        is_replicated = request.replication is not Replication.NONE
        return nvmeof_raid.array_of(request.alias, heads) if is_replicated else None


def _heads(choices: Iterable[plans_removal.Choice]) -> tuple[str, ...]:
    """The block devices of the namespaces of a volume."""
    return tuple(head for each in choices for head in each.heads)


def _named(request: Volume) -> str:
    """The namespaces of a volume, in words."""
    return '; '.join(str(namespace) for namespace in request.namespaces)


def _elsewhere(request: Volume) -> str:
    """Where a volume is that the properties do not lead to, in words for a log.

    It was attached by another name of this host, or a portal's name has another address by now.
    """
    found = [
        f'{controller} (connected as {controller.host_nqn or "?"})'
        for namespace in request.namespaces
        if namespace.identity.is_unique
        for controller in nvme.controllers(namespace.nqn)
        if plans.matching(namespace.identity, nvme.paths(controller.name))
    ]
    return (
        f'; it stays behind {"; ".join(found)}, where the properties do not lead' if found else ''
    )


def _used_head(device_path: str | None) -> str | None:
    """The namespace's head that a caller has used, whether it is there or not."""
    name = links.device_of(device_path).rpartition('/')[2] if device_path else ''
    return name if fabrics.is_head(name) else None
