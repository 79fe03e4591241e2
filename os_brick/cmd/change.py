# SPDX-License-Identifier: Apache-2.0
"""What the commands that change have in common: plans, steps as they are done, exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import hashlib
import json
import os
import threading
from typing import Any

from oslo_concurrency import processutils as putils

from os_brick import exception, privileged
from os_brick.cmd import exits, properties, services
from os_brick.cmd.output import Console, Output, Table
from os_brick.core import observe, operation, trace
from os_brick.initiator import connector

# What takes longer is told on a terminal, and how often.
_SILENT_SECONDS = 1.0
# What an operation may fail with.
_FAILURES = (exception.BrickException, OSError, putils.ProcessExecutionError)
_PLAN_SCHEMA = 'os-brick/plan/1'
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of each command that changes."""
    parser.add_argument(
        '--protocol', metavar='P', help='such as iscsi; else connection_info has it'
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--plan', '--dry-run', action='store_true', help='print what would be done, and do nothing'
    )
    which.add_argument('--apply', metavar='ID', help='do it only if the plan is still that one')


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One change of a volume.

    :ivar name: ``attach``, ``detach`` or ``extend``.
    :ivar act: does it; returns what is to be told of the result.
    """

    name: str
    meant: properties.Meant
    connector: Any
    act: Callable[[], Mapping[str, Any]]

    def plans(self) -> list[dict[str, Any]]:
        """What it would do now.

        :raises CommandError: for a protocol that decides as it goes.
        """
        try:
            found = self.connector.plan(self.name, self.meant.properties, self.meant.device_info)
        except (AttributeError, NotImplementedError):
            raise exits.CommandError(
                'no-plan',
                f'The {self.name} of a volume of {self.meant.protocol} cannot be planned: '
                'what it does depends on what others answer.',
                exit_code=exits.Exit.REFUSED,
                remedy='Leave --plan and --apply out; -v prints the steps as they are done.',
            ) from None
        plain: list[dict[str, Any]] = trace.masked([each.as_dict() for each in found])
        return plain


def identifier(change: Change, plans: object) -> str:
    """The ID of a plan: of what it would do, and the facts that it stands on."""
    facts = [change.name, change.meant.protocol, plans]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def prepared(
    options: argparse.Namespace,
    what: str,
    find: Callable[[str, str | None], properties.Meant] = properties.meant,
    *,
    is_multipath: bool = True,
) -> tuple[properties.Meant, Any]:
    """The volume that is meant, and its connector; root functions run in this process.

    :param find: tells which volume is meant by ``what`` and a protocol.
    :raises CommandError: if this is not root, or the volume is not known.
    """
    if os.geteuid() != 0:
        raise exits.needs_root(f'os-brick {options.command}')
    services.configure(options.config_file, options.timeout)
    privileged.default.set_client_mode(False)
    meant = find(what, options.protocol)
    try:
        made = connector.InitiatorConnector.factory(
            meant.protocol, None, use_multipath=is_multipath, do_local_attach=True
        )
    except (exception.BrickException, ValueError) as error:
        raise _command_error(error, '') from error
    return meant, made


def run(options: argparse.Namespace, console: Console, change: Change) -> Output:
    """Plan a change, or make it.

    :raises CommandError: with the exit code that tells what has become of the host.
    """
    if options.plan:
        return _planned(options, change)
    told = _Told(console, steps=options.verbose > 0)
    stop = observe.observe(told.hear)
    check = contextlib.nullcontext()
    if options.apply:
        check = operation.only_if(lambda: _require(change, options.apply))  # type: ignore[assignment]
    try:
        with check, told.progress(change.name):
            found = change.act()
    except _FAILURES as error:
        raise _command_error(
            error, told.outcome, is_attach=change.name == observe.ATTACH
        ) from error
    except NotImplementedError:
        raise exits.usage(
            f'Volumes of {change.meant.protocol} have no {change.name}.', 'Nothing was done.'
        ) from None
    finally:
        stop()
    return _done(change, told, found)


def _require(change: Change, wanted: str) -> None:
    """Have the plan be the one that was shown.

    :raises CommandError: if it is another one by now.
    """
    now = identifier(change, change.plans())
    if now != wanted:
        raise exits.CommandError(
            'plan-outdated',
            f'The host, or the properties, are not those of plan {wanted} any more: nothing was '
            f'done. The plan of now is {now}.',
            exit_code=exits.Exit.REFUSED,
            remedy='Look at it with --plan.',
        )


def _planned(options: argparse.Namespace, change: Change) -> Output:
    try:
        plans = change.plans()
    except exception.BrickException as error:
        raise _command_error(error, '') from error
    known = identifier(change, plans)
    rows = [
        (number, step['verb'], _words(step))
        for number, step in enumerate((s for plan in plans for s in plan['steps']), 1)
    ]

    def text(console: Console) -> str:
        what = next(
            (str(value) for plan in plans for key, value in plan.items() if key != 'steps'), ''
        )
        lines = [f'{change.name} of {what}' if what else change.name]
        lines += [f'would {number:3}  {verb:24} {words}'.rstrip() for number, verb, words in rows]
        lines += [] if rows else ['would      nothing']
        lines.append(
            f'plan {known}   (the same command with --apply {known} in the place of --plan)'
        )
        return '\n'.join(map(console.plain, lines))

    document = {'schema': _PLAN_SCHEMA, 'operation': change.name, 'id': known, 'plans': plans}
    table = Table(('step', 'verb', 'object'), rows)
    return Output(document, table, text, notes=change.meant.warnings)


def _words(step: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in step.items() if name != 'verb'}
    return ' '.join(f'{name}={_word(value)}' for name, value in rest.items())


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ','.join(map(_word, value))
    if isinstance(value, Mapping):
        return str(value.get('name', value))
    return str(value)


class _Told:
    """What is told of a change while it is made."""

    def __init__(self, console: Console, *, steps: bool) -> None:
        self._console = console
        self._shows_steps = steps
        self.steps: list[observe.Step] = []
        self.ended: observe.Ended | None = None

    @property
    def outcome(self) -> str:
        """How the operation has ended; empty if it has not begun."""
        return self.ended.outcome if self.ended is not None else ''

    def hear(self, record: observe.Record) -> None:
        """Take a record."""
        if isinstance(record, observe.Ended):
            self.ended = record
        elif isinstance(record, observe.Step):
            self.steps.append(record)
            if self._shows_steps:
                failed = f'   {record.code}' if record.code else ''
                ends = record.since + record.seconds
                self._print(f'{ends:8.3f}  {record.name:12} {record.thing}{failed}')

    def _print(self, line: str) -> None:
        console = self._console
        console.stderr.write(f'{console.spelled(console.plain(line))}\n')

    @contextlib.contextmanager
    def progress(self, name: str) -> Iterator[None]:
        """On a terminal, tell what is going on when it takes longer than a second."""
        if self._shows_steps or not self._console.stderr.isatty():
            yield
            return
        is_over = threading.Event()
        thread = threading.Thread(target=self._tick, args=(name, is_over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _tick(self, name: str, is_over: threading.Event) -> None:
        seconds = 0
        while not is_over.wait(_SILENT_SECONDS):
            seconds += 1
            last = self.steps[-1] if self.steps else None
            after = f', after {last.name} {last.thing}'[:60] if last else ''
            line = self._console.spelled(self._console.plain(f'{name}: {seconds} s{after}'))
            self._console.stderr.write(f'\r{line:78}')
            self._console.stderr.flush()
        if seconds:
            self._console.stderr.write(f'\r{"":78}\r')


def _command_error(error: Exception, outcome: str, *, is_attach: bool = True) -> exits.CommandError:
    """What an error means for the shell: what has become of the host."""
    code, remedy = exits.Exit.FAILED_AND_TAKEN_BACK, 'The host is as it was before.'
    for kind, its_code, its_remedy in _CODES:
        if isinstance(error, kind):
            code, remedy = its_code, its_remedy
            break
    # Only an attach is taken back; a detach goes on where it has ended, if it is repeated.
    is_partial = code == exits.Exit.FAILED_AND_TAKEN_BACK and not is_attach and outcome
    if outcome == observe.LEFT or is_partial:
        code, remedy = exits.Exit.SOMETHING_IS_LEFT, 'os-brick tree --all shows what is there.'
    notes = [str(each) for each in getattr(error, '__notes__', ())]
    text = '; '.join([str(trace.masked(str(error))), *notes])
    return exits.CommandError(_word_of(error), text, exit_code=code, remedy=remedy)


def _word_of(error: Exception) -> str:
    """The class of an error as a stable word: ``volume-in-use``."""
    name = type(error).__name__
    return ''.join(f'-{each.lower()}' if each.isupper() else each for each in name).lstrip('-')


def _done(change: Change, told: _Told, found: Mapping[str, Any]) -> Output:
    ended = told.ended
    document: dict[str, Any] = {
        'schema': f'os-brick/{change.name}/1',
        'outcome': observe.DONE,
        **found,
        'paths': {'wanted': ended.wanted, 'ready': ended.ready} if ended else {},
        'seconds': round(ended.seconds, 3) if ended else 0.0,
        'steps': [
            {'name': each.name, 'object': each.thing, 'seconds': round(each.seconds, 3)}
            for each in told.steps
        ],
    }
    shown = next((str(value) for value in _flat(found)), 'done')
    table = Table(('outcome', 'result'), [(observe.DONE, shown)])
    return Output(
        document, table, lambda console: console.plain(shown), notes=change.meant.warnings
    )


def _flat(found: Mapping[str, Any]) -> Iterator[Any]:
    for value in found.values():
        if isinstance(value, Mapping):
            yield value.get('path', value)
        else:
            yield value
