# SPDX-License-Identifier: Apache-2.0
"""The rows of the table, what is asked of each, and whether that is met: pure functions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses
import statistics

OURS, REFERENCE = 'ours', 'reference'
# Not a side of its own: ours, in the easier situation that a row compares with.
EASIER = 'ours, easier'


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. ``programs``: command lines, or None where starts do not matter."""

    value: float
    programs: tuple[str, ...] | None = None
    at_least: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    :ivar act: the measurement that fills it, with other rows perhaps.
    :ivar starts: how many programs ours may start.
    :ivar ratio: what ours may take, as a share of ``beside``.
    :ivar beside: what it is compared with.
    :ivar most: what ours may take at all.
    """

    name: str
    title: str
    act: str
    starts: int | None = None
    ratio: float | None = None
    beside: str = REFERENCE
    most: float | None = None
    unit: str = 's'


def _beside_others() -> Iterator[Row]:
    """Attach, extend and detach on a crowded host, beside the same on an empty one."""
    for paths, how in (('1', '1 path'), ('2', '2 portals, multipath')):
        for act in ('attach', 'extend', 'detach'):
            title = f'{act}, {how}, beside 256 disks and 64 maps'
            yield Row(f'scale-{act}-{paths}', title, 'scale', None, 1.2, EASIER)


# How the same volumes are attached together, and what that is called in a row's name.
CREWS = {
    'threads': '64 threads of one service',
    'processes': '8 processes of 8 threads',
    'root': '64 threads of one process that is root',
}


def _together() -> Iterator[Row]:
    """64 volumes on four targets at once: seconds a volume that was attached or detached."""
    for crew, who in CREWS.items():
        for act in ('attach', 'detach'):
            yield Row(f'many-{crew}-{act}', f'64 volumes, {who}: {act} of one', 'many', None, 0.1)
    yield Row('many-failures', '64 volumes: failures and leftovers', 'many', most=0, unit='')
    yield Row(
        'many-memory', '64 volumes: memory of service and daemon', 'many', None, 1.0, unit='MiB'
    )
    # A thread a caller and one for each of its paths; the daemon has 64, and one that reads.
    yield Row(
        'many-service-threads', '64 volumes: threads of the service', 'many', most=200, unit=''
    )
    yield Row('many-daemon-threads', '64 volumes: threads of the daemon', 'many', most=70, unit='')
    title = '48 volumes, a fourth target black-holed: {}'
    for act in ('attach', 'detach'):
        yield Row(f'many-hole-{act}', title.format(act), 'many-hole', None, 1.2, EASIER)


ROWS = (
    Row('floor', 'floor: iscsiadm new + login, scan of one LUN', 'floor'),
    Row('attach-1', 'attach, new session', 'one', 4, 0.4),
    Row('detach-1', 'detach, last LUN', 'one', 3, 0.5),
    Row('attach-stays', 'attach, session stays', 'stays', 0, 0.2),
    Row('detach-stays', 'detach, session stays', 'stays', 0, 0.2),
    Row('attach-4', 'attach, 4 portals, multipath', 'four', 12, 0.35),
    Row('detach-4', 'detach, 4 portals, multipath', 'four', 6, 0.5),
    Row('extend-1', 'extend, 1 path', 'one', 0, 0.2),
    Row('extend-4', 'extend, 4 paths', 'four', 1, 0.2),
    Row('hole', 'attach, 1 of 4 portals black-holed', 'hole', None, 1.5, EASIER),
    Row('sixteen', '16 volumes of one target at once, attach', 'sixteen', 4, 0.15),
    Row('fc-attach-1', 'Fibre Channel: attach, 1 path', 'fc', 0, 0.4),
    Row('fc-detach-1', 'Fibre Channel: detach, 1 path', 'fc', 0, 0.4),
    Row('fc-extend-1', 'Fibre Channel: extend, 1 path', 'fc', 0),
    Row('fc-attach-mp', 'Fibre Channel: attach, 2x2 ports, multipath', 'fc-several', 1, 0.4),
    Row('fc-detach-mp', 'Fibre Channel: detach, 2x2 ports, multipath', 'fc-several', 1, 0.4),
    Row('fc-extend-mp', 'Fibre Channel: extend, 2x2 ports, multipath', 'fc-several', 1),
    Row('nvme-attach', 'NVMe/TCP: attach, 1 portal', 'nvme', 0, 0.8),
    Row('nvme-over-floor', 'NVMe/TCP: attach beside the bare write', 'nvme', None, 1.3, EASIER),
    Row('nvme-detach', 'NVMe/TCP: detach', 'nvme', 0, 0.6),
    Row('nvme-extend', 'NVMe/TCP: extend, 4 KiB blocks', 'nvme-grown', 0, 0.1),
    Row(
        'nvme-hole', 'NVMe/TCP: attach, 1 of 4 portals black-holed', 'nvme-hole', None, 1.5, EASIER
    ),
    Row('nvme-properties', 'NVMe: connector properties, second call', 'nvme', 0),
    Row('lvm-list', 'LVM: list of 500 volumes', 'lvm', 1, 1.1),
    Row('lvm-over-raw', 'LVM: list of 500 volumes beside lvs', 'lvm', None, 1.2, EASIER),
    Row('crypt-attach', 'encryptor: attach of a LUKS volume', 'crypt', 3, 1.05),
    Row('crypt-over-raw', 'encryptor: attach beside cryptsetup', 'crypt', None, 1.1, EASIER),
    # mount, and mount.nfs, which it starts.
    Row('nfs-mount', 'NFS 4.2: attach, share not mounted', 'nfs', 2, 1.0),
    # 7.1.1 does not look whether the share answers, or the file is one.
    Row('nfs-mounted', 'NFS 4.2: attach, share mounted', 'nfs', 0, most=0.1),
    Row('rbd-in', 'RBD: 256 MiB into an image', 'rbd', None, 0.7),
    Row('rbd-in-over-raw', 'RBD: into an image beside rbd import', 'rbd', None, 1.0, EASIER),
    Row('rbd-out', 'RBD: 256 MiB out of an image, by 64 KiB', 'rbd', None, 0.7),
    Row('rbd-out-4m', 'RBD: 256 MiB out of an image, by 4 MiB', 'rbd', None, 0.7),
    Row('rbd-out-over-raw', 'RBD: out of an image beside rbd export', 'rbd', None, 1.0, EASIER),
    *_beside_others(),
    Row('map-4', 'last login to a readable map, 4 paths', 'map-4', None, 1.0, EASIER),
    Row('map-8', 'last login to a readable map, 8 paths', 'map-8', None, 1.0, EASIER),
    *_together(),
    Row('cold', 'cold start: import, daemon, first answer', 'processes', None, 0.5),
    Row('daemon', 'privsep daemon: start to first answer', 'processes', None, 0.6),
    Row('memory', 'resident memory of the importing process', 'processes', None, 0.7, unit='MiB'),
    Row('import', 'import of the connectors, over the libraries', 'processes', most=0.06),
)
# What a row is compared with if that is neither the reference nor ours on a healthy network.
_BESIDE = {
    'nvme-over-floor': 'of the bare write',
    'lvm-over-raw': 'of lvs',
    'crypt-over-raw': 'of cryptsetup open',
    'rbd-in-over-raw': 'of rbd import',
    'rbd-out-over-raw': 'of rbd export',
    **{row.name: 'of an empty host' for row in ROWS if row.act == 'scale'},
    **dict.fromkeys(('map-4', 'map-8'), 'of iscsiadm and multipathd by hand'),
    **{row.name: 'of 48 alone' for row in ROWS if row.act == 'many-hole'},
}
NAMES = tuple(row.name for row in ROWS)
# Several rows by one name.
GROUPS = {
    'scale': tuple(row.name for row in ROWS if row.act == 'scale'),
    'many': tuple(row.name for row in ROWS if row.act in {'many', 'many-hole'}),
    'map': ('map-4', 'map-8'),
}
_ALL = 99
# Seconds of an act in the emulated guest: once, and for each round of both sides; and how many
# rounds there are at most.
ESTIMATES: Mapping[str, tuple[float, float, int]] = {
    'floor': (5, 3, _ALL),
    'one': (25, 25, _ALL),
    'stays': (25, 25, _ALL),
    'four': (25, 30, _ALL),
    'hole': (20, 15, _ALL),
    'sixteen': (20, 80, 2),
    'fc': (25, 12, _ALL),
    'fc-several': (25, 75, _ALL),
    'nvme': (10, 5, _ALL),
    'nvme-grown': (5, 15, 2),
    'nvme-hole': (10, 5, _ALL),
    'lvm': (15, 2, _ALL),
    'crypt': (30, 30, _ALL),
    'nfs': (15, 8, _ALL),
    'rbd': (60, 30, _ALL),
    'scale': (430, 75, 3),
    'map-4': (12, 20, _ALL),
    'map-8': (15, 35, _ALL),
    'many': (60, 1000, 1),
    'many-hole': (60, 300, 1),
    'processes': (20, 30, 3),
}


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """The names of rows, where a name may stand for several; all of them if there is none."""
    found = [row for name in names for row in GROUPS.get(name, (name,))]
    return tuple(dict.fromkeys(found)) or NAMES


def acts(names: Iterable[str]) -> list[str]:
    """What has to be measured for these rows, each once."""
    return list(dict.fromkeys(row.act for row in ROWS if row.name in set(names)))


def estimate(act: str, rounds: int) -> float:
    """The seconds that an act takes, about."""
    once, each, most = ESTIMATES[act]
    return once + each * min(rounds, most)


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """The figures of one side of one row, in the order in which they were taken.

    :ivar starts: the median number of programs, ``None`` where starts do not matter.
    :ivar programs: the command lines of the round in the middle.
    """

    values: tuple[float, ...]
    starts: int | None = None
    at_least: bool = False
    programs: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the most."""
        return min(self.values), max(self.values)


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A row with its figures."""

    row: Row
    cells: Mapping[str, Cell]
    problem: str = ''
    about: str = ''

    @property
    def ratio(self) -> float | None:
        """Ours as a share of what it is compared with; None if that did not come to its end."""
        ours, other = self.cells.get(OURS), self.cells.get(self.row.beside)
        if ours is None or other is None or other.at_least or not other.value:
            return None
        return ours.value / other.value

    @property
    def bar(self) -> str:
        """What is asked, in words; empty if nothing is."""
        row = self.row
        words = [] if row.starts is None else [f'starts <= {row.starts}']
        if row.ratio is not None:
            whose = _BESIDE.get(row.name, 'of ours healthy')
            words.append(f'<= {row.ratio} {whose if row.beside == EASIER else ""}'.strip())
        if row.most is not None:
            words.append(f'<= {row.most} {row.unit}'.rstrip())
        return ', '.join(words)

    @property
    def met(self) -> bool | None:
        """Whether all that is asked is met; None if nothing is, or it could not be measured."""
        ours = self.cells.get(OURS)
        if not self.bar:
            return None
        if self.problem or ours is None:
            return False
        row = self.row
        if row.starts is not None and (ours.starts is None or ours.starts > row.starts):
            return False
        if row.most is not None and ours.value > row.most:
            return False
        if row.ratio is None:
            return True
        return None if self.ratio is None else self.ratio <= row.ratio


def cell(samples: Sequence[Sample]) -> Cell:
    """The median of each figure; the programs are those of the sample in the middle."""
    counted = sorted((s for s in samples if s.programs is not None), key=lambda s: _count(s) or 0)
    middle = counted[len(counted) // 2] if counted else None
    return Cell(
        values=tuple(sample.value for sample in samples),
        starts=_count(middle) if middle else None,
        at_least=any(sample.at_least for sample in samples),
        programs=(middle.programs or ()) if middle else (),
    )


def _count(sample: Sample) -> int | None:
    return None if sample.programs is None else len(sample.programs)
