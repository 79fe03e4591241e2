# SPDX-License-Identifier: Apache-2.0
"""multipathd is offered a disk as soon as udev has written down what it is."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick.core import wait
from os_brick.host import map_offers, multipath, scsi, udev_database
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """A host with two disks of one volume, of which multipathd has not been told."""
    with Host(tmp_path) as found:
        found.told_seconds = 3600.0
        found.written_seconds = 1.0
        target = found.target(portals=2)
        target.luns[1] = array.Unit('gold')
        for portal in target.portals:
            found.find_lun(found.log_in(target, portal), 1)
        found.clock.sleep(0.1)
        yield found


def build(host: Host, seconds: float = 30) -> float:
    """Build the map; return how long that took."""
    begun = host.clock.monotonic()
    deadline = wait.Deadline.after(seconds)
    found = multipath.build(scsi.cached_identity('sda'), ['sda', 'sdb'], deadline)
    assert not multipath.join(found, ['sda', 'sdb'], deadline)
    return host.clock.monotonic() - begun


def test_what_udev_knows(host: Host) -> None:
    assert udev_database.wwid('sda') == ''
    host.clock.sleep(1)
    assert udev_database.wwid('sda') == host.disks['sda'].unit.wwid
    assert udev_database.wwid('sdz') == ''


def test_an_entry_without_a_name(host: Host) -> None:
    host.tree.file('/run/udev/data/b8:0', 'I:1\nS:disk/by-path/x\nE:ID_SERIAL_SHORT=1\n')
    assert udev_database.wwid('sda') == ''


def test_disks_are_offered_when_udev_knows_them(host: Host) -> None:
    host.multipath_refusal = 'fail'
    host.clock.after(0.85, lambda: setattr(host, 'multipath_refusal', ''))
    assert build(host) < 1.3
    offers = [act for act in host.acts if act.startswith('multipathd add path')]
    assert len(offers) <= 2


def test_an_entry_of_the_disk_that_had_the_name_before_is_not_believed(host: Host) -> None:
    for number in ('8:0', '8:16'):
        host.tree.file(f'/run/udev/data/b{number}', f'E:ID_SERIAL={array.Unit("tin").wwid}\n')
    host.written_seconds = 3600.0
    before = len(host.acts)
    offers = map_offers.Offers(60.0, host.disks['sda'].unit.wwid, wait.Deadline.after(60))
    assert not offers.make_known(['sda', 'sdb'])
    assert len(host.acts) == before


def enter(host: Host, disk: str, *, sequence: int, entered: int, wwid: str) -> None:
    """Have udev's entry for a disk be the one of a disk with this sequence."""
    found = host.disks[disk]
    host.tree.value(f'{found.device}/block/{disk}/diskseq', sequence)
    text = f'S:disk/by-diskseq/{entered}\nE:ID_SERIAL={wwid}\n'
    host.tree.file(f'/run/udev/data/b{found.number}', text)


@pytest.mark.parametrize('shows_sequence', [True, False])
def test_multipathd_is_not_told_of_a_disk_that_udev_takes_for_the_one_before(
    host: Host, shows_sequence: bool
) -> None:
    """It would put the disk into the map of that one's volume, and write to it."""
    tin = array.Unit('tin').wwid

    def come() -> None:
        for disk in ('sda', 'sdb'):
            enter(host, disk, sequence=8, entered=8, wwid=host.disks[disk].unit.wwid)

    host.clock.after(50, come)
    host.clock.sleep(2)  # The entries of these disks have been made.
    for disk in ('sda', 'sdb'):
        enter(host, disk, sequence=8, entered=7, wwid=tin)
        if not shows_sequence:
            host.tree.remove(f'{host.disks[disk].device}/block/{disk}/diskseq')
    took = build(host, 100)
    assert 45 < took < 60
    offers = [act for act in host.acts if act.startswith('multipathd add path')]
    assert offers == ['multipathd add path sda', 'multipathd add path sdb']


def test_what_udev_has_read_of_the_disk_before_the_array_changed_it(host: Host) -> None:
    """The entry is the disk's own, and another volume's: there is nothing to wait for."""
    host.clock.sleep(2)
    tin = array.Unit('tin').wwid
    for disk in ('sda', 'sdb'):
        enter(host, disk, sequence=8, entered=8, wwid=tin)
    with pytest.raises(map_offers.NotClaimed, match=f'udev has {tin} for sd'):
        build(host)
    assert not [act for act in host.acts if act.startswith('multipathd add path')]


def test_whose_entry_it_is(host: Host) -> None:
    host.written_seconds = 3600.0
    assert udev_database.is_of_another('sda') is None
    enter(host, 'sda', sequence=3, entered=3, wwid='')
    assert udev_database.is_of_another('sda') is False
    enter(host, 'sda', sequence=3, entered=2, wwid='')
    assert udev_database.is_of_another('sda') is True


def test_without_a_database_disks_are_offered_now_and_then(host: Host) -> None:
    host.shows_database = False
    host.tree.remove('/run/udev/data')
    assert build(host) < 1.5


def test_a_disk_is_not_offered_before_udev_has_come_to_it(host: Host) -> None:
    """multipathd would refuse it from then on, until udev's event comes."""
    assert build(host) < 1.5
    begun = host.clock.monotonic()
    assert begun > 1
    offers = [act for act in host.acts if act.startswith('multipathd add path')]
    assert offers == ['multipathd add path sda', 'multipathd add path sdb']


def enter_without_sequence(host: Host, disk: str, wwid: str) -> None:
    """Have udev's entry for a disk not tell whose it is, as on a host without such links."""
    host.tree.file(f'/run/udev/data/b{host.disks[disk].number}', f'E:ID_SERIAL={wwid}\n')


@pytest.mark.parametrize('has_sequence', [True, False])
def test_a_late_path_that_udev_takes_for_the_disk_before(host: Host, has_sequence: bool) -> None:
    """The map is there; multipathd would put the path into another volume's all the same."""
    host.clock.sleep(2)
    found = multipath.build(scsi.cached_identity('sda'), ['sda'], wait.Deadline.after(30))
    tin = array.Unit('tin').wwid
    if has_sequence:
        enter(host, 'sdb', sequence=8, entered=7, wwid=tin)
    else:
        enter_without_sequence(host, 'sdb', tin)
    before = len(host.acts)
    multipath.join(found, ['sda', 'sdb'], wait.Deadline.after(20))
    assert not [act for act in host.acts[before:] if act.startswith('multipathd add')]


@pytest.mark.parametrize('entry', ['nothing', 'another name'])
@pytest.mark.parametrize('order', [('sda', 'sdb'), ('sdb', 'sda')])
def test_a_disk_with_an_old_entry_keeps_no_other_from_being_offered(
    host: Host, order: tuple[str, str], entry: str
) -> None:
    """sda's entry is the one before's, and stays; multipathd would take sdb, if asked.

    Which is not seen in the entry of sdb: there is none, or multipathd knows disks by other names
    (``uid_attribute``).
    """
    host.clock.sleep(2)
    enter_without_sequence(host, 'sda', array.Unit('tin').wwid)
    if entry == 'nothing':
        host.tree.remove(f'/run/udev/data/b{host.disks["sdb"].number}')
    else:
        enter_without_sequence(host, 'sdb', 'SLIO-ORG_gold_1')
    begun = host.clock.monotonic()
    multipath.build(scsi.cached_identity('sda'), order, wait.Deadline.after(102))
    assert host.clock.monotonic() - begun < 10
