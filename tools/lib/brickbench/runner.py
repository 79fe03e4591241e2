# SPDX-License-Identifier: Apache-2.0
"""Run the acts of the chosen rows one after the other; a failed one does not end the run."""

import argparse
import contextlib
import datetime
import platform
from typing import Any

from brickbench import (
    comparison,
    crypt,
    exports,
    fabrics,
    groups,
    images,
    namespaces,
    processes,
    rows,
    volumes,
)
from tests.functional import lab

_ACTS: dict[str, comparison.Act] = {
    'floor': volumes.floor,
    'one': volumes.one,
    'stays': volumes.stays,
    'four': volumes.four,
    'hole': volumes.hole,
    'many': volumes.many,
    'crowd': volumes.crowd,
    'fc': fabrics.one,
    'fc-several': fabrics.several,
    'nvme': namespaces.one,
    'nvme-grown': namespaces.grown,
    'nvme-hole': namespaces.hole,
    'lvm': groups.listed,
    'crypt': crypt.existing,
    'nfs': exports.one,
    'rbd': images.streamed,
    'processes': processes.processes,
}


def run(options: argparse.Namespace) -> tuple[str, list[rows.Line]]:
    """What was measured where, and the lines of the table."""
    names = options.row or rows.NAMES
    rounds = 2 if options.quick else options.rounds
    with contextlib.ExitStack() as stack:
        testbed = stack.enter_context(lab.Testbed())
        lab.daemons.configure(**comparison.MULTIPATHD)
        sides = _sides(options)
        for side in sides:
            stack.callback(side.close)
        kind: dict[str, Any] = {'slow': options.slow, 'verbose': options.verbose}
        where = comparison.Comparison(testbed, sides, rounds, **kind)
        chosen = dict.fromkeys(row.act for row in rows.ROWS if row.name in names)
        problems = _run_all(where, list(chosen))
        return _about(rounds), comparison.lines(where, problems, names)


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


def _run_all(where: comparison.Comparison, acts: list[str]) -> dict[str, str]:
    """Play the acts; what went wrong with which. When interrupted, the rest is not measured."""
    problems = {}
    try:
        for act in acts:
            problems[act] = 'interrupted'
            problems[act] = _run_act(where, act)
    except KeyboardInterrupt:
        comparison.report('interrupted: here is what there is')
        problems |= {act: 'not begun' for act in acts if act not in problems}
    return problems


def _run_act(where: comparison.Comparison, act: str) -> str:
    """Play one act and put the host back; what went wrong, or nothing."""
    comparison.report(f'-- {act}')
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
