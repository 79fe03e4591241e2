# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel on IBM Z: units, what the kernel scans for by itself, and udev's names.

The trees are made after the kernel's sources and udev's path_id; no one has recorded them. One real
machine of IBM Z is known by what IBM's documentation prints of it.
"""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick import exception
from os_brick.host import fc_zfcp
from os_brick.initiator.connectors import fibre_channel_s390x
from tests.unit.fakehost import array, fabric, zfcp

Host = fabric.FabricHost
EITHER = pytest.mark.parametrize('multipath', [False, True])

FCP_DEVICES = ('/sys/devices/css0/0.0.0013/0.0.3080', '/sys/devices/css0/0.0.0015/0.0.3181')


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with Host(tmp_path) as found:
        yield found


@pytest.fixture
def storage(host: Host) -> fabric.Storage:
    """Two FCP devices see a port of an array."""
    found = host.storage()
    found.luns[1] = array.Unit('gold')
    for place in FCP_DEVICES:
        host.adapter(found, place=place)
    return found


def units(host: Host) -> set[str]:
    return {
        path.removeprefix(zfcp.DRIVER)
        for path in host.snapshot()
        if path.startswith(f'{zfcp.DRIVER}/')
        and path.count('/') == 8
        and path.rpartition('/')[2].startswith('0x')
    }


def ports_known(host: Host) -> None:
    """What a port rescan leaves: the kernel knows the ports from then on, and never forgets."""
    for place in FCP_DEVICES:
        host.tree.file(f'{zfcp.DRIVER}/{place.rpartition("/")[2]}/port_rescan', '1')
    host.settle()


@EITHER
def test_a_unit_for_each_path(host: Host, storage: fabric.Storage, multipath: bool) -> None:
    ports_known(host)
    before = host.snapshot()
    brick = fibre_channel_s390x.FibreChannelConnectorS390X(None, use_multipath=multipath)
    props = storage.properties()
    info = brick.connect_volume(props)
    host.settle()
    assert info['scsi_wwn'] == storage.luns[1].wwid
    assert units(host) == {
        f'/{device}/0x{storage.ports[0]}/0x0001000000000000'
        for device in ('0.0.3080', '0.0.3181')[: 2 if multipath else 1]
    }
    storage.luns[1].megabytes = 96
    assert brick.extend_volume(props) == 96 << 20
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_ports_are_looked_for_where_they_are_unknown(host: Host, storage: fabric.Storage) -> None:
    brick = fibre_channel_s390x.FibreChannelConnectorS390X(None)
    info = brick.connect_volume(storage.properties())
    assert len(units(host)) == 1
    brick.disconnect_volume(storage.properties(), info)
    assert not units(host)


@EITHER
def test_no_units_where_the_kernel_scans(
    host: Host, storage: fabric.Storage, multipath: bool
) -> None:
    """NPIV, and the module's parameter allows it."""
    host.tree.value(zfcp.ALLOWED, 'Y')
    for adapter in host.adapters:
        kind = f'{adapter.base}/fc_host/host{adapter.host}/port_type'
        host.tree.value(kind, 'NPIV VPORT')
    before = host.snapshot()
    brick = fibre_channel_s390x.FibreChannelConnectorS390X(None, use_multipath=multipath)
    info = brick.connect_volume(storage.properties())
    assert not units(host)
    assert host.scans
    brick.disconnect_volume(storage.properties(), info)
    assert host.snapshot() == before


@pytest.mark.parametrize(
    ('asked', 'kernel', 'text'),
    [
        (1, 1, '0x0001000000000000'),
        (255, 255, '0x00ff000000000000'),
        (0x4010, 0x4010, '0x4010000000000000'),
        # Two levels: callers write them in the order of FCP, the kernel the other way round.
        (0x40104001, 0x40014010, '0x4010400100000000'),
    ],
)
def test_luns(host: Host, storage: fabric.Storage, asked: int, kernel: int, text: str) -> None:
    ports_known(host)
    storage.luns = {kernel: array.Unit('deep')}
    before = host.snapshot()
    brick = fibre_channel_s390x.FibreChannelConnectorS390X(None)
    props = storage.properties(asked)
    info = brick.connect_volume(props)
    assert {path.rpartition('/')[2] for path in units(host)} == {text}
    assert [path.rpartition('/')[2] for path in brick.get_volume_paths(props)] == [
        f'ccw-0.0.3080-fc-0x{storage.ports[0]}-lun-{text if kernel > 255 else kernel}'
    ]
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_the_machine_in_ibms_documentation(host: Host) -> None:
    """What readlink prints of a SCSI device, its FCP LUN, port and FCP device, and udev's name.

    "Linux on IBM Systems": "Mapping the representations of a SCSI device in sysfs".
    """
    whole = '/sys/devices/css0/0.0.000a/0.0.1800/host2/rport-2:0-1/target2:0:1/2:0:1:1074741413'
    lun, port = '0x40a5400f00000000', '50050763030bd327'
    storage = fabric.Storage(['50050763030b1234', port])
    storage.luns[1074741413] = array.Unit('gold')
    host.adapter(storage, place='/sys/devices/css0/0.0.000a/0.0.1800')
    host.tree.file(f'{zfcp.DRIVER}/0.0.1800/port_rescan', '1')
    host.settle()
    before = host.snapshot()
    brick = fibre_channel_s390x.FibreChannelConnectorS390X(None)
    props = {'target_wwn': [f'0x{port}'], 'target_lun': int(lun[:10], 16)}
    info = brick.connect_volume(props)
    name = host.node(info['path'])
    assert host.tree.at(f'/sys/block/{name}/device').resolve() == host.tree.at(whole).resolve()
    assert host.tree.at(whole).is_dir()
    assert units(host) == {f'/0.0.1800/0x{port}/{lun}'}
    host.settle()
    assert brick.get_volume_paths(props) == [
        f'/dev/disk/by-path/ccw-0.0.1800-fc-0x{port}-lun-{lun}'
    ]
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_a_lun_of_three_levels_is_refused(host: Host, storage: fabric.Storage) -> None:
    brick = fibre_channel_s390x.FibreChannelConnectorS390X(None)
    with pytest.raises(exception.InvalidParameterValue, match='target_lun'):
        brick.connect_volume(storage.properties(1 << 40))


def test_a_failed_attach_leaves_no_unit(host: Host, storage: fabric.Storage) -> None:
    ports_known(host)
    before = host.snapshot()
    brick = fibre_channel_s390x.FibreChannelConnectorS390X(None, use_multipath=True)
    with pytest.raises(exception.NoFibreChannelVolumeDeviceFound):
        brick.connect_volume(storage.properties(9))
    assert host.snapshot() == before


def test_questions_configure_nothing(host: Host, storage: fabric.Storage) -> None:
    ports_known(host)
    before = host.snapshot()
    brick = fibre_channel_s390x.FibreChannelConnectorS390X(None, use_multipath=True)
    props = storage.properties()
    assert brick.get_volume_paths(props) == []
    assert brick.get_connector_properties(None)['wwpns'] == [a.wwpn for a in host.adapters]
    with pytest.raises(exception.VolumePathsNotFound):
        brick.extend_volume(props)
    brick.disconnect_volume(props, None)
    assert host.snapshot() == before


@pytest.mark.parametrize(
    ('name', 'is_known'),
    [
        ('ccw-0.0.3080-zfcp-0x{}:0x0001000000000000', True),
        ('ccw-0.0.3080-fc-0x{}-lun-1', True),
        ('ccw-0.0.3080-fc-0x{}-lun-0x0001000000000000', True),
        ('ccw-0.0.9999-fc-0x{}-lun-1', False),
        ('pci-0000:00:04.0-fc-0x{}-lun-1', False),
    ],
)
def test_names_of_various_distributions(
    host: Host, storage: fabric.Storage, name: str, is_known: bool
) -> None:
    path = f'/dev/disk/by-path/{name.format(storage.ports[0])}'
    host.tree.file(path)
    found = fibre_channel_s390x.FibreChannelConnectorS390X(None).get_volume_paths(
        storage.properties()
    )
    assert found == [path] * is_known


@pytest.mark.parametrize(
    ('named', 'kernel', 'fcp'),
    [
        (0, 0, '0x0000000000000000'),
        (255, 255, '0x00ff000000000000'),
        (0x4010, 0x4010, '0x4010000000000000'),
        (0xFFFF, 0xFFFF, '0xffff000000000000'),
        # Two levels, in the order of FCP: the kernel has the first one in its low bits.
        (0x40104001, 0x40014010, '0x4010400100000000'),
        (0x40104020, 0x40204010, '0x4010402000000000'),
        (0x10000, 0x1, '0x0001000000000000'),
    ],
)
def test_spellings_of_a_lun(named: int, kernel: int, fcp: str) -> None:
    assert fc_zfcp.kernel_lun(named) == kernel
    assert fc_zfcp.fcp_lun(kernel) == fcp


@pytest.mark.parametrize('function', [fc_zfcp.kernel_lun, fc_zfcp.fcp_lun])
def test_a_lun_of_more_than_two_levels_is_refused(function) -> None:
    with pytest.raises(ValueError, match='more than two levels'):
        function(1 << 32)


def test_luns_of_three_levels() -> None:
    for step in (fc_zfcp.kernel_lun, fc_zfcp.fcp_lun):
        with pytest.raises(ValueError, match='two levels'):
            step(1 << 32)
