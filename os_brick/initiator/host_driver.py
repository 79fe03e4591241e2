# SPDX-License-Identifier: Apache-2.0
"""The default ``driver`` of connectors: what block devices there are."""

from os_brick.core import files

_BY_PATH = '/dev/disk/by-path'


class HostDriver:
    """The block devices of this host."""

    def get_all_block_devices(self) -> list[str]:
        """Return udev's links to all disks by path; none if there are none."""
        return [f'{_BY_PATH}/{name}' for name in files.names(_BY_PATH)]
