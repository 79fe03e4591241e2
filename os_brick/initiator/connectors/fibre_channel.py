# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel volumes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
import dataclasses
import functools
from typing import Any, ClassVar

from oslo_log import log as logging

from os_brick import exception, initiator
from os_brick.core import background, files, observe, operation, teardown, wait
from os_brick.host import fc, fc_platform, lun_state, removal, scsi, survey, udev_links, volume
from os_brick.initiator import reports
from os_brick.initiator.connectors import block
from os_brick.paths import fibre_channel as fc_paths
from os_brick.paths import fibre_channel_search, scsi_extend, scsi_plan, scsi_removal
from os_brick.paths import scsi as scsi_paths
from os_brick.plans import choice as plans_choice
from os_brick.plans import paths as plans_paths
from os_brick.plans import removal as plans_removal
from os_brick.plans import steps as plans_steps
from os_brick.request import fibre_channel as request_fc
from os_brick.request import result

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]

# What is left for the LUN at least where its port came late.
_LEAST_SCAN_SECONDS = 5.0
# How often a detach looks for what a scan has added meanwhile, and how long the kernel takes
# for a disk that it has found.
_LATE_LOOKS = 3
_DISK_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """The paths of a volume, in whatever state, and where it may be.

    :ivar paths: those of the properties, and those through ports of this host that they leave out.
    """

    paths: tuple[fc_paths.Path, ...]
    places: survey.Places


class FibreChannelConnector(block.BlockConnector):
    """Attaches volumes over this host's Fibre Channel adapters.

    :cvar fibre_channel_platform: how this platform names disks and makes LUNs known.
    """

    Request = request_fc.FcRequest
    _plans_links = True
    fibre_channel_platform: ClassVar[fc_platform.FcPlatform] = fc_platform.GENERIC

    def __init__(
        self,
        root_helper: str | None,
        driver: Any = None,
        execute: Callable[..., Any] | None = None,
        use_multipath: bool = False,
        device_scan_attempts: int = initiator.DEVICE_SCAN_ATTEMPTS_DEFAULT,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *(root_helper, driver, execute, *args),
            **{'device_scan_attempts': device_scan_attempts, **kwargs},
        )
        self.use_multipath = use_multipath

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return ``wwpns`` and ``wwnns``, the names of this host's ports that are online."""
        return reports.fibre_channel(root_helper, **kwargs)

    def get_search_path(self) -> str:
        """Return the directory of udev's links by path."""
        return udev_links.BY_PATH

    def get_volume_paths(self, connection_properties: Raw) -> list[str]:
        """Return udev's links to the volume's disks that are there; nothing is scanned."""
        request = request_fc.FcRequest.parse(connection_properties)
        limit = wait.Deadline.after(udev_links.LINK_SECONDS)
        found: dict[str, None] = {}
        for path in fc_paths.paths_of(request, self.fibre_channel_platform):
            names = [
                f'{udev_links.BY_PATH}/{name}'
                for name in self.fibre_channel_platform.link_names(path)
            ]
            disk = scsi.disk_at(path.address)
            if disk and scsi_removal.is_another(disk, request.expected_wwid):
                continue
            is_here = disk is not None
            until = limit if is_here and names else wait.Deadline.after(0)
            found |= dict.fromkeys(wait.poll(functools.partial(_existing, names), until) or ())
        return list(found)

    def _attach(self, request: request_fc.FcRequest, op: operation.Operation) -> result.BlockDevice:
        several = self.use_multipath and self._has_multipath(request.enforce_multipath)
        if not fc.has_ports():
            raise exception.NoFibreChannelHostsFound
        background.stop(op.key)
        scan = op.work.within(op.settings.scan_seconds)
        search = fibre_channel_search.Search(request, self.fibre_channel_platform, op)
        found = search.run(scan)
        if not several:
            found = [path for path in found if path.is_usable]
        # Without multipath the paths are tried one after the other.
        seconds = max(scan.remaining, _LEAST_SCAN_SECONDS) / (1 if several else len(found))
        options = fc_paths.Options(
            request=request,
            platform=self.fibre_channel_platform,
            scans=self.device_scan_attempts,
            scan_seconds=seconds,
            clean_up_seconds=op.clean_up_seconds,
            until=op.work.within(seconds) if several else None,
            added_by_scan=frozenset(search.added_by_scan),
            ready_seconds=seconds if several or len(found) == 1 else lun_state.CAPACITY_SECONDS,
        )
        device = _attach(options, found, op, several=several)
        path = self._stable_path(device, found, op.work)
        return result.BlockDevice(path, device.wwid, device.is_multipath)

    def _plan(
        self,
        operation_name: str,
        request: request_fc.FcRequest,
        op: operation.Operation,
        *,
        force: bool,
    ) -> tuple[plans_steps.Plan[Any], ...]:
        if operation_name == observe.ATTACH:
            several = self.use_multipath and self._has_multipath(request.enforce_multipath)
            found = fc_paths.paths_of(request, self.fibre_channel_platform)
            options = fc_paths.Options(
                request=request,
                platform=self.fibre_channel_platform,
                scans=self.device_scan_attempts,
                scan_seconds=op.settings.scan_seconds,
                clean_up_seconds=op.clean_up_seconds,
            )
            return (fc_paths.Driver(options).plan(found, is_multipath=several),)
        seen = self._seen(request)
        last = [plans_removal.forget_path(str(each)) for each in seen.paths]
        return scsi_plan.of(operation_name, request, seen.places, str(request), last)

    def _stable_path(
        self, device: volume.Device, paths: Sequence[fc_paths.Path], deadline: wait.Deadline
    ) -> str:
        """Return udev's link to a device, as 7.1.1 does; the device node if no link appears.

        Callers keep the path across reboots, after which the kernel's names belong to others.
        """
        if device.is_multipath:
            links = [udev_links.of_map(device.name)]
        else:
            own = [path for path in paths if scsi.disk_at(path.address) == device.name]
            names = [name for path in own for name in self.fibre_channel_platform.link_names(path)]
            links = [f'{udev_links.BY_PATH}/{name}' for name in names]
        found = udev_links.leading_to(device.path, links, deadline)
        if found is None:
            LOG.info('%s has no link of udev; its device node is returned', device.path)
        return found or device.path

    def _seen(self, request: request_fc.FcRequest) -> _Seen:
        topology = fc.topology(request.port_names)
        named = fc_paths.paths_of(request, self.fibre_channel_platform, topology)
        everywhere = named
        if request.by_initiator is not None:
            every = dataclasses.replace(request, by_initiator=None)
            everywhere = fc_paths.paths_of(every, self.fibre_channel_platform, topology)
        elsewhere = tuple(path.address for path in everywhere if path not in named)
        places = survey.Places(
            tuple(path.address for path in named), elsewhere, lambda _place: True
        )
        return _Seen(tuple(dict.fromkeys([*named, *everywhere])), places)

    def _detach(
        self, request: request_fc.FcRequest, steps: teardown.Teardown, op: operation.Operation
    ) -> Collection[str]:
        seen = self._seen(request)
        with scsi_removal.identity_lock(request, seen.places, op.work):
            known = {scsi.number_at(path.address) for path in seen.paths}
            volume = scsi_removal.look(request, seen.places, str(request))
            scsi_removal.remove(volume, steps, op.work)
            background.stop(op.key, *volume.choice.wwids)
            _remove_late(volume, seen, known, steps, op)
            for path in seen.paths:
                if scsi.disk_at(path.address) is None:
                    forget = functools.partial(
                        self.fibre_channel_platform.forget, path, op.deadline
                    )
                    steps.run(plans_removal.forget_path(str(path)), forget)
        return ()

    def _extend(self, request: request_fc.FcRequest, op: operation.Operation) -> int:
        seen = self._seen(request)
        with scsi_removal.identity_lock(request, seen.places, op.work):
            volume = scsi_removal.look(request, seen.places, str(request), with_users=False)
            return scsi_extend.grow(volume.require(), op)


def _existing(paths: list[str]) -> list[str] | None:
    return [path for path in paths if files.exists(path)] or None


def _attach(
    options: fc_paths.Options,
    paths: list[fc_paths.Path],
    op: operation.Operation,
    *,
    several: bool,
) -> volume.Device:
    """Use all paths that lead to the volume, through a multipath map, or the first one."""
    driver = fc_paths.Driver(options)
    if not several:
        # Those that have a disk already come first.
        paths = sorted(paths, key=lambda path: not scsi.is_known(path.address))
    if LOG.isEnabledFor(logging.DEBUG):
        LOG.debug('%s', driver.plan(paths, is_multipath=several))
    if not several:
        return scsi_paths.attach_first(driver, paths, op)
    policy = plans_paths.Policy(grace_seconds=fc_paths.GRACE_SECONDS)
    return scsi_paths.attach_all(driver, paths, policy, op)


def _remove_late(
    volume: scsi_removal.Volume,
    seen: _Seen,
    known: set[int],
    steps: teardown.Teardown,
    op: operation.Operation,
) -> None:
    """Remove the volume's disks that a scan has added while it was detached.

    The kernel scans by itself when a port has logged in, and other processes scan.

    :param known: the numbers of the devices that were on its paths before.
    """
    own = volume.choice.disks
    for _ in range(_LATE_LOOKS if own or volume.wanted.wwid else 0):
        new = _new_disks(seen, known)
        if not new:
            return
        late = [
            disk.name
            for disk in survey.of_disks(new).disks
            if disk.name in new and plans_choice.is_same(disk, own, volume.wanted)
        ]
        if not late:
            return
        LOG.info('A scan has added %s meanwhile; they are removed, too', ', '.join(late))
        removal.remove_disks(late, steps, op.work, force=steps.on_error.is_forced)


def _new_disks(seen: _Seen, known: set[int]) -> list[str]:
    gone = {0, *known}
    new = [path for path in seen.paths if scsi.number_at(path.address) not in gone]
    if not new:
        return []

    def has_come(path: fc_paths.Path) -> bool:
        return scsi.disk_at(path.address) is not None or not scsi.is_known(path.address)

    # There is a moment between a device and its disk.
    wait.holds(lambda: all(map(has_come, new)), wait.Deadline.after(_DISK_SECONDS))
    return [disk for path in new if (disk := scsi.disk_at(path.address))]
