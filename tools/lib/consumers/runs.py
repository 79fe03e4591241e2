# SPDX-License-Identifier: Apache-2.0
"""Runs of a consumer's tests, and what is compared of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile

from consumers import environment

PASSED = 'passed'
_INSIDE = pathlib.Path(__file__).with_name('inside.py')
# A module of nova takes minutes on a slow machine.
_MODULE_SECONDS = 1800


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test."""

    what: str
    why: str = ''


Outcomes = Mapping[str, Outcome]


def run(
    place: environment.Environment, modules: Sequence[str], jobs: int, *, ours: bool
) -> dict[str, dict[str, Outcome]]:
    """The outcome of each test of each module, so many modules side by side."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        parts = pool.map(lambda each: _run(place, [each], ours=ours), modules)
        return dict(zip(modules, parts, strict=True))


def again(
    place: environment.Environment, tests: Sequence[str], *, ours: bool
) -> dict[str, Outcome]:
    """The outcome of single tests, run alone: some depend on what has run before, or on time."""
    return _run(place, tests, ours=ours) if tests else {}


def _run(place: environment.Environment, tests: Sequence[str], *, ours: bool) -> dict[str, Outcome]:
    with tempfile.TemporaryDirectory() as directory:
        results = os.path.join(directory, 'results')
        why = ''
        try:
            done = subprocess.run(
                ['nice', place.python, '-W', 'ignore', str(_INSIDE), results, *tests],
                cwd=directory,
                env=place.variables(ours=ours),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors='replace',
                timeout=_MODULE_SECONDS,
                check=False,
            )
            why = (
                '' if done.returncode == 0 else f'exit code {done.returncode}: {done.stderr[-500:]}'
            )
        except subprocess.TimeoutExpired:
            why = f'no end after {_MODULE_SECONDS} s'
        found = _read(results)
    if why:
        found.update({f'{name} (process)': Outcome('failed', why) for name in tests})
    return found


def _read(path: str) -> dict[str, Outcome]:
    if not os.path.exists(path):
        return {}
    with open(path) as file:
        rows = [json.loads(line) for line in file]
    return {name: Outcome(what, why) for name, what, why, _seconds in rows}


def reference(
    place: environment.Environment, modules: Sequence[str], jobs: int, *, fresh: bool
) -> dict[str, dict[str, Outcome]]:
    """The outcomes of each module with the reference, from the cache if they are known."""
    kept = place.home / 'reference.json'
    known = {} if fresh or not kept.exists() else json.loads(kept.read_text())
    found = run(place, [name for name in modules if name not in known], jobs, ours=False)
    for name, outcomes in found.items():
        known[name] = {test: dataclasses.astuple(each) for test, each in outcomes.items()}
    kept.write_text(json.dumps(known))
    return {name: {test: Outcome(*each) for test, each in known[name].items()} for name in modules}


def together(parts: Mapping[str, Outcomes]) -> dict[str, Outcome]:
    """The outcomes of all modules as one."""
    return {test: outcome for part in parts.values() for test, outcome in part.items()}


def passed(outcomes: Outcomes) -> set[str]:
    """The tests that passed."""
    return {name for name, outcome in outcomes.items() if outcome.what == PASSED}


def lost(names: Iterable[str], outcomes: Outcomes) -> dict[str, Outcome]:
    """Those of some tests that did not pass, each with its outcome."""
    return {
        name: outcomes.get(name, Outcome('missing', 'it did not run'))
        for name in sorted(names)
        if outcomes.get(name, Outcome('')).what != PASSED
    }
