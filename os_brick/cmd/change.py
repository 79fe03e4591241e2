# SPDX-License-Identifier: Apache-2.0
"""What the commands that change have in common: plans, steps as they are done, exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
import dataclasses
import hashlib
import json
import os
import re
from typing import Any

from os_brick import exception, privileged
from os_brick.cmd import exits, failures, plan_text, progress, properties, services, signals
from os_brick.cmd.output import Console, Output, Table
from os_brick.core import observe, operation, trace
from os_brick.initiator import connector

_PLAN_SCHEMA = 'os-brick/plan/1'


def word(text: str) -> str:
    """A word of the command line, which an empty variable of the shell is not."""
    if not text.strip():
        raise argparse.ArgumentTypeError('is empty: is a variable of the shell not set?')
    return text


def _plan_id(text: str) -> str:
    if not re.fullmatch(r'[0-9a-f]{8}', text):
        raise argparse.ArgumentTypeError(f'{text!r} is not the ID of a plan, as --plan prints it')
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of each command that changes."""
    parser.add_argument(
        '--protocol', metavar='P', help='such as iscsi; else connection_info has it'
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--plan', '--dry-run', action='store_true', help='print what would be done, and do nothing'
    )
    which.add_argument(
        '--apply', type=_plan_id, metavar='ID', help='do it only if the plan is still that one'
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One change of a volume.

    :ivar name: ``attach``, ``detach`` or ``extend``.
    :ivar act: does it; returns what is to be told of the result.
    :ivar options: what else decides what is done.
    """

    name: str
    meant: properties.Meant
    connector: Any
    act: Callable[[], Mapping[str, Any]]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def require(self) -> None:
        """Refuse properties that a connector takes from a service, but makes nothing of.

        :raises CommandError: if they are so.
        """
        check = getattr(self.connector, 'require', None)
        try:
            if check is not None:
                check(self.name, self.meant.properties)
        except failures.ALL as error:
            raise failures.command_error(error, '') from error
        except ValueError as error:
            raise failures.of_property(error) from error

    def plans(self) -> list[dict[str, Any]]:
        """What it would do now.

        :raises CommandError: for a protocol that decides as it goes.
        """
        make = getattr(self.connector, 'plan', None)
        try:
            if make is None:
                raise NotImplementedError('its connector makes no plans')
            more = {'force': True} if self.options.get('force') else {}
            found = make(self.name, self.meant.properties, self.meant.device_info, **more)
        except NotImplementedError as error:
            if not str(error):
                raise self.unknown() from None
            raise exits.CommandError(
                'no-plan',
                f'The {self.name} of a volume of {self.meant.protocol} cannot be planned: {error}.',
                exit_code=exits.Exit.REFUSED,
                remedy='Name the volume by its ID or its properties, without --plan and --apply; '
                '-v prints the steps as they are done.',
            ) from None
        except ValueError as error:
            raise failures.of_property(error) from error
        plain: list[dict[str, Any]] = trace.masked([each.as_dict() for each in found])
        return plain

    def unknown(self) -> exits.CommandError:
        """The error for an operation that volumes of the protocol do not have."""
        return exits.usage(
            f'Volumes of {self.meant.protocol} have no {self.name}.', 'Nothing was done.'
        )


def identifier(change: Change, plans: object) -> str:
    """The ID of a plan: of what it would do, and the facts that it stands on."""
    meant = change.meant
    facts = [change.name, meant.protocol, plans, dict(change.options), meant.device]
    facts += [trace.masked(dict(meant.properties)), trace.masked(dict(meant.device_info or {}))]
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


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
            meant.protocol,
            None,
            use_multipath=is_multipath,
            do_local_attach=True,
            conn=meant.connection,
        )
    except (exception.BrickException, ValueError) as error:
        raise failures.command_error(error, '') from error
    return meant, made


def run(options: argparse.Namespace, console: Console, change: Change) -> Output:
    """Plan a change, or make it.

    :raises CommandError: with the exit code that tells what has become of the host.
    """
    change.require()
    if options.plan:
        return _planned(options, change)
    told = progress.Told(console, steps=options.verbose > 0)
    stop = observe.observe(told.hear)
    check = _Check(change, options.apply)
    try:
        with signals.ended_by_them(), operation.only_if(check.run), told.progress(change.name):
            found = change.act()
    except failures.ALL as error:
        check.end()
        is_taken_back = change.name != observe.EXTEND
        raise failures.command_error(error, told.outcome, is_taken_back=is_taken_back) from error
    except NotImplementedError:
        raise change.unknown() from None
    except ValueError as error:
        raise failures.of_property(error) from error
    finally:
        stop()
    check.end()
    return _done(change, told, found)


class _Check:
    """What is checked under the volume's lock; a forced detach goes on after its error."""

    def __init__(self, change: Change, plan: str | None) -> None:
        self._change, self._plan = change, plan
        self._refusal: exits.CommandError | None = None

    def run(self) -> None:
        """Check, and remember what was refused.

        :raises CommandError: if it was.
        """
        try:
            _require(self._change, self._plan)
        except exits.CommandError as error:
            self._refusal = error
            raise
        except failures.ALL as error:
            self._refusal = failures.command_error(error, '')
            raise

    def end(self) -> None:
        """Raise what was refused."""
        if self._refusal is not None:
            raise self._refusal


def _require(change: Change, wanted: str | None) -> None:
    """Have the plan be the one that was shown, and about the device that was named.

    :raises CommandError: if it is another one by now.
    """
    if not wanted and not change.meant.device:
        return
    plans = change.plans()
    _require_device(change, plans)
    now = identifier(change, plans)
    if wanted and now != wanted:
        raise exits.CommandError(
            'plan-outdated',
            f'The host, or the properties, are not those of plan {wanted} any more: nothing was '
            f'done. The plan of now is {now}.',
            exit_code=exits.Exit.REFUSED,
            remedy='Look at it with --plan.',
        )


def _require_device(change: Change, plans: list[dict[str, Any]]) -> None:
    """Have a device that was named be one that the plan is about.

    A note says what was; the name may be that of another volume's device by now.
    """
    name = change.meant.device
    # Not what is told beside the steps: another volume's devices are there, too.
    steps = [plan['steps'] for plan in plans]
    words = set(re.findall(r'[A-Za-z0-9_.!-]+', json.dumps(steps)))
    if name and name not in words:
        raise exits.CommandError(
            'another-device',
            f'/dev/{name} was the device of volume {change.meant.name} when that was attached, and '
            f'is not any more: nothing was done.',
            exit_code=exits.Exit.REFUSED,
            remedy='Name the volume by its ID, or pass its properties. os-brick show tells more.',
        )


def _planned(options: argparse.Namespace, change: Change) -> Output:
    try:
        plans = change.plans()
        _require_device(change, plans)
    except failures.ALL as error:
        raise failures.command_error(error, '') from error
    known = identifier(change, plans)
    given = [name for name, value in change.options.items() if value]
    text = plan_text.Text(change.name, known, plans, given)
    document = {
        'schema': _PLAN_SCHEMA,
        'operation': change.name,
        'id': known,
        'options': dict(change.options),
        'plans': plans,
    }
    return Output(document, text.table(), text.lines, notes=change.meant.warnings)


def _done(change: Change, told: progress.Told, found: Mapping[str, Any]) -> Output:
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
