# SPDX-License-Identifier: Apache-2.0
"""SCSI disks of a host: where they are, who they report to be, and how they go."""

import pytest

from os_brick.core import wait
from os_brick.host import inquiry, scsi
from os_brick.model import vpd
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host
from tests.unit.host import two_luns


@pytest.fixture
def target(host: fake_host.Host) -> array.Target:
    return two_luns.scanned(host)


def test_a_disk_and_its_address_lead_to_each_other(
    host: fake_host.Host, target: array.Target
) -> None:
    for lun in (1, 2):
        disk = two_luns.disk_of(host, lun)
        address = scsi.address_of(disk.name)
        assert address == scsi.Address.parse(disk.address)
        assert scsi.disk_at(address) == disk.name
        assert scsi.number_at(address) == scsi.number_of(disk.name) != 0
    assert scsi.luns(address.host, address.channel, address.target) == [1, 2]
    nowhere = scsi.Address(address.host, 0, address.target, 7)
    assert (scsi.disk_at(nowhere), scsi.number_at(nowhere), scsi.is_known(nowhere)) == (
        *(None, 0, False),
    )


def test_what_is_not_a_disk_has_no_address(host: fake_host.Host) -> None:
    assert scsi.address_of('dm-0') is None
    assert scsi.number_of('sdzz') == 0


def test_the_kernel_believes_what_it_has_read(host: fake_host.Host, target: array.Target) -> None:
    disk = two_luns.disk_of(host, 1).name
    old, target.luns[1] = target.luns[1], array.Unit('bronze')
    assert scsi.cached_identity(disk).compare_wwid(old.wwid) is vpd.Match.SAME
    assert inquiry.identity(disk).wwid == target.luns[1].wwid


def test_a_disk_goes_and_another_one_of_its_name_stays(
    host: fake_host.Host, target: array.Target
) -> None:
    disk = two_luns.disk_of(host, 1).name
    scsi.remove(disk, wait.Deadline.after(10), number=1)
    assert disk in host.disks
    scsi.remove(disk, wait.Deadline.after(10))
    assert disk not in host.disks
    assert not scsi.is_there(disk, 1)


def test_the_first_name_that_the_kernel_knows(host: fake_host.Host, target: array.Target) -> None:
    gold = two_luns.disk_of(host, 1).name
    assert scsi.first_wwid(['sdzz', gold]) == target.luns[1].wwid
    assert scsi.first_wwid(['sdzz']) is None
