# SPDX-License-Identifier: Apache-2.0
"""What a flush may write to: disks as they are when their cache is written back."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import block, scsi, scsi_flush
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with two_volumes.attached(tmp_path) as found:
        yield found


def flush(name: str, disks: list[str], *, force: bool = False) -> scsi_flush.Flush:
    number = block.inode(name)
    seen = scsi_flush.look([(disk, scsi.number_of(disk)) for disk in disks])
    return scsi_flush.Flush(name, number, seen.answers, wait.Deadline.after(60), force)


LOOKS = [
    # What is at sda's LUN, its state; and whether it is live, stale, and has answered.
    ('gold', 'running', (True, False, True)),
    ('tin', 'running', (False, True, False)),
    ('nothing', 'running', (False, True, False)),
    ('silent', 'running', (True, False, False)),
    # The kernel would not send it anything, so it is not asked.
    ('tin', 'offline', (True, False, False)),
]


@pytest.mark.parametrize(('now', 'state', 'wanted'), LOOKS)
def test_disks_before_a_flush(
    host: Host, now: str, state: str, wanted: tuple[bool, bool, bool]
) -> None:
    units = {
        'gold': two_volumes.unit(host, 'sda'),
        'tin': array.Unit('tin'),
        'silent': array.Unit('gold', unresponsive=True),
        'nothing': None,
    }
    two_volumes.remap(host, 'sda', units[now])
    host.set_state(host.disks['sda'], state)
    number = scsi.number_of('sda')
    before = host.snapshot()
    seen = scsi_flush.look([('sda', number)])
    assert ('sda' in seen.live, seen.stale == {'sda': number}, bool(seen.answers)) == wanted
    assert bool(seen.stale) is wanted[1]
    assert host.snapshot() == before


def test_a_disk_that_has_another_ones_name_is_not_looked_at(host: Host) -> None:
    seen = scsi_flush.look([('sda', scsi.number_of('sda') + 1), ('sdz', 1)])
    assert (seen.live, seen.stale, seen.answers) == ([], {}, [])


def test_a_disk_below_another_volumes_map_is_stale(host: Host) -> None:
    """The kernel has been told of the new volume, and the map has not: it holds the old data."""
    two_volumes.map_gold(host)
    two_volumes.remap(host, 'sda', array.Unit('tin'))
    scsi.rescan('sda', wait.Deadline.after(60))
    host.settle()
    assert scsi.cached_identity('sda').wwid == two_volumes.unit(host, 'sda').wwid
    assert list(scsi_flush.look([('sda', scsi.number_of('sda'))]).stale) == ['sda']


def test_a_flush_of_a_disk_reaches_its_volume(host: Host) -> None:
    flush('sda', ['sda']).run_on_disk()
    assert [unit.name for unit in host.reached] == ['gold']


def test_a_flush_of_a_map_reaches_its_volume(host: Host) -> None:
    found = two_volumes.map_gold(host)
    flush('dm-0', ['sda', 'sdb']).run_on_map(found.wwid)
    assert {unit.name for unit in host.reached} == {'gold'}


def test_another_map_of_the_number_is_not_flushed(host: Host) -> None:
    two_volumes.map_gold(host)
    flush('dm-0', ['sda']).run_on_map(host.disks['sdc'].unit.wwid)
    assert not host.flushes


@pytest.mark.parametrize('is_mapped', [True, False])
def test_a_lun_that_changes_after_the_look_is_not_written_to(host: Host, is_mapped: bool) -> None:
    found = two_volumes.map_gold(host) if is_mapped else None
    act = flush('dm-0' if is_mapped else 'sda', ['sda'])
    two_volumes.remap(host, 'sda', array.Unit('tin'))
    with pytest.raises(scsi_flush.Remapped):
        act.run_on_map(found.wwid) if found else act.run_on_disk()
    assert not host.flushes


@pytest.mark.parametrize('force', [True, False])
def test_a_map_without_a_path_is_an_error_at_once(host: Host, force: bool) -> None:
    found = two_volumes.map_gold(host)
    found.queues = True
    for name in ('sda', 'sdb'):
        host.set_state(host.disks[name], 'offline')
    begun = host.clock.monotonic()
    with pytest.raises(exception.VolumeDeviceNotFound, match='no working path'):
        flush('dm-0', ['sda', 'sdb'], force=force).run_on_map(found.wwid)
    assert host.clock.monotonic() - begun < 30
    # What waits for its I/O goes on only where the caller gives the data up.
    assert found.queues is not force


def test_a_disk_that_is_offline_is_not_flushed_where_the_data_is_given_up(host: Host) -> None:
    host.set_state(host.disks['sda'], 'offline')
    with pytest.raises(exception.VolumeDeviceNotFound, match='offline'):
        flush('sda', ['sda'], force=True).run_on_disk()
    assert not host.flushes


@pytest.mark.parametrize('how', ['refused', 'late', 'hung from here'])
def test_a_map_whose_state_cannot_be_read(host: Host, how: str) -> None:
    """The detach looks closer, or says what it could not find out; in words of ours."""
    found = two_volumes.map_gold(host)
    number = block.inode('dm-0')
    disks = [(name, scsi.number_of(name)) for name in ('sda', 'sdb')]
    known, above = scsi_flush.known(disks, found.wwid)
    until = wait.Deadline.after(60)
    act = scsi_flush.Flush('dm-0', number, known, until, is_forced=False, above=above)
    host.fail(1, how)  # The look at the disks comes first.
    assert not act.run_if_known(found.wwid)
    if how == 'hung from here':
        with pytest.raises(exception.VolumeDeviceNotFound, match='cannot be read'):
            act.run_on_map(found.wwid)
    assert not host.flushes
