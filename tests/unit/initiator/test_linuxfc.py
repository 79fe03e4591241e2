# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel under its old names."""

from collections.abc import Iterator
import inspect
import pathlib
from typing import Any

import pytest

from os_brick.initiator import linuxfc, linuxscsi
from tests.unit.fakehost import array, fabric, zfcp

Host = fabric.FabricHost


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with Host(tmp_path) as found:
        yield found


@pytest.fixture
def storage(host: Host) -> fabric.Storage:
    found = host.storage(ports=2)
    found.luns[1] = array.Unit()
    host.adapter(found)
    host.adapter(found, sees=[1])
    host.set_adapter(host.adapter(), 'Linkdown')
    return found


@pytest.mark.parametrize(
    ('name', 'arguments'),
    [
        ('get_fc_hbas', ''),
        ('get_fc_hbas_info', 'self'),
        ('get_fc_wwpns', 'self'),
        ('get_fc_wwnns', 'self'),
        ('rescan_hosts', 'self hbas connection_properties'),
        ('_get_hba_channel_scsi_target_lun', 'self hba conn_props'),
        ('configure_scsi_device', 'self device_number target_wwn lun'),
        ('deconfigure_scsi_device', 'self device_number target_wwn lun'),
    ],
)
def test_signatures(name: str, arguments: str) -> None:
    method = getattr(linuxfc.LinuxFibreChannelS390X, name)
    assert ' '.join(inspect.signature(method).parameters) == arguments


def test_classes() -> None:
    kind = linuxfc.LinuxFibreChannel
    assert issubclass(kind, linuxscsi.LinuxSCSI)
    assert kind.FC_HOST_SYSFS_PATH == '/sys/class/fc_host'
    assert kind.HBA_ATTRIBUTES == ('port_name', 'node_name', 'port_state')
    assert issubclass(linuxfc.LinuxFibreChannelPPC64, kind)


def test_adapters(host: Host, storage: fabric.Storage) -> None:
    brick = linuxfc.LinuxFibreChannel(None)
    first, second, third = host.adapters
    assert brick.get_fc_hbas()[0] == {
        'ClassDevice': 'host2',
        'ClassDevicepath': f'{first.base}/fc_host/host2',
        'port_name': f'0x{first.wwpn}',
        'node_name': f'0x{first.wwnn}',
        'port_state': 'Online',
    }
    assert brick.get_fc_hbas_info()[2] == {
        'port_name': third.wwpn,
        'node_name': third.wwnn,
        'host_device': 'host4',
        'device_path': f'{third.base}/fc_host/host4',
    }
    assert brick.get_fc_wwpns() == [first.wwpn, second.wwpn]
    assert brick.get_fc_wwnns() == [first.wwnn, second.wwnn]
    assert len(linuxfc.LinuxFibreChannelS390X(None).get_fc_hbas_info()) == 2


@pytest.mark.parametrize(
    ('more', 'found', 'missing'),
    [
        ({}, [['0', '0', 1], ['0', '1', 1]], set()),
        ({'addressing_mode': 'SAM2', 'target_lun': 300}, [['0', '0', 300], ['0', '1', 300]], set()),
        ({'target_wwns': ['500a0980ffffffff'], 'target_lun': 7}, [], {7}),
        ({'initiator_target_map': {'2100000000000000': ['500a0980ffffffff']}}, [], set()),
    ],
)
def test_targets(
    host: Host, storage: fabric.Storage, more: dict[str, Any], found: Any, missing: Any
) -> None:
    brick = linuxfc.LinuxFibreChannel(None)
    hba = brick.get_fc_hbas_info()[0]
    props = storage.properties(**more)
    assert brick._get_hba_channel_scsi_target_lun(hba, props) == (found, missing)


def test_rescan(host: Host, storage: fabric.Storage) -> None:
    brick = linuxfc.LinuxFibreChannel(None)
    brick.rescan_hosts(brick.get_fc_hbas_info(), storage.properties())
    assert sorted(host.scans) == [(2, '0 0 1'), (2, '0 1 1'), (3, '0 0 1')]


@pytest.mark.parametrize('wanted', [True, False])
def test_wide_rescan(host: Host, wanted: bool) -> None:
    host.tells_nothing = True
    storage = host.storage()
    host.adapter(storage)
    brick = linuxfc.LinuxFibreChannel(None)
    brick.rescan_hosts(brick.get_fc_hbas_info(), storage.properties(enable_wildcard_scan=wanted))
    assert host.scans == [(2, '- - 1')] * wanted


def test_units(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    storage = host.storage()
    host.adapter(storage, place='/sys/devices/css0/0.0.0013/0.0.3080')
    brick = linuxfc.LinuxFibreChannelS390X(None)
    where = ('0.0.3080', f'0x{storage.ports[0]}', '0x0001000000000000')
    unit = host.tree.at(f'{zfcp.DRIVER}/{"/".join(where)}')
    brick.configure_scsi_device(*where)
    assert unit.is_dir()
    brick.deconfigure_scsi_device(*where)
    assert not unit.exists()
    assert not caplog.records
    brick.deconfigure_scsi_device('0.0.9999', *where[1:])
    brick.configure_scsi_device('../..', *where[1:])
    assert [record.levelname for record in caplog.records] == ['WARNING'] * 2
