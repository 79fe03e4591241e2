# SPDX-License-Identifier: Apache-2.0
"""The ways to one iSCSI volume: a login to a portal, and the disks behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import contextlib
import dataclasses
import functools

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import fanout, locks, teardown, wait
from os_brick.core import undo as core_undo
from os_brick.host import disks as host_disks
from os_brick.host import iscsi, scsi, tcp
from os_brick.paths import scsi as scsi_opening
from os_brick.plans import iscsi as plans
from os_brick.plans import paths as plans_ways
from os_brick.request import iscsi as props_iscsi

LOG = logging.getLogger(__name__)
Target = props_iscsi.Target

# Only the software initiator's default iface uses this host's own TCP, which can be asked first.
_OWN_TCP = 'default'
# A logout that is not given the time for it leaves a session behind.
LEAST_LOGOUT_SECONDS = 2.0
# A LUN whose disk was deleted leaves its target's list a moment later.
LUN_GONE_SECONDS = 5.0


class Silent(exception.FailedISCSITargetPortalLogin):
    """The portal of a way does not answer, so nobody has tried to log in."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What an attach wants of each way.

    :ivar scans: how often to scan for the LUN within ``scan_seconds``.
    :ivar clean_up_seconds: what taking back may take after the deadline of the way.
    :ivar every_session: whether each session of a portal is to bring a disk, or one is enough.
    """

    props: props_iscsi.Props
    iface: str
    scans: int
    scan_seconds: float
    clean_up_seconds: float
    every_session: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Brought:
    """A way that is open, and what was made for it."""

    way: Target
    legs: tuple[host_disks.Disk, ...]
    made_sessions: tuple[int, ...]


@contextlib.contextmanager
def _portal_lock(ways: Iterable[Target], deadline: wait.Deadline) -> Iterator[None]:
    """Keep others from logging in to, scanning and logging out of portals of a target."""
    with locks.hold_all(
        locks.TARGET, (f'{way.name.lower()} {way.portal}' for way in ways), deadline
    ):
        yield


def open_way(
    request: Request,
    way: Target,
    answered: set[Target],
    deadline: wait.Deadline,
    *,
    ask_first: bool = True,
) -> Brought:
    """Log in to one portal if need be, and bring the volume's disk behind it.

    What was made is taken back if it does not end well.

    :param answered: where the way is noted as soon as its portal answers.
    :raises Silent: if the portal does not answer.
    :raises FailedISCSITargetPortalLogin: if there is no login.
    :raises VolumeDeviceNotFound: if there is no disk.
    :raises VolumeIdentityMismatch: if it is another volume's.
    """
    with core_undo.Undo() as undo:
        _require_answer(request, way, deadline, ask_first=ask_first)
        answered.add(way)
        with _portal_lock([way], deadline):
            login = _log_in(request, way, undo, deadline)
            places = [session.address(way.lun) for session in login.sessions]
            new = [place for place in places if not scsi.is_known(place)]
            for place in new:
                undo.add(scsi_opening.delete_disk_at, place, request.clean_up_seconds)
                # Under the portal's lock: nobody logs out of a session before its first LUN.
                scsi.scan(place, deadline.within(request.scan_seconds))
        legs = []
        for session, place in zip(login.sessions, places, strict=True):
            leg = _leg(request, way, session, deadline, is_new=place in new)
            host_disks.require_expected(leg, request.props.expected_wwid)
            legs.append(leg)
        return Brought(way, tuple(legs), login.made_sessions)


def _require_answer(
    request: Request, way: Target, deadline: wait.Deadline, *, ask_first: bool
) -> None:
    """Have a session that works, or a portal that can be reached.

    :raises Silent: if there is neither.
    """
    existing = iscsi.sessions_at(way.name, way.portal)
    if any(session.is_logged_in for session in existing):
        return
    if existing:
        # open-iscsi is trying to get it back; a second login would not be another session.
        back = wait.holds(
            lambda: any(s.is_logged_in for s in iscsi.sessions_at(way.name, way.portal)),
            deadline.within(request.scan_seconds),
        )
        if not back:
            raise Silent(f'{existing[0]} is {existing[0].state} and does not come back')
    elif ask_first and request.iface == _OWN_TCP:
        limit = deadline.limit(tcp.REACH_SECONDS)
        why = iscsi.why_unreachable(way.portal, limit)
        if why is not None:
            raise Silent(f'Portal {way.portal} does not answer: {why}')


@dataclasses.dataclass(frozen=True, slots=True)
class _Login:
    """The sessions through a way, and what was made for them."""

    sessions: list[iscsi.Session]
    made_sessions: tuple[int, ...] = ()


def _log_in(request: Request, way: Target, undo: core_undo.Undo, deadline: wait.Deadline) -> _Login:
    """Have a session through a way; one that is there is used as it is."""
    wanted = None if request.every_session else 1
    existing = [s for s in iscsi.sessions_at(way.name, way.portal) if s.is_logged_in]
    if existing:
        return _Login(existing[:wanted])
    # Noted before it is made: open-iscsi may be late with it, or fail half-way.
    undo.add(_close, way, (), request.clean_up_seconds)
    chap = request.props.chap
    secret = (chap.username, chap.password) if chap else None
    iscsi.ensure_node(way.name, way.portal, request.iface, secret)
    found = iscsi.login(way.name, way.portal, request.iface, deadline)
    made = tuple(session.number for session in found)
    undo.add(_close, way, made, request.clean_up_seconds)
    return _Login(found[:wanted], made)


def _leg(
    request: Request,
    way: Target,
    session: iscsi.Session,
    deadline: wait.Deadline,
    *,
    is_new: bool,
) -> host_disks.Disk:
    place = session.address(way.lun)
    times = plans_ways.scan_times(request.scans, request.scan_seconds)
    until = deadline.within(request.scan_seconds)

    def scan() -> None:
        with _portal_lock([way], deadline):
            if iscsi.session(session.number) is None:
                raise exception.FailedISCSITargetPortalLogin(f'The {session} has ended')
            scsi.scan(place, until)

    try:
        return host_disks.find(place, scan, times[1:] if is_new else times, until, is_new=is_new)
    except exception.PathNotReady:
        raise
    except exception.VolumeDeviceNotFound as error:
        raise exception.VolumeDeviceNotFound(f'{way}: no disk appears ({error})') from error


def _close(way: Target, sessions: tuple[int, ...], seconds: float) -> None:
    """End sessions that nothing hangs on; a record that leads to none is what it was before."""
    deadline = wait.Deadline.after(seconds)
    with _portal_lock([way], deadline):
        for number in sessions:
            found = iscsi.session(number)
            if found is not None and plans.may_end(found.luns(), way.lun, is_forced=True):
                iscsi.logout(found, deadline)
        if not iscsi.sessions_at(way.name, way.portal):
            iscsi.restore_node(way.name, way.portal)


def take_back(brought: Brought, deadline: wait.Deadline) -> None:
    """Take back what was made for a way: its new disks, then its sessions and its record."""
    steps = teardown.Teardown(teardown.OnError.IGNORE)
    for leg in brought.legs:
        if leg.is_new:
            delete = functools.partial(scsi_opening.delete_disk_at, leg.address, deadline.limit())
            steps.run(f'removal of {leg.name}', delete)
    if brought.made_sessions:
        close = functools.partial(_close, brought.way, brought.made_sessions)
        left = max(deadline.remaining, LEAST_LOGOUT_SECONDS)
        steps.run(f'end of {brought.way}', lambda: close(left))
    steps.end()


class Opening(scsi_opening.Opening[Target, Brought]):
    """The opening of all ways to a volume for one attach."""

    deciding = (exception.VolumeIdentityMismatch, exception.LoginRefused)

    def __init__(self, request: Request, ways: tuple[Target, ...], deadline: wait.Deadline) -> None:
        super().__init__(request.props.key, ways, deadline, request.clean_up_seconds)
        self._request = request

    def _open_way(self, way: Target, deadline: wait.Deadline, *, ask_first: bool) -> Brought:
        return open_way(self._request, way, self._answered, deadline, ask_first=ask_first)

    def _take_back(self, brought: Brought, deadline: wait.Deadline) -> None:
        take_back(brought, deadline)

    def _before_late(self, way: Target, deadline: wait.Deadline) -> None:
        _require_answer(self._request, way, deadline.within(tcp.REACH_SECONDS), ask_first=True)

    def _is_fatal(self, error: Exception) -> bool:
        # What only discovery has told of may lead anywhere.
        return self._request.props.explicit and super()._is_fatal(error)

    def _is_silent(self, error: Exception) -> bool:
        return isinstance(error, Silent)

    def _is_final(self, error: Exception) -> bool:
        # Another try would log in, scan and log out again for as long as the volume is here.
        if isinstance(error, (exception.OperationTimedOut, exception.PathNotReady)):
            return False
        no_answer = isinstance(error, exception.FailedISCSITargetPortalLogin)
        return not no_answer or isinstance(error, exception.LoginRefused)

    def summary(self, texts: list[str], errors: list[Exception]) -> Exception:
        login = exception.FailedISCSITargetPortalLogin
        if errors and all(isinstance(error, login) for error in errors):
            return login('; '.join(texts))
        return exception.VolumeDeviceNotFound('; '.join(texts))


def leave(
    ways: list[Target],
    sessions: list[tuple[iscsi.Session, int]],
    deadline: wait.Deadline,
    *,
    is_forced: bool,
) -> None:
    """End the sessions to one target that carry no other volume, and forget their records.

    :param ways: the ways the caller named; they may have a record and no session.
    :param sessions: the sessions, with the LUN behind each that was the volume's.
    :raises BrickException: if a session does not end.
    """
    every = [*ways, *(Target(min(s.portals), s.target, lun) for s, lun in sessions if s.portals)]
    if not every:
        return
    with _portal_lock(every, deadline):
        ending = [s for s, lun in sessions if _has_no_other(s, lun, deadline, is_forced=is_forced)]
        _, errors = fanout.fanout(lambda session: iscsi.logout(session, deadline), ending)
        free = {way.portal for way in every if not iscsi.sessions_at(way.name, way.portal)}
        iscsi.forget_nodes(every[0].name, free)
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
