# SPDX-License-Identifier: Apache-2.0
"""Volumes of LVM on a real volume group, beside what ``lvs`` reports from the outside."""

from collections.abc import Iterator
import contextlib
import os
import time

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.local_dev import lvm
from tests.functional import lab, support

NAME = 'lab-gold'
MEBI = 1 << 20


@pytest.fixture(scope='module')
def whole_group(testbed: lab.Testbed) -> Iterator[lab.lvm.Group]:
    group = lab.lvm.Group(NAME)
    group.create()
    yield group
    group.close()


@pytest.fixture
def group(whole_group: lab.lvm.Group, clean_host: object) -> Iterator[lab.lvm.Group]:
    """The group, without volumes before the test and after it."""
    yield whole_group
    left = whole_group.volumes()
    whole_group.empty()
    assert not left, left


@pytest.fixture
def vg(group: lab.lvm.Group) -> lvm.LVM:
    return make(group)


def make(group: lab.lvm.Group, **more: object) -> lvm.LVM:
    return lvm.LVM(NAME, 'sudo', lvm_conf=str(group.conf), suppress_fd_warn=True, **more)


def path(name: str) -> str:
    return f'/dev/{NAME}/{name}'


def put(name: str, word: bytes) -> None:
    support.write(path(name), word.ljust(support.BLOCK, b'.'))


def seen(name: str) -> bytes:
    return support.read(path(name)).rstrip(b'.')


def test_thick_volumes(group: lab.lvm.Group, vg: lvm.LVM) -> None:
    """Made, listed, written, grown with a snapshot, reverted, renamed, deactivated, removed."""
    vg.create_volume('a+._-1', '20m')
    assert vg.get_volume('a+._-1') == {'vg': NAME, 'name': 'a+._-1', 'size': '0.02'}
    assert group.volumes()['a+._-1']['lv_size'] == str(20 * MEBI)
    put('a+._-1', b'before')
    vg.create_lv_snapshot('s', 'a+._-1')
    assert group.volumes()['s']['origin'] == 'a+._-1'
    assert vg.lv_has_snapshot('a+._-1')
    put('a+._-1', b'after')
    vg.extend_volume('a+._-1', '24m')
    assert support.size(path('a+._-1')) == 24 * MEBI
    with pytest.raises(exception.VolumeInUse, match='snapshots'):
        vg.delete('a+._-1')
    assert set(group.volumes()) == {'a+._-1', 's'}
    vg.revert('s')
    lab.shell.until(lambda: set(group.volumes()) == {'a+._-1'}, 20, 'the snapshot has been merged')
    assert seen('a+._-1') == b'before'
    vg.extend_volume('a+._-1', '24m')  # It has that size.
    vg.rename_volume('a+._-1', 'b')
    assert set(group.volumes()) == {'b'}
    vg.deactivate_lv('b')
    assert group.volumes()['b']['lv_attr'][4] == '-'
    assert not os.path.exists(path('b'))
    vg.activate_lv('b')
    assert seen('b') == b'before'
    vg.update_volume_group_info()
    assert (vg.vg_size, vg.vg_lv_count) == (0.36, 1)
    assert vg.vg_free_space == 0.34
    vg.delete('b')
    assert vg.get_volumes() == []
    with pytest.raises(exception.VolumeDeviceNotFound, match=f'{NAME}/b'):
        vg.delete('b')


def test_thin_volumes(group: lab.lvm.Group) -> None:
    """A pool of all that is free; what it holds; snapshots that outlive their volume."""
    vg = make(group, lvm_type='thin')
    pool = f'{NAME}-pool'
    assert group.volumes()[pool]['lv_attr'][0] == 't'
    vg.create_volume('t', '1g', lv_type='thin')
    put('t', b'before')
    vg.create_lv_snapshot('ts', 't', lv_type='thin')
    assert group.volumes()['ts']['lv_attr'][0] == 'V'
    assert group.volumes()['ts']['origin'] == 't'
    assert not vg.lv_has_snapshot('t')
    vg.extend_volume('t', '2g')
    assert not os.path.exists(path('ts'))  # It is skipped until it is asked for.
    vg.activate_lv('ts', permanent=True)
    assert group.volumes()['ts']['lv_attr'][9] == '-'
    assert seen('ts') == b'before'
    with open(path('t'), 'wb', buffering=0) as device:
        device.write(b'x' * (32 * MEBI))
        os.fsync(device.fileno())
    vg.update_volume_group_info()
    assert vg.vg_provisioned_capacity == 3.0
    assert vg.vg_thin_pool_size - vg.vg_thin_pool_free_space == pytest.approx(0.03, abs=0.01)
    with pytest.raises(exception.VolumeInUse, match='volumes in it'):
        vg.delete(pool)
    vg.delete('t')
    assert seen('ts') == b'before'
    vg.delete('ts')
    assert make(group, lvm_type='thin').vg_thin_pool == pool
    vg.delete(pool)


def test_a_mirror_and_a_signature(group: lab.lvm.Group, vg: lvm.LVM) -> None:
    """A mirror is one; what an earlier volume left on the blocks is wiped, and asks no question."""
    vg.create_volume('m', '8m', mirror_count=1)
    assert group.volumes()['m']['lv_attr'][0] in 'rR'
    put('m', b'mirrored')
    assert seen('m') == b'mirrored'
    vg.delete('m')
    vg.create_volume('a', '8m')
    with open(path('a'), 'wb') as device:
        device.seek(4086)
        device.write(b'SWAPSPACE2')
    vg.delete('a')
    vg.create_volume('b', '8m')
    assert b'SWAPSPACE2' not in support.read(path('b'), 8192)
    vg.delete('b')


def test_names_that_lvm_reserves(group: lab.lvm.Group, vg: lvm.LVM) -> None:
    """LVM refuses each that we refuse, and takes what we take."""
    for name in ('snapshot-1', 'pvmove9', 'x_tdata'):
        with pytest.raises(exception.InvalidParameterValue, match='reserves'):
            vg.create_volume(name, '4m')
        assert 'reserved' in group.run('lvcreate', '-L', '4m', '-n', name, NAME, check=False)
    vg.create_volume('_snapshot-1', '4m')
    vg.deactivate_lv('snapshot-1')
    assert group.volumes()['_snapshot-1']['lv_attr'][4] == '-'
    vg.delete('_snapshot-1')


def test_a_volume_in_use_stays(group: lab.lvm.Group, vg: lvm.LVM) -> None:
    vg.create_volume('a', '4m')
    put('a', b'used')
    with open(path('a'), 'rb'), pytest.raises(processutils.ProcessExecutionError, match='in use'):
        vg.deactivate_lv('a')
    assert seen('a') == b'used'
    vg.delete('a')


def test_a_group_that_is_exported_partial_or_missing(group: lab.lvm.Group, vg: lvm.LVM) -> None:
    """Each says why, and nothing has changed."""
    vg.create_volume('a', '4m')
    vg.deactivate_lv('a')
    group.run('vgexport', NAME)
    try:
        for act in (
            lambda: vg.get_volumes(),
            lambda: vg.create_volume('b', '4m'),
            lambda: vg.delete('a'),
        ):
            with pytest.raises(processutils.ProcessExecutionError, match='is exported'):
                act()
    finally:
        group.run('vgimport', NAME)
    group.devices[2].lose()
    try:
        assert [volume['name'] for volume in vg.get_volumes()] == ['a']
        assert '[unknown]' in {pv['name'] for pv in vg.get_physical_volumes()}
        for act in (
            lambda: vg.create_volume('b', '4m'),
            lambda: vg.rename_volume('a', 'b'),
        ):
            with pytest.raises(processutils.ProcessExecutionError, match='PVs are missing'):
                act()
    finally:
        group.devices[2].find()
    assert set(group.volumes()) == {'a'}
    with pytest.raises(exception.VolumeGroupNotFound, match='lab-silver'):
        lvm.LVM('lab-silver', 'sudo', lvm_conf=str(group.conf))
    vg.delete('a')


def test_a_disk_that_does_not_answer(group: lab.lvm.Group, vg: lvm.LVM, options) -> None:
    """LVM waits for it for ever; the method does not, and names what it waited for."""
    options(operation_timeout=4)
    group.devices[0].suspend()
    began = time.monotonic()
    try:
        with pytest.raises(exception.OperationTimedOut, match=f'lvs of volume group {NAME}'):
            vg.get_volumes()
    finally:
        took = time.monotonic() - began
        group.devices[0].resume()
    assert took < 8
    assert vg.get_volumes() == []


def test_two_processes(group: lab.lvm.Group, workers) -> None:
    """Each makes, grows and removes volumes of its own in one group at once: nothing is lost."""
    both = [workers(), workers()]
    for worker in both:
        worker.group(NAME, lvm_conf=str(group.conf), suppress_fd_warn=True)
    for method, calls in (
        ('create_volume', [[('keep', '4m'), ('go', '4m')]] * 2),
        ('extend_volume', [[('keep', '8m')]] * 2),
        ('delete', [[('go',)]] * 2),
    ):
        for number, worker in enumerate(both):
            words = [[f'{name}-{number}', *rest] for name, *rest in calls[number]]
            worker.start(do='many', method=method, calls=words)
        for worker in both:
            worker.finish()
    found = {name: row['lv_size'] for name, row in group.volumes().items()}
    assert found == {'keep-0': str(8 * MEBI), 'keep-1': str(8 * MEBI)}
    # The same volume: one of them removes it, and the other one says so.
    for worker in both:
        worker.begin('delete', 'keep-0')
    errors = []
    for worker in both:
        with contextlib.suppress(lab.bricks.RemoteError):
            worker.finish()
            continue
        errors.append(worker)
    assert len(errors) == 1
    both[0].call('delete', 'keep-1')
