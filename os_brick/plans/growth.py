# SPDX-License-Identifier: Apache-2.0
"""How a SCSI volume grows on this host: facts to plans, no I/O.

The host is looked at twice, so there are two plans: :func:`read` before anything is known of the
new size, and :func:`resize` once each disk has read its capacity anew, or has failed to.
``host/scsi_growth`` looks, and runs them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
import dataclasses
import enum

from os_brick.model import vpd
from os_brick.plans import steps


@dataclasses.dataclass(frozen=True, slots=True)
class FoundDisk:
    """A disk of the volume before it grows.

    :ivar number: the kernel's number of it (the inode of its device in sysfs), which no other gets.
    :ivar identity: what the kernel knows of it.
    :ivar above: the WWID of the map above it, which keeps it whatever the disk is; may be empty.
    """

    name: str
    number: int
    identity: vpd.UnitIdentity
    above: str
    size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class FoundMap:
    """The multipath map of the volume before it grows."""

    name: str
    wwid: str
    size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A volume before it grows."""

    disks: tuple[FoundDisk, ...]
    map: FoundMap | None = None

    @property
    def what(self) -> str:
        """Its device, in words."""
        names = [self.map.name] if self.map else [disk.name for disk in self.disks]
        return ', '.join(f'/dev/{name}' for name in names)

    @property
    def size_bytes(self) -> int:
        """What its user has had so far."""
        sizes = [disk.size_bytes for disk in self.disks]
        return self.map.size_bytes if self.map else max(sizes, default=0)


class Verb(enum.StrEnum):
    """The steps of a growth."""

    READ_CAPACITY = 'read capacity'
    AGREE = 'wait until all have one size'
    REFUSE = 'refuse'
    LEAVE_OUT = 'leave out of the map'
    RESIZE = 'resize map'


@dataclasses.dataclass(frozen=True, slots=True)
class Step(steps.FieldsStep):
    """One act, with what proves that its object is still the one that was meant.

    :ivar device: a disk or a map.
    :ivar number: the disk's.
    :ivar disks: names and numbers of several disks.
    :ivar wwid: the map's, or that of the volume this host takes the disk for.
    :ivar size_bytes: what it is to have; of a refusal, what the volume has.
    """

    verb: Verb
    device: str = ''
    number: int | None = None
    disks: tuple[tuple[str, int], ...] = ()
    wwid: str = ''
    size_bytes: int | None = None


Growth = steps.Plan[Step]


def _growth(found: Found, *of: Step) -> Growth:
    return steps.Plan('growth', found.what, of)


def read(found: Found) -> Growth:
    """The steps that find out the volume's size: each disk, then all of them together."""
    each = [
        Step(Verb.READ_CAPACITY, disk.name, disk.number, wwid=disk.above or disk.identity.wwid)
        for disk in found.disks
    ]
    return _growth(found, *each, Step(Verb.AGREE))


def extend(found: Found) -> Growth:
    """The whole growth of a volume if it has become larger, and what happens if it has not."""
    last = (Step(Verb.RESIZE, found.map.name, wwid=found.map.wwid),) if found.map else ()
    could = [
        'a disk does not answer: it leaves the map, and comes back with the new size',
        'the size is still that of now: the map is left as it is',
    ]
    return steps.Plan(
        'growth',
        found.what,
        (*read(found).steps, *last),
        (f'{found.what} has {found.size_bytes} bytes',),
        (
            *(could if found.map else []),
            'the volume has become smaller, or is another one: the extend fails',
        ),
    )


def resize(found: Found, size: int, sizes: Mapping[str, int], live: Collection[str]) -> Growth:
    """The steps that give the volume's user its new size.

    multipathd gives a map its first disk's size, or refuses where one has another; so a disk that
    is dead and has another size leaves the map first. A volume that has become smaller stays as it
    is: there may be data behind its new end.

    :param size: the volume's in bytes, which the live disks report.
    :param sizes: that of each disk now.
    """
    if size < found.size_bytes:
        return _growth(found, Step(Verb.REFUSE, found.what, size_bytes=size))
    if found.map is None or found.map.size_bytes == size:
        return _growth(found)
    names = short(found, size, sizes, live)
    out = tuple((disk.name, disk.number) for disk in found.disks if disk.name in names)
    leave = [Step(Verb.LEAVE_OUT, found.map.name, disks=out)] if out else []
    last = Step(Verb.RESIZE, found.map.name, wwid=found.map.wwid, size_bytes=size)
    return _growth(found, *leave, last)


def short(found: Found, size: int, sizes: Mapping[str, int], live: Collection[str]) -> list[str]:
    """The disks that do not have the volume's size, because they are dead."""
    names = [disk.name for disk in found.disks]
    return [name for name in names if name not in live and sizes.get(name) != size]
