# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
from typing import Any, ClassVar

from oslo_log import log as logging

from os_brick import exception, initiator
from os_brick.core import background, files, operation, teardown, wait
from os_brick.host import block, dm, fc, fc_ways, links, scsi, udev_links, volume
from os_brick.host import disks as host_disks
from os_brick.initiator.connectors import base
from os_brick.paths import fibre_channel as fc_paths
from os_brick.paths import fibre_channel_search
from os_brick.paths import scsi as scsi_paths
from os_brick.plans import paths as plans_paths
from os_brick.request import fibre_channel as props_fc
from os_brick.request import result

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]

_BY_PATH = '/dev/disk/by-path'
# What is left for the LUN at least where its port came late.
_LEAST_SCAN_SECONDS = 5.0
# How often a detach looks for what a scan has brought meanwhile, and how long the kernel takes
# for a disk that it has found.
_LATE_LOOKS = 3
_DISK_SECONDS = 1.0
# udev makes a disk's links a moment after the kernel's disk is there.
_LINK_SECONDS = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Here:
    """What there is of a volume on this host.

    :ivar disks: its disks.
    :ivar others: disks on its ways that the kernel believes to be another volume.
    :ivar ways: its ways, in whatever state.
    """

    disks: tuple[str, ...]
    others: tuple[str, ...]
    ways: tuple[fc_paths.Path, ...]
    wwid: str | None


class FibreChannelConnector(base.BlockConnector):
    """Attaches volumes over this host's Fibre Channel adapters.

    :cvar machine: how this kind of machine names disks and is told of LUNs.
    """

    Props = props_fc.Props
    machine: ClassVar[fc_ways.Machine] = fc_ways.PLAIN

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
        ports = [port for port in fc.ports() if port.is_online and fc.speaks_scsi(port)]
        found = {'wwpns': [p.wwpn for p in ports], 'wwnns': [p.wwnn for p in ports if p.wwnn]}
        return {key: names for key, names in found.items() if names}

    def get_search_path(self) -> str:
        """Return the directory of udev's links by path."""
        return _BY_PATH

    def get_volume_paths(self, connection_properties: Raw) -> list[str]:
        """Return udev's links to the volume's disks that are there; nothing is scanned."""
        props = props_fc.Props.parse(connection_properties)
        limit = wait.Deadline.after(_LINK_SECONDS)
        found: dict[str, None] = {}
        for way in fc_paths.paths_of(props, self.machine):
            names = [f'{_BY_PATH}/{name}' for name in self.machine.link_names(way)]
            is_here = scsi.disk_at(way.address) is not None
            until = limit if is_here and names else wait.Deadline.after(0)
            found |= dict.fromkeys(wait.poll(functools.partial(_existing, names), until) or ())
        return list(found)

    def _attach(self, props: props_fc.Props, op: operation.Operation) -> result.BlockDevice:
        several = self.use_multipath and self._has_multipath(props.enforce_multipath)
        if not fc.has_ports():
            raise exception.NoFibreChannelHostsFound
        background.stop(props.key)
        scan = op.work.within(op.settings.scan_seconds)
        search = fibre_channel_search.Search(props, self.machine, op)
        found = search.run(scan)
        if not several:
            found = [path for path in found if path.is_usable]
        # Without multipath the paths are tried one after the other.
        seconds = max(scan.remaining, _LEAST_SCAN_SECONDS) / (1 if several else len(found))
        request = fc_paths.Request(
            props=props,
            machine=self.machine,
            scans=self.device_scan_attempts,
            scan_seconds=seconds,
            clean_up_seconds=op.clean_up_seconds,
            until=op.work.within(seconds) if several else None,
            brought=frozenset(search.brought),
        )
        device = _attach(request, found, op, several=several)
        path = self._stable_path(device, found, op.work)
        return result.BlockDevice(path, device.wwid, device.is_multipath)

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
            names = [name for path in own for name in self.machine.link_names(path)]
            links = [f'{udev_links.BY_PATH}/{name}' for name in names]
        found = udev_links.leading_to(device.path, links, deadline)
        if found is None:
            LOG.info('%s has no link of udev; its device node is returned', device.path)
        return found or device.path

    def _here(self, props: props_fc.Props) -> _Here:
        """What there is of the volume: on its ways, and by identity through other adapters."""
        seen = fc.sight()
        ways = fc_paths.paths_of(props, self.machine, seen)
        everywhere = fc_paths.paths_of(
            dataclasses.replace(props, by_initiator=None), self.machine, seen
        )
        every = tuple(dict.fromkeys([*ways, *everywhere]))
        at = {way: disk for way in every if (disk := scsi.disk_at(way.address))}
        wwids = {disk: scsi.cached_identity(disk).wwid for disk in at.values()}
        named = [at[way] for way in ways if way in at]
        wwid = dm.wwid_meant(props.expected_wwid) or _wwid(
            [wwids[disk] for disk in named if wwids[disk]], props.device_path
        )
        own: dict[str, None] = {}
        others: dict[str, None] = {}
        for disk in named:
            if wwid is None or host_disks.belongs_to(disk, wwid):
                own[disk] = None
            else:
                others[disk] = None
        for disk, actual in wwids.items():
            if wwid and disk not in others and actual == wwid:
                own[disk] = None
        return _Here(tuple(own), tuple(others), every, wwid)

    def _detach(
        self, props: props_fc.Props, steps: teardown.Teardown, op: operation.Operation
    ) -> None:
        here = self._here(props)
        if not here.disks:
            LOG.warning('Detach: %s', _no_disk(props))
        force = steps.on_error.is_forced
        devices = {scsi.number_at(way.address) for way in here.ways}
        volume.remove(here.disks, here.wwid, steps, op.work, force=force)
        background.stop(props.key)
        for _ in range(_LATE_LOOKS):
            late = _late(here, devices)
            if not late:
                break
            LOG.info('Disks that a scan has found meanwhile are removed, too: %s', ', '.join(late))
            volume.remove(late, here.wwid, steps, op.work, force=force)
        for disk in here.others:
            host_disks.tidy_up(disk, here.wwid, op.deadline)
        for way in here.ways:
            if scsi.disk_at(way.address) is None:
                forget = functools.partial(self.machine.forget, way, op.deadline)
                steps.run(f'end of {way}', forget)

    def _extend(self, props: props_fc.Props, op: operation.Operation) -> int:
        here = self._here(props)
        if not here.disks:
            raise exception.VolumePathsNotFound(_no_disk(props))
        return scsi_paths.grow(props.key, here.disks, op.deadline)


def _existing(paths: list[str]) -> list[str] | None:
    return [path for path in paths if files.exists(path)] or None


def _attach(
    request: fc_paths.Request,
    paths: list[fc_paths.Path],
    op: operation.Operation,
    *,
    several: bool,
) -> volume.Device:
    """Use all paths that lead to the volume, through a multipath map, or the first one."""
    driver, key = fc_paths.Driver(request), request.props.key
    if not several:
        # Those that have a disk already come first.
        paths = sorted(paths, key=lambda path: not scsi.is_known(path.address))
        return scsi_paths.attach_first(driver, paths, key, op, driver.prepare)
    policy = plans_paths.Policy(grace_seconds=fc_paths.GRACE_SECONDS)
    return scsi_paths.attach_all(
        *(driver, paths, policy, key, op),
        lambda _, opened: scsi_paths.disks_of(opened),
        driver.prepare,
    )


def _late(here: _Here, devices: set[int]) -> list[str]:
    """The volume's disks that a scan has brought while it was detached.

    Of the kernel's own, because a port has just logged in, or of somebody else's.

    :param devices: those that were on its ways before.
    """
    if here.wwid is None:
        return []

    def has_come(way: fc_paths.Path) -> bool:
        return scsi.disk_at(way.address) is not None or not scsi.is_known(way.address)

    new = [way for way in here.ways if scsi.number_at(way.address) not in devices]
    # There is a moment between a device and its disk.
    wait.holds(lambda: all(map(has_come, new)), wait.Deadline.after(_DISK_SECONDS))
    disks = [disk for way in new if (disk := scsi.disk_at(way.address))]
    return [disk for disk in disks if scsi.cached_identity(disk).wwid == here.wwid]


def _no_disk(props: props_fc.Props) -> str:
    return f'There is no disk of {props} on this host'


def _wwid(known: list[str], path: str | None) -> str | None:
    """The volume's identity where the caller does not say it.

    The device that he used decides if it is on the volume's ways, and else the first disk. A map
    that has lost its disks is believed too; with disks of other ways it is another volume's.

    :param known: the identities of the disks on the volume's ways.
    """
    name = block.name_of(links.device_of(path)) if path else None
    used = (dm.wwid(name) or scsi.cached_identity(name).wwid) if name else ''
    if used in known:
        return used
    if known:
        return known[0]
    is_bare_map = name is not None and bool(dm.wwid(name)) and not block.members(name)
    return used if is_bare_map else None
