# SPDX-License-Identifier: Apache-2.0
"""What an error of a connector means for the shell: an exit code, a word, a remedy."""

from __future__ import annotations

from oslo_concurrency import processutils as putils

from os_brick import exception
from os_brick.cmd import exits
from os_brick.core import observe, trace

# What an operation may fail with.
ALL = (exception.BrickException, OSError, putils.ProcessExecutionError)
# An argument of connectors of shares, which is not a connection property.
_OF_SHARES = 'mount_point_base is missing'
# First the more special ones.
_CODES: tuple[tuple[type[Exception], exits.Exit, str], ...] = (
    (exception.OperationTimedOut, exits.Exit.TIME_IS_UP, 'Give it longer with --timeout SECONDS.'),
    (exception.VolumeInUse, exits.Exit.REFUSED, 'Stop what uses it, then try again.'),
    (
        exception.VolumeIdentityMismatch,
        exits.Exit.REFUSED,
        'Nothing was taken from the other volume. os-brick show DEVICE --ask tells who it is.',
    ),
    (exception.VolumePathsNotFound, exits.Exit.NOT_THERE, 'os-brick list shows what is here.'),
    (
        exception.InvalidConnectorProtocol,
        exits.Exit.USAGE,
        'Name one of these with --protocol.',
    ),
    (exception.InvalidParameterValue, exits.Exit.USAGE, 'Correct the connection properties.'),
)


def of_property(error: ValueError) -> Exception:
    """The error for a connection property that connectors of local volumes report so."""
    if not str(error).startswith('connection property'):
        return error
    return exits.usage(f'{error}.', 'Correct the connection properties.')


def command_error(
    error: Exception, outcome: str, *, is_taken_back: bool = True
) -> exits.CommandError:
    """What an error means for the shell: what has become of the host."""
    code, remedy = exits.Exit.FAILED_AND_TAKEN_BACK, 'The host is as it was before.'
    for kind, its_code, its_remedy in _CODES:
        if isinstance(error, kind):
            code, remedy = its_code, its_remedy
            break
    # Disks that an extend has had read their size anew are not told the old one again.
    is_partial = code == exits.Exit.FAILED_AND_TAKEN_BACK and not is_taken_back and outcome
    if outcome == observe.LEFT or is_partial:
        code, remedy = exits.Exit.SOMETHING_IS_LEFT, 'os-brick tree --all shows what is there.'
    notes = [str(each) for each in getattr(error, '__notes__', ())]
    text = '; '.join([_told(error), *notes])
    if _OF_SHARES in text:
        remedy = 'Pass the whole connection_info, with mount_point_base beside data.'
    return exits.CommandError(_word_of(error), text, exit_code=code, remedy=remedy)


def _told(error: Exception) -> str:
    """The text of an error; what names keys of the caller's has no values that are secret.

    A mask would take "auth_username: missing" for a secret.
    """
    is_of_keys = isinstance(error, exception.InvalidParameterValue)
    return str(error) if is_of_keys else str(trace.masked(str(error)))


def _word_of(error: Exception) -> str:
    """The class of an error as a stable word: ``volume-in-use``."""
    name = type(error).__name__
    return ''.join(f'-{each.lower()}' if each.isupper() else each for each in name).lstrip('-')
