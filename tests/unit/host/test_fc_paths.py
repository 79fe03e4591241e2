# SPDX-License-Identifier: Apache-2.0
"""Pairs of ports: where the kernel has a LUN behind one, and when it can be used."""

import dataclasses
import pathlib

import pytest

from os_brick.core import files
from os_brick.host import fc, fc_paths, scsi

PORT = fc.Port(7, '2100000000000001', '2000000000000001', 'Online', 'NPort', '/sys/x/host7')
REMOTE = fc.RemotePort(7, 0, '500a09859854e9cd', 'Online', is_target=True, target_id=3)
PATH = fc_paths.FcPath(PORT, REMOTE, 258)


def test_where_the_lun_is() -> None:
    assert PATH.address == scsi.Address(7, 0, 3, 258)


def test_a_port_without_a_number_as_a_target_has_no_luns() -> None:
    remote = dataclasses.replace(REMOTE, target_id=None)
    with pytest.raises(ValueError, match='has no SCSI target'):
        _ = dataclasses.replace(PATH, remote=remote).address


@pytest.mark.parametrize(
    ('own', 'far', 'is_usable'),
    [
        ('Online', 'Online', True),
        ('Linkdown', 'Online', False),
        ('Online', 'Blocked', False),
        ('Online', 'Not Present', False),
    ],
)
def test_both_ports_have_to_be_online(own: str, far: str, is_usable: bool) -> None:
    path = fc_paths.FcPath(
        dataclasses.replace(PORT, state=own), dataclasses.replace(REMOTE, state=far), 1
    )
    assert path.is_usable is is_usable


def test_a_path_in_words_names_both_ports_and_the_lun() -> None:
    for word in ('LUN 258', REMOTE.wwpn, str(PORT)):
        assert word in str(PATH)


def test_devices_with_a_lun_are_those_of_the_adapter(tmp_path: pathlib.Path) -> None:
    names = ('7:0:3:2', '7:0:11:2', '7:1:3:2', '7:0:3:22', '17:0:3:2', 'host7', 'target7:0:3')
    for name in names:
        (tmp_path / 'sys/bus/scsi/devices' / name).mkdir(parents=True)
    with files.use(str(tmp_path)):
        found = fc_paths.devices_at(PORT, 2)
    assert sorted(map(str, found)) == ['7:0:11:2', '7:0:3:2', '7:1:3:2']
