# SPDX-License-Identifier: Apache-2.0
"""What of a SCSI volume is removed from this host, and in which order: facts to a plan, no I/O.

``plans/choice`` has told the volume's own devices from those of others. :func:`plan` makes the
steps, ``host/removal`` runs them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
import dataclasses
import enum
from typing import Any

from os_brick.plans.choice import Choice, FoundDisk, FoundLink, FoundMap, Wanted
from os_brick.plans.steps import Plan


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
    LOG_OUT = 'log out'
    FORGET_PATH = 'forget path'


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


Removal = Plan[Step]
_KIND = 'removal'


def numbers(disks: Iterable[FoundDisk]) -> tuple[tuple[str, int], ...]:
    """Names and numbers of disks, as steps take them."""
    return tuple((disk.name, disk.number) for disk in disks)


def plan(choice: Choice, wanted: Wanted, links: Iterable[FoundLink] = ()) -> Removal:
    """The steps that take a volume's devices away: flushed first, then from the top down."""
    steps: list[Step] = []
    if choice.unclear:
        why = (f'Detach of {wanted.what}: {choice.unclear}; nothing was removed',)
        return Plan(_KIND, wanted.what, (Step(Verb.REFUSE, notes=why),))
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
    return Plan(_KIND, wanted.what, tuple(steps))


def _take_apart(choice: Choice, wanted: Wanted, links: Iterable[FoundLink]) -> list[Step]:
    disks = numbers(choice.disks)
    maps = tuple((each.name, each.wwid) for each in (*choice.maps, *choice.foreign))
    forget = Step(Verb.FORGET_PATHS, disks=disks)
    return [
        Step(Verb.CHECK_USERS, disks=disks, maps=maps, notes=_users(choice.disks, choice.maps)),
        *([] if maps else [forget]),
        *(Step(Verb.RESUME, name, wwid) for name, wwid in maps),
        *_flushes(choice),
        *_unlinks(choice, own_links(choice, wanted, links)),
        *(Step(Verb.REMOVE_MAP, each.name, each.wwid) for each in choice.maps),
        *([forget] if maps else []),
        Step(Verb.REMOVE_DISKS, disks=disks),
        Step(Verb.WAIT_FORGOTTEN, disks=disks),
        *_forget(choice.wwids),
    ]


def _forget(wwids: Collection[str]) -> list[Step]:
    return [
        *(Step(Verb.REMOVE_LATE_MAP, wwid=wwid) for wwid in wwids),
        *(Step(Verb.FORGET_WWID, wwid=wwid) for wwid in wwids),
    ]


def _unlinks(choice: Choice, links: Collection[str]) -> list[Step]:
    """Links go while no map is open: what has one open may open it again by its link."""
    maps = choice.maps if links else ()
    checks = [Step(Verb.CHECK_OPEN, each.name, each.wwid) for each in maps]
    return [*checks, *(Step(Verb.UNLINK, path) for path in links)]


def _users(disks: Iterable[FoundDisk], maps: Iterable[FoundMap]) -> tuple[str, ...]:
    found = [user for disk in disks for user in disk.users]
    return (*found, *(user for each in maps for user in each.users))


def _flushes(choice: Choice) -> list[Step]:
    """Each map is flushed, and each disk that has no map, or may have been what was handed out.

    multipathd makes maps of single disks where it is configured so. The kernel writes back a disk's
    own cache when the last one closes it, and the map keeps it open (Linux 6.12, block/bdev.c,
    bdev_release).
    """
    members = _members(choice)
    below = {disk for disks in members.values() for disk in disks}
    lone = [disks[0] for disks in members.values() if len(disks) == 1]
    used = [disk for disk in choice.disks if disk in lone or disk.name in choice.kept]
    bare = [disk for disk in choice.disks if disk not in below and disk not in used]
    return [
        *map(_flush, used),
        *(Step(Verb.FLUSH, each.name, each.wwid, numbers(members[each])) for each in choice.maps),
        *map(_flush, bare),
    ]


def _flush(disk: FoundDisk) -> Step:
    return Step(Verb.FLUSH, disk.name, disks=numbers([disk]))


def _members(choice: Choice) -> dict[FoundMap, list[FoundDisk]]:
    """The volume's disks by its map above them; of two maps above one it is the last one's."""
    members: dict[FoundMap, list[FoundDisk]] = {each: [] for each in choice.maps}
    above = {name: each for each in choice.maps for name in each.disks}
    for disk in choice.disks:
        if disk.name in above:
            members[above[disk.name]].append(disk)
    return members


def log_out(target: str) -> Step:
    """The step after the devices have gone: sessions end behind which no other volume is."""
    return Step(Verb.LOG_OUT, target)


def forget_path(path: str) -> Step:
    """The step for a pair of ports whose disk has gone, on platforms that are told of each LUN."""
    return Step(Verb.FORGET_PATH, path)


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
    going = [each for each in above if each.disks == (disk.name,)]
    old = {disk.identity.wwid, *(each.wwid for each in above)} - {'', actual}
    steps = [Step(Verb.CHECK_USERS, disk.name, disks=disks, maps=maps, notes=_users([disk], above))]
    steps += [Step(Verb.CHECK_OPEN, each.name, each.wwid) for each in above]
    steps += [Step(Verb.REMOVE_MAP, each.name, each.wwid) for each in going]
    steps += [Step(Verb.FORGET_PATHS, disks=disks), Step(Verb.CHECK_CLAIMS, disks=disks)]
    steps += [Step(Verb.REMOVE_DISKS, disks=disks), Step(Verb.SETTLE), *_forget(sorted(old))]
    return Plan(_KIND, f'stale disk {disk.name}', tuple(steps))


def forget(wwids: Collection[str], made: Collection[str] = ()) -> Removal:
    """The steps after disks of a failed attach have gone, of which multipathd may have made maps.

    :param made: the WWIDs of maps that had none but these disks. Another map of the volume that
        has no disk now is another attach's.
    """
    late = (Step(Verb.REMOVE_LATE_MAP, wwid=wwid) for wwid in made)
    known = (Step(Verb.FORGET_WWID, wwid=wwid) for wwid in wwids)
    return Plan(_KIND, f'WWIDs {", ".join(wwids)}', (*late, *known))


def evict(disks: Sequence[FoundDisk], from_map: str) -> Removal:
    """The steps that take foreign disks out of a volume's map, and remove those that are idle."""
    pairs = numbers(disks)
    return Plan(
        _KIND,
        f'foreign disks below map {from_map}',
        (
            Step(Verb.CHECK_USERS, disks=pairs, notes=_users(disks, [])),
            Step(Verb.FORGET_PATHS, disks=pairs),
            Step(Verb.CHECK_CLAIMS, disks=pairs),
            Step(Verb.REMOVE_DISKS, disks=pairs),
        ),
    )
