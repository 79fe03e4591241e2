# SPDX-License-Identifier: Apache-2.0
"""Who SCSI disks report to be, asked of the devices themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable
import contextlib
import dataclasses
import errno

from os_brick import exception
from os_brick.core import clock, fanout, wait
from os_brick.host import scsi
from os_brick.model import vpd
from os_brick.privileged import scsi as root

# How long one disk may take to report its identity; a healthy one needs a millisecond.
SECONDS = 10.0
# Pauses before a lost command is sent again; a lost path takes longer to come back than this.
ASK_AGAIN_SECONDS = (0.05, 0.2, None)


class NothingMapped(exception.BrickException):
    """The target answers that it has nothing at a disk's LUN any more."""

    message = 'The target has nothing at the LUN of disk %(disk)s any more (%(why)s)'


def reported_type(address: scsi.Address, timeout: float = SECONDS) -> int | None:
    """The type of the device that the target reports at an address now (SPC-4, 6.4.2).

    ``None`` if it reports none (its peripheral qualifier tells), or does not answer.
    """
    try:
        page80, page83 = root.identity_pages(str(address), timeout)
    except (OSError, exception.OperationTimedOut):
        return None
    page = page83 or page80
    return page[0] & 0x1F if page else None


def identity(disk: str, timeout: float = SECONDS) -> vpd.UnitIdentity:
    """Who a disk reports to be, asked of the device now; raises what :func:`ask` raises."""
    return ask(disk, timeout).identity


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a disk has reported of itself.

    :ivar pages: the pages 0x80 and 0x83, as they came.
    """

    address: scsi.Address
    identity: vpd.UnitIdentity
    pages: tuple[bytes, bytes]


def ask(disk: str, timeout: float = SECONDS) -> Answer:
    """What a disk reports of itself now.

    A command may be lost in transit; only the target's own answer is believed at once.

    :raises NothingMapped: if the target has nothing at its LUN any more.
    :raises OperationTimedOut: if it does not answer.
    :raises OSError: if it cannot be asked.
    """
    address = scsi.address_of(disk)
    if address is None:
        raise OSError(f'{disk} is not a SCSI disk, or has gone')
    deadline = wait.Deadline.after(timeout)
    for pause in ASK_AGAIN_SECONDS:
        try:
            pages = root.identity_pages(str(address), deadline.limit())
            return Answer(address, scsi.identity_of(disk, pages), pages)
        except OSError as error:
            if error.errno == errno.ENXIO and scsi.is_known(address):
                raise NothingMapped(disk=disk, why=str(error)) from error
            if pause is None or deadline.remaining <= pause:
                raise
        clock.sleep(pause)
    raise AssertionError('the last pause is None')


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """What disks have reported of themselves, by name.

    :ivar unmapped: those at whose LUN the target has nothing any more.
    :ivar unanswered: why the others have reported nothing.
    """

    reported: dict[str, Answer]
    unmapped: dict[str, NothingMapped]
    unanswered: dict[str, Exception]


def ask_all(disks: Iterable[str], deadline: wait.Deadline) -> Answers:
    """What disks report of themselves now; they are asked side by side."""

    def answer(disk: str) -> Answer:
        return ask(disk, deadline.limit(SECONDS))

    reported, errors = fanout.fanout(answer, disks)
    unmapped = {disk: e for disk, e in errors.items() if isinstance(e, NothingMapped)}
    return Answers(
        reported, unmapped, {disk: e for disk, e in errors.items() if disk not in unmapped}
    )


def ask_again(disks: Collection[str], deadline: wait.Deadline) -> Answers:
    """What disks report that have reported a moment ago: in one root call for all of them.

    Where one does not answer by now, it is asked by itself.
    """
    places = {disk: place for disk in disks if (place := scsi.address_of(disk))}
    every: tuple[tuple[bytes, bytes] | int, ...] = ()
    with contextlib.suppress(OSError, exception.OperationTimedOut):
        every = root.identity_pages_of(tuple(map(str, places.values())), deadline.limit(SECONDS))
    reported = {
        disk: Answer(places[disk], scsi.identity_of(disk, pages), pages)
        for disk, pages in zip(places, every, strict=False)
        if not isinstance(pages, int)
    }
    return complete(reported, disks, deadline)


def complete(
    reported: dict[str, Answer], disks: Collection[str], deadline: wait.Deadline
) -> Answers:
    """What disks report, some of which have reported; each of the others is asked by itself."""
    rest = ask_all([disk for disk in disks if disk not in reported], deadline)
    return dataclasses.replace(rest, reported=reported | rest.reported)
