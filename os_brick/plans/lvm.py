# SPDX-License-Identifier: Apache-2.0
"""The command lines of LVM, what a failed one means, and where a mirror has room.

Every name in a command line is whole (``group/volume``) and has been checked: ``lvremove gold``
would remove all that the volume group has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import enum
import math
import re

from os_brick.model import lvm

# What an operator may have set for tables would be in JSON, too: a prefix of each line, quotes.
_BARE = 'log { prefix = "" command_names = 0 } report { prefixes = 0 compact_output = 0 }'
_JSON = ('--config', _BARE, '--reportformat', 'json', '--units', 'b', '--nosuffix')
# Without locks, and without a question to the kernel: so it cannot say what is active, or full.
_ON_DISK = ('--readonly',)
_TEBI = 1 << 40
# From this size on, a mirror with LVM's own regions of 2 MiB would have very many.
_REGION_TEBI = 1.5

_LV = ('-o', 'vg_name,lv_name,lv_size')
_LV_ALONE = ('-o', 'vg_name,lv_name,lv_uuid,lv_size,lv_attr')
_LV_STATE = ('-o', 'vg_name,lv_name,lv_size,lv_attr,data_percent')
_VG = ('-o', 'vg_name,vg_size,vg_free,lv_count,vg_uuid')
_PV = ('-o', 'vg_name,pv_name,pv_size,pv_free')

# What lvremove may remove: no origin, whose snapshots would go with it, and no pool with volumes.
# LVM looks at it under the lock of the group, so nothing can come in between.
_ALONE = 'lv_attr=~"^[^oOtd]" || (lv_attr=~"^[td]" && thin_count=0)'
_PATIENT = 'activation { retry_deactivation = 1} '
_PAST_SUSPENDED = 'devices { ignore_suspended_devices = 1}'

Words = tuple[str, ...]


def list_volumes(*where: str) -> Words:
    """All logical volumes, those of a group, or one."""
    return ('lvs', *_JSON, *_LV, *_ON_DISK, *where)


def one_volume(vg: str, name: str) -> Words:
    """One logical volume: also who it is, and whether it has snapshots."""
    return ('lvs', *_JSON, *_LV_ALONE, *_ON_DISK, f'{vg}/{name}')


def state(where: str) -> Words:
    """Logical volumes as the kernel has them: which are active, and how full a pool is."""
    return ('lvs', *_JSON, *_LV_STATE, where)


def list_groups(*where: str) -> Words:
    """All volume groups, or one."""
    return ('vgs', *_JSON, *_VG, *_ON_DISK, *where)


def list_physical_volumes() -> Words:
    """All physical volumes."""
    return ('pvs', *_JSON, *_PV, *_ON_DISK)


def version() -> Words:
    """The release of LVM."""
    return ('vgs', '--version')


def create_group(vg: str, devices: Iterable[str]) -> Words:
    """A volume group on devices. A question (about data on one of them) is not answered."""
    return ('vgcreate', vg, *devices)


def create_pool(vg: str, pool: str) -> Words:
    """A thin pool of all that is free."""
    return ('lvcreate', '-T', '-l', '100%FREE', f'{vg}/{pool}')


def create_thin(vg: str, pool: str, name: str, size: lvm.Size) -> Words:
    """A thin volume. ``--yes``: what an earlier volume left on the blocks is wiped."""
    return ('lvcreate', '-T', '-V', size.text, '-n', name, f'{vg}/{pool}', '--yes')


def create_thick(vg: str, name: str, size: lvm.Size, mirrors: int) -> Words:
    """A volume, with as many mirrors."""
    words = ('lvcreate', '-n', name, vg, '-L', size.text, '--yes')
    return words + _mirrored(size, mirrors) if mirrors else words


def _mirrored(size: lvm.Size, mirrors: int) -> Words:
    # Not "--mirrorlog mirrored": LVM makes a raid1 by default since 2.02.107, which has no log, and
    # 2.03.31 refuses such a log for a mirror, too ("is DEPRECATED. Use RAID1").
    words = ('--type', 'raid1', '-m', str(mirrors), '--nosync')
    tebi = size.bytes / _TEBI
    if tebi < _REGION_TEBI:
        return words
    return (*words, '-R', str(2 ** math.ceil(math.log2(tebi))))


def create_snapshot(vg: str, name: str, source: lvm.Volume, *, thin: bool) -> Words:
    """A snapshot; of a thick volume one that has room for all of it."""
    words = ('lvcreate', '--name', name, '-k', 'y', '--snapshot', f'{vg}/{source.name}')
    return words if thin else (*words, '-L', f'{source.size}b')


def remove(vg: str, name: str) -> Words:
    """Remove one volume and no other; does nothing if others would go with it."""
    return ('lvremove', '--config', _PATIENT, '-f', '-S', _ALONE, f'{vg}/{name}')


def remove_again(vg: str, volume: lvm.Volume) -> Words:
    """Remove a volume that could not be removed; does nothing if the name is another one's now."""
    which = f'lv_uuid="{volume.uuid}" && ({_ALONE})'
    config = _PATIENT + _PAST_SUSPENDED
    return ('lvremove', '--config', config, '-f', '-S', which, f'{vg}/{volume.name}')


def activate(vg: str, name: str) -> Words:
    """Activate a volume, also one that is skipped by others."""
    return ('lvchange', '-a', 'y', '--yes', '-K', f'{vg}/{name}')


def no_longer_skip(vg: str, name: str) -> Words:
    """Have a volume be activated with all others. LVM 2.03.31 takes no ``-K`` beside it."""
    return ('lvchange', '-k', 'n', f'{vg}/{name}')


def deactivate(vg: str, name: str) -> Words:
    """Deactivate a volume."""
    return ('lvchange', '-a', 'n', f'{vg}/{name}')


def extend(vg: str, name: str, size: lvm.Size) -> Words:
    """Grow a volume."""
    return ('lvextend', '-L', size.text, f'{vg}/{name}')


def rename(vg: str, name: str, new_name: str) -> Words:
    """Give a volume another name."""
    return ('lvrename', vg, name, new_name)


def merge(vg: str, name: str) -> Words:
    """Give the origin of a snapshot the snapshot's content, after which the snapshot is gone."""
    return ('lvconvert', '--merge', f'{vg}/{name}')


def settle(seconds: int) -> Words:
    """Wait until udev has handled its events: it opens what is new."""
    return ('udevadm', 'settle', f'--timeout={seconds}')


class Failure(enum.Enum):
    """What a failed command means."""

    NO_GROUP = 'the volume group is not there'
    NO_VOLUME = 'the logical volume is not there'
    CRASH = 'the tool crashed'
    SAME_SIZE = 'it has that size'
    FINAL = 'it fails again'
    OTHER = 'it may succeed later'


# In the order in which they are looked for: LVM 2.02.98 to 2.03.31, in the locale C.
_MEANINGS = (
    (Failure.NO_GROUP, re.compile(r'Volume group "?[^"\s]+"? not found')),
    (
        Failure.NO_VOLUME,
        re.compile(
            r'Failed to find'
            r'|[Ll]ogical [Vv]olume "?[^"\s]+"? not found'
            r'|specified logical volume\(s\) not found'
        ),
    ),
    (Failure.SAME_SIZE, re.compile(r'matches existing size')),
    (
        Failure.FINAL,
        re.compile(
            r'is exported|PVs are missing|nsufficient free space|nsufficient suitable'
            r'|already exists|not larger than existing'
        ),
    ),
)
# A shell or sudo reports the signal SEGV as 139, subprocess as -11.
_CRASHES = (139, -11)
_USAGE = 3
_NOT_FOUND_BY_ENV = 127


def meaning(exit_code: object, text: str) -> Failure:
    """What a command means that ended with an exit code and wrote a text."""
    if exit_code in _CRASHES:
        return Failure.CRASH
    if exit_code in (_USAGE, _NOT_FOUND_BY_ENV) or not (exit_code or text):
        return Failure.FINAL
    for failure, pattern in _MEANINGS:
        if pattern.search(text):
            return failure
    return Failure.OTHER


def mirror_room(free: Sequence[float], mirrors: int) -> float:
    """How much room there is for a volume with so many mirrors, on disks with so much free each.

    The smallest disk with room is filled; its mirrors take as much of the largest ones. Then the
    next one, until there are not enough disks.
    """
    disks = sorted(room for room in free if room > 0)
    total = 0.0
    while len(disks) > mirrors:
        smallest = disks.pop(0)
        total += smallest
        first = len(disks) - mirrors
        left = [room - smallest if at >= first else room for at, room in enumerate(disks)]
        disks = sorted(room for room in left if room > 0)
    return total
