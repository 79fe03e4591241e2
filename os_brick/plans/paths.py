# SPDX-License-Identifier: Apache-2.0
"""What to do about the paths to a volume: when to scan, and when to stop waiting for more."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

# A path whose portal does not answer is left to join later once the others are done. A portal that
# is there answers after one round trip, and the others have needed many of them: it gets half as
# long again as they, but no less than a busy process needs, and no more than a user would notice.
UNREACHABLE_GRACE_SECONDS = 0.2
LONGEST_GRACE_SECONDS = 0.5
GRACE_SHARE = 1.5
# A path whose portal answers is worth waiting for: its login is under way.
STRAGGLER_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """How the paths of one attach are dealt with.

    :ivar wanted: so many paths are waited for as long as they may come.
    :ivar grace_seconds: what a path without an answer gets at least, from the start.
    :ivar is_mismatch_fatal: whether one path that leads to another volume forbids the attach
        though other paths are open.
    """

    wanted: int = 1
    grace_seconds: float = UNREACHABLE_GRACE_SECONDS
    is_mismatch_fatal: bool = True


def scan_times(attempts: int, scan_seconds: float) -> list[float]:
    """When to scan for a LUN, in seconds from the start, within the scan time-out.

    The first scan is at once; the distances grow, as for whatever is late.

    :param attempts: how many scans; at least one is made.
    """
    count = max(attempts, 1)
    return [scan_seconds * (number / count) ** 2 for number in range(count)]


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far the paths to a volume have come.

    :ivar seconds: since the start.
    :ivar ready: how many paths are open.
    :ivar responding: how many are under way and have had an answer from their portal.
    :ivar unreachable: how many are under way and have had none.
    :ivar enough_at: when enough paths were open, in seconds from the start.
    """

    seconds: float
    ready: int
    responding: int
    unreachable: int
    enough_at: float = 0.0


def may_stop_waiting(progress: Progress, policy: Policy = Policy()) -> bool:
    """Whether to go on with the paths that are open, or to give up where none can be."""
    if not progress.responding and not progress.unreachable:
        return True
    if progress.ready < policy.wanted:
        return False
    if progress.responding:
        return progress.seconds >= STRAGGLER_SECONDS
    grace = max(policy.grace_seconds, progress.enough_at * GRACE_SHARE)
    return progress.seconds >= min(grace, LONGEST_GRACE_SECONDS)


def shares(count: int) -> Sequence[float]:
    """The share of the time left that each of several paths gets, which are tried in turn."""
    return [1 / (count - number) for number in range(count)]
