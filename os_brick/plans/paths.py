# SPDX-License-Identifier: Apache-2.0
"""What to do about the ways to a volume: when to scan and to stop waiting, which error to tell."""

from __future__ import annotations

from collections.abc import Iterable
import dataclasses

# A way whose portal does not answer is left to join later once the others are done. A portal that
# is there answers after one round trip, and the others have needed many of them: it gets half as
# long again as they, but no less than a busy process needs, and no more than a user would notice.
LEAST_SILENT_SECONDS = 0.2
SILENT_SECONDS = 0.5
SILENT_SHARE = 1.5
# A way whose portal answers is worth waiting for: its login is under way.
STRAGGLER_SECONDS = 10.0


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
    :ivar enough_at: when enough ways were ready, in seconds from the start.
    """

    seconds: float
    ready: int
    answering: int
    silent: int
    enough_at: float = 0.0


def may_go_on(
    progress: Progress, wanted: int = 1, least_silent: float = LEAST_SILENT_SECONDS
) -> bool:
    """Whether to go on with the ways that are ready, or to give up where none can be.

    :param wanted: how many ways have to be ready while others may still come.
    :param least_silent: the time from the start that even a silent way gets, in seconds.
    """
    if not progress.answering and not progress.silent:
        return True
    if progress.ready < wanted:
        return False
    if progress.answering:
        return progress.seconds >= STRAGGLER_SECONDS
    patience = max(least_silent, progress.enough_at * SILENT_SHARE)
    return progress.seconds >= min(patience, SILENT_SECONDS)


def deciding_error(
    errors: Iterable[Exception], kinds: Iterable[type[Exception]]
) -> Exception | None:
    """The error that says why a volume with several ways is not attached, if one alone does.

    :param kinds: kinds of errors that outweigh any portal that is away, the weightiest first.
    """
    found = list(errors)
    for kind in kinds:
        for error in found:
            if isinstance(error, kind):
                return error
    return found[0] if len(found) == 1 else None
