# SPDX-License-Identifier: Apache-2.0
"""Paths to an iSCSI volume: a login to a portal, and the disks behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import contextlib
import dataclasses

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import fanout, locks, net, undo, wait
from os_brick.host import disks as host_disks
from os_brick.host import iscsi, lun_state, open_iscsi, scsi
from os_brick.model import addresses
from os_brick.paths import scsi as scsi_paths
from os_brick.paths.attempt import Attempt
from os_brick.plans import iscsi as plans
from os_brick.plans import paths as plans_paths
from os_brick.plans import verdicts
from os_brick.request import iscsi as props_iscsi

LOG = logging.getLogger(__name__)
IscsiPath = props_iscsi.IscsiPath

# Only the software initiator's default iface uses this host's own TCP, which can be asked first.
_OWN_TCP = 'default'
# A LUN whose disk was deleted leaves its target's list a moment later.
LUN_GONE_SECONDS = 5.0
# iscsid goes on with a login whose iscsiadm was killed, and gives it up after this time
# (node.conn[0].timeo.login_timeout, open-iscsi 2.1).
_ABANDONED_LOGIN_SECONDS = 15.0


class PortalUnreachable(verdicts.PathUnreachable, exception.FailedISCSITargetPortalLogin):
    """The portal of a path does not answer, so no login was tried."""


class _SessionEnded(exception.FailedISCSITargetPortalLogin):
    """The session ended while its LUN was looked for: another volume's detach was its last."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What an attach wants of each path.

    :ivar scans: how often to scan for the LUN within ``scan_seconds``.
    :ivar clean_up_seconds: what taking back may take after the deadline of the path.
    :ivar ready_seconds: how long a disk without capacity is waited for.
    :ivar every_session: whether each session of a portal is to bring a disk, or one is enough.
    """

    props: props_iscsi.Props
    iface: str
    scans: int
    scan_seconds: float
    clean_up_seconds: float
    every_session: bool
    ready_seconds: float = lun_state.CAPACITY_SECONDS


@dataclasses.dataclass(frozen=True, slots=True)
class OpenPath:
    """A path that is open, and its disks."""

    path: IscsiPath
    disks: tuple[host_disks.Disk, ...]


@contextlib.contextmanager
def _portal_lock(
    places: Iterable[tuple[str, addresses.Portal]], deadline: wait.Deadline
) -> Iterator[None]:
    """Keep others from logging in to, scanning and logging out of portals of a target."""
    keys = [f'{name.lower()} {portal}' for name, portal in places]
    with locks.hold_all(locks.TARGET, keys, deadline):
        yield


@dataclasses.dataclass(frozen=True, slots=True)
class Driver:
    """Opens iSCSI paths."""

    request: Request

    def reachable(self, path: IscsiPath, deadline: wait.Deadline, *, ask: bool) -> bool:
        """Have a session that works, or a portal that can be reached.

        :raises PortalUnreachable: if there is neither.
        """
        until = deadline.within(self.request.scan_seconds)
        existing = iscsi.sessions_at(path.name, path.portal, until)
        if any(session.is_logged_in for session in existing):
            return True
        if existing:
            # open-iscsi is trying to get it back; a second login would not be another session.
            back = wait.holds(
                lambda: any(
                    session.is_logged_in
                    for session in iscsi.sessions_at(path.name, path.portal, until)
                ),
                until,
            )
            if not back:
                why = f'{existing[0]} is {existing[0].state} and does not come back'
                raise PortalUnreachable(why)
        elif ask and self.request.iface == _OWN_TCP:
            why_not = iscsi.why_unreachable(path.portal, deadline.limit(net.REACH_SECONDS))
            if why_not is not None:
                raise PortalUnreachable(f'Portal {path.portal} does not answer: {why_not}')
        return True

    def open(self, path: IscsiPath, attempt: Attempt) -> OpenPath:
        """Log in to one portal if need be, and bring the volume's disk behind it.

        :raises FailedISCSITargetPortalLogin: if there is no login.
        :raises VolumeDeviceNotFound: if there is no disk.
        :raises VolumeIdentityMismatch: if it is another volume's.
        """
        until: wait.Deadline | None = None
        while True:
            try:
                return self._open(path, attempt, until)
            except _SessionEnded as error:
                # While the LUN was not there the session carried nothing, so that the detach of
                # another volume has ended it.
                until = until or attempt.deadline.within(self.request.scan_seconds)
                if until.passed:
                    raise
                LOG.info('%s; logging in again', error)

    def _open(self, path: IscsiPath, attempt: Attempt, until: wait.Deadline | None) -> OpenPath:
        deadline, seconds = attempt.deadline, self.request.clean_up_seconds
        with _portal_lock([(path.name, path.portal)], deadline):
            sessions = self._log_in(path, attempt)
            until = until or deadline.within(self.request.scan_seconds)
            places = [session.address(path.lun) for session in sessions]
            new = [place for place in places if not scsi.is_known(place)]
            for session, place in zip(sessions, places, strict=True):
                if place in new:
                    attempt.begin()
                    attempt.made.add(delete_disk, session.number, path.lun, seconds)
                    # Under the portal's lock: no session ends before its first LUN.
                    scsi.scan(place, until)
        disks = []
        for session, place in zip(sessions, places, strict=True):
            disk = self._find(path, session, attempt, until, is_new=place in new)
            if disk.is_new and place not in new:  # In the place of a stale one.
                attempt.made.add(delete_disk, session.number, path.lun, seconds)
            disks.append(disk)
            host_disks.require_expected(disk, self.request.props.expected_wwid)
        return OpenPath(path, tuple(disks))

    def _log_in(self, path: IscsiPath, attempt: Attempt) -> list[iscsi.Session]:
        """Have a session through a path; one that is there is used as it is."""
        request, made = self.request, attempt.made
        wanted = None if request.every_session else 1
        before = iscsi.sessions_at(path.name, path.portal, attempt.deadline)
        if any(s.is_logged_in for s in before):
            return [s for s in before if s.is_logged_in][:wanted]
        attempt.begin()
        where = (path.name, path.portal.address, path.portal.port)
        # Noted before it is made: open-iscsi may be late with it, or fail in the middle.
        known, seconds = [s.number for s in before], request.clean_up_seconds
        made.add(end_login, *where, path.lun, known, seconds)
        chap = request.props.chap
        secret = (chap.username, chap.password) if chap else None
        open_iscsi.ensure_node(path.name, path.portal, request.iface, secret, attempt.deadline)
        attempt.begin()
        try:
            found = open_iscsi.login(path.name, path.portal, request.iface, attempt.deadline)
        except exception.FailedISCSITargetPortalLogin as error:
            if isinstance(error.__cause__, processutils.ProcessExecutionError):
                made.add(await_login, *where, seconds)
            raise
        return found[:wanted]

    def _find(
        self,
        path: IscsiPath,
        session: iscsi.Session,
        attempt: Attempt,
        until: wait.Deadline,
        *,
        is_new: bool,
    ) -> host_disks.Disk:
        place, request = session.address(path.lun), self.request
        times = plans_paths.scan_times(request.scans, request.scan_seconds)

        def scan() -> None:
            with _portal_lock([(path.name, path.portal)], attempt.deadline):
                if iscsi.session(session.number) is None:
                    raise _SessionEnded(f'The {session} has ended')
                attempt.begin()
                scsi.scan(place, until)

        times = times[1:] if is_new else times
        attempt.begin()  # A disk that is stale is removed.
        try:
            waiting = host_disks.Waiting(
                check=attempt.check, on_stall=attempt.stall, ready_seconds=request.ready_seconds
            )
            return host_disks.find(place, scan, times, until, is_new=is_new, waiting=waiting)
        except exception.PathNotReady:
            raise
        except exception.VolumeDeviceNotFound as error:
            if iscsi.session(session.number) is None:
                raise _SessionEnded(f'The {session} has ended') from error
            raise exception.VolumeDeviceNotFound(f'{path}: no disk appears ({error})') from error

    def summary(self, texts: list[str], errors: list[Exception]) -> Exception:
        """The error of an attach for which no path has opened."""
        login = exception.FailedISCSITargetPortalLogin
        if errors and all(isinstance(error, login) for error in errors):
            return login('; '.join(texts))
        return exception.VolumeDeviceNotFound('; '.join(texts))


# What takes a path back. Sessions are named by their numbers, which the kernel never gives again
# (Linux, scsi_transport_iscsi.c: iscsi_session_nr); addresses are, with the host they begin with.


@undo.verb
def delete_disk(session: int, lun: int, seconds: float) -> None:
    """Remove the disk that a scan behind a session has added, unless someone uses it."""
    found = iscsi.session(session)
    if found is not None:
        scsi_paths.delete_new_disk(found.address(lun), seconds)


@undo.verb
def end_login(
    name: str,
    address: str,
    port: int,
    lun: int,
    before: list[int],
    seconds: float,
) -> None:
    """End the sessions at a portal that carry no other volume and were not there before.

    A record that leads to none is what it was before.

    :raises VolumeInUse: if something uses the disk behind one by now.
    """
    portal, deadline = addresses.Portal(address, port), wait.Deadline.after(seconds)
    with _portal_lock([(name, portal)], deadline):
        for found in iscsi.sessions_of_record(name, portal):
            is_ours = found.number not in before
            if is_ours and plans.may_end(found.luns(), lun, is_forced=True):
                disk = scsi.disk_at(found.address(lun))
                if disk is not None:  # It goes with its session.
                    scsi_paths.require_unused(disk)
                open_iscsi.logout(found, deadline)
        if not iscsi.sessions_of_record(name, portal):
            open_iscsi.restore_node(name, portal)


@undo.verb
def await_login(name: str, address: str, port: int, seconds: float) -> None:
    """Wait for the session of a login that was ended at its limit, so that it can be ended, too."""
    portal = addresses.Portal(address, port)
    limit = wait.Deadline.after(min(seconds, _ABANDONED_LOGIN_SECONDS))
    wait.holds(lambda: bool(iscsi.sessions_of_record(name, portal)), limit)


def leave(
    paths: list[IscsiPath],
    sessions: list[tuple[iscsi.Session, int]],
    deadline: wait.Deadline,
    *,
    is_forced: bool,
) -> None:
    """End the sessions to one target that carry no other volume, and forget their records.

    :param paths: the paths the caller named; they may have a record and no session.
    :param sessions: the sessions, with the LUN behind each that was the volume's.
    :raises BrickException: if a session does not end.
    """
    every = [
        *paths,
        *(IscsiPath(min(s.portals), s.target, lun) for s, lun in sessions if s.portals),
    ]
    if not every:
        return
    with _portal_lock([(path.name, path.portal) for path in every], deadline):
        ending = [s for s, lun in sessions if _has_no_other(s, lun, deadline, is_forced=is_forced)]
        _, errors = fanout.fanout(lambda session: open_iscsi.logout(session, deadline), ending)
        free = {p.portal for p in every if not iscsi.sessions_of_record(p.name, p.portal)}
        open_iscsi.forget_nodes(every[0].name, free)
        for error in errors.values():
            raise error


def _has_no_other(
    session: iscsi.Session, lun: int, deadline: wait.Deadline, *, is_forced: bool
) -> bool:
    if iscsi.session(session.number) is None:
        return False
    # The disk has gone; its LUN leaves the target's list a moment later.
    wait.holds(lambda: lun not in session.luns(), deadline.within(LUN_GONE_SECONDS))
    return plans.may_end(session.luns(), lun, is_forced=is_forced)
