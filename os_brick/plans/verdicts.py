# SPDX-License-Identifier: Apache-2.0
"""What the error that a path ended in means: one table for every transport."""

from __future__ import annotations

from collections.abc import Iterable
import enum
from typing import TypeVar

from os_brick import exception

E = TypeVar('E', bound=Exception)


class Verdict(enum.Enum):
    """What the error that a path ended in means for the path, and for the attach."""

    UNREACHABLE = 'nothing was asked, so the path is tried again when it can be reached'
    RETRY = 'another try may succeed'
    REFUSED = 'another try would end the same'
    EXPLAINS = 'another try would end the same, and it alone explains a failed attach'
    FOR_ALL = 'it explains a failed attach, and no other path is worth waiting for'
    WRONG_VOLUME = 'the path leads to another volume, which explains before all else'

    @property
    def may_retry(self) -> bool:
        """Whether the path is tried again later."""
        return self in (Verdict.UNREACHABLE, Verdict.RETRY)


class CalledOff(exception.BrickException):
    """A try to open a path that no one waits for any more."""

    message = '%(path)s is not opened now: its operation has ended, or another one waits'


class PathUnreachable(exception.BrickException):
    """The portal or port of a path does not answer, so nothing is known of the volume there.

    Each transport has a kind of its own, which is also the error that its callers know.
    """


class HostRefused(exception.VolumeDeviceNotFound):
    """The kernel or the subsystem does not connect."""


class NotAuthenticated(HostRefused):
    """The subsystem, or this host, does not believe the other's secret."""


# The first class that an error is of decides. Another try at a path whose target has answered and
# has refused would log in, scan and log out again for as long as the volume is attached.
VERDICTS: tuple[tuple[type[BaseException], Verdict], ...] = (
    (CalledOff, Verdict.RETRY),
    (exception.HostNotReady, Verdict.FOR_ALL),
    (PathUnreachable, Verdict.UNREACHABLE),
    (exception.OperationTimedOut, Verdict.RETRY),
    (exception.TargetPortalNotFound, Verdict.RETRY),  # Its host name does not resolve now.
    (exception.PathNotReady, Verdict.RETRY),
    (exception.VolumeIdentityMismatch, Verdict.WRONG_VOLUME),
    (NotAuthenticated, Verdict.FOR_ALL),
    (HostRefused, Verdict.RETRY),
    (exception.LoginRefused, Verdict.EXPLAINS),
    (exception.FailedISCSITargetPortalLogin, Verdict.RETRY),
    (OSError, Verdict.RETRY),
    (BaseException, Verdict.REFUSED),
)


def verdict(error: BaseException) -> Verdict:
    """What an error that a path ended in means."""
    return next(found for kind, found in VERDICTS if isinstance(error, kind))


def deciding_error(errors: Iterable[E]) -> E | None:
    """The error that says why a volume with several paths is not attached, if one alone does."""
    found = list(errors)
    for weight in (Verdict.WRONG_VOLUME, Verdict.FOR_ALL, Verdict.EXPLAINS):
        for error in found:
            if verdict(error) is weight:
                return error
    return found[0] if len(found) == 1 else None
