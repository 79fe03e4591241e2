# SPDX-License-Identifier: Apache-2.0
"""The kernel's device-mapper: status, resume, queueing, removal; never by force."""

from collections.abc import Iterator
import errno
import pathlib

import pytest

from os_brick import exception
from os_brick.privileged import dm
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[fake_host.Host]:
    """A host with the map dm-0 over one disk."""
    with fake_host.Host(tmp_path) as found:
        target = found.target()
        target.luns[1] = array.Unit()
        session = found.log_in(target, target.portals[0])
        found.tree.file(f'/sys/class/scsi_host/host{session.host}/scan', '0 0 1')
        found.snapshot()
        assert found.claim('sda')
        yield found


def uuid(host: fake_host.Host) -> str:
    return f'mpath-{host.disks["sda"].unit.wwid}'


def test_status(host: fake_host.Host) -> None:
    found = host.maps['dm-0']
    assert dm.status(uuid(host)) == (0, False, 'multipath 2 0 0 0 1 1 A 0 1 2 8:0 A 0 0 1 ')
    found.open_count, found.is_suspended = 2, True
    assert dm.status(uuid(host))[:2] == (2, True)


def test_resume(host: fake_host.Host) -> None:
    host.maps['dm-0'].is_suspended = True
    dm.resume(uuid(host), 5.0)
    assert not host.maps['dm-0'].is_suspended


def test_queueing_ends(host: fake_host.Host) -> None:
    host.maps['dm-0'].queues = True
    dm.fail_if_no_path(uuid(host))
    assert not host.maps['dm-0'].queues


def test_remove(host: fake_host.Host) -> None:
    dm.remove(uuid(host), 5.0)
    assert host.maps == {}


def test_an_open_map_stays(host: fake_host.Host) -> None:
    host.maps['dm-0'].open_count = 1
    with pytest.raises(OSError, match='busy') as caught:
        dm.remove(uuid(host), 5.0)
    assert caught.value.errno == errno.EBUSY
    assert list(host.maps) == ['dm-0']


def test_what_has_gone_meanwhile_is_removed_already(host: fake_host.Host) -> None:
    host.maps.pop('dm-0')
    dm.remove(uuid(host), 5.0)


@pytest.mark.parametrize(
    'name',
    [
        *('', '../dm-0', 'sda', 'mpatha', 'dm-0', 'mpath-', 'mpath-a/b', 'mpath-a b', 'mpath-a\0'),
        *('LVM-abc', 'CRYPT-LUKS2-abc', 'part1-LVM-abc', 'xmpath-a', 'mpath-' + 'a' * 123),
    ],
)
def test_only_maps(host: fake_host.Host, name: str) -> None:
    for act in (
        dm.status,
        dm.fail_if_no_path,
        lambda n: dm.remove(n, 5.0),
        lambda n: dm.resume(n, 5.0),
    ):
        with pytest.raises(exception.InvalidParameterValue):
            act(name)
    assert list(host.maps) == ['dm-0']


def test_a_number_that_another_map_has_by_now(host: fake_host.Host) -> None:
    """dm-0 was looked at; it has gone since, and the next map, of another volume, is dm-0."""
    looked_at = uuid(host)
    host.remove_map(host.maps['dm-0'])
    other = array.Unit('silver')
    host.disks['sda'].unit = other
    assert host.claim('sda')
    assert host.maps['dm-0'].wwid == other.wwid
    host.maps['dm-0'].queues = host.maps['dm-0'].is_suspended = True
    dm.remove(looked_at, 5.0)
    dm.resume(looked_at, 5.0)
    for act in (dm.fail_if_no_path, dm.status):
        with pytest.raises(OSError, match='No such device'):
            act(looked_at)
    found = host.maps['dm-0']
    assert (found.wwid, found.queues, found.is_suspended) == (other.wwid, True, True)
