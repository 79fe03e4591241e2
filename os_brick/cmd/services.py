# SPDX-License-Identifier: Apache-2.0
"""The configuration that a command shares with the services of this host, their locks above all."""

from __future__ import annotations

from collections.abc import Sequence
import os

from oslo_config import cfg

import os_brick
from os_brick import opts
from os_brick.cmd import exits
from os_brick.core import files

# Where nothing is configured; on tmpfs, for root alone.
LOCK_PATH = '/run/lock/os-brick'
_KNOWN = tuple(
    f'/etc/{name}' for name in ('nova/nova.conf', 'nova/nova-compute.conf', 'cinder/cinder.conf')
)


def configure(given: Sequence[str] | None, seconds: float | None = None) -> None:
    """Have this process use what the services use: the files given, or those that are there.

    :param seconds: the deadline of an operation, if it is not the configured one.
    :raises CommandError: if they cannot be read, or name several directories of locks.
    """
    found = list(given) if given else list(filter(_is_readable, _KNOWN))
    _require_one_place(found)
    _load(found)
    os_brick.setup(cfg.CONF)
    if not cfg.CONF.os_brick.lock_path:
        cfg.CONF.set_default('lock_path', LOCK_PATH, group='os_brick')
    if seconds is not None:
        cfg.CONF.set_override('operation_timeout', seconds, group='os_brick')


def _is_readable(path: str) -> bool:
    return os.access(files.real(path), os.R_OK)


def _require_one_place(found: Sequence[str]) -> None:
    """Have all files name one directory of locks, or none.

    :raises CommandError: if they do not.
    """
    places = {each: _lock_path(each) for each in found}
    if len({*places.values()} - {''}) > 1:
        told = ', '.join(f'{name} has {place}' for name, place in places.items() if place)
        raise exits.CommandError(
            'lock-path-split',
            f'The services of this host do not share their locks: {told}.',
            exit_code=exits.Exit.REFUSED,
            remedy='Give all of them one [os_brick] lock_path, or name one file: --config-file.',
        )


def state_path() -> str:
    """Where attaches are noted."""
    return opts.current().state_path


def _lock_path(path: str) -> str:
    """What one file has for the directory of the locks."""
    _load([path])
    os_brick.setup(cfg.CONF)
    found = cfg.CONF.os_brick.lock_path
    cfg.CONF.clear_default('lock_path', group='os_brick')
    return str(found or '')


def _load(paths: Sequence[str]) -> None:
    try:
        cfg.CONF([], default_config_files=list(paths), default_config_dirs=[])
    except (cfg.Error, OSError) as error:
        raise exits.usage(
            f'{", ".join(paths)} cannot be read as configuration: {error}.',
            'Name the file of a service: --config-file /etc/nova/nova.conf.',
        ) from error
