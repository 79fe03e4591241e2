# SPDX-License-Identifier: Apache-2.0
"""What a caller has kept is a hint: no volume is ever touched by another one's call.

Several targets show their volume as the same LUN, and the kernel gives names again: after a reboot
``sda`` and ``dm-0`` belong to what comes first.
"""

import contextlib
import errno

import pytest

from os_brick import exception
from os_brick.core import background
from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

Host = fake_host.Host
EITHER = pytest.mark.parametrize('multipath', [False, True])


def connector(multipath: bool) -> iscsi.ISCSIConnector:
    return iscsi.ISCSIConnector(None, use_multipath=multipath)


def reboot(host: Host) -> None:
    """Everything of the host is gone; what callers keep is not."""
    host.settle()
    for found in list(host.maps.values()):
        found.open_count = 0
        host.remove_map(found)
    for session in list(host.sessions.values()):
        host.log_out(session)
    host.paths_known.clear()
    host.settle()


def two_targets(host: Host) -> tuple[array.Target, array.Target]:
    one, other = host.target('a'), host.target('b')
    one.luns[1], other.luns[1] = array.Unit('gold', 64), array.Unit('silver', 128)
    return one, other


@EITHER
@pytest.mark.parametrize('encrypted', [False, True])
@pytest.mark.parametrize('force', [False, True])
def test_detach_after_a_reboot(host: Host, multipath: bool, encrypted: bool, force: bool) -> None:
    """As nova does it: the path is in the properties, and there is no ``device_info``."""
    one, other = two_targets(host)
    brick = connector(multipath)
    props = one.properties(encrypted=encrypted)
    kept = brick.connect_volume(props)['path']
    reboot(host)
    assert brick.connect_volume(other.properties(encrypted=encrypted))['path'] == kept
    before = host.snapshot()
    with contextlib.suppress(exception.BrickException):
        brick.disconnect_volume({**props, 'device_path': kept}, None, force=force)
    after = host.snapshot()

    def of_others(snapshot: dict[str, str]) -> dict[str, str]:
        """Without what is the volume's own: its node records, and its WWID."""
        places = ('/sys/', '/dev/', f'/var/lib/iscsi/nodes/{other.iqn}')
        return {path: text for path, text in snapshot.items() if path.startswith(places)}

    assert of_others(after) == of_others(before)


@EITHER
def test_extend_after_a_reboot(host: Host, multipath: bool) -> None:
    one, other = two_targets(host)
    brick = connector(multipath)
    kept = brick.connect_volume(one.properties())['path']
    reboot(host)
    brick.connect_volume(other.properties())
    with pytest.raises(exception.VolumePathsNotFound, match=one.iqn):
        brick.extend_volume({**one.properties(), 'device_path': kept})


def test_a_stale_disk_that_is_claimed_stays(host: Host) -> None:
    """Another process has it for itself: an attach does not pull it away."""
    target = host.target('a')
    target.luns[1] = array.Unit('gold')
    brick = connector(multipath=False)
    brick.connect_volume(target.properties())
    target.luns[1] = array.Unit('silver')
    host.claims.add('sda')
    with pytest.raises(exception.VolumeIdentityMismatch, match='claimed'):
        brick.connect_volume(target.properties())
    assert list(host.disks) == ['sda']


@EITHER
def test_a_new_disk_that_is_claimed_is_not_taken_back(host: Host, multipath: bool) -> None:
    """A process takes it for itself while the attach that has brought it fails."""
    target = host.target('a')
    target.luns[1] = array.Unit('gold')

    def fail(what: str) -> None:
        if what.startswith('_read_start'):
            host.claims.add('sda')
            raise OSError(errno.EIO, 'Input/output error')

    host.before_act = fail
    with pytest.raises(exception.BrickException):
        connector(multipath).connect_volume(target.properties())
    host.settle()
    assert list(host.disks) == ['sda']
    assert not host.maps
    host.claims.clear()
    host.before_act = lambda what: None
    brick = connector(multipath)
    brick.disconnect_volume(target.properties(), brick.connect_volume(target.properties()))
    assert not host.disks


def test_a_map_that_a_process_has_open_is_not_taken_back(host: Host) -> None:
    target = host.target('a')
    target.luns[1] = array.Unit('gold')

    def fail(what: str) -> None:
        if what.startswith('_read_start'):
            host.maps['dm-0'].open_count = 1
            raise OSError(errno.EIO, 'Input/output error')

    host.before_act = fail
    with pytest.raises(exception.BrickException):
        connector(multipath=True).connect_volume(target.properties())
    host.settle()
    assert list(host.disks) == ['sda']
    assert [disk.name for disk in host.maps['dm-0'].disks] == ['sda']


@EITHER
def test_paths_of_a_volume_by_its_identity(host: Host, multipath: bool) -> None:
    """What is at its LUN may be another volume by now: then there are no paths to it."""
    target = host.target('a', portals=2)
    target.luns[1] = array.Unit('gold')
    brick = connector(multipath)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    wwid = target.luns[1].wwid
    found = brick.get_volume_paths(props)
    assert len(found) == (2 if multipath else 1)
    assert brick.get_volume_paths({**props, 'scsi_wwn': wwid}) == found
    assert brick.get_volume_paths({**props, 'scsi_wwn': array.Unit('other').wwid}) == []
    brick.disconnect_volume(props, info)


def test_a_link_is_put_back_if_the_map_stays(host: Host) -> None:
    """An encrypted volume's user finds it where it was, and the next detach removes both."""
    target = host.target('a')
    target.luns[1] = array.Unit('gold')
    brick = connector(multipath=True)
    props = target.properties(encrypted=True)
    before = host.snapshot()
    info = brick.connect_volume(props)
    link = host.tree.at(info['path'])
    where = link.readlink()

    def open_it(what: str) -> None:
        if not link.is_symlink() and host.maps:  # Between the link and the map.
            host.maps['dm-0'].open_count = 1

    host.before_act = open_it
    with pytest.raises(exception.VolumeInUse, match='dm-0'):
        brick.disconnect_volume(props, info)
    assert link.readlink() == where
    host.before_act = lambda what: None
    host.maps['dm-0'].open_count = 0
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_a_short_disk_comes_back_only_as_itself(host: Host) -> None:
    """Its name belongs to another volume's disk by then, which is in use without a map."""
    target = host.target('a', portals=2)
    target.luns[1] = array.Unit('gold')
    brick = connector(multipath=True)
    brick.connect_volume(target.properties(plural=True))
    (found,) = host.maps.values()
    short = found.disks[1]
    host.set_state(short, 'transport-offline')
    target.luns[1].megabytes += 32
    brick.extend_volume(target.properties(plural=True))
    assert short not in found.disks
    host.remove_disk(short)
    other = host.target('b')
    other.luns[1] = array.Unit('silver', 96)
    single = connector(multipath=False)
    assert single.connect_volume(other.properties())['path'] == f'/dev/{short.name}'
    host.clock.sleep(60)
    host.settle()
    assert short.name not in [disk.name for disk in found.disks]
    assert len(host.maps) == 1
    assert all(work.ended.wait(5) for work in list(background._running))
    assert short.name not in [disk.name for disk in found.disks]


@EITHER
def test_a_flush_never_reaches_the_next_device_of_a_name(host: Host, multipath: bool) -> None:
    """The volume's session ends, and another volume comes, while root is about to open it."""
    one, other = two_targets(host)
    brick = connector(multipath)
    info = brick.connect_volume(one.properties())

    def replace(what: str) -> None:
        if what.startswith('_flush '):
            host.before_act = lambda what: None
            reboot(host)
            assert connector(multipath).connect_volume(other.properties())['path'] == info['path']

    host.before_act = replace
    with pytest.raises(exception.VolumeDeviceNotFound, match='another device by now'):
        brick.disconnect_volume(one.properties(), info)
    assert host.flushes == []
    assert [disk.unit.name for disk in host.disks.values()] == ['silver']
    brick.disconnect_volume(one.properties(), info)
    assert [disk.unit.name for disk in host.disks.values()] == ['silver']
