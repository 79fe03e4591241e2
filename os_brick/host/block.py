# SPDX-License-Identifier: Apache-2.0
"""Block devices as the kernel shows them, and who uses them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
import errno

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files
from os_brick.host import mounts
from os_brick.privileged import block as root

LOG = logging.getLogger(__name__)

# The kernel counts in units of 512 bytes whatever the device's format is.
SECTOR_BYTES = 512
# A healthy device answers a read in milliseconds; a path in recovery may take seconds.
READ_SECONDS = 10.0
# Opening a live device takes a millisecond. One that hangs is asked while an attach takes back what
# it has made, several times.
_CLAIM_SECONDS = 2.0


def exists(name: str) -> bool:
    """Whether the kernel has the block device."""
    return files.exists(f'/sys/class/block/{name}')


def size_bytes(name: str) -> int:
    """The size of a block device; 0 where there is no such device."""
    return int(files.read_or(f'/sys/class/block/{name}/size', '0')) * SECTOR_BYTES


def number(name: str) -> str:
    """The ``major:minor`` of a block device; empty where there is no such device."""
    return files.read_or(f'/sys/class/block/{name}/dev')


def sequence(name: str) -> str:
    """The number that the kernel gives to one disk alone; empty before Linux 5.15."""
    return files.read_or(f'/sys/class/block/{name}/diskseq')


def inode(name: str) -> int:
    """The kernel's number of a block device: no other one has had it; 0 where there is none.

    It is that of its directory in sysfs. A name, and the ``major:minor`` that goes with it, is
    given to the next device.
    """
    return files.inode(f'/sys/class/block/{name}')


def is_read_only(name: str) -> bool:
    """Whether the kernel refuses writes to a block device."""
    return files.read_or(f'/sys/class/block/{name}/ro') == '1'


def holders(name: str) -> list[str]:
    """The block devices that are built on one, such as ``dm-4`` or ``md0``."""
    return files.names(f'/sys/class/block/{name}/holders')


def members(name: str) -> list[str]:
    """The block devices that one is built on."""
    return files.names(f'/sys/class/block/{name}/slaves')


def partitions(name: str) -> list[str]:
    """The partitions the kernel has made on a disk."""
    # Their names begin with the disk's (Linux, block/partitions/core.c).
    inside = [part for part in files.names(f'/sys/block/{name}') if part.startswith(name)]
    return [part for part in inside if files.exists(f'/sys/block/{name}/{part}/partition')]


def name_of(path: str) -> str | None:
    """The kernel's name of the device that a path leads to, or ``None`` where it leads nowhere."""
    name = '' if '\0' in path else files.realpath(path).rpartition('/')[2]
    return name if name and files.exists(f'/sys/class/block/{name}') else None


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """What of this host's block devices is mounted, swap space, or below a loop device.

    :ivar mounts: places by ``major:minor`` and by the device's name.
    """

    mounts: Mapping[str, list[str]]
    swaps: set[str]
    loops: Mapping[str, list[str]]


def usage() -> Usage:
    """What is in use now; read once, it serves for many devices."""
    return Usage(_mounts(), _swaps(), _loops())


def users(
    name: str, besides: frozenset[str] = frozenset(), known: Usage | None = None
) -> list[str]:
    """What uses a device or its partitions, in words; empty if it is idle.

    Files that are merely open do not show: the kernel tells only the process that has them open.

    :param besides: holders that do not count, such as the volume's own multipath map.
    :param known: what is in use, if that was read just now.
    """
    found: list[str] = []
    known = known or usage()
    for device in (name, *partitions(name)):
        found += [_describe(holder) for holder in holders(device) if holder not in besides]
        places = (*known.mounts.get(number(device), ()), *known.mounts.get(device, ()))
        found += [f'mount on {place}' for place in dict.fromkeys(places)]
        if device in known.swaps:
            found.append(f'swap space {device}')
        found += [f'loop device {loop}' for loop in known.loops.get(device, ())]
    return found


def claimant(name: str) -> list[str]:
    """Describe who holds a device exclusively; empty if no one does.

    The kernel does not tell who: a mount in another namespace, a target, a program.
    """
    try:
        claimed = root.is_claimed(name, _CLAIM_SECONDS)
    except (OSError, exception.OperationTimedOut) as error:
        LOG.debug('Whether %s is claimed is not known: %s', name, error)
        return []
    return [root.claim_of(name)] if claimed else []


def openers(*names: str) -> list[str]:
    """The processes of any user that have devices or partitions of them open, in words.

    Not udev's, which look at every device that changes, and are soon done.
    """
    return root.openers(tuple(each for name in names for each in (name, *partitions(name))))


def _describe(holder: str) -> str:
    name = files.read_or(f'/sys/class/block/{holder}/dm/name')
    if not name:
        return holder
    kind = files.read_or(f'/sys/class/block/{holder}/dm/uuid').partition('-')[0]
    words = {'LVM': 'active logical volume', 'CRYPT': 'dm-crypt device', 'mpath': 'multipath map'}
    return f'{words.get(kind, "device-mapper device")} {name} ({holder})'


def _mounts() -> dict[str, list[str]]:
    """The places where block devices are mounted, by ``major:minor`` and by the device's name.

    Services may run in a mount namespace of their own, so the host's is read as well. Some file
    systems (btrfs) show a number of their own, hence the name.
    """
    found: dict[str, list[str]] = {}
    for mount in mounts.of_process('1', 'self'):
        for key in (mount.device, _device_name(mount.source)):
            places = found.setdefault(key, [])
            if mount.place not in places:
                places.append(mount.place)
    found.pop('', None)
    return found


def _device_name(path: str) -> str:
    return files.realpath(path).rpartition('/')[2] if path.startswith('/dev/') else ''


def _swaps() -> set[str]:
    lines = files.read_or('/proc/swaps').splitlines()[1:]
    return {_device_name(line.split()[0]) for line in lines if line.strip()}


def _loops() -> dict[str, list[str]]:
    """The loop devices that read and write a block device, by its name."""
    found: dict[str, list[str]] = {}
    for loop in files.names('/sys/block'):
        if loop.startswith('loop'):
            below = _device_name(files.read_or(f'/sys/block/{loop}/loop/backing_file'))
            found.setdefault(below, []).append(loop)
    found.pop('', None)
    return found


def is_readable(name: str, timeout: float = READ_SECONDS) -> bool:
    """Whether the start of a device can be read now, from the device itself."""
    return why_unreadable(name, timeout) is None


def why_unreadable(
    name: str, timeout: float = READ_SECONDS, read: Callable[[], int] | None = None
) -> Exception | None:
    """The error that a read of a device's start ends in, or ``None`` if it can be read.

    All of its first 4096 bytes, or of the device if it is smaller, have to be read: where the
    kernel knows no capacity a read ends after 0 bytes, without an error.

    :param read: reads them, and returns how many it could.
    """
    try:
        count = read() if read is not None else root.read_start(name, timeout)
    except (OSError, exception.BrickException) as error:
        return error
    wanted = min(root.PROBE_BYTES, size_bytes(name)) or root.PROBE_BYTES
    if count < wanted:
        return OSError(errno.EIO, f'{count} of the first {wanted} bytes of {name} could be read')
    return None


def is_conflict(error: BaseException | None) -> bool:
    """Whether a read was refused because another host has reserved the volume for itself.

    The device itself answers so (RESERVATION CONFLICT), so its path works. ``EBADE`` since Linux
    3.9; no other error of a block device is mapped to it (block/blk-core.c).
    """
    return isinstance(error, OSError) and error.errno == errno.EBADE


def why_unusable(
    name: str, timeout: float = READ_SECONDS, read: Callable[[], int] | None = None
) -> Exception | None:
    """Why a device cannot be handed out: a read of its start fails, but not for a reservation.

    A volume that another host has reserved for itself alone is the right one, and works once the
    reservation ends, or is taken over by its user here (a cluster does that).

    :param read: as of :func:`why_unreadable`.
    """
    error = why_unreadable(name, timeout, read)
    if not is_conflict(error):
        return error
    LOG.warning('Device %s is reserved by another host: %s', name, error)
    return None


def flush(name: str, number: int, timeout: float) -> None:
    """Have everything that was written to a device reach it.

    A device without a node in ``/dev`` is left to the kernel, which writes back what is in its
    cache when its last user closes it, and when it is deleted.

    :param number: its :func:`inode`, read before the device was found to be the one that is meant.
    :raises OperationTimedOut: if the device does not take it in time.
    :raises OSError: if the device fails, has gone, or its name is another one's by now.
    """
    try:
        root.flush(name, number, timeout)
    except FileNotFoundError:
        warn_of_no_node(name)


def warn_of_no_node(name: str) -> None:
    """Say that a device was not flushed because it has no node in ``/dev``."""
    LOG.warning('Device %s has no node in /dev to be flushed by', name)
