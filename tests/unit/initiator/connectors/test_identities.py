# SPDX-License-Identifier: Apache-2.0
"""Names that change, are cut off, missing, or strange: the volume stays the volume."""

from collections.abc import Callable
from typing import Any

import pytest

from os_brick import exception
from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

Host = fake_host.Host
EITHER = pytest.mark.parametrize('several', [False, True])


def connector(*, several: bool) -> iscsi.ISCSIConnector:
    return iscsi.ISCSIConnector(None, use_multipath=several)


def whole_life(
    host: Host, unit: array.Unit, several: bool, meanwhile: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """Attach, attach again, extend, detach; the data is flushed and nothing is left."""
    target = host.target('t1', portals=2)
    target.luns[1] = unit
    properties = target.properties(plural=True)
    before = host.snapshot()
    info = connector(several=several).connect_volume(properties)
    disks = dict(host.disks)
    meanwhile()
    assert connector(several=several).connect_volume(properties) == info
    assert host.disks == disks, 'no disk of the volume was replaced'
    unit.megabytes = 96
    assert connector(several=several).extend_volume(properties) == 96 << 20
    host.flushes.clear()
    connector(several=several).disconnect_volume(properties, info)
    assert host.flushes
    assert host.snapshot() == before
    return info


@EITHER
def test_a_volume_that_is_renamed_at_the_array(host: Host, several: bool) -> None:
    """LIO: the T10 name has the store's name in it; NAA and serial number stay."""
    unit = array.Unit('old name')
    whole_life(host, unit, several, lambda: setattr(unit, 'name', 'new name'))


@EITHER
def test_vendor_specific_names_of_each_port(host: Host, several: bool) -> None:
    ports = {port: [array.designator(0, 2, b'controller %d' % port)] for port in (1, 2)}
    whole_life(host, array.Unit(names_at=ports), several)


@EITHER
@pytest.mark.parametrize('count', [1, 2, 50, 250])
def test_a_long_page_of_names(host: Host, count: int, several: bool) -> None:
    """Up to 64 KiB; the registered name comes last."""
    names = [
        array.designator(8, 3, b'iqn.2026-11.org.lab:%d' % n + bytes(200)) for n in range(count)
    ]
    unit = array.Unit()
    unit.names = [*names, array.designator(3, 1, unit.naa)]
    assert whole_life(host, unit, several)['scsi_wwn'] == '3' + unit.naa.hex()


@EITHER
@pytest.mark.parametrize('pages', [(), (0x80,)])
def test_a_kernel_without_cached_pages(host: Host, pages: tuple[int, ...], several: bool) -> None:
    """SPC-2, BLIST_SKIP_VPD_PAGES, or its own INQUIRY failed."""
    whole_life(host, array.Unit(kernel_reads=pages), several)


@EITHER
@pytest.mark.parametrize(
    ('name', 'spelled'),
    [
        ('NETAPP  LUN 81LgM$V4waSp', '1NETAPP_LUN_81LgM_V4waSp'),
        ('IET     00010001', '1IET_00010001'),
        ('ACME    a/b(c)!', '1ACME_a_b_c__'),
        ('ACME    größe', '1ACME_größe'),
        ("ACME    x'y;z&`", '1ACME_x_y_z__'),
    ],
)
def test_a_name_with_any_characters(host: Host, name: str, spelled: str, several: bool) -> None:
    """What our own attach returns our detach accepts."""
    names = [array.designator(1, 3, name.encode())]
    unit = array.Unit(names=names, udev_name=spelled)
    assert whole_life(host, unit, several)['scsi_wwn'] == spelled


@EITHER
@pytest.mark.parametrize(
    'text',
    [
        '{wwid}',
        'SLIO-ORG_gold_{serial}',
        '1LIO-ORG_gold:{serial}',
        '1LIO-ORG gold:{serial}',
        '0LIO-ORG_gold',
        '8naa.{naa}',
        'some-link_of-long_ago',
    ],
)
def test_what_an_earlier_release_has_kept(host: Host, text: str, several: bool) -> None:
    """The name of any link in /dev/disk/by-id/scsi-*, or what scsi_id prints."""
    target = host.target('t1', portals=2)
    unit = target.luns[1] = array.Unit('gold')
    properties = target.properties(plural=True)
    before = host.snapshot()
    info = connector(several=several).connect_volume(properties)
    kept = text.format(wwid=unit.wwid, serial=unit.serial, naa=unit.naa.hex())
    connector(several=several).disconnect_volume(properties, info | {'scsi_wwn': kept})
    assert host.snapshot() == before


@EITHER
def test_a_registered_name_of_another_volume_contradicts(host: Host, several: bool) -> None:
    target = host.target('t1', portals=2)
    target.luns[1] = array.Unit('gold')
    other = array.Unit('silver')
    properties = target.properties(plural=True, expected_wwid=other.wwid)
    before = host.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch, match=other.wwid):
        connector(several=several).connect_volume(properties)
    assert host.snapshot() == before


@EITHER
def test_another_volume_in_its_place_has_another_registered_name(host: Host, several: bool) -> None:
    """The error, or the repair, never shows the same name twice."""
    target = host.target('t1', portals=2)
    target.luns[1] = array.Unit('gold')
    properties = target.properties(plural=True)
    connector(several=several).connect_volume(properties)
    new = target.luns[1] = array.Unit('gold')
    assert connector(several=several).connect_volume(properties)['scsi_wwn'] == new.wwid
