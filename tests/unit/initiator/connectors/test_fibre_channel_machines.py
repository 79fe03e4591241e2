# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel on POWER, and behind cards of various buses: sysfs there, and udev's names.

The trees are made after the kernel's sources and udev's path_id; no one has recorded them. IBM Z is
in ``host/test_fc_zfcp``.
"""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick.initiator.connectors import fibre_channel, fibre_channel_ppc64
from tests.unit.fakehost import array, fabric

Host = fabric.FabricHost
EITHER = pytest.mark.parametrize('multipath', [False, True])

VIRTUAL = '/sys/devices/vio/30000042'
POWERNV = '/sys/devices/pci0003:00/0003:00:00.0/0003:01:00.1'


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with Host(tmp_path) as found:
        yield found


@EITHER
@pytest.mark.parametrize(('place', 'prefix'), [(VIRTUAL, ''), (POWERNV, 'pci-0003:01:00.1-')])
def test_power(host: Host, multipath: bool, place: str, prefix: str) -> None:
    storage = host.storage(ports=2)
    storage.luns[1] = array.Unit()
    host.adapter(storage, place=place)
    before = host.snapshot()
    brick = fibre_channel_ppc64.FibreChannelConnectorPPC64(None, use_multipath=multipath)
    props = storage.properties()
    info = brick.connect_volume(props)
    host.settle()
    assert brick.get_volume_paths(props) == [
        f'/dev/disk/by-path/{prefix}fc-0x{wwpn}-lun-1'
        for wwpn in storage.ports[: 2 if multipath else 1]
    ]
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


@pytest.mark.parametrize(
    ('place', 'name'),
    [
        ('/sys/devices/pci0000:00/0000:00:04.0', 'pci-0000:00:04.0-'),
        # FCoE: below the network device.
        ('/sys/devices/pci0000:00/0000:00:05.0/net/fc0/ctlr_0', 'pci-0000:00:05.0-'),
        # arm64: the bus is on a platform device.
        (
            '/sys/devices/platform/40000000.pcie/pci0000:00/0000:00:01.0/0000:01:00.1',
            'platform-40000000.pcie-pci-0000:01:00.1-',
        ),
    ],
)
def test_names_behind_cards(host: Host, place: str, name: str) -> None:
    storage = host.storage()
    host.adapter(storage, place=place)
    path = f'/dev/disk/by-path/{name}fc-0x{storage.ports[0]}-lun-1'
    host.tree.file(path)
    brick = fibre_channel.FibreChannelConnector(None)
    assert brick.get_volume_paths(storage.properties()) == [path]


def test_no_name_behind_a_virtual_network_device(host: Host) -> None:
    storage = host.storage()
    storage.luns[1] = array.Unit()
    host.adapter(storage, place='/sys/devices/virtual/net/fc0/ctlr_0')
    brick = fibre_channel.FibreChannelConnector(None)
    brick.connect_volume(storage.properties())
    begun = host.clock.monotonic()
    assert brick.get_volume_paths(storage.properties()) == []
    assert host.clock.monotonic() - begun < 1
