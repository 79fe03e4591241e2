# SPDX-License-Identifier: Apache-2.0
"""The attach of a SCSI volume: what paths that bring disks are put together to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
import contextlib
from typing import Generic, Protocol, TypeVar

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import handed, locks, observe, operation, turns, undo, wait
from os_brick.host import disks as host_disks
from os_brick.host import dm, map_offers, multipath, scsi, volume
from os_brick.paths import driver as drivers
from os_brick.paths import engine, path_set, scsi_undo
from os_brick.plans import paths as plans
from os_brick.plans.attach import Verb

LOG = logging.getLogger(__name__)
P = TypeVar('P')


class HasDisks(Protocol):
    """An open path to a SCSI volume."""

    @property
    def disks(self) -> tuple[host_disks.Disk, ...]:
        """Its disks."""


OpenO = TypeVar('OpenO', bound=HasDisks)


class Driver(drivers.Driver[P, OpenO], Protocol[P, OpenO]):
    """What a SCSI transport knows besides."""

    def own_disks(
        self, opened: Sequence[OpenO], exclude: Callable[[P], None]
    ) -> list[host_disks.Disk]:
        """The disks of the volume among those of the open paths.

        :param exclude: takes a path back that leads to another volume.
        """

    def prepare(self, disks: Sequence[host_disks.Disk], deadline: wait.Deadline) -> None:
        """Wait for what disks need before they are put together, or used alone."""


class MultipathMap(Generic[OpenO]):
    """The multipath map of a volume over the disks of its paths.

    ``wwid`` and ``_map`` are written once, by the attach, before any late path is added.
    """

    def __init__(self) -> None:
        self.wwid = ''
        self._map = ''  # Its WWID: multipath.conf may have multipathd take another than ours.
        self._late: dict[scsi.Address, str] = {}  # The marks of disks that have joined it.

    def build(self, disks: list[host_disks.Disk], op: operation.Operation) -> volume.Device:
        """Have multipathd build it; return it once it takes I/O.

        :raises NotClaimed: if multipathd refuses.
        """
        with _proven(disks, disks[0].identity.wwid, op.work):
            with observe.step(Verb.BUILD_MAP, disks[0].identity.wwid):
                device = volume.open_multipath(disks, op.settings.map_ready_seconds, op.work)
            _hand_out(disks, op.undo)
        self.wwid, self._map = device.wwid, dm.wwid(device.name)
        return device

    def add(self, opened: OpenO, deadline: wait.Deadline) -> None:
        """Give a late path to the volume.

        Its disks are asked who they are once more right before multipathd is, and once they are in
        the map: since their first answer the volume's lock, and an assembly, were waited for.

        :raises VolumeIdentityMismatch: if it leads to another volume.
        :raises VolumeDeviceNotFound: if the map has gone meanwhile.
        """
        disks = list(opened.disks)
        for disk in disks:
            host_disks.require_expected(disk, self.wwid)
        with _proven(disks, self.wwid, deadline):
            found = dm.multipath_of(self._map)
            if found is None:
                raise exception.VolumeDeviceNotFound(device=f'multipath map {self._map}')
            host_disks.confirm(disks, deadline)
            left = multipath.join(found, [each.name for each in disks], deadline)
            host_disks.confirm(disks, deadline)
            # Another attach, by that path alone, may have scanned them, and fail.
            mark = handed.Mark()
            self._late.update({each.address: mark.name for each in disks})
            _set(mark, disks)
        if left:
            LOG.warning('multipathd has not taken %s into %s yet', ', '.join(left), found)

    def is_present(self, *, without: OpenO | None = None) -> bool:
        """Whether the map is still here."""
        return dm.multipath_of(self._map) is not None

    def before(self, opened: Sequence[OpenO], seconds: float) -> list[undo.Step]:
        """Remove the maps over new disks, if they have no others; they are not handed out now."""
        disks = [each.name for each in _new(opened)]
        marks = {
            self._late[each.address] for each in disks_of(opened) if each.address in self._late
        }
        discard = [undo.Step(scsi_undo.discard_maps, (disks, seconds))] if disks else []
        return [*discard, *(undo.Step(handed.drop, (mark,)) for mark in sorted(marks))]

    def after(self, opened: Sequence[OpenO]) -> list[undo.Step]:
        """Forget the WWID of the volume, if no map has it."""
        wwids = sorted({each.identity.wwid for each in _new(opened)} - {''})
        return [undo.Step(scsi_undo.forget_wwids, (wwids,))] if wwids else []


@contextlib.contextmanager
def _proven(disks: Sequence[host_disks.Disk], wwid: str, deadline: wait.Deadline) -> Iterator[None]:
    """Keep away a detach of the same volume by paths with another name, and see what it has left.

    :param wwid: the volume's.
    :raises VolumeDeviceNotFound: if a disk has been removed since it was verified.
    """
    with locks.hold_identity(wwid, deadline):
        gone = [each.name for each in disks if scsi.disk_at(each.address) != each.name]
        if gone:
            raise exception.VolumeDeviceNotFound(
                f'The disks {", ".join(gone)} were removed while the volume was attached'
            )
        yield


def _open_single(
    disk: host_disks.Disk, deadline: wait.Deadline, *steps: undo.Undo
) -> volume.Device:
    with observe.step(Verb.USE_ONE, disk):
        device = volume.open_single(disk, deadline)
    _hand_out([disk], *steps)
    return device


def _hand_out(disks: list[host_disks.Disk], *steps: undo.Undo) -> None:
    """Have no other attach take back disks that it has scanned, from now on.

    The caller holds their identity, as does what takes back (``scsi_undo.delete_new_disk``).

    :param steps: what takes back the attach itself, which then begins with this.
    """
    mark = handed.Mark()
    for each in steps:
        each.add(handed.drop, mark.name)
    _set(mark, disks)


def _set(mark: handed.Mark, disks: Sequence[host_disks.Disk]) -> None:
    mark.set({disk.name: scsi.number_of(disk.name) for disk in disks})


def _new(opened: Sequence[HasDisks]) -> list[host_disks.Disk]:
    return [each for each in disks_of(opened) if each.is_new]


def disks_of(opened: Sequence[HasDisks]) -> list[host_disks.Disk]:
    """The disks of open paths, in their order."""
    return [each for one in opened for each in one.disks]


def attach_first(
    driver: Driver[P, OpenO], paths: Sequence[P], op: operation.Operation
) -> volume.Device:
    """Use the first path that leads to a readable disk.

    :raises BrickException: if none does.
    """

    def use(opened: OpenO, deadline: wait.Deadline, alone: undo.Undo) -> volume.Device:
        driver.prepare(opened.disks, deadline)
        with _proven(opened.disks, opened.disks[0].identity.wwid, op.work):
            return _open_single(opened.disks[0], op.work, alone, op.undo)

    assembly: MultipathMap[OpenO] = MultipathMap()
    return engine.open_first(driver, assembly, paths, op, use)


def attach_all(
    driver: Driver[P, OpenO], paths: Sequence[P], policy: plans.Policy, op: operation.Operation
) -> volume.Device:
    """Use all paths through a multipath map, which the missing ones join later.

    One disk where multipathd refuses to make a map.
    """
    assembly: MultipathMap[OpenO] = MultipathMap()
    turn = turns.Turn(turns.of_udev())
    paths_open = path_set.PathSet(driver, assembly, paths, policy, op, turn=turn)
    disks = driver.own_disks(paths_open.open(), paths_open.exclude)
    host_disks.require_same_volume(disks)
    driver.prepare(disks, op.work)
    try:
        device = assembly.build(disks, op)
    except map_offers.NotClaimed as error:
        LOG.warning('One path is used: %s', error)
        paths_open.keep()
        with _proven(disks[:1], disks[0].identity.wwid, op.work):
            return _open_single(disks[0], op.work, op.undo)
    paths_open.add_in_background()
    return device
