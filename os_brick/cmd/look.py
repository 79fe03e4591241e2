# SPDX-License-Identifier: Apache-2.0
"""What the commands that look have in common: what is read, which volumes are meant, exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
import dataclasses
import itertools
import os

from os_brick.cmd import exits
from os_brick.core import files
from os_brick.host import inventory as reader
from os_brick.model import inventory
from os_brick.model.inventory_index import Ambiguous, Index, NotFound, Thing

# What is left of --timeout for printing, once every device was asked.
_SPARE = 0.9
_SECONDS = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``tree`` and ``list`` take."""
    parser.add_argument('what', nargs='*', metavar='WHAT', help='these alone; see os-brick --help')
    parser.add_argument('--all', action='store_true', help="this host's own disks, too")
    add_ask(parser)


def add_ask(parser: argparse.ArgumentParser) -> None:
    """Add ``--ask``."""
    parser.add_argument(
        '--ask',
        action='store_true',
        help='ask each path of each volume which volume it is now (root)',
    )


def read(options: argparse.Namespace, *, everything: bool = False) -> inventory.Host:
    """What is on the host, of that what was asked for, with what the devices report.

    :raises CommandError: if WHAT is nothing, or several things; if it needs root.
    """
    if options.ask and os.geteuid() != 0:
        raise exits.needs_root('--ask')
    # A name that was given is looked for among this host's own disks, too.
    seconds = getattr(options, 'timeout', None) or _SECONDS
    try:
        host = reader.read_within(
            seconds * _SPARE,
            everything=everything or bool(options.what),
            state_paths=state_paths(options),
        )
    except TimeoutError:
        raise exits.time_is_up(seconds) from None
    if options.what:
        host = narrowed(host, options.what)
    if options.ask:
        from os_brick.cmd import asking  # imports what root functions need

        host = asking.asked(host, options.timeout * _SPARE)
    return host


def state_paths(options: argparse.Namespace) -> tuple[str, ...] | None:
    """Where notes of attaches may be by a configuration that was named; ``None`` without one."""
    if not getattr(options, 'config_file', None):
        return None
    from os_brick.cmd import services  # imported only to read a file that was named
    from os_brick.host import notes as store

    services.configure(options.config_file)
    return store.places(services.state_path())


def narrowed(host: inventory.Host, names: Iterable[str]) -> inventory.Host:
    """The volumes that are meant, in the order of the host, with what carries them.

    :raises CommandError: if one is nothing, or several things.
    """
    index = Index(host)
    things = [thing for name in names for thing in _named(index, name)]
    volumes = set(itertools.chain.from_iterable(thing.volumes for thing in things))
    # A session or a port that was named is meant, whether it carries a volume or not.
    carriers = {thing.name for thing in things} | _carriers(volumes)
    return dataclasses.replace(
        host,
        volumes=tuple(filter(volumes.__contains__, host.volumes)),
        links=tuple(link for link in host.links if link.name in carriers),
        ports=tuple(port for port in host.ports if port.name in carriers),
    )


def _carriers(volumes: Iterable[inventory.Volume]) -> set[str]:
    paths = [path for volume in volumes for path in volume.paths]
    return {path.link for path in paths} | {path.host for path in paths}


def _named(index: Index, name: str) -> list[Thing]:
    try:
        return index.named(resolved(name))
    except NotFound as error:
        raise exits.not_found(name, error.near) from None
    except Ambiguous as error:
        raise exits.ambiguous(name, error.candidates) from None


def one(host: inventory.Host, name: str) -> Thing:
    """The one thing that is meant.

    :raises CommandError: if there is none, or there are several.
    """
    try:
        return Index(host).one(resolved(name))
    except NotFound as error:
        raise exits.not_found(name, error.near) from None
    except Ambiguous as error:
        raise exits.ambiguous(name, error.candidates) from None


def resolved(name: str) -> str:
    """A name as it is compared; a link below ``/dev`` is followed, and nothing else is touched."""
    return files.realpath(name) if name.startswith('/dev/') else name


def exit_code(host: inventory.Host) -> exits.Exit:
    """What the shell gets: the worst that was seen, and that something was not seen at all."""
    states = {volume.state for volume in host.volumes}
    if inventory.State.FAILED in states:
        return exits.Exit.FAILURES
    if inventory.State.DEGRADED in states:
        return exits.Exit.WARNINGS
    return exits.Exit.UNREAD if host.unread else exits.Exit.OK


def notes(host: inventory.Host) -> tuple[str, ...]:
    """What could not be read, a line each."""
    return tuple(f'not read: {each.what} ({each.why})' for each in host.unread)
