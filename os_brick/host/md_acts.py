# SPDX-License-Identifier: Apache-2.0
"""Acts on md arrays: made, started, stopped, completed, grown. What they are: ``host/md``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
import contextlib

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files, wait
from os_brick.host import block, md
from os_brick.privileged import mdadm as root

LOG = logging.getLogger(__name__)

# mdadm waits 5 s for a process that has an array open, and writes superblocks in milliseconds.
MDADM_SECONDS = 20.0
# The kernel frees a stopped array, and udev takes its link away, in a fraction of a second.
GONE_SECONDS = 10.0
LINK_SECONDS = 10.0
EMPTY_SECONDS = 1.0
# There while udev has events; it is through with those of a member in a fraction of a second.
_UDEV_IS_BUSY = '/run/udev/queue'
UDEV_SECONDS = 2.0
# A member that was failed leaves when its last I/O has ended.
DROP_SECONDS = 5.0
RESIZE_SECONDS = 10.0


class _Refused(Exception):
    """What mdadm answered."""


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


def stop(array: str, deadline: wait.Deadline, *, uuid_meant: str = '') -> None:
    """Stop an array and wait until it and its links are gone; one that has gone is not an error.

    :param uuid_meant: the array's UUID; if another array has the kernel's name by now, the one that
        is meant has gone. Empty where only its members tell it, which may have gone.
    :raises VolumeInUse: if a process has it open.
    :raises BrickException: with mdadm's words, if it stays for another reason.
    """
    if not md.is_array(array) or (uuid_meant and md.uuid(array) not in ('', uuid_meant)):
        return
    links, devices = md.paths_of(array), [member.name for member in md.members(array)]
    with _naming(f'Array {array} could not be stopped'):
        code, output = root.stop(array, deadline.limit(MDADM_SECONDS))
    if code and md.has_members_or_runs(array):
        _refuse_to_stop(array, output)

    def is_gone() -> bool:
        return not md.has_members_or_runs(array) and not any(map(files.is_link, links))

    if not wait.holds(is_gone, deadline.within(GONE_SECONDS)):
        left = ', '.join([f'/dev/{array}', *links])
        raise exception.OperationTimedOut(what=f'the removal of {left}', seconds=GONE_SECONDS)
    _stop_late(devices, deadline)
    _stop_empty(array, deadline)


def stop_auto_assembled(devices: Collection[str], deadline: wait.Deadline) -> None:
    """Stop what udev has made of members that are about to go, and of nothing else.

    A member may carry another array. One whose last member is taken away stays behind without any.
    """
    _wait_for_udev(deadline)
    for array in md.arrays_over(devices):
        if all(member.name in devices for member in md.members(array)):
            _stop_udevs(array, deadline)


def _stop_late(devices: Iterable[str], deadline: wait.Deadline) -> None:
    """Stop what udev makes of the members with events from before mdadm ended the array."""
    _wait_for_udev(deadline)
    for array in md.arrays_over(devices):
        if not md.is_running(array):
            _stop_udevs(array, deadline)


def _stop_empty(array: str, deadline: wait.Deadline) -> None:
    """Stop the array without members that the kernel makes where udev opens a node that is going.

    It stays until it is stopped (Linux, drivers/md/md.c: ``create_on_open``, ``UNTIL_IOCTL``).
    """
    is_gone = wait.holds(lambda: not md.is_array(array), deadline.within(EMPTY_SECONDS))
    if not is_gone and not md.has_members_or_runs(array):
        _stop_udevs(array, deadline)


def _wait_for_udev(deadline: wait.Deadline) -> None:
    if not wait.holds(lambda: not files.exists(_UDEV_IS_BUSY), deadline.within(UDEV_SECONDS)):
        LOG.debug('udev is still busy')


def _stop_udevs(array: str, deadline: wait.Deadline) -> None:
    with _naming(f'Array {array}, which udev began to assemble, could not be stopped'):
        root.stop(array, deadline.limit(MDADM_SECONDS))


def _refuse_to_stop(array: str, output: str) -> None:
    md.refuse_users(array)
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
    found, own = md.superblock(device, timeout), md.uuid(array)
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


def drop(array: str, member: md.Member, deadline: wait.Deadline) -> None:
    """Have an array let go of a member that is faulty or to be given up.

    :raises OperationTimedOut: if it does not: it is the last good one, or its I/O hangs.
    """

    def attempt() -> bool:
        now = next((each for each in md.members(array) if each.name == member.name), None)
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
    used, usable = md.used_bytes(array), md.usable_bytes(array)
    if usable < used:
        raise exception.BrickException(
            f'Array {array} is not grown: it uses {used} bytes of each member, and the smallest '
            f'member has {usable} bytes'
        )
    with _naming(f'Array {array} did not grow'):
        _demand(root.grow(array, deadline.limit(MDADM_SECONDS)))
    expected = md.usable_bytes(array)
    if not wait.holds(lambda: block.size_bytes(array) >= expected, deadline.within(RESIZE_SECONDS)):
        raise exception.BrickException(
            f'Array {array} has {block.size_bytes(array)} bytes, and the size of its members is '
            f'enough for {expected} bytes'
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
