# SPDX-License-Identifier: Apache-2.0
"""Links of our own to the devices of encrypted volumes, below ``/dev/disk/by-id``.

An encryptor points such a link to the decrypted device later; udev neither knows nor rewrites it.
The name is what nova keeps in its database, so a plain path is written as ever: each ``/`` as
``+``. A path that has a ``+`` itself is marked and escaped.

A path that would make too long a name is replaced by the device's node (``/dev/dm-3``), so that
every name tells its device without help: the link itself leads elsewhere once there is an
encryptor. After a reboot a node is only a hint, as any path is.
"""

from __future__ import annotations

from os_brick.core import files, undo, wait
from os_brick.privileged import links as root

PREFIX = '/dev/disk/by-id/os-brick'
_ESCAPED = '='
_LONGEST_NAME_BYTES = 255  # NAME_MAX
# A name with so many "+" that could be a path's own is not read completely.
_MOST_READINGS = 64
# Root begins within milliseconds with what it was told.
_LATE_SECONDS = 1.0


def name_for(device: str) -> str:
    """The link that belongs to the path of a device."""
    name = device
    if '+' in device:
        name = _ESCAPED + device.replace('=', '=3d').replace('+', '=2b')
    return PREFIX + name.replace('/', '+')


def device_of(path: str) -> str:
    """The device that a link of ours was named after; any other path as it is."""
    if not path.startswith(PREFIX):
        return path
    name = path.removeprefix(PREFIX)
    device = name.removeprefix(_ESCAPED).replace('+', '/')
    if name.startswith(_ESCAPED):
        return device.replace('=2b', '+').replace('=3d', '=')
    return device if _is_device(device) else _former(name) or device


def _former(name: str) -> str | None:
    """The device of a link that an older release made, which wrote a ``+`` as it is.

    :return: ``None`` if no device, or more than one, may be meant.
    """
    first, *rest = name.split('+')
    readings = [first]
    for part in rest:
        inside = [f'{each}/{part}' for each in readings if not each or files.is_directory(each)]
        readings = inside + [f'{each}+{part}' for each in readings if each]
        if len(readings) > _MOST_READINGS:
            return None
    there = list(filter(_is_device, readings))
    return there[0] if len(there) == 1 else None


def _is_device(path: str) -> bool:
    return files.exists(path) and not files.is_directory(path)


def plan(device: str) -> tuple[str, str]:
    """The link that :func:`make` makes to a device, and where it is to lead."""
    node = files.realpath(device)
    link = name_for(device)
    if len(link.rpartition('/')[2].encode()) > _LONGEST_NAME_BYTES:
        link = name_for(node)
    return link, node


def make(device: str) -> str:
    """Have the link of a device point to it, at once in place of an old one; return the link.

    :raises OSError: if it cannot be made.
    """
    link, node = plan(device)
    root.link_root(node, link, force=True)
    return link


def every() -> list[str]:
    """The links of ours, wherever they lead.

    :raises OSError: if their directory cannot be listed.
    """
    directory, _, prefix = PREFIX.rpartition('/')
    try:
        names = files.listed(directory)
    except FileNotFoundError:
        return []
    return sorted(f'{directory}/{name}' for name in names if name.startswith(prefix))


def where(link: str) -> str:
    """Where a link of ours leads, to put it back with :func:`restore`; empty if there is none."""
    return files.readlink(link) if files.is_link(link) else ''


@undo.verb
def take_back(link: str, seen: str, target: str) -> None:
    """Have a link be what it was before :func:`make`.

    :param seen: its :func:`mark` then.
    :param target: where it led then; empty if there was none.
    :raises OSError: if that cannot be done.
    """
    now = mark(link)
    if now and now != seen:
        if target:
            restore(link, target)
        else:
            remove(link, now)


@undo.verb
def await_made(link: str, seen: str) -> None:
    """Wait for a link that root was told to make, as its caller was interrupted.

    :param seen: its :func:`mark` before.
    """
    wait.holds(lambda: mark(link) not in ('', seen), wait.Deadline.after(_LATE_SECONDS))


@undo.verb
def restore(link: str, target: str) -> None:
    """Put a link back that was removed.

    :raises OSError: if it cannot be made.
    """
    root.link_root(target, link, force=True)


def mark(link: str) -> str:
    """What tells this link from another of its name that is made later; empty if there is none."""
    return files.link_mark(link)


@undo.verb
def remove(link: str, seen: str | None = None) -> None:
    """Remove a link of ours; one that has gone already is not an error.

    :param seen: its :func:`mark` while the name was the volume's: another one stays, which was made
        for a volume that has been given the name of the device since.
    :raises OSError: if it cannot be removed.
    """
    if seen is None:
        seen = mark(link)
    if seen:
        root.unlink_seen(link, seen)
