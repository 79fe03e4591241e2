# SPDX-License-Identifier: Apache-2.0
"""Reads multipath maps, logical volumes on a fabric's devices, and what multipathd knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
import errno

from os_brick.core import clock, files, glance
from os_brick.doctor import facts
from os_brick.doctor.readers.look import Look
from os_brick.host import block, dm, multipathd, nvme
from os_brick.model import fabrics

# multipathd suspends a map for milliseconds to load a new table; these looks are further apart.
_SUSPENDED_LOOKS = 3
_BETWEEN_LOOKS_SECONDS = 0.2
# A daemon that is well answers in milliseconds.
_ANSWER_SECONDS = 2.0
_DEEPEST = 16


def maps(usage: block.Usage) -> dict[str, facts.SeenMap]:
    """The multipath maps of this host, by name."""
    names = [name for name in glance.names('/sys/block') if name.startswith('dm-')]
    wwids = {name: wwid for name in names if (wwid := dm.wwid(name))}
    suspended = _suspended(wwids)
    return {
        name: facts.SeenMap(
            name,
            wwid,
            dm.name(name),
            tuple(block.members(name)),
            block.size_bytes(name),
            name in suspended,
            tuple(block.users(name, known=usage)),
            int(glance.read_or(f'/sys/block/{name}/queue/max_sectors_kb') or 0),
        )
        for name, wwid in wwids.items()
    }


def _suspended(names: Collection[str]) -> set[str]:
    """The maps that are suspended at each of several looks."""
    found = set(names)
    for number in range(_SUSPENDED_LOOKS):
        if number and found:
            clock.sleep(_BETWEEN_LOOKS_SECONDS)
        found = {name for name in found if glance.read_or(f'/sys/block/{name}/dm/suspended') == '1'}
    return found


def status(look: Look, seen: Mapping[str, facts.SeenMap]) -> dict[str, facts.MapStatus] | None:
    """What the kernel reports of each map to root."""
    found = {}
    if seen and not look.is_root:
        look.miss(
            'map_status', 'how often maps are open, and their working paths', facts.NEEDS_ROOT
        )
        return None
    for name, each in seen.items():
        try:
            now, queues = dm.status(dm.uuid_of(each.wwid)), dm.queues(dm.uuid_of(each.wwid))
        except OSError as error:
            # It goes for device-mapper before it does in sysfs.
            if error.errno != errno.ENXIO and glance.exists(f'/sys/block/{name}'):
                look.miss('map_status', name, error)
            continue
        found[name] = facts.MapStatus(now.open_count, now.active_paths, queues)
    return found


def logical_volumes(seen: Collection[str]) -> tuple[facts.LogicalVolume, ...]:
    """The active logical volumes on a fabric's devices.

    :param seen: disks and maps of a fabric; namespaces are found here.
    """
    heads = {fabrics.head_of(p.name) for c in nvme.controllers() for p in nvme.paths(c.name)}
    wanted = {*seen, *heads}
    found = []
    for name in glance.names('/sys/block'):
        if name.startswith('dm-') and dm.uuid(name).startswith('LVM-'):
            below = next((each for each in _below(name) if each in wanted), None)
            if below is not None:
                found.append(facts.LogicalVolume(name, dm.name(name), below, block.inode(name)))
    return tuple(found)


def _below(name: str, depth: int = _DEEPEST) -> list[str]:
    """The devices below one, the nearest first, with the disk that a partition is on."""
    found = []
    for each in block.members(name) if depth else ():
        found.append(each)
        if glance.exists(f'/sys/class/block/{each}/partition'):
            found.append(files.realpath(f'/sys/class/block/{each}').split('/')[-2])
        found += _below(each, depth - 1)
    return found


def daemon(look: Look) -> facts.Multipathd:
    """How multipathd answers, and what it knows."""
    limit = look.deadline.limit(_ANSWER_SECONDS)
    try:
        if multipathd.status(limit) is None:
            return facts.Multipathd('down')
        known = multipathd.known_disks(limit) or {}
        return facts.Multipathd(
            *('running', '', known, multipathd.excluded(limit), multipathd.queueing(limit))
        )
    except multipathd.NoAnswer as error:
        return facts.Multipathd('mute', str(error))
