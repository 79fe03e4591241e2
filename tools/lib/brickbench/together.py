# SPDX-License-Identifier: Apache-2.0
"""The acts with 64 volumes on four targets, attached and detached together."""

from collections.abc import Sequence
import contextlib
from typing import Any

from brickbench import comparison, rows
from tests.functional import lab

_EACH = 16
# Threads of each point of the figures; there are at least so many volumes, one for each target.
_THREADS = (1, 4, 16, 64)
# It detaches 64 in twenty minutes and more.
_THREADS_OF_THE_REFERENCE = (1, 4, 16)
_LEAST = 4
# All of it is some 200 disks and 100 maps for each way, which take udev minutes.
_FEW = 1
_KIB = 1024
fleet = lab.fleet


@contextlib.contextmanager
def _fleet(where: comparison.Comparison) -> Any:
    """The volumes; multipathd takes every disk, which the reference needs for Fibre Channel."""
    with (
        contextlib.closing(lab.fc.Fabric()) as fabric,
        comparison.multipathd(find_multipaths='no'),
    ):
        yield fleet.Fleet(where.testbed, fabric, _EACH, 'bench').members
        fabric.reset()


def at_once(where: comparison.Comparison) -> None:
    """Attach and detach from threads and from processes, through a daemon and without one."""
    with _fleet(where) as members:
        for _ in range(min(where.rounds, _FEW)):
            for side in where.sides:
                _crews(where, side, members)


def _crews(
    where: comparison.Comparison, side: comparison.Side, members: Sequence[fleet.Member]
) -> None:
    points = _THREADS if side is where.ours or where.slow else _THREADS_OF_THE_REFERENCE
    for threads in points:
        some = members[: max(threads, _LEAST)]
        life = _Life(where, side, some, threads)
        life.run(1, daemon=True)
        life.draw()
        if threads == points[-1]:
            life.count('threads')
            life.weigh()
    if side is not where.ours and not where.slow:
        return
    for crew, processes, daemon in (('processes', 8, True), ('root', 1, False)):
        life = _Life(where, side, members)
        life.run(processes, daemon=daemon)
        life.count(crew)


class _Life:
    """Some volumes attached and detached once by one side."""

    def __init__(
        self,
        where: comparison.Comparison,
        side: comparison.Side,
        members: Sequence[fleet.Member],
        threads: int | None = None,
    ) -> None:
        self._where, self._side = where, side
        self._members, self._threads = members, threads
        self.reports: dict[str, fleet.Report] = {}
        self._left = ''

    def run(self, processes: int, *, daemon: bool) -> None:
        """Attach and detach; a side that does not end the one is not asked for the other."""
        side = self._side
        with contextlib.ExitStack() as stack:
            workers = fleet.staff(side.patient, processes, daemon=daemon)
            for worker in workers:
                stack.callback(worker.kill)
            lab.shell.settle()
            before = lab.oracle.snapshot()
            attached = fleet.attach(workers, self._members, self._threads)
            infos = [one.result for one in attached.outcomes]
            self.reports = {'attach': attached}
            lab.shell.settle()
            if attached.is_over:
                detached = fleet.detach(workers, self._members, infos, self._threads)
                self.reports['detach'] = detached
        self._tell()
        self._left = _left(before)
        if self._left:
            comparison.report(f'{side.name} leaves: {self._left}')

    def _tell(self) -> None:
        for act, report in self.reports.items():
            texts = sorted(set(report.failures))
            comparison.report(
                f'{self._side.name}: {act} of {len(self._members)}: {report.seconds:.1f} s, '
                f'{len(report.failures)} failed, at most {report.most}'
            )
            for text in texts[:4]:
                comparison.report(f'    {text[:300]}')

    def draw(self) -> None:
        """Keep the points of the figures."""
        for act, report in self.reports.items():
            series, rate = self._side.name, _done(report) / report.seconds
            self._where.point(act, series, self._threads or len(self._members), rate)

    def count(self, crew: str) -> None:
        """Keep the seconds a volume, and what failed."""
        for act, report in self.reports.items():
            done = _done(report)
            sample = rows.Sample(report.seconds / max(done, 1), at_least=not done)
            self._where.add(f'many-{crew}-{act}', self._side.name, sample)
        failed = sum(len(report.failures) for report in self.reports.values())
        left = len(self._left.splitlines())
        self._where.add('many-failures', self._side.name, rows.Sample(failed + left))

    def weigh(self) -> None:
        """Keep what memory and threads were taken at most."""
        most = {
            key: max(report.most[key] for report in self.reports.values())
            for key in ('kib', 'daemon_kib', 'threads', 'daemon_threads')
        }
        for name, value in (
            ('memory', (most['kib'] + most['daemon_kib']) / _KIB),
            ('service-threads', most['threads']),
            ('daemon-threads', most['daemon_threads']),
        ):
            self._where.add(f'many-{name}', self._side.name, rows.Sample(value))


def _done(report: fleet.Report) -> int:
    return len(report.outcomes) - len(report.failures)


def _left(before: lab.oracle.Snapshot) -> str:
    """What is there that was not before, which is taken away by force."""
    try:
        lab.oracle.assert_same(before, ignoring=('wwid',))
    except AssertionError as error:
        lab.oracle.sweep(before)
        return str(error)
    finally:
        lab.shell.settle()
    return ''


def beside_a_hole(where: comparison.Comparison) -> None:
    """Attach and detach 48 volumes alone, and while the fourth target swallows every packet.

    Its 16 volumes are attached in the same process at the same time, and before they are detached
    its portals are cut.
    """
    with _fleet(where) as members:
        well = [one for one in members if one.target != fleet.SECOND]
        for _ in range(min(where.rounds, _FEW)):
            _hole(where, well, well, rows.EASIER)
            _hole(where, members, well, rows.OURS)


def _hole(
    where: comparison.Comparison,
    members: Sequence[fleet.Member],
    well: Sequence[fleet.Member],
    column: str,
) -> None:
    life = _Life(where, where.ours, members)
    is_dead = len(members) > len(well)
    try:
        if is_dead:
            _cut()
        life.run(1, daemon=True)
    finally:
        lab.net.heal_all()
    for act, report in life.reports.items():
        taken = [
            one.seconds
            for member, one in zip(members, report.outcomes, strict=True)
            if member.target != fleet.SECOND
        ]
        where.add(f'many-hole-{act}', column, rows.Sample(max(taken)))


def _cut() -> None:
    for address in fleet.PORTALS[fleet.SECOND]:
        lab.net.cut(address)
