# SPDX-License-Identifier: Apache-2.0
"""Root's verbs of Fibre Channel write exactly one thing into exactly one file of sysfs."""

from collections.abc import Iterator
import pathlib
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import files, process
from os_brick.privileged import fc, zfcp
from tests.unit import seams
from tests.unit.fakehost import tree as fake_tree

DEVICE, WWPN, LUN = '0.0.3080', '0x500a098000000001', '0x0001000000000000'
HOME = f'/sys/bus/ccw/drivers/zfcp/{DEVICE}'


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Iterator[fake_tree.Tree]:
    found = fake_tree.Tree(tmp_path)
    for path in (
        '/sys/class/scsi_host/host2/scan',
        '/sys/class/scsi_host/host3/scan',
        f'{HOME}/port_rescan',
        f'{HOME}/{WWPN}/unit_add',
        f'{HOME}/{WWPN}/unit_remove',
    ):
        found.file(path)
    found.directory('/sys/class/fc_host/host2')
    with files.use(str(tmp_path)), process.use(seams.Programs({})):
        yield found


def test_wide_scan(tree: fake_tree.Tree) -> None:
    fc.scan_widely(2, 7, 5.0)
    assert tree.take('/sys/class/scsi_host/host2/scan') == '- - 7'


def test_wide_scan_of_something_else_than_an_adapter(tree: fake_tree.Tree) -> None:
    with pytest.raises(FileNotFoundError, match='host3'):
        fc.scan_widely(3, 7, 5.0)
    assert tree.take('/sys/class/scsi_host/host3/scan') == ''


@pytest.mark.parametrize(
    ('host', 'lun', 'seconds'),
    [('2', 1, 1.0), (-1, 1, 1.0), (2, '-', 1.0), (2, -1, 1.0), (2, 2**64, 1.0), (2, 1, 0)],
)
def test_wrong_arguments_of_a_scan(tree: fake_tree.Tree, host: Any, lun: Any, seconds: Any) -> None:
    with pytest.raises(exception.InvalidParameterValue):
        fc.scan_widely(host, lun, seconds)


def test_units(tree: fake_tree.Tree) -> None:
    zfcp.rescan_ports(DEVICE, 5.0)
    zfcp.add_unit(DEVICE, WWPN, LUN, 5.0)
    assert tree.take(f'{HOME}/port_rescan') == '1'
    assert tree.take(f'{HOME}/{WWPN}/unit_add') == LUN
    zfcp.remove_unit(DEVICE, WWPN, LUN, 5.0)
    assert tree.take(f'{HOME}/{WWPN}/unit_remove') == LUN


def test_no_such_port(tree: fake_tree.Tree) -> None:
    with pytest.raises(OSError, match='No such file'):
        zfcp.add_unit(DEVICE, '0x500a0980000000ff', LUN, 5.0)


@pytest.mark.parametrize(
    ('device', 'wwpn', 'lun'),
    [
        ('../../etc', WWPN, LUN),
        ('0.0.3080/..', WWPN, LUN),
        ('0.9.3080', WWPN, LUN),
        (DEVICE, WWPN.removeprefix('0x'), LUN),
        (DEVICE, f'{WWPN}/..', LUN),
        (DEVICE, WWPN.upper(), LUN),
        (DEVICE, WWPN, '1'),
        (DEVICE, WWPN, f'{LUN}\n'),
        (None, WWPN, LUN),
        (DEVICE, WWPN, 1),
    ],
)
def test_wrong_arguments_of_units(tree: fake_tree.Tree, device: Any, wwpn: Any, lun: Any) -> None:
    for verb in (zfcp.add_unit, zfcp.remove_unit):
        with pytest.raises(exception.InvalidParameterValue):
            verb(device, wwpn, lun, 5.0)
    assert tree.take(f'{HOME}/{WWPN}/unit_add') == ''
