# SPDX-License-Identifier: Apache-2.0
"""What to do about iSCSI volumes: which paths to take, when to scan."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from os_brick.model import addresses
from os_brick.request import iscsi as request_iscsi

IscsiPath = request_iscsi.IscsiPath


def has_target(asked: IscsiPath, found: Iterable[tuple[addresses.Portal, str]]) -> bool:
    """Whether a discovery has found the target that was asked for, at whatever portal."""
    return any(name.lower() == asked.name.lower() for _, name in found)


def discovered_paths(
    asked: IscsiPath, found: Iterable[tuple[addresses.Portal, str]]
) -> tuple[IscsiPath, ...]:
    """The paths to a volume after a discovery: those with the target name that was asked for.

    Where not every portal has that name the array gives each portal a name of its own, and all
    of them may lead to the volume; who they lead to is found out by the volume's identity. The
    path that was asked for comes first.
    """
    paths = [IscsiPath(portal, name, asked.lun) for portal, name in found]
    portals = {path.portal for path in paths}
    ours = [path for path in paths if path.name.lower() == asked.name.lower()]
    if {path.portal for path in ours} == portals:
        paths = ours
    return tuple(dict.fromkeys([asked, *paths]))


def may_lead(
    asked: IscsiPath, target: str, portals: Collection[addresses.Portal], volume_id: str | None
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
