# SPDX-License-Identifier: Apache-2.0
"""Runs the unit tests here and the functional tests in the guest, and adds up their results."""

import argparse
from collections.abc import Callable
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid

from guestlib import beside, command, hostenv, hostpackages, paths, progress, resident, results

UNIT = ('tests/unit', 'tests/consumers')
FUNCTIONAL = ('tests/functional',)
# What has threads, children, waits and sockets, in a process that eventlet has patched.
EVENTLET = (
    'tests/unit/core',
    'tests/unit/paths',
    'tests/unit/remotefs',
    'tests/unit/initiator/test_linuxrbd.py',
    'tests/unit/initiator/test_linuxrbd_io.py',
    'tests/unit/initiator/connectors/test_iscsi.py',
    'tests/unit/initiator/connectors/test_iscsi_names.py',
    'tests/unit/initiator/connectors/test_fibre_channel.py',
    'tests/unit/initiator/connectors/test_nvmeof.py',
    'tests/unit/host/test_powerflex_gateway.py',
    'tests/unit/initiator/connectors/test_lightos.py',
    'tests/unit/initiator/connectors/test_vmware.py',
    'tests/unit/initiator/connectors/test_rbd.py',
    'tests/unit/initiator/connectors/test_rbd_handle.py',
    'tests/unit/initiator/connectors/test_storpool.py',
)
_EVENTLET_RUNNER = 'tools/lib/green.py'
UNIT_SECONDS = 900.0
# Beside the guest, with what it leaves of the processors.
_UNIT_SECONDS_BESIDE = 3600.0
FUNCTIONAL_SECONDS = 66 * 60.0
# More failures than these are no accident of timing in an emulated machine.
_MOST_TRIED_AGAIN = 8
# A test that hangs says where, and ends its process: a worker of pytest-xdist, which is replaced,
# or the suite. In the guest it only says where: udev and multipathd need minutes for some.
_UNIT_LIMIT = (
    *('-o', 'faulthandler_timeout=300'),
    *('-o', 'faulthandler_exit_on_timeout=true'),
)
_FUNCTIONAL_LIMIT = ('-o', 'faulthandler_timeout=600')
_PASSED_ON = ('second_try', 'consumers', 'all')
_TAKES_VALUE = {'-k', '-m', '-p', '-n', '-o', '-c', '-W', '--maxfail', '--deselect', '--ignore'}


@dataclasses.dataclass(frozen=True)
class Selection:
    """Arguments for pytest, with the paths told apart by suite."""

    options: list[str]
    unit: list[str]
    functional: list[str]

    @property
    def narrowed(self) -> bool:
        return any(word.startswith(('-k', '-m', '--lf', '--ff', '--sw')) for word in self.options)


Suite = Callable[[str, Selection, argparse.Namespace], results.Outcome]


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; 0 only if something ran and nothing failed."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    options, rest = _parser().parse_known_args(arguments)
    try:
        chosen = select(rest)
        outcomes = _run(options, chosen)
    except KeyboardInterrupt:
        return 130
    if options.counts:
        options.counts.write_text(json.dumps([dataclasses.asdict(each) for each in outcomes]))
    else:
        results.print_summary(outcomes)
    return results.status(outcomes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        'tools/test',
        description='Unit tests here, functional tests in the guest; sets up what they need.',
        epilog='All other arguments go to pytest: -k, -x, paths such as tests/functional/test_x.py',
        allow_abbrev=False,
    )
    parser.add_argument('--unit', action='store_true', help='only the unit tests (seconds)')
    parser.add_argument('--functional', action='store_true', help='only the functional tests')
    parser.add_argument(
        '--fresh', action='store_true', help='boot a guest for this; end a resident one first'
    )
    parser.add_argument(
        '--second-try',
        action='store_true',
        help=f'run up to {_MOST_TRIED_AGAIN} failed tests of a suite once more, and say so',
    )
    parser.add_argument(
        '--side-by-side',
        action='store_true',
        help='run the unit tests beside the functional tests, and print what they print afterwards',
    )
    parser.add_argument(
        '--all',
        action='store_true',
        help='whole products where the tests otherwise take a part: minutes more of unit tests',
    )
    parser.add_argument(
        '--functional-timeout',
        type=float,
        default=FUNCTIONAL_SECONDS,
        metavar='SECONDS',
        help='end the functional tests then (default: %(default).0f)',
    )
    _add_unit_options(parser)
    return parser


def _add_unit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--consumers',
        action='store_true',
        help="make the environments of consumers' tests if there are none (minutes, 2 GB)",
    )
    parser.add_argument(
        '--unit-timeout',
        type=float,
        default=UNIT_SECONDS,
        metavar='SECONDS',
        help='end a suite of unit tests then (default: %(default).0f)',
    )
    parser.add_argument('--workers', default='auto', help='processes of the unit tests')
    parser.add_argument(
        '--counts',
        type=pathlib.Path,
        metavar='FILE',
        help='write the counts of each suite as JSON, no summary',
    )


def select(words: list[str]) -> Selection:
    """Sort arguments into options and the paths of each suite."""
    chosen = Selection([], [], [])
    value = False
    for word in words:
        path = None if value or word.startswith('-') else _in_checkout(word)
        value = word in _TAKES_VALUE
        if path is None:
            chosen.options.append(word)
        elif path in ('.', 'tests'):  # both suites, as without a path
            continue
        elif path.startswith(FUNCTIONAL):
            chosen.functional.append(path)
        else:
            chosen.unit.append(path)
    return chosen


def _in_checkout(word: str) -> str | None:
    """The path (and test id) relative to the checkout; None if it is no path there."""
    name, separator, test = word.partition('::')
    for base in (pathlib.Path.cwd(), paths.CHECKOUT):
        path = pathlib.Path(os.path.abspath(base / name))
        if path.exists() and path.is_relative_to(paths.CHECKOUT):
            return f'{path.relative_to(paths.CHECKOUT)}{separator}{test}'
    return None


def _run(options: argparse.Namespace, chosen: Selection) -> list[results.Outcome]:
    names = wanted(options, chosen)
    has_paths = chosen.unit or chosen.functional  # The other process gets options alone.
    if options.side_by_side and not has_paths and {'unit', 'functional'} <= set(names):
        return _run_beside(options, chosen)
    return [_guarded(name, _SUITES[name], chosen, options) for name in names]


def wanted(options: argparse.Namespace, chosen: Selection) -> list[str]:
    """The suites to run, in their order: those of the paths, else those of the options, else all.

    What is narrowed to some tests is not sought once more under eventlet and in consumers' tests.
    """
    if chosen.unit or chosen.functional:
        names = ['unit'] * bool(chosen.unit) + ['functional'] * bool(chosen.functional)
    else:
        names = [name for name in _SUITES if not (chosen.narrowed and name in _AGAIN)]
    if options.unit == options.functional:
        return names
    return [name for name in names if (name == 'functional') == options.functional]


def _run_beside(options: argparse.Namespace, chosen: Selection) -> list[results.Outcome]:
    with contextlib.suppress(progress.Failure):  # each suite tells it
        hostpackages.need(hostpackages.UNIT)  # not by two processes at once
        hostenv.python()
    words = [f'--{name.replace("_", "-")}' for name in _PASSED_ON if getattr(options, name)]
    tool = paths.CHECKOUT / 'tools' / 'test'
    with beside.unit_tests(tool, [*words, *chosen.options], _UNIT_SECONDS_BESIDE) as unit:
        functional = _guarded('functional', _functional, chosen, options)
        rows = unit.outcomes()
    broken = [results.Outcome('unit', 99, failed=1, note='(ended without counts)')]
    return [*([results.Outcome(**row) for row in rows] or broken), functional]


def _guarded(
    name: str, suite: Suite, chosen: Selection, options: argparse.Namespace
) -> results.Outcome:
    """Run a suite; what keeps it from running is a failure of it, and the next one still runs."""
    began = time.monotonic()
    progress.line(f'{name} tests')
    try:
        outcome = suite(name, chosen, options)
    except progress.Failure as failure:
        progress.line(str(failure))
        outcome = results.Outcome(name, failure.status, failed=1, note='(could not run)')
    return dataclasses.replace(outcome, seconds=time.monotonic() - began)


def _unit(name: str, chosen: Selection, options: argparse.Namespace) -> results.Outcome:
    hostpackages.need(hostpackages.UNIT)
    where = chosen.unit or [path for path in UNIT if (paths.CHECKOUT / path).is_dir()]
    more = [*_in_parallel(chosen, options), *chosen.options]
    words = [hostenv.python(), '-m', 'pytest', *_UNIT_LIMIT, *where, *more]
    return _tried(lambda *more: _pytest(name, [*words, *more], chosen, options), options)


def _eventlet(name: str, chosen: Selection, options: argparse.Namespace) -> results.Outcome:
    where = [path for path in EVENTLET if (paths.CHECKOUT / path).exists()]
    runner = str(paths.CHECKOUT / _EVENTLET_RUNNER)
    selected = ['-m', 'not native', '-q', *where, *chosen.options]
    words = [hostenv.python(), runner, *_UNIT_LIMIT, *selected]
    return _tried(lambda *more: _pytest(name, [*words, *more], chosen, options), options)


def _consumers(name: str, _chosen: Selection, options: argparse.Namespace) -> results.Outcome:
    """The fast part of tools/consumers, where its environments are in the cache.

    To make them takes longer than all unit tests, and the package index; only ``--consumers`` does.
    """
    words = [sys.executable, str(paths.CHECKOUT / 'tools' / 'consumers'), '--fast']
    if not options.consumers and subprocess.run([*words, '--made'], check=False).returncode:
        return results.Outcome(
            name, 0, note='(not run: tools/consumers --fast makes its environments)'
        )
    limit = None if options.consumers else options.unit_timeout
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return results.Outcome(name, 124, failed=1, note=f'(killed after {limit:.0f} s)')
    print(done.stdout, end='')
    passed, lost = _counted(done.stdout)
    failed = lost or min(done.returncode, 1)
    note = '(tools/consumers --fast --report FILE names them)' if failed else ''
    return results.Outcome(name, done.returncode, passed=passed, failed=failed, note=note)


def _counted(table: str) -> tuple[int, int]:
    """How many tests pass with ours, and how many are lost, by the table of tools/consumers."""
    rows = [line.split()[-3:-1] for line in table.splitlines() if re.search(r'(\s+\d+){5}$', line)]
    return sum(int(row[0]) for row in rows), sum(int(row[1]) for row in rows)


def _tried(attempt: Callable[..., results.Outcome], options: argparse.Namespace) -> results.Outcome:
    """Run a suite; with ``--second-try`` a few failed tests once more, which the summary names.

    Time is not even on a busy or an emulated machine. What fails twice is a failure.
    """
    first = attempt()
    if not options.second_try or first.status != 1 or first.failed > _MOST_TRIED_AGAIN:
        return first
    progress.line(f'{first.failed} failed: trying these once more (time is not even)')
    second = attempt('--last-failed')
    return dataclasses.replace(
        second,
        passed=first.passed + second.passed,
        skipped=first.skipped + second.skipped,
        note=f'({first.failed} failed at first, {second.failed} of them twice)',
    )


def _pytest(
    name: str, words: list[str], chosen: Selection, options: argparse.Namespace
) -> results.Outcome:
    more = {'OS_BRICK_TEST_ALL': '1'} if options.all else {}
    with tempfile.TemporaryDirectory() as directory:
        report = pathlib.Path(directory) / 'junit.xml'
        process = subprocess.Popen(
            [*words, f'--junitxml={report}'],
            cwd=paths.CHECKOUT,
            env={**hostenv.environment(), **more},
            stdin=subprocess.DEVNULL,
        )
        try:
            status = process.wait(options.unit_timeout)
        except subprocess.TimeoutExpired:
            status = 124
        finally:
            process.kill()
            process.wait()
        return results.of_report(name, status, report, narrowed=chosen.narrowed)


def _in_parallel(chosen: Selection, options: argparse.Namespace) -> list[str]:
    """Use all processors for whole suites; starting the workers costs more than a few tests."""
    if chosen.unit or any(word.startswith(('-n', '--pdb', '-s')) for word in chosen.options):
        return []
    return ['-n', options.workers]


def _functional(name: str, chosen: Selection, options: argparse.Namespace) -> results.Outcome:
    where = chosen.functional or list(FUNCTIONAL)
    shown = ['--durations=10', *_FUNCTIONAL_LIMIT]
    words = ['/opt/os-brick/bin/python', '-m', 'pytest', *shown, *where, *chosen.options]
    deadline = time.monotonic() + options.functional_timeout

    def attempt(running: resident.Guest, *more: str) -> results.Outcome:
        report = running.share / f'junit-{uuid.uuid4().hex}.xml'
        order = command.Order(
            [*words, *more, f'--junitxml=/mnt/share/{report.name}'],
            timeout=max(1.0, deadline - time.monotonic()),
            environment={'OS_BRICK_TEST_ALL': '1'} if options.all else {},
        )
        status = command.run_in(running, order)
        try:
            return results.of_report(name, status, report, narrowed=chosen.narrowed)
        finally:
            report.unlink(missing_ok=True)

    with command.guest(fresh=options.fresh) as running:
        return _tried(functools.partial(attempt, running), options)


_SUITES: dict[str, Suite] = {
    'unit': _unit,
    'eventlet': _eventlet,
    'consumers': _consumers,
    'functional': _functional,
}
# What runs tests of the first suite once more, in another way.
_AGAIN = frozenset({'eventlet', 'consumers'})
