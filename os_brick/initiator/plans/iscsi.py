# SPDX-License-Identifier: Apache-2.0
"""What to do about iSCSI volumes: which ways to take, when to scan, when to stop waiting."""

from __future__ import annotations

from collections.abc import Collection, Iterable
import dataclasses

from os_brick import addresses, exception
from os_brick.initiator.props import iscsi as props_iscsi

Target = props_iscsi.Target

# A way whose portal does not answer is left to join later once the others are done: so long
# after the start a portal that is there has answered (one round trip).
SILENT_SECONDS = 0.5
# A way whose portal answers is worth waiting for: its login is under way.
STRAGGLER_SECONDS = 10.0


def has_target(asked: Target, found: Iterable[tuple[addresses.Portal, str]]) -> bool:
    """Whether a discovery has found the target that was asked for, at whatever portal."""
    return any(name.lower() == asked.name.lower() for _, name in found)


def discovered_ways(
    asked: Target, found: Iterable[tuple[addresses.Portal, str]]
) -> tuple[Target, ...]:
    """The ways to a volume after a discovery: those with the target name that was asked for.

    Where not every portal has that name the array gives each portal a name of its own, and all
    of them may lead to the volume; who they lead to is found out by the volume's identity. The
    way that was asked for comes first.
    """
    ways = [Target(portal, name, asked.lun) for portal, name in found]
    portals = {way.portal for way in ways}
    ours = [way for way in ways if way.name.lower() == asked.name.lower()]
    if {way.portal for way in ours} == portals:
        ways = ours
    return tuple(dict.fromkeys([asked, *ways]))


def scan_times(attempts: int, scan_seconds: float) -> list[float]:
    """When to scan for a LUN, in seconds from the start, within the scan time-out.

    The first scan is at once; the distances grow, as for whatever is late.

    :param attempts: how many scans; at least one is made.
    """
    count = max(attempts, 1)
    return [scan_seconds * (number / count) ** 2 for number in range(count)]


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far the ways to a volume have come.

    :ivar seconds: since the start.
    :ivar ready: how many ways have brought their disk.
    :ivar answering: how many are under way and have an answer from their portal.
    :ivar silent: how many are under way and have none.
    """

    seconds: float
    ready: int
    answering: int
    silent: int


def may_go_on(progress: Progress) -> bool:
    """Whether to go on with the ways that are ready, or to give up where none can be."""
    if not progress.answering and not progress.silent:
        return True
    if not progress.ready:
        return False
    if progress.answering:
        return progress.seconds >= STRAGGLER_SECONDS
    return progress.seconds >= SILENT_SECONDS


def deciding_error(errors: Iterable[Exception]) -> Exception | None:
    """The error that says why a volume with several ways is not attached, if one alone does.

    Another volume in its place, and a target that refuses us, outweigh any portal that is away.
    """
    found = list(errors)
    for kind in (exception.VolumeIdentityMismatch, exception.LoginRefused):
        for error in found:
            if isinstance(error, kind):
                return error
    return found[0] if len(found) == 1 else None


def may_end(luns: Collection[int], lun: int, *, is_forced: bool) -> bool:
    """Whether a session may end when a volume has gone: no other LUN is behind it.

    :param luns: the LUNs the kernel has a device for behind the session.
    :param is_forced: whether the volume's own LUN does not count, though it would not go.
    """
    return not luns or (is_forced and set(luns) == {lun})
