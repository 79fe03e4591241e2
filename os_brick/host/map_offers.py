# SPDX-License-Identifier: Apache-2.0
"""Disks offered to multipathd, and what is done where it takes one and makes no map of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import wait
from os_brick.host import multipathd, udev_database
from os_brick.model import vpd
from os_brick.privileged import wwids

LOG = logging.getLogger(__name__)

# multipathd hears of a disk by udev's event, which comes up to seconds after udev has written down
# what multipathd needs of the disk. It takes the disk from then on, so it is told then. Where that
# cannot be seen it is told now and then, of one disk after the other until there is a map: a path
# that udev has not come to is refused, and taken when it has.
FIRST_SECONDS = 0.5
# Where udev's entries can be seen, a disk without one is left to it for so long: multipathd refuses
# a disk that it was offered too early also later, until udev's event comes (multipath-tools 0.11).
FIRST_BLIND_SECONDS = 1.5
# Once there is a map udev has had its time; whatever is missing is offered sooner.
FIRST_LATE_SECONDS = 0.3
_GROWTH = 2.0
# multipathd believes udev's entry for a disk that it is told of. While that is the entry of the
# disk which had the name before, it would put this one into another volume's map, and write to it.
_WAITS = 'not asked yet: udev has not come to'
# What multipathd answers where it cannot do what is asked (multipath-tools, uxlsnr.c).
REFUSAL = 'fail'
# What it answers where it will do it, or has not had its own lock in time (uxsock_timeout).
_BUSY = ('ok', 'timeout')


class NotClaimed(exception.BrickException):
    """multipathd refuses to make a map of the disks: a blacklist, or they are in use."""

    message = 'multipathd makes no map of %(disks)s: %(why)s'


class Offers:
    """Disks offered to multipathd again and again, at growing distances."""

    def __init__(
        self,
        first: float,
        wwid: str,
        deadline: wait.Deadline,
        identity: vpd.UnitIdentity | None = None,
    ) -> None:
        """Offer first after so many seconds; sooner where udev has the WWID of a disk.

        :param deadline: when the last answer is waited for; each has a limit of its own.
        :param identity: that of the volume, by which an entry of another one is known as such.
        """
        self._wwid = wwid
        self._deadline = deadline
        self._identity = identity
        self._made: set[str] = set()
        self._turn = 0
        self._taken = ''
        self._mapped = ''
        self._pause = max(first, FIRST_BLIND_SECONDS) if udev_database.is_visible() else first
        self._next = wait.Deadline.after(self._pause)
        self.answer = ''

    @property
    def are_taken(self) -> bool:
        """Whether multipathd wants the disks, but has not come to them."""
        return self.answer in _BUSY or self.answer.startswith(_WAITS)

    @property
    def is_refused(self) -> bool:
        """Whether multipathd cannot do what it was asked last."""
        return self.answer.startswith(REFUSAL)

    def make(self, disks: Collection[str], *, one: bool = False) -> bool:
        """Offer disks that udev has come to, or others once more; return whether it has to any.

        :param one: offer of the others one at a time, in turn.
        """
        is_new = self.make_known(disks)
        if not is_new:
            self.repeat(disks, one=one)
        return is_new

    def make_known(self, disks: Iterable[str]) -> bool:
        """Offer each disk once that udev has come to; return whether one was."""
        known = [
            disk
            for disk in disks
            if disk not in self._made and udev_database.wwid(disk) == self._wwid
        ]
        self._made.update(known)
        self._offer(known)
        return bool(known)

    def repeat(self, disks: Collection[str], *, one: bool = False) -> None:
        """Offer disks once more if it is time; those that have to wait for udev take no turn."""
        if not disks or not self._next.passed:
            return
        reasons = {disk: self._why_not(disk) for disk in disks}
        ready = [disk for disk, why in reasons.items() if not why]
        if not ready:
            self.answer = next(iter(reasons.values()))
            self._next = wait.Deadline.after(FIRST_SECONDS)
            return
        self._pause *= _GROWTH
        self._next = wait.Deadline.after(self._pause)
        self._offer([ready[self._turn % len(ready)]] if one else ready)
        self._turn += 1

    def _offer(self, disks: Iterable[str]) -> None:
        for disk in disks:
            if self._deadline.passed:
                return  # One that does not answer takes seconds for each of them.
            self.answer = multipathd.ask_to_add(
                disk, self._deadline.limit(multipathd.ANSWER_SECONDS)
            )
            self._taken = disk if self.answer == 'ok' else ''
            if 'blacklisted' in self.answer:
                raise NotClaimed(disks=disk, why=self.answer)

    def _why_not(self, disk: str) -> str:
        """Why multipathd is not told of a disk: it would take it for another volume's."""
        wwid = udev_database.wwid(disk)
        is_of_another = udev_database.is_of_another(disk)
        if wwid == self._wwid or not (is_of_another or self._is_contradicted_by(wwid)):
            return ''
        # Without the disk's sequence an entry that contradicts is most likely an old one, too.
        waits = is_of_another is not False
        return f'{_WAITS} {disk}' if waits else f'{REFUSAL}: udev has {wwid} for {disk}'

    def _is_contradicted_by(self, wwid: str) -> bool:
        if self._identity is not None:
            return self._identity.contradicts(wwid)
        return vpd.is_registered(wwid) and vpd.is_registered(self._wwid)  # They differ.

    def insist(self, identity: vpd.UnitIdentity) -> bool:
        """Ask for the map where multipathd has taken a disk and made none; return whether it did.

        That is its answer (multipath-tools 0.11, ``ev_add_path``) with ``find_multipaths strict``,
        or ``yes`` and one disk, unless the WWID is in the file that *it* reads: in a container that
        can be another than ours. A map that it is asked for needs no entry (``coalesce_paths``).
        """
        disk, self._taken = self._taken, ''
        wwid = multipathd.wwid_of(disk) if disk else ''
        if not wwid:
            return False
        if identity.contradicts(wwid):
            multipathd.ask_to_forget(disk)  # It may have put it into that one's map.
            self.answer = f'{REFUSAL}: it takes {disk} for {wwid}'
            return True
        answer = multipathd.ask_for_map(wwid)
        self._mapped = wwid if answer == 'ok' else ''
        self.answer = answer if self._mapped else f'{answer}: it has {disk}, and maps no {wwid}'
        return True

    def tell_of_another_file(self) -> None:
        """Warn if multipathd made the map only when it was asked for it."""
        if self._mapped:
            LOG.warning(
                'multipathd made the map of WWID %s only when it was asked for it: %s of this '
                'process is not the file that it reads. In a container mount /etc/multipath of '
                'where multipathd runs; without it the WWID stays in its file after the detach',
                self._mapped,
                wwids.FILE,
            )
