# SPDX-License-Identifier: Apache-2.0
"""The configuration that a command shares with the services of this host, their locks above all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import dataclasses
import os

from oslo_config import cfg

import os_brick
from os_brick import opts
from os_brick.cmd import exits
from os_brick.core import files, locks
from os_brick.host import notes, service_conf

# Where nothing is configured; on tmpfs, for root alone.
LOCK_PATH = '/run/lock/os-brick'
_REMEDY = 'Name the file of a service: --config-file /etc/nova/nova.conf.'


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """What one service is told of where its locks and notes are.

    :ivar path: its main file.
    :ivar files: all that it reads.
    :ivar state_path: empty for the default.
    """

    path: str
    files: tuple[str, ...]
    lock_path: str
    state_path: str
    note_paths: tuple[str, ...]


def configure(given: Sequence[str] | None, seconds: float | None = None) -> None:
    """Have this process use what the services use: the files given, or those that are there.

    :param seconds: the deadline of an operation, if it is not the configured one.
    :raises CommandError: if they cannot be read, or name several directories of locks.
    """
    found = [_service(each, [each]) for each in given] if given else list(known())
    _require_one_place(found)
    _load([path for each in found for path in each.files])
    _use('lock_path', [each.lock_path for each in found], 'oslo_concurrency', 'os_brick')
    _use('state_path', [each.state_path for each in found], 'os_brick')
    os_brick.setup(cfg.CONF)
    if not cfg.CONF.os_brick.lock_path:
        cfg.CONF.set_default('lock_path', LOCK_PATH, group='os_brick')
    if seconds is not None:
        cfg.CONF.set_override('operation_timeout', seconds, group='os_brick')


def _use(option: str, told: Sequence[str], *groups: str) -> None:
    """Have a path be what the last service that names one means by it.

    oslo.config knows none of the service's variables, such as ``$state_path``.
    """
    for each in filter(None, told):
        for group in groups:
            cfg.CONF.set_override(option, each, group=group)


def known() -> Iterator[Service]:
    """The services whose configuration is in its usual place, and can be read by this user.

    :raises CommandError: if it is not a configuration.
    """
    for _, path in service_conf.found():
        paths = service_conf.files_of(path)
        if all(os.access(files.real(each), os.R_OK) for each in paths):
            yield _service(path, paths)


def _service(path: str, paths: Sequence[str]) -> Service:
    project = service_conf.project_of(path)
    try:
        conf = service_conf.merged(os.path.abspath(each) for each in paths)
    except (OSError, ValueError, service_conf.NotConfiguration) as error:
        # Not the text of a parser's error: it quotes a line, which may have a password.
        why = error.strerror if isinstance(error, OSError) else 'it is not a configuration'
        raise exits.usage(f'{path} cannot be read: {why or error}.', _REMEDY) from None
    places = service_conf.lock_path(project, conf), service_conf.state_path(project, conf)
    for option, place in zip(('lock_path', 'state_path'), places, strict=True):
        if '$' in place:
            raise exits.usage(
                f'{option} of {path} is {place}, whose variable this command does not know.',
                f'Write the directory itself into {option}.',
            )
    return Service(path, tuple(paths), *places, service_conf.note_paths(project, conf))


def _require_one_place(found: Sequence[Service]) -> None:
    """Have all services name one directory of locks, or none.

    :raises CommandError: if they do not.
    """
    told = {each.path: each.lock_path for each in found if each.lock_path}
    if len(set(told.values())) > 1:
        raise _split(', '.join(f'{name} has {place}' for name, place in told.items()))


def _split(told: str) -> exits.CommandError:
    return exits.CommandError(
        'lock-path-split',
        f'The services of this host do not share their locks: {told}.',
        exit_code=exits.Exit.REFUSED,
        remedy='Give all of them one [os_brick] lock_path, or name one file: --config-file.',
    )


def state_path() -> str:
    """Where attaches are noted."""
    return opts.current().state_path


def note_paths() -> tuple[str, ...]:
    """Every directory in which a service of this host may have notes."""
    more = [place for each in known() for place in each.note_paths]
    return notes.places(state_path(), more)


def use_notes_of(place: str) -> None:
    """Have a detach or an extend of a volume that is noted there be noted there.

    :raises CommandError: if the service that has noted it has its locks elsewhere: it would not
        wait for this process.
    """
    if place in notes.places(state_path()):
        return
    own = locks.directory()
    for each in known():
        if place in each.note_paths and each.lock_path and each.lock_path != own:
            raise _split(f'{each.path}, whose note it is, has {each.lock_path}; this is {own}')
    cfg.CONF.set_override('state_path', place, group='os_brick')


def _load(paths: Sequence[str]) -> None:
    try:
        real = [files.real(os.path.abspath(each)) for each in paths]
        cfg.CONF([], default_config_files=real, default_config_dirs=[])
    except (cfg.Error, OSError) as error:
        raise exits.usage(
            f'{", ".join(paths)} cannot be read as configuration: {error}.', _REMEDY
        ) from error
