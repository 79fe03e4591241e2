# SPDX-License-Identifier: Apache-2.0
"""Many volumes on four targets, attached and detached together from threads and processes.

Two targets of iSCSI and a subsystem of NVMe/TCP have two portals each; two ports of Fibre Channel
show the rest, one to each of two ports of this host.
"""

from collections.abc import Sequence
import dataclasses
import itertools
import time
from typing import Any

from tests.functional.lab import bricks, fc, net
from tests.functional.lab.testbed import Testbed

Props = dict[str, Any]
FIRST, SECOND, NVME, FC = 'first', 'second', 'nvme', 'fc'
PROTOCOLS = {FIRST: 'ISCSI', SECOND: 'ISCSI', NVME: 'NVMEOF', FC: 'FIBRE_CHANNEL'}
# The portals of the second target are the ones that are cut.
PORTALS = {FIRST: net.V4[:2], SECOND: net.V4[2:4], NVME: net.V4[4:6]}
_MEBIBYTES = 16
# Of all calls together; a process that has not ended by then is not asked again.
SECONDS = 420.0
UNANSWERED = 'not ended in time'


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """One volume: the target that it is on, its store, and its connection properties."""

    target: str
    store: Any
    props: Props

    @property
    def protocol(self) -> str:
        """Which connector attaches it."""
        return PROTOCOLS[self.target]


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call.

    :ivar seconds: from the moment at which all calls began to the end of this one.
    :ivar error: the error, or nothing.
    """

    seconds: float
    result: Any
    error: str


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What calls that ran together became, in their order, and what they took at most.

    :ivar most: ``threads`` and ``kib`` of resident memory of one process, ``daemon_threads`` and
        ``daemon_kib`` of its privsep daemon, ``children`` of that daemon.
    """

    outcomes: tuple[Outcome, ...]
    most: dict[str, int]

    @property
    def seconds(self) -> float:
        """Until the last call ended."""
        return max(one.seconds for one in self.outcomes)

    @property
    def is_over(self) -> bool:
        """Whether every process has answered."""
        return all(one.error != UNANSWERED for one in self.outcomes)

    @property
    def failures(self) -> list[str]:
        """The texts of the errors."""
        return [one.error for one in self.outcomes if one.error]


class Fleet:
    """So many volumes on each target, in turns: any first four of them are on all four."""

    def __init__(self, testbed: Testbed, fabric: fc.Fabric, each: int, name: str = 'fleet') -> None:
        self._testbed, self._fabric, self._name = testbed, fabric, name
        numbers = range(1, each + 1)
        columns = [
            self._over_iscsi(FIRST, numbers),
            self._over_iscsi(SECOND, numbers),
            self._over_nvme(numbers),
            self._over_fc(numbers),
        ]
        self.members = list(itertools.chain(*zip(*columns, strict=True)))

    def _volume(self, target: str, number: int) -> Any:
        return self._testbed.volume(f'{self._name}{target}{number}', _MEBIBYTES)

    def _over_iscsi(self, target: str, numbers: Sequence[int]) -> list[Member]:
        served = self._testbed.target(f'{self._name}{target}', PORTALS[target])
        found = []
        for lun in numbers:
            volume = self._volume(target, lun)
            served.map(lun, volume)
            props = served.properties(lun, plural=True, volume_id=volume.name)
            found.append(Member(target, volume, props))
        return found

    def _over_nvme(self, numbers: Sequence[int]) -> list[Member]:
        subsystem = self._testbed.subsystem(self._name, PORTALS[NVME], 'tcp')
        found = []
        for nsid in numbers:
            store = self._testbed.store(f'{self._name}{nsid}', _MEBIBYTES)
            subsystem.map(nsid, store)
            found.append(Member(NVME, store, subsystem.properties(nsid)))
        return found

    def _over_fc(self, numbers: Sequence[int]) -> list[Member]:
        """Two paths: each port of this host sees one of the array."""
        ours, theirs = self._fabric.initiators, self._fabric.targets
        zones = {a.wwpn: [b.wwpn] for a, b in zip(ours, theirs, strict=True)}
        found = []
        for lun in numbers:
            volume = self._volume(FC, lun)
            self._fabric.map(lun, volume)
            more = {'volume_id': volume.name, 'initiator_target_map': zones}
            props = self._fabric.properties(lun, **more)
            found.append(Member(FC, volume, props))
        return found


def staff(nursery: bricks.Nursery, count: int, *, daemon: bool = True) -> list[bricks.Worker]:
    """So many processes, each with a connector of every protocol.

    :param daemon: whether root functions run in a privsep daemon, or in the process itself.
    """
    made = []
    for _ in range(count):
        worker = nursery.spawn()
        worker.root(daemon=daemon)
        for protocol in sorted(set(PROTOCOLS.values())):
            worker.make(protocol, multipath=True, daemon=False)
        made.append(worker)
    return made


def attach(
    workers: Sequence[bricks.Worker], members: Sequence[Member], threads: int | None = None
) -> Report:
    """Attach all at once, in as many threads as volumes unless told otherwise."""
    calls = [(one.protocol, 'connect_volume', [one.props]) for one in members]
    return _together(workers, calls, threads)


def detach(
    workers: Sequence[bricks.Worker],
    members: Sequence[Member],
    infos: Sequence[Any],
    threads: int | None = None,
) -> Report:
    """Detach all at once."""
    calls = [
        (one.protocol, 'disconnect_volume', [one.props, info])
        for one, info in zip(members, infos, strict=True)
    ]
    return _together(workers, calls, threads)


def _together(
    workers: Sequence[bricks.Worker],
    calls: Sequence[tuple[str, str, list[Any]]],
    threads: int | None,
) -> Report:
    """The calls in turns to the processes, all begun before one has ended."""
    shares = [calls[n :: len(workers)] for n in range(len(workers))]
    for worker, share in zip(workers, shares, strict=True):
        worker.start(do='together', calls=share, threads=threads or len(share))
    outcomes: list[Any] = [None] * len(calls)
    most = dict.fromkeys(('threads', 'kib', 'daemon_threads', 'daemon_kib', 'children'), 0)
    ends = time.monotonic() + SECONDS
    for n, (worker, share) in enumerate(zip(workers, shares, strict=True)):
        try:
            answer = worker.finish(max(1.0, ends - time.monotonic()))
        except TimeoutError:
            outcomes[n :: len(workers)] = [Outcome(SECONDS, None, UNANSWERED)] * len(share)
            continue
        outcomes[n :: len(workers)] = [Outcome(*one) for one in answer['outcomes']]
        most = {key: max(value, answer['most'].get(key, 0)) for key, value in most.items()}
    return Report(tuple(outcomes), most)
