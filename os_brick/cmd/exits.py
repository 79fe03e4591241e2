# SPDX-License-Identifier: Apache-2.0
"""Exit codes, and the errors that a command ends with."""

from __future__ import annotations

import enum

from os_brick.model.names import shown


class Exit(enum.IntEnum):
    """What a command leaves behind for the shell.

    Looking and checking take the codes of ``nova-status upgrade check`` and of Nagios; changing
    tells whether the host is as before.
    """

    OK = 0

    # Of commands that look.
    WARNINGS = 1
    FAILURES = 2
    #: Something could not be read: for lack of rights, or because it does not answer.
    UNREAD = 3

    # Of commands that change.
    FAILED_AND_TAKEN_BACK = 1
    SOMETHING_IS_LEFT = 2
    REFUSED = 3
    NOT_THERE = 4
    TIME_IS_UP = 5

    # Of all.
    USAGE = 64
    #: The result could not be written to the standard output (EX_IOERR).
    NOT_PRINTED = 74
    NEEDS_ROOT = 77
    INTERRUPTED = 130
    BUG = 255


class CommandError(Exception):
    """A command cannot do what it was asked.

    :ivar code: a stable word for programs, such as ``not-found``.
    :ivar text: what is wrong, as a sentence that names the object.
    :ivar remedy: what to do about it; empty only where nothing can be done.
    :ivar candidates: what the caller may have meant.
    """

    def __init__(
        self,
        code: str,
        text: str,
        *,
        exit_code: Exit,
        remedy: str = '',
        candidates: tuple[str, ...] = (),
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.exit_code = exit_code
        self.remedy = remedy
        self.candidates = candidates

    def as_document(self) -> dict[str, object]:
        """The error for programs."""
        return {
            'schema': 'os-brick/error/1',
            'error': {
                'code': self.code,
                'text': self.text,
                'remedy': self.remedy,
                'candidates': list(self.candidates),
                'exit_code': int(self.exit_code),
            },
        }


def usage(text: str, remedy: str = 'See os-brick --help.') -> CommandError:
    """The error for arguments that do not make sense."""
    return CommandError('usage', text, exit_code=Exit.USAGE, remedy=remedy)


def needs_root(what: str) -> CommandError:
    """The error for what only root may do."""
    return CommandError(
        'needs-root',
        f'{what} needs root.',
        exit_code=Exit.NEEDS_ROOT,
        remedy='Run it with sudo.',
    )


def not_found(what: str, candidates: tuple[str, ...] = ()) -> CommandError:
    """The error for a WHAT that nothing on this host is called by."""
    return CommandError(
        'not-found',
        f'Nothing on this host has the name {shown(what)}.',
        exit_code=Exit.NOT_THERE,
        remedy='os-brick list --all shows what there is.',
        candidates=candidates,
    )


def ambiguous(what: str, candidates: tuple[str, ...]) -> CommandError:
    """The error for a WHAT that means several things."""
    return CommandError(
        'ambiguous',
        f'{shown(what)} is the name, or its start, of {len(candidates)} things.',
        exit_code=Exit.USAGE,
        remedy='Name one of them.',
        candidates=candidates,
    )


def time_is_up(seconds: float, *, changes: bool = False) -> CommandError:
    """The error for a command that did not end within ``--timeout``."""
    return CommandError(
        'time-is-up',
        f'The command did not end within {seconds:g} s.',
        exit_code=Exit.TIME_IS_UP if changes else Exit.UNREAD,
        remedy='Give it longer with --timeout SECONDS.',
    )
