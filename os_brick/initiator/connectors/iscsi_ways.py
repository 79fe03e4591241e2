# SPDX-License-Identifier: Apache-2.0
"""The ways to one iSCSI volume: opened side by side, given to the volume, or taken back.

A way that is late is not waited for. Its thread goes on after the attach has returned, and its
disk joins the volume's map then, unless the volume has gone by that time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import contextlib
import dataclasses
import enum
import functools
import threading

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import background, clock, fanout, locks, wait
from os_brick.core import undo as core_undo
from os_brick.host import dm, iscsi, multipath, scsi, volume
from os_brick.host import legs as host_legs
from os_brick.initiator.connectors import base
from os_brick.initiator.plans import iscsi as plans
from os_brick.initiator.props import iscsi as props_iscsi

LOG = logging.getLogger(__name__)
Target = props_iscsi.Target

# Only the software initiator's default iface uses this host's own TCP, which can be asked first.
_OWN_TCP = 'default'
# Pauses between two looks for a portal that does not answer, and for a disk that is dead.
RETRY_PAUSES = (1.0, 10.0)
# A late way holds the volume's lock while it logs in, and a detach waits for it.
LATE_SECONDS = 20.0
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
    legs: tuple[host_legs.Leg, ...]
    made_sessions: tuple[int, ...]
    made_node: bool


@contextlib.contextmanager
def _portal_lock(ways: Iterable[Target], deadline: wait.Deadline) -> Iterator[None]:
    """Keep others from logging in to, scanning and logging out of portals of a target."""
    with contextlib.ExitStack() as stack:
        for key in sorted({f'{way.name.lower()} {way.portal}' for way in ways}):
            stack.enter_context(locks.hold(locks.TARGET, key, deadline))
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
                undo.add(_delete_disk_at, place, request.clean_up_seconds)
                # Under the portal's lock: nobody logs out of a session before its first LUN.
                scsi.scan(place, deadline.within(request.scan_seconds))
        legs = []
        for session, place in zip(login.sessions, places, strict=True):
            leg = _leg(request, way, session, deadline, is_new=place in new)
            host_legs.require_expected(leg, request.props.expected_wwid)
            legs.append(leg)
        return Brought(way, tuple(legs), login.made_sessions, login.made_node)


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
        limit = deadline.limit(iscsi.REACH_SECONDS)
        why = iscsi.why_unreachable(way.portal, limit)
        if why is not None:
            raise Silent(f'Portal {way.portal} does not answer: {why}')


@dataclasses.dataclass(frozen=True, slots=True)
class _Login:
    """The sessions through a way, and what was made for them."""

    sessions: list[iscsi.Session]
    made_sessions: tuple[int, ...] = ()
    made_node: bool = False


def _log_in(request: Request, way: Target, undo: core_undo.Undo, deadline: wait.Deadline) -> _Login:
    """Have a session through a way; one that is there is used as it is."""
    wanted = None if request.every_session else 1
    existing = [s for s in iscsi.sessions_at(way.name, way.portal) if s.is_logged_in]
    if existing:
        return _Login(existing[:wanted])
    made_node = not iscsi.has_node(way.name, way.portal, request.iface)
    # Noted before it is made: open-iscsi may be late with it, or fail half-way.
    undo.add(_close, way, (), request.clean_up_seconds, made_node=made_node)
    chap = request.props.chap
    secret = (chap.username, chap.password) if chap else None
    iscsi.ensure_node(way.name, way.portal, request.iface, secret)
    found = iscsi.login(way.name, way.portal, request.iface, deadline)
    made = tuple(session.number for session in found)
    undo.add(_close, way, made, request.clean_up_seconds, made_node=False)
    return _Login(found[:wanted], made, made_node)


def _leg(
    request: Request,
    way: Target,
    session: iscsi.Session,
    deadline: wait.Deadline,
    *,
    is_new: bool,
) -> host_legs.Leg:
    place = session.address(way.lun)
    times = plans.scan_times(request.scans, request.scan_seconds)
    until = deadline.within(request.scan_seconds)

    def scan() -> None:
        with _portal_lock([way], deadline):
            if iscsi.session(session.number) is None:
                raise exception.FailedISCSITargetPortalLogin(f'The {session} has ended')
            scsi.scan(place, until)

    try:
        return host_legs.find(place, scan, times[1:] if is_new else times, until, is_new=is_new)
    except exception.VolumeDeviceNotFound as error:
        raise exception.VolumeDeviceNotFound(f'{way}: no disk appears ({error})') from error


def _delete_disk_at(place: scsi.Address, seconds: float) -> None:
    """Remove the disk that a scan of ours has brought, be it after its time or not."""
    disk = scsi.disk_at(place)
    if disk is not None:
        multipath.forget_disks([disk])
        scsi.remove(disk, wait.Deadline.after(seconds))


def _close(way: Target, sessions: tuple[int, ...], seconds: float, *, made_node: bool) -> None:
    """End sessions that nothing hangs on, and forget a node record that leads to none."""
    deadline = wait.Deadline.after(seconds)
    with _portal_lock([way], deadline):
        for number in sessions:
            found = iscsi.session(number)
            if found is not None and plans.may_end(found.luns(), way.lun, is_forced=True):
                iscsi.logout(found, deadline)
        if made_node and not iscsi.sessions_at(way.name, way.portal):
            iscsi.forget_nodes(way.name, {way.portal})


def take_back(brought: Brought, deadline: wait.Deadline) -> None:
    """Take back what was made for a way: its new disks, then its sessions and its record."""
    steps = base.Teardown(base.OnError.IGNORE)
    for leg in brought.legs:
        if leg.is_new:
            delete = functools.partial(_delete_disk_at, leg.address, deadline.limit())
            steps.run(f'removal of {leg.disk}', delete)
    if brought.made_sessions:
        close = functools.partial(_close, brought.way, brought.made_sessions)
        left = max(deadline.remaining, LEAST_LOGOUT_SECONDS)
        steps.run(f'end of {brought.way}', lambda: close(left, made_node=brought.made_node))
    steps.end()


class _State(enum.Enum):
    OPENING = 'ways are opened for an attach'
    JOINING = 'the attach has its volume; further ways join it'
    ABANDONED = 'the attach has failed'


class Opening:
    """The opening of all ways to a volume for one attach."""

    def __init__(self, request: Request, ways: tuple[Target, ...], deadline: wait.Deadline) -> None:
        self._request = request
        self._ways = ways
        self._deadline = deadline
        self._answered: set[Target] = set()
        self._guard = threading.Lock()
        self._state = _State.OPENING
        self._brought: dict[Target, Brought] = {}
        self._wwid = ''
        self._fan: fanout.Fanout[Target, None] = fanout.Fanout(self._open)
        self._ask_first = True

    def run(self) -> list[Brought]:
        """Open the ways; return those that are open when no other is worth waiting for.

        :raises BrickException: if none is open by the deadline.
        """
        if self._deadline.passed:
            raise exception.OperationTimedOut(
                what=f'{self._ways[0]}', seconds=round(self._deadline.seconds, 1)
            )
        self._start_and_wait()
        if not self._brought and self._all_silent():
            # This process may see another network than open-iscsi does: that one decides.
            self._ask_first = False
            self._start_and_wait()
        with self._guard:
            found = [self._brought[way] for way in self._ways if way in self._brought]
        if not found:
            raise self._error()
        return found

    def _all_silent(self) -> bool:
        errors = self._fan.errors
        return not self._fan.pending and all(isinstance(e, Silent) for e in errors.values())

    def _start_and_wait(self) -> None:
        started = clock.monotonic()
        self._fan.start(self._ways)
        self._fan.wait_for(lambda: plans.may_go_on(self._progress(started)), self._deadline)

    def _progress(self, started: float) -> plans.Progress:
        pending = self._fan.pending
        answering = len(pending & self._answered)
        return plans.Progress(
            seconds=clock.monotonic() - started,
            ready=len(self._brought),
            answering=answering,
            silent=len(pending) - answering,
        )

    def _open(self, way: Target) -> None:
        deadline, ask = self._deadline, self._ask_first
        brought = open_way(self._request, way, self._answered, deadline, ask_first=ask)
        try:
            self._give(brought)
        except Exception:
            take_back(brought, self._clean_up())
            raise

    def _give(self, brought: Brought) -> None:
        """Hand a way over to the attach, or to the volume if the attach is over.

        :raises BrickException: if nobody wants it any more.
        """
        with self._guard:
            if self._state is _State.OPENING:
                self._brought[brought.way] = brought
                return
        deadline = wait.Deadline.after(LATE_SECONDS)
        with locks.hold(locks.VOLUME, self._request.props.key, deadline):
            self._join(brought, deadline)

    def _join(self, brought: Brought, deadline: wait.Deadline) -> None:
        found = dm.multipath_of(self._wwid) if self._state is _State.JOINING else None
        if found is None:
            raise exception.BrickException(f'{brought.way} is late: the volume has gone')
        for leg in brought.legs:
            host_legs.require_expected(leg, self._wwid)
        disks = [leg.disk for leg in brought.legs]
        multipath.join(found, disks, deadline)
        with self._guard:
            self._brought[brought.way] = brought
        LOG.info('%s has joined map %s', brought.way, found)

    def _error(self) -> Exception:
        known = self._fan.errors
        errors = {way: known[way] for way in self._ways if way in known}
        pending = [Silent(f'{way}: no answer in time') for way in self._ways if way not in errors]
        deciding = plans.deciding_error([*errors.values(), *pending])
        if deciding is not None:
            return deciding
        said = [_named(way, error) for way, error in errors.items()]
        said += [str(error) for error in pending]
        if errors and all(
            isinstance(error, exception.FailedISCSITargetPortalLogin) for error in errors.values()
        ):
            return exception.FailedISCSITargetPortalLogin('; '.join(said))
        return exception.VolumeDeviceNotFound('; '.join(said))

    def drop(self, brought: Brought) -> None:
        """Take back one way, which leads to another volume, for good."""
        with self._guard:
            self._brought.pop(brought.way, None)
            self._ways = tuple(way for way in self._ways if way != brought.way)
        take_back(brought, self._clean_up())

    def keep_joining(self, wwid: str) -> None:
        """Have the ways that are missing join the volume's map whenever they can."""
        with self._guard:
            self._wwid = wwid
            self._state = _State.JOINING
            missing = [way for way in self._ways if way not in self._brought]
        for way in missing:
            error = self._fan.errors.get(way)
            if _is_final(error):
                LOG.warning('%s is not used: %s', way, error)
                continue
            LOG.warning('%s is missing so far and joins when it can', way)
            key, what = self._request.props.key, f'{way} joins map of {wwid}'
            again = functools.partial(self._try_again, way)
            background.follow(key, what, again, RETRY_PAUSES)

    def _try_again(self, way: Target) -> bool:
        """Whether nothing is left to be done for a late way."""
        if way in self._brought or dm.multipath_of(self._wwid) is None:
            return True
        if way in self._fan.pending:
            return False
        if _is_final(self._fan.errors.get(way)):
            return True
        try:
            self._open_late(way)
        except exception.BrickException as error:
            if not _is_final(error):
                raise
            LOG.warning('%s is not used: %s', way, error)
        return True

    def _open_late(self, way: Target) -> None:
        deadline = wait.Deadline.after(LATE_SECONDS)
        _require_answer(self._request, way, deadline.within(iscsi.REACH_SECONDS), ask_first=True)
        with locks.hold(locks.VOLUME, self._request.props.key, deadline):
            if dm.multipath_of(self._wwid) is None:
                return
            brought = open_way(self._request, way, self._answered, deadline)
            try:
                self._join(brought, deadline)
            except Exception:
                take_back(brought, self._clean_up())
                raise

    def abandon(self) -> None:
        """Take back everything: what is open now, and what opens later."""
        with self._guard:
            self._state = _State.ABANDONED
            brought, self._brought = list(self._brought.values()), {}
        deadline = self._clean_up()
        new = [leg for one in brought for leg in one.legs if leg.is_new]
        _remove_map_over([leg.disk for leg in new], deadline)
        _, errors = fanout.fanout(lambda one: take_back(one, deadline), brought)
        for wwid in {leg.identity.wwid for leg in new} - {''}:
            if dm.multipath_of(wwid) is None:
                multipath.forget(wwid)
        for error in errors.values():
            raise error

    def _clean_up(self) -> wait.Deadline:
        return wait.Deadline.after(self._request.clean_up_seconds)


def _remove_map_over(disks: list[str], deadline: wait.Deadline) -> None:
    """Remove the map of a volume whose attach has failed, if it has no other disks."""
    found = dm.multipath_over(disks)
    if found is not None and set(volume.disks_of(disks)) <= set(disks):
        steps = base.Teardown(base.OnError.IGNORE)
        volume.remove(disks, None, steps, deadline, force=True)
        steps.end()


def _is_final(error: Exception | None) -> bool:
    """Whether a way that ended so is not worth another try: its target has answered, and said no.

    Another try would log in, scan and log out again for as long as the volume is here.
    """
    if error is None or isinstance(error, exception.OperationTimedOut):
        return False
    no_answer = isinstance(error, exception.FailedISCSITargetPortalLogin)
    return not no_answer or isinstance(error, exception.LoginRefused)


def _named(way: Target, error: Exception) -> str:
    text = str(error)
    return text if str(way) in text else f'{way}: {text}'


def readmit_later(key: str, disk: str, found: str) -> None:
    """Have a disk that was dead while its volume grew come back into the map when it can."""
    wwid = dm.wwid(found)

    def step() -> bool:
        if dm.wwid(found) != wwid:
            return True
        return volume.readmit(disk, found, wait.Deadline.after(LATE_SECONDS))

    background.follow(key, f'{disk} comes back into map {found}', step, RETRY_PAUSES)


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
