# SPDX-License-Identifier: Apache-2.0
"""Scan, rescan, delete, INQUIRY: what reaches the kernel, and what its answers mean."""

from collections.abc import Callable, Iterator
import contextlib
import errno
import pathlib

import pytest

from os_brick import exception
from os_brick.core import files
from os_brick.host import scsi as host_scsi
from os_brick.privileged import multipathd, scsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[fake_host.Host]:
    """A host with a session and one disk, sda at 3:0:0:1."""
    with fake_host.Host(tmp_path) as found:
        target = found.target()
        target.luns[1] = array.Unit()
        found.log_in(target, target.portals[0])
        scsi.scan(3, 0, 0, 1, 5.0)
        found.snapshot()
        assert list(found.disks) == ['sda']
        yield found


def test_a_scan_brings_just_one_lun(host: fake_host.Host) -> None:
    target = host.targets[0]
    target.luns |= {2: array.Unit(), 300: array.Unit()}
    scsi.scan(3, 0, 0, 300, 5.0)
    host.snapshot()
    assert sorted(disk.lun for disk in host.disks.values()) == [1, 300]


def test_a_scan_of_a_host_that_has_gone(host: fake_host.Host) -> None:
    with pytest.raises(FileNotFoundError):
        scsi.scan(9, 0, 0, 1, 5.0)


@pytest.mark.parametrize(
    'where', [(-1, 0, 0, 1), (3, '-', 0, 1), (3, 0, '- -', 1), (3, 0, 0, 2**64), (3, 0, 0, True)]
)
def test_a_scan_has_no_wildcards(host: fake_host.Host, where: tuple[int, int, int, int]) -> None:
    with pytest.raises(exception.InvalidParameterValue):
        scsi.scan(*where, 5.0)


def test_rescan_and_delete(host: fake_host.Host) -> None:
    host.targets[0].luns[1].megabytes = 96
    scsi.rescan('sda', 5.0)
    assert host.tree.at('/sys/block/sda/size').read_text() == f'{96 * 2048}\n'
    number = host_scsi.number_of('sda')
    assert number == host_scsi.number_at(host_scsi.Address(3, 0, 0, 1)) != 0
    scsi.delete('sda', number, 5.0)
    assert host.disks == {}
    with pytest.raises(FileNotFoundError):
        scsi.rescan('sda', 5.0)
    with pytest.raises(FileNotFoundError):
        scsi.delete('sda', number, 5.0)


@pytest.mark.parametrize('number', [0, 1])
def test_a_name_that_another_disk_has_by_now(host: fake_host.Host, number: int) -> None:
    before = host.snapshot()
    with pytest.raises(FileNotFoundError, match='another disk'):
        scsi.delete('sda', number, 5.0)
    assert host.snapshot() == before


@pytest.mark.parametrize('name', ['../sda', 'sda/../sdb', 'dm-0', 'sda1', ''])
def test_only_disks(host: fake_host.Host, name: str) -> None:
    with pytest.raises(exception.InvalidParameterValue):
        scsi.rescan(name, 5.0)
    with pytest.raises(exception.InvalidParameterValue):
        scsi.delete(name, 1, 5.0)
    assert list(host.disks) == ['sda']


def test_identity_is_who_answers_now(host: fake_host.Host) -> None:
    unit = host.targets[0].luns[1]
    pages = unit.pages()
    assert scsi.identity_pages('3:0:0:1', 5.0) == (pages[0x80], pages[0x83])
    other = host.targets[0].luns[1] = array.Unit('other')
    assert scsi.identity_pages('3:0:0:1', 5.0) == (other.pages()[0x80], other.pages()[0x83])
    assert host.tree.at('/sys/block/sda/device/vpd_pg80').read_bytes() == pages[0x80]


def test_a_unit_without_a_serial_number(
    host: fake_host.Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is optional; the target's own answer is needed to believe that."""
    unit = host.targets[0].luns[1]
    pages = unit.pages()
    monkeypatch.setattr(unit, 'pages', lambda _port: {0x83: pages[0x83]}, raising=False)
    assert scsi.identity_pages('3:0:0:1', 5.0) == (b'', pages[0x83])


@pytest.mark.parametrize('page', [0x80, 0x83])
def test_a_lost_command_is_no_answer(host: fake_host.Host, page: int) -> None:
    host.inquiry_fails = [('3:0:0:1', page)]
    with pytest.raises(OSError, match='failed') as caught:
        scsi.identity_pages('3:0:0:1', 5.0)
    assert caught.value.errno == errno.EIO


def test_nothing_is_mapped_any_more(host: fake_host.Host) -> None:
    del host.targets[0].luns[1]
    with pytest.raises(OSError, match='0x2500') as caught:
        scsi.identity_pages('3:0:0:1', 5.0)
    assert caught.value.errno == errno.ENXIO


def test_a_device_that_hangs(host: fake_host.Host) -> None:
    host.targets[0].luns[1].unresponsive = True
    begun = host.clock.monotonic()
    with pytest.raises(exception.OperationTimedOut, match='3:0:0:1'):
        scsi.identity_pages('3:0:0:1', 5.0)
    assert host.clock.monotonic() - begun < 6


@pytest.mark.parametrize('address', ['', '../null', '3:0:0', '3:0:0:1/../x', 'sda'])
def test_only_addresses(host: fake_host.Host, address: str) -> None:
    with pytest.raises(exception.InvalidParameterValue):
        scsi.identity_pages(address, 5.0)


def _local(host: fake_host.Host) -> dict[str, str]:
    """The system's own disk: sdz on a virtio adapter."""
    tree, base = host.tree, '/sys/devices/pci0000:00/0000:00:04.0/virtio1/host0'
    device = f'{base}/target0:0:0/0:0:0:0'
    for name in ('rescan', 'delete'):
        tree.file(f'{device}/{name}')
    tree.link(f'{device}/block/sdz/device', device)
    for place in ('/sys/block', '/sys/class/block'):
        tree.link(f'{place}/sdz', f'{device}/block/sdz')
    tree.file(f'{base}/scsi_host/host0/scan')
    tree.link('/sys/class/scsi_host/host0', f'{base}/scsi_host/host0')
    return tree.snapshot()


def test_the_systems_own_disk_is_refused(host: fake_host.Host) -> None:
    """Defect 15: any disk of the host could be deleted."""
    before = _local(host)
    number = files.inode('/sys/block/sdz/device')
    acts: list[Callable[[], object]] = [
        lambda: scsi.delete('sdz', number, 5.0),
        lambda: scsi.rescan('sdz', 5.0),
        lambda: scsi.scan(0, 0, 0, 1, 5.0),
        lambda: multipathd.add_path('sdz', 5.0),
        lambda: multipathd.remove_path('sdz', 5.0),
    ]
    for act in acts:
        with pytest.raises(PermissionError, match='transport'):
            act()
    assert host.tree.snapshot() == before
    assert list(host.disks) == ['sda']


# Where disks of the transports lie: Linux 6.12 (software iSCSI, qla2xxx, NPIV, zfcp, storvsc).
REMOTE = [
    '/sys/devices/platform/host3/session1/target3:0:0/3:0:0:1',
    '/sys/devices/pci0000:00/0000:05:00.2/host6/rport-6:0-1/target6:0:0/6:0:0:1',
    '/sys/devices/pci0000:00/0000:05:00.2/host6/vport-6:0-0/host8/rport-8:0-2/target8:0:0/8:0:0:1',
    '/sys/devices/css0/0.0.0013/0.0.3080/host0/rport-0:0-0/target0:0:0/0:0:0:1',
    '/sys/devices/virtual/net/fc0/ctlr_0/host2/rport-2:0-0/target2:0:0/2:0:0:1',
    '/sys/devices/LNXSYSTM:00/VMBUS:00/x/host5/target5:0:0/5:0:0:1',
]
LOCAL = [
    '/sys/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0',
    '/sys/devices/pci0000:00/0000:00:04.0/virtio1/host4/target4:0:0/4:0:0:0',
    '/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/host7/target7:0:0/7:0:0:0',
    '/sys/devices/pseudo_0/adapter0/host9/target9:0:0/9:0:0:0',
    '/sys/devices/session1x/host10/target10:0:0/10:0:0:0',
]


@pytest.mark.parametrize(
    ('place', 'is_remote'), [*((p, True) for p in REMOTE), *((p, False) for p in LOCAL)]
)
def test_which_disks_are_remote(host: fake_host.Host, place: str, *, is_remote: bool) -> None:
    host.tree.directory('/sys/class/fc_host/host5')
    with contextlib.nullcontext() if is_remote else pytest.raises(PermissionError):
        scsi.require_remote(place, 'The disk')


@pytest.mark.parametrize('length', [0, 247, 248, 249, 252, 1000, 65300])
def test_a_page_of_any_length_is_whole(host: fake_host.Host, length: int) -> None:
    """252 bytes are asked for first, because some devices take no more than 255."""
    unit = host.targets[0].luns[1]
    parts = [min(200, length - done) for done in range(0, length, 200)]
    unit.names = [array.designator(8, 3, b'n' * max(0, part - 4)) for part in parts]
    whole = unit.pages()[0x83]
    assert scsi.identity_pages('3:0:0:1', 5.0)[1] == whole[: 2**16 - 1]
    assert len(whole) >= length


@pytest.mark.parametrize(
    ('pages', 'expected'),
    [
        ({}, (b'', b'')),
        ({0x80: array.page(0x80, b'serial')}, (array.page(0x80, b'serial'), b'')),
        # The EVPD bit is unknown to it: standard INQUIRY data for every page.
        ({0x80: bytes(36), 0x83: bytes(36)}, (b'', b'')),
    ],
)
def test_a_device_without_the_pages(
    host: fake_host.Host,
    monkeypatch: pytest.MonkeyPatch,
    pages: dict[int, bytes],
    expected: tuple[bytes, bytes],
) -> None:
    """Older than SPC-3: who it is is not known, which is not an error."""
    monkeypatch.setattr(host.targets[0].luns[1], 'pages', lambda _port: pages, raising=False)
    assert scsi.identity_pages('3:0:0:1', 5.0) == expected


def test_a_device_is_set_running_and_deleted_by_its_number(host: fake_host.Host) -> None:
    disk = host.disks['sda']
    host.set_state(disk, 'offline')
    number = host_scsi.number_at(host_scsi.Address(3, 0, 0, 1))
    for act in (scsi.set_running, scsi.delete_at):
        with pytest.raises(FileNotFoundError, match='another disk'):
            act('3:0:0:1', number + 1, 5.0)
        with pytest.raises(exception.InvalidParameterValue):
            act('3:0:0:1/..', number, 5.0)
    scsi.set_running('3:0:0:1', number, 5.0)
    assert disk.state == 'running'
    scsi.delete_at('3:0:0:1', number, 5.0)
    assert not host.disks
