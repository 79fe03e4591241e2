# SPDX-License-Identifier: Apache-2.0
"""iSCSI sessions of this host: seen in sysfs, made and ended through open-iscsi.

The kernel knows every session, whether open-iscsi's database still does or not, so questions
about sessions go to sysfs alone.
"""

from __future__ import annotations

from collections.abc import Iterable
import contextlib
import dataclasses
import re

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files, locks, net, wait
from os_brick.host import scsi
from os_brick.model import addresses
from os_brick.privileged import iscsi_db, iscsiadm

LOG = logging.getLogger(__name__)

_SESSIONS = '/sys/class/iscsi_session'
_CONNECTIONS = '/sys/class/iscsi_connection'
_HOST = re.compile(r'/host(\d+)/')
# The kernel's word for "no target id yet" is -1, printed unsigned by some versions.
_LARGEST_TARGET = 2**31

LOGGED_IN = 'LOGGED_IN'

# open-iscsi, include/iscsi_err.h.
SUCCESS = 0
ERR_LOGIN = 5
ERR_SESS_EXISTS = 15
ERR_FATAL_LOGIN = 19
ERR_LOGIN_AUTH_FAILED = 24
# Answers of the target itself; asking again does not help.
_REFUSALS = {
    ERR_LOGIN_AUTH_FAILED: 'the CHAP user name or secret is wrong, or missing',
    ERR_FATAL_LOGIN: 'the target does not know this initiator, or not this target name',
    ERR_LOGIN: 'the login failed',
}

# A login to a healthy target takes milliseconds; open-iscsi itself gives one try 15 s.
LOGIN_SECONDS = 30.0
LOGOUT_SECONDS = 30.0
DISCOVERY_SECONDS = 30.0
# Between login and the session's files: the kernel makes both before iscsiadm ends.
SESSION_SECONDS = 5.0

# The records say what a session is to be like; nothing of it is left to iscsid.conf's defaults:
# scan=manual: only our LUN shall appear on this host, not every volume of the target.
# startup=manual: after a reboot no login may be made to volumes that have moved on.
# retry=1: open-iscsi's 8 tries of 15 s hold a login for two minutes; we try again ourselves.
_SETTINGS = {
    'node.session.scan': 'manual',
    'node.startup': 'manual',
    'node.session.initial_login_retry_max': '1',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """One session as the kernel shows it.

    :ivar number: the kernel's number, also iscsiadm's.
    :ivar portals: where it leads, in each spelling the kernel knows.
    :ivar state: ``LOGGED_IN``, ``FAILED`` or ``FREE``.
    :ivar host: the SCSI host it belongs to, and of which channel 0 and ``target_id`` are its.
    """

    number: int
    target: str
    portals: frozenset[addresses.Portal]
    state: str
    iface: str
    host: int
    target_id: int

    @property
    def is_logged_in(self) -> bool:
        """Whether it carries I/O now."""
        return self.state == LOGGED_IN

    def is_to(self, target: str) -> bool:
        """Whether it leads to a target of this name."""
        return self.target.lower() == target.lower()

    def address(self, lun: int) -> scsi.Address:
        """Where one of its LUNs is."""
        return scsi.Address(self.host, 0, self.target_id, lun)

    def luns(self) -> list[int]:
        """The LUNs the kernel has a device for behind this session."""
        return scsi.luns(self.host, 0, self.target_id)

    def __str__(self) -> str:
        portal = ', '.join(sorted(map(str, self.portals)))
        return f'session {self.number} to {self.target} at {portal}'


def sessions(target: str | None = None) -> list[Session]:
    """The host's iSCSI sessions, or those to one target."""
    found = []
    for name in files.names(_SESSIONS):
        session_target = files.read_or(f'{_SESSIONS}/{name}/targetname')
        if session_target and (target is None or session_target.lower() == target.lower()):
            session = _session(int(name.removeprefix('session')), session_target)
            if session is not None:
                found.append(session)
    return found


def session(number: int) -> Session | None:
    """One session by the kernel's number, or ``None`` if it has gone."""
    target = files.read_or(f'{_SESSIONS}/session{number}/targetname')
    return _session(number, target) if target else None


def _session(number: int, target: str) -> Session | None:
    base = f'{_SESSIONS}/session{number}'
    host = _HOST.search(files.realpath(base) + '/')
    if host is None:
        return None
    target_id = files.read_or(f'{base}/target_id', '0')
    known = target_id.isdecimal() and int(target_id) < _LARGEST_TARGET
    return Session(
        number=number,
        target=target,
        portals=_portals(number),
        state=files.read_or(f'{base}/state'),
        iface=files.read_or(f'{base}/ifacename'),
        host=int(host[1]),
        target_id=int(target_id) if known else 0,
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
    known: Iterable[Session] | None = None,
) -> list[Session]:
    """The sessions to a target through a portal, however the portal was spelled at log in.

    There may be several: ``node.session.nr_sessions``.

    :param deadline: for the look-up of a host name, which has a limit of its own as well.
    :raises TargetPortalNotFound: if the portal's host name does not resolve while there are
        sessions to the target, any of which may be through it.
    :param known: all sessions of this host, if they were read just now.
    """
    every = sessions(target) if known is None else [s for s in known if s.is_to(target)]
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


def ensure_node(
    target: str,
    portal: addresses.Portal,
    iface: str,
    secret: tuple[str, str] | None,
    deadline: wait.Deadline,
) -> bool:
    """Have a node record that fits, be it there already or not; return whether it was made here.

    A record that is there keeps all it says but for the settings that are ours, and has those back
    with :func:`restore_node` or :func:`forget_nodes`.

    :param secret: CHAP user name and password, or ``None``.
    :raises BrickException: if open-iscsi does not make the record, or it cannot be used.
    """
    settings = dict(_SETTINGS)
    if secret is not None:
        username, password = secret
        settings |= {
            'node.session.auth.authmethod': 'CHAP',
            'node.session.auth.username': username,
            'node.session.auth.password': password,
        }
    try:
        limit = deadline.limit(iscsiadm.DATABASE_SECONDS)
        return iscsi_db.prepare_node(target, portal.address, portal.port, iface, settings, limit)
    except processutils.ProcessExecutionError as error:
        raise exception.BrickException(
            f'No node record for {target} at {portal} ({iface}): iscsiadm does not end '
            f'({error.description}); does another iscsiadm hang?'
        ) from error


def restore_node(target: str, portal: addresses.Portal) -> None:
    """Have a portal's node record be what it was before :func:`ensure_node`, or not there.

    :raises BrickException: naming the file, if it cannot be written or deleted.
    """
    _release(target, {portal}, prepared_only=True)


def login(
    target: str, portal: addresses.Portal, iface: str, deadline: wait.Deadline
) -> list[Session]:
    """Log in through one portal as its node record says; return the sessions there are then.

    :raises LoginRefused: if the target answered and refused.
    :raises FailedISCSITargetPortalLogin: if there was no answer.
    """
    limit = deadline.limit(LOGIN_SECONDS)
    try:
        code, _, stderr = iscsiadm.login(target, portal.address, portal.port, iface, limit)
    except processutils.ProcessExecutionError as error:
        why = f'iscsiadm does not end ({error.description}); does iscsid run?'
        raise _no_login(target, portal, why) from error
    if code in _REFUSALS:
        reason = f'{_REFUSALS[code]} (iscsiadm: {code})'
        raise exception.LoginRefused(target=target, portal=portal, reason=reason)
    if code not in (SUCCESS, ERR_SESS_EXISTS):
        raise _no_login(target, portal, f'iscsiadm ended with {code}: {_last_line(stderr)}')
    found = wait.poll(
        lambda: [s for s in sessions_at(target, portal, deadline) if s.is_logged_in] or None,
        deadline.within(SESSION_SECONDS),
    )
    if found is None:
        raise _no_login(target, portal, 'iscsiadm succeeded, and there is no session')
    return found


def _no_login(
    target: str, portal: addresses.Portal, why: str
) -> exception.FailedISCSITargetPortalLogin:
    return exception.FailedISCSITargetPortalLogin(f'No login to {target} at {portal}: {why}')


def _last_line(text: str) -> str:
    return text.strip().rpartition('\n')[2]


def logout(found: Session, deadline: wait.Deadline) -> None:
    """End one session and wait until the kernel has forgotten it.

    It is named by its number: a login to the same target that is under way stays untouched.

    :raises BrickException: if it does not end.
    """
    limit = deadline.limit(LOGOUT_SECONDS)
    try:
        code, _, stderr = iscsiadm.logout(found.number, limit)
    except processutils.ProcessExecutionError as error:
        why = f'iscsiadm does not end ({error.description}); does iscsid run?'
        raise exception.BrickException(f'No logout of {found}: {why}') from error
    gone = wait.holds(lambda: session(found.number) is None, deadline.within(SESSION_SECONDS))
    if not gone:
        why = f'iscsiadm ended with {code}: {_last_line(stderr)}'
        raise exception.BrickException(f'No logout of {found}: {why}')


def forget_nodes(target: str, portals: set[addresses.Portal]) -> None:
    """Let go of the node records of a target's portals: what was there before is there again.

    :raises BrickException: naming the file, if one cannot be written or deleted.
    """
    _release(target, portals, prepared_only=False)


def _release(target: str, portals: set[addresses.Portal], *, prepared_only: bool) -> None:
    if portals:
        places = tuple((portal.address, portal.port) for portal in sorted(portals))
        iscsi_db.release_nodes(target, places, prepared_only=prepared_only)


def discover(
    portal: addresses.Portal, iface: str, secret: tuple[str, str] | None, deadline: wait.Deadline
) -> list[tuple[addresses.Portal, str]]:
    """The portals and target names that a portal tells of; nothing is written down for it.

    :param secret: CHAP user name and password of discoveries, or ``None``.
    :raises TargetPortalNotFound: if it does not tell.
    """
    limit = deadline.limit(DISCOVERY_SECONDS)
    try:
        if secret is None:
            code, stdout, stderr = iscsiadm.discover(portal.address, portal.port, iface, limit)
        else:
            code, stdout, stderr = _discover_with(portal, iface, secret, deadline)
    except processutils.ProcessExecutionError as error:
        code, stdout, stderr = -1, '', str(error.description or error)
    found = [each for line in stdout.splitlines() if (each := _discovered(line))]
    if not found:
        why = _REFUSALS.get(code) or _last_line(stderr) or 'it told of no target'
        raise exception.TargetPortalNotFound(
            f'Discovery at portal {portal} failed: {why} (iscsiadm: {code})'
        )
    return found


def _discover_with(
    portal: addresses.Portal, iface: str, secret: tuple[str, str], deadline: wait.Deadline
) -> tuple[int, str, str]:
    username, password = secret
    settings = {
        'discovery.sendtargets.auth.authmethod': 'CHAP',
        'discovery.sendtargets.auth.username': username,
        'discovery.sendtargets.auth.password': password,
    }
    # open-iscsi has one record for all discoveries at a portal.
    with locks.hold(locks.TARGET, f'discovery {portal}', deadline):
        limit = deadline.limit(DISCOVERY_SECONDS)
        return iscsi_db.discover(portal.address, portal.port, iface, settings, limit)


def _discovered(line: str) -> tuple[addresses.Portal, str] | None:
    """Portal and name in a line ``10.0.0.1:3260,1 iqn.2026-11.org:t1``."""
    words = line.split()
    if len(words) != 2 or not words[1].lower().startswith(('iqn.', 'eui.', 'naa.')):
        return None
    try:
        return addresses.Portal.parse(words[0]), words[1]
    except ValueError:
        return None


def initiator_name() -> str | None:
    """This host's iSCSI name; ``None`` and a warning where its file does not contain one."""
    try:
        return iscsi_db.initiator_name()
    except exception.BrickException as error:
        LOG.warning('This host has no iSCSI name: %s', error)
        return None


def iface_transport(iface: str) -> str | None:
    """The transport of an iface record, such as ``tcp`` or ``bnx2i``, or ``None`` without one."""
    try:
        _, stdout, _ = iscsiadm.show_iface(iface)
    except processutils.ProcessExecutionError:
        return None
    for line in stdout.splitlines():
        key, _, value = line.partition('=')
        if key.strip() == 'iface.transport_name':
            return value.strip()
    return None
