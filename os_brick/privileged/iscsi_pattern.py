# SPDX-License-Identifier: Apache-2.0
"""What iscsiadm makes a new node record of, so that not each login has to start it for that.

A new record has the defaults of ``iscsid.conf`` and what the iface's record says; beside these just
the name of the target and its portal (open-iscsi 2.1.11, ``iscsiadm --op new``). So the first one
that iscsiadm has made for an iface is the pattern of further ones, for as long as the files that it
comes of have not changed. It is kept in the memory of the daemon.
"""

from __future__ import annotations

import dataclasses
import os

from os_brick.core import files
from os_brick.model import addresses, iscsi_record

_DEFAULTS = '/etc/iscsi/iscsid.conf'
_IFACES = ('/etc/iscsi/ifaces', '/var/lib/iscsi/ifaces')
_PROGRAMS = ('/usr/sbin/iscsiadm', '/sbin/iscsiadm', '/usr/bin/iscsiadm')


@dataclasses.dataclass(frozen=True, slots=True)
class _Pattern:
    """A new record.

    :ivar sources: what the files that it comes of were when it was made.
    :ivar home: the directory of the database that it was made in.
    """

    sources: tuple[str, ...]
    home: str
    # iscsid.conf may have a secret.
    text: str = dataclasses.field(repr=False)


_patterns: dict[str, _Pattern] = {}


def sources(iface: str) -> tuple[str, ...]:
    """What the files are that a new record comes of; to be asked before one is made.

    Empty where the defaults are not in their usual place: what is not seen may change.
    """
    if not _content(_DEFAULTS):
        return ()
    places = (_DEFAULTS, *(f'{place}/{iface}' for place in _IFACES), *_PROGRAMS)
    return tuple(map(_content, places))


def _content(path: str) -> str:
    """What tells the content of a file from a later one; empty if there is no file.

    Its number, its size, and when it was changed (ctime, which no one can set back).
    """
    try:
        found = os.stat(files.real(path))
    except OSError:
        return ''
    return f'{found.st_ino}-{found.st_size}-{found.st_ctime_ns}'


def keep(
    known: tuple[str, ...], target: str, portal: addresses.Portal, iface: str, made: dict[str, str]
) -> None:
    """Keep what iscsiadm has made, if further ones can be made of it.

    :param known: the sources before it was made.
    :param made: the record, by its path.
    """
    for path, text in made.items():
        home, _, place = path.partition('/nodes/')
        is_plain = place == _place(target, portal)
        said = {name: iscsi_record.value(text, name) for name in _fields(target, portal)}
        if known and is_plain and said == _fields(target, portal):
            _patterns[iface] = _Pattern(known, home, text)


def new(target: str, portal: addresses.Portal, iface: str) -> tuple[str, str] | None:
    """The path and the text of a new record; ``None`` if iscsiadm has to make it."""
    found = _patterns.get(iface)
    if found is None or found.sources != sources(iface):
        return None
    text = iscsi_record.replaced(found.text, _fields(target, portal))
    return f'{found.home}/nodes/{_place(target, portal)}', text


def _place(target: str, portal: addresses.Portal) -> str:
    # Without a portal group tag: one file a portal.
    return f'{target}/{portal.address},{portal.port}'


def _fields(target: str, portal: addresses.Portal) -> dict[str, str]:
    return {
        'node.name': target,
        'node.conn[0].address': portal.address,
        'node.conn[0].port': str(portal.port),
    }
