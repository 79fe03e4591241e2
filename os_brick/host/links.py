# SPDX-License-Identifier: Apache-2.0
"""Links of our own to the devices of encrypted volumes, below ``/dev/disk/by-id``.

An encryptor points such a link to the decrypted device later; udev neither knows nor rewrites it.
The name is what nova keeps in its database, so a plain path is written as ever: each ``/`` as
``+``. A path that has a ``+`` itself is marked and escaped.
"""

from __future__ import annotations

from os_brick.core import files
from os_brick.privileged import links as root

PREFIX = '/dev/disk/by-id/os-brick'
_ESCAPED = '='


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
    if not name.startswith(_ESCAPED):
        return device
    return device.replace('=2b', '+').replace('=3d', '=')


def make(device: str) -> str:
    """Have the link of a device point to it, at once in place of an old one; return the link.

    :raises OSError: if it cannot be made.
    """
    link = name_for(device)
    root.link_root(files.realpath(device), link, force=True)
    return link


def every() -> list[str]:
    """The links of ours, wherever they lead."""
    directory, _, prefix = PREFIX.rpartition('/')
    return [f'{directory}/{name}' for name in files.names(directory) if name.startswith(prefix)]


def where(link: str) -> str:
    """Where a link of ours leads, to put it back with :func:`restore`; empty if there is none."""
    return files.readlink(link) if files.is_link(link) else ''


def restore(link: str, target: str) -> None:
    """Put a link back that was removed.

    :raises OSError: if it cannot be made.
    """
    root.link_root(target, link, force=True)


def remove(link: str) -> None:
    """Remove a link of ours; one that has gone already is not an error.

    :raises OSError: if it cannot be removed.
    """
    if files.is_link(link):
        root.unlink_root(link)
