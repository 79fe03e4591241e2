# SPDX-License-Identifier: Apache-2.0
"""open-iscsi on this host: node records, logins, discoveries. What comes of a login is in sysfs.

Its sessions are asked of :mod:`os_brick.host.iscsi`.
"""

from __future__ import annotations

from collections.abc import Callable

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import locks, process, wait
from os_brick.host import iscsi
from os_brick.model import addresses
from os_brick.privileged import iscsi_db, iscsi_login, iscsiadm

LOG = logging.getLogger(__name__)

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

LOGOUT_SECONDS = 30.0
# How long after a call, whose caller may have been interrupted, root may still begin a login.
LATE_LOGIN_SECONDS = iscsi_login.BEGIN_SECONDS
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


def _require_program(error: processutils.ProcessExecutionError) -> None:
    """Raise the error that says what to install, if iscsiadm is not there."""
    if process.is_missing('iscsiadm', error):
        raise exception.HostNotReady(
            missing='iscsiadm',
            remedy='Install open-iscsi (Debian, Ubuntu, SUSE) or iscsi-initiator-utils (Fedora and '
            'its kind), where the root daemon of this service finds it.',
        ) from error


def restore_node(target: str, portal: addresses.Portal) -> None:
    """Have a portal's node record be what it was before :func:`log_in`, or not there.

    :raises BrickException: naming the file, if it cannot be written or deleted.
    """
    _release(target, {portal}, prepared_only=True)


def log_in(
    target: str,
    portal: addresses.Portal,
    iface: str,
    secret: tuple[str, str] | None,
    deadline: wait.Deadline,
    check: Callable[[], object] = lambda: None,
) -> list[iscsi.Session]:
    """Have a node record that fits, and log in by it; return the sessions there are then.

    A record that is there keeps all it says but for the settings that are ours, and has those back
    with :func:`restore_node` or :func:`forget_nodes`.

    :param secret: CHAP user name and password, or ``None``.
    :param check: called before each try; raises if the session is not wanted any more.
    :raises HostNotReady: if open-iscsi is not installed.
    :raises LoginRefused: if the target answered and refused.
    :raises FailedISCSITargetPortalLogin: if there was no answer.
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
    where = (target, portal.address, portal.port, iface)
    ended = None
    try:
        while ended is None:  # The record was late: the next call finds it.
            check()
            limit = deadline.limit(iscsiadm.DATABASE_SECONDS + iscsiadm.LOGIN_SECONDS)
            ended = iscsi_login.log_in(*where, settings, limit)
            if ended is None and deadline.passed:
                raise exception.BrickException(
                    f'No node record for {target} at {portal} ({iface}) in time; '
                    'does another iscsiadm hang?'
                )
    except processutils.ProcessExecutionError as error:
        _require_program(error)
        hangs = f'iscsiadm does not end ({error.description})'
        if iscsiadm.LOGIN in (error.cmd or ''):
            raise _no_login(target, portal, f'{hangs}; does iscsid run?') from error
        raise exception.BrickException(
            f'No node record for {target} at {portal} ({iface}): {hangs}; '
            'does another iscsiadm hang?'
        ) from error
    return _sessions_after(target, portal, deadline, ended)


def _sessions_after(
    target: str, portal: addresses.Portal, deadline: wait.Deadline, ended: tuple[int, str, str]
) -> list[iscsi.Session]:
    """The sessions after a login that has ended with an exit code, and these outputs."""
    code, _, stderr = ended
    if code in _REFUSALS:
        reason = f'{_REFUSALS[code]} (iscsiadm: {code})'
        raise exception.LoginRefused(target=target, portal=portal, reason=reason)
    if code not in (SUCCESS, ERR_SESS_EXISTS):
        raise _no_login(target, portal, f'iscsiadm ended with {code}: {_last_line(stderr)}')
    found = wait.poll(
        lambda: [s for s in iscsi.sessions_at(target, portal, deadline) if s.is_logged_in] or None,
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


def logout(found: iscsi.Session, deadline: wait.Deadline) -> None:
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
    gone = wait.holds(lambda: iscsi.session(found.number) is None, deadline.within(SESSION_SECONDS))
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
    :raises HostNotReady: if open-iscsi is not installed.
    :raises TargetPortalNotFound: if it does not tell.
    """
    limit = deadline.limit(DISCOVERY_SECONDS)
    try:
        if secret is None:
            code, stdout, stderr = iscsiadm.discover(portal.address, portal.port, iface, limit)
        else:
            code, stdout, stderr = _discover_with(portal, iface, secret, deadline)
    except processutils.ProcessExecutionError as error:
        _require_program(error)
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
