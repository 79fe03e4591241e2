# SPDX-License-Identifier: Apache-2.0
"""Lines of the demo on standard output, and the clock and the counter of its steps."""

import collections
from collections.abc import Iterable, Iterator
import contextlib
import time

from tests.functional import lab


class Wrong(Exception):
    """Something is not as it should be."""


def line(text: str) -> None:
    """Print a line."""
    print(text, flush=True)


def fact(name: str, text: str) -> None:
    """Print something that was found; further lines are indented like the first."""
    first, *more = text.splitlines() or ['']
    line(f'    {name:8} {first}')
    for further in more:
        line(f'    {"":8} {further}')


def require(holds: bool, what: str) -> None:
    """Return if it holds.

    :raises Wrong: otherwise.
    """
    if not holds:
        raise Wrong(what)


@contextlib.contextmanager
def step(name: str, *, counted: bool = True) -> Iterator[None]:
    """Print how long the block took and which programs it started."""
    with lab.programs.Recorder() if counted else contextlib.nullcontext() as recorder:
        began = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - began
    programs = '' if recorder is None else f', {_count(p.name for p in recorder.ours())}'
    line(f'  {name}: {seconds:.2f} s{programs}')


def _count(names: Iterable[str]) -> str:
    found = collections.Counter(names)
    total = sum(found.values())
    listed = ', '.join(f'{name} {count}' for name, count in found.items())
    plural = '' if total == 1 else 's'
    return f'{total} program{plural} started' + (f' ({listed})' if listed else '')
