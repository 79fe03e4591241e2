# SPDX-License-Identifier: Apache-2.0
"""Device-mapper devices: multipath maps among them, told by their UUID and by nothing else."""

from __future__ import annotations

from collections.abc import Iterable
import dataclasses
import errno
import re

from os_brick.core import facts, files
from os_brick.host import block
from os_brick.model import dm_status
from os_brick.privileged import dm as root

_MULTIPATH = 'mpath-'
# kpartx gives the partitions of a map such UUIDs; multipathd removes them with the map.
_PARTITION = re.compile(r'part\d+-mpath-')


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """What the kernel reports of a map.

    :ivar open_count: how often it is open or held.
    :ivar is_suspended: whether its I/O waits for a resume.
    :ivar active_paths: how many of its paths take I/O.
    """

    open_count: int
    is_suspended: bool
    active_paths: int


def uuid(dm: str) -> str:
    """The UUID its maker gave to ``dm-N``; empty where there is none."""
    return files.read_or(f'/sys/block/{dm}/dm/uuid')


def name(dm: str) -> str:
    """The name of ``dm-N`` below ``/dev/mapper``; empty where there is none."""
    return files.read_or(f'/sys/block/{dm}/dm/name')


def is_suspended(dm: str) -> bool | None:
    """Whether the I/O of ``dm-N`` waits for a resume; ``None`` where that does not show."""
    return {'0': False, '1': True}.get(files.read_or(f'/sys/block/{dm}/dm/suspended'))


def wwid(dm: str) -> str:
    """The WWID of a multipath map; empty for everything else."""
    found = uuid(dm)
    return found.removeprefix(_MULTIPATH) if found.startswith(_MULTIPATH) else ''


def uuid_of(wwid: str) -> str:
    """The UUID of the multipath map of a WWID."""
    return f'{_MULTIPATH}{wwid}'


def multipaths_over(disks: Iterable[str]) -> list[str]:
    """The multipath maps that hold the disks, none twice.

    Other holders (an auto-activated logical volume, dm-crypt) are never taken for one.
    """
    holders = dict.fromkeys(holder for disk in disks for holder in block.holders(disk))
    return [holder for holder in holders if wwid(holder)]


def multipath_over(disks: Iterable[str]) -> str | None:
    """The multipath map that holds one of the disks, or ``None``."""
    return next(iter(multipaths_over(disks)), None)


def multipath_of(wanted: str) -> str | None:
    """The multipath map of a WWID, with disks below it or without, or ``None``."""
    if not wanted:
        return None
    # udev's link, if there is one and it is right; a container may have none.
    linked = _linked(f'/dev/disk/by-id/dm-uuid-{uuid_of(wanted)}')
    if linked.startswith('dm-') and wwid(linked) == wanted:
        return linked
    uuids = _uuids.all()
    return next((each for each in uuids if uuids[each] == uuid_of(wanted)), None)


def _linked(path: str) -> str:
    """The name of the device that a link of udev's is to; empty if there is none."""
    try:
        return files.readlink(path).rpartition('/')[2]
    except (OSError, ValueError):
        return ''


def _uuid_of_entry(name: str) -> str | None:
    return uuid(name) if name.startswith('dm-') else None


# A UUID may be set after the device was made, once (Linux, drivers/md/dm-ioctl.c,
# ``dm_hash_rename``); from then on it stays.
_uuids = facts.Facts('/sys/block', _uuid_of_entry)


def called(text: str) -> str | None:
    """The device of a name below ``/dev/mapper``, such as ``mpatha``, or ``None``."""
    # udev's link, if there is one and it is right; a container may have none.
    linked = _linked(f'/dev/mapper/{text}')
    if linked.startswith('dm-') and name(linked) == text:
        return linked
    every = (each for each in files.names('/sys/block') if each.startswith('dm-'))
    return next((each for each in every if name(each) == text), None)


def partition_maps(dm: str) -> list[str]:
    """The maps that kpartx made of the partitions of a multipath map."""
    return list(partition_uuids(dm))


def partition_uuids(dm: str) -> dict[str, str]:
    """The maps of the partitions of a multipath map, with their UUIDs."""
    found = {holder: uuid(holder) for holder in block.holders(dm)}
    return {holder: each for holder, each in found.items() if _PARTITION.match(each)}


def status(uuid: str) -> Status:
    """What the kernel reports of a multipath map, or of the map of a partition of one.

    :param uuid: the map's, which no other one has had or gets, unlike its ``dm-N``.
    :raises OSError: if there is no such map.
    """
    if not uuid:
        raise OSError(errno.ENXIO, 'There is no such map')
    opened, suspended, now = root.status(uuid)
    return Status(opened, suspended, dm_status.active_paths(now))


def queues(uuid: str) -> bool:
    """Whether the I/O of a multipath map waits while it has no path, as its table is now.

    multipathd takes that out of the table once ``no_path_retry`` has passed, if it is a number.

    :raises OSError: if there is no such map.
    """
    return 'queue_if_no_path' in table(uuid).split()


def table(uuid: str) -> str:
    """What a multipath map is made of, in the kernel's words.

    :raises OSError: if there is no such map.
    """
    return root.table(uuid)
