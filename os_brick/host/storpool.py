# SPDX-License-Identifier: Apache-2.0
"""StorPool's devices on this host: the kernel's, and the links that tell which volume each is."""

from __future__ import annotations

from collections.abc import Callable

from os_brick import exception
from os_brick.core import wait
from os_brick.host import block, idle
from os_brick.model import storpool as model

# The kernel has the new size when the cluster has it; the host hears of it within a second.
_GROW_SECONDS = 30.0
# The cluster has confirmed the detach by then; what is left is the kernel's.
_GONE_SECONDS = 15.0
# An attached volume has its size from the start; one that grows meanwhile soon has it again.
_SAME_SIZE_SECONDS = 5.0


def path_of(global_id: str) -> str:
    """The link that StorPool's udev rules make for a volume."""
    return f'{model.BYID}/{global_id}'


def device_of(global_id: str) -> str | None:
    """The kernel's name of the device that a volume's link leads to, if there is one."""
    return block.name_of(path_of(global_id))


def appeared(
    global_id: str, owner: Callable[[str, str], str | None], deadline: wait.Deadline
) -> str:
    """The kernel's name of a volume's device, once it is there.

    :param owner: tells who else a device belongs to: its link may be older than the attachment.
    :raises VolumeDeviceNotFound: if it is not there in time.
    :raises VolumeIdentityMismatch: if its link still leads to another volume's device then.
    """
    foreign = ''

    def probe() -> str | None:
        nonlocal foreign
        device = device_of(global_id)
        foreign = (owner(device, global_id) or '') if device else ''
        return None if foreign else device

    found = wait.poll(probe, deadline)
    path = path_of(global_id)
    if foreign:
        raise exception.VolumeIdentityMismatch(
            device=path, expected=f'volume {global_id}', actual=foreign
        )
    if found is None:
        raise exception.VolumeDeviceNotFound(device=path)
    return found


def require_size(device: str, size: Callable[[], int], deadline: wait.Deadline) -> None:
    """Have a device be as large as its volume.

    :param size: asks the cluster, as the volume may grow meanwhile.
    :raises VolumeIdentityMismatch: if it stays another size.
    """
    seen = wanted = 0

    def is_same() -> bool:
        nonlocal seen, wanted
        seen, wanted = block.size_bytes(device), size()
        return seen == wanted

    if not wait.holds(is_same, deadline.within(_SAME_SIZE_SECONDS)):
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{device}', expected=f'{wanted} bytes', actual=f'{seen} bytes'
        )


def require_unused(device: str) -> None:
    """Have nothing on this host use a device; what merely has it open is the cluster's to tell.

    :raises VolumeInUse: if something does.
    """
    users: list[str] = []

    def is_idle() -> bool:
        users[:] = block.users(device) or block.claimant(device)
        return not users

    if not wait.holds(is_idle, wait.Deadline.after(idle.CLAIM_SECONDS)):
        raise exception.VolumeInUse(device=f'/dev/{device}', holder='; '.join(users))


def require_gone(device: str, number: int, deadline: wait.Deadline) -> None:
    """Have the kernel have removed a device.

    :param number: its :func:`block.inode`: its name may be another volume's by now.
    :raises VolumePathNotRemoved: if it has not in time.
    """
    limit = deadline.within(_GONE_SECONDS)
    if not wait.holds(lambda: block.inode(device) != number, limit):
        raise exception.VolumePathNotRemoved(volume_path=f'/dev/{device}')


def grown(device: str, wanted: int, deadline: wait.Deadline) -> int:
    """The size of a device in bytes, once it is what the cluster has.

    :raises OperationTimedOut: if it stays smaller.
    """

    def probe() -> int | None:
        size = block.size_bytes(device)
        return size if size >= wanted else None

    what = f'/dev/{device} to have {wanted} bytes, as its volume has'
    return wait.until(probe, deadline.within(_GROW_SECONDS), what)
