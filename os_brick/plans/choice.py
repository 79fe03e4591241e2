# SPDX-License-Identifier: Apache-2.0
"""Which of the devices found on this host are a SCSI volume's: facts to facts, no I/O.

``host/survey`` looks at the host once and makes a :class:`Found`; :func:`choose` tells the volume's
own devices from those of others; ``plans/removal`` makes the steps of it.

The rule: a path on which the caller's properties lead is the volume's unless its identity
contradicts what the caller expects. Anywhere else only an identity makes a disk the volume's: the
one that the caller passes, or that of a disk on a path of the properties. The name of a device that
the caller has kept is a hint. It decides between disks on the volume's own paths, and never leads
to another one: ``sdc`` and ``dm-4`` are given to the next device.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
import dataclasses
import itertools

from os_brick.model import vpd

ANOTHER, SAME = vpd.Match.ANOTHER, vpd.Match.SAME


@dataclasses.dataclass(frozen=True, slots=True)
class FoundDisk:
    """A SCSI disk as it was looked at.

    :ivar number: the kernel's number of it (the inode of its device in sysfs), which no other one
        gets; its name and address may be another one's tomorrow.
    :ivar identity: what the kernel knows of it since its first scan or last rescan.
    :ivar is_named: whether it is on a path that the caller's properties name.
    :ivar maps: the multipath maps above it, such as ``dm-4``.
    :ivar users: what uses it besides these, in words.
    """

    name: str
    number: int
    address: str
    identity: vpd.UnitIdentity
    is_named: bool = False
    maps: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f'/dev/{self.name} at {self.address} ({self.identity})'


@dataclasses.dataclass(frozen=True, slots=True)
class FoundMap:
    """A multipath map as it was looked at.

    :ivar disks: the disks below it that exist.
    :ivar users: what uses it, in words.
    """

    name: str
    wwid: str
    disks: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f'/dev/{self.name} (multipath map of {self.wwid})'


@dataclasses.dataclass(frozen=True, slots=True)
class FoundLink:
    """A link of ours, for an encrypted volume.

    :ivar device: the name of the device that it was made for; empty if there is none.
    """

    path: str
    device: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What there is on this host where a volume may be.

    :ivar disks: those on the paths of the properties, and others that may be the volume.
    :ivar kept: the names of the devices that the caller's path, or name of a map, leads to now.
    """

    disks: tuple[FoundDisk, ...] = ()
    maps: tuple[FoundMap, ...] = ()
    links: tuple[FoundLink, ...] = ()
    kept: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Which volume is meant.

    :ivar what: its paths, in words.
    :ivar wwid: the identity that the caller passes, in whatever spelling.
    :ivar noted: what an attach has noted of its identity. It can only forbid: of what it says no
        device becomes the volume's.
    :ivar link: the link of ours that the caller passes.
    :ivar may_have_link: whether there may be a link of ours to it.
    """

    what: str
    wwid: str = ''
    link: str = ''
    may_have_link: bool = False
    noted: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What of the found devices is the volume's.

    :ivar disks: its own.
    :ivar others: disks on its paths that are another volume.
    :ivar maps: its own maps, which go with it.
    :ivar foreign: other volumes' maps above its disks, which lose these.
    :ivar unclear: why the volume's devices cannot be told from those of others, or nothing.
    :ivar kept: the names of the devices that the caller's path leads to now.
    :ivar believed: the identity that the caller passes.
    """

    disks: tuple[FoundDisk, ...] = ()
    others: tuple[FoundDisk, ...] = ()
    maps: tuple[FoundMap, ...] = ()
    foreign: tuple[FoundMap, ...] = ()
    unclear: str = ''
    kept: tuple[str, ...] = ()
    believed: str = dataclasses.field(default='', compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its disks."""
        return tuple(disk.name for disk in self.disks)

    @property
    def wwids(self) -> tuple[str, ...]:
        """The WWIDs by which multipath may know the volume.

        Disks that are about to go, for a detach that was ended, report none any more.
        """
        known = [each.wwid for each in (*self.maps, *self.foreign)]
        known += [disk.identity.wwid for disk in self.disks if disk.identity.wwid][:1]
        return tuple(dict.fromkeys(known or [self.believed] * bool(self.believed)))


def own_by_path(found: Found, wanted: Wanted) -> tuple[tuple[FoundDisk, ...], str]:
    """The volume's disks on the paths of the properties, and why they are unclear, if they are."""
    named = tuple(disk for disk in found.disks if disk.is_named)
    if wanted.wwid:
        matches = {disk: disk.identity.compare_wwid(wanted.wwid) for disk in named}
        if any(match is not vpd.Match.UNKNOWN for match in matches.values()):
            return _own_by_wwid(matches, found.maps, wanted.wwid.lower()), ''
    return _own_by_agreement(named, found.kept)


def _own_by_agreement(
    named: tuple[FoundDisk, ...], kept: Collection[str]
) -> tuple[tuple[FoundDisk, ...], str]:
    """All disks if none contradicts another; else those that agree with one that was used."""
    pairs = itertools.product(named, named)
    if not any(one.identity.is_another(two.identity) for one, two in pairs):
        return named, ''
    used = [disk for disk in named if is_kept(disk, kept)]
    if not used:
        return (), f'its paths lead to different volumes: {", ".join(map(str, named))}'
    return tuple(d for d in named if not d.identity.is_another(used[0].identity)), ''


def _own_by_wwid(
    matches: Mapping[FoundDisk, vpd.Match], maps: Iterable[FoundMap], wwid: str
) -> tuple[FoundDisk, ...]:
    """The disks that may be the volume, or are below its map.

    :param matches: disks, and how their identity compares with the volume's.
    """
    its = {each.name for each in maps if each.wwid.lower() == wwid}
    certain = [disk for disk, match in matches.items() if match is SAME]
    return tuple(
        disk
        for disk, match in matches.items()
        if not its.isdisjoint(disk.maps)
        or (match is not ANOTHER and not _is_another_than_any(disk, certain))
    )


def is_kept(disk: FoundDisk, kept: Collection[str]) -> bool:
    """Whether a disk, or a map above it, is what the caller has kept."""
    return not {disk.name, *disk.maps}.isdisjoint(kept)


def _is_another_than_any(disk: FoundDisk, others: Iterable[FoundDisk]) -> bool:
    return any(disk.identity.is_another(each.identity) for each in others)


def is_same(disk: FoundDisk, own: Sequence[FoundDisk], wanted: Wanted) -> bool:
    """Whether a disk that is on none of the paths of the properties is certainly the volume."""
    if wanted.wwid and disk.identity.compare_wwid(wanted.wwid) is SAME:
        return True
    return any(each.identity.compare(disk.identity) is SAME for each in own)


def choose(found: Found, wanted: Wanted) -> Choice:
    """Tell the volume's own devices from those of others; see the rule at the top."""
    own, unclear = own_by_path(found, wanted)
    unclear = unclear or _moved(own, found, wanted)
    if unclear:
        return Choice(unclear=unclear)
    others = tuple(disk for disk in found.disks if disk.is_named and disk not in own)
    core = (*own, *(d for d in found.disks if not d.is_named and is_same(d, own, wanted)))
    its = _maps_of(core, found, wanted)
    disks = tuple(dict.fromkeys([*core, *_members(found, {*core, *others}, its, core, wanted)]))
    maps, foreign = _going(its, disks)
    choice = Choice(disks, others, maps, foreign, kept=found.kept, believed=wanted.wwid)
    if disks or maps or others:
        return choice
    return dataclasses.replace(choice, unclear=_unclear_hint(found, wanted))


def _moved(own: Sequence[FoundDisk], found: Found, wanted: Wanted) -> str:
    """Why disks on the volume's paths are not the volume that was attached, if they are not.

    The caller passes no identity, and the array may have given the LUN to another volume since. A
    disk that is still below the map of the volume that was attached is that one's, stale.
    """
    if wanted.wwid or not wanted.noted:
        return ''
    its = {each.name for each in found.maps if each.wwid.lower() == wanted.noted.lower()}
    moved = [disk for disk in own if its.isdisjoint(disk.maps)]
    another = [disk for disk in moved if disk.identity.compare_wwid(wanted.noted) is ANOTHER]
    if not another:
        return ''
    devices = ', '.join(map(str, another))
    return (
        f'it was {wanted.noted} when it was attached, and {devices} is another volume. '
        'Pass the scsi_wwn of the one that is meant'
    )


def _maps_of(disks: Sequence[FoundDisk], found: Found, wanted: Wanted) -> list[FoundMap]:
    """The maps above disks of the volume, and its own that have lost all disks."""
    over = {name for disk in disks for name in disk.maps}
    return [each for each in found.maps if each.name in over or _is_bare(each, disks, wanted)]


def _going(
    maps: Iterable[FoundMap], disks: Iterable[FoundDisk]
) -> tuple[tuple[FoundMap, ...], tuple[FoundMap, ...]]:
    """The maps that go with their disks, and those that lose only some."""
    names = {disk.name for disk in disks}
    own = tuple(each for each in maps if set(each.disks) <= names)
    return own, tuple(each for each in maps if each not in own)


def _members(
    found: Found,
    known: Collection[FoundDisk],
    maps: Iterable[FoundMap],
    own: Sequence[FoundDisk],
    wanted: Wanted,
) -> list[FoundDisk]:
    """Disks besides the known ones that go with the map above them."""
    below = {name: each for each in maps for name in each.disks}
    rest = [disk for disk in found.disks if disk not in known and disk.name in below]
    return [disk for disk in rest if _belongs(disk, below[disk.name], own, wanted)]


def _is_bare(each: FoundMap, own: Sequence[FoundDisk], wanted: Wanted) -> bool:
    """Whether a map has lost all its disks, and is the volume's by its WWID."""
    if each.disks:
        return False
    by_identity = any(disk.identity.compare_wwid(each.wwid) is SAME for disk in own)
    return by_identity or (bool(wanted.wwid) and wanted.wwid.lower() == each.wwid.lower())


def _belongs(disk: FoundDisk, above: FoundMap, own: Sequence[FoundDisk], wanted: Wanted) -> bool:
    """Whether a disk goes with the map above it, whatever path it is on."""
    is_volumes = not any(each.identity.contradicts(above.wwid) for each in own)
    if is_volumes or wanted.wwid.lower() == above.wwid.lower():
        return True
    return not any(each.identity.is_another(disk.identity) for each in own)


def _unclear_hint(found: Found, wanted: Wanted) -> str:
    """Why a device that the caller has kept may be the volume, though nothing proves it."""
    if wanted.wwid and vpd.is_registered(wanted.wwid.lower()):
        return ''  # An identity, and no device has it: the volume is not here.
    bare = [each for each in found.maps if each.name in found.kept and not each.disks]
    near = [
        disk
        for disk in found.disks
        if is_kept(disk, found.kept) and disk.identity.compare_wwid(wanted.wwid) is not ANOTHER
    ]
    devices = ', '.join(map(str, (*bare, *near)))
    if not devices:
        return ''
    return (
        f'there is no disk on its paths, and nothing but the name that the caller has kept tells '
        f'whether {devices} is the volume. Pass its scsi_wwn'
    )
