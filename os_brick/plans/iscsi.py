# SPDX-License-Identifier: Apache-2.0
"""What to do about iSCSI volumes: which ways to take, when to scan."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from os_brick.model import addresses
from os_brick.request import iscsi as props_iscsi

Target = props_iscsi.Target


def has_target(asked: Target, found: Iterable[tuple[addresses.Portal, str]]) -> bool:
    """Whether a discovery has found the target that was asked for, at whatever portal."""
    return any(name.lower() == asked.name.lower() for _, name in found)


def discovered_ways(
    asked: Target, found: Iterable[tuple[addresses.Portal, str]]
) -> tuple[Target, ...]:
    """The ways to a volume after a discovery: those with the target name that was asked for.

    Where not every portal has that name the array gives each portal a name of its own, and all
    of them may lead to the volume; who they lead to is found out by the volume's identity. The
    way that was asked for comes first.
    """
    ways = [Target(portal, name, asked.lun) for portal, name in found]
    portals = {way.portal for way in ways}
    ours = [way for way in ways if way.name.lower() == asked.name.lower()]
    if {way.portal for way in ours} == portals:
        ways = ours
    return tuple(dict.fromkeys([asked, *ways]))


def may_lead(
    asked: Target, target: str, portals: Collection[addresses.Portal], volume_id: str | None
) -> bool:
    """Whether a session that the caller did not name may have been made for its volume.

    So it may where the array gives each portal a target name of its own, and the attach has
    discovered them. Not at the very portal that was asked, which has the name that was asked for;
    and not behind a name without the volume's ID where the one that was asked for has it: such
    arrays (LIO and tgt under cinder's LVM driver) make a target for each volume.
    """
    if target.lower() == asked.name.lower():
        return True
    if asked.portal in portals:
        return False
    has_own_target = volume_id is not None and volume_id.lower() in asked.name.lower()
    return not has_own_target or str(volume_id).lower() in target.lower()


def may_end(luns: Collection[int], lun: int, *, is_forced: bool) -> bool:
    """Whether a session may end when a volume has gone: no other LUN is behind it.

    :param luns: the LUNs the kernel has a device for behind the session.
    :param is_forced: whether the volume's own LUN does not count, though it would not go.
    """
    return not luns or (is_forced and set(luns) == {lun})
