# SPDX-License-Identifier: Apache-2.0
"""Names of Fibre Channel as arrays, switches and drivers write them; and whose a disk is by now."""

from collections.abc import Iterator
import pathlib
from typing import Any

import pytest

from os_brick import exception
from os_brick.initiator.connectors import fibre_channel
from tests.unit.fakehost import array, fabric

EITHER = pytest.mark.parametrize('multipath', [False, True])

# A port's name in vendors' documents and as their drivers for Cinder pass it on.
SPELLINGS = [
    '500a098183e2e1b3',  # Linux, /sys/class/fc_remote_ports, without its 0x; NetApp's driver
    '0x500a098183e2e1b3',  # Linux
    '50:0a:09:81:83:e2:e1:b3',  # NetApp ONTAP, "network interface show"; Cisco MDS, Brocade
    '50:00:09:73:00:18:05:18',  # Dell PowerMax
    '50:06:01:60:88:60:0B:1D',  # Dell Unity
    '5000D31000FCBE3D',  # Dell Storage Center
    '500507680140A8D1',  # IBM Storwize, "lsportfc"
    '50050763030BD326',  # IBM DS8000
    '20:01:00:02:AC:00:00:01',  # HPE 3PAR, "showport"
    '20010002AC000001',  # HPE 3PAR's driver
    '50:01:43:80:12:34:56:78',  # HPE MSA
    '50060E8012345600',  # Hitachi VSP
    '50060e8012345600',
    '52:4A:93:7A:6E:B7:4E:00',  # Pure FlashArray
    '524A937A6EB74E00',
    '56:C9:CE:90:4D:77:C6:01',  # HPE Nimble
    '21000022A10B2C3D',  # Huawei OceanStor
    '5001738000140143',  # IBM XIV
    '2100001B32A1B2C3',  # Infinidat, QLogic
    '500000E0D0C40016',  # Fujitsu ETERNUS
    '21:00:00:24:FF:0A:0B:0C',  # a name server of Brocade's
    '0X500A098183E2E1B3',
    ' 500a098183e2e1b3\n',
]
# How the kernel's LUN of a volume is written, and what it is then.
LUNS = [(1, 1), ('1', 1), (0, 0), ('0', 0), (255, 255), (256, 256), ('16383', 16383)]


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[fabric.FabricHost]:
    with fabric.FabricHost(tmp_path) as found:
        yield found


def connector(*, multipath: bool = False) -> Any:
    return fibre_channel.FibreChannelConnector(None, use_multipath=multipath)


@pytest.mark.parametrize('text', SPELLINGS)
def test_a_volume_behind_a_port_in_each_spelling(host: fabric.FabricHost, text: str) -> None:
    """Of the target and, in the map, of this host's port: found, grown, removed."""
    storage = host.storage()
    storage.ports[:] = [text.strip().lower().removeprefix('0x').replace(':', '')]
    adapter = host.adapter(storage)
    unit = storage.luns[1] = array.Unit()
    before = host.snapshot()
    own = ':'.join(adapter.wwpn[n : n + 2] for n in range(0, 16, 2)).upper()
    props = storage.properties(target_wwn=[text], initiator_target_map={own: [text]})
    brick = connector()
    info = brick.connect_volume(props)
    assert host.disk_of(info['path']).unit is unit
    assert len(brick.get_volume_paths(props)) == 1
    unit.megabytes = 96
    assert brick.extend_volume(props) == 96 << 20
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


@pytest.mark.parametrize(('text', 'lun'), LUNS)
def test_a_lun_in_each_form(host: fabric.FabricHost, text: Any, lun: int) -> None:
    storage = host.storage()
    host.adapter(storage)
    storage.luns[lun] = array.Unit()
    before = host.snapshot()
    brick = connector()
    for props in (storage.properties(text), storage.properties(target_luns=[text])):
        info = brick.connect_volume(props)
        assert host.disk_of(info['path']).lun == lun
        brick.disconnect_volume(props, info)
        assert host.snapshot() == before


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        # Both names of a port, as Dell Unity shows them; its driver passes the second half.
        ('target_wwn', '50:06:01:60:88:60:0B:1D:50:06:01:60:08:60:0B:1D'),
        ('target_wwn', '500a098183e2e1b'),
        ('target_wwn', '50-0a-09-81-83-e2-e1-b3'),
        ('target_wwn', 'naa.500a098183e2e1b3'),
        ('target_wwn', 'g00a098183e2e1b3'),
        # Eight bytes in hexadecimal, as zfcp and udev write a LUN, are not a decimal number.
        ('target_lun', '0x0001000000000000'),
        ('target_lun', '0x1'),
        ('target_lun', '1,2'),
        ('target_luns', ['0x4001400100000000']),
    ],
)
def test_what_is_another_name_is_named(host: fabric.FabricHost, key: str, value: Any) -> None:
    storage = host.storage()
    host.adapter(storage)
    storage.luns[1] = array.Unit()
    before = host.snapshot()
    for call in ('connect_volume', 'extend_volume', 'get_volume_paths'):
        with pytest.raises(exception.InvalidParameterValue, match=key):
            getattr(connector(), call)(storage.properties(**{key: value}))
    assert host.snapshot() == before


@EITHER
def test_paths_of_a_volume_by_its_identity(host: fabric.FabricHost, multipath: bool) -> None:
    """What is at its LUN may be another volume by now: then there are no paths to it."""
    storage = host.storage(ports=2)
    host.adapter(storage)
    unit = storage.luns[1] = array.Unit('gold')
    brick = connector(multipath=multipath)
    props = storage.properties()
    info = brick.connect_volume(props)
    found = brick.get_volume_paths(props)
    assert len(found) == (2 if multipath else 1)
    assert {host.disk_of(path).unit.name for path in found} == {'gold'}
    for key in ('scsi_wwn', 'expected_wwid'):
        assert brick.get_volume_paths({**props, key: unit.wwid}) == found
        assert brick.get_volume_paths({**props, key: array.Unit('other').wwid}) == []
    # A path that was kept is no identity: it leads nowhere else.
    assert brick.get_volume_paths({**props, 'device_path': '/dev/sdz'}) == found
    brick.disconnect_volume(props, info)


def test_paths_of_two_volumes_behind_one_lun_number(host: fabric.FabricHost) -> None:
    """After a reboot the kernel's names are given anew, and one array comes first."""
    storages = [host.storage(), host.storage()]
    adapter = host.adapter()
    for storage, name in zip(storages, ('gold', 'silver'), strict=True):
        storage.luns[1] = array.Unit(name)
        host.see(adapter, storage, storage.ports[0])
    brick = connector()
    kept = brick.connect_volume(storages[0].properties())
    node = host.node(kept['path'])
    for disk in list(host.disks.values()):
        host.remove_disk(disk)
    host.settle()
    brick.connect_volume(storages[1].properties())
    assert list(host.disks) == [node]
    by_name = {**storages[0].properties(), 'device_path': f'/dev/{node}'}
    assert brick.get_volume_paths(by_name) == []
    brick.connect_volume(storages[0].properties())
    (path,) = brick.get_volume_paths(by_name)
    assert host.disk_of(path).unit.name == 'gold'


@EITHER
def test_a_lun_that_is_another_volume_has_no_path(host: fabric.FabricHost, multipath: bool) -> None:
    """The array has given it to another volume, and the kernel knows, on one path or on both."""
    storage = host.storage(ports=2)
    host.adapter(storage)
    gold = storage.luns[1] = array.Unit('gold')
    brick = connector(multipath=multipath)
    props = storage.properties(expected_wwid=gold.wwid)
    brick.connect_volume(props)
    first, *_others = brick.get_volume_paths(props)
    stale = host.disk_of(first)
    storage.behind[stale.session.wwpn] = {1: array.Unit('silver')}
    host._rescan(stale)
    found = brick.get_volume_paths(props)
    assert first not in found
    assert len(found) == (1 if multipath else 0)
