# SPDX-License-Identifier: Apache-2.0
"""What of a SCSI volume is removed from this host, and in which order: facts to a plan, no I/O.

``host/survey`` looks at the host once and makes a :class:`Found`; :func:`choose` tells the volume's
own devices from those of others, :func:`plan` makes the steps, ``host/removal`` runs them.

The rule of :func:`choose`: a path on which the caller's properties lead is the volume's unless its
identity contradicts what the caller expects. Anywhere else only an identity makes a disk the
volume's: the one that the caller passes, or that of a disk on a path of the properties. The name of
a device that the caller has kept is a hint. It decides between disks on the volume's own paths, and
never leads to another one: ``sdc`` and ``dm-4`` are given to the next device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import dataclasses
import enum
from typing import Any

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
    :ivar link: the link of ours that the caller passes.
    :ivar may_have_link: whether there may be a link of ours to it.
    """

    what: str
    wwid: str = ''
    link: str = ''
    may_have_link: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What of the found devices is the volume's.

    :ivar disks: its own.
    :ivar others: disks on its paths that are another volume.
    :ivar maps: its own maps, which go with it.
    :ivar foreign: other volumes' maps above its disks, which lose these.
    :ivar unclear: why the volume's devices cannot be told from those of others, or nothing.
    :ivar kept: the names of the devices that the caller's path leads to now.
    """

    disks: tuple[FoundDisk, ...] = ()
    others: tuple[FoundDisk, ...] = ()
    maps: tuple[FoundMap, ...] = ()
    foreign: tuple[FoundMap, ...] = ()
    unclear: str = ''
    kept: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its disks."""
        return tuple(disk.name for disk in self.disks)

    @property
    def wwids(self) -> tuple[str, ...]:
        """The WWIDs by which multipath may know the volume."""
        known = [each.wwid for each in (*self.maps, *self.foreign)]
        known += [disk.identity.wwid for disk in self.disks if disk.identity.wwid][:1]
        return tuple(dict.fromkeys(known))


class Verb(enum.StrEnum):
    """The steps of a removal."""

    REFUSE = 'refuse'
    CHECK_USERS = 'check users'
    FORGET_PATHS = 'forget paths'
    RESUME = 'resume'
    FLUSH = 'flush'
    UNLINK = 'unlink'
    REMOVE_MAP = 'remove map'
    CHECK_OPEN = 'check that it is not open:'
    CHECK_CLAIMS = 'check claims'
    REMOVE_DISKS = 'remove disks'
    WAIT_FORGOTTEN = 'wait until multipathd has forgotten'
    SETTLE = 'wait until multipathd is idle'
    REMOVE_LATE_MAP = 'remove late map'
    FORGET_WWID = 'forget WWID'
    TIDY_UP = 'tidy up'


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One act, with all that is needed to prove that its object is still the one that was meant.

    :ivar device: a map, a disk or a link, by its name.
    :ivar wwid: the map's.
    :ivar disks: names and numbers of disks: those to be acted on, or those below the map.
    :ivar notes: users, or reasons, in words.
    """

    verb: Verb
    device: str = ''
    wwid: str = ''
    disks: tuple[tuple[str, int], ...] = ()
    maps: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The step in plain values, without what is empty."""
        found: dict[str, Any] = {'verb': self.verb.value}
        if self.device:
            found['device'] = self.device
        if self.wwid:
            found['wwid'] = self.wwid
        if self.disks:
            found['disks'] = [{'name': name, 'number': number} for name, number in self.disks]
        if self.maps:
            found['maps'] = [{'name': name, 'wwid': wwid} for name, wwid in self.maps]
        if self.notes:
            found['notes'] = list(self.notes)
        return found

    def __str__(self) -> str:
        disks = ', '.join(name for name, _ in self.disks)
        words = [self.verb.value, self.device, f'of {self.wwid}' if self.wwid else '']
        words += [f'({disks})' if self.device and disks else disks, '; '.join(self.notes)]
        return ' '.join(filter(None, words))


@dataclasses.dataclass(frozen=True, slots=True)
class Removal:
    """The steps that take a volume away, in their order."""

    what: str
    steps: tuple[Step, ...]

    def as_dict(self) -> dict[str, Any]:
        """The plan in plain values; its form is stable."""
        return {'removal of': self.what, 'steps': [step.as_dict() for step in self.steps]}

    def __str__(self) -> str:
        return '\n'.join([f'Removal of {self.what}:', *(f'  {step}' for step in self.steps)])


def numbers(disks: Iterable[FoundDisk]) -> tuple[tuple[str, int], ...]:
    """Names and numbers of disks, as steps take them."""
    return tuple((disk.name, disk.number) for disk in disks)


def own_by_path(found: Found, wanted: Wanted) -> tuple[tuple[FoundDisk, ...], str]:
    """The volume's disks on the paths of the properties, and why they are unclear, if they are."""
    named = [disk for disk in found.disks if disk.is_named]
    matches = {disk: disk.identity.compare_wwid(wanted.wwid) for disk in named}
    maps = {each.name: each for each in found.maps}
    if wanted.wwid and any(match is not vpd.Match.UNKNOWN for match in matches.values()):
        wwids = {disk: {maps[m].wwid.lower() for m in disk.maps if m in maps} for disk in named}
        certain = [disk for disk in named if matches[disk] is SAME]
        return tuple(
            disk
            for disk in named
            if wanted.wwid.lower() in wwids[disk]
            or (matches[disk] is not ANOTHER and not _is_another_than_any(disk, certain))
        ), ''
    pairs = [(one, two) for one in named for two in named]
    if not any(one.identity.is_another(two.identity) for one, two in pairs):
        return tuple(named), ''
    used = [disk for disk in named if {disk.name, *disk.maps} & set(found.kept)]
    if not used:
        return (), f'its paths lead to different volumes: {", ".join(map(str, named))}'
    return tuple(d for d in named if not d.identity.is_another(used[0].identity)), ''


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
    if unclear:
        return Choice(unclear=unclear)
    others = tuple(disk for disk in found.disks if disk.is_named and disk not in own)
    kin = [d for d in found.disks if not d.is_named and is_same(d, own, wanted)]
    core = (*own, *kin)
    over = {name for disk in core for name in disk.maps}
    its = [each for each in found.maps if each.name in over or _is_bare(each, core, wanted)]
    below = {name: each for each in its for name in each.disks}
    members = [
        disk
        for disk in found.disks
        if disk not in core and disk not in others and disk.name in below
        if _belongs(disk, below[disk.name], core, wanted)
    ]
    disks = tuple(dict.fromkeys([*core, *members]))
    names = {disk.name for disk in disks}
    maps = tuple(each for each in its if set(each.disks) <= names)
    foreign = tuple(each for each in its if each not in maps)
    choice = Choice(disks, others, maps, foreign, kept=found.kept)
    if disks or maps or others:
        return choice
    return dataclasses.replace(choice, unclear=_unclear_hint(found, wanted))


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
        if {disk.name, *disk.maps} & set(found.kept)
        and disk.identity.compare_wwid(wanted.wwid) is not ANOTHER
    ]
    devices = ', '.join(map(str, (*bare, *near)))
    if not devices:
        return ''
    return (
        f'there is no disk on its paths, and nothing but the name that the caller has kept tells '
        f'whether {devices} is the volume. Pass its scsi_wwn'
    )


def plan(choice: Choice, wanted: Wanted, links: Iterable[FoundLink] = ()) -> Removal:
    """The steps that take a volume's devices away: flushed first, then from the top down."""
    steps: list[Step] = []
    if choice.unclear:
        why = (f'Detach of {wanted.what}: {choice.unclear}; nothing was removed',)
        return Removal(wanted.what, (Step(Verb.REFUSE, notes=why),))
    if choice.disks or choice.maps:
        steps += _take_apart(choice, wanted, links)
    else:
        steps += [Step(Verb.UNLINK, path) for path in own_links(choice, wanted, links)]
        # An earlier detach may have ended between the disks and this.
        steps += [Step(Verb.FORGET_WWID, wwid=wanted.wwid)] if wanted.wwid else []
    alone = '' if choice.disks else 'only'
    for disk in choice.others:
        notes = tuple(filter(None, (alone, wanted.wwid or wanted.what)))
        steps.append(Step(Verb.TIDY_UP, disk.name, disks=numbers([disk]), notes=notes))
    return Removal(wanted.what, tuple(steps))


def _take_apart(choice: Choice, wanted: Wanted, links: Iterable[FoundLink]) -> list[Step]:
    disks = numbers(choice.disks)
    maps = tuple((each.name, each.wwid) for each in (*choice.maps, *choice.foreign))
    users = [user for disk in choice.disks for user in disk.users]
    users += [user for each in choice.maps for user in each.users]
    steps = [Step(Verb.CHECK_USERS, disks=disks, maps=maps, notes=tuple(users))]
    if not maps:
        steps.append(Step(Verb.FORGET_PATHS, disks=disks))
    steps += [Step(Verb.RESUME, name, wwid) for name, wwid in maps]
    steps += _flushes(choice)
    steps += [Step(Verb.UNLINK, path) for path in own_links(choice, wanted, links)]
    steps += [Step(Verb.REMOVE_MAP, each.name, each.wwid) for each in choice.maps]
    if maps:
        steps.append(Step(Verb.FORGET_PATHS, disks=disks))
    steps += [Step(Verb.REMOVE_DISKS, disks=disks), Step(Verb.WAIT_FORGOTTEN, disks=disks)]
    steps += [Step(Verb.REMOVE_LATE_MAP, wwid=wwid) for wwid in choice.wwids]
    steps += [Step(Verb.FORGET_WWID, wwid=wwid) for wwid in choice.wwids]
    return steps


def _flushes(choice: Choice) -> list[Step]:
    """Each map is flushed, and each disk that has no map, or may have been what was handed out.

    multipathd makes maps of single disks where it is configured so. The kernel writes back a disk's
    own cache when the last one closes it, and the map keeps it open (Linux 6.12, block/bdev.c,
    bdev_release).
    """
    below = {name: each for each in choice.maps for name in each.disks}
    members = {
        each: [disk for disk in choice.disks if below.get(disk.name) is each]
        for each in choice.maps
    }
    lone = [disks[0] for disks in members.values() if len(disks) == 1]
    used = [disk for disk in choice.disks if disk in lone or disk.name in choice.kept]
    bare = [disk for disk in choice.disks if disk.name not in below and disk not in used]
    return [
        *(Step(Verb.FLUSH, disk.name, disks=numbers([disk])) for disk in used),
        *(Step(Verb.FLUSH, each.name, each.wwid, numbers(members[each])) for each in choice.maps),
        *(Step(Verb.FLUSH, disk.name, disks=numbers([disk])) for disk in bare),
    ]


def own_links(choice: Choice, wanted: Wanted, links: Iterable[FoundLink]) -> list[str]:
    """The links that go with a volume: those made for a device of its own.

    The one that the caller passes goes, too, if there is no device of the name that it was made
    for: it cannot be that of a volume that is attached.
    """
    own = {*choice.names, *(each.name for each in choice.maps)}
    return [
        link.path
        for link in links
        if link.device in own or (link.path == wanted.link and not link.device)
    ]


def discard(disk: FoundDisk, above: Sequence[FoundMap], actual: str) -> Removal:
    """The steps that remove a stale disk: never flushed, never while it is in use.

    What the old volume's cache holds would reach the volume that is at the LUN now.

    :param above: the maps above the disk; one that has no other disk goes with it.
    :param actual: the WWID that the device itself reports now; empty if it has none.
    """
    disks = numbers([disk])
    maps = tuple((each.name, each.wwid) for each in above)
    users = (*disk.users, *(user for each in above for user in each.users))
    going = [each for each in above if each.disks == (disk.name,)]
    old = {disk.identity.wwid, *(each.wwid for each in above)} - {'', actual}
    steps = [Step(Verb.CHECK_USERS, disk.name, disks=disks, maps=maps, notes=users)]
    steps += [Step(Verb.CHECK_OPEN, each.name, each.wwid) for each in above]
    steps += [Step(Verb.REMOVE_MAP, each.name, each.wwid) for each in going]
    steps += [Step(Verb.FORGET_PATHS, disks=disks), Step(Verb.CHECK_CLAIMS, disks=disks)]
    steps += [Step(Verb.REMOVE_DISKS, disks=disks), Step(Verb.SETTLE)]
    for wwid in sorted(old):
        steps += [Step(Verb.REMOVE_LATE_MAP, wwid=wwid), Step(Verb.FORGET_WWID, wwid=wwid)]
    return Removal(f'stale disk {disk.name}', tuple(steps))


def evict(disks: Sequence[FoundDisk], from_map: str) -> Removal:
    """The steps that take foreign disks out of a volume's map, and remove those that are idle."""
    pairs = numbers(disks)
    users = tuple(user for disk in disks for user in disk.users)
    return Removal(
        f'foreign disks below map {from_map}',
        (
            Step(Verb.CHECK_USERS, disks=pairs, notes=users),
            Step(Verb.FORGET_PATHS, disks=pairs),
            Step(Verb.CHECK_CLAIMS, disks=pairs),
            Step(Verb.REMOVE_DISKS, disks=pairs),
        ),
    )
