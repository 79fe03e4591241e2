# SPDX-License-Identifier: Apache-2.0
"""``os-brick explain``: what a finding, an error, lines of a log or a thing means, and why.

An error is called by its class (LoginRefused, login-refused). "-" reads a traceback or lines of
a log from the standard input, such as: journalctl -u nova-compute | os-brick explain -
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
import sys
from typing import Any

from os_brick.cmd import doctor, exits, look
from os_brick.cmd.output import Console, Output, Table
from os_brick.doctor import catalogue, errors, examine
from os_brick.doctor.page import plain
from os_brick.model import inventory
from os_brick.model.inventory_index import Thing

_LARGEST_TEXT_BYTES = 64 << 20
_MOST_ERRORS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to explain."""
    parser.add_argument(
        'what', nargs=1, metavar='WHAT', help="a finding, an error's name, a thing, or -"
    )


def run(options: argparse.Namespace, _console: Console) -> Output:
    """What it means, and what is found on this host that has to do with it."""
    doctor.configure(options)
    what, seconds = options.what[0], options.timeout or 10.0
    if what == '-':
        return _of_text(sys.stdin.buffer.read(_LARGEST_TEXT_BYTES), seconds)
    if what in catalogue.entries():
        return _of_finding(what, seconds)
    if name := errors.named(what):
        return _of_errors([errors.Occurrence(name, '', 0)], seconds)
    try:
        return _of_thing(what, seconds)
    except exits.CommandError as error:
        if error.code == 'not-found':
            error.remedy = (
                'It is neither a finding (os-brick doctor --list), nor an error of os-brick, '
                'nor a thing on this host (os-brick list --all).'
            )
        raise


def _made(kind: str, facts: dict[str, Any], lines: list[str], result: examine.Result) -> Output:
    found = [doctor.as_dict(each) for each in result.findings]
    rows = [(key, str(value)) for key, value in facts.items()]
    rows += [('finding', each.text) for each in result.findings]
    unread = [{'what': each.what, 'why': each.why} for each in result.unread]
    return Output(
        {'schema': 'os-brick/explain/1', 'kind': kind, **facts, 'findings': found,
         'unread': unread},
        Table(('fact', 'value'), rows),
        lambda console: '\n'.join([*map(console.plain, lines), *_now(result, console)]),
    )  # fmt: skip


def _now(result: examine.Result, console: Console) -> Iterator[str]:
    """What is found on this host now."""
    if not result.checks:
        return
    yield ''
    if not result.findings:
        yield 'On this host now: nothing of that is found.'
    else:
        yield 'On this host now:'
        yield from doctor.drawn(result.findings, console)
    yield from doctor.drawn_unread(result, console)


def _of_finding(name: str, seconds: float) -> Output:
    entry = catalogue.entries()[name]
    harm, level = catalogue.HARMS[entry.harm], catalogue.LEVELS[entry.level]
    repairs = [plain(each) for each in (entry.repair, *entry.repairs.values())]
    lines = [
        f'{name}: {plain(entry.text)}',
        f'  matters   {plain(entry.why)}',
        f'  harm      {entry.harm}: {harm}; {level}',
        f'  rule      {entry.rule}',
        f'  reads     {entry.reads}',
        *(f'  repair    {each}' for each in repairs),
        f'  source    {entry.source}',
        *(f'  value     {key} = {number:g}' for key, number in entry.values.items()),
    ]
    facts = {
        'id': name, 'harm': entry.harm, 'level': entry.level, 'rule': entry.rule,
        'text': plain(entry.text), 'why': plain(entry.why), 'repairs': repairs,
        'reads': entry.reads, 'source': entry.source, 'values': dict(entry.values),
        'since': entry.since,
    }  # fmt: skip
    nothing = examine.Result((), ())
    result = nothing if entry.is_of_fleet else doctor.examined(seconds, [name])
    return _made('finding', facts, lines, result)


def _of_text(data: bytes, seconds: float) -> Output:
    found = errors.occurrences(data.decode('utf-8', 'replace'))
    if not found:
        raise exits.CommandError(
            'not-found',
            'There is no error of os-brick in the text.',
            exit_code=exits.Exit.NOT_THERE,
            remedy='Give it a traceback, or lines of a log of the service with its errors.',
        )
    return _of_errors(found[:_MOST_ERRORS], seconds)


def _of_errors(found: list[errors.Occurrence], seconds: float) -> Output:
    meanings = [errors.meaning(each.name) for each in found]
    lines: list[str] = []
    for each, meaning in zip(found, meanings, strict=True):
        lines += ['', *_lines_of_error(each, meaning)] if lines else _lines_of_error(each, meaning)
    checks = list(dict.fromkeys(name for meaning in meanings for name in meaning.findings))
    on_hosts = [name for name in checks if not catalogue.entries()[name].is_of_fleet]
    result = doctor.examined(seconds, on_hosts) if on_hosts else examine.Result((), ())
    documents = [
        {'name': meaning.name, 'code': meaning.code, 'bases': list(meaning.bases),
         'meaning': meaning.text, 'facts': dict(meaning.facts), 'message': each.message,
         'count': each.count, 'checks': list(meaning.findings)}
        for each, meaning in zip(found, meanings, strict=True)
    ]  # fmt: skip
    return _made('errors', {'errors': documents}, lines, result)


def _lines_of_error(each: errors.Occurrence, meaning: errors.Meaning) -> list[str]:
    times = f'   ({each.count} times)' if each.count > 1 else ''
    lines = [f'{meaning.name} ({meaning.code}){times}']
    if each.message:
        lines.append(f'  text      {each.message}')
    lines += [f'  {line}' for line in meaning.text.splitlines()]
    lines += [f'  {name:9} {words}' for name, words in meaning.facts.items()]
    if meaning.findings:
        lines.append(f'  see also  {", ".join(meaning.findings)}')
    return lines


def _of_thing(what: str, seconds: float) -> Output:
    host = look.read(argparse.Namespace(what=[what], ask=False, all=True), everything=True)
    thing = look.one(host, what)
    names = set(_names(thing))
    result = doctor.examined(seconds)
    related = tuple(each for each in result.findings if _concerns(each, names))
    lines = list(_lines_of_thing(thing))
    facts = {'thing': thing.name, 'thing_kind': thing.kind, 'text': '\n'.join(lines)}
    # What could not be looked at is a matter of this thing only where it is named.
    unread = tuple(each for each in result.unread if set(each.what.split(', ')) & names)
    return _made('thing', facts, lines, examine.Result(related, result.checks, (), unread))


def _names(thing: Thing) -> Iterator[str]:
    yield thing.name
    for volume in thing.volumes:
        yield from (each for each in (volume.device, volume.map_name, volume.identity) if each)
        for path in volume.paths:
            yield from (each for each in (path.device, path.link) if each)
            yield path.link.replace('session', 'session ')


def _concerns(each: examine.Finding, names: Iterable[str]) -> bool:
    words = {each.object, *each.evidence.values()}
    words |= {part.strip() for text in each.evidence.values() for part in text.split(',')}
    return bool(words & set(names))


def _lines_of_thing(thing: Thing) -> Iterator[str]:
    volumes = ', '.join(_called(volume) for volume in thing.volumes)
    value = thing.value
    if isinstance(value, inventory.Volume):
        ready, expected = value.ready_paths, value.expected_paths
        yield f'{value.device} is a volume: {_called(value)}, {value.protocol}, {value.state}'
        yield f'  paths     {ready} of {expected} take I/O'
    else:
        yield f'{thing.name} is a {thing.kind}' + (f' of {volumes}' if volumes else '')
    for volume in thing.volumes:
        for path in volume.paths:
            if isinstance(value, inventory.Volume) or thing.name in (path.device, path.link):
                yield f'  {path.device:9} {_state(path)}'
        yield from (f'  trouble   {each}' for each in volume.trouble)
        users = ', '.join(f'{user.kind} {user.name}' for user in volume.users)
        yield f'  used by   {users or "nothing that can be seen"}'


def _called(volume: inventory.Volume) -> str:
    identity = volume.volume_id or volume.identity or 'unknown'
    return f'{volume.device} ({identity})'


def _state(path: inventory.Path) -> str:
    words = [path.state, path.access, f'by {path.link} to {path.remote or path.target}']
    if path.link_state:
        words.append(f'which is {path.link_state}')
    if path.trouble:
        words.append(path.trouble)
    takes = 'takes I/O' if path.is_usable else 'takes no I/O'
    return f'{takes}: {", ".join(word for word in words if word)}'
