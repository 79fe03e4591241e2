# SPDX-License-Identifier: Apache-2.0
"""Ports as sysfs has them: of this host, and what they see."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick.core import files
from os_brick.host import fc, fc_paths, fc_platform, fc_zfcp
from tests.unit import costs
from tests.unit.fakehost import tree as fake_tree

# Linux 6.12, FCoE in VN2VN mode on an emulated e1000 (shared guest, tests/functional/lab/fc.py).
PLACE = '/sys/devices/pci0000:00/0000:00:10.0/net/fc0/ctlr_0/host2'


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Iterator[fake_tree.Tree]:
    found = fake_tree.Tree(tmp_path)
    with files.use(str(tmp_path)):
        yield found


def host(tree: fake_tree.Tree, name: str = 'host2', **more: str) -> None:
    base = f'{PLACE}/fc_host/{name}'
    values = {
        'port_name': '0x200002FC00000010',
        'node_name': '0x100002fc00000010',
        'port_state': 'Online',
        'port_type': 'NPort (fabric via point-to-point)',
    }
    for key, value in (values | more).items():
        tree.value(f'{base}/{key}', value)
    tree.link(f'/sys/class/fc_host/{name}', base)


def remote(tree: fake_tree.Tree, name: str, **more: str) -> None:
    values = {
        'port_name': '0x200002fc00000012',
        'port_state': 'Online',
        'roles': 'FCP Target',
        'scsi_target_id': '0',
    }
    for key, value in (values | more).items():
        tree.value(f'/sys/class/fc_remote_ports/{name}/{key}', value)


def test_nothing_there(tree: fake_tree.Tree) -> None:
    assert fc.ports() == []
    assert fc.remote_ports() == []


def test_a_port(tree: fake_tree.Tree) -> None:
    host(tree)
    (found,) = fc.ports()
    assert (found.host, found.wwpn, found.wwnn) == (2, '200002fc00000010', '100002fc00000010')
    assert found.is_online
    assert found.place == f'{PLACE}/fc_host/host2'
    assert str(found) == 'port 200002fc00000010 (host2)'


@pytest.mark.parametrize('state', ['Linkdown', 'Offline', 'Bypassed', 'Error', ''])
def test_a_port_that_is_not_online(tree: fake_tree.Tree, state: str) -> None:
    host(tree, port_state=state)
    assert not fc.ports()[0].is_online


def test_a_port_without_a_name_is_left_out(
    tree: fake_tree.Tree, caplog: pytest.LogCaptureFixture
) -> None:
    assert not fc.has_ports()
    host(tree, 'host10', port_name='')
    assert not fc.has_ports()
    host(tree)
    assert fc.has_ports()
    assert [port.host for port in fc.ports()] == [2]
    assert 'host10' in caplog.text


FCP, NVME = 2, 6


@pytest.mark.parametrize(
    ('types', 'expected'),
    [
        ({FCP: 1}, True),
        ({FCP: 1, NVME: 1}, True),
        ({NVME: 1}, False),
        # Drivers that say nothing carry SCSI.
        ({}, True),
        (None, True),
    ],
)
def test_what_a_port_carries(
    tree: fake_tree.Tree, types: dict[int, int] | None, expected: bool
) -> None:
    host(tree)
    if types is not None:
        text = ' '.join(f'{types.get(number, 0):#04x}' for number in range(32))
        tree.value(f'{PLACE}/fc_host/host2/supported_fc4s', f'{text} ')
    assert fc.speaks_scsi(fc.ports()[0]) is expected


@pytest.mark.parametrize('text', ['', 'garbage', '0x00 0x00'])
def test_types_that_say_nothing(tree: fake_tree.Tree, text: str) -> None:
    host(tree)
    tree.value(f'{PLACE}/fc_host/host2/supported_fc4s', text)
    assert fc.speaks_scsi(fc.ports()[0])


@pytest.mark.parametrize(
    ('more', 'is_usable', 'words'),
    [
        ({}, True, '(Online, target id 0)'),
        ({'roles': 'FCP Target, FCP Initiator'}, True, 'target id 0'),
        ({'roles': 'FCP Initiator'}, False, 'no SCSI target'),
        ({'roles': 'NVMe Target, NVMe Discovery'}, False, 'no SCSI target'),
        ({'roles': 'unknown'}, False, 'no SCSI target'),
        ({'port_state': 'Blocked'}, False, 'Blocked'),
        ({'port_state': 'Not Present'}, False, 'Not Present'),
        # It logged in as an initiator first: the kernel gives no number later.
        ({'scsi_target_id': '-1'}, False, 'no target id'),
    ],
)
def test_a_remote_port(
    tree: fake_tree.Tree, more: dict[str, str], is_usable: bool, words: str
) -> None:
    remote(tree, 'rport-2:0-1', **more)
    (found,) = fc.remote_ports()
    assert (found.host, found.channel, found.wwpn) == (2, 0, '200002fc00000012')
    assert found.is_usable is is_usable
    assert words in str(found)


def test_targets_of_drivers_that_show_no_remote_ports(tree: fake_tree.Tree) -> None:
    remote(tree, 'rport-2:0-1')
    for name, wwpn in (('target2:0:0', '0x200002fc00000012'), ('target3:0:4', '0x50')):
        tree.value(f'/sys/class/fc_transport/{name}/port_name', wwpn)
    found = {(each.host, each.target_id, each.is_usable) for each in fc.remote_ports()}
    assert found == {(2, 0, True), (3, 4, True)}


def path(place: str, wwpn: str = '50', lun: int = 1, kind: str = '') -> fc_paths.FcPath:
    own = fc.Port(2, '21', '20', 'Online', kind, place)
    far = fc.RemotePort(2, 0, wwpn, 'Online', is_target=True, target_id=3)
    return fc_paths.FcPath(own, far, lun)


def test_where_a_path_leads() -> None:
    assert str(path('/sys').address) == '2:0:3:1'
    nowhere = fc.RemotePort(2, 0, '50', 'Online', is_target=True, target_id=None)
    with pytest.raises(ValueError, match='no target id'):
        _ = fc_paths.FcPath(path('/sys').port, nowhere, 1).address


@pytest.mark.parametrize(
    ('place', 'expected'),
    [
        ('/sys/devices/pci0000:00/0000:00:03.0/0000:05:00.2/host2/fc_host/host2', '0000:05:00.2'),
        (
            '/sys/devices/pci0000:00/0000:05:00.2/host6/vport-6:0-0/host8/fc_host/host8',
            '0000:05:00.2',
        ),
        ('/sys/devices/pci10000:e0/10000:e0:05.2/host2/fc_host/host2', '10000:e0:05.2'),
        (f'{PLACE}/fc_host/host2', '0000:00:10.0'),
    ],
)
def test_names_of_pci(place: str, expected: str) -> None:
    assert fc_platform.links_of_pci(path(place)) == [f'pci-{expected}-fc-0x50-lun-1']


def test_names_of_pci_on_a_platform() -> None:
    place = '/sys/devices/platform/soc/4000.pcie/pci0000:00/0000:01:00.1/host2/fc_host/host2'
    assert fc_platform.links_of_pci(path(place, lun=300)) == [
        'platform-4000.pcie-pci-0000:01:00.1-fc-0x50-lun-0x012c000000000000'
    ]


@pytest.mark.parametrize('place', ['', '/sys/devices/virtual/net/fc0/ctlr_0/host2/fc_host/host2'])
def test_no_card_no_name(place: str) -> None:
    assert fc_platform.links_of_pci(path(place)) == []


@pytest.mark.parametrize(
    ('place', 'expected'),
    [
        ('/sys/devices/css0/0.0.0013/0.0.3080/host0/fc_host/host0', '0.0.3080'),
        ('/sys/devices/css0/0.0.0013/0.2.1d00/host10/fc_host/host10', '0.2.1d00'),
        (f'{PLACE}/fc_host/host2', ''),
    ],
)
def test_fcp_devices(place: str, expected: str) -> None:
    assert fc_zfcp.device_of(path(place).port) == expected


@pytest.mark.parametrize(
    ('parameter', 'kind', 'expected'),
    [
        ('Y', 'NPIV VPORT', True),
        ('1', 'NPIV VPORT', True),
        ('N', 'NPIV VPORT', False),
        ('Y', 'NPort (fabric via point-to-point)', False),
        (None, 'NPIV VPORT', False),
    ],
)
def test_who_scans_on_s390x(
    tree: fake_tree.Tree, parameter: str | None, kind: str, expected: bool
) -> None:
    if parameter is not None:
        tree.value('/sys/module/zfcp/parameters/allow_lun_scan', parameter)
    assert fc_zfcp.scans_by_itself(path('/sys', kind=kind).port) is expected


def test_only_the_ports_that_are_asked_for_are_read(tree: fake_tree.Tree) -> None:
    """A port of another name keeps its target all the same, whatever name that still shows."""
    wanted = '200002fc00000012'
    remote(tree, 'rport-2:0-0')
    remote(tree, 'rport-2:0-1', port_name='0x200002fc00000013', scsi_target_id='1')
    for number in range(3):
        tree.value(f'/sys/class/fc_transport/target2:0:{number}/port_name', f'0x{wanted}')
    found = fc.remote_ports({wanted})
    assert [(each.wwpn, each.target_id) for each in found] == [(wanted, 0), (wanted, 2)]
    assert {each.target_id for each in fc.remote_ports()} == {0, 1, 2}
    with costs.Counter() as few:
        fc.topology({wanted})
    with costs.Counter() as all_of_them:
        fc.topology()
    assert few.accesses < all_of_them.accesses
