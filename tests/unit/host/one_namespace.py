# SPDX-License-Identifier: Apache-2.0
"""A host with one NVMe namespace over two controllers."""

from os_brick.host import block, nvme
from tests.unit.fakehost import nvme as fake_nvme


class Here:
    """A namespace over two controllers that someone has made."""

    def __init__(self, fabric: fake_nvme.StrikingFabric) -> None:
        self.subsystem = fabric.subsystem('one', portals=2)
        self.volume = self.subsystem.namespaces[1] = fake_nvme.Volume('gold')
        self.names = [
            fabric.by_hand(self.subsystem, each) for each in sorted(self.subsystem.portals)
        ]
        self.head = fabric.head(self.names[0], 1)
        self.number = block.inode(self.head)
        self.paths = nvme.paths_of(self.head)
        assert len(self.paths) == 2
