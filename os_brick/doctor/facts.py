# SPDX-License-Identifier: Apache-2.0
"""What the doctor knows of a host: frozen, read once, judged by the rules.

A fact that could not be read is ``None``, and :attr:`Facts.unread` says why; a rule has no opinion
on it. What was read of some objects and not of others is among the facts, and in ``unread`` too.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any

from os_brick.model import vpd

ISCSI, FC = 'iscsi', 'fc'
NEEDS_ROOT = 'root is needed'


@dataclasses.dataclass(frozen=True, slots=True)
class Unread:
    """What could not be looked at, and why.

    :ivar fact: the name of a field of :class:`Facts`; the findings that read it are affected.
    :ivar what: the object, in words.
    """

    fact: str
    what: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class SeenDisk:
    """A SCSI disk of a fabric.

    :ivar transport: ``iscsi`` or ``fc``.
    :ivar origin: the target's name, or the WWPN of the far port.
    :ivar session: the number of its iSCSI session; ``None`` over Fibre Channel.
    :ivar known: the identity that the kernel has for it since its first scan.
    :ivar maps: the multipath maps above it.
    :ivar users: what uses it besides these, in words.
    :ivar number: the kernel's number of it (the inode of its directory in sysfs), unlike the name
        no other one's; 0 if it is not known.
    """

    name: str
    address: str
    transport: str
    origin: str
    session: int | None
    state: str
    size_bytes: int
    known: vpd.UnitIdentity
    maps: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    product: str = ''
    max_sectors_kb: int = 0
    number: int = 0

    @property
    def is_running(self) -> bool:
        """Whether the kernel sends commands to it."""
        return self.state == 'running'

    @property
    def is_usable(self) -> bool:
        """Whether it also has a capacity."""
        return self.is_running and self.size_bytes > 0


@dataclasses.dataclass(frozen=True, slots=True)
class SeenMap:
    """A multipath map.

    :ivar members: the disks below it.
    :ivar is_suspended: whether it was at each of several looks.
    :ivar users: what uses it, in words.
    """

    name: str
    wwid: str
    alias: str
    members: tuple[str, ...]
    size_bytes: int
    is_suspended: bool = False
    users: tuple[str, ...] = ()
    max_sectors_kb: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class MapStatus:
    """What the kernel reports of a map to root.

    :ivar queues: whether its I/O waits while it has no path (``queue_if_no_path``).
    """

    open_count: int
    active_paths: int
    queues: bool


@dataclasses.dataclass(frozen=True, slots=True)
class SeenSession:
    """An iSCSI session.

    :ivar recovery_tmo: after how many seconds without a connection its I/O fails; negative: never.
    :ivar initiator: the name that this host has given at the login.
    """

    number: int
    target: str
    portal: str
    state: str
    recovery_tmo: int | None
    initiator: str
    iface: str


@dataclasses.dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node record of open-iscsi.

    :ivar is_ours: whether an attach of this library has prepared it.
    """

    path: str
    target: str
    startup: str
    scan: str
    is_ours: bool


@dataclasses.dataclass(frozen=True, slots=True)
class SeenController:
    """An NVMe controller over fabrics."""

    name: str
    nqn: str
    host_nqn: str
    host_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class LogicalVolume:
    """An active logical volume on a fabric's device.

    :ivar device: the device of the volume it is on: a map, a disk or a namespace.
    :ivar number: as that of a disk.
    """

    dm: str
    alias: str
    device: str
    number: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class HostNames:
    """The names in this host's files; empty where there is none."""

    host_nqn: str = ''
    host_id: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Multipathd:
    """How multipathd answers.

    :ivar state: ``running``, ``down``, or ``mute`` if it takes a connection and does not answer.
    :ivar known: the disks that it knows, with their WWIDs.
    :ivar excluded: the disks whose names its blacklist has.
    :ivar queueing: by WWID, what it does with I/O without a path: ``on``, ``off``, ``5 chk``.
    """

    state: str
    why: str = ''
    known: Mapping[str, str] = dataclasses.field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    queueing: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Processes:
    """The processes of this host, as far as this namespace shows them.

    :ivar states: by the name of a program, the kernel's letters for its processes.
    :ivar shows_host: whether those of the host are shown, not of a container alone.
    :ivar listening: the abstract sockets that a process listens on in this network namespace.
    :ivar wwids_differ: whether a multipathd reads another file of WWIDs than the one here.
    """

    states: Mapping[str, tuple[str, ...]]
    shows_host: bool
    listening: frozenset[str]
    wwids_differ: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What this process sees of the host's devices.

    :ivar without_node: the block devices of the kernel that ``/dev`` does not have.
    :ivar sys_is_read_only: whether ``/sys`` cannot be written to.
    :ivar dev_kind: the file system on ``/dev``, such as ``devtmpfs``; empty if that is unknown.
    """

    without_node: tuple[str, ...] = ()
    sys_is_read_only: bool = False
    dev_kind: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """A service on this host that uses this library, by its configuration.

    :ivar name: such as ``nova``.
    :ivar lock_path: the directory of its lock files; empty if none is configured.
    :ivar wants_multipath: whether it asks for multipath devices.
    :ivar helper: the program that starts its root daemon, in words; empty if it could not be told.
    :ivar helper_fault: what is wrong with that; empty if it was found and fits.
    :ivar note_paths: the directories in which it may have notes of attaches.
    """

    name: str
    path: str
    lock_path: str
    wants_multipath: bool
    helper: str = ''
    helper_fault: str = ''
    note_paths: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Modules:
    """Kernel modules.

    :ivar absent: those asked for that are neither loaded, nor built in, nor on the disk.
    :ivar release: the kernel's.
    """

    absent: frozenset[str]
    release: str


@dataclasses.dataclass(frozen=True, slots=True)
class SeenNote:
    """A note of an attach.

    :ivar state: ``attached``, or the operation that has begun: ``attach``, ``detach``, ``extend``.
    :ivar devices: the names in the kernel that belong to it.
    :ivar identities: the WWIDs or UUIDs that it has written down.
    :ivar process: who works on it, in words; ``is_abandoned`` if that process has ended.
    """

    volume: str
    protocol: str
    state: str
    devices: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    process: str = ''
    is_abandoned: bool = False

    @property
    def is_working(self) -> bool:
        """Whether an operation on it goes on, as far as can be told."""
        return self.state != 'attached' and not self.is_abandoned


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """All of it. A field that is ``None`` could not be read.

    :ivar reported: by disk, the identity that it has reported just now.
    :ivar unmapped: by disk, what the target answered that has nothing at its LUN any more.
    :ivar openers: by disk or map without another user, the processes that have it open.
    :ivar initiator: the iSCSI name in this host's file; empty if there is none.
    :ivar nvme_multipath: the kernel's ``multipath`` parameter; empty without the module.
    :ivar programs: those of storage that are installed.
    """

    disks: Mapping[str, SeenDisk] | None = None
    reported: Mapping[str, vpd.UnitIdentity] | None = None
    unmapped: Mapping[str, str] = dataclasses.field(default_factory=dict)
    maps: Mapping[str, SeenMap] | None = None
    map_status: Mapping[str, MapStatus] | None = None
    openers: Mapping[str, tuple[str, ...]] | None = None
    sessions: Mapping[int, SeenSession] | None = None
    records: tuple[NodeRecord, ...] | None = None
    initiator: str | None = None
    controllers: tuple[SeenController, ...] | None = None
    nvme_multipath: str | None = None
    names: HostNames | None = None
    volumes: tuple[LogicalVolume, ...] | None = None
    multipathd: Multipathd | None = None
    processes: Processes | None = None
    view: View | None = None
    services: tuple[Service, ...] | None = None
    modules: Modules | None = None
    programs: frozenset[str] | None = None
    notes: tuple[SeenNote, ...] | None = None
    unread: tuple[Unread, ...] = ()

    @property
    def known_disks(self) -> Mapping[str, SeenDisk]:
        """The disks; none where they could not be read."""
        return self.disks or {}

    @property
    def known_maps(self) -> Mapping[str, SeenMap]:
        """The maps; none where they could not be read."""
        return self.maps or {}

    @property
    def known_map_status(self) -> Mapping[str, MapStatus]:
        """The status of each map; none where it could not be read."""
        return self.map_status or {}

    @property
    def known_reported(self) -> Mapping[str, vpd.UnitIdentity]:
        """The identity that each disk reports; none where they could not be read."""
        return self.reported or {}

    @property
    def known_openers(self) -> Mapping[str, tuple[str, ...]]:
        """The processes that have devices open; none where they could not be read."""
        return self.openers or {}

    @property
    def known_sessions(self) -> Mapping[int, SeenSession]:
        """The sessions; none where they could not be read."""
        return self.sessions or {}

    @property
    def known_notes(self) -> tuple[SeenNote, ...]:
        """The notes; none where they could not be read."""
        return self.notes or ()

    @property
    def known_services(self) -> tuple[Service, ...]:
        """The services; none where they could not be read."""
        return self.services or ()


def replace(found: Facts, **more: Any) -> Facts:
    """The facts with some more."""
    return dataclasses.replace(found, **more)
