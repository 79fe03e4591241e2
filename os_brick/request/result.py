# SPDX-License-Identifier: Apache-2.0
"""What an attach returns, one class a kind of volume; ``as_dict`` is what callers are given."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class BlockDevice:
    """A volume that is a block device of this host.

    :ivar path: its device node, such as ``/dev/sdc`` or ``/dev/dm-4``, or a link to it.
    :ivar wwid: a SCSI volume's identity in udev's spelling, which may be empty; ``None`` for a
        protocol whose volumes have none, and no such key.
    :ivar is_multipath: whether it is a multipath map.
    :ivar kind: what the dictionary says of its ``type``.
    """

    path: str
    wwid: str | None = None
    is_multipath: bool = False
    kind: str = 'block'

    def as_dict(self) -> dict[str, Any]:
        """Return the dictionary that callers of ``connect_volume`` know."""
        found = {'type': self.kind, 'path': self.path}
        if self.wwid is not None:
            found['scsi_wwn'] = self.wwid
        if self.is_multipath and self.wwid is not None:
            found['multipath_id'] = self.wwid
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Handle:
    """A volume without a device: an open object that reads and writes it, as librbd gives it.

    Two handles are equal only if they are one object.
    """

    handle: object

    def as_dict(self) -> dict[str, Any]:
        """Return the dictionary that callers of ``connect_volume`` know."""
        return {'path': self.handle}


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """A volume that is a file of a file system mounted on this host.

    :ivar path: the file.
    """

    path: str

    def as_dict(self) -> dict[str, Any]:
        """Return the dictionary that callers of ``connect_volume`` know."""
        return {'path': self.path}


@dataclasses.dataclass(frozen=True, slots=True)
class LocalCopy:
    """A volume that is a file of this host, which a detach writes back if it was changed.

    :ivar last_modified: its time in seconds, by which that is seen.
    :ivar disk_address: where its virtual machine has the disk; empty if that is not known.
    """

    path: str
    last_modified: float
    disk_address: str = ''

    def as_dict(self) -> dict[str, Any]:
        """Return the dictionary that callers of ``connect_volume`` know."""
        found = {'path': self.path, 'last_modified': self.last_modified}
        return {**found, 'disk_address': self.disk_address} if self.disk_address else found


Attached = BlockDevice | Handle | Share | LocalCopy
