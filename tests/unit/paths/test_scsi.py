# SPDX-License-Identifier: Apache-2.0
"""Open paths become a volume: a map, or one disk; a late path joins it only if it is the same."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick import exception
from os_brick.core import handed, locks, undo, wait
from os_brick.host import scsi as host_scsi
from os_brick.host import volume
from os_brick.paths import held, scsi, scsi_undo
from os_brick.plans import paths as plans
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes
from tests.unit.paths import disk_paths
from tests.unit.paths.disk_paths import Driver, Open


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """sda and sdb are gold, sdc is silver; no map is there."""
    with two_volumes.attached(tmp_path) as found:
        yield found


def attach_all(driver: Driver, *paths: str) -> volume.Device:
    with disk_paths.begin() as op:
        return scsi.attach_all(driver, paths, plans.Policy(wanted=len(paths)), op)


def attach_first(driver: Driver, *paths: str) -> volume.Device:
    with disk_paths.begin() as op:
        return scsi.attach_first(driver, paths, op)


def is_handed_out(*disks: str) -> list[bool]:
    return [handed.is_handed_out(host_scsi.number_of(disk)) for disk in disks]


def test_all_paths_become_a_map(host: Host) -> None:
    driver = Driver(host)
    device = attach_all(driver, 'sda', 'sdb')
    assert (device.path, device.is_multipath) == ('/dev/dm-0', True)
    assert {disk.name for disk in host.maps['dm-0'].disks} == {'sda', 'sdb'}
    assert [sorted(names) for names in driver.prepared] == [['sda', 'sdb']]
    assert is_handed_out('sda', 'sdb', 'sdc') == [True, True, False]


@pytest.mark.parametrize('answer', ['blacklisted', 'fail\nanother process has it'])
def test_one_disk_where_multipathd_refuses_a_map(host: Host, answer: str) -> None:
    host.multipath_refusal = answer
    device = attach_all(Driver(host), 'sda', 'sdb')
    assert (device.path, device.is_multipath) == ('/dev/sda', False)
    assert not host.maps
    assert is_handed_out('sda', 'sdb') == [True, False]


def test_disks_of_two_volumes_become_nothing(host: Host) -> None:
    before = host.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch):
        attach_all(Driver(host), 'sda', 'sdc')
    assert host.snapshot() == before
    assert is_handed_out('sda', 'sdc') == [False, False]


def test_what_a_failed_attach_has_scanned_goes_and_its_map(host: Host) -> None:
    host.multipath_refusal = 'ok'  # It is late: the disks may become a map at any moment.
    with pytest.raises(exception.OperationTimedOut):
        attach_all(Driver(host, is_new=True), 'sda', 'sdb')
    assert set(host.disks) == {'sdc'}
    assert not host.maps


def test_a_disk_that_another_process_removes_before_the_map(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(host)

    def prepare(*_args: object) -> None:
        host.remove_disk(host.disks['sdb'])

    monkeypatch.setattr(driver, 'prepare', prepare)
    with pytest.raises(exception.VolumeDeviceNotFound, match='sdb were removed while'):
        attach_all(driver, 'sda', 'sdb')


def test_the_first_path_with_a_readable_disk_is_used(host: Host) -> None:
    driver = Driver(host)
    device = attach_first(driver, 'sdq', 'sdb', 'sda')
    assert (device.path, device.is_multipath) == ('/dev/sdb', False)
    assert driver.prepared == [['sdb']]
    assert is_handed_out('sda', 'sdb') == [False, True]


def test_without_a_path_each_is_named(host: Host) -> None:
    with pytest.raises(exception.VolumeDeviceNotFound, match=r'sdq.*sdr'):
        attach_first(Driver(host), 'sdq', 'sdr')


@pytest.fixture
def assembly(host: Host) -> scsi.MultipathMap[Open]:
    """The map of an attach that has one path, sda."""
    found: scsi.MultipathMap[Open] = scsi.MultipathMap()
    with disk_paths.begin() as op:
        found.build([disk_paths.disk(host, 'sda')], op)
    return found


def add(assembly: scsi.MultipathMap[Open], host: Host, name: str) -> None:
    late = Open(name, (disk_paths.disk(host, name),))
    assembly.add(late, wait.Deadline.after(20))


def test_a_late_path_is_not_taken_back_by_another_attach(
    host: Host, assembly: scsi.MultipathMap[Open]
) -> None:
    """One that names that path alone had scanned the disk, and fails later."""
    place = host_scsi.Address.parse(host.disks['sdb'].address)
    add(assembly, host, 'sdb')
    with pytest.raises(exception.VolumeInUse):
        scsi_undo.delete_new_disk(place, 20)
    assert {disk.name for disk in host.maps['dm-0'].disks} == {'sda', 'sdb'}


def test_a_late_path_goes_with_its_own_attach(
    host: Host, assembly: scsi.MultipathMap[Open]
) -> None:
    found = disk_paths.disk(host, 'sdb', is_new=True)
    late, made = Open('sdb', (found,)), undo.Undo()
    made.add(disk_paths.leave, str(found.address), 20.0)
    assembly.add(late, wait.Deadline.after(20))
    assert is_handed_out('sdb') == [True]
    held.close(assembly, [held.Held(late, made)], wait.Deadline.after(20))
    assert {disk.name for disk in host.maps['dm-0'].disks} == {'sda'}
    assert 'sdb' not in host.disks


def test_a_late_path_joins(host: Host, assembly: scsi.MultipathMap[Open]) -> None:
    assert assembly.is_present()
    add(assembly, host, 'sdb')
    assert {disk.name for disk in host.maps['dm-0'].disks} == {'sda', 'sdb'}


def test_a_late_path_to_another_volume_does_not(
    host: Host, assembly: scsi.MultipathMap[Open]
) -> None:
    with pytest.raises(exception.VolumeIdentityMismatch):
        add(assembly, host, 'sdc')
    late = Open('sdb', (disk_paths.disk(host, 'sdb'),))
    two_volumes.remap(host, 'sdb', array.Unit('tin'))  # Since its first answer.
    with pytest.raises(exception.VolumeIdentityMismatch):
        assembly.add(late, wait.Deadline.after(20))
    assert {disk.name for disk in host.maps['dm-0'].disks} == {'sda'}


def test_a_late_path_of_a_volume_that_has_gone(
    host: Host, assembly: scsi.MultipathMap[Open]
) -> None:
    host.remove_map(host.maps['dm-0'])
    assert not assembly.is_present()
    with pytest.raises(exception.VolumeDeviceNotFound, match='multipath map'):
        add(assembly, host, 'sdb')


def test_a_late_path_waits_for_the_identity(host: Host, assembly: scsi.MultipathMap[Open]) -> None:
    late = Open('sdb', (disk_paths.disk(host, 'sdb'),))
    with (
        locks.hold_identity(assembly.wwid.upper(), wait.Deadline.after(5)),
        pytest.raises(exception.OperationTimedOut),
    ):
        assembly.add(late, wait.Deadline.after(0.1))
    assert {disk.name for disk in host.maps['dm-0'].disks} == {'sda'}


def test_what_is_taken_back_is_what_is_new(host: Host) -> None:
    assembly: scsi.MultipathMap[Open] = scsi.MultipathMap()
    old = Open('sda', (disk_paths.disk(host, 'sda'),))
    new = Open('sdb', (disk_paths.disk(host, 'sdb', is_new=True),))
    assert assembly.before([old], 5.0) == assembly.after([old]) == []
    (before,), (after,) = assembly.before([old, new], 5.0), assembly.after([old, new])
    assert before.args == (['sdb'], 5.0)
    assert after.args == ([host.disks['sda'].unit.wwid],)
