# SPDX-License-Identifier: Apache-2.0
"""What takes back what an attach has done to mirrors: named verbs with plain arguments.

They run when the operation's time may be up, so each has its own. Devices are named with their
numbers: by the time that a step is run, by another process for example, a name may be another
device's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from os_brick.core import undo, wait
from os_brick.host import block, md, md_acts

Devices = Mapping[str, int]


def numbered(devices: Iterable[str]) -> dict[str, int]:
    """Devices with the kernel's numbers of them, as the verbs take them."""
    return {device: block.inode(device) for device in devices}


def _present(devices: Devices) -> tuple[str, ...]:
    return tuple(d for d, number in devices.items() if number and block.inode(d) == number)


@undo.verb
def stop_new_over(devices: Devices) -> None:
    """Stop the array over members that were blank and free: they have none but the new one."""
    for array in md.arrays_over(_present(devices)):
        md_acts.stop(array, wait.Deadline.after(md_acts.MDADM_SECONDS))


@undo.verb
def stop_over(devices: Devices, uuid: str) -> None:
    """Stop the array of this UUID over members."""
    for array in md.arrays_over(_present(devices)):
        if md.uuid(array) == uuid:
            md_acts.stop(array, wait.Deadline.after(md_acts.MDADM_SECONDS), uuid_meant=uuid)


@undo.verb
def stop_auto_assembled(devices: Devices, seconds: float) -> None:
    """Stop what udev has made of members that are about to go, and of nothing else."""
    md_acts.stop_auto_assembled(_present(devices), wait.Deadline.after(seconds))


@undo.verb
def give_up(array: str, uuid: str, devices: Devices) -> None:
    """Have an array let go of members that this attach has given it."""
    present = _present(devices)
    for member in md.members(array) if md.uuid(array) == uuid else ():
        if member.name in present:
            md_acts.drop(array, member, wait.Deadline.after(md_acts.DROP_SECONDS))
