# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel: this host's ports, the ports they see, and where a LUN behind them is.

All of it stands in sysfs (Linux, drivers/scsi/scsi_transport_fc.c).
"""

from __future__ import annotations

from collections.abc import Collection
import dataclasses
import re

from oslo_log import log as logging

from os_brick.core import files

LOG = logging.getLogger(__name__)

_HOSTS = '/sys/class/fc_host'
_REMOTE = '/sys/class/fc_remote_ports'
_TARGETS = '/sys/class/fc_transport'
_HOST = re.compile(r'host(\d+)')
_REMOTE_NAME = re.compile(r'rport-(?P<host>\d+):(?P<channel>\d+)-\d+')
_TARGET_NAME = re.compile(r'target(?P<host>\d+):(?P<channel>\d+):(?P<id>\d+)')
ONLINE = 'Online'
# The numbers of a host, of a channel of it, and of a target, if it has one.
_Place = tuple[int, int, int | None]
# FC-GS-8: one bit for each type of FC-4 protocol; FCP is type 0x08, NVMe type 0x28.
_FCP_BYTE, _NVME_BYTE, _BIT = 2, 6, 1


@dataclasses.dataclass(frozen=True, slots=True)
class Port:
    """A port of this host.

    :ivar host: the number of its SCSI host.
    :ivar wwpn: its name, 16 digits; ``wwnn`` that of its node.
    :ivar state: the kernel's word: ``Online``, ``Linkdown``, ``Offline``, ...
    :ivar kind: its type in the kernel's words, such as ``NPIV VPORT``.
    :ivar place: where it is in sysfs, with every link followed.
    """

    host: int
    wwpn: str
    wwnn: str
    state: str
    kind: str
    place: str

    @property
    def is_online(self) -> bool:
        """Whether it is connected."""
        return self.state == ONLINE

    def __str__(self) -> str:
        return f'port {self.wwpn} (host{self.host})'


@dataclasses.dataclass(frozen=True, slots=True)
class RemotePort:
    """A port that one of this host's ports sees, or has seen.

    :ivar target_id: the kernel's number of it as a SCSI target, or ``None`` where it has none.
    """

    host: int
    channel: int
    wwpn: str
    state: str
    is_target: bool
    target_id: int | None

    @property
    def is_usable(self) -> bool:
        """Whether LUNs can be looked for behind it now."""
        return self.state == ONLINE and self.is_target and self.target_id is not None

    def __str__(self) -> str:
        number = 'no target id' if self.target_id is None else f'target id {self.target_id}'
        role = number if self.is_target else 'no SCSI target'
        return f'{self.wwpn} ({self.state}, {role})'


@dataclasses.dataclass(frozen=True, slots=True)
class Topology:
    """This host's ports and what they see, at one moment."""

    ports: tuple[Port, ...]
    remotes: tuple[RemotePort, ...]


def topology(names: Collection[str] | None = None) -> Topology:
    """What there is now; each file is read once.

    :param names: those of the remote ports that are asked for; all of them by default.
    """
    return Topology(tuple(ports()), tuple(remote_ports(names)))


def has_ports() -> bool:
    """Whether this host has a Fibre Channel adapter that reports its name."""
    return any(_name(f'{_HOSTS}/{name}/port_name') for name in files.names(_HOSTS))


def ports() -> list[Port]:
    """This host's ports, in whatever state."""
    found = []
    for name in files.names(_HOSTS):
        match, base = _HOST.fullmatch(name), f'{_HOSTS}/{name}'
        wwpn = _name(f'{base}/port_name')
        if match is None or not wwpn:
            LOG.warning('Fibre Channel adapter %s does not report its name', name)
            continue
        found.append(
            Port(
                host=int(match[1]),
                wwpn=wwpn,
                wwnn=_name(f'{base}/node_name'),
                state=files.read_or(f'{base}/port_state'),
                kind=files.read_or(f'{base}/port_type'),
                place=files.realpath(base),
            )
        )
    return sorted(found, key=lambda port: port.host)


def _name(path: str) -> str:
    return files.read_or(path).lower().removeprefix('0x')


def speaks_scsi(port: Port) -> bool:
    """Whether a port carries SCSI; one that only carries NVMe does not.

    Many drivers do not report what theirs carry; those carry SCSI.
    """
    text = files.read_or(f'{_HOSTS}/host{port.host}/supported_fc4s')
    try:
        types = [int(word, 16) for word in text.split()]
    except ValueError:
        return True
    if len(types) <= _NVME_BYTE:
        return True
    return bool(types[_FCP_BYTE] & _BIT or not types[_NVME_BYTE] & _BIT)


def remote_ports(names: Collection[str] | None = None) -> list[RemotePort]:
    """The ports that this host's ports see, or have seen and wait for.

    The kernel may have several of one name on one adapter; each is a target of its own.

    :param names: those that are asked for; all of them by default.
    """
    taken: set[_Place] = set()
    found = _shown_ports(names, taken)
    return sorted(found + _bare_targets(taken, names), key=str)


def _shown_ports(names: Collection[str] | None, taken: set[_Place]) -> list[RemotePort]:
    """Those that the adapters' drivers show as remote ports.

    :param taken: gets the targets of all of them, with those that are not asked for.
    """
    found = []
    for name in files.names(_REMOTE):
        match, base = _REMOTE_NAME.fullmatch(name), f'{_REMOTE}/{name}'
        wwpn = _name(f'{base}/port_name')
        if match is None or not wwpn:
            continue  # It has just gone.
        number = files.read_or(f'{base}/scsi_target_id')
        # The kernel's word for none is -1.
        target_id = int(number) if number.isdecimal() else None
        taken.add((int(match['host']), int(match['channel']), target_id))
        if names is not None and wwpn not in names:
            continue
        found.append(
            RemotePort(
                host=int(match['host']),
                channel=int(match['channel']),
                wwpn=wwpn,
                state=files.read_or(f'{base}/port_state'),
                is_target='FCP Target' in files.read_or(f'{base}/roles'),
                target_id=target_id,
            )
        )
    return found


def ports_without_remotes() -> list[Port]:
    """The ports that are online and whose driver shows no target of theirs, or no number of it.

    A target that has a disk shows by that; others behind the same port do not.
    """
    targets = [remote for remote in _shown_ports(None, set()) if remote.is_target]
    telling = {remote.host for remote in targets if remote.target_id is not None}
    return [port for port in ports() if port.is_online and port.host not in telling]


def telling_hosts() -> set[int]:
    """The adapters whose driver shows remote ports."""
    return {
        int(match['host']) for name in files.names(_REMOTE) if (match := _REMOTE_NAME.match(name))
    }


def _bare_targets(taken: set[_Place], names: Collection[str] | None) -> list[RemotePort]:
    """The SCSI targets of drivers that show no remote ports.

    The kernel shows these once they have a disk.

    :param taken: those of remote ports that are shown.
    """
    found = []
    for name in files.names(_TARGETS):
        match = _TARGET_NAME.fullmatch(name)
        if match is None:
            continue
        where = (int(match['host']), int(match['channel']), int(match['id']))
        wwpn = '' if where in taken else _name(f'{_TARGETS}/{name}/port_name')
        if wwpn and (names is None or wwpn in names):
            found.append(RemotePort(where[0], where[1], wwpn, ONLINE, True, where[2]))  # noqa: FBT003
    return found
