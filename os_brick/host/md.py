# SPDX-License-Identifier: Apache-2.0
"""md arrays: who is a member of which, told by superblocks and the kernel's own lists.

Nothing is looked for in the text of ``/proc/mdstat`` or of mdadm.
"""

from __future__ import annotations

from collections.abc import Iterable
import dataclasses

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files
from os_brick.host import block
from os_brick.model import md_superblock
from os_brick.privileged import blkid
from os_brick.privileged import mdadm as root

LOG = logging.getLogger(__name__)

DIRECTORY = '/dev/md'

_UNSET = '0' * 32


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A member as the kernel's array has it.

    :ivar is_present: whether its device still exists.
    """

    name: str
    states: frozenset[str]
    is_present: bool

    @property
    def is_usable(self) -> bool:
        """Whether the array uses it, or is about to when it is copied."""
        return self.is_present and 'faulty' not in self.states


def superblock(device: str, timeout: float = block.READ_SECONDS) -> md_superblock.Superblock | None:
    """What the superblock of a member records, read from the device now; ``None`` if it has none.

    :raises OSError: if it cannot be read.
    :raises OperationTimedOut: if it does not answer in time.
    """
    version, raw = root.superblock(device, timeout)
    return md_superblock.parse(version, raw) if version else None


def signature(device: str, timeout: float = block.READ_SECONDS) -> str:
    """What a device has on it, in words; empty only if everything shows that it is blank.

    :raises OSError: if it cannot be read.
    :raises OperationTimedOut: if it does not answer in time.
    :raises ProcessExecutionError: if ``blkid`` cannot be asked.
    """
    found = superblock(device, timeout)
    if found is not None:
        return str(found)
    # Read first: of a device that cannot be read, blkid reports that it recognises nothing.
    content = blkid.first_content(device, timeout)
    lines = (line.partition('=') for line in blkid.probe(device, timeout).splitlines())
    seen = {name: value for name, _, value in lines if value}
    if 'TYPE' in seen or 'PTTYPE' in seen:
        kind = seen.get('TYPE') or f'a partition table ({seen["PTTYPE"]})'
        return f'{seen.get("USAGE", "signature")} {kind}' if 'TYPE' in seen else kind
    return f'unknown data at byte {content}' if content >= 0 else ''


def is_array(name: str) -> bool:
    """Whether the kernel has an array of this name, running or not."""
    return files.exists(f'/sys/block/{name}/md')


def is_running(array: str) -> bool:
    """Whether an array takes I/O."""
    return _attribute(array, 'array_state') not in ('', 'clear', 'inactive')


def _attribute(array: str, name: str) -> str:
    return files.read_or(f'/sys/block/{array}/md/{name}')


def array_over(device: str) -> str | None:
    """The array that holds a device, running or not, or ``None``."""
    return next((holder for holder in block.holders(device) if is_array(holder)), None)


def arrays_over(devices: Iterable[str]) -> tuple[str, ...]:
    """The arrays that hold one of the devices, each once."""
    return tuple(dict.fromkeys(filter(None, map(array_over, devices))))


def path_of(alias: str) -> str:
    """The path of a volume's array."""
    return f'{DIRECTORY}/{alias}'


def array_named(alias: str) -> str | None:
    """The array that the path of a volume leads to, or ``None``."""
    name = block.name_of(path_of(alias))
    return name if name and is_array(name) else None


def paths_of(array: str) -> tuple[str, ...]:
    """The links below ``/dev/md`` to an array."""
    links = (path_of(name) for name in files.names(DIRECTORY))
    return tuple(link for link in links if files.realpath(link) == f'/dev/{array}')


def members(array: str) -> tuple[Member, ...]:
    """The members that the kernel has in an array, faulty ones too."""
    inside = files.names(f'/sys/block/{array}/md')
    return tuple(_member(array, name) for name in inside if name.startswith('dev-'))


def _member(array: str, name: str) -> Member:
    base = f'/sys/block/{array}/md/{name}'
    states = frozenset(filter(None, files.read_or(f'{base}/state').split(',')))
    # The link dangles when the device has gone, even if another one has its name by now.
    return Member(name.removeprefix('dev-'), states, files.exists(f'{base}/block'))


def uuid(array: str) -> str:
    """The UUID of an array in mdadm's spelling; empty if nothing tells it.

    An array that is not running has only its members' superblocks to tell it.
    """
    digits = _attribute(array, 'uuid').replace('-', '')
    if len(digits) == len(_UNSET) and digits != _UNSET:
        return md_superblock.spelled(bytes.fromhex(digits))
    for member in members(array):
        try:
            found = superblock(member.name) if member.is_usable else None
        except (OSError, exception.OperationTimedOut):
            continue
        if found is not None and found.array_uuid:
            return found.array_uuid
    return ''


def usable_bytes(array: str) -> int:
    """How large the smallest member would let an array be; 0 if it has none."""
    sizes = []
    for member in members(array):
        if member.is_usable:
            offset = files.read_or(f'/sys/block/{array}/md/dev-{member.name}/offset', '0')
            sizes.append(block.size_bytes(member.name) - int(offset) * 512)
    return max(min(sizes, default=0), 0)


def used_bytes(array: str) -> int:
    """How much of each member an array uses; 0 if the kernel does not report it."""
    # In KiB (Linux, Documentation/admin-guide/md.rst, component_size).
    text = _attribute(array, 'component_size')
    return int(text) << 10 if text.isdecimal() else 0


def refuse_users(array: str) -> None:
    """Require that an array is not in use, as far as the kernel shows it.

    :raises VolumeInUse: if it is.
    """
    users = block.users(array)
    if users:
        raise exception.VolumeInUse(device=f'/dev/{array}', holder=', '.join(users))


def has_members_or_runs(array: str) -> bool:
    """Whether the array still has members; its empty node may stay a moment longer."""
    return is_array(array) and (is_running(array) or bool(members(array)))
