# SPDX-License-Identifier: Apache-2.0
"""What volumes are called outside this host: by libvirt's guests, and by their targets."""

from __future__ import annotations

import re

from os_brick.core import files
from os_brick.host.inventory_look import NEEDS_ROOT, Look
from os_brick.model import inventory

_LIBVIRT = '/run/libvirt/qemu'
_GUESTS = "libvirt's guests, which name their volumes"
# Cinder's default of volume_name_template, in the names of targets, images and files.
_VOLUME = re.compile(
    r'volume-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})', re.IGNORECASE
)
_LARGEST = 4 << 20


def of_text(text: str) -> inventory.Name | None:
    """The volume that a target's, an image's or a file's name tells of; ``None`` for none."""
    match = _VOLUME.search(text)
    return inventory.Name(match[1].lower(), 'target') if match else None


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
        source, serial = disk.find('source'), (disk.findtext('serial') or '').strip()
        path = '' if source is None else source.get('dev') or source.get('file') or ''
        if path and serial:
            key = files.realpath(path).removeprefix('/dev/') if path.startswith('/dev/') else path
            found[key] = inventory.Name(serial, 'libvirt', guest)
    return found
