# SPDX-License-Identifier: Apache-2.0
"""open-iscsi's records on disk: read, and given settings that must not be on a command line.

A record is a text of lines ``name = value``. open-iscsi keeps them below ``/etc/iscsi`` or, as of
late in Debian and ever in Fedora, ``/var/lib/iscsi``. A file is replaced as a whole, so
open-iscsi's programs never read half of one; their lock is not taken, because whoever logs in to
a target holds ours.
"""

from __future__ import annotations

from collections.abc import Mapping
import re

from os_brick import exception, privileged
from os_brick.core import files
from os_brick.privileged import check

_HOMES = ('/etc/iscsi', '/var/lib/iscsi')
_INITIATOR_NAME = '/etc/iscsi/initiatorname.iscsi'
_END = '# END RECORD'
_SETTING = re.compile(r'(?:node|discovery)\.[a-z0-9_.\[\]]{1,80}')
# Records as they were before the last settings of ours; secrets, which root keeps to itself.
_before: dict[str, str] = {}


def _node_files(target: str, address: str, port: int, iface: str) -> list[str]:
    """The record's file in either of the two layouts: with a portal group tag, and without."""
    portal = f'{check.address(address)},{check.port(port)}'
    found = []
    for home in _HOMES:
        base = f'{home}/nodes/{check.target(target)}'
        for name in files.names(base):
            if name != portal and not name.startswith(f'{portal},'):
                continue
            path = f'{base}/{name}'
            path = f'{path}/{check.iface(iface)}' if files.is_directory(path) else path
            if files.exists(path) and _value(files.read(path), 'iface.iscsi_ifacename') == iface:
                found.append(path)
    return found


def _value(record: str, name: str) -> str:
    for line in record.splitlines():
        key, _, value = line.partition(' = ')
        if key.strip() == name:
            return value.strip()
    return ''


def _with(record: str, settings: Mapping[str, str]) -> str:
    kept = [
        line
        for line in record.splitlines()
        if line.partition(' = ')[0].strip() not in settings and line != _END
    ]
    return '\n'.join([*kept, *(f'{name} = {value}' for name, value in settings.items()), _END, ''])


def _checked(settings: Mapping[str, str]) -> dict[str, str]:
    for name, value in settings.items():
        if not _SETTING.fullmatch(name):
            raise exception.InvalidParameterValue(
                err=f'{name!r} is not a known setting of open-iscsi'
            )
        check.record_value(value, f'value of {name}')
    return dict(settings)


@privileged.entrypoint
def has_node(target: str, address: str, port: int, iface: str) -> bool:
    """Whether there is a node record."""
    return bool(_node_files(target, address, port, iface))


@privileged.entrypoint
def configure_node(
    target: str, address: str, port: int, iface: str, settings: dict[str, str]
) -> bool:
    """Give a node record settings; returns whether it was found.

    What it was before is kept here, in the root daemon, for :func:`restore_node`.

    :raises OSError: if it cannot be written.
    """
    found = _node_files(target, address, port, iface)
    for path in found:
        before = files.read_bytes(path).decode('utf-8', 'replace')
        files.replace(path, _with(before.strip(), _checked(settings)))
        _before[path] = before
    return bool(found)


@privileged.entrypoint
def restore_node(target: str, address: str, port: int, iface: str) -> bool:
    """Give a node record back what it had before it was configured; returns whether it is known.

    :raises OSError: if it cannot be written.
    """
    found = [path for path in _node_files(target, address, port, iface) if path in _before]
    for path in found:
        files.replace(path, _before.pop(path))
    return bool(found)


@privileged.entrypoint
def delete_node(target: str, address: str, port: int, iface: str) -> bool:
    """Delete a node record and what discoveries have linked to it; returns whether there was one.

    ``iscsiadm --op delete`` does the same, and knows no way to leave alone a record that another
    login is just making.

    :raises OSError: if it cannot be deleted.
    """
    found = _node_files(target, address, port, iface)
    for path in found:
        _before.pop(path, None)
        files.unlink(path)
        # The directories of the portal (where there is a portal group tag) and of the target.
        for directory in (
            path.rpartition('/')[0],
            f'{path.partition("/nodes/")[0]}/nodes/{target}',
        ):
            files.remove_if_empty(directory)
    for home in _HOMES:
        links = f'{home}/send_targets/*/{target},{address},{port},*,{iface}'
        for link in filter(files.is_link, files.glob(links)):
            files.unlink(link)
    return bool(found)


@privileged.entrypoint
def nodes(target: str) -> list[tuple[str, int, str]]:
    """Address, port and iface of each node record of a target."""
    found = set()
    for home in _HOMES:
        base = f'{home}/nodes/{check.target(target)}'
        for name in files.names(base):
            address, port, *_ = [*name.split(','), '']
            inside = files.names(f'{base}/{name}') if files.is_directory(f'{base}/{name}') else []
            for iface in inside or [
                _value(files.read_or(f'{base}/{name}'), 'iface.iscsi_ifacename')
            ]:
                if port.isdecimal():
                    found.add((address, int(port), iface or 'default'))
    return sorted(found)


def _discovery_files(address: str, port: int) -> list[str]:
    place = f'send_targets/{check.address(address)},{check.port(port)}/st_config'
    return [path for home in _HOMES if files.exists(path := f'{home}/{place}')]


@privileged.entrypoint
def has_discovery(address: str, port: int) -> bool:
    """Whether there is a record for discoveries at a portal."""
    return bool(_discovery_files(address, port))


@privileged.entrypoint
def configure_discovery(address: str, port: int, settings: dict[str, str]) -> bool:
    """Give the record for discoveries at a portal settings; returns whether it was found.

    :raises OSError: if it cannot be written.
    """
    found = _discovery_files(address, port)
    for path in found:
        files.replace(path, _with(files.read(path), _checked(settings)))
    return bool(found)


@privileged.entrypoint
def initiator_name() -> str | None:
    """This host's iSCSI name, or ``None`` where it has none."""
    try:
        text = files.read(_INITIATOR_NAME)
    except OSError:
        return None
    for line in text.splitlines():
        name, separator, value = line.partition('=')
        if name.strip() == 'InitiatorName' and separator:
            return value.strip() or None
    return None
