# SPDX-License-Identifier: Apache-2.0
"""What an attach of a SCSI volume does on each of its paths: facts to steps, no I/O.

The host changes under an attach (another volume's detach ends a session, a port comes back), so a
path is looked at, and its steps are made, when its turn comes: for iSCSI under the portal's lock,
and once more after a login. What is printed before is made by the same functions of the same facts,
only earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import dataclasses
import enum

from os_brick.plans import steps


class Verb(enum.StrEnum):
    """The steps of an attach."""

    USE_SESSION = 'use session'
    AWAIT_SESSION = 'wait for session'
    ASK_PORTAL = 'ask portal'
    MAKE_RECORD = 'make node record'
    LOG_IN = 'log in'
    CHECK_PORT = 'check that the port is online'
    SCAN = 'scan'
    VERIFY = 'verify identity'
    BUILD_MAP = 'build multipath map'
    USE_ONE = 'use the first disk that can be read'


_TAKEN_BACK_BY = {
    Verb.MAKE_RECORD: 'have it as it was before',
    Verb.LOG_IN: 'log out, unless another volume is behind it',
    Verb.SCAN: 'delete the disk, unless something uses it',
    Verb.BUILD_MAP: 'remove it unless it has other disks, and forget its WWID',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Step(steps.FieldsStep):
    """One act on a path, or with the disks of all paths.

    :ivar path: the path, in words; empty for what is done with all of them.
    :ivar session: an iSCSI session's number.
    :ivar address: where the disk is, or is to be; empty while there is no session.
    :ivar wwid: what the disk has to be, if the caller knows.
    """

    verb: Verb
    path: str = ''
    session: int | None = None
    address: str = ''
    wwid: str = ''

    @property
    def taken_back_by(self) -> str:
        """What takes the step back if the attach fails, in words; empty for none."""
        return _TAKEN_BACK_BY.get(self.verb, '')


Attach = steps.Plan[Step]


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of each path.

    :ivar wwid: the volume's identity, if the caller knows.
    :ivar every_session: whether each session of a portal is to bring a disk, or one is enough.
    :ivar may_ask: whether a portal without a session can be asked over this host's own network.
    """

    wwid: str = ''
    every_session: bool = True
    may_ask: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class FoundSession:
    """A session through the portal of a path.

    :ivar address: where the volume's LUN is behind it.
    :ivar is_known: whether the kernel has a device there.
    """

    number: int
    is_logged_in: bool
    address: str
    is_known: bool


@dataclasses.dataclass(frozen=True, slots=True)
class FoundPort:
    """A pair of ports.

    :ivar is_online: whether both are.
    :ivar address: where the volume's LUN is behind it.
    :ivar is_known: whether the kernel has a device there that no scan of this attach has added.
    """

    is_online: bool
    address: str
    is_known: bool


def iscsi_path(path: str, sessions: Sequence[FoundSession], wanted: Wanted) -> tuple[Step, ...]:
    """The steps on an iSCSI path."""
    live = [each for each in sessions if each.is_logged_in]
    if live:
        return _behind(path, live if wanted.every_session else live[:1], wanted.wwid)
    last = (Step(Verb.SCAN, path), Step(Verb.VERIFY, path, wwid=wanted.wwid))
    if sessions:
        # open-iscsi is trying to get it back; a second login would not be another session.
        return (Step(Verb.AWAIT_SESSION, path, sessions[0].number), *last)
    asked = [Step(Verb.ASK_PORTAL, path)] if wanted.may_ask else []
    return (*asked, Step(Verb.MAKE_RECORD, path), Step(Verb.LOG_IN, path), *last)


def _behind(path: str, used: Sequence[FoundSession], wwid: str) -> tuple[Step, ...]:
    """The steps behind sessions that work."""
    new = [each for each in used if not each.is_known]
    return (
        *(Step(Verb.USE_SESSION, path, each.number) for each in used),
        *(Step(Verb.SCAN, path, each.number, each.address) for each in new),
        *(Step(Verb.VERIFY, path, each.number, each.address, wwid) for each in used),
    )


def fibre_channel_path(path: str, found: FoundPort, wanted: Wanted) -> tuple[Step, ...]:
    """The steps on a Fibre Channel path."""
    check = [] if found.is_online else [Step(Verb.CHECK_PORT, path)]
    scan = [] if found.is_known else [Step(Verb.SCAN, path, address=found.address)]
    return (*check, *scan, Step(Verb.VERIFY, path, address=found.address, wwid=wanted.wwid))


def attach(
    what: str, paths: Iterable[tuple[Step, ...]], wanted: Wanted, *, is_multipath: bool
) -> Attach:
    """The whole attach: its paths side by side, then what they are put together to."""
    last = Step(Verb.BUILD_MAP if is_multipath else Verb.USE_ONE, wwid=wanted.wwid)
    return steps.Plan('attach', what, (*(step for path in paths for step in path), last))


def has(found: Iterable[Step], verb: Verb) -> bool:
    """Whether there is a step of a verb."""
    return any(step.verb is verb for step in found)
