# SPDX-License-Identifier: Apache-2.0
"""How platforms name the disk on a path: places of adapters in sysfs, to udev's names."""

import pytest

from os_brick.host import fc, fc_paths, fc_platform

WWPN = '500a09859854e9cd'
PCI = '/sys/devices/pci0000:00/0000:00:03.0/0000:05:00.2/host7'
FCOE = '/sys/devices/pci0000:00/0000:00:03.0/0000:05:00.2/net/eth2/ctlr_0/host7'
PLATFORM = '/sys/devices/platform/40000000.pcie/pci0002:00/0002:00:00.0/0002:01:00.0/host7'
VIRTUAL = '/sys/devices/vio/30000006/host7'


def path(place: str, lun: int = 1) -> fc_paths.FcPath:
    port = fc.Port(7, '2100000000000001', '', 'Online', 'NPort', place)
    remote = fc.RemotePort(7, 0, WWPN, 'Online', is_target=True, target_id=3)
    return fc_paths.FcPath(port, remote, lun)


@pytest.mark.parametrize(
    ('place', 'names'),
    [
        (PCI, [f'pci-0000:05:00.2-fc-0x{WWPN}-lun-1']),
        # The card is above the network device.
        (FCOE, [f'pci-0000:05:00.2-fc-0x{WWPN}-lun-1']),
        (PLATFORM, [f'platform-40000000.pcie-pci-0002:01:00.0-fc-0x{WWPN}-lun-1']),
        (VIRTUAL, []),
        ('', []),
        ('/sys/devices/virtual/host7', []),
    ],
)
def test_links_behind_a_pci_card(place: str, names: list[str]) -> None:
    assert fc_platform.GENERIC.link_names(path(place)) == names


def test_a_virtual_adapter_of_power_is_named_by_the_port() -> None:
    assert fc_platform.PPC64.link_names(path(VIRTUAL)) == [f'fc-0x{WWPN}-lun-1']
    assert fc_platform.PPC64.link_names(path(PCI)) == [
        f'fc-0x{WWPN}-lun-1',
        f'pci-0000:05:00.2-fc-0x{WWPN}-lun-1',
    ]


def test_udev_writes_large_luns_in_its_own_way() -> None:
    (name,) = fc_platform.links_of_port(path(VIRTUAL, 256))
    assert name == f'fc-0x{WWPN}-lun-0x0100000000000000'


def test_a_lun_is_the_kernels_unless_the_platform_counts_otherwise() -> None:
    assert fc_platform.GENERIC.kernel_lun(0x4001) == 0x4001
