# SPDX-License-Identifier: Apache-2.0
"""What takes iSCSI paths away: the steps of an undo, and the end of sessions at a detach.

Sessions are named by their numbers, which the kernel never gives again (Linux,
scsi_transport_iscsi.c: iscsi_session_nr); addresses are, with the host they begin with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import contextlib

from os_brick.core import fanout, locks, undo, wait
from os_brick.host import iscsi, open_iscsi, scsi
from os_brick.model import addresses
from os_brick.paths import scsi_undo
from os_brick.plans import iscsi as plans
from os_brick.request.iscsi import IscsiPath

# A LUN whose disk was deleted leaves its target's list a moment later.
LUN_GONE_SECONDS = 5.0
# iscsid goes on with a login whose iscsiadm was killed, and gives it up after this time
# (node.conn[0].timeo.login_timeout, open-iscsi 2.1).
_ABANDONED_LOGIN_SECONDS = 15.0


@contextlib.contextmanager
def portal_lock(
    places: Iterable[tuple[str, addresses.Portal]], deadline: wait.Deadline
) -> Iterator[None]:
    """Keep others from logging in to, scanning and logging out of portals of a target."""
    keys = [f'{name.lower()} {portal}' for name, portal in places]
    with locks.hold_all(locks.TARGET, keys, deadline):
        yield


@undo.verb
def delete_disk(session: int, lun: int, seconds: float) -> None:
    """Remove the disk that a scan behind a session has added, unless someone uses it."""
    found = iscsi.session(session)
    if found is not None:
        scsi_undo.delete_new_disk(found.address(lun), seconds)


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
    known = (scsi.disk_at(each.address(lun)) for each in iscsi.sessions_of_record(name, portal))
    wwid = scsi.first_wwid(filter(None, known)) or ''
    with locks.hold_identity(wwid, deadline), portal_lock([(name, portal)], deadline):
        for found in iscsi.sessions_of_record(name, portal):
            is_ours = found.number not in before
            if is_ours and plans.may_end(found.luns(), lun, is_forced=True):
                disk = scsi.disk_at(found.address(lun))
                if disk is not None:  # It goes with its session.
                    scsi_undo.require_unused(disk, deadline)
                open_iscsi.logout(found, deadline)
        if not iscsi.sessions_of_record(name, portal):
            open_iscsi.restore_node(name, portal)


@undo.verb
def await_login(name: str, address: str, port: int, seconds: float) -> None:
    """Wait for the session of a login that was given up, so that it can be ended, too."""
    portal = addresses.Portal(address, port)
    longest = open_iscsi.LATE_LOGIN_SECONDS + _ABANDONED_LOGIN_SECONDS
    limit = wait.Deadline.after(min(seconds, longest))
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
    with portal_lock([(path.name, path.portal) for path in every], deadline):
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
