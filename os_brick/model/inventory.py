# SPDX-License-Identifier: Apache-2.0
"""What is on a host: volumes, the paths to them, and what uses them; as one look has found it.

:mod:`os_brick.host.inventory` reads it. The words of the kernel are kept as they are (``running``,
``live``, ``Blocked``), so that they can be looked up.
"""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import enum


class State(enum.StrEnum):
    """What is to be said of a volume as a whole."""

    #: Every path takes I/O.
    OK = 'ok'
    #: Some path takes no I/O, or a member of an array has failed.
    DEGRADED = 'degraded'
    #: No path takes I/O.
    FAILED = 'failed'


@dataclasses.dataclass(frozen=True, slots=True)
class Unread:
    """Something that could not be read.

    :ivar what: what there is to be known, such as ``which processes have devices open``.
    :ivar why: for what reason, such as ``needs root``.
    """

    what: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """What a volume is called outside this host.

    :ivar volume_id: Cinder's ID, or whatever the caller of the attach has for one.
    :ivar source: who tells: ``note``, ``libvirt`` or ``target``.
    :ivar text: a name for people, if there is one besides the ID.
    :ivar attachment_id: of the attach, if the note has it.
    :ivar since: when it was attached (RFC 3339), if the note has it.
    """

    volume_id: str
    source: str
    text: str = ''
    attachment_id: str = ''
    since: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """What uses a volume, directly or through what is built on it.

    :ivar kind: ``qemu``, ``process``, ``mount``, ``swap``, ``loop``, ``partition``, ``lvm``,
        ``dm-crypt``, ``md``, ``dm``, ``multipath`` or ``holder``.
    :ivar name: what it is called: a process's number, a place, a device.
    :ivar detail: more for people: an instance, a file system, a level.
    :ivar device: the block device that it is, if it is one.
    :ivar size_bytes: of that device.
    :ivar users: what uses that device.
    """

    kind: str
    name: str
    detail: str = ''
    device: str = ''
    size_bytes: int | None = None
    users: tuple[User, ...] = ()

    def all(self) -> Iterator[User]:
        """Itself and all that is above it."""
        yield self
        for user in self.users:
            yield from user.all()


@dataclasses.dataclass(frozen=True, slots=True)
class Path:
    """One path to a volume: a disk, or a namespace behind a controller.

    :ivar device: the kernel's name, such as ``sdc`` or ``nvme2c2n3``.
    :ivar number: the kernel's number of it (the inode of its directory in sysfs): no other one has
        had it since boot, unlike the name.
    :ivar transport: ``iscsi``, ``iser``, ``fc``, ``tcp``, ``rdma``, ``loop``, ``local``.
    :ivar address: of a disk, ``host:channel:target:lun``.
    :ivar state: the kernel's word on the disk or the controller.
    :ivar access: of ALUA or ANA, such as ``active/optimized``; empty where there is none.
    :ivar is_usable: whether the kernel sends I/O on it now.
    :ivar target: the name of the target, the subsystem or the array's node.
    :ivar lun: the LUN, or the namespace's ID.
    :ivar remote: the portal, or the port of the array.
    :ivar local: the port of this host, or the interface.
    :ivar link: what carries it: ``session65``, ``nvme2``, ``rport-7:0-3``.
    :ivar link_state: the kernel's word on that.
    :ivar host: the SCSI host, such as ``host7``.
    :ivar identity: which volume the kernel believes it to be.
    :ivar reported: which volume the device reported when it was asked; empty if it was not.
    :ivar trouble: what is wrong with it, for people; empty if nothing is known to be.
    """

    device: str
    number: int
    transport: str
    address: str = ''
    state: str = ''
    access: str = ''
    is_usable: bool = True
    target: str = ''
    lun: int | None = None
    remote: str = ''
    local: str = ''
    link: str = ''
    link_state: str = ''
    host: str = ''
    size_bytes: int | None = None
    identity: str = ''
    serial: str = ''
    reported: str = ''
    trouble: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """A volume on this host: what users open, the paths to it, and who they are.

    :ivar device: the kernel's name of what users open, such as ``dm-4``, or the source of a share.
    :ivar number: the kernel's number of it, see :attr:`Path.number`; 0 for a share.
    :ivar kind: ``multipath``, ``disk``, ``namespace``, ``rbd``, ``powerflex``, ``storpool``,
        ``nbd``, ``share``.
    :ivar protocol: ``iscsi``, ``iser``, ``fc``, ``nvme-tcp``, ``nvme-rdma``, ``nvme-fc``, ``rbd``,
        ``nfs``, ...; ``local`` for a disk of this host's own.
    :ivar identity: its WWID, UUID or image; empty where it has none.
    :ivar names: what it is called, the most trusted first; of a share, each volume on it.
    :ivar wanted_paths: how many paths the attach wanted, if its note has that.
    :ivar map_name: of a multipath map, its name below ``/dev/mapper``.
    :ivar target: the target or the subsystem, if it is one.
    """

    device: str
    number: int
    kind: str
    protocol: str
    size_bytes: int | None = None
    identity: str = ''
    names: tuple[Name, ...] = ()
    paths: tuple[Path, ...] = ()
    users: tuple[User, ...] = ()
    wanted_paths: int | None = None
    map_name: str = ''
    target: str = ''
    is_read_only: bool = False
    trouble: tuple[str, ...] = ()

    @property
    def name(self) -> Name | None:
        """The most trusted of its names; ``None`` for a share with several volumes on it."""
        is_shared = self.kind == 'share' and len({name.volume_id for name in self.names}) > 1
        return self.names[0] if self.names and not is_shared else None

    @property
    def volume_id(self) -> str:
        """The most trusted of its IDs; empty if none is known, or a share has several."""
        return self.name.volume_id if self.name else ''

    @property
    def path(self) -> str:
        """Where users find it."""
        return self.device if self.kind == 'share' else f'/dev/{self.device}'

    @property
    def ready_paths(self) -> int:
        """How many of its paths take I/O."""
        return sum(path.is_usable for path in self.paths)

    @property
    def expected_paths(self) -> int:
        """How many paths it should have: those that were wanted, or those that are there."""
        return max(self.wanted_paths or 0, len(self.paths))

    @property
    def state(self) -> State:
        """What is to be said of it as a whole."""
        if self.expected_paths and not self.ready_paths:
            return State.FAILED
        is_whole = self.ready_paths == self.expected_paths and not self.trouble
        return State.OK if is_whole else State.DEGRADED

    @property
    def is_used(self) -> bool:
        """Whether anything is known to use it."""
        return any(self.all_users())

    def all_users(self) -> Iterator[User]:
        """All that uses it, at any distance."""
        for user in self.users:
            yield from user.all()


@dataclasses.dataclass(frozen=True, slots=True)
class Port:
    """A port of this host through which it reaches arrays."""

    name: str
    transport: str
    identity: str
    state: str = ''
    speed: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A session or a controller, whether there is a volume behind it or not.

    :ivar name: ``session65``, ``nvme2`` or ``rport-7:0-3``.
    :ivar seconds_until_failure: how long the kernel holds I/O back when it is lost; ``None`` if
        that is not known, or there is no limit.
    """

    name: str
    transport: str
    target: str
    remote: str
    local: str = ''
    state: str = ''
    host: str = ''
    number: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """All that one look has found.

    :ivar at: when (RFC 3339, UTC).
    :ivar unread: what could not be read, and is therefore missing.
    """

    name: str
    at: str
    volumes: tuple[Volume, ...] = ()
    links: tuple[Link, ...] = ()
    ports: tuple[Port, ...] = ()
    unread: tuple[Unread, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every path of every volume."""
        return tuple(path for volume in self.volumes for path in volume.paths)

    def volume_of(self, device: str) -> Volume | None:
        """The volume that a device is, is a path of, or is built on; ``None`` for none."""
        for volume in self.volumes:
            devices = {volume.device, *(path.device for path in volume.paths)}
            if device in devices or device in {user.device for user in volume.all_users()}:
                return volume
        return None
