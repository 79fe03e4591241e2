# SPDX-License-Identifier: Apache-2.0
"""iSCSI sessions of this host, as the kernel shows them in sysfs.

The kernel knows every session, whether open-iscsi's database still does or not, so questions
about sessions come here alone; :mod:`os_brick.host.open_iscsi` makes and ends them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re

from os_brick import exception
from os_brick.core import absence, facts, files, net, wait
from os_brick.host import scsi
from os_brick.model import addresses

_SESSIONS = '/sys/class/iscsi_session'
_CONNECTIONS = '/sys/class/iscsi_connection'
_HOST = re.compile(r'/host(\d+)/')
# The kernel's word for "no target id yet" is -1, printed unsigned by some versions.
_LARGEST_TARGET = 2**31
_NO_TARGET_YET = -1

LOGGED_IN = 'LOGGED_IN'
# What the name of a target begins with (RFC 7143, section 4.2.7).
_NAMES = ('iqn.', 'eui.', 'naa.')


@dataclasses.dataclass(frozen=True, slots=True)
class Nexus:
    """What of a session never changes: its target, and its place among the SCSI devices.

    :ivar number: the kernel's number, also iscsiadm's.
    :ivar host: the SCSI host it belongs to, and of which channel 0 and ``target_id`` are its.
    """

    number: int
    target: str
    host: int
    target_id: int

    def is_to(self, target: str) -> bool:
        """Whether it leads to a target of this name."""
        return self.target.lower() == target.lower()

    def address(self, lun: int) -> scsi.Address:
        """Where one of its LUNs is."""
        return scsi.Address(self.host, 0, max(self.target_id, 0), lun)

    def luns(self) -> list[int]:
        """The LUNs the kernel has a device for behind this session."""
        return scsi.luns(self.host, 0, max(self.target_id, 0))


@dataclasses.dataclass(frozen=True, slots=True)
class Session(Nexus):
    """One session as the kernel shows it.

    :ivar portals: where it leads, in each spelling the kernel knows.
    :ivar state: ``LOGGED_IN``, ``FAILED`` or ``FREE``.
    """

    portals: frozenset[addresses.Portal]
    state: str
    iface: str

    @property
    def is_logged_in(self) -> bool:
        """Whether it carries I/O now."""
        return self.state == LOGGED_IN

    def __str__(self) -> str:
        portal = ', '.join(sorted(map(str, self.portals)))
        return f'session {self.number} to {self.target} at {portal}'


def sessions(target: str) -> list[Session]:
    """The host's iSCSI sessions to a target."""
    own = (nexus for nexus in nexuses() if nexus.is_to(target))
    return [session for nexus in own if (session := _session(nexus)) is not None]


def nexuses() -> list[Nexus]:
    """All iSCSI sessions of the host; no file of one that was read before is read again."""
    return [nexus for _, nexus in sorted(_nexuses.all().items())]


def session(number: int) -> Session | None:
    """One session by the kernel's number, or ``None`` if it has gone."""
    nexus = _nexus(f'session{number}')
    return _session(nexus) if nexus else None


def _nexus(name: str) -> Nexus | None:
    base = f'{_SESSIONS}/{name}'
    target = files.read_or(f'{base}/targetname')
    try:
        # The kernel's link to the session's directory: one access, and not one for each part of it.
        host = _HOST.search(files.readlink(base) + '/')
    except OSError as error:
        absence.require(error, base, absence.NO_VALUE)
        return None
    if not target or host is None:
        return None
    target_id = files.read_or(f'{base}/target_id', '0')
    is_known = target_id.isdecimal() and int(target_id) < _LARGEST_TARGET
    number = int(name.removeprefix('session'))
    return Nexus(number, target, int(host[1]), int(target_id) if is_known else _NO_TARGET_YET)


def _is_final(nexus: Nexus) -> bool:
    """Whether nothing of it changes any more.

    iscsid names the target once the kernel has made the session and given it a target ID; until
    then the kernel shows ``(null)`` (Linux, libiscsi.c, iscsi_session_get_param).
    """
    return nexus.target_id != _NO_TARGET_YET and nexus.target.lower().startswith(_NAMES)


_nexuses = facts.Facts(_SESSIONS, _nexus, _is_final)


def _session(nexus: Nexus) -> Session | None:
    base = f'{_SESSIONS}/session{nexus.number}'
    state = files.read_or(f'{base}/state')
    if not state:
        return None
    return Session(
        *(nexus.number, nexus.target, nexus.host, nexus.target_id),
        portals=_portals(nexus.number),
        state=state,
        iface=files.read_or(f'{base}/ifacename'),
    )


def _portals(number: int) -> frozenset[addresses.Portal]:
    base = f'{_CONNECTIONS}/connection{number}:0'
    found = set()
    for prefix in ('persistent_', ''):
        address = files.read_or(f'{base}/{prefix}address')
        port = files.read_or(f'{base}/{prefix}port')
        with contextlib.suppress(ValueError):
            found.add(addresses.Portal.parse(_join(address, port)))
    return frozenset(found)


def _join(address: str, port: str) -> str:
    return f'[{address}]:{port}' if ':' in address else f'{address}:{port}'


def sessions_at(
    target: str,
    portal: addresses.Portal,
    deadline: wait.Deadline | None = None,
) -> list[Session]:
    """The sessions to a target through a portal, however the portal was spelled at log in.

    There may be several: ``node.session.nr_sessions``.

    :param deadline: for the look-up of a host name, which has a limit of its own as well.
    :raises TargetPortalNotFound: if the portal's host name does not resolve while there are
        sessions to the target, any of which may be through it.
    """
    return through(sessions(target), portal, deadline)


def through(
    every: list[Session], portal: addresses.Portal, deadline: wait.Deadline | None = None
) -> list[Session]:
    """Those of a target's sessions that are through a portal; see :func:`sessions_at`."""
    found = [session for session in every if portal in session.portals]
    if found or not every or portal.is_ip:
        return found
    resolved = resolve(portal, deadline)
    return [session for session in every if session.portals & resolved]


def sessions_of_record(target: str, portal: addresses.Portal) -> list[Session]:
    """The sessions that a portal's node record has made.

    The kernel keeps the record's own spelling (``persistent_address``), so no name is looked up.
    """
    return [session for session in sessions(target) if portal in session.portals]


def resolve(
    portal: addresses.Portal, deadline: wait.Deadline | None = None
) -> frozenset[addresses.Portal]:
    """The portal by each IP address of its host name; itself if it has an IP address.

    :raises TargetPortalNotFound: if the name does not resolve in time.
    """
    if portal.is_ip:
        return frozenset({portal})
    limit = deadline or wait.Deadline.after(net.RESOLVE_SECONDS)
    try:
        found = net.resolve(portal.address, limit)
    except OSError as error:
        raise exception.TargetPortalNotFound(
            f'The host name of portal {portal} does not resolve: {error}'
        ) from error
    return frozenset(addresses.Portal.parse(address, portal.port) for address in found)


def why_unreachable(portal: addresses.Portal, seconds: float = net.REACH_SECONDS) -> str | None:
    """Why no TCP connection to a portal comes about, or ``None`` if one does.

    Asked before open-iscsi is, which would try an unresponsive portal for minutes and could not be
    called back from it.
    """
    return net.why_unreachable(portal.address, portal.port, seconds)
