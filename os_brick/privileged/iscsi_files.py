# SPDX-License-Identifier: Apache-2.0
"""The files of open-iscsi's database: found, read, replaced and removed, in either of its places.

open-iscsi keeps them below ``/etc/iscsi`` or, as of late in Debian and ever in Fedora,
``/var/lib/iscsi``. A file is replaced as a whole, so open-iscsi's programs never read half of one;
their lock is not taken, because the caller holds our lock of the portal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
import contextlib
import dataclasses
import os
import stat

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import atomic, files
from os_brick.model import addresses, iscsi_record

LOG = logging.getLogger(__name__)

_HOMES = ('/etc/iscsi', '/var/lib/iscsi')
# open-iscsi's own have 4 KiB.
_LARGEST_RECORD_BYTES = 128 << 10

# Whether a record's text is of use to open-iscsi.
_IsSound = Callable[[str], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class Database:
    """Where open-iscsi has its records on this host, looked up once a root call.

    :ivar homes: the directories that there are.
    """

    homes: tuple[str, ...]

    @classmethod
    def here(cls) -> Database:
        """Return this host's."""
        return cls(tuple(home for home in _HOMES if files.is_directory(home)))

    @classmethod
    def anywhere(cls) -> Database:
        """Return one in each place, for when iscsiadm may have made the directory meanwhile."""
        return cls(_HOMES)

    def require_directories(self, target: str) -> None:
        """Check that a new record can be made.

        :raises BrickException: naming what is in the place of a directory.
        """
        for home in _HOMES:
            for path in (home, f'{home}/nodes', f'{home}/nodes/{target}'):
                if path not in self.homes and _is_obstructed(path):
                    raise exception.BrickException(
                        f'{path} is not a directory, so open-iscsi cannot keep records in it; '
                        'remove it'
                    )

    def node_paths(
        self, target: str, portals: Collection[addresses.Portal]
    ) -> Iterator[tuple[addresses.Portal, str]]:
        """Yield where portals' records are, with a portal group tag or without."""
        for home in self.homes:
            base = f'{home}/nodes/{target}'
            for name in files.names(base):
                address, port, *_ = [*name.split(','), '']
                portal = _portal(address, port)
                if portal is not None and portal in portals:
                    yield from ((portal, path) for path in _layout(f'{base}/{name}'))

    def nodes(
        self, target: str, portals: Collection[addresses.Portal]
    ) -> dict[addresses.Portal, dict[str, str]]:
        """The records of each portal that open-iscsi can use, by path; others are removed.

        :raises BrickException: naming the file, if one can be neither read nor removed.
        """
        found: dict[addresses.Portal, dict[str, str]] = {portal: {} for portal in portals}
        for portal, path in self.node_paths(target, portals):
            record = _sound(path, lambda text: iscsi_record.is_node(text, target))
            if record is not None:
                found[portal][path] = record
        return found

    def remove_empty(self, target: str) -> None:
        """Remove a target's directories that have no record any more."""
        for home in self.homes:
            files.remove_if_empty(f'{home}/nodes/{target}')

    def unlink_dangling(self, target: str, portals: Collection[addresses.Portal]) -> None:
        """Remove open-iscsi's links to records that have gone, one for each discovery method."""
        for home in self.homes:
            sent = f'{home}/send_targets'
            discovered = [f'{sent}/{name}' for name in files.names(sent)]
            for directory in (*discovered, f'{home}/static', f'{home}/isns', f'{home}/fw'):
                for name in files.names(directory):
                    # TARGET,ADDRESS,PORT,TAG,IFACE
                    words = [*name.split(','), '', '']
                    if words[0] == target and _portal(words[1], words[2]) in portals:
                        _unlink_if_dangling(f'{directory}/{name}')

    def discovery_paths(self, portal: addresses.Portal) -> list[str]:
        """Where the records of discoveries at a portal are."""
        found = []
        for home in self.homes:
            for name in files.names(f'{home}/send_targets'):
                address, port, *_ = [*name.split(','), '']
                path = f'{home}/send_targets/{name}/st_config'
                is_meant = _portal(address, port) == portal
                if is_meant and (files.exists(path) or files.is_link(path)):
                    found.append(path)
        return found

    def discoveries(self, portal: addresses.Portal) -> dict[str, str]:
        """The records of discoveries at a portal that open-iscsi can use, by path."""
        paths = self.discovery_paths(portal)
        found = {path: _sound(path, iscsi_record.is_discovery) for path in paths}
        return {path: record for path, record in found.items() if record is not None}


def _portal(address: str, port: str) -> addresses.Portal | None:
    """The portal in a record's name, however it is spelled; ``None`` if there is none."""
    if not port.isdecimal():
        return None
    return addresses.Portal(addresses.ip(address) or address.lower(), int(port))


def _layout(path: str) -> list[str]:
    """The records at a portal's place, which is a directory with one an iface, or the record."""
    if not files.is_directory(path):
        return [path]
    found = [f'{path}/{iface}' for iface in files.names(path)]
    if not found:
        files.remove_if_empty(path)
    return found


@contextlib.contextmanager
def _about(path: str) -> Iterator[None]:
    """Have an error of the block name a file and what to do."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise exception.BrickException(
            f"open-iscsi's record {path} cannot be used: {why}; repair or remove it"
        ) from error


def _sound(path: str, is_sound: _IsSound) -> str | None:
    """The text of a record; one that open-iscsi cannot use is removed, and ``None`` returned.

    :raises BrickException: naming the file, if it can be neither read nor removed.
    """
    with _about(path):
        try:
            record = iscsi_record.decoded(files.read_bytes(path, _LARGEST_RECORD_BYTES))
        except FileNotFoundError:
            record = ''
        except IsADirectoryError:
            files.remove_directory(path)  # Only if it is empty.
            return None
        if is_sound(record):
            return record
        if files.exists(path) or files.is_link(path):
            LOG.warning("open-iscsi's record %s is empty or broken, and is removed", path)
            files.unlink(path)
            files.remove_if_empty(path.rpartition('/')[0])
    return None


def write(path: str, record: str) -> None:
    """Replace a record, or make it.

    :raises BrickException: naming the file, if it cannot be written.
    """
    with _about(path):
        atomic.replace(path, iscsi_record.encoded(record))


def delete(path: str) -> None:
    """Remove a record, and the directory of its portal if it was the last one there.

    :raises BrickException: naming the file, if it stays.
    """
    with _about(path):
        files.unlink(path)
        # The directory of the portal, where there is a portal group tag.
        files.remove_if_empty(path.rpartition('/')[0])


def _unlink_if_dangling(path: str) -> None:
    if files.is_link(path) and not files.exists(path):
        with _about(path):
            files.unlink(path)


def _is_obstructed(path: str) -> bool:
    """Whether something is there that is neither a directory nor a link to one."""
    try:
        found = os.lstat(files.real(path)).st_mode
    except OSError:
        return False
    return not stat.S_ISDIR(found) and not (stat.S_ISLNK(found) and files.is_directory(path))
