# SPDX-License-Identifier: Apache-2.0
"""What stands at a volume's LUN before an attach: the volume, a repair, or an error that names it.

The table of doc/source/contributor/lun_states.rst, state by state.
"""

from collections.abc import Callable
import errno
import re

import pytest

from os_brick import exception
from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

Host = fake_host.Host
Prepare = Callable[[Host, fake_host.Disk], None]


def state(name: str) -> Prepare:
    return lambda host, disk: host.set_state(disk, name)


def passing(name: str, then: str = 'running', seconds: float = 0.3) -> Prepare:
    """A state that ends by itself."""

    def prepare(host: Host, disk: fake_host.Disk) -> None:
        host.set_state(disk, name)
        host.clock.after(seconds, lambda: host.set_state(disk, then))

    return prepare


def going(name: str) -> Prepare:
    """A device that the kernel is removing, and is done with in a while."""

    def prepare(host: Host, disk: fake_host.Disk) -> None:
        host.set_state(disk, name)
        host.clock.after(0.5, lambda: host.remove_disk(disk))

    return prepare


def becoming_ready(host: Host, disk: fake_host.Disk) -> None:
    """Its capacity comes with another rescan."""
    unit = disk.session.target.luns[disk.lun]
    unit.without_capacity = {1}
    host._rescan(disk)
    host.clock.after(4.0, unit.without_capacity.clear)


def unavailable(host: Host, disk: fake_host.Disk) -> None:
    disk.session.target.luns[disk.lun].without_capacity = {1}
    host._rescan(disk)


def there(host: Host, target: array.Target) -> fake_host.Disk:
    """A session, and the device that a scan brings."""
    session = host.log_in(target, target.portals[0])
    host.find_lun(session, 1)
    host.settle()
    return next(iter(host.disks.values()))


def attached(host: Host, target: array.Target, *, several: bool) -> dict[str, object]:
    connector = iscsi.ISCSIConnector(None, use_multipath=several)
    info = connector.connect_volume(target.properties(plural=several))
    assert connector.connect_volume(target.properties(plural=several)) == info
    return info


@pytest.mark.parametrize('several', [False, True])
@pytest.mark.parametrize(
    'prepare',
    [
        pytest.param(state('running'), id='running'),
        pytest.param(state('offline'), id='offline'),
        pytest.param(passing('created'), id='created'),
        pytest.param(passing('blocked'), id='blocked for a moment'),
        pytest.param(passing('created-blocked'), id='created-blocked for a moment'),
        pytest.param(passing('transport-offline'), id='transport-offline for a moment'),
        pytest.param(passing('quiesce'), id='quiesce for a moment'),
        pytest.param(going('cancel'), id='cancel'),
        pytest.param(going('deleted'), id='deleted'),
        pytest.param(becoming_ready, id='becoming ready'),
    ],
)
def test_states_that_end_in_the_volume(host: Host, prepare: Prepare, several: bool) -> None:
    target = host.target()
    unit = target.luns[1] = array.Unit()
    prepare(host, there(host, target))
    assert attached(host, target, several=several)['scsi_wwn'] == unit.wwid


@pytest.mark.parametrize('several', [False, True])
@pytest.mark.parametrize(
    ('prepare', 'why'),
    [
        (state('blocked'), 'its state is blocked'),
        (state('transport-offline'), 'its state is transport-offline'),
        (state('quiesce'), 'its state is quiesce'),
        (unavailable, 'it reports no capacity'),
    ],
)
def test_states_that_end_in_an_error(
    host: Host,
    prepare: Prepare,
    why: str,
    several: bool,
) -> None:
    """Within the scan time-out, and the next attach does not fail once the state has ended."""
    target = host.target()
    unit = target.luns[1] = array.Unit()
    disk = there(host, target)
    prepare(host, disk)
    begun = host.clock.monotonic()
    connector = iscsi.ISCSIConnector(None, use_multipath=several)
    with pytest.raises(exception.VolumeDeviceNotFound, match=re.escape(why)) as caught:
        connector.connect_volume(target.properties(plural=several))
    assert '/dev/sda' in str(caught.value)
    assert host.clock.monotonic() - begun < 35
    host.settle()
    unit.without_capacity = set()
    host.set_state(disk, 'running')
    assert attached(host, target, several=several)['scsi_wwn'] == unit.wwid


@pytest.mark.parametrize('kind', [0x0C, 0x0D, 0x20, 0x1E])
@pytest.mark.parametrize('several', [False, True])
def test_a_device_of_another_type_becomes_a_disk_once_the_volume_is_mapped(
    host: Host,
    kind: int,
    several: bool,
) -> None:
    """LUN 0 of many arrays; peripheral qualifier 001b: what the kernel keeps of the first scan."""
    target = host.target()
    target.luns[1] = array.Unit(device_type=kind)
    there(host, target)
    unit = target.luns[1] = array.Unit('mapped since')
    assert attached(host, target, several=several)['scsi_wwn'] == unit.wwid


@pytest.mark.parametrize('several', [False, True])
def test_a_disk_without_its_driver_is_scanned_anew(host: Host, several: bool) -> None:
    target = host.target()
    unit = target.luns[1] = array.Unit()
    host.has_disk_driver = False
    there(host, target)
    host.has_disk_driver = True
    assert attached(host, target, several=several)['scsi_wwn'] == unit.wwid


@pytest.mark.parametrize(
    ('kind', 'why'),
    [
        (0x0C, 'not a disk, or is not mapped'),
        (0x20, 'not a disk, or is not mapped'),
        (0x3F, 'the target reports nothing there'),
    ],
)
def test_what_stays_another_type_is_named(host: Host, kind: int, why: str) -> None:
    target = host.target()
    target.luns[1] = array.Unit(device_type=kind)
    begun = host.clock.monotonic()
    with pytest.raises(exception.VolumeDeviceNotFound, match=why):
        iscsi.ISCSIConnector(None).connect_volume(target.properties())
    assert host.clock.monotonic() - begun < 35
    assert not host.disks
    unit = target.luns[1] = array.Unit('mapped since')
    assert attached(host, target, several=False)['scsi_wwn'] == unit.wwid


def test_a_driver_that_never_takes_the_disk(host: Host) -> None:
    """It is scanned anew once, not again and again."""
    target = host.target()
    target.luns[1] = array.Unit()
    host.has_disk_driver = False
    with pytest.raises(exception.VolumeDeviceNotFound, match='not a disk'):
        iscsi.ISCSIConnector(None).connect_volume(target.properties())
    assert sum("'delete', '1'" in act for act in host.acts) <= 2


@pytest.mark.parametrize('several', [False, True])
def test_what_has_come_in_the_place_of_another_device_goes_with_a_failed_attach(
    host: Host, several: bool
) -> None:
    """It is not the disk that was there before, so no one else knows of it."""
    target = host.target()
    target.luns[1] = array.Unit(device_type=0x0C)
    there(host, target)
    target.luns[1] = array.Unit(without_capacity={1})
    connector = iscsi.ISCSIConnector(None, use_multipath=several)
    with pytest.raises(exception.PathNotReady, match='no capacity'):
        connector.connect_volume(target.properties(plural=several))
    host.settle()
    assert not host.disks


@pytest.mark.parametrize('several', [False, True])
@pytest.mark.parametrize('comes', [False, True])
def test_a_disk_whose_capacity_is_still_read(host: Host, comes: bool, several: bool) -> None:
    """The driver has the device, and there is no disk before READ CAPACITY has an answer."""
    target = host.target()
    unit = target.luns[1] = array.Unit()
    host.has_disk_driver = False
    disk = there(host, target)
    host.tree.link(f'{disk.device}/driver', '/sys/bus/scsi/drivers/sd')
    if comes:
        host.clock.after(8.0, lambda: host._show_disk(disk))
        assert attached(host, target, several=several)['scsi_wwn'] == unit.wwid
        return
    connector = iscsi.ISCSIConnector(None, use_multipath=several)
    with pytest.raises(exception.VolumeDeviceNotFound, match='has not finished with the device'):
        connector.connect_volume(target.properties(plural=several))
    host._show_disk(disk)
    assert attached(host, target, several=several)['scsi_wwn'] == unit.wwid


@pytest.mark.parametrize('several', [False, True])
def test_an_adapter_that_has_no_such_lun(host: Host, several: bool) -> None:
    """The kernel refuses the scan at once (scsi_scan_host_selected), and the error says so."""
    target = host.target()
    unit = target.luns[1] = array.Unit()
    before = host.snapshot()

    def refuse(what: str) -> None:
        if what.startswith('write ') and '/scan' in what:
            raise OSError(errno.EINVAL, 'Invalid argument')

    host.before_act = refuse
    connector = iscsi.ISCSIConnector(None, use_multipath=several)
    begun = host.clock.monotonic()
    with pytest.raises(exception.BrickException, match='Invalid argument'):
        connector.connect_volume(target.properties(plural=several))
    assert host.clock.monotonic() - begun < 10
    assert host.snapshot() == before
    host.before_act = lambda what: None
    assert attached(host, target, several=several)['scsi_wwn'] == unit.wwid


@pytest.mark.parametrize('several', [False, True])
def test_a_disk_without_a_node(host: Host, several: bool) -> None:
    """devtmpfs is not mounted in the container: the read fails, and says so."""
    target = host.target()
    target.luns[1] = array.Unit()
    before = host.snapshot()

    def no_nodes(_what: str) -> None:
        for name in (*host.disks, *host.maps):
            host.tree.remove(f'/dev/{name}')

    host.before_act = no_nodes
    connector = iscsi.ISCSIConnector(None, use_multipath=several)
    with pytest.raises(exception.VolumeDeviceNotFound, match='No such file'):
        connector.connect_volume(target.properties(plural=several))
    host.before_act = lambda what: None
    assert host.snapshot() == before
