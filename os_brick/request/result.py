# SPDX-License-Identifier: Apache-2.0
"""What an attach gives back."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Attached:
    """A volume on this host.

    :ivar path: the device, such as ``/dev/sdc`` or ``/dev/dm-4``, or a link of ours to it.
    :ivar wwid: a SCSI volume's identity in udev's spelling; empty for others.
    :ivar is_multipath: whether the device is a multipath map.
    """

    path: str
    wwid: str
    is_multipath: bool = False

    def as_dict(self) -> dict[str, str]:
        """The dictionary the callers of ``connect_volume`` know."""
        found = {'type': 'block', 'path': self.path}
        if self.wwid:
            found['scsi_wwn'] = self.wwid
        if self.is_multipath:
            found['multipath_id'] = self.wwid
        return found
