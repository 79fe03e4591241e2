# SPDX-License-Identifier: Apache-2.0
"""Links below ``/dev/disk/by-id``: those of encrypted volumes are made and removed.

udev's links of SCSI disks, which outlive a disk now and then, can only be removed: other tools
believe them, so none is ever made.
"""

import contextlib
import os
import re
import secrets
from typing import NoReturn

from os_brick import exception, privileged
from os_brick.core import clock, files
from os_brick.model import names

_DIRECTORY = '/dev/disk/by-id'
_LONGEST = 255 + len(_DIRECTORY) + 1  # NAME_MAX
_MADE = re.compile(rf'{_DIRECTORY}/os-brick[^/\0]*')
_REMOVED = re.compile(rf'{_DIRECTORY}/(?:os-brick|scsi-)[^/\0]*')
# A link that gets its name in a moment, or has just lost it.
_ASIDE = '.os-brick-'
_ASIDE_SECONDS = 60
_MARK = re.compile(r'[0-9]{1,20}-[0-9]{1,20}')
_TARGET = re.compile(r'/dev/[^\0]{1,4000}')


@privileged.entrypoint
def link_root(target: str, link_name: str, force: bool = True) -> None:
    """Make a symbolic link to a device, at once in place of what is there if ``force``.

    :raises InvalidParameterValue: if the link would not be an ``os-brick*`` one.
    :raises FileExistsError: if there is something already, without ``force``.
    """
    link = _checked(_MADE, link_name)
    if not _TARGET.fullmatch(_text(target)) or '..' in target.split('/'):
        raise exception.InvalidParameterValue(
            err=f'{names.shown(target)} is not a valid path of a device'
        )
    try:
        files.make_directories(files.real(_DIRECTORY), 0o755)
        if force:
            _replace_link(target, files.real(link))
        else:
            os.symlink(target, files.real(link))
    except OSError as error:
        _raise_with_name(error, link)


@privileged.entrypoint
def unlink_root(*links: str, no_errors: bool = False, raise_at_end: bool = False) -> None:
    """Remove symbolic links; the first failure ends it unless a keyword says otherwise.

    :param no_errors: log a failure and go on, and never raise.
    :param raise_at_end: go on, then raise.
    :raises InvalidParameterValue: if one of them is not ours; then none is removed.
    :raises ExceptionChainer: with all failures, at the end.
    """
    chain = exception.ExceptionChainer()
    for link in [_checked(_REMOVED, link) for link in links]:
        with chain.context(no_errors or raise_at_end, 'Unlinking %s failed', link):
            _unlink(link)
    if chain and not no_errors:
        raise chain


@privileged.entrypoint
def unlink_seen(link: str, mark: str) -> bool:
    """Remove a link of an encrypted volume if it is the one that its caller has seen.

    Another one of its name, made for another volume meanwhile, stays. It is moved aside first, as
    no system call removes a file by its number.

    :param mark: of ``core.files.link_mark``.
    :return: whether it was removed.
    :raises InvalidParameterValue: if it is not an ``os-brick*`` link.
    """
    _checked(_MADE, link)
    if not _MARK.fullmatch(_text(mark)):
        raise exception.InvalidParameterValue(err=f'{names.shown(mark)} is not the mark of a link')
    if files.link_mark(link) != mark:
        return False
    aside = _temporary()
    try:
        _clean_up()
        os.rename(files.real(link), files.real(aside))
        is_meant = False
        try:
            is_meant = files.link_mark(aside) == mark
        finally:  # One that cannot be looked at may be another's, and has its name again.
            if not is_meant:
                _put_back(files.real(aside), files.real(link))
        if is_meant:
            os.unlink(files.real(aside))
        return is_meant
    except FileNotFoundError:
        pass
    except OSError as error:
        _raise_with_name(error, link)
    return False


def _put_back(aside: str, path: str) -> None:
    """Give a link its name again, unless a newer one has it by now."""
    try:
        os.link(aside, path, follow_symlinks=False)
    except FileExistsError:
        pass
    os.unlink(aside)


def _checked(pattern: re.Pattern[str], link: str) -> str:
    if pattern.fullmatch(_text(link)) and len(link) <= _LONGEST:
        return link
    raise exception.InvalidParameterValue(
        err=f'{names.shown(link)} is not a link that os-brick may make or remove'
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ''


def _replace_link(target: str, link: str) -> None:
    """Rename a new link over the old: there is no moment without one."""
    _clean_up()
    temporary = files.real(_temporary())
    os.symlink(target, temporary)
    try:
        os.rename(temporary, link)
    except BaseException:
        os.unlink(temporary)
        raise


def _temporary() -> str:
    return f'{_DIRECTORY}/{_ASIDE}{secrets.token_hex(8)}'


def _clean_up() -> None:
    """Remove what a daemon has left that was killed between two system calls."""
    now = clock.wall()
    for name in os.listdir(files.real(_DIRECTORY)):
        if name.startswith(_ASIDE):
            path = files.real(f'{_DIRECTORY}/{name}')
            with contextlib.suppress(OSError):
                # To give it another name is a change (Linux, shmem_rename2 and simple_rename): of a
                # link that another daemon has moved aside just now, however old it is, too.
                if now - os.lstat(path).st_ctime > _ASIDE_SECONDS:
                    os.unlink(path)


def _unlink(link: str) -> None:
    try:
        os.unlink(files.real(link))
    except OSError as error:
        _raise_with_name(error, link)


def _raise_with_name(error: OSError, name: str) -> NoReturn:
    """Raise it anew with the name in its text, which is all that privsep carries."""
    raise OSError(error.errno, f'{error.strerror}: {name}') from error
