# SPDX-License-Identifier: Apache-2.0
"""Plays the acts of the chosen rows one after the other; one that fails does not end the bench."""

import argparse
import contextlib
import datetime
import platform
from typing import Any

from brickbench import fabrics, namespaces, processes, rows, stage, volumes
from tests.functional import lab

_ACTS: dict[str, stage.Act] = {
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
    'processes': processes.processes,
}


def run(options: argparse.Namespace) -> tuple[str, list[rows.Line]]:
    """What was measured where, and the lines of the table."""
    names = options.row or rows.NAMES
    rounds = 2 if options.quick else options.rounds
    with contextlib.ExitStack() as stack:
        bench = stack.enter_context(lab.Bench())
        lab.daemons.configure(**stage.MULTIPATHD)
        sides = _sides(options)
        for side in sides:
            stack.callback(side.close)
        kind: dict[str, Any] = {'slow': options.slow, 'verbose': options.verbose}
        where = stage.Stage(bench, sides, rounds, **kind)
        chosen = dict.fromkeys(row.act for row in rows.ROWS if row.name in names)
        problems = _play_all(where, list(chosen))
        return _about(rounds), stage.lines(where, problems, names)


def _sides(options: argparse.Namespace) -> list[stage.Side]:
    wanted = [rows.OURS] if options.ours_only else [rows.OURS, rows.REFERENCE]
    sides = []
    for name in wanted:
        python = stage.python_of(name, options.reference)
        if python is None:
            stage.say(f'there is no {name}: {options.reference} does not exist')
        else:
            sides.append(stage.Side(name, python))
    return sides


def _play_all(where: stage.Stage, acts: list[str]) -> dict[str, str]:
    """Play the acts; what went wrong with which. When interrupted, the rest is not measured."""
    problems = {}
    try:
        for act in acts:
            problems[act] = 'interrupted'
            problems[act] = _play(where, act)
    except KeyboardInterrupt:
        stage.say('interrupted: here is what there is')
        problems |= {act: 'not begun' for act in acts if act not in problems}
    return problems


def _play(where: stage.Stage, act: str) -> str:
    """Play one act and put the host back; what went wrong, or nothing."""
    stage.say(f'-- {act}')
    lab.shell.settle()
    before = lab.oracle.snapshot()
    problem = ''
    try:
        _ACTS[act](where)
    except Exception as error:
        problem = f'{type(error).__name__}: {error}'
        stage.say(f'{act} FAILED, the next goes on: {problem}')
        for side in where.sides:
            side.forget()
    try:
        lab.oracle.sweep(before)
        where.bench.reset()
        lab.oracle.assert_same(before)
    except Exception as error:
        stage.say(f'{act}: the host could not be put back: {error}')
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
