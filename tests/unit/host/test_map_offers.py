# SPDX-License-Identifier: Apache-2.0
"""multipathd takes disks and makes no map of them: its file of WWIDs is not the one here."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick.core import wait
from os_brick.host import map_offers, multipath, multipathd, scsi
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes

# Seconds: what a build took before the map was asked for was its whole limit.
LIMIT = 60.0
FEW = 4.0


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with two_volumes.attached(tmp_path) as found:
        found.own_wwids = set()
        yield found


def build(*disks: str) -> str:
    return multipath.build(scsi.cached_identity(disks[0]), disks, wait.Deadline.after(LIMIT))


def asked(host: Host) -> list[str]:
    return [act.removeprefix('multipathd ') for act in host.acts if ' add map ' in act]


@pytest.mark.parametrize('shows_database', [True, False])
@pytest.mark.parametrize('disks', [('sda',), ('sda', 'sdb')])
def test_it_is_asked_for_the_map(
    host: Host, caplog: pytest.LogCaptureFixture, disks: tuple[str, ...], shows_database: bool
) -> None:
    if not shows_database:
        host.tree.remove('/run/udev/data')
    started = host.clock.monotonic()
    assert build(*disks) == 'dm-0'
    assert host.clock.monotonic() - started < FEW
    wwid = host.disks['sda'].unit.wwid
    assert asked(host) == [f'add map {wwid}']
    assert caplog.text.count('mount /etc/multipath') == 1


def test_a_wwid_that_it_knows_is_not_asked_for(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.own_wwids = {host.disks['sda'].unit.wwid}
    assert build('sda', 'sdb') == 'dm-0'
    assert not asked(host)
    assert not caplog.text


def test_it_refuses_the_map_as_well(host: Host) -> None:
    """The attach goes on without a map, soon, and multipathd does not take the disk any more."""
    host.disks_in_use = True
    wwid = host.disks['sda'].unit.wwid
    started = host.clock.monotonic()
    with pytest.raises(map_offers.NotClaimed, match=f'fail: it has sda, and maps no {wwid}'):
        build('sda')
    assert host.clock.monotonic() - started < multipath.BUILD_SECONDS + FEW
    assert 'sda' not in host.paths_known
    assert wwid not in host.tree.at('/etc/multipath/wwids').read_text()


def test_no_map_of_another_volume_is_asked_for(host: Host) -> None:
    """multipathd has read the disk before the array gave its LUN to another volume."""
    identity = scsi.cached_identity('sda')
    two_volumes.remap(host, 'sda', array.Unit('tin'))
    host.disks['sda'].unit = two_volumes.unit(host, 'sda')
    with pytest.raises(map_offers.NotClaimed, match='fail: it takes sda for'):
        multipath.build(identity, ['sda'], wait.Deadline.after(LIMIT))
    assert not asked(host)
    assert not host.maps


def test_it_does_not_say_what_it_knows(host: Host) -> None:
    """Then it may take the disk at any moment: no path of it is handed out."""
    host.clock.sleep(2)
    offers = map_offers.Offers(0.0, host.disks['sda'].unit.wwid, wait.Deadline.after(60))
    assert offers.make_known(['sda'])
    host.multipathd_runs = False
    assert not offers.insist(scsi.cached_identity('sda'))
    assert offers.are_taken


def test_a_disk_whose_wwid_it_could_not_read(host: Host) -> None:
    host.paths_known = {'sda': '', 'sdb': '36001'}
    assert multipathd.known_disks() == {'sda': '', 'sdb': '36001'}
    assert multipathd.wwid_of('sda') == ''
    assert multipathd.wwid_of('sdx') == ''


def test_a_file_that_cannot_be_written(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """As in a container whose root is read-only: the map is made all the same."""
    host.tree.remove('/etc/multipath/wwids')
    host.tree.link('/etc/multipath/wwids', '/proc/nothing/wwids')
    assert build('sda') == 'dm-0'
    assert 'asked for the map by its WWID' in caplog.text
