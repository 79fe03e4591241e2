# SPDX-License-Identifier: Apache-2.0
"""The rows of the table, what is asked of each, and whether that is met: pure functions."""

from collections.abc import Mapping, Sequence
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
    Row('many', '16 volumes of one target at once, attach', 'many', 4, 0.15),
    Row('crowd', 'attach with 256 unrelated disks', 'crowd', None, 1.2, EASIER),
    Row('fc-attach-1', 'Fibre Channel: attach, 1 path', 'fc', 0, 0.4),
    Row('fc-detach-1', 'Fibre Channel: detach, 1 path', 'fc', 0, 0.4),
    Row('fc-extend-1', 'Fibre Channel: extend, 1 path', 'fc', 0),
    Row('fc-attach-mp', 'Fibre Channel: attach, 2x2 ports, multipath', 'fc-several', 1, 0.4),
    Row('fc-detach-mp', 'Fibre Channel: detach, 2x2 ports, multipath', 'fc-several', 1, 0.4),
    Row('fc-extend-mp', 'Fibre Channel: extend, 2x2 ports, multipath', 'fc-several', 1),
    Row('nvme-attach', 'NVMe/TCP: attach, 1 portal', 'nvme', 0, 0.7),
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
    Row('daemon', 'privsep daemon: start to first answer', 'processes', None, 0.6),
    Row('memory', 'resident memory of the importing process', 'processes', None, 0.7, unit='MiB'),
    Row('import', 'import of the connectors, over the libraries', 'processes', most=0.06),
)
# What a row is compared with if that is neither the reference nor ours on a healthy network.
_BESIDE = {
    'crowd': 'of ours on an empty host',
    'nvme-over-floor': 'of the bare write',
    'lvm-over-raw': 'of lvs',
    'crypt-over-raw': 'of cryptsetup open',
    'rbd-in-over-raw': 'of rbd import',
    'rbd-out-over-raw': 'of rbd export',
}
NAMES = tuple(row.name for row in ROWS)


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """The medians of one side of one row."""

    value: float
    starts: int | None
    rounds: int
    at_least: bool
    programs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A row with its figures."""

    row: Row
    cells: Mapping[str, Cell]
    problem: str = ''

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
            words.append(f'<= {row.most} {row.unit}')
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
        value=statistics.median(sample.value for sample in samples),
        starts=_count(middle) if middle else None,
        rounds=len(samples),
        at_least=any(sample.at_least for sample in samples),
        programs=(middle.programs or ()) if middle else (),
    )


def _count(sample: Sample) -> int | None:
    return None if sample.programs is None else len(sample.programs)
