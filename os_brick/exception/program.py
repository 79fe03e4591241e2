# SPDX-License-Identifier: Apache-2.0
"""Errors of programs, of LVM, and of what does not end in time."""

from os_brick.exception.base import BrickException


class OperationTimedOut(BrickException):
    """A time limit has passed: that of the operation, or the shorter one of one of its steps.

    The text says what was waited for. For a lock: another operation on the same volume is
    under way; wait for it and try again. For anything else: look for the cause there (a path that
    is down, a daemon that hangs). ``[os_brick] operation_timeout`` is the limit of the whole.

    :ivar what: what was waited for.
    :ivar seconds: the limit.
    """

    what: str | None
    seconds: float | None
    message = 'Timed out after %(seconds)s s waiting for %(what)s.'


class HostNotReady(BrickException):
    """A program, a module of the kernel or a setting that the volume needs is missing here.

    Nothing was changed. Another try fails too, until the host has been prepared.

    :ivar missing: what is missing.
    :ivar remedy: what helps, as a sentence.
    """

    missing: str | None
    remedy: str | None
    message = 'This host is not ready: %(missing)s is missing. %(remedy)s'


class CommandExecutionFailed(BrickException):
    """A program failed. Its output is in the log, at debug level."""

    cmd: str | None
    message = 'Command %(cmd)s failed.'


class VolumeDriverException(BrickException):
    """A storage driver failed. Kept for callers that raise or catch it."""

    name: str | None
    message = 'Volume driver %(name)s failed.'


class VolumeGroupNotFound(BrickException):
    """LVM knows no volume group of this name. Create it, or mend the configuration."""

    vg_name: str | None
    message = 'Volume group %(vg_name)s was not found.'


class VolumeGroupCreationFailed(BrickException):
    """LVM could not create a volume group. Its output is in the log."""

    vg_name: str | None
    message = 'Volume group %(vg_name)s could not be created.'


class VolumeNotDeactivated(BrickException):
    """A logical volume is still active after its deactivation. Something has it open."""

    name: str | None
    message = 'Logical volume %(name)s was not deactivated.'
