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
import time

from consumers import environment

PASSED = 'passed'
_INSIDE = pathlib.Path(__file__).with_name('inside.py')
# An import of nova takes a minute on a busy machine; some tests of cinder wait for ever without
# stestr around them.
_TEST_SECONDS = 240
_LOOK_SECONDS = 2


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
        results, errors = os.path.join(directory, 'results'), os.path.join(directory, 'errors')
        with open(errors, 'w') as file:
            process = subprocess.Popen(
                ['nice', place.python, '-W', 'ignore', str(_INSIDE), results, *tests],
                cwd=directory,
                env=place.variables(directory, ours=ours),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
            )
            why = _ended(process, results)
        found = _read(results)
        if process.returncode:
            last = pathlib.Path(errors).read_text(errors='replace')[-500:]
            why = why or f'exit code {process.returncode}: {last}'
    if why:
        found.update({f'{name} (process)': Outcome('failed', why) for name in tests})
    return found


def _ended(process: subprocess.Popen[bytes], results: str) -> str:
    """Wait for the end; return why it was killed, if it was: no test ends any more."""
    known, since = -1, time.monotonic()
    while True:
        try:
            process.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            size = os.path.getsize(results) if os.path.exists(results) else 0
            if size != known:
                known, since = size, time.monotonic()
            elif time.monotonic() - since > _TEST_SECONDS:
                process.kill()
                process.wait()
                return f'no test ended for {_TEST_SECONDS} s'
        else:
            return ''


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
