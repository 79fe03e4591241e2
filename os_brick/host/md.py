# SPDX-License-Identifier: Apache-2.0
"""md arrays: who is a member of which, told by superblocks and the kernel's own lists.

Nothing is looked for in the text of ``/proc/mdstat`` or of mdadm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
import contextlib
import dataclasses

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files, wait
from os_brick.host import block
from os_brick.model import md_superblock
from os_brick.privileged import blkid
from os_brick.privileged import mdadm as root

LOG = logging.getLogger(__name__)

DIRECTORY = '/dev/md'
# mdadm waits 5 s for a process that has an array open, and writes superblocks in milliseconds.
MDADM_SECONDS = 20.0
# The kernel frees a stopped array, and udev takes its link away, in a fraction of a second.
GONE_SECONDS = 10.0
LINK_SECONDS = 10.0
# There while udev has events; it is through with those of a member in a fraction of a second.
_UDEV_IS_BUSY = '/run/udev/queue'
UDEV_SECONDS = 2.0
# A member that was failed leaves when its last I/O has ended.
DROP_SECONDS = 5.0
RESIZE_SECONDS = 10.0

_UNSET = '0' * 32


class _Refused(Exception):
    """What mdadm answered."""


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


def create(alias: str, devices: tuple[str, ...], timeout: float) -> None:
    """Make a new mirror of blank devices.

    :raises BrickException: with mdadm's words, if it is not made.
    """
    with _naming(f'No array {alias} could be made of {", ".join(devices)}'):
        _demand(root.create(alias, devices, timeout))


def assemble(alias: str, uuid: str, devices: tuple[str, ...], timeout: float) -> str:
    """Start an array from as many of its members as will do; return its output.

    Only the kernel can tell whether it runs: mdadm succeeds over arrays that others started.

    :raises BrickException: if mdadm cannot be asked.
    """
    with _naming(f'Array {alias} could not be started from {", ".join(devices)}'):
        return root.assemble(alias, uuid, devices, timeout)[1]


def refuse_users(array: str) -> None:
    """Require that an array is not in use, as far as the kernel shows it.

    :raises VolumeInUse: if it is.
    """
    users = block.users(array)
    if users:
        raise exception.VolumeInUse(device=f'/dev/{array}', holder=', '.join(users))


def stop(array: str, deadline: wait.Deadline, *, uuid_meant: str = '') -> None:
    """Stop an array and wait until it and its links are gone; one that has gone is not an error.

    :param uuid_meant: the array's UUID; if another array has the kernel's name by now, the one that
        is meant has gone. Empty where only its members tell it, which may have gone.
    :raises VolumeInUse: if a process has it open.
    :raises BrickException: with mdadm's words, if it stays for another reason.
    """
    if not is_array(array) or (uuid_meant and uuid(array) not in ('', uuid_meant)):
        return
    links, devices = paths_of(array), [member.name for member in members(array)]
    with _naming(f'Array {array} could not be stopped'):
        code, output = root.stop(array, deadline.limit(MDADM_SECONDS))
    if code and _is_there(array):
        _refuse_to_stop(array, output)

    def is_gone() -> bool:
        return not _is_there(array) and not any(map(files.is_link, links))

    if not wait.holds(is_gone, deadline.within(GONE_SECONDS)):
        left = ', '.join([f'/dev/{array}', *links])
        raise exception.OperationTimedOut(what=f'the removal of {left}', seconds=GONE_SECONDS)
    _stop_late(devices, deadline)


def stop_auto_assembled(devices: Collection[str], deadline: wait.Deadline) -> None:
    """Stop what udev has made of members that are about to go, and of nothing else.

    A member may carry another array. One whose last member is taken away stays behind without any.
    """
    _wait_for_udev(deadline)
    for array in arrays_over(devices):
        if all(member.name in devices for member in members(array)):
            _stop_udevs(array, deadline)


def _stop_late(devices: Iterable[str], deadline: wait.Deadline) -> None:
    """Stop what udev makes of the members with events from before mdadm ended the array."""
    _wait_for_udev(deadline)
    for array in arrays_over(devices):
        if not is_running(array):
            _stop_udevs(array, deadline)


def _wait_for_udev(deadline: wait.Deadline) -> None:
    if not wait.holds(lambda: not files.exists(_UDEV_IS_BUSY), deadline.within(UDEV_SECONDS)):
        LOG.debug('udev is still busy')


def _stop_udevs(array: str, deadline: wait.Deadline) -> None:
    with _naming(f'Array {array}, which udev began to assemble, could not be stopped'):
        root.stop(array, deadline.limit(MDADM_SECONDS))


def _is_there(array: str) -> bool:
    """Whether the array still has members; its empty node may stay a moment longer."""
    return is_array(array) and (is_running(array) or bool(members(array)))


def _refuse_to_stop(array: str, output: str) -> None:
    refuse_users(array)
    if 'busy' in output.lower():
        holder = f'a process that has it open (mdadm: {output})'
        raise exception.VolumeInUse(device=f'/dev/{array}', holder=holder)
    raise exception.BrickException(f'Array {array} could not be stopped: mdadm: {output}')


def take_back(array: str, device: str, timeout: float) -> None:
    """Make a former member one again, by what it missed, or if that is not known by all there is.

    Its superblock is read again: what stands on a device that is added is overwritten.

    :raises VolumeIdentityMismatch: if it is not a member of this array now.
    :raises BrickException: with mdadm's words, if it is not taken.
    """
    found, own = superblock(device, timeout), uuid(array)
    if found is None or not own or found.array_uuid != own:
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{device}',
            expected=f'a member of array {array} ({own or "whose UUID is not known"})',
            actual=str(found or 'no md superblock'),
        )
    with _naming(f'Member {device} was not added to array {array} again'):
        code, output = root.re_add(array, device, timeout)
        if code:
            LOG.info('Member %s of array %s has to be copied as a whole: %s', device, array, output)
            _demand(root.add(array, device, timeout))


def drop(array: str, member: Member, deadline: wait.Deadline) -> None:
    """Have an array let go of a member that is faulty or to be given up.

    :raises OperationTimedOut: if it does not: it is the last good one, or its I/O hangs.
    """

    def attempt() -> bool:
        now = next((each for each in members(array) if each.name == member.name), None)
        if now is None:
            return True
        try:
            if 'faulty' not in now.states:
                root.fail(array, member.name)
            root.drop(array, member.name)
        except OSError as error:
            LOG.debug('Member %s of array %s stays so far: %s', member.name, array, error)
        return False

    if not wait.holds(attempt, deadline.within(DROP_SECONDS)):
        what = f'the removal of member {member.name} from array {array}'
        raise exception.OperationTimedOut(what=what, seconds=DROP_SECONDS)


def grow(array: str, deadline: wait.Deadline) -> int:
    """Have an array use all of its members' size; return its size in bytes.

    :raises BrickException: with mdadm's words, if the kernel does not show the size in time, or if
        a member has become smaller than what the array uses of it: nothing is cut then.
    """
    used, usable = used_bytes(array), usable_bytes(array)
    if usable < used:
        raise exception.BrickException(
            f'Array {array} is not grown: it uses {used} bytes of each member, and the smallest '
            f'has {usable}'
        )
    with _naming(f'Array {array} did not grow'):
        _demand(root.grow(array, deadline.limit(MDADM_SECONDS)))
    expected = usable_bytes(array)
    if not wait.holds(lambda: block.size_bytes(array) >= expected, deadline.within(RESIZE_SECONDS)):
        raise exception.BrickException(
            f'Array {array} has {block.size_bytes(array)} bytes, where its members have {expected}'
        )
    return block.size_bytes(array)


def _demand(answer: tuple[int, str]) -> None:
    code, output = answer
    if code:
        raise _Refused(f'mdadm ended with {code}: {output}')


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    """Say in an error what was to be done, also where mdadm cannot be started."""
    try:
        yield
    except processutils.ProcessExecutionError as error:
        raise exception.BrickException(f'{what}: mdadm: {error.description}') from error
    except _Refused as error:
        raise exception.BrickException(f'{what}: {error}') from error
