# SPDX-License-Identifier: Apache-2.0
"""Whole devices: read, flushed, announced."""

from collections.abc import Callable, Iterator
import errno
import os
import pathlib

import pytest

from os_brick import exception
from os_brick.host import block as host_block
from os_brick.privileged import block
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[fake_host.Host]:
    """A host with the disk sda."""
    with fake_host.Host(tmp_path) as found:
        target = found.target()
        target.luns[1] = array.Unit()
        session = found.log_in(target, target.portals[0])
        found.tree.file(f'/sys/class/scsi_host/host{session.host}/scan', '0 0 1')
        found.snapshot()
        yield found


def flush(name: str, seconds: float) -> None:
    """Flush the device that has a name now."""
    block.flush(name, host_block.inode(name), seconds)


def test_read_and_flush(host: fake_host.Host) -> None:
    assert block.read_start('sda', 5.0) == 4096
    flush('sda', 5.0)
    assert host.flushes == ['sda']


def test_only_the_device_that_was_looked_at_is_flushed(host: fake_host.Host) -> None:
    """Its name is given to another disk before root opens it."""
    (target,) = host.targets
    number = host_block.inode('sda')
    (session,) = host.sessions.values()
    host.remove_disk(host.disks['sda'])
    with pytest.raises(OSError, match='No such file'):
        block.flush('sda', number, 5.0)
    target.luns[2] = array.Unit('silver')
    host.find_lun(session, 2)
    host.settle()
    with pytest.raises(OSError, match='/dev/sda is another device by now') as caught:
        block.flush('sda', number, 5.0)
    assert caught.value.errno == errno.ENODEV
    assert host.flushes == []


def test_a_node_that_leads_to_another_device_is_not_flushed(host: fake_host.Host) -> None:
    """The /dev of a container may have nodes of yesterday."""
    host.node_numbers['sda'] = '8:16'
    with pytest.raises(OSError, match='another device'):
        flush('sda', 5.0)
    assert host.flushes == []


def test_a_device_that_fails(host: fake_host.Host) -> None:
    host.disks['sda'].state = 'transport-offline'
    for act in (block.read_start, flush):
        with pytest.raises(OSError, match='Input/output error'):
            act('sda', 5.0)


def test_a_map_that_queues_hangs_no_one(host: fake_host.Host) -> None:
    assert host.claim('sda')
    host.maps['dm-0'].queues = True
    host.disks['sda'].state = 'transport-offline'
    begun = host.clock.monotonic()
    for act in (block.read_start, flush):
        with pytest.raises(exception.OperationTimedOut, match='dm-0'):
            act('dm-0', 5.0)
    assert host.clock.monotonic() - begun < 12


def test_a_device_that_has_gone(host: fake_host.Host) -> None:
    for act in (block.read_start, flush):
        with pytest.raises(FileNotFoundError):
            act('sdb', 5.0)


@pytest.mark.parametrize('name', ['../sda', 'sda/..', '', '-a', 'a\nb'])
def test_only_names(host: fake_host.Host, name: str) -> None:
    for act in (block.read_start, flush):
        with pytest.raises(exception.InvalidParameterValue):
            act(name, 5.0)
    assert host.flushes == []


@pytest.mark.skipif(not os.path.exists('/dev/null'), reason='needs devices')
@pytest.mark.parametrize('name', ['null', 'zero', 'tty', 'random', 'fd', 'shm', 'stdin'])
@pytest.mark.parametrize('act', [block.read_start, block.is_claimed, flush])
def test_only_block_devices_are_opened(name: str, act: Callable[[str, float], object]) -> None:
    """On the kernel itself: opening /dev/watchdog arms it, opening a serial line may block."""
    with pytest.raises(OSError, match=f'/dev/{name}'):
        act(name, 5.0)
