# SPDX-License-Identifier: Apache-2.0
"""The mount of one share: look, mount, verify; and what takes it back."""

from __future__ import annotations

from collections.abc import Iterator

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import bound, net, observe, operation, undo, wait
from os_brick.host import mounts
from os_brick.model import mount_options, shares
from os_brick.model.mounts import Mount as Mounted
from os_brick.plans import share as plans
from os_brick.plans.share import Verb
from os_brick.remotefs import programs as program_kinds
from os_brick.request import remotefs as request

LOG = logging.getLogger(__name__)

_NFS_PORT = 2049
_PORTMAPPER = 111
# What is tried where the options name no version: 4.2 and 4.1 by name, as what mount.nfs tries by
# itself depends on the host's configuration, and then that.
_NFS_VERSIONS: tuple[tuple[str, ...], ...] = (
    ('vers=4', 'minorversion=2'),
    ('vers=4', 'minorversion=1'),
    (),
)
# Without it mount.nfs (nfs(5)) tries again for two minutes where a server refuses; callers have
# their own tries, and what a caller's program does cannot be ended from here.
_ONE_TRY = 'retry=0'
# Messages of mount.nfs (nfs-utils 2.6 to 2.8, utils/mount/error.c) that another version of the
# protocol does not change. "An incorrect mount option" is what a client without NFS 4.2 says.
_FINAL = (
    *('access denied', 'Permission denied', 'Operation not permitted', 'Connection timed out'),
    *('No route to host', 'Network is unreachable', 'Failed to resolve server'),
    *('Stale file handle', 'is busy or already mounted'),
)


def ensure(wanted: request.Mount, programs: program_kinds.Programs, op: operation.Operation) -> str:
    """Have a share mounted; return where, with symbolic links followed.

    What this call mounts goes with ``op.undo``, unless it is in use by then.

    :raises VolumeIdentityMismatch: if something else is mounted there.
    :raises VolumeInUse: if the server does not know the share's handle any more, and it is in use.
    :raises OperationTimedOut: if the share or the server does not answer.
    :raises BrickException: if it cannot be mounted.
    """
    place = mounts.resolved(wanted.point, op.work)
    found = mounts.at(place)
    if found is not None:
        _require_same(wanted, place, found)
        if not _is_gone(wanted, place, found, programs, op):
            _warn_of_options(wanted, place, found)
            return place
    _mount(wanted, place, programs, op)
    return place


def look(wanted: request.Mount, deadline: wait.Deadline) -> plans.Found:
    """What there is of a share, as far as the table of mounts tells.

    :raises VolumeIdentityMismatch: if something else is mounted there.
    :raises OperationTimedOut: if a directory above its place does not answer.
    """
    place = mounts.resolved(wanted.point, deadline)
    found = mounts.at(place)
    if found is not None:
        _require_same(wanted, place, found)
    is_nfs = wanted.kind.name == 'nfs'
    return plans.Found(
        wanted.key,
        wanted.kind.name,
        place,
        found,
        shares.server_of(wanted.share) if _is_asked(wanted) else '',
        is_nfs and not wanted.options.has_version,
    )


def is_mounted(wanted: request.Mount, deadline: wait.Deadline) -> bool:
    """Whether a share is mounted where it is to be."""
    found = mounts.at(mounts.resolved(wanted.point, deadline))
    return found is not None and wanted.kind.is_same(wanted.share, found.kind, found.source)


def _require_same(wanted: request.Mount, place: str, found: Mounted) -> None:
    if not wanted.kind.is_same(wanted.share, found.kind, found.source):
        raise exception.VolumeIdentityMismatch.of(
            place,
            f'the share {wanted.key}',
            f'{found.source} of type {found.kind}',
        )


def _warn_of_options(wanted: request.Mount, place: str, found: Mounted) -> None:
    """Say where a share that is mounted differs from what is asked for; it is used as it is."""
    if found.is_read_only and not wanted.options.is_read_only:
        LOG.warning('%s is mounted read-only at %s', wanted.key, place)
    version = wanted.options.value('vers', 'nfsvers')
    shown = (f'{option}.' for option in found.super_options)
    if version and not any(option.startswith(f'vers={version}.') for option in shown):
        LOG.warning('%s is mounted at %s with another version than %s', wanted.key, place, version)


def _is_gone(
    wanted: request.Mount,
    place: str,
    found: Mounted,
    programs: program_kinds.Programs,
    op: operation.Operation,
) -> bool:
    """Whether a mount whose handle is stale has been unmounted; False if it is in order."""
    with observe.step(Verb.USE, place):
        why = mounts.why_not_usable(place, op.work)
    if why is None:
        return False
    if not mounts.is_stale(why):
        raise exception.BrickException(
            f'{wanted.key}, mounted at {place}, cannot be used: {why.strerror}'
        ) from why
    LOG.warning('The handle of %s, mounted at %s, is stale; mounting it again', wanted.key, place)
    try:
        with observe.step(Verb.UNMOUNT, place):
            programs.unmount(place, found.number, op.work)
    except processutils.ProcessExecutionError as error:
        raise exception.VolumeInUse(
            device=place,
            holder=f'a process of this host, and the handle of {wanted.key} is stale (ESTALE)',
        ) from error
    return True


def _mount(
    wanted: request.Mount, place: str, programs: program_kinds.Programs, op: operation.Operation
) -> None:
    if _is_asked(wanted):
        with observe.step(Verb.ASK, shares.server_of(wanted.share)):
            _require_reachable(wanted, op.work)
    if _has_made(wanted, place, op.work):
        op.undo.add(mounts.remove_directory, place, op.deadline.remaining)
    # Added before: a mount that is killed may have been made by then.
    if isinstance(programs, program_kinds.Own):
        op.undo.add(unmount, wanted.kind.name, wanted.share, place, op.deadline.remaining)
    else:
        op.undo.add_local(_take_back, wanted.kind, wanted.share, place, programs, op.deadline)
    try:
        with observe.step(Verb.MOUNT, wanted.key):
            _mount_versions(wanted, place, programs, op.work)
    except Exception as error:
        # Another process, which has not our lock: an operator, or another release.
        if _has_timed_out(error) or not _is_there(wanted, place):
            raise
        LOG.info('%s was mounted at %s by another process', wanted.key, place)
        op.undo.drop()
    if not _is_there(wanted, place):
        raise exception.BrickException(
            f'{wanted.key} is not mounted at {place}, although mount has succeeded'
        )


def _has_made(wanted: request.Mount, place: str, deadline: wait.Deadline) -> bool:
    try:
        with observe.step(Verb.MAKE_DIRECTORY, place):
            return mounts.make_directory(place, deadline)
    except OSError as error:
        raise exception.BrickException(
            f'The mount point {place} of {wanted.key} cannot be made: {error.strerror}'
        ) from error


def _has_timed_out(error: Exception) -> bool:
    return isinstance(error, (exception.OperationTimedOut, exception.ExecutionTimeout))


def _is_there(wanted: request.Mount, place: str) -> bool:
    found = mounts.at(place)
    if found is None:
        return False
    _require_same(wanted, place, found)
    return True


@undo.verb
def unmount(kind: str, share: str, place: str, seconds: float) -> None:
    """Unmount a share that an operation has mounted; the kernel refuses if it is in use."""
    deadline = wait.Deadline.after(bound.within(seconds))
    _take_back(shares.KINDS[kind], share, place, program_kinds.Own(), deadline)


def _take_back(
    kind: shares.Kind,
    share: str,
    place: str,
    programs: program_kinds.Programs,
    deadline: wait.Deadline,
) -> None:
    found = mounts.at(place)
    if found is not None and kind.is_same(share, found.kind, found.source):
        programs.unmount(place, found.number, deadline)


def _mount_versions(
    wanted: request.Mount, place: str, programs: program_kinds.Programs, deadline: wait.Deadline
) -> None:
    """Mount a share; of NFS with the first version that the server has.

    :raises BrickException: with the error of each version, for NFS.
    :raises ProcessExecutionError: if the program fails, for others.
    """
    if wanted.kind.name != 'nfs':
        programs.mount(wanted, place, wanted.options, deadline)
        return
    errors: list[str] = []
    for options in _versions(wanted.options):
        try:
            programs.mount(wanted, place, options, deadline)
        except exception.ExecutionTimeout as error:
            errors.append(_told(options, error))
            raise exception.OperationTimedOut(
                what=f'the mount of {wanted.key} ({"; ".join(errors)})',
                seconds=round(deadline.seconds, 1),
            ) from error
        except processutils.ProcessExecutionError as error:
            errors.append(_told(options, error))
            if deadline.passed or _is_final(error):
                break
        else:
            return
    raise exception.BrickException(f'{wanted.key} cannot be mounted: {"; ".join(errors)}')


def _versions(options: mount_options.Options) -> Iterator[mount_options.Options]:
    if options.has_version:
        yield options.with_default(_ONE_TRY)
        return
    for version in _NFS_VERSIONS:
        yield options.with_version(*version).with_default(_ONE_TRY)


def _told(options: mount_options.Options, error: processutils.ProcessExecutionError) -> str:
    """What a program has said, with the version that it was asked for."""
    version = ','.join(word for word in options.words if 'vers' in word) or 'any version'
    text = ' '.join(str(error.stderr or error.description or error.exit_code).split())
    return f'{version}: {text}'


def _is_final(error: processutils.ProcessExecutionError) -> bool:
    text = str(error.stderr or '').lower()
    return any(words.lower() in text for words in _FINAL)


def _is_asked(wanted: request.Mount) -> bool:
    """Whether a server is asked before a mount."""
    return wanted.kind.name == 'nfs' and _is_over_tcp(wanted.options)


def _require_reachable(wanted: request.Mount, deadline: wait.Deadline) -> None:
    """Have a server of NFS that answers, as ``mount`` waits minutes for one that does not.

    Version 3 may have it at another port, which the portmapper knows.

    :raises BrickException: with the reason.
    """
    server = shares.server_of(wanted.share)
    limit = deadline.limit(net.REACH_SECONDS)
    why = ''
    for port in _ports(wanted.options):
        found = net.why_unreachable(server, port, limit)
        if found is None:
            return
        why = why or f'port {port}: {found}'
    raise exception.BrickException(
        f'{wanted.key} cannot be mounted: the server does not answer ({why})'
    )


def _is_over_tcp(options: mount_options.Options) -> bool:
    protocol = options.value('proto') or 'tcp'
    return protocol.startswith('tcp') and not {'udp', 'rdma'} & set(options.words)


def _ports(options: mount_options.Options) -> tuple[int, ...]:
    text = options.value('port') or ''
    port = int(text) if text.isascii() and text.isdecimal() else 0
    if 0 < port < 65536:
        return (port,)
    return (_NFS_PORT,) if options.is_version_4 else (_NFS_PORT, _PORTMAPPER)
