# SPDX-License-Identifier: Apache-2.0
"""multipathd makes a map of every disk that comes (``find_multipaths greedy``, or ``no``).

One path is wanted, of a volume whose disk has a map a moment after it has come.
"""

from collections.abc import Iterator
import pathlib
from typing import Any

import pytest

from os_brick.initiator.connectors import fibre_channel, iscsi
from tests.unit.fakehost import array, fabric
from tests.unit.fakehost import host as fake_host


class Stage:
    """A host with one volume, and a caller who wants one path."""

    def __init__(self, host: Any, *, fc: bool) -> None:
        self.host = host
        host.multipathd_is_greedy = True
        if fc:
            target = host.storage()
            host.adapter(target)
            self.props = target.properties()
            self.brick: Any = fibre_channel.FibreChannelConnector(None)
        else:
            target = host.target()
            self.props = target.properties()
            self.brick = iscsi.ISCSIConnector(None)
        self.unit = target.luns[1] = array.Unit()
        self.before = host.snapshot()


@pytest.fixture(params=['iscsi', 'fc'])
def stage(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Stage]:
    fc = request.param == 'fc'
    with (fabric.FabricHost if fc else fake_host.Host)(tmp_path) as host:
        yield Stage(host, fc=fc)


@pytest.mark.parametrize('informed', [False, True])
def test_attach_and_detach(stage: Stage, informed: bool) -> None:
    """The disk is returned, as where it has no map; its own cache is flushed, and the map goes."""
    host = stage.host
    info = stage.brick.connect_volume(stage.props)
    host.settle()
    assert host.node(info['path']) == 'sda'
    assert [disk.name for disk in host.maps['dm-0'].disks] == ['sda']
    assert stage.brick.connect_volume(stage.props) == info
    stage.unit.megabytes += 32
    assert stage.brick.extend_volume(stage.props) == stage.unit.megabytes << 20
    stage.brick.disconnect_volume(stage.props, info if informed else None)
    assert 'sda' in host.flushes
    assert host.snapshot() == stage.before


@pytest.mark.parametrize('stage', ['iscsi'], indirect=True)
def test_the_disk_that_was_returned_is_one_of_several(stage: Stage) -> None:
    """Another attach, by more paths, has brought the other one into the map."""
    host = stage.host
    second = host.target('second')
    second.luns[1] = stage.unit
    before = host.snapshot()
    info = stage.brick.connect_volume(stage.props)
    host.settle()
    other = iscsi.ISCSIConnector(None, use_multipath=True)
    others = other.connect_volume(second.properties())
    assert len(host.maps['dm-0'].disks) == 2
    stage.brick.disconnect_volume(stage.props, info)
    assert host.flushes[0] == 'sda'
    other.disconnect_volume(second.properties(), others)
    assert host.snapshot() == before
