# SPDX-License-Identifier: Apache-2.0
"""``os-brick doctor``: what is wrong with this host for block storage, and what to type."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
import datetime
import itertools
import os
import sys
from typing import Any

from os_brick.cmd import exits
from os_brick.cmd.output import Console, Output, Table
from os_brick.core import clock, files, glance, wait
from os_brick.doctor import catalogue, examine, facts, fleet, site

# What is left of --timeout for the judgement and for printing.
_SHARE_LEFT = 0.1
# So many cases of one finding are printed for people; JSON has all.
_MOST_LINES = 8
_COLOURS = {'F': 'bad', 'W': 'warn', 'I': 'dim'}
_WORDS = {'F': 'FAIL', 'W': 'WARN', 'I': 'INFO'}
_NOTHING = (
    'Nothing to be judged was found: no disk of a fabric, no session, no controller, no map, no '
    'service, and none of the programs of storage (open-iscsi, multipath-tools, nvme-cli).'
)
_LARGEST_FLEET_BYTES = 256 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument('check', nargs='*', metavar='CHECK', help='look for these findings alone')
    parser.add_argument('--harm', metavar='DXHS', help='those of such harm alone, see --list')
    parser.add_argument('--skip', action='append', metavar='ID', help='not for this finding')
    parser.add_argument('--list', action='store_true', help='the findings that are looked for')
    parser.add_argument(
        '--fleet', metavar='FILE', help='names that hosts share: os-brick connector -f json of many'
    )


def run(options: argparse.Namespace, _console: Console) -> Output:
    """What is found, the worst first."""
    wanted = _wanted(options)
    configure(options)
    if options.list:
        return _list(wanted)
    begun = clock.monotonic()
    if options.fleet:
        result = _fleet(options.fleet)
    else:
        result = examined(options.timeout or 10.0, wanted, options.skip or ())
    return _output(result, round(clock.monotonic() - begun, 3))


def configure(options: argparse.Namespace) -> None:
    """Use the configuration that was given; without one, what services have is looked for.

    :raises CommandError: if it cannot be read.
    """
    if options.config_file:
        from os_brick.cmd import services

        services.configure(options.config_file)


def examined(
    seconds: float, wanted: Iterable[str] = (), skipped: Iterable[str] = ()
) -> examine.Result:
    """The examination of this host, within so many seconds."""
    deadline = wait.Deadline.after(seconds).leaving(_SHARE_LEFT)
    overrides, wrong = site.overrides()
    found = read_here(deadline)
    found = facts.replace(found, unread=(*wrong, *found.unread))
    return examine.examine(found, overrides, list(wanted), list(skipped))


def read_here(deadline: wait.Deadline) -> facts.Facts:
    """The facts of this host; what needs root is read by this process, or not at all."""
    import warnings

    # oslo.privsep imports eventlet where it is installed, which warns of itself.
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        from os_brick import privileged
        from os_brick.doctor import readers

    privileged.default.set_client_mode(False)
    return readers.read(deadline, is_root=os.geteuid() == 0)


def _wanted(options: argparse.Namespace) -> list[str]:
    entries = catalogue.entries()
    for name in (*options.check, *(options.skip or ())):
        if name not in entries:
            raise exits.usage(f'There is no finding {name}.', 'os-brick doctor --list has them.')
    harms = (options.harm or '').upper()
    for letter in harms:
        if letter not in catalogue.HARMS:
            raise exits.usage(
                f'{letter} is not a harm.', f'They are {", ".join(catalogue.HARMS)}: see --list.'
            )
    names = options.check or list(entries)
    if not (options.check or harms):
        return []
    return [name for name in names if not harms or entries[name].harm in harms]


def _list(wanted: list[str]) -> Output:
    rows = [
        (each.id, each.harm, each.level, each.rule, each.source)
        for each in catalogue.entries().values()
        if not wanted or each.id in wanted
    ]
    columns = ('id', 'harm', 'level', 'rule', 'source')
    document = {
        'schema': 'os-brick/findings/1',
        'harms': dict(catalogue.HARMS),
        'levels': dict(catalogue.LEVELS),
        'findings': [dict(zip(columns, row, strict=True)) for row in rows],
    }

    def text(console: Console) -> str:
        harms = [f'{letter}  {words}' for letter, words in catalogue.HARMS.items()]
        lines = [
            f'{console.paint(level, _COLOURS[level])} {harm}  {name:24} {rule}'
            for name, harm, level, rule, _ in rows
        ]
        return '\n'.join([*lines, '', *harms])

    return Output(document, Table(columns, rows), text)


def _fleet(path: str) -> examine.Result:
    try:
        if path == '-':
            text = sys.stdin.buffer.read(_LARGEST_FLEET_BYTES).decode('utf-8', 'replace')
        else:
            text = files.read_regular(path, _LARGEST_FLEET_BYTES).decode('utf-8', 'replace')
        return fleet.examined(text)
    except (OSError, ValueError) as error:
        why = getattr(error, 'strerror', None) or error
        raise exits.usage(
            f'{path} cannot be used: {why}.',
            "Make it so: ansible -m command -a 'os-brick connector -f json' HOSTS > FILE",
        ) from None


def _output(result: examine.Result, seconds: float) -> Output:
    columns = ('level', 'harm', 'id', 'object', 'text', 'repair')
    rows = [tuple(getattr(each, name) for name in columns) for each in result.findings]
    own = glance.read_or('/proc/sys/kernel/hostname', 'this host')
    name = own if result.hosts == 1 else f'{result.hosts} hosts'
    document = {
        'schema': 'os-brick/doctor/1',
        'host': own,
        'hosts': result.hosts,
        'at': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        'seconds': seconds,
        'exit_code': result.exit_code,
        'has_storage': result.has_storage,
        'checks': list(result.checks),
        'silenced': list(result.silenced),
        'findings': [as_dict(each) for each in result.findings],
        'unread': [
            {'what': each.what, 'why': each.why, 'affects': list(result.affected(each))}
            for each in result.unread
        ],
    }
    code = exits.Exit(result.exit_code)
    return Output(
        document,
        Table(columns, rows),
        lambda console: '\n'.join(_lines(name, result, seconds, console)),
        code,
    )


def as_dict(each: examine.Finding) -> dict[str, Any]:
    """A finding in JSON."""
    names = ('id', 'harm', 'level', 'object', 'text', 'why', 'repair', 'source', 'evidence')
    return {name: getattr(each, name) for name in names}


def _lines(name: str, result: examine.Result, seconds: float, console: Console) -> Iterator[str]:
    yield f'{console.plain(name)}: {_summary(result)}   {seconds:.2f} s'
    if not result.has_storage:
        yield _NOTHING
    yield from drawn(result.findings, console)
    yield from drawn_unread(result, console)
    if result.findings:
        yield ''
        yield f'os-brick explain {result.findings[0].id}     -f json for the evidence'


def drawn(findings: Iterable[examine.Finding], console: Console) -> Iterator[str]:
    """Findings for people, those of one kind together."""
    for _, group in itertools.groupby(findings, key=lambda each: (each.level, each.id)):
        yield ''
        yield from _group(list(group), console)


def drawn_unread(result: examine.Result, console: Console) -> Iterator[str]:
    """What was not looked at, for people."""
    if not result.unread:
        return
    yield ''
    yield console.paint('not looked at', 'warn')
    for what, why, affected in _unread(result):
        hidden = f'   ({", ".join(affected)})' if affected else ''
        yield f'     {console.plain(what)}: {console.plain(why)}{console.paint(hidden, "dim")}'


def _summary(result: examine.Result) -> str:
    levels: dict[str, set[str]] = {'F': set(), 'W': set(), 'I': set()}
    for each in result.findings:
        levels[each.level].add(each.id)
    bad = set().union(*levels.values())
    hidden = {name for each in result.unread for name in result.affected(each)} - bad
    counts = [
        (len(result.checks), 'checks', 'check'),
        (len(set(result.checks) - bad - hidden), 'good', 'good'),
        (len(levels['F']), 'failures', 'failure'),
        (len(levels['W']), 'warnings', 'warning'),
        (len(levels['I']), 'remarks', 'remark'),
        (len(result.silenced), 'silenced', 'silenced'),
        (len(hidden), 'not looked at completely', 'not looked at completely'),
    ]
    shown = [each for number, each in enumerate(counts) if each[0] or number < 2]
    return ', '.join(f'{count} {one if count == 1 else many}' for count, many, one in shown)


def _group(found: list[examine.Finding], console: Console) -> Iterator[str]:
    """The cases of one finding: what is wrong with which objects, why it matters, what to type."""
    first = found[0]
    head = f'{_WORDS[first.level]} {first.harm}'
    texts = list(dict.fromkeys(each.text for each in found))
    yield (
        f'{console.paint(head, _COLOURS[first.level])}  '
        f'{console.paint(first.id, "strong")}  {console.plain(texts[0])}'
    )
    indent = ' ' * (len(head) + 2)
    yield from (f'{indent}{console.plain(text)}' for text in texts[1:_MOST_LINES])
    if len(texts) > _MOST_LINES:
        yield f'{indent}and {len(texts) - _MOST_LINES} more'
    for why in list(dict.fromkeys(each.why for each in found))[:_MOST_LINES]:
        yield f'{indent}{console.plain(why)}'
    for repair in list(dict.fromkeys(each.repair for each in found))[:_MOST_LINES]:
        yield f'     →  {console.plain(repair)}'


def _unread(result: examine.Result) -> list[tuple[str, str, tuple[str, ...]]]:
    """What was not looked at: objects with one reason on one line."""
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for each in result.unread:
        groups.setdefault((each.why, result.affected(each)), []).append(each.what)
    found = []
    for (why, affected), names in groups.items():
        more = f' and {len(names) - _MOST_LINES} more' if len(names) > _MOST_LINES else ''
        found.append((f'{", ".join(names[:_MOST_LINES])}{more}', why, affected))
    return found
