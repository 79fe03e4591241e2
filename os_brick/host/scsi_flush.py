# SPDX-License-Identifier: Apache-2.0
"""Writing back what the cache of a disk or a map holds, into the volume that it is of.

A volume that the array has given the LUN to meanwhile would get the data. So the disks are asked
who they are, and the root function asks once more when it has the device open, right before it
flushes, and afterwards. Where each disk is what the kernel knows of it, which is nearly always,
all of that is one call of a root function (:func:`known`, :meth:`Flush.run_if_known`); where one is
not, or does not answer, the disks are looked at one by one (:func:`look`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
import dataclasses
import errno

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import teardown, wait
from os_brick.host import dm, inquiry, multipath, scsi, survey
from os_brick.privileged import scsi_known as root

LOG = logging.getLogger(__name__)
# The address of each disk, and its pages 0x80 and 0x83.
Units = tuple[tuple[str, bytes, bytes], ...]


class Remapped(exception.VolumeIdentityMismatch):
    """The array gave the LUN to another volume right before a flush, which was not done."""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """Disks before a flush.

    :ivar live: those that are still the volume their cache is of, or that do not answer.
    :ivar stale: the numbers of the others.
    :ivar answers: what the live ones that answer have reported.
    """

    live: list[str]
    stale: dict[str, int]
    answers: list[inquiry.Answer]


def known(disks: Sequence[tuple[str, int]], wwid: str) -> tuple[list[inquiry.Answer], str]:
    """The disks of a device, each with what the kernel knows of it; none if one is in question.

    :param disks: name and number of each.
    :param wwid: that of the map; empty if the device is a disk.
    :return: them, and the WWID of the map that is flushed or is above the disk; empty without one.
    """
    found, above = [], ''
    for name, number in disks:
        address, pages = scsi.address_of(name), scsi.cached_pages(name)
        identity, above = scsi.identity_of(name, pages), survey.wwid_above(name)
        is_sound = scsi.is_there(name, number) and scsi.is_running(name)
        is_own = above in ('', wwid or above) and not identity.contradicts(above or wwid)
        if address is None or not is_sound or not is_own:
            return [], ''
        found.append(inquiry.Answer(address, identity, pages))
    return found, wwid or above


def look(disks: Iterable[tuple[str, int]]) -> Seen:
    """Ask the disks below a device who they are.

    :param disks: name and number of each; those that have gone meanwhile are left out.
    """
    numbers = {name: number for name, number in disks if scsi.is_there(name, number)}
    running = list(filter(scsi.is_running, numbers))
    found = inquiry.ask_all(running, wait.Deadline.after(inquiry.SECONDS))
    others = _others(found)
    for name, why in others.items():
        LOG.warning('Disk %s (%s) is not flushed: %s', name, scsi.cached_identity(name), why)
    answers = [answer for name, answer in found.reported.items() if name not in others]
    stale = {name: numbers[name] for name in running if name in others}
    return Seen([name for name in numbers if name not in stale], stale, answers)


def _others(found: inquiry.Answers) -> dict[str, str]:
    """The disks that are another volume than their cache is of, and what they are."""
    others = {name: str(error) for name, error in found.unmapped.items()}
    for name, answer in found.reported.items():
        cached, above = scsi.cached_identity(name), survey.wwid_above(name)
        if survey.is_stale(answer.identity, cached, above) or cached.contradicts(above):
            others[name] = str(answer.identity)
    return others


@dataclasses.dataclass(frozen=True, slots=True)
class Flush:
    """The flush of one device.

    :ivar number: the kernel's number of it, read before its disks were asked.
    :ivar answers: what its disks have just reported, or what the kernel knows of them.
    :ivar above: the WWID of the map that it is, or of the one above it; empty without one.
    """

    device: str
    number: int
    answers: Sequence[inquiry.Answer]
    deadline: wait.Deadline
    is_forced: bool
    above: str = ''

    def run_if_known(self, wwid: str) -> bool:
        """Flush it if all its disks report to be what is known of them; return whether it was.

        :param wwid: that of the map; empty if it is a disk.
        :raises VolumeDeviceNotFound: if it does not take the data.
        :raises VolumeIdentityMismatch: if one of its disks has become another volume meanwhile.
        """
        if not self.answers or (wwid and dm.wwid(self.device) != wwid):
            return False
        what = f'Map {self.device}' if wwid else f'Disk {self.device} (running)'

        def flush(units: Units, limit: float) -> tuple[str, ...] | None:
            return root.flush_known(self.device, self.number, units, self.above, limit)

        return self._write_back(what, flush)

    def run_on_map(self, wwid: str) -> None:
        """Flush it if it is the map of this WWID; its ``dm-N`` may be another one's by now.

        :raises VolumeDeviceNotFound: if it has no path, or does not take the data.
        :raises VolumeIdentityMismatch: if one of its disks has become another volume.
        """
        if dm.wwid(self.device) != wwid:
            return
        try:
            has_path = dm.status(dm.uuid_of(wwid)).active_paths > 0
        except OSError as error:
            raise exception.VolumeDeviceNotFound(
                f'Map {self.device} is not flushed, because its paths cannot be read: {error}'
            ) from error
        if not has_path:
            if self.is_forced:
                multipath.stop_queueing(wwid, dm.name(self.device))
            raise exception.VolumeDeviceNotFound(
                f'Map {self.device} has no working path: what its cache may hold cannot be written'
            )
        self._write_back(f'Map {self.device}', self._flush)

    def run_on_disk(self) -> None:
        """Flush it, a single disk.

        :raises VolumeDeviceNotFound: if it does not take the data.
        :raises VolumeIdentityMismatch: if it has become another volume.
        """
        state = scsi.state(self.device)
        if self.is_forced and not scsi.is_running(self.device):
            raise exception.VolumeDeviceNotFound(f'Disk {self.device} is {state}: not flushed')
        self._write_back(f'Disk {self.device} ({state})', self._flush)

    def _flush(self, units: Units, limit: float) -> tuple[str, ...]:
        return root.flush(self.device, self.number, units, limit)

    def _write_back(
        self, what: str, flush: Callable[[Units, float], tuple[str, ...] | None]
    ) -> bool:
        limit = teardown.flush_limit(self.deadline, self.is_forced)
        units = tuple((str(each.address), *each.pages) for each in self.answers)
        try:
            others = flush(units, limit)
        except FileNotFoundError:
            # Without a node in /dev it is left to the kernel, as block.flush does.
            LOG.warning('Device %s has no node in /dev to be flushed by', self.device)
            return True
        except OSError as error:
            if error.errno == errno.ESTALE:
                raise Remapped(
                    device=f'/dev/{self.device}',
                    expected=self._was,
                    actual=f'{error}; nothing was flushed',
                ) from error
            raise exception.VolumeDeviceNotFound(f'{what} cannot be flushed: {error}') from error
        if others:
            places = ', '.join(others)
            why = f'another volume at {places}, which has come while it was flushed and may have '
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{self.device}',
                expected=self._was,
                actual=f'{why}got some of what its cache held',
            )
        return others is not None

    @property
    def _was(self) -> str:
        return str(self.answers[0].identity) if self.answers else ''
