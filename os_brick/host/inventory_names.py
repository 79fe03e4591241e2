# SPDX-License-Identifier: Apache-2.0
"""What volumes are called outside this host: by notes, by libvirt's guests, by their targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
import datetime
import hashlib
import json
import re

from os_brick.core import files, glance, shared_files
from os_brick.host.inventory_look import NEEDS_ROOT, Look
from os_brick.model import inventory, mounts, note, vpd
from os_brick.model.inventory_index import folded

_LIBVIRT = '/run/libvirt/qemu'
_GUESTS = "libvirt's guests, which name their volumes"
# Cinder's default of volume_name_template, in the names of targets, images and files.
_VOLUME = re.compile(
    r'volume-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})', re.IGNORECASE
)
_LARGEST = 4 << 20
# As host/notes has them, which imports the libraries that a look does without.
NOTE = 'os-brick-note-'
_LARGEST_NOTE = 1 << 18
_DIGITS = 32
# Properties of a caller that tell its volume from every other one, besides the noted identity.
_IDENTITIES = ('vol_uuid', 'volume_nguid', 'eui64')
# As fabrics.NamespaceIdentity spells the names of namespaces.
_KINDS = {'uuid', 'nguid', 'eui'}
_TELLS = 'which tells where notes are'
_BOOT_ID = '/proc/sys/kernel/random/boot_id'


def of_text(text: str) -> inventory.Name | None:
    """The volume that a target's, an image's or a file's name tells of; ``None`` for none."""
    match = _VOLUME.search(text)
    return inventory.Name(match[1].lower(), 'target') if match else None


def notes(look: Look, places: Iterable[str]) -> list[note.Note]:
    """The notes of attaches that there are, none of an earlier boot; those that cannot be read,
    or are not notes, are missed.
    """
    boot = glance.read_or(_BOOT_ID)
    found: dict[tuple[str, str], note.Note] = {}
    for place in dict.fromkeys(places):
        # The place may be on a share whose server is away: that costs what is noted there.
        for each in look.guarded(place, lambda: _noted(look, place, boot)) or ():  # noqa: B023
            found.setdefault(each.whose, each)
    return list(found.values())


def _noted(look: Look, place: str, boot: str) -> list[note.Note]:
    with shared_files.directory(files.real(place)) as directory:
        names = [name for name in sorted(shared_files.names_in(directory)) if name.startswith(NOTE)]
        return [each for name in names for each in _note(look, directory, place, name, boot)]


def places(look: Look) -> tuple[str, ...]:
    """Where the services of this host have notes, by their configuration in its usual places.

    A service that may not write to the directory of all has them beside its lock files.
    """
    from os_brick.host import service_conf  # only where there are volumes

    found: list[str] = []
    for project, path in service_conf.found():
        try:
            conf = look.guarded(path, lambda: service_conf.parsed(path), _TELLS)  # noqa: B023
        except (ValueError, service_conf.NotConfiguration):
            look.missed(f'{path}, {_TELLS}', 'it is not a configuration')
        else:
            found += service_conf.note_paths(project, conf) if conf else ()
    return tuple(found)


def _note(look: Look, directory: int, place: str, name: str, boot: str) -> Iterator[note.Note]:
    try:
        raw = json.loads(shared_files.read_trusted(directory, name, _LARGEST_NOTE) or b'null')
        if raw is not None and raw.get('boot') == boot:
            found = note.Note.from_dict(raw)
            if name != f'{NOTE}{hashlib.sha256(found.key.encode()).hexdigest()[:_DIGITS]}':
                raise ValueError('it is of another volume than its name')
            yield found
    except PermissionError as error:
        look.missed(f'{place}/{name}', str(error.strerror))
    except (OSError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        look.missed(f'{place}/{name}', f'it is not a note ({error})')


class Notes:
    """Which note is of which volume.

    The kernel gives a device's name to another one, and two clusters may have images of one name:
    so a note names the volume of its identity alone, and where it has none, the device that has
    the number in the kernel that was noted.
    """

    def __init__(self, found: Iterable[note.Note]) -> None:
        # The newest last, which counts: one of a volume that has gone without a detach stays, and
        # another volume has its device's name by now.
        every = sorted((each for each in found if each.is_attached), key=lambda each: each.at)
        self._by_identity = {name: each for each in every for name in _identities(each)}
        self._by_device = {each.device: each for each in every if each.device}
        self._files = [each for each in every if each.result and not each.device]

    def of(self, volume: inventory.Volume) -> note.Note | None:
        """The note of a volume, or ``None``."""
        if volume.identity and (found := self._by_identity.get(_bare(volume.identity))):
            return found
        noted = self._by_device.get(volume.device)
        if noted is None or _identities(noted) or not noted.number:
            return None
        return noted if noted.number == volume.number else None

    def on_share(self, places: Sequence[mounts.Mount]) -> list[inventory.Name]:
        """What the volumes are called that are files on a share, which is mounted at these places.

        A place may have been given to another share since the attach.
        """
        named = {
            str((each.result or {}).get('path')): name
            for each in self._files
            if _is_of_share(each, places[0]) and (name := of_note(each))
        }
        return below(named, [mount.place for mount in places])

    def contradicts(self, volume: inventory.Volume) -> str:
        """The identity that a device was attached as, if it is certainly another one now."""
        noted = self._by_device.get(volume.device)
        if noted is None or _bare(noted.identity) == _bare(volume.identity):
            return ''
        both = (noted.identity, volume.identity)
        return noted.identity if all(map(vpd.is_registered, both)) or _are_alike(*both) else ''


def _is_of_share(found: note.Note, mount: mounts.Mount) -> bool:
    """Whether the share of a note may be what is mounted; only known protocols tell."""
    from os_brick.model import shares  # has libraries that a look does without

    kind, share = shares.KINDS.get(found.protocol), found.properties.get('export')
    if kind is None or not isinstance(share, str):
        return True
    return kind.is_same(share, mount.kind, mount.source)


def _identities(found: note.Note) -> set[str]:
    told = [found.identity, *(found.properties.get(name) for name in _IDENTITIES)]
    return {_bare(each) for each in told if each and isinstance(each, str)}


def _are_alike(one: str, other: str) -> bool:
    """Whether two names are of one kind of those that a namespace has one of for ever."""
    kinds = {each.lower().partition('.')[0] for each in (one, other)}
    return len(kinds) == 1 and kinds <= _KINDS


def _bare(identity: str) -> str:
    return folded(identity).replace('-', '')


def of_note(found: note.Note) -> inventory.Name | None:
    """What a note calls its volume; ``None`` if the caller of the attach passed no ID."""
    if not found.volume_id:
        return None
    return inventory.Name(
        found.volume_id, 'note', attachment_id=found.attachment_id, since=_moment(found.at)
    )


def _moment(seconds: float) -> str:
    """A moment (RFC 3339, UTC) in seconds since 1970; empty for 0, and for none of this era."""
    try:
        at = datetime.datetime.fromtimestamp(seconds, datetime.UTC) if seconds else None
    except (OSError, OverflowError, ValueError):
        return ''
    return at.isoformat(timespec='seconds') if at else ''


def below(named: Mapping[str, inventory.Name], places: Iterable[str]) -> list[inventory.Name]:
    """The names of files that lie below directories."""
    starts = tuple(f'{place}/' for place in places)
    return [name for path, name in named.items() if path.startswith(starts)]


def of_guests(look: Look) -> dict[str, inventory.Name]:
    """What libvirt's guests call their disks, by the device's name or the file's path.

    Nova gives a disk the volume's ID as its serial number. Only root may read it.
    """
    found: dict[str, inventory.Name] = {}
    try:
        names = files.listed(_LIBVIRT)
    except OSError as error:
        look.missed(_GUESTS, error)
        return found
    for name in sorted(names):
        if name.endswith('.xml'):
            try:
                found |= _disks(files.read_regular(f'{_LIBVIRT}/{name}', _LARGEST))
            except PermissionError:
                look.missed(_GUESTS, NEEDS_ROOT)
            except (OSError, ValueError) as error:
                look.missed(f'{_LIBVIRT}/{name}', f'it is not what libvirt writes ({error})')
    return found


def _disks(text: bytes) -> dict[str, inventory.Name]:
    """The disks of one guest.

    :raises ValueError: if it is not XML.
    """
    from xml.etree import ElementTree  # only where there are guests

    try:
        root = ElementTree.fromstring(text)  # noqa: S314 written by libvirt, as root
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from None
    guest = root.findtext('domain/name') or root.findtext('name') or ''
    found = {}
    for disk in root.iter('disk'):
        serial, source = (disk.findtext('serial') or '').strip(), disk.find('source')
        path = '' if source is None else source.get('dev') or source.get('file')
        if path and serial:
            found[_key(path)] = inventory.Name(serial, 'libvirt', guest)
    return found


def _key(path: str) -> str:
    return files.realpath(path).removeprefix('/dev/') if path.startswith('/dev/') else path
