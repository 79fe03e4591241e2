# SPDX-License-Identifier: Apache-2.0
"""Paths to an iSCSI volume: a login to a portal, and the disks behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
import contextlib
import dataclasses

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import net, observe, wait
from os_brick.host import disks as host_disks
from os_brick.host import iscsi, lun_state, open_iscsi, scsi
from os_brick.paths import iscsi_removal
from os_brick.paths.attempt import Attempt
from os_brick.plans import attach as plans_attach
from os_brick.plans import paths as plans_paths
from os_brick.plans import verdicts
from os_brick.plans.attach import Verb
from os_brick.request import iscsi as request_iscsi

LOG = logging.getLogger(__name__)
IscsiPath = request_iscsi.IscsiPath

# Only the software initiator's default iface uses this host's own TCP, which can be asked first.
_OWN_TCP = 'default'


class PortalUnreachable(verdicts.PathUnreachable, exception.FailedISCSITargetPortalLogin):
    """The portal of a path does not answer, so no login was tried."""


class _SessionEnded(exception.FailedISCSITargetPortalLogin):
    """The session ended while its LUN was looked for: another volume's detach was its last."""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What an attach wants of each path.

    :ivar scans: how often to scan for the LUN within ``scan_seconds``.
    :ivar clean_up_seconds: what taking back may take after the deadline of the path.
    :ivar ready_seconds: how long a disk without capacity is waited for.
    :ivar every_session: whether each session of a portal is to bring a disk, or one is enough.
    """

    request: request_iscsi.IscsiRequest
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


@dataclasses.dataclass(frozen=True, slots=True)
class Driver:
    """Opens iSCSI paths."""

    options: Options

    def reachable(self, path: IscsiPath, deadline: wait.Deadline, *, ask: bool) -> bool:
        """Have a session that works, or a portal that can be reached.

        :raises PortalUnreachable: if there is neither.
        """
        until = deadline.within(self.options.scan_seconds)
        first = self.steps(path, until)[0]
        if first.verb is Verb.AWAIT_SESSION:
            with observe.step(first.verb, path):
                self._await_session(path, first.session or 0, until)
        elif first.verb is Verb.ASK_PORTAL and ask:
            with observe.step(first.verb, path):
                why_not = iscsi.why_unreachable(path.portal, deadline.limit(net.REACH_SECONDS))
            if why_not is not None:
                raise PortalUnreachable(f'Portal {path.portal} does not answer: {why_not}')
        return True

    def _await_session(self, path: IscsiPath, number: int, until: wait.Deadline) -> None:
        def is_back() -> bool:
            found = iscsi.sessions_at(path.name, path.portal, until)
            return any(session.is_logged_in for session in found)

        if not wait.holds(is_back, until):
            left = iscsi.session(number)
            state = f'{left} is {left.state}' if left else f'Session {number} has ended'
            raise PortalUnreachable(f'{state} and does not come back')

    def steps(self, path: IscsiPath, deadline: wait.Deadline) -> tuple[plans_attach.Step, ...]:
        """What is to be done for a path, as it is now.

        :raises TargetPortalNotFound: if the host name of its portal does not resolve.
        """
        return self.steps_behind(path, iscsi.sessions_at(path.name, path.portal, deadline))

    def steps_behind(
        self, path: IscsiPath, sessions: Iterable[iscsi.Session]
    ) -> tuple[plans_attach.Step, ...]:
        """What is to be done for a path that has these sessions."""
        found = [(each, each.address(path.lun)) for each in sessions]
        return plans_attach.iscsi_path(
            str(path),
            [
                plans_attach.FoundSession(
                    *(each.number, each.is_logged_in, str(place), scsi.is_known(place))
                )
                for each, place in found
            ],
            self._wanted,
        )

    @property
    def _wanted(self) -> plans_attach.Wanted:
        options = self.options
        return plans_attach.Wanted(
            wwid=options.request.expected_wwid or '',
            every_session=options.every_session,
            may_ask=options.iface == _OWN_TCP,
        )

    def plan(self, paths: Iterable[IscsiPath]) -> plans_attach.Attach:
        """What an attach is about to do, as far as it can be known without asking a name server."""
        each = [
            self.steps_behind(path, iscsi.sessions_of_record(path.name, path.portal))
            for path in paths
        ]
        key, is_multipath = self.options.request.key, self.options.every_session
        return plans_attach.attach(key, each, self._wanted, is_multipath=is_multipath)

    def open(self, path: IscsiPath, attempt: Attempt) -> OpenPath:
        """Log in to one portal if need be, and bring the volume's disk behind it.

        :raises FailedISCSITargetPortalLogin: if there is no login.
        :raises VolumeDeviceNotFound: if there is no disk.
        :raises VolumeIdentityMismatch: if it is another volume's.
        """
        until: wait.Deadline | None = None
        while True:
            try:
                return _Try(self, path, attempt).open(until)
            except _SessionEnded as error:
                # While the LUN was not there the session carried nothing, so that the detach of
                # another volume has ended it.
                until = until or attempt.deadline.within(self.options.scan_seconds)
                if until.passed:
                    raise
                LOG.info('%s; logging in again', error)

    def own_disks(
        self, opened: Sequence[OpenPath], exclude: Callable[[IscsiPath], None]
    ) -> list[host_disks.Disk]:
        """The disks of the volume among those of the open paths.

        Paths that were only discovered may lead to other volumes with the same LUN; these are
        closed.
        """
        first = opened[0].disks[0]
        disks: list[host_disks.Disk] = []
        for one in opened:
            is_another = one.disks[0].identity.is_another(first.identity)
            if is_another and not self.options.request.explicit:
                LOG.warning('%s leads to another volume (%s)', one.path, one.disks[0])
                exclude(one.path)
                continue
            disks += one.disks
        return disks

    def prepare(self, disks: Sequence[host_disks.Disk], deadline: wait.Deadline) -> None:
        """Need nothing more."""

    def summary(self, texts: list[str], errors: list[Exception]) -> Exception:
        """The error of an attach for which no path has opened."""
        login = exception.FailedISCSITargetPortalLogin
        if errors and all(isinstance(error, login) for error in errors):
            return login('; '.join(texts))
        return exception.VolumeDeviceNotFound('; '.join(texts))


def _may_come(error: BaseException) -> bool:
    """Whether root, or iscsid, may still be at work on a login that has ended in this error.

    So it may after an interrupt, or where the daemon's answer was lost.
    """
    if isinstance(error, exception.FailedISCSITargetPortalLogin):
        return isinstance(error.__cause__, processutils.ProcessExecutionError)
    is_answer = isinstance(error, exception.BrickException)
    return not is_answer or isinstance(error, exception.OperationTimedOut)


# What has reported from where an attempt has scanned, by address.
_Scanned = dict[str, scsi.Scanned | None]


@dataclasses.dataclass(frozen=True, slots=True)
class _Try:
    """One try to open one path: its session, and the disks behind that."""

    driver: Driver
    path: IscsiPath
    attempt: Attempt

    @property
    def options(self) -> Options:
        return self.driver.options

    def open(self, until: wait.Deadline | None) -> OpenPath:
        """Bring the disks.

        :param until: by when; the scan time from the session on if ``None``.
        """
        # Scanned under the portal's lock: no session ends before its first LUN.
        with self._portal_lock():
            steps = self._behind_session()
            until = until or self.attempt.deadline.within(self.options.scan_seconds)
            new = self._scan(steps, until)
        disks = [self._verified(step, until, new) for step in steps if step.verb is Verb.VERIFY]
        return OpenPath(self.path, tuple(disks))

    def _portal_lock(self) -> contextlib.AbstractContextManager[None]:
        portal = (self.path.name, self.path.portal)
        return iscsi_removal.portal_lock([portal], self.attempt.deadline)

    def _behind_session(self) -> tuple[plans_attach.Step, ...]:
        """The steps behind a session that works, which is made if there is none."""
        path, deadline = self.path, self.attempt.deadline
        sessions = iscsi.sessions_at(path.name, path.portal, deadline)
        steps = self.driver.steps_behind(path, sessions)
        if plans_attach.has(steps, Verb.USE_SESSION):
            return steps
        self._log_in([session.number for session in sessions])
        steps = self.driver.steps(path, deadline)
        if not plans_attach.has(steps, Verb.USE_SESSION):
            raise _SessionEnded(f'The session to {path} has ended at once')
        return steps

    def _log_in(self, known: list[int]) -> None:
        """Make a node record and a session.

        :param known: the numbers of the sessions that are there.
        """
        path, options, attempt = self.path, self.options, self.attempt
        attempt.begin()
        where = (path.name, path.portal.address, path.portal.port)
        # Noted before it is made: open-iscsi may be late with it, or fail in the middle.
        seconds = options.clean_up_seconds
        attempt.made.add(iscsi_removal.end_login, *where, path.lun, known, seconds)
        chap = options.request.chap
        secret = (chap.username, chap.password) if chap else None
        try:
            with observe.step(Verb.LOG_IN, path.portal):
                open_iscsi.log_in(
                    *(path.name, path.portal, options.iface, secret, attempt.deadline),
                    attempt.begin,
                )
        except BaseException as error:
            if _may_come(error):
                attempt.made.add(iscsi_removal.await_login, *where, seconds)
            raise

    def _scan(self, steps: Iterable[plans_attach.Step], until: wait.Deadline) -> _Scanned:
        """Have the kernel look where it has no device; return where, and what reports there."""
        found: _Scanned = {}
        for step in (step for step in steps if step.verb is Verb.SCAN):
            self.attempt.begin()
            self._remember(step)
            with observe.step(Verb.SCAN, step.address):
                found[step.address] = scsi.scan(scsi.Address.parse(step.address), until)
        return found

    def _remember(self, step: plans_attach.Step) -> None:
        session, seconds = step.session or 0, self.options.clean_up_seconds
        self.attempt.made.add(iscsi_removal.delete_disk, session, self.path.lun, seconds)

    def _verified(
        self, step: plans_attach.Step, until: wait.Deadline, scanned: _Scanned
    ) -> host_disks.Disk:
        """The disk behind a session, which is the volume that the caller expects."""
        with observe.step(Verb.VERIFY, step.address):
            disk = self._find(step, until, scanned)
        if disk.is_new and step.address not in scanned:  # In the place of a stale one.
            self._remember(step)
        host_disks.require_expected(disk, step.wwid or None)
        return disk

    def _find(
        self, step: plans_attach.Step, until: wait.Deadline, scanned: _Scanned
    ) -> host_disks.Disk:
        options, attempt, place = self.options, self.attempt, scsi.Address.parse(step.address)
        times = plans_paths.scan_times(options.scans, options.scan_seconds)

        def scan() -> scsi.Scanned | None:
            with self._portal_lock():
                self._require_session(step)
                attempt.begin()
                return scsi.scan(place, until)

        is_new = step.address in scanned
        scans = host_disks.Scans(scan, times[is_new:], scanned.get(step.address))
        attempt.begin()  # A disk that is stale is removed.
        waiting = lun_state.Waiting(
            check=attempt.check, on_stall=attempt.stall, ready_seconds=options.ready_seconds
        )
        try:
            return host_disks.find(place, scans, until, is_new=is_new, waiting=waiting)
        except exception.PathNotReady:
            raise
        except exception.VolumeDeviceNotFound as error:
            self._require_session(step, error)
            raise exception.VolumeDeviceNotFound(
                f'{self.path}: no disk appears ({error})'
            ) from error

    def _require_session(self, step: plans_attach.Step, cause: Exception | None = None) -> None:
        if iscsi.session(step.session or 0) is None:
            ended = f'Session {step.session} to {self.path.name} at {self.path.portal} has ended'
            raise _SessionEnded(ended) from cause
