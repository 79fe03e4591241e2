# SPDX-License-Identifier: Apache-2.0
"""The sides that are compared, the samples that are taken, and the host put back after each."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import pathlib
import sys
import time
from typing import Any

from brickbench import rows
from tests.functional import lab

Props = dict[str, Any]
CALL_SECONDS = 120.0
# With the default of 100 s the last ones of 64 volumes end by it here: udev takes 110 s for them.
PATIENT_SECONDS = 600
# Processes without a connector, for what is not attached.
LVM = 'LVM'
STREAM = 'stream'
# A process whose connector an act makes.
BARE = 'bare'
# multipathd takes just what it is told to: no map over the one disk of a single path.
MULTIPATHD = {'find_multipaths': 'strict'}


class Side:
    """Ours or the reference: a process a protocol without and with multipath, when used."""

    def __init__(self, name: str, python: str) -> None:
        self.name = name
        self.python = python
        self._nursery: lab.bricks.Nursery | None = None
        self._patient: lab.bricks.Nursery | None = None
        self._workers: dict[tuple[str, bool], lab.bricks.Worker] = {}

    @property
    def nursery(self) -> lab.bricks.Nursery:
        """What makes the processes."""
        if self._nursery is None:
            self._nursery = lab.bricks.Nursery(self.python, debug=False)
        return self._nursery

    @property
    def patient(self) -> lab.bricks.Nursery:
        """What makes processes whose operations have time enough for what the machine can do."""
        if self._patient is None:
            options = {'operation_timeout': PATIENT_SECONDS}
            self._patient = lab.bricks.Nursery(self.python, debug=False, **options)
        return self._patient

    def worker(self, *, multipath: bool, protocol: str = 'ISCSI') -> lab.bricks.Worker:
        """The process; its connector and its privsep daemon are ready."""
        kind = (protocol, multipath)
        if kind not in self._workers:
            worker = self.nursery.spawn()
            if protocol not in {LVM, STREAM, BARE}:
                worker.make(protocol, multipath=multipath)
            self._workers[kind] = worker
        return self._workers[kind]

    def forget(self) -> None:
        """Kill the processes; new ones are started when they are asked for."""
        for worker in self._workers.values():
            worker.kill()
        self._workers.clear()

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers.values():
            worker.close()
        for nursery in (self._nursery, self._patient):
            if nursery is not None:
                nursery.close()


class Comparison:
    """Where an act is played: the laboratory, both sides, and the list of samples."""

    def __init__(
        self, testbed: lab.Testbed, sides: Sequence[Side], rounds: int, *, slow: bool, verbose: bool
    ) -> None:
        self.testbed = testbed
        self.sides = tuple(sides)
        self.rounds = rounds
        self.slow = slow
        self._verbose = verbose
        self.samples: dict[tuple[str, str], list[rows.Sample]] = {}
        self.points: dict[tuple[str, str, float], list[float]] = {}
        self.on_change: Callable[[], None] = lambda: None

    @property
    def ours(self) -> Side:
        """The side that is always there."""
        return self.sides[0]

    @property
    def reference(self) -> Side | None:
        """The other one, if it is on this machine."""
        return self.sides[1] if len(self.sides) > 1 else None

    def turns(self, rounds: int | None = None) -> Iterator[Side]:
        """Ours, reference, ours, reference: what drifts on the machine meets both."""
        for _ in range(rounds or self.rounds):
            yield from self.sides

    def add(self, row: str, side: str, sample: rows.Sample) -> None:
        """Keep one measurement and report it."""
        self.samples.setdefault((row, side), []).append(sample)
        starts = '' if sample.programs is None else f', {len(sample.programs)} programs'
        report(f'{row} {side}: {"> " if sample.at_least else ""}{sample.value:.3f}{starts}')
        for program in (sample.programs or ()) if self._verbose else ():
            report(f'    {program}')
        self.on_change()

    def point(self, figure: str, series: str, across: float, value: float) -> None:
        """Keep one measurement for a figure, at this place of its horizontal axis."""
        self.points.setdefault((figure, series, across), []).append(value)
        report(f'{figure}: {series} at {across:g}: {value:.3f}')
        self.on_change()

    def call(
        self,
        row: str,
        side: Side,
        method: str,
        *args: object,
        multipath: bool = False,
        protocol: str = 'ISCSI',
    ) -> Any:
        """Call a connector's method and keep what it cost under a row (none: keep nothing).

        A detach of the reference may fail: what it cost until then is kept.
        """
        worker = side.worker(multipath=multipath, protocol=protocol)
        answer, failed = None, False
        with recorded() as programs:
            try:
                answer = worker.call(method, *args, seconds=CALL_SECONDS)
            except lab.bricks.RemoteError as error:
                if side is self.ours or method != 'disconnect_volume':
                    raise
                failed = True
                report(f'{side.name}: {method}: {error}')
        if row:
            sample = rows.Sample(worker.elapsed, tuple(programs), at_least=failed)
            self.add(row, side.name, sample)
        return answer

    @contextlib.contextmanager
    def clean(self, side: Side) -> Iterator[None]:
        """Put the host back after the block, by force where the side has not; ours must have.

        The reference always leaves the WWID in multipath's file: no one waits for that.

        :raises AssertionError: if ours left something.
        """
        lab.shell.settle()
        before = lab.oracle.snapshot()
        try:
            yield
            ignored = () if side is self.ours else ('wwid',)
            lab.oracle.assert_same(before, ignoring=ignored)
        except AssertionError as error:
            if side is self.ours:
                raise
            report(f'{side.name}: {error}')
        finally:
            if lab.oracle.difference(before, lab.oracle.snapshot()):
                lab.oracle.sweep(before)
            failed = sys.exc_info()[0] is not None
            if failed:
                side.forget()


@contextlib.contextmanager
def multipathd(**settings: str) -> Iterator[None]:
    """Other settings of multipathd (``lab.daemons.Multipath``) than those of most rows."""
    lab.daemons.configure(**(MULTIPATHD | settings))
    try:
        yield
    finally:
        lab.daemons.configure(**MULTIPATHD)


@contextlib.contextmanager
def recorded() -> Iterator[list[str]]:
    """A list that holds, after the block, the programs that we started in it."""
    lab.shell.settle()
    programs: list[str] = []
    with lab.programs.Recorder() as recorder:
        yield programs
    programs += [str(program) for program in recorder.ours()]


def report(text: str) -> None:
    """Print a line of progress, on standard error."""
    print(f'[bench {time.monotonic() - _BEGAN:6.1f} s] {text}', file=sys.stderr, flush=True)


_BEGAN = time.monotonic()
Act = Callable[[Comparison], None]


def lines(
    comparison: Comparison, problems: dict[str, str], names: Sequence[str], about: str = ''
) -> list[rows.Line]:
    """The chosen rows with what was measured."""
    found = []
    for row in rows.ROWS:
        if row.name not in names:
            continue
        cells = {
            s: rows.cell(taken)
            for (name, s), taken in comparison.samples.items()
            if name == row.name
        }
        found.append(rows.Line(row, cells, problems.get(row.act, ''), about))
    return found


def python_of(side: str, reference: str) -> str | None:
    """The interpreter of a side, if it is there."""
    if side == rows.OURS:
        return sys.executable
    return reference if pathlib.Path(reference).exists() else None
