# SPDX-License-Identifier: Apache-2.0
"""iSCSI and iSER volumes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
import dataclasses
import functools
from typing import Any

from oslo_log import log as logging

from os_brick import exception, initiator
from os_brick.core import background, files, observe, operation, teardown, wait
from os_brick.host import iscsi, lun_state, machine, open_iscsi, scsi, survey, udev_links
from os_brick.initiator import reports
from os_brick.initiator.connectors import base_iscsi, block
from os_brick.model import addresses
from os_brick.paths import iscsi as iscsi_paths
from os_brick.paths import iscsi_removal, scsi_extend, scsi_plan, scsi_removal
from os_brick.paths import scsi as scsi_paths
from os_brick.plans import iscsi as plans
from os_brick.plans import paths as plans_paths
from os_brick.plans import removal
from os_brick.plans import steps as plans_steps
from os_brick.request import iscsi as request_iscsi
from os_brick.request import result

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]
IscsiPath = request_iscsi.IscsiPath


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """What there is of a volume on this host.

    :ivar sessions: the sessions through its paths, with the LUN that is its own behind each.
    """

    volume: scsi_removal.Volume
    sessions: tuple[tuple[iscsi.Session, int], ...]

    @property
    def own_sessions(self) -> list[tuple[iscsi.Session, int]]:
        """The sessions behind which the volume was, with its LUN; they end if nothing else is."""
        return [
            (session, lun)
            for session, lun in self.sessions
            if not self.volume.is_kept_from(session.address(lun))
        ]


class ISCSIConnector(block.BlockConnector, base_iscsi.BaseISCSIConnector):
    """Attaches volumes of iSCSI targets, over TCP, iSER or an offload card.

    :param transport: the name of an iface record of open-iscsi, ``default`` or ``iser``.
    """

    Request = request_iscsi.IscsiRequest
    _plans_links = True
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
        transport = open_iscsi.iface_transport(name)
        if transport in self.supported_transports:
            return name
        LOG.warning('Iface %s has no transport known here (%s): default is used', name, transport)
        return 'default'

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return ``initiator``, this host's iSCSI name, if it has one."""
        return reports.iscsi(root_helper, **kwargs)

    def get_initiator(self) -> str | None:
        """Return this host's iSCSI name, or ``None``."""
        return machine.iscsi_name()

    def get_search_path(self) -> str:
        """Return the directory of udev's links by path."""
        return udev_links.BY_PATH

    def get_volume_paths(self, connection_properties: Raw) -> list[str]:
        """Return udev's links to the volume's disks that are there; nothing is logged in."""
        if not any(connection_properties.get(key) for key in ('target_portal', 'target_portals')):
            return []
        request = request_iscsi.IscsiRequest.parse(connection_properties)
        limit = wait.Deadline.after(udev_links.LINK_SECONDS)
        found = [self._links_of(path, request.expected_wwid, limit) for path in request.paths]
        return list(dict.fromkeys(link for links in found for link in links))

    def _links_of(self, path: IscsiPath, wwid: str | None, limit: wait.Deadline) -> list[str]:
        """The links to the disks at a path; none if one of them is another volume."""
        sessions = iscsi.sessions_at(path.name, path.portal)
        portals = sorted({path.portal}.union(*(session.portals for session in sessions)))
        disks = [disk for each in sessions if (disk := scsi.disk_at(each.address(path.lun)))]
        if any(scsi_removal.is_another(disk, wwid) for disk in disks):
            return []
        until = limit if disks else wait.Deadline.after(0)
        return wait.poll(functools.partial(self._links, portals, path), until) or []

    def _links(self, portals: list[addresses.Portal], path: IscsiPath) -> list[str] | None:
        found = []
        for portal in portals:
            place = f'{portal.address}:{portal.port}'
            name = f'ip-{place}-iscsi-{path.name}-lun-{addresses.udev_lun(path.lun)}'
            # Behind a card of its own udev puts the card's place before the name.
            anywhere = self.transport != 'default'
            names = files.names(udev_links.BY_PATH) if anywhere else [name]
            found += [f'{udev_links.BY_PATH}/{each}' for each in names if each.endswith(name)]
        return [path for path in found if files.exists(path)] or None

    def _attach(
        self, request: request_iscsi.IscsiRequest, op: operation.Operation
    ) -> result.BlockDevice:
        several = self.use_multipath and self._has_multipath(request.enforce_multipath)
        driver = iscsi_paths.Driver(self._options(request, op, several=several))
        background.stop(op.key)
        paths = self._paths(request, op.work) if several else request.paths
        if LOG.isEnabledFor(logging.DEBUG):
            LOG.debug('%s', driver.plan(paths))
        if several:
            # What only discovery has told of may lead anywhere.
            policy = plans_paths.Policy(is_mismatch_fatal=request.explicit)
            device = scsi_paths.attach_all(driver, paths, policy, op)
        else:
            device = scsi_paths.attach_first(driver, paths, op)
        return result.BlockDevice(device.path, device.wwid, device.is_multipath)

    def _plan(
        self,
        operation_name: str,
        request: request_iscsi.IscsiRequest,
        op: operation.Operation,
        *,
        force: bool,
    ) -> tuple[plans_steps.Plan[Any], ...]:
        if operation_name == observe.ATTACH:
            several = self.use_multipath and self._has_multipath(request.enforce_multipath)
            driver = iscsi_paths.Driver(self._options(request, op, several=several))
            return (driver.plan(request.paths),)
        seen, what = _seen(request, op.work), _paths_in_words(request)
        last: list[removal.Step] = []
        if operation_name == observe.DETACH:
            sessions = self._survey(request, seen).own_sessions
            last = [removal.log_out(each) for each in _targets(request, sessions)]
        return scsi_plan.of(operation_name, request, seen.places, what, last)

    def _options(
        self, request: request_iscsi.IscsiRequest, op: operation.Operation, *, several: bool
    ) -> iscsi_paths.Options:
        """What an attach wants of each path; without multipath they are tried one by one."""
        scan_seconds = op.settings.scan_seconds / (1 if several else len(request.paths))
        is_only = several or len(request.paths) == 1
        return iscsi_paths.Options(
            request=request,
            iface=self.transport,
            scans=self.device_scan_attempts,
            scan_seconds=scan_seconds,
            clean_up_seconds=op.clean_up_seconds,
            every_session=several,
            ready_seconds=scan_seconds if is_only else lun_state.CAPACITY_SECONDS,
        )

    def _paths(
        self, request: request_iscsi.IscsiRequest, deadline: wait.Deadline
    ) -> tuple[IscsiPath, ...]:
        """The paths the caller named, or those that the portal it named tells of."""
        if request.explicit:
            return request.paths
        (asked,) = request.paths
        chap = request.discovery_chap
        secret = (chap.username, chap.password) if chap else None
        iface = 'iser' if self.transport == 'iser' else 'default'
        found = open_iscsi.discover(asked.portal, iface, secret, deadline)
        if not plans.has_target(asked, found):
            raise exception.TargetPortalNotFound(
                f'Portal {asked.portal} knows no target {asked.name}'
            )
        return plans.discovered_paths(asked, found)

    def _survey(self, request: request_iscsi.IscsiRequest, seen: _Seen) -> _Found:
        """What there is of the volume: on its paths, and by identity behind other portals."""
        volume = scsi_removal.look(request, seen.places, _paths_in_words(request))
        sessions = dict(seen.named)
        # Below its map there may be disks behind portals that the properties do not name.
        beyond = [
            scsi.Address.parse(disk.address) for disk in volume.choice.disks if not disk.is_named
        ]
        for nexus in iscsi.nexuses() if beyond else ():
            for address in beyond:
                session = (
                    iscsi.session(nexus.number) if nexus.address(address.lun) == address else None
                )
                if session is not None:
                    sessions.setdefault(session, address.lun)
        return _Found(volume, tuple(sessions.items()))

    def _detach(
        self, request: request_iscsi.IscsiRequest, steps: teardown.Teardown, op: operation.Operation
    ) -> Collection[str]:
        seen = _seen(request, op.work)
        with scsi_removal.identity_lock(request, seen.places, op.work):
            found = self._survey(request, seen)
            scsi_removal.remove(found.volume, steps, op.work)
            background.stop(op.key, *found.volume.choice.wwids)
            sessions = found.own_sessions
            for name in _targets(request, sessions):
                logout = functools.partial(_leave, name, request, sessions, steps, op.deadline)
                steps.run(removal.log_out(name), logout)
        return ()

    def _extend(self, request: request_iscsi.IscsiRequest, op: operation.Operation) -> int:
        seen = _seen(request, op.work)
        with scsi_removal.identity_lock(request, seen.places, op.work):
            what = _paths_in_words(request)
            volume = scsi_removal.look(request, seen.places, what, with_users=False)
            return scsi_extend.grow(volume.require(), op)


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """The sessions behind which a volume may be.

    :ivar named: those through the paths of the properties, with the volume's LUN.
    """

    named: dict[iscsi.Session, int]
    places: survey.Places


def _seen(request: request_iscsi.IscsiRequest, deadline: wait.Deadline) -> _Seen:
    targets = {path.name: iscsi.sessions(path.name) for path in request.paths}
    named = {
        session: path.lun
        for path in request.paths
        for session in iscsi.through(targets[path.name], path.portal, deadline)
    }
    asked = request.paths[0]
    numbers = {session.number for session in named}
    every = () if request.explicit else iscsi.nexuses()
    others = {each.address(asked.lun): each for each in every if each.number not in numbers}

    def is_likely(place: scsi.Address) -> bool:
        session = iscsi.session(others[place].number)
        if session is None:
            return False
        return plans.may_lead(asked, session.target, session.portals, request.volume_id)

    places = survey.Places(
        named=tuple(session.address(lun) for session, lun in named.items()),
        elsewhere=tuple(others),
        is_likely=is_likely,
    )
    return _Seen(named, places)


def _targets(
    request: request_iscsi.IscsiRequest, sessions: Iterable[tuple[iscsi.Session, int]]
) -> list[str]:
    """The targets whose sessions may end with a volume."""
    return sorted({path.name for path in request.paths} | {s.target for s, _ in sessions})


def _paths_in_words(request: request_iscsi.IscsiRequest) -> str:
    return '; '.join(str(path) for path in request.paths)


def _leave(
    name: str,
    request: request_iscsi.IscsiRequest,
    sessions: list[tuple[iscsi.Session, int]],
    steps: teardown.Teardown,
    deadline: wait.Deadline,
) -> None:
    """End the sessions to a target that carry nothing else, and forget their records."""
    paths = [path for path in request.paths if path.name == name]
    own = [(s, lun) for s, lun in sessions if s.target.lower() == name.lower()]
    iscsi_removal.leave(paths, own, deadline, is_forced=steps.on_error.is_forced)
