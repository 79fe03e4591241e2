# SPDX-License-Identifier: Apache-2.0
"""What root does with shares of remote file systems: a mount and its end, an act a function.

A share is mounted on a directory that is named by the share's digest, or one below it, and nothing
else is ever unmounted. Options are checked one by one (:mod:`os_brick.model.mount_options`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import errno
import os
import stat
from typing import TypeVar

from os_brick import exception, privileged
from os_brick.core import atomic, descriptors, files, process
from os_brick.model import mount_options, mounts, names, shares
from os_brick.privileged import check

T = TypeVar('T')

_TABLE = '/proc/self/mountinfo'
# The file system of Scality's daemon, and the file that it is configured by.
_SOFS = ('sofs', '/etc/sfused.conf')
_CLUSTERS = '/etc/pstorage/clusters'
_MOST_SERVERS = 64
_MOST_PASSWORD_BYTES = 1024
_LARGEST_ID = 2**31
_LONGEST_CREDENTIAL = 1024
_READ_BYTES = 512
# Where files of credentials are, each in a directory of its own.
_TEMPORARY, _PREFIX = '/run', 'os-brick-credentials-'


def _valid(parse: Callable[[object], T], value: object) -> T:
    try:
        return parse(value)
    except ValueError as error:
        raise exception.InvalidParameterValue(err=str(error)) from None


def _list(value: object, what: str) -> tuple[object, ...]:
    return check.items(value, 2 * _MOST_SERVERS, what)


def _place(value: str) -> str:
    """A mount point of ours, outside the directories of the system itself."""
    return _outside(check.full(shares.PLACE, value))


def _outside(path: str) -> str:
    return _valid(shares.outside_system, path)


def _require_directory(place: str, timeout: float) -> None:
    """Have a directory at a place, reached through no symbolic link."""
    real = process.isolated(f'a look at {place}', timeout, files.realpath, place)
    mode = process.isolated(f'a look at {place}', timeout, files.mode, place)
    if real != place or not stat.S_ISDIR(mode):
        raise exception.InvalidParameterValue(
            err=f'{names.shown(place)} is not a directory, or is reached through a link'
        )


def _run(
    *words: str, timeout: float, stdin: str | None = None, secrets: tuple[str, ...] = ()
) -> None:
    """Run a program whose messages are English, as the caller reads them.

    :raises ProcessExecutionError: if it fails.
    """
    english = {**os.environ, 'LC_ALL': 'C'}
    process.run(*words, timeout=timeout, stdin=stdin, secrets=secrets, env=english)


@privileged.entrypoint
def mount(
    kind: str,
    share: str,
    place: str,
    options: tuple[str, ...],
    credentials: tuple[str, ...],
    timeout: float,
) -> None:
    """Mount a share on the directory that is named by its digest.

    :param kind: of file system: ``nfs``, ``cifs``, ``glusterfs`` or ``quobyte``.
    :param credentials: lines of a file that ``mount`` reads name and password from.
    :raises ProcessExecutionError: if ``mount`` fails.
    """
    limit = check.seconds(timeout)
    source = check.full(_kind(kind), share)
    words = _valid(mount_options.require_all, options)
    lines = [_credential(line) for line in _list(credentials, 'credentials')]
    if shares.is_of_another(_place(place), source):
        raise exception.InvalidParameterValue(err=f'{place} is not where {source} may be mounted')
    _require_directory(place, limit)
    with _credentials_file(lines) as more:
        given = ','.join((*words, *more))
        argv = ('mount', '-t', kind, *(('-o', given) if given else ()), source, place)
        _run(*argv, timeout=limit, secrets=tuple(line.partition('=')[2] for line in lines))


def _kind(name: object) -> names.Rule:
    """The rule for the shares of a kind of file system that has a helper of ``mount``."""
    found = shares.KINDS.get(str(name))
    if found is None or found.share is None or found.name == 'scality':
        raise exception.InvalidParameterValue(
            err=f'{names.shown(name)} is not a type of file system that mount is run for'
        )
    return found.share


def _credential(value: object) -> str:
    """A line of a file of credentials; no error shows it."""
    name, _, text = value.partition('=') if isinstance(value, str) else ('', '', '')
    is_line = text.isprintable() and len(text) <= _LONGEST_CREDENTIAL
    if name in ('username', 'password', 'password2', 'domain') and is_line:
        return f'{name}={text}'
    raise exception.InvalidParameterValue(err='a user name, password or domain is not valid')


@contextlib.contextmanager
def _credentials_file(lines: list[str]) -> Iterator[tuple[str, ...]]:
    """The option for a file with these lines, which only root can read, and which goes again."""
    if not lines:
        yield ()
        return
    data = ''.join(f'{line}\n' for line in lines).encode()
    # One of a daemon that was killed during a mount has a password in it.
    atomic.sweep(_TEMPORARY, _PREFIX)
    with atomic.temporary(_TEMPORARY, _PREFIX, 'credentials', data) as path:
        yield (f'credentials={path}',)


@privileged.entrypoint
def mount_scality(place: str, timeout: float) -> None:
    """Mount Scality's file system on an empty directory.

    :raises ProcessExecutionError: if ``mount`` fails.
    :raises InvalidParameterValue: if the directory is not empty.
    """
    limit = check.seconds(timeout)
    where = _outside(check.full(shares.DIRECTORY, place))
    _require_directory(where, limit)
    if files.names(where):
        raise exception.InvalidParameterValue(err=f'{names.shown(where)} is not empty')
    _run('mount', '-t', _SOFS[0], _SOFS[1], where, timeout=limit)


@privileged.entrypoint
def unmount(place: str, number: int, timeout: float) -> None:
    """Unmount a share, if it is the mount that is meant and nothing uses it.

    ``-i`` and ``-c``: without a helper and without a look at the path, both of which may wait for
    the server. The kernel refuses a mount with an open file, a working directory or another mount.

    :param number: the ID of the mount.
    :raises OSError: ``ENOENT`` if another mount is there, or none.
    :raises ProcessExecutionError: if the kernel refuses it.
    """
    limit = check.seconds(timeout)
    wanted = check.number(number, _LARGEST_ID, 'ID of a mount')
    found = mounts.at(mounts.parse(files.read_bytes(_TABLE)), _place(place))
    if found is None or found.number != wanted:
        raise FileNotFoundError(2, f'Mount {wanted} is not at {place}')
    _run('umount', '-i', '-c', place, timeout=limit)


@privileged.entrypoint
def set_virtuozzo_servers(cluster: str, servers: tuple[str, ...]) -> None:
    """Write where the metadata servers of a cluster are, as a whole.

    :raises OSError: if the file cannot be written.
    """
    name = check.full(shares.CLUSTER, cluster)
    lines = [check.full(shares.SERVER, each) for each in _list(servers, 'servers')]
    directory = f'{_CLUSTERS}/{name}'
    files.make_directories(files.real(directory), 0o755)
    atomic.replace(f'{directory}/bs_list', ''.join(f'{x}\n' for x in lines).encode(), 0o644)


@privileged.entrypoint
def log_in_to_virtuozzo(cluster: str, password: str, timeout: float) -> None:
    """Have this node be one of a cluster's; the password goes through standard input.

    :raises ProcessExecutionError: if ``pstorage`` fails.
    """
    limit = check.seconds(timeout)
    name = check.full(shares.CLUSTER, cluster)
    text = _password(password)
    _run('pstorage', '-c', name, 'auth-node', '-P', timeout=limit, stdin=text, secrets=(text,))


def _password(value: object) -> str:
    """A line of text; no error shows it."""
    text = value if isinstance(value, str) and value.isprintable() else ''
    if not 0 < len(text.encode()) <= _MOST_PASSWORD_BYTES:
        raise exception.InvalidParameterValue(err='the password of a cluster is not valid')
    return text


@privileged.entrypoint
def mount_virtuozzo(cluster: str, place: str, flags: tuple[str, ...], timeout: float) -> None:
    """Mount a cluster of Virtuozzo Storage.

    :raises ProcessExecutionError: if ``pstorage-mount`` fails.
    """
    limit = check.seconds(timeout)
    name = check.full(shares.CLUSTER, cluster)
    words = _valid(mount_options.require_pstorage, flags)
    _require_directory(_place(place), limit)
    _run('pstorage-mount', '-c', name, *words, place, timeout=limit)


@privileged.entrypoint
def is_readable(path: str, timeout: float) -> bool:
    """Whether the start of a file of a share can be read.

    :raises InvalidParameterValue: if it does not lie in a share that os-brick has mounted.
    :raises OSError: if it cannot be opened.
    """
    limit = check.seconds(timeout)
    text = check.full(shares.DIRECTORY, path)
    table = mounts.parse(files.read_bytes(_TABLE))
    parts = text.split('/')
    places = ['/'.join(parts[:count]) for count in range(2, len(parts))]
    found = [place for place in places if shares.PLACE.why_not(place) is None]
    if not any(mounts.at(table, place) for place in found):
        raise exception.InvalidParameterValue(err=f'{names.shown(path)} is not in a share')
    return process.isolated(f'a read of {path}', limit, _read, text)


def _read(path: str) -> bool:
    if files.realpath(path) != path:
        raise OSError(errno.ELOOP, 'It is reached through a link', path)
    descriptor = files.descriptor(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        descriptors.read(descriptor, _READ_BYTES)
        return True
    finally:
        os.close(descriptor)
