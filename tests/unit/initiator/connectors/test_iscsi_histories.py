# SPDX-License-Identifier: Apache-2.0
"""Any history of attaches, detaches, growths and changes on the array ends with nothing left.

And at each attach: what is returned is the volume that the array has at the LUN now.
"""

import contextlib
import os
import pathlib
import tempfile
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_concurrency import processutils

from os_brick import exception
from os_brick.initiator.connectors import iscsi
from tests import breadth
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

ERRORS = (exception.BrickException, processutils.ProcessExecutionError, OSError)
LUNS = (1, 2)
STEPS = st.tuples(
    st.sampled_from(['attach', 'attach', 'detach', 'grow', 'remap', 'unmap', 'lose', 'close']),
    st.sampled_from(LUNS),
)


class History:
    """One host and one target through a list of steps."""

    def __init__(self, host: fake_host.Host, multipath: bool) -> None:
        self.host = host
        self.target = host.target(portals=2)
        self.target.luns = {lun: array.Unit(f'unit{lun}') for lun in LUNS}
        self.brick = iscsi.ISCSIConnector(None, use_multipath=multipath)
        self.infos: dict[int, dict[str, str]] = {}

    def props(self, lun: int) -> dict[str, Any]:
        return self.target.properties(lun, plural=True)

    def attach(self, lun: int) -> None:
        with contextlib.suppress(*ERRORS):
            info = self.brick.connect_volume(self.props(lun))
            unit = self.target.luns[lun]
            assert info['scsi_wwn'] == unit.wwid
            name = os.path.basename(info['path'])
            disks = (
                self.host.maps[name].disks if name in self.host.maps else [self.host.disks[name]]
            )
            assert disks
            assert all(disk.session.target.luns.get(disk.lun) is unit for disk in disks)
            self.infos[lun] = info

    def detach(self, lun: int) -> None:
        self.brick.disconnect_volume(self.props(lun), self.infos.pop(lun, None))
        assert not [disk for disk in self.host.disks.values() if disk.lun == lun]

    def grow(self, lun: int) -> None:
        if lun in self.target.luns:
            self.target.luns[lun].megabytes += 32
        with contextlib.suppress(*ERRORS):
            size = self.brick.extend_volume(self.props(lun))
            assert size == self.target.luns[lun].megabytes << 20

    def remap(self, lun: int) -> None:
        """The array gives the LUN to another volume; the old one's attachment is forgotten."""
        self.target.luns[lun] = array.Unit(f'other{lun}')
        self.infos.pop(lun, None)

    def unmap(self, lun: int) -> None:
        self.target.luns.pop(lun, None)

    def lose(self, lun: int) -> None:
        """open-iscsi's database is lost."""
        self.host.tree.remove('/var/lib/iscsi/nodes')
        self.host.tree.directory('/var/lib/iscsi/nodes')

    def close(self, lun: int) -> None:
        """One portal refuses new connections from now on."""
        self.target.portals[1].close()


@settings(max_examples=breadth.examples(4, 100), deadline=None)
@given(st.lists(STEPS, max_size=8), st.booleans())
def test_nothing_is_left_and_never_the_wrong_volume(
    steps: list[tuple[str, int]], multipath: bool
) -> None:
    with tempfile.TemporaryDirectory() as place, fake_host.Host(pathlib.Path(place)) as host:
        history = History(host, multipath)
        before = host.snapshot()
        for what, lun in steps:
            getattr(history, what)(lun)
        for lun in LUNS:
            history.detach(lun)
        after = host.snapshot()
        if any(what in ('remap', 'unmap') for what, _ in steps):
            # Whose volume has gone has no disk to tell its WWID from.
            before.pop('/etc/multipath/wwids')
            after.pop('/etc/multipath/wwids')
        assert after == before
