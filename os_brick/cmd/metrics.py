# SPDX-License-Identifier: Apache-2.0
"""``os-brick metrics``: what is on this host and what operations took, for Prometheus.

With --textfile it goes into a file for the textfile collector of node_exporter, at once and as a
whole; what was counted before is taken over from that file. contrib/systemd has a timer for it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
import os
import platform

from os_brick.cmd import exits, exposition, services, version
from os_brick.cmd.output import Console, Output, Table
from os_brick.core import atomic, clock, files
from os_brick.host import inventory, notes
from os_brick.model import inventory as model
from os_brick.model import note

# An operation that lasts longer is told of as stuck: half of the default deadline.
_STUCK_SECONDS = 60.0
_LARGEST_BYTES = 4 << 20
# The share of --timeout that the doctor may have.
_DOCTORS_SHARE = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to."""
    parser.add_argument('--textfile', metavar='PATH', help='write to this file, of node_exporter')
    parser.add_argument('--no-findings', action='store_true', help='leave out what doctor finds')


def run(options: argparse.Namespace, _console: Console) -> Output:
    """Print the metrics, or write them."""
    services.configure(options.config_file)
    seconds = options.timeout or 10.0
    state_path, places = services.state_path(), services.note_paths()
    path = os.path.abspath(options.textfile) if options.textfile else ''
    before = exposition.parsed(_written(path)) if path else exposition.NOTHING
    counted = exposition.added(before, notes.operations(state_path, places), clock.wall())
    gauges = [
        *_of_host(_host(seconds)),
        *_of_notes(notes.every(state_path, places)),
        *(() if options.no_findings else _of_doctor(seconds * _DOCTORS_SHARE)),
        exposition.gauge(
            'os_brick_build_info', 1, version=version.version(), python=platform.python_version()
        ),
    ]
    text = exposition.rendered(counted, gauges)
    if path:
        _write(path, text)
    rows = [(key[0], dict(key[1]), value) for key, value in gauges]
    document = {
        'schema': 'os-brick/metrics/1',
        'samples': [{'name': n, 'labels': labels, 'value': value} for n, labels, value in rows],
    }
    shown = '' if path else text.rstrip('\n')
    return Output(document, Table(('name', 'labels', 'value'), rows), lambda _console: shown)


def _host(seconds: float) -> model.Host:
    """What there is; a file that hangs costs its own line.

    :raises CommandError: if nothing answers.
    """
    try:
        return inventory.read_within(seconds * (1 - _DOCTORS_SHARE))
    except TimeoutError:
        raise exits.time_is_up(seconds) from None


def _written(path: str) -> str:
    """What was written last; empty if there is nothing that can be read."""
    try:
        return files.read_regular(path, _LARGEST_BYTES).decode()
    except (OSError, ValueError):
        return ''


def _write(path: str, text: str) -> None:
    try:
        atomic.replace(path, text.encode(), 0o644)
    except OSError as error:
        raise exits.CommandError(
            'not-written',
            f'{path} cannot be written: {error.strerror}.',
            exit_code=exits.Exit.UNREAD,
            remedy='Make its directory, and let this user write to it.',
        ) from error


def _of_host(host: model.Host) -> Iterator[tuple[exposition.Key, float]]:
    volumes = Counter(each.protocol for each in host.volumes)
    paths = Counter(
        (each.protocol, 'usable' if path.is_usable else 'unusable')
        for each in host.volumes
        for path in each.paths
    )
    for protocol, count in sorted(volumes.items()):
        yield exposition.gauge('os_brick_volumes', count, protocol=protocol)
    for (protocol, state), count in sorted(paths.items()):
        yield exposition.gauge('os_brick_paths', count, protocol=protocol, state=state)
    yield exposition.gauge('os_brick_unread', len(host.unread), of='host')


def _of_notes(noted: notes.Noted) -> Iterator[tuple[exposition.Key, float]]:
    attached = Counter(each.protocol for each in noted.notes if each.is_attached)
    for protocol, count in sorted(attached.items()):
        yield exposition.gauge('os_brick_noted_volumes', count, protocol=protocol)
    works = [each.work for each in noted.notes if each.work is not None]
    stuck, unfinished = Counter(_stuck(works)), Counter(_unfinished(works))
    for operation in ('attach', 'detach', 'extend'):
        yield exposition.gauge('os_brick_operations_stuck', stuck[operation], operation=operation)
        yield exposition.gauge(
            'os_brick_operations_unfinished', unfinished[operation], operation=operation
        )
    yield exposition.gauge('os_brick_unread', len(noted.unread), of='notes')


def _stuck(works: list[note.Work]) -> Iterator[str]:
    for each in works:
        if clock.wall() - each.since > _STUCK_SECONDS and notes.is_running(each.process):
            yield each.operation


def _unfinished(works: list[note.Work]) -> Iterator[str]:
    for each in works:
        if notes.is_running(each.process) is False:
            yield each.operation


def _of_doctor(seconds: float) -> Iterator[tuple[exposition.Key, float]]:
    from os_brick.cmd import doctor  # imports what root functions need

    result = doctor.examined(seconds)
    found = Counter((each.id, each.harm) for each in result.findings)
    for (name, harm), count in sorted(found.items()):
        yield exposition.gauge('os_brick_findings', count, id=name, harm=harm)
    yield exposition.gauge('os_brick_unread', len(result.unread), of='doctor')
