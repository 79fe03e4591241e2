# SPDX-License-Identifier: Apache-2.0
"""Rules on disks: which volume they are, who uses them, what was built on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from os_brick.doctor import facts
from os_brick.doctor.case import Case, Values
from os_brick.model import vpd


def identity_stale(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A disk that reports to be another volume than the kernel, or its map, takes it for."""
    for name, reported in found.known_reported.items():
        disk = found.known_disks[name]
        wrong = [each for each in _above(found, disk) if reported.contradicts(each.wwid)]
        if not reported.is_another(disk.known) and not wrong:
            continue
        users = _users(found, disk)
        known = {'known': named(disk.known), 'device': ', '.join(disk.maps) or name}
        if wrong:
            known = {'known': wrong[0].wwid, 'device': wrong[0].name}
        words = _place(disk) | known | {'reported': named(reported)}
        words['users'] = ', '.join(users) or 'nothing'
        yield Case(name, words, variant='used' if users else '')


def _place(disk: facts.SeenDisk) -> dict[str, str]:
    """The words of a finding that say which disk is meant."""
    return {'disk': disk.name, 'address': disk.address, 'number': str(disk.number)}


def _above(found: facts.Facts, disk: facts.SeenDisk) -> list[facts.SeenMap]:
    return [found.known_maps[each] for each in disk.maps if each in found.known_maps]


def _users(found: facts.Facts, disk: facts.SeenDisk) -> list[str]:
    """What uses a disk or a map above it, without what is named twice."""
    texts = [*disk.users, *(text for each in _above(found, disk) for text in each.users)]
    for name in (disk.name, *disk.maps):
        texts += found.known_openers.get(name, ())
    return list(dict.fromkeys(texts))


def named(identity: vpd.UnitIdentity) -> str:
    """An identity in a word."""
    return identity.wwid or f'serial {identity.serial or "unknown"}'


def map_mixed(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A map whose disks are not all the same volume, by what they report or have reported."""
    for seen in found.known_maps.values():
        identities = {disk.name: _identity(found, disk) for disk in _members(found, seen)}
        names = list(identities)
        for name in names[1:]:
            first = names[0]
            if identities[name].is_another(identities[first]):
                words = {
                    'map': seen.name,
                    'first': first,
                    'first_identity': named(identities[first]),
                    'other': name,
                    'other_identity': named(identities[name]),
                    'number': str(found.known_disks[name].number),
                }
                yield Case(seen.name, words)
                break


def _identity(found: facts.Facts, disk: facts.SeenDisk) -> vpd.UnitIdentity:
    return found.known_reported.get(disk.name, disk.known)


def _members(found: facts.Facts, seen: facts.SeenMap) -> list[facts.SeenDisk]:
    disks = found.known_disks
    return [disks[name] for name in seen.members if name in disks]


def map_size_mixed(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A map whose disks have several sizes, or all of them another one than the map."""
    for seen in found.known_maps.values():
        sizes = {disk.name: disk.size_bytes for disk in _members(found, seen) if disk.size_bytes}
        if sizes and set(sizes.values()) != {seen.size_bytes}:
            listed = ', '.join(f'{name} {_mebibytes(size)}' for name, size in sizes.items())
            words = {'map': seen.name, 'size': _mebibytes(seen.size_bytes), 'disks': listed}
            words['wwid'] = seen.wwid
            yield Case(seen.name, words)


def _mebibytes(count: int) -> str:
    return f'{count / (1 << 20):g} MiB'


def disk_two_maps(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A disk below more than one multipath map."""
    for disk in found.known_disks.values():
        if len(disk.maps) > 1:
            yield Case(disk.name, {'disk': disk.name, 'maps': ', '.join(disk.maps)})


def lun_unmapped(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A disk at whose LUN the target has nothing any more."""
    for name, why in found.unmapped.items():
        disk = found.known_disks[name]
        users = _users(found, disk)
        words = {
            **_place(disk),
            'origin': disk.origin,
            'why': why,
            'device': ', '.join(disk.maps) or name,
            'users': ', '.join(users) or 'nothing',
        }
        yield Case(name, words, variant='used' if users or disk.maps else '')


def orphan_disk(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A disk without a map, a user and a note."""
    if found.openers is None or found.notes is None:
        return
    if any(note.is_working for note in found.notes):
        return  # An attach that goes on has disks that it has not noted yet.
    noted = _noted(found.notes)
    for disk in found.known_disks.values():
        is_used = disk.maps or disk.users or found.openers.get(disk.name)
        if not is_used and noted.isdisjoint((disk.name, disk.known.wwid.lower())):
            words = {**_place(disk), 'origin': disk.origin, 'identity': named(disk.known)}
            yield Case(disk.name, words)


def _noted(notes: Iterable[facts.SeenNote]) -> set[str]:
    """The names of devices, and the identities in small letters, that are noted."""
    names = {name for note in notes for name in note.devices}
    return names | {each.lower() for note in notes for each in note.identities}


def lvm_active_on_volume(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A logical volume that is active on the device of a volume of a fabric."""
    for each in found.volumes or ():
        words = {'dm': each.dm, 'alias': each.alias, 'device': each.device}
        yield Case(each.dm, {**words, 'number': str(each.number)})


def max_sectors_mixed(found: facts.Facts, _values: Values) -> Iterator[Case]:
    """A map that sends larger requests than one of its disks takes."""
    for seen in found.known_maps.values():
        below = {disk.name: disk.max_sectors_kb for disk in _members(found, seen)}
        small = _smaller(below, seen.max_sectors_kb)
        if small:
            words = {
                'map': seen.name,
                'size': f'{seen.max_sectors_kb} KiB',
                'disks': ', '.join(f'{name} {below[name]} KiB' for name in small),
                'least': str(min(below[name] for name in small)),
            }
            yield Case(seen.name, words)


def _smaller(sizes: dict[str, int], size: int) -> Iterable[str]:
    return [name for name, each in sizes.items() if 0 < each < size]
