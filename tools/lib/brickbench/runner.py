# SPDX-License-Identifier: Apache-2.0
"""Run the acts of the chosen rows one after the other; a failed one does not end the run."""

import argparse
from collections.abc import Sequence
import contextlib
import datetime
import math
import platform
import time
from typing import Any

from brickbench import (
    comparison,
    crypt,
    document,
    exports,
    fabrics,
    groups,
    images,
    namespaces,
    others,
    processes,
    readable,
    rows,
    together,
    volumes,
)
from tests.functional import lab

_ACTS: dict[str, comparison.Act] = {
    'floor': volumes.floor,
    'one': volumes.one,
    'stays': volumes.stays,
    'four': volumes.four,
    'hole': volumes.hole,
    'sixteen': volumes.sixteen,
    'fc': fabrics.one,
    'fc-several': fabrics.several,
    'nvme': namespaces.one,
    'nvme-grown': namespaces.grown,
    'nvme-hole': namespaces.hole,
    'lvm': groups.listed,
    'crypt': crypt.existing,
    'nfs': exports.one,
    'rbd': images.streamed,
    'scale': others.beside,
    'map-4': readable.four,
    'map-8': readable.eight,
    'many': together.at_once,
    'many-hole': together.beside_a_hole,
    'processes': processes.processes,
}


def run(options: argparse.Namespace) -> list[rows.Line]:
    """Measure, writing the documents with each measurement; the lines of the table."""
    names = rows.chosen(options.row or ())
    rounds = 2 if options.quick else options.rounds
    with contextlib.ExitStack() as stack:
        testbed = stack.enter_context(lab.Testbed())
        lab.daemons.configure(**comparison.MULTIPATHD)
        sides = _sides(options)
        for side in sides:
            stack.callback(side.close)
        kind: dict[str, Any] = {'slow': options.slow, 'verbose': options.verbose}
        where = comparison.Comparison(testbed, sides, rounds, **kind)
        course = _Course(where, names, options)
        course.run()
        return course.lines()


class _Course:
    """The acts of one run, one after the other, as long as there is time."""

    def __init__(
        self, where: comparison.Comparison, names: Sequence[str], options: argparse.Namespace
    ) -> None:
        self._where, self._names, self._options = where, names, options
        self._problems: dict[str, str] = {}
        self._about = _about(where.rounds)
        self._ends = time.monotonic() + 60 * options.minutes if options.minutes else math.inf

    def lines(self) -> list[rows.Line]:
        """The chosen rows with what has been measured of them."""
        return comparison.lines(self._where, self._problems, self._names, self._about)

    def run(self) -> None:
        """Play every act; what an interrupt leaves is not measured, and what was is written."""
        acts = rows.acts(self._names)
        self._where.on_change = self._save
        self._problems = dict.fromkeys(acts, 'not begun')
        try:
            for act in acts:
                if self._has_time(act):
                    self._problems[act] = 'interrupted'
                    self._problems[act] = _run_act(self._where, act)
                    self._save()
        except KeyboardInterrupt:
            comparison.report('interrupted: here is what there is')
        finally:
            self._save()

    def _has_time(self, act: str) -> bool:
        seconds = rows.estimate(act, self._where.rounds)
        if time.monotonic() + seconds <= self._ends:
            return True
        comparison.report(f'{act} takes {seconds:.0f} s and is left out: there is no time for it')
        self._problems[act] = 'not begun: no time'
        return False

    def _save(self) -> None:
        made = document.of_run(self.lines(), self._where.points, self._about)
        for path in self._options.output:
            document.add(path, made)


def _sides(options: argparse.Namespace) -> list[comparison.Side]:
    wanted = [rows.OURS] if options.ours_only else [rows.OURS, rows.REFERENCE]
    sides = []
    for name in wanted:
        python = comparison.python_of(name, options.reference)
        if python is None:
            comparison.report(f'there is no {name}: {options.reference} does not exist')
        else:
            sides.append(comparison.Side(name, python))
    return sides


def _run_act(where: comparison.Comparison, act: str) -> str:
    """Play one act and put the host back; what went wrong, or nothing."""
    expected = rows.estimate(act, where.rounds)
    comparison.report(f'-- {act} (about {expected:.0f} s)')
    began = time.monotonic()
    lab.shell.settle()
    before = lab.oracle.snapshot()
    problem = ''
    try:
        _ACTS[act](where)
    except Exception as error:
        problem = f'{type(error).__name__}: {error}'
        comparison.report(f'{act} FAILED, the next goes on: {problem}')
        for side in where.sides:
            side.forget()
    try:
        lab.oracle.sweep(before)
        where.testbed.reset()
        lab.oracle.assert_same(before)
    except Exception as error:
        comparison.report(f'{act}: the host could not be put back: {error}')
        problem = problem or f'the host could not be put back: {error}'
    comparison.report(f'-- {act} took {time.monotonic() - began:.0f} s')
    return problem


def _about(rounds: int) -> str:
    today = datetime.datetime.now(tz=datetime.UTC).date()
    return (
        f'Medians of up to {rounds} rounds, ours and os-brick 7.1.1 in turn, {today}, '
        f'Linux {platform.release()}, {_processors()}.'
    )


def _processors() -> str:
    cpuinfo = lab.shell.read('/proc/cpuinfo').splitlines()
    models = [line.partition(':')[2].strip() for line in cpuinfo if line.startswith('model name')]
    return f'{len(models)} processors ({models[0]})' if models else 'processors unknown'
