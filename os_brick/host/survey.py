# SPDX-License-Identifier: Apache-2.0
"""One look at what there is of a SCSI volume on this host, for :mod:`os_brick.plans.choice`.

Each disk is read once: its number, what the kernel knows of its identity, the maps above it, its
users. Nothing here changes anything. A device is asked only where the kernel has read none of its
names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
import dataclasses

from oslo_log import log as logging

from os_brick import exception
from os_brick.host import block, dm, inquiry, links, scsi
from os_brick.model import vpd
from os_brick.plans import choice as plans

LOG = logging.getLogger(__name__)

# How long a disk may take to report its identity; a live one needs milliseconds.
_ASK_SECONDS = 3.0


def _never(_place: scsi.Address) -> bool:
    return False


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """Where a volume may be.

    :ivar named: the addresses on the paths of the caller's properties.
    :ivar elsewhere: other addresses, at which only an identity makes a disk the volume's.
    :ivar is_likely: whether it may have been attached at one of those by the same properties.
    """

    named: tuple[scsi.Address, ...]
    elsewhere: tuple[scsi.Address, ...] = ()
    is_likely: Callable[[scsi.Address], bool] = _never


def volume(
    places: Places, wanted: plans.Wanted, path: str | None, *, with_users: bool
) -> plans.Found:
    """What there is of a volume: its disks wherever they are, its maps, its users.

    :param path: the device that the caller has kept.
    :param with_users: whether to look for users, for which every mount of the host is read.
    """
    named = _named(places.named, is_asked=bool(wanted.wwid))
    maps = _maps_above(named)
    kept = _kept(wanted, path)
    own, _ = plans.own_by_path(plans.Found(named, maps, kept=kept), wanted)
    others = _elsewhere(places, plans.Found(named, kept=kept), own, wanted)
    maps += _maps_above(others, maps)
    maps += _bare_maps(wanted, own, () if named else kept, maps)
    disks = _with_members((*named, *others), maps)
    found = plans.Found(disks, maps, our_links(wanted), kept)
    return _with_users(found) if with_users else found


def of_disks(names: Collection[str]) -> plans.Found:
    """What there is of a volume whose disks the caller knows by their names now."""
    named = [dataclasses.replace(_disk(name), is_named=True) for name in dict.fromkeys(names)]
    maps = _maps_above(named)
    return _with_users(plans.Found(_with_members(named, maps), maps))


def _named(places: Iterable[scsi.Address], *, is_asked: bool) -> tuple[plans.FoundDisk, ...]:
    """The disks on the paths of the properties.

    :param is_asked: whether one of which the kernel has read no name is asked for it.
    """
    disks = [disk for place in dict.fromkeys(places) if (disk := _disk_at(place))]
    named = (dataclasses.replace(disk, is_named=True) for disk in disks)
    return tuple(map(_asked, named) if is_asked else named)


def _elsewhere(
    places: Places, named: plans.Found, own: Sequence[plans.FoundDisk], wanted: plans.Wanted
) -> list[plans.FoundDisk]:
    """Disks on other paths that are, or may be, the volume.

    :param named: those on the paths of the properties, and what the caller has kept.
    """
    taken = {disk.address for disk in named.disks}
    candidates = (place for place in dict.fromkeys(places.elsewhere) if str(place) not in taken)
    if named.disks:
        # Hundreds of other volumes may be at these places. One page tells nearly all of them.
        candidates = (place for place in candidates if not _is_another_at(place, own, wanted))
    return [
        disk
        for place in candidates
        if (disk := _disk_at(place))
        if plans.is_same(disk, own, wanted)
        or (not named.disks and plans.is_kept(disk, named.kept) and places.is_likely(place))
    ]


def _is_another_at(
    place: scsi.Address, own: Sequence[plans.FoundDisk], wanted: plans.Wanted
) -> bool:
    """Whether there is nothing at an address, or certainly another volume than the one meant."""
    page = scsi.cached_names_at(place)
    if page is None:
        return not scsi.is_known(place)
    # Only between registered names: others are made with more than this page, and where one side
    # has none the serial number decides.
    if not page.registered or not all(disk.identity.registered for disk in own):
        return False
    if wanted.wwid and page.compare_wwid(wanted.wwid) is not vpd.Match.ANOTHER:
        return False
    return all(page.is_another(disk.identity) for disk in own)


def _with_members(
    disks: Sequence[plans.FoundDisk], maps: Iterable[plans.FoundMap]
) -> tuple[plans.FoundDisk, ...]:
    """The disks, and the others below the maps."""
    known = {disk.name for disk in disks}
    members = dict.fromkeys(name for each in maps for name in each.disks if name not in known)
    return (*disks, *map(_disk, members))


def our_links(wanted: plans.Wanted) -> tuple[plans.FoundLink, ...]:
    """The links of ours, with the device of each; none where the volume needs none."""
    if not wanted.may_have_link:
        return ()
    return tuple(
        plans.FoundLink(path, block.name_of(links.device_of(path)) or '') for path in links.every()
    )


def users(disks: Iterable[str], maps: Iterable[str]) -> list[str]:
    """What uses disks and maps now, besides multipath maps above the disks; in words."""
    known = block.usage()
    found = []
    for disk in disks:
        found += block.users(disk, frozenset(dm.multipaths_over([disk])), known)
    for each in maps:
        found += map_users(each, known)
    return found


def map_users(found: str, known: block.Usage | None = None) -> list[str]:
    """What uses a multipath map, in words; the maps of its partitions do not count themselves."""
    parts = dm.partition_maps(found)
    in_use = block.users(found, frozenset(parts), known)
    return in_use + [user for part in parts for user in block.users(part, known=known)]


def _disk_at(place: scsi.Address) -> plans.FoundDisk | None:
    # The number first: if the disk is replaced between the two, it fits no act of a plan.
    number, name = scsi.number_at(place), scsi.disk_at(place)
    return _read(name, number, str(place)) if name else None


def _asked(disk: plans.FoundDisk) -> plans.FoundDisk:
    """A disk of which the kernel has read no name, with the identity that the device reports.

    The kernel reads no pages of devices before SPC-3 and of those it is told to leave alone (Linux
    6.12, drivers/scsi/scsi.c, ``scsi_attach_vpd``).
    """
    if disk.identity.wwid or disk.identity.serial:
        return disk
    try:
        return dataclasses.replace(disk, identity=inquiry.identity(disk.name, _ASK_SECONDS))
    except (OSError, exception.BrickException) as error:
        LOG.info('Disk %s has no name here, and does not report its identity: %s', disk, error)
        return disk


def _disk(name: str) -> plans.FoundDisk:
    return _read(name, scsi.number_of(name), str(scsi.address_of(name) or ''))


def _read(name: str, number: int, address: str) -> plans.FoundDisk:
    maps = tuple(dm.multipaths_over([name]))
    return plans.FoundDisk(name, number, address, scsi.cached_identity(name), maps=maps)


def _maps_above(
    disks: Iterable[plans.FoundDisk], known: Collection[plans.FoundMap] = ()
) -> tuple[plans.FoundMap, ...]:
    return _maps((name for disk in disks for name in disk.maps), known)


def _maps(names: Iterable[str], known: Collection[plans.FoundMap]) -> tuple[plans.FoundMap, ...]:
    seen = {each.name for each in known}
    return tuple(_map(name) for name in dict.fromkeys(names) if name not in seen)


def _map(name: str) -> plans.FoundMap:
    # Disks that have gone stay in its list until multipathd knows of it.
    disks = tuple(disk for disk in block.members(name) if block.exists(disk))
    return plans.FoundMap(name, dm.wwid(name), disks)


def _kept(wanted: plans.Wanted, path: str | None) -> tuple[str, ...]:
    """The devices that what the caller has kept leads to: a path, or the name of a map."""
    found = [block.name_of(links.device_of(path)) if path else None]
    if wanted.wwid and not vpd.is_registered(wanted.wwid.lower()):
        found.append(dm.called(wanted.wwid))
    return tuple(filter(None, found))


def _bare_maps(
    wanted: plans.Wanted,
    own: Iterable[plans.FoundDisk],
    kept: Iterable[str],
    known: Collection[plans.FoundMap],
) -> tuple[plans.FoundMap, ...]:
    """Maps without disks that may be the volume's: by its WWID, or because the caller kept them."""
    has = {each.wwid for each in known}
    wwids = {wanted.wwid, *(disk.identity.wwid for disk in own)} - has
    found = [dm.multipath_of(wwid) for wwid in sorted(filter(None, wwids))]
    found += [name for name in kept if dm.wwid(name)]
    return tuple(each for each in _maps(filter(None, found), known) if not each.disks)


def _with_users(found: plans.Found) -> plans.Found:
    if not found.disks and not found.maps:
        return found
    known = block.usage()
    disks = tuple(
        dataclasses.replace(disk, users=tuple(block.users(disk.name, frozenset(disk.maps), known)))
        for disk in found.disks
    )
    maps = tuple(
        dataclasses.replace(each, users=tuple(map_users(each.name, known))) for each in found.maps
    )
    return dataclasses.replace(found, disks=disks, maps=maps)


def wwid_above(disk: str) -> str:
    """The WWID of the multipath map above a disk; empty without one."""
    found = dm.multipath_over([disk])
    return dm.wwid(found) if found else ''


def is_stale(actual: vpd.UnitIdentity, cached: vpd.UnitIdentity, above: str) -> bool:
    """Whether a disk is another volume than this host takes it for.

    :param actual: what the device itself reports now.
    :param cached: what the kernel knows of it.
    :param above: the WWID of the map above it, which keeps it whatever the disk is; may be empty.
    """
    return actual.is_another(cached) or actual.contradicts(above)


def believed_wwid(cached: vpd.UnitIdentity, above: str) -> str:
    """The volume that this host takes a disk for: its map's, where the kernel knows better."""
    return above if cached.contradicts(above) else str(cached)
