# SPDX-License-Identifier: Apache-2.0
"""Volumes that are neither SCSI disks nor namespaces: Ceph's images, shares, vendors' devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
import re

from os_brick.core import glance
from os_brick.host import inventory_names, inventory_users
from os_brick.host.inventory_look import Look
from os_brick.model import inventory, mounts

_RBD = '/sys/bus/rbd/devices'
# Block devices of drivers of one vendor, by their names.
_DRIVERS = {
    'powerflex': re.compile(r'scini[a-z]+'),
    'storpool': re.compile(r'sp-[0-9]+'),
    'nbd': re.compile(r'nbd[0-9]+'),
}
# Where udev links to the devices of a driver, and which of these names are those of volumes.
_LINKS = {
    'powerflex': ('/dev/disk/by-id', re.compile(r'emc-vol-[0-9A-Fa-f]+-[0-9A-Fa-f]{16}')),
    'storpool': ('/dev/storpool-byid', re.compile(r'[^/]+')),
}
# Types of file systems that are another machine's; those of FUSE may have a prefix.
_FILE_SYSTEMS = {
    'nfs4': 'nfs', 'ceph-fuse': 'ceph', 'sofs': 'scality',
    **{each: each for each in (
        'nfs', 'cifs', 'smb3', 'ceph', 'glusterfs', 'quobyte', 'lustre', 'gpfs', 'vstorage',
        'scality', 'wekafs',
    )},
}  # fmt: skip


def protocol_of(mount: mounts.Mount) -> str:
    """The protocol of a remote file system; empty for a local one."""
    return _FILE_SYSTEMS.get(mount.kind.removeprefix('fuse.'), '')


def devices(look: Look) -> Iterator[inventory.Volume]:
    """The block devices that are volumes."""
    yield from _mapped_images(look)
    yield from _others(look)


def _mapped_images(look: Look) -> Iterator[inventory.Volume]:
    """Images of Ceph that the kernel has mapped."""
    for number in glance.names(_RBD):
        base, device = f'{_RBD}/{number}', f'rbd{number}'
        if device not in look.blocks:
            continue
        keys = ('pool', 'pool_ns', 'name', 'current_snap')
        pool, namespace, image, snapshot = (look.text(f'{base}/{key}') for key in keys)
        at = '' if snapshot in ('', '-') else f'@{snapshot}'
        identity = f'{"/".join(filter(None, (pool, namespace, image)))}{at}'
        yield _volume(look, device, 'rbd', identity, look.text(f'{base}/cluster_fsid'))


def _others(look: Look) -> Iterator[inventory.Volume]:
    """Devices of drivers that show a size, and of which udev's links tell the volume."""
    identities: dict[str, dict[str, str]] = {}
    for name in look.blocks:
        kind = next((kind for kind, each in _DRIVERS.items() if each.fullmatch(name)), '')
        if kind and look.size(name):
            if kind not in identities:
                identities[kind] = _identities(look, kind)
            yield _volume(look, name, kind, identities[kind].get(name, ''))


def _volume(
    look: Look, device: str, kind: str, identity: str = '', target: str = ''
) -> inventory.Volume:
    base = f'/sys/class/block/{device}'
    return inventory.Volume(
        device=device,
        number=glance.inode(base),
        kind=kind,
        protocol=kind,
        size_bytes=look.size(device),
        identity=identity,
        target=target,
        is_read_only=look.text(f'{base}/ro') == '1',
    )


def _identities(look: Look, kind: str) -> dict[str, str]:
    """The names of volumes by their devices; none for a device that has several."""
    place, pattern = _LINKS.get(kind, ('', re.compile('')))
    found: dict[str, list[str]] = {}
    for name in filter(pattern.fullmatch, glance.names(place) if place else ()):
        device = look.place(f'{place}/{name}').rpartition('/')[2]
        found.setdefault(device, []).append(name)
    return {device: names[0] for device, names in found.items() if len(names) == 1}


def shares(
    table: Iterable[mounts.Mount],
    users: inventory_users.Users,
    guests: Mapping[str, inventory.Name],
    notes: inventory_names.Notes,
) -> Iterator[inventory.Volume]:
    """Mounted remote file systems, each with all of its places; none of them is touched."""
    by_source: dict[tuple[str, str], list[mounts.Mount]] = {}
    for mount in table:
        by_source.setdefault((mount.source, protocol_of(mount)), []).append(mount)
    for (source, protocol), found in by_source.items():
        places = tuple(mount.place for mount in found)
        told = [*notes.on_share(found), *inventory_names.below(guests, places)]
        names = {name.volume_id: name for name in reversed(told)}
        yield inventory.Volume(
            device=source,
            number=0,
            kind='share',
            protocol=protocol,
            names=tuple(name for name in told if names[name.volume_id] is name),
            users=tuple(
                inventory.User('mount', each.place, each.kind, users=users.of_share(each.place))
                for each in found
            ),
            is_read_only=all(mount.is_read_only for mount in found),
        )
