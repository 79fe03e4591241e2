# SPDX-License-Identifier: Apache-2.0
"""Volumes of LVM on a real volume group, beside what ``lvs`` reports from the outside."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import subprocess
import time

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.local_dev import lvm
from tests import breadth
from tests.functional import lab, support

NAME = 'lab-gold'
MEBI = 1 << 20


@pytest.fixture(scope='module')
def whole_group(testbed: lab.Testbed) -> Iterator[lab.lvm.Group]:
    lab.lvm.forget()
    group = lab.lvm.Group(NAME)
    group.create()
    yield group
    group.close()


@pytest.fixture
def group(whole_group: lab.lvm.Group, clean_host: object) -> Iterator[lab.lvm.Group]:
    """The group, without volumes before the test and after it."""
    yield whole_group
    left = whole_group.volumes()
    if left:
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


RESERVED = (
    *('tdata', 'tmeta', 'mlog', 'mimage', 'rimage', 'rmeta', 'cdata', 'cmeta', 'corig', 'cvol'),
    *('wcorig', 'iorig', 'imeta', 'pmspare', 'vdata', 'vorigin'),
)


ODD = """
report { compact_output = 1 prefixes = 1 quoted = 1 aligned = 0 output_format = "json_std" }
global { units = "h" suffix = 1 }
log { silent = 1 verbose = 1 prefix = "x " command_names = 1 }
"""


def test_another_configuration_of_lvm(group: lab.lvm.Group, vg: lvm.LVM) -> None:
    """What an operator can set for tables and texts changes nothing."""
    group.configure(ODD)
    try:
        vg.create_volume('a', '20m')
        vg.update_volume_group_info()
        assert vg.vg_lv_count == 1
        assert vg.get_volume('a') == {'vg': NAME, 'name': 'a', 'size': '0.02'}
        assert vg.get_physical_volumes()[0]['size'] == 0.12
        assert vg.get_lvm_version('sudo') >= (2, 3, 0)
        assert vg.get_volume('nope') is None
        vg.delete('a')
        with pytest.raises(exception.VolumeDeviceNotFound):
            vg.delete('a')
    finally:
        group.configure()


def test_a_new_group(group: lab.lvm.Group) -> None:
    """On several disks, not on one with data; LVM's own directory stays as it is."""
    name = 'lab-silver'
    configuration = sorted(pathlib.Path('/etc/lvm').rglob('*'))
    silver = lab.lvm.Group(name, 3, 64, first=10)
    try:
        disks = [device.path for device in silver.devices]
        lab.shell.run('mkfs.ext4', '-q', disks[2])
        data = support.read(disks[2], 4096, 0)
        more = {'lvm_conf': str(silver.conf), 'create_vg': True}
        with pytest.raises(exception.VolumeGroupCreationFailed, match=name):
            lvm.LVM(name, 'sudo', physical_volumes=disks, **more)
        assert support.read(disks[2], 4096, 0) == data
        made = lvm.LVM(name, 'sudo', physical_volumes=disks[:2], **more)
        assert {pv['name'] for pv in made.pv_list} == set(disks[:2])
        with pytest.raises(exception.VolumeGroupCreationFailed, match=name):
            lvm.LVM(name, 'sudo', physical_volumes=disks[:2], **more)
    finally:
        silver.close()
    assert sorted(pathlib.Path('/etc/lvm').rglob('*')) == configuration


def test_names_that_lvm_reserves(group: lab.lvm.Group, vg: lvm.LVM) -> None:
    """LVM refuses each that we refuse, and takes what we take."""
    parts = RESERVED if breadth.EVERYTHING else RESERVED[:1]
    for name in ('snapshot-1', 'pvmove9', *(f'x_{part}0' for part in parts)):
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


HANGING = [
    ('lvs of volume group', lambda vg: vg.get_volumes()),
    ('lvremove of logical volume', lambda vg: vg.delete('a')),
    ('lvcreate of volume group', lambda vg: vg.create_volume('b', '4m')),
    ('lvs of logical volume', lambda vg: vg.extend_volume('a', '8m')),
    ('lvchange of logical volume', lambda vg: vg.deactivate_lv('a')),
    ('lvrename of logical volume', lambda vg: vg.rename_volume('a', 'b')),
    ('vgs of volume group', lambda vg: vg.update_volume_group_info()),
    ('pvs of this host', lambda vg: vg.get_physical_volumes()),
]


def test_a_disk_that_does_not_answer(group: lab.lvm.Group, vg: lvm.LVM, options) -> None:
    """LVM waits for it for ever; a method does not, and names what it waited for."""
    vg.create_volume('a', '4m')
    options(operation_timeout=4)
    for what, act in HANGING if breadth.EVERYTHING else HANGING[:1]:
        group.devices[0].suspend()
        began = time.monotonic()
        try:
            with pytest.raises(exception.OperationTimedOut, match=f'{what} {NAME}'):
                act(vg)
        finally:
            took = time.monotonic() - began
            group.devices[0].resume()
        assert took < 8, what
    options(operation_timeout=60)
    lab.shell.until(lambda: not lvm_runs(), 20, 'the killed tools have ended')
    assert set(group.volumes()) == {'a'}
    vg.delete('a')


def lvm_runs() -> bool:
    names = (lab.shell.read(entry) for entry in pathlib.Path('/proc').glob('[0-9]*/comm'))
    return any(name.startswith(('lv', 'vg', 'pv')) for name in names)


class Killing:
    """Runs programs, and kills the first one of a name after a while."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._seconds = seconds

    def __call__(self, *cmd: str, **_keywords: object) -> tuple[str, str]:
        with subprocess.Popen(
            cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as tool:
            seconds = None
            if self._name in cmd:
                self._name, seconds = '', self._seconds
            with contextlib.suppress(subprocess.TimeoutExpired):
                tool.wait(seconds)
            if seconds is not None:
                tool.kill()
            out, err = tool.communicate()
        if tool.returncode:
            raise processutils.ProcessExecutionError(
                stdout=out, stderr=err, exit_code=tool.returncode, cmd=' '.join(cmd)
            )
        return out, err


def test_tools_that_are_killed(group: lab.lvm.Group, vg: lvm.LVM) -> None:
    """At any moment: the method fails or has done it, what else there is stays, and LVM goes on."""
    vg.create_volume('stays', '4m')
    put('stays', b'stays')
    for moment in (0.02 * n for n in (range(1, 15) if breadth.EVERYTHING else (6,))):
        for name, act in (
            ('lvcreate', lambda vg: vg.create_volume('a', '4m')),
            ('lvextend', lambda vg: vg.extend_volume('a', '8m')),
            ('lvremove', lambda vg: vg.delete('a')),
        ):
            broken = make(group, executor=Killing(name, moment))
            with contextlib.suppress(processutils.ProcessExecutionError, exception.BrickException):
                act(broken)
            if name == 'lvcreate' and 'a' not in group.volumes():
                vg.create_volume('a', '4m')
        with contextlib.suppress(exception.VolumeDeviceNotFound):
            vg.delete('a')
        assert set(group.volumes()) == {'stays'}
        assert seen('stays') == b'stays'
    assert not group.run('vgck', NAME)
    vg.delete('stays')


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


QUESTIONS = (
    ('get_volumes',),
    ('get_volume', 'a'),
    ('get_physical_volumes',),
    ('get_all_volume_groups', 'sudo'),
    ('get_lvm_version', 'sudo'),
    ('lv_has_snapshot', 'a'),
    ('update_volume_group_info',),
    ('vg_mirror_free_space', 1),
    ('vg_mirror_size', 1),
    *(('__getattribute__', f'vg_{name}') for name in ('size', 'free_space', 'lv_count', 'uuid')),
    ('__getattribute__', 'vg_provisioned_capacity'),
)
MORE_QUESTIONS = (
    ('get_volume', 'nope'),
    ('get_all_physical_volumes', 'sudo'),
    ('get_all_physical_volumes', 'sudo', 'nope'),
    ('get_lv_info', 'sudo', 'nope'),
    ('lv_has_snapshot', 's'),
)


@pytest.mark.reference
def test_answers_are_those_of_the_reference(
    group: lab.lvm.Group, vg: lvm.LVM, workers, reference_nursery
) -> None:
    """Values, types and forms: what callers have read until now."""
    vg.create_volume('a', '20m')
    vg.create_lv_snapshot('s', 'a')
    ours, theirs = workers(), reference_nursery.spawn()
    # The reference reads all of LVM's configuration for some, and its default for others.
    for worker in (ours, theirs):
        worker.group(NAME, lvm_conf=str(group.conf), suppress_fd_warn=True)
    questions = (*QUESTIONS, *(MORE_QUESTIONS if breadth.EVERYTHING else ()))
    answers = {
        question: [worker.call(*question) for worker in (ours, theirs)] for question in questions
    }
    theirs.close()
    assert {q: a[0] for q, a in answers.items()} == {q: a[1] for q, a in answers.items()}
    vg.delete('s')
    vg.delete('a')
