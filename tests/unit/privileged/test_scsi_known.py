# SPDX-License-Identifier: Apache-2.0
"""Acts on disks that are done only while each is the unit that its caller takes it for."""

from collections.abc import Iterator
import errno
import pathlib

import pytest

from os_brick import exception
from os_brick.host import block, scsi
from os_brick.privileged import multipathd, scsi_known
from os_brick.privileged import scsi as root_scsi
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes

Unit = tuple[str, bytes, bytes]


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """sda and sdb are gold, sdc is silver."""
    with two_volumes.attached(tmp_path) as found:
        yield found


def known(*names: str) -> tuple[Unit, ...]:
    """Disks with the pages that the kernel has of them."""
    return tuple((str(scsi.address_of(name)), *scsi.cached_pages(name)) for name in names)


def flush(name: str, units: tuple[Unit, ...], above: str = '') -> tuple[str, ...] | None:
    return scsi_known.flush_known(name, block.inode(name), units, above, 30.0)


def test_what_is_known_is_flushed(host: Host) -> None:
    found = two_volumes.map_gold(host)
    assert flush('sdc', known('sdc')) == ()
    assert flush('dm-0', known('sda', 'sdb'), found.wwid) == ()
    assert host.flushes == ['sdc', 'dm-0']


def test_a_unit_that_is_another_one_by_now(host: Host) -> None:
    found = two_volumes.map_gold(host)
    two_volumes.remap(host, 'sdb', array.Unit('tin'))
    assert flush('dm-0', known('sda', 'sdb'), found.wwid) is None
    two_volumes.remap(host, 'sdc', None)
    assert flush('sdc', known('sdc')) is None
    assert host.flushes == []


def test_a_unit_that_becomes_another_one_between_the_questions(host: Host) -> None:
    units = known('sdc')

    def strike(what: str) -> None:
        if what.startswith('_flush'):
            two_volumes.remap(host, 'sdc', array.Unit('tin'))

    host.before_act = strike
    assert flush('sdc', units) is None
    assert host.flushes == []


def test_a_unit_that_the_kernel_knows_and_its_map_does_not(host: Host) -> None:
    """The array has given the LUN to another volume, and the kernel was told by a rescan."""
    found = two_volumes.map_gold(host)
    two_volumes.remap(host, 'sdb', array.Unit('tin'))
    root_scsi.rescan('sdb', 30.0)
    assert flush('dm-0', known('sda', 'sdb'), found.wwid) is None
    assert host.flushes == []


def test_a_unit_that_does_not_answer(host: Host) -> None:
    """It is a moment that is lost: the caller asks each by itself."""
    two_volumes.unit(host, 'sdc').unresponsive = True
    begun = host.clock.monotonic()
    assert flush('sdc', known('sdc')) is None
    assert host.clock.monotonic() - begun < 1.5
    host.inquiry_fails = [(known('sda')[0][0], 0x83)]
    assert flush('sda', known('sda')) is None
    assert host.flushes == []


def test_a_map_without_a_path(host: Host) -> None:
    found = two_volumes.map_gold(host)
    units = known('sda', 'sdb')
    for name in ('sda', 'sdb'):
        host.disks[name].state = 'offline'
    assert flush('dm-0', units, found.wwid) is None
    assert host.flushes == []


def test_another_device_of_the_name(host: Host) -> None:
    with pytest.raises(OSError, match='another device') as caught:
        scsi_known.flush_known('sdc', block.inode('sdc') + 1, known('sdc'), '', 30.0)
    assert caught.value.errno == errno.ENODEV
    assert host.flushes == []


def test_a_proof_has_what_each_disk_reports(host: Host) -> None:
    wwid = two_volumes.map_gold(host).wwid
    places = tuple(unit[0] for unit in known('sda', 'sdb'))
    host.inquiry_fails = [(places[1], 0x83)]
    status, count, (one, other) = scsi_known.prove('dm-0', wwid, places, 5.0)
    assert status is not None
    assert (count, one, other) == (4096, known('sda')[0][1:], errno.EIO)
    assert scsi_known.prove('sdc', '', (), 5.0) == (None, 4096, ())


def test_a_proof_of_a_disk_that_does_not_answer_ends(host: Host) -> None:
    two_volumes.unit(host, 'sdc').unresponsive = True
    begun = host.clock.monotonic()
    with pytest.raises((OSError, exception.OperationTimedOut)):
        scsi_known.prove('sdc', '', (known('sdc')[0][0],), 5.0)
    assert host.clock.monotonic() - begun < 6


def rescan(name: str, above: str = '', number: int | None = None) -> bool:
    number = scsi.number_of(name) if number is None else number
    return scsi_known.rescan_known(name, number, known(name)[0], above, 30.0)


def test_what_is_known_is_read_anew(host: Host) -> None:
    two_volumes.unit(host, 'sdc').megabytes = 96
    assert rescan('sdc', two_volumes.unit(host, 'sdc').wwid)
    assert block.size_bytes('sdc') == 96 << 20


@pytest.mark.parametrize('how', ['another', 'nothing', 'silent', 'its map'])
def test_what_is_in_question_is_not_read_anew(host: Host, how: str) -> None:
    """The kernel goes on to know it as it was, so that the caller sees what has changed."""
    before = scsi.cached_pages('sdc')
    if how == 'silent':
        two_volumes.unit(host, 'sdc').unresponsive = True
    elif how != 'its map':
        two_volumes.remap(host, 'sdc', array.Unit('tin') if how == 'another' else None)
    assert not rescan('sdc', host.disks['sda'].unit.wwid if how == 'its map' else '')
    assert scsi.cached_pages('sdc') == before
    assert not any(act.startswith('_write') for act in host.acts)


def test_another_disk_of_the_name_is_not_read_anew(host: Host) -> None:
    with pytest.raises(FileNotFoundError):
        rescan('sdc', number=scsi.number_of('sdc') + 1)
    (unit,) = known('sda')
    with pytest.raises(FileNotFoundError, match='another disk'):
        scsi_known.rescan_known('sdc', scsi.number_of('sdc'), unit, '', 30.0)


def test_disks_are_deleted_side_by_side(host: Host) -> None:
    """One that another disk's name is, and one that has gone, are no error; one that hangs is."""
    pairs = tuple((name, scsi.number_of(name)) for name in ('sda', 'sdb', 'sdc'))
    host.fail(0, 'hung')
    ((name, number, text),) = root_scsi.delete_all(pairs, 2.0)
    assert (number, name in text) == (errno.ETIMEDOUT, True)
    assert list(host.disks) == [name]
    assert root_scsi.delete_all((*pairs, ('sdz', 7)), 2.0) == ()
    assert not host.disks


def test_a_stale_name_is_not_deleted(host: Host) -> None:
    assert root_scsi.delete_all((('sda', scsi.number_of('sda') + 1),), 2.0) == ()
    assert 'sda' in host.disks


@pytest.mark.parametrize('is_part', [False, True])
def test_a_map_that_is_open_stays(host: Host, is_part: bool) -> None:
    found = two_volumes.map_gold(host)
    found.open_count = 1
    parts = (f'part1-mpath-{found.wwid}',) if is_part else ()
    # The map of a partition that is not there does not count as one of its users.
    assert multipathd.remove_map(found.wwid, found.wwid, parts, 5.0) == ''
    assert not any('del map' in act for act in host.acts)
    found.open_count = 0
    assert multipathd.remove_map(found.wwid, found.wwid, parts, 5.0) == 'ok'
    assert not host.maps
    assert multipathd.remove_map(found.wwid, found.wwid, parts, 5.0) == 'ok'


def test_a_map_with_a_name_that_would_be_more(host: Host) -> None:
    found = two_volumes.map_gold(host)
    for name in ('a\n', 'a/b', 'a' * 128):
        with pytest.raises(exception.InvalidParameterValue):
            multipathd.remove_map(found.wwid, name, (), 5.0)
    assert host.maps
