# SPDX-License-Identifier: Apache-2.0
"""iSCSI and iSER volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
import functools
from typing import Any

from oslo_log import log as logging

from os_brick import exception, initiator
from os_brick.core import background, files, operation, teardown, wait
from os_brick.host import block, dm, iscsi, links, scsi, volume
from os_brick.host import disks as host_disks
from os_brick.initiator.connectors import base, base_iscsi
from os_brick.model import addresses
from os_brick.paths import iscsi as iscsi_paths
from os_brick.paths import path_set
from os_brick.paths import scsi as scsi_paths
from os_brick.plans import iscsi as plans
from os_brick.plans import paths as plans_paths
from os_brick.request import iscsi as props_iscsi
from os_brick.request import result

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]
Target = props_iscsi.Target

_BY_PATH = '/dev/disk/by-path'
# udev makes a disk's links a moment after the kernel's disk is there.
_LINK_SECONDS = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Here:
    """What there is of a volume on this host.

    :ivar disks: its disks.
    :ivar others: disks with its LUN that the kernel believes to be another volume.
    :ivar sessions: the sessions through its ways, with the LUN that is its own behind each.
    """

    disks: tuple[str, ...]
    others: tuple[str, ...]
    sessions: tuple[tuple[iscsi.Session, int], ...]
    wwid: str | None


class ISCSIConnector(base.BlockConnector, base_iscsi.BaseISCSIConnector):
    """Attaches volumes of iSCSI targets, over TCP, iSER or an offload card.

    :param transport: the name of an iface record of open-iscsi, ``default`` or ``iser``.
    """

    Props = props_iscsi.Props
    supported_transports = [
        *('be2iscsi', 'bnx2i', 'cxgb3i', 'default', 'cxgb4i', 'qla4xxx', 'ocs', 'iser', 'tcp'),
    ]
    VALID_SESSIONS_PREFIX = ('tcp:', 'iser:')

    def __init__(
        self,
        root_helper: str | None,
        driver: Any = None,
        execute: Callable[..., Any] | None = None,
        use_multipath: bool = False,
        device_scan_attempts: int = initiator.DEVICE_SCAN_ATTEMPTS_DEFAULT,
        transport: str = 'default',
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *(root_helper, driver, execute, *args),
            **{'device_scan_attempts': device_scan_attempts, **kwargs},
        )
        self.use_multipath = use_multipath
        self.transport = self._iface(transport)

    def _iface(self, name: str) -> str:
        """The iface record to be used: the named one, if its transport is one we know."""
        if name in ('default', 'iser'):
            return name
        transport = iscsi.iface_transport(name)
        if transport in self.supported_transports:
            return name
        LOG.warning('Iface %s has no transport known here (%s): default is used', name, transport)
        return 'default'

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return ``initiator``, this host's iSCSI name, if it has one."""
        name = iscsi.initiator_name()
        return {'initiator': name} if name else {}

    def get_initiator(self) -> str | None:
        """Return this host's iSCSI name, or ``None``."""
        return iscsi.initiator_name()

    def get_search_path(self) -> str:
        """Return the directory of udev's links by path."""
        return _BY_PATH

    def get_volume_paths(self, connection_properties: Raw) -> list[str]:
        """Return udev's links to the volume's disks that are there; nothing is logged in."""
        if not any(connection_properties.get(key) for key in ('target_portal', 'target_portals')):
            return []
        props = props_iscsi.Props.parse(connection_properties)
        found: dict[str, None] = {}
        for way in props.targets:
            sessions = iscsi.sessions_at(way.name, way.portal)
            portals = sorted({way.portal}.union(*(session.portals for session in sessions)))
            is_here = any(scsi.disk_at(session.address(way.lun)) for session in sessions)
            limit = wait.Deadline.after(_LINK_SECONDS if is_here else 0)
            links = wait.poll(functools.partial(self._links, portals, way), limit)
            found |= dict.fromkeys(links or [])
        return list(found)

    def _links(self, portals: list[addresses.Portal], way: Target) -> list[str] | None:
        found = []
        for portal in portals:
            place = f'{portal.address}:{portal.port}'
            name = f'ip-{place}-iscsi-{way.name}-lun-{addresses.udev_lun(way.lun)}'
            # Behind a card of its own udev puts the card's place before the name.
            anywhere = self.transport != 'default'
            names = files.names(_BY_PATH) if anywhere else [name]
            found += [f'{_BY_PATH}/{each}' for each in names if each.endswith(name)]
        return [path for path in found if files.exists(path)] or None

    def _attach(self, props: props_iscsi.Props, op: operation.Operation) -> result.BlockDevice:
        several = self.use_multipath and self._has_multipath(props.enforce_multipath)
        request = iscsi_paths.Request(
            props=props,
            iface=self.transport,
            scans=self.device_scan_attempts,
            # Without multipath the paths are tried one after the other.
            scan_seconds=op.settings.scan_seconds / (1 if several else len(props.targets)),
            clean_up_seconds=op.clean_up_seconds,
            every_session=several,
        )
        driver = iscsi_paths.Driver(request)
        background.stop(props.key)
        if not several:
            device = scsi_paths.attach_first(driver, props.targets, props.key, op)
        else:
            # What only discovery has told of may lead anywhere.
            policy = plans_paths.Policy(is_mismatch_fatal=props.explicit)
            select = functools.partial(_select, props)
            paths = self._paths(props, op.work)
            device = scsi_paths.attach_all(driver, paths, policy, props.key, op, select)
        return result.BlockDevice(device.path, device.wwid, device.is_multipath)

    def _paths(self, props: props_iscsi.Props, deadline: wait.Deadline) -> tuple[Target, ...]:
        """The paths the caller named, or those that the portal it named tells of."""
        if props.explicit:
            return props.targets
        (asked,) = props.targets
        chap = props.discovery_chap
        secret = (chap.username, chap.password) if chap else None
        iface = 'iser' if self.transport == 'iser' else 'default'
        found = iscsi.discover(asked.portal, iface, secret, deadline)
        if not plans.has_target(asked, found):
            raise exception.TargetPortalNotFound(
                f'Portal {asked.portal} knows no target {asked.name}'
            )
        return plans.discovered_ways(asked, found)

    def _here(self, props: props_iscsi.Props) -> _Here:
        """What there is of the volume: found by LUN, and by identity behind other portals."""
        sessions = {
            session: way.lun
            for way in props.targets
            for session in iscsi.sessions_at(way.name, way.portal)
        }
        wwid = dm.wwid_meant(props.expected_wwid)
        disks, others = _own_disks(sessions, wwid)
        wwid = wwid or scsi.first_wwid(disks) or _wwid_of_path(props.device_path)
        if wwid and not props.explicit:
            lun = props.targets[0].lun
            found = {s: lun for s in iscsi.sessions() if _is_volume(s, lun, wwid)}
            sessions |= found
            disks = list(dict.fromkeys([*disks, *_own_disks(found, wwid)[0]]))
        # A leg of its map behind a portal that nobody named is the volume's as well.
        every = volume.disks_of(disks, wwid)
        for session in iscsi.sessions() if len(every) > len(disks) else ():
            lun = props.targets[0].lun
            if scsi.disk_at(session.address(lun)) in every:
                sessions.setdefault(session, lun)
        return _Here(tuple(every), tuple(others), tuple(sessions.items()), wwid)

    def _detach(
        self, props: props_iscsi.Props, steps: teardown.Teardown, op: operation.Operation
    ) -> None:
        here = self._here(props)
        if not here.disks:
            LOG.warning('Detach: %s', _no_disk(props))
        volume.remove(
            *(here.disks, here.wwid, steps, op.work),
            force=steps.on_error.is_forced,
        )
        background.stop(props.key)
        for disk in here.others:
            host_disks.tidy_up(disk, here.wwid, op.deadline)
        sessions = [(s, lun) for s, lun in here.sessions if not _is_anothers(s, lun, here)]
        for name in {way.name for way in props.targets} | {s.target for s, _ in sessions}:
            logout = functools.partial(_leave, name, props, sessions, steps, op.deadline)
            steps.run(f'logout of {name}', logout)

    def _extend(self, props: props_iscsi.Props, op: operation.Operation) -> int:
        here = self._here(props)
        if not here.disks:
            raise exception.VolumePathsNotFound(_no_disk(props))
        return scsi_paths.grow(props.key, here.disks, op.deadline)


def _select(
    props: props_iscsi.Props,
    opening: path_set.PathSet[Target, iscsi_paths.OpenPath],
    opened: list[iscsi_paths.OpenPath],
) -> list[host_disks.Disk]:
    """The disks of the volume among those of the open paths.

    Paths that were only discovered may lead to other volumes with the same LUN; these are closed.
    """
    first = opened[0].disks[0]
    disks: list[host_disks.Disk] = []
    for one in opened:
        if not props.explicit and one.disks[0].identity.is_another(first.identity):
            LOG.warning('%s leads to another volume (%s)', one.path, one.disks[0])
            opening.exclude(one.path)
            continue
        disks += one.disks
    return disks


def _no_disk(props: props_iscsi.Props) -> str:
    ways = '; '.join(str(way) for way in props.targets)
    return f'There is no disk of {ways} on this host'


def _leave(
    name: str,
    props: props_iscsi.Props,
    sessions: list[tuple[iscsi.Session, int]],
    steps: teardown.Teardown,
    deadline: wait.Deadline,
) -> None:
    """End the sessions to a target that carry nothing else, and forget their records."""
    ways = [way for way in props.targets if way.name == name]
    own = [(s, lun) for s, lun in sessions if s.target.lower() == name.lower()]
    iscsi_paths.leave(ways, own, deadline, is_forced=steps.on_error.is_forced)


def _is_anothers(session: iscsi.Session, lun: int, here: _Here) -> bool:
    """Whether the volume's LUN behind a session is another volume's disk still."""
    return scsi.disk_at(session.address(lun)) in here.others


def _own_disks(sessions: dict[iscsi.Session, int], wwid: str | None) -> tuple[list[str], list[str]]:
    """The disks with the volume's LUN behind sessions, and those known to be another volume."""
    own: dict[str, None] = {}
    others: dict[str, None] = {}
    for session, lun in sessions.items():
        disk = scsi.disk_at(session.address(lun))
        if disk is None:
            continue
        if wwid is None or host_disks.belongs_to(disk, wwid):
            own[disk] = None
        else:
            others[disk] = None
    return list(own), list(others)


def _wwid_of_path(path: str | None) -> str | None:
    """The volume that the caller's path leads to, if it is a map or a SCSI disk of this host."""
    name = block.name_of(links.device_of(path)) if path else None
    if name is None:
        return None
    return dm.wwid(name) or scsi.cached_identity(name).wwid or None


def _is_volume(session: iscsi.Session, lun: int, wwid: str) -> bool:
    """Whether the kernel believes the disk with a LUN behind a session to be the volume."""
    disk = scsi.disk_at(session.address(lun))
    return disk is not None and scsi.cached_identity(disk).wwid == wwid
