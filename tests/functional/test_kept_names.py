# SPDX-License-Identifier: Apache-2.0
"""Names that a caller has kept, or that were looked at a moment ago, belong to others by now."""

import concurrent.futures
import contextlib
import errno
import subprocess
import sys

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import multipath as host_multipath
from os_brick.host import multipathd as host_multipathd
from os_brick.privileged import dm as root_dm
from tests.functional import lab, support


def two_targets(shelf):
    """Two volumes of two targets, each of them LUN 1: (volume, target) of each."""
    found = []
    for name in ('kepta', 'keptb'):
        volume = support.stamped(shelf, name)
        target = shelf.target(name, 1)
        target.map(1, volume)
        found.append((volume, target))
    return found


@pytest.mark.parametrize('multipath', [False, True], ids=['single', 'multipath'])
def test_device_path_of_another_volume(shelf, multipathd, multipath):
    """As nova does after a reboot: the path that it has kept is the other volume's by now."""
    if not multipath:
        multipathd(find_multipaths='strict')
    (_, one), (volume, other) = two_targets(shelf)
    connector = lab.bricks.ours(multipath=multipath)
    connector.disconnect_volume(one.properties(1), connector.connect_volume(one.properties(1)))
    info = connector.connect_volume(other.properties(1))
    disks = support.disks_of(info['path'])
    given = one.properties(1, device_path=info['path'])
    with pytest.raises(exception.VolumePathsNotFound):
        connector.extend_volume(given)
    for force in (False, True):
        with contextlib.suppress(exception.BrickException):
            connector.disconnect_volume(given, None, force=force)
        assert support.disks_of(info['path']) == disks
        assert support.session_count(other.iqn) == 1
        support.assert_is(info['path'], volume)
    connector.disconnect_volume(other.properties(1), info)


def test_name_whose_entry_udev_has_not_renewed(shelf, single, multi, multipathd):
    """udev is far behind, as where many volumes are attached at once: for it the disk is the one
    that had its name before. multipathd would put it into that one's map, and write to it."""
    multipathd(find_multipaths='strict')
    (volume, one), (fresh, other) = two_targets(shelf)
    props = one.properties(1)
    info = single.connect_volume(props)
    lab.shell.settle()
    lab.shell.run('udevadm', 'control', '--stop-exec-queue')
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            single.disconnect_volume(props, info)
            host_multipathd.remember(volume.wwid)
            attach = pool.submit(multi.connect_volume, other.properties(1))
            lab.shell.until(support.disks, 30, 'the new disk')
            assert [f'/dev/{disk}' for disk in support.disks()] == [info['path']]
            # Longer than a disk of which udev has no entry is left to it.
            assert not concurrent.futures.wait([attach], 6).done
            assert host_multipathd.wwid_of(info['path'].removeprefix('/dev/')) != volume.wwid
        finally:
            lab.shell.run('udevadm', 'control', '--start-exec-queue')
            host_multipathd.forget(volume.wwid)
        found = attach.result(60)
    assert found['multipath_id'] == fresh.wwid
    support.assert_is(found['path'], fresh)
    multi.disconnect_volume(other.properties(1), found)


CLAIM = """
import os, sys
os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)
print('claimed', flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def claimed(path):
    """Another process has a device for itself."""
    words = [sys.executable, '-c', CLAIM, path]
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
    with subprocess.Popen(words, **pipes) as child:
        assert child.stdout.readline() == 'claimed\n'
        yield
        child.communicate()


def test_claimed_stale_disk_stays(shelf, single, multipathd):
    """The array gives the LUN to another volume while a process has claimed the old disk."""
    multipathd(find_multipaths='strict')
    old, new = support.stamped(shelf, 'claimold'), support.stamped(shelf, 'claimnew')
    target = shelf.target('claimed', 1)
    target.map(1, old)
    props = target.properties(1)
    info = single.connect_volume(props)
    disks = support.disks()
    target.remap(1, new)
    with claimed(info['path']):
        with pytest.raises(exception.VolumeIdentityMismatch) as caught:
            single.connect_volume(props)
        assert old.wwid in str(caught.value)
        assert new.wwid in str(caught.value)
        assert support.disks() == disks
    again = single.connect_volume(props)
    assert again['scsi_wwn'] == new.wwid
    support.assert_is(again['path'], new)
    single.disconnect_volume(props, again)


def test_map_whose_number_is_another_maps_by_now(shelf, multi):
    """The kernel gives the number of a ``dm-N`` to the next map; a map is meant by its UUID."""
    (gone, one), (volume, other) = two_targets(shelf)
    first = multi.connect_volume(one.properties(1))
    multi.disconnect_volume(one.properties(1), first)
    info = multi.connect_volume(other.properties(1))
    found = support.node(info['path'])
    assert found == support.node(first['path']), 'the kernel has not given the number again'
    # What a detach of the first does that has looked before its map went.
    uuid = f'mpath-{gone.wwid}'
    root_dm.remove(uuid, 5.0)
    root_dm.resume(uuid, 5.0)
    for act in (root_dm.status, root_dm.fail_if_no_path):
        with pytest.raises(OSError) as caught:  # noqa: PT011 the number of the error is looked at
            act(uuid)
        assert caught.value.errno == errno.ENXIO
    deadline = wait.Deadline.after(5)
    host_multipath.release(found, gone.wwid, deadline, give_up_io=True)
    assert support.is_multipath(info['path'])
    support.assert_is(info['path'], volume)
    multi.disconnect_volume(other.properties(1), info)


def test_flush_of_a_name_that_is_another_disks_by_now(shelf, single, multipathd):
    """Root opens a device by its name and flushes it only if it is the one that was meant."""
    from os_brick.host import block as host_block
    from os_brick.privileged import block as root_block

    multipathd(find_multipaths='strict')
    (_, one), (volume, other) = two_targets(shelf)
    first = single.connect_volume(one.properties(1))
    number = host_block.inode(support.node(first['path']))
    root_block.flush(support.node(first['path']), number, 5.0)
    single.disconnect_volume(one.properties(1), first)
    info = single.connect_volume(other.properties(1))
    name = support.node(info['path'])
    with pytest.raises(OSError, match='another device by now'):
        root_block.flush(name, number, 5.0)
    root_block.flush(name, host_block.inode(name), 5.0)
    support.assert_is(info['path'], volume)
    single.disconnect_volume(other.properties(1), info)


def test_flush_after_the_last_look(shelf, single, multipathd):
    """Root asks the disk once more when it has it open: the array may have remapped the LUN."""
    from os_brick.host import block as host_block
    from os_brick.host import inquiry
    from os_brick.privileged import scsi_known

    multipathd(find_multipaths='strict')
    old, new = support.stamped(shelf, 'flushold'), support.stamped(shelf, 'flushnew')
    target = shelf.target('flushed', 1)
    target.map(1, old)
    props = target.properties(1)
    info = single.connect_volume(props)
    name = support.node(info['path'])
    answer, number = inquiry.ask(name), host_block.inode(name)
    unit = (str(answer.address), *answer.pages)
    assert scsi_known.flush(name, number, (unit,), 5.0) == ()
    assert scsi_known.flush_known(name, number, (unit,), '', 5.0) == ()
    target.remap(1, new)
    with pytest.raises(OSError, match='another volume is at') as caught:
        scsi_known.flush(name, number, (unit,), 5.0)
    assert caught.value.errno == errno.ESTALE
    assert scsi_known.flush_known(name, number, (unit,), '', 5.0) is None
    single.disconnect_volume(props, info)
