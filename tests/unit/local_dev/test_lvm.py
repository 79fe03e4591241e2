# SPDX-License-Identifier: Apache-2.0
"""Logical volumes through tools that keep their state: what is there before, and after."""

import inspect

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.core import clock
from os_brick.local_dev import lvm
from tests.unit import seams
from tests.unit.local_dev import simulated

MEBI = simulated.MEBI


@pytest.fixture(params=['2.03.16', '2.03.31'])
def host(request):
    host = simulated.Lvm2(request.param)
    host.group('gold')
    with clock.use(seams.Clock()):
        yield host


@pytest.fixture
def gold(host):
    vg = lvm.LVM('gold', 'sudo', executor=host)
    host.started.clear()
    return vg


@pytest.fixture
def thin(host):
    vg = lvm.LVM('gold', 'sudo', lvm_type='thin', executor=host)
    host.started.clear()
    return vg


def names(host):
    return set(host.groups['gold'].volumes)


# The object.


def test_construction_costs_two_programs(host):
    vg = lvm.LVM('gold', 'sudo', executor=host)
    assert [line.split()[0] for line in host.started] == ['vgs', 'pvs']
    assert vg.vg_name == 'gold'
    assert vg.pv_list == [
        {'vg': 'gold', 'name': f'/dev/gold{n}', 'size': 0.5, 'available': 0.5} for n in (0, 1)
    ]
    assert vg.vg_thin_pool is None
    for keywords in host.keywords:
        assert keywords['run_as_root'] is True
        assert keywords['root_helper'] == 'sudo'
        assert 0 < keywords['timeout'] <= 120


def test_a_missing_group_is_not_found(host):
    with pytest.raises(exception.VolumeGroupNotFound, match='silver'):
        lvm.LVM('silver', 'sudo', executor=host)


@pytest.mark.parametrize('name', ['', '-gold', 'a b', 'gold/x', '..', 7, None, 'gold\n'])
def test_a_group_that_cannot_be_is_refused_before_anything_runs(host, name):
    with pytest.raises(exception.InvalidParameterValue, match='vg_name'):
        lvm.LVM(name, 'sudo', executor=host)
    assert not host.started


def test_a_group_is_made_of_separate_devices(host):
    """LVM takes no list with commas: "No device found for /dev/sdb,/dev/sdc"."""
    host.unused = {'/dev/sdb': 512 * MEBI, '/dev/sdc': 512 * MEBI}
    vg = lvm.LVM(
        'silver', 'sudo', create_vg=True, physical_volumes=['/dev/sdb', '/dev/sdc'], executor=host
    )
    assert [pv['name'] for pv in vg.pv_list] == ['/dev/sdb', '/dev/sdc']


@pytest.mark.parametrize('devices', [['/dev/nope'], ['/dev/gold0']])
def test_a_group_that_cannot_be_made(host, devices):
    with pytest.raises(exception.VolumeGroupCreationFailed, match='silver'):
        lvm.LVM('silver', 'sudo', create_vg=True, physical_volumes=devices, executor=host)
    assert set(host.groups) == {'gold'}


@pytest.mark.parametrize('devices', ['/dev/sdb', [], ['sdb'], ['-f'], ['/dev/sdb,/dev/sdc'], [7]])
def test_devices_that_cannot_be_are_refused_before_anything_runs(host, devices):
    with pytest.raises(exception.InvalidParameterValue, match='physical_volumes'):
        lvm.LVM('silver', 'sudo', create_vg=True, physical_volumes=devices, executor=host)
    assert not host.started


def test_instances_do_not_influence_each_other(host, tmp_path):
    conf = tmp_path / 'lvm.conf'
    conf.write_text('')
    one = lvm.LVM('gold', 'sudo', executor=host, lvm_conf=str(conf), suppress_fd_warn=True)
    two = lvm.LVM('gold', 'sudo', executor=host, lvm_conf=str(tmp_path / 'nope'))
    host.prefixes.clear()
    one.get_volumes()
    two.get_volumes()
    assert host.prefixes == [
        ('env', 'LC_ALL=C', f'LVM_SYSTEM_DIR={tmp_path}', 'LVM_SUPPRESS_FD_WARNINGS=1'),
        ('env', 'LC_ALL=C'),
    ]
    assert lvm.LVM.LVM_CMD_PREFIX == ['env', 'LC_ALL=C']


def test_every_command_of_lvm_has_the_prefix(host, tmp_path):
    """Also those that change something: else LVM would read another configuration for them."""
    (tmp_path / 'lvm.conf').write_text('')
    vg = lvm.LVM('gold', 'sudo', executor=host, lvm_conf=str(tmp_path / 'lvm.conf'))
    vg.create_volume('a', '8m')
    vg.create_lv_snapshot('s', 'a')
    vg.deactivate_lv('a')
    vg.activate_lv('a', permanent=True)
    vg.extend_volume('a', '16m')
    vg.rename_volume('a', 'b')
    vg.revert('s')
    vg.delete('b')
    assert {prefix[-1] for prefix in host.prefixes} == {f'LVM_SYSTEM_DIR={tmp_path}'}


# Static methods.

STATIC = ('get_lvm_version', 'get_lv_info', 'get_all_physical_volumes', 'get_all_volume_groups')


@pytest.mark.parametrize('name', STATIC)
def test_static_methods_stay_static(name):
    assert isinstance(inspect.getattr_static(lvm.LVM, name), staticmethod)
    assert next(iter(inspect.signature(getattr(lvm.LVM, name)).parameters)) == 'root_helper'


@pytest.mark.parametrize('name', STATIC)
def test_on_an_instance_they_use_its_executor(host, gold, name):
    host.groups['gold'].volumes['a'] = simulated.Volume(8 * MEBI)
    assert getattr(gold, name)('other')
    assert host.keywords[-1]['root_helper'] == 'other'
    assert getattr(gold, name)(root_helper='another')
    assert host.keywords[-1]['root_helper'] == 'another'


@pytest.mark.parametrize('name', STATIC)
def test_on_the_class_they_use_the_root_daemon(host, name, monkeypatch):
    monkeypatch.setattr('os_brick.privileged.rootwrap.execute', host)
    assert getattr(lvm.LVM, name)('sudo') or name == 'get_lv_info'
    assert len(host.started) == 1


def test_the_version(gold, host):
    assert gold.get_lvm_version('sudo') == tuple(map(int, host.release.split('.')))


def test_groups_and_physical_volumes(host, gold):
    host.group('silver', 512, 1)
    host.unused['/dev/sdz'] = 256 * MEBI
    assert [group['name'] for group in gold.get_all_volume_groups('sudo')] == ['gold', 'silver']
    assert gold.get_all_volume_groups('sudo', 'silver') == [
        {
            'name': 'silver',
            'size': 0.5,
            'available': 0.5,
            'lv_count': 0,
            'uuid': host.groups['silver'].uuid,
        }
    ]
    with pytest.raises(exception.VolumeGroupNotFound):
        gold.get_all_volume_groups('sudo', 'tin')
    assert {pv['vg'] for pv in gold.get_all_physical_volumes('sudo')} == {'gold', 'silver', ''}
    assert [pv['name'] for pv in gold.get_all_physical_volumes('sudo', 'silver')] == [
        '/dev/silver0'
    ]
    assert gold.get_all_physical_volumes('sudo', 'tin') == []
    assert gold.get_physical_volumes() == gold.pv_list
    assert len(gold.pv_list) == 2


# Volumes.


def test_a_volume_lives(host, gold):
    gold.create_volume('a+b._-c', '8m')
    assert gold.get_volume('a+b._-c') == {'vg': 'gold', 'name': 'a+b._-c', 'size': '0.01'}
    gold.extend_volume('a+b._-c', '1000m')
    assert gold.get_volumes() == [{'vg': 'gold', 'name': 'a+b._-c', 'size': '0.98'}]
    gold.rename_volume('a+b._-c', 'd')
    assert gold.get_volume('a+b._-c') is None
    gold.deactivate_lv('d')
    assert not gold._lv_is_active('d')
    gold.activate_lv('d')
    assert gold._lv_is_active('d')
    gold.delete('d')
    assert gold.get_volumes() == []


@pytest.mark.parametrize(
    ('act', 'programs'),
    [
        (lambda vg: vg.get_volumes(), 1),
        (lambda vg: vg.get_volume('a'), 1),
        (lambda vg: vg.create_volume('new', '8m'), 1),
        (lambda vg: vg.create_lv_snapshot('new', 'a'), 2),
        (lambda vg: vg.delete('a'), 1),
        (lambda vg: vg.extend_volume('a', '16m'), 2),
        (lambda vg: vg.rename_volume('a', 'b'), 1),
        (lambda vg: vg.activate_lv('a'), 2),
        (lambda vg: vg.deactivate_lv('a'), 2),
        (lambda vg: vg.lv_has_snapshot('a'), 1),
        (lambda vg: vg.update_volume_group_info(), 1),
    ],
)
def test_what_a_method_costs(host, gold, act, programs):
    host.groups['gold'].volumes['a'] = simulated.Volume(8 * MEBI)
    act(gold)
    assert len(host.started) == programs, host.started


def test_a_mirror_is_a_mirror(host, gold):
    """LVM 2.03 makes no mirror with a log of its own: "Use RAID1 LV or disk log instead"."""
    gold.create_volume('m', '100m', mirror_count=1)
    assert host.groups['gold'].volumes['m'].kind == 'm'
    assert host.started == ['lvcreate -n m gold -L 100m --yes --type raid1 -m 1 --nosync']


def test_a_snapshot_lives(host, gold):
    gold.create_volume('a', '8m')
    assert not gold.lv_has_snapshot('a')
    gold.create_lv_snapshot('s', 'a')
    assert host.groups['gold'].volumes['s'].size == 8 * MEBI
    assert gold.lv_has_snapshot('a')
    gold.revert('gold/s')
    assert names(host) == {'a'}
    with pytest.raises(exception.VolumeDeviceNotFound) as caught:
        gold.create_lv_snapshot('s', 'nope')
    assert caught.value.device == 'nope'
    with pytest.raises(exception.InvalidParameterValue, match='silver/s'):
        gold.revert('silver/s')


def test_what_a_group_has(host, thin):
    thin.create_volume('t', '100g', 'thin')
    host.groups['gold'].volumes['gold-pool'].percent = '25.00'
    thin.update_volume_group_info()
    assert (thin.vg_size, thin.vg_free_space, thin.vg_lv_count) == (1.0, 0.0, 2)
    assert thin.vg_uuid == host.groups['gold'].uuid
    assert (thin.vg_thin_pool, thin.vg_thin_pool_size) == ('gold-pool', 1.0)
    assert thin.vg_thin_pool_free_space == 0.75
    assert thin.vg_provisioned_capacity == 100.0
    assert thin.vg_mirror_size(1) == 0.0


def test_a_pool_is_made_once(host):
    lvm.LVM('gold', 'sudo', lvm_type='thin', executor=host)
    assert names(host) == {'gold-pool'}
    host.started.clear()
    lvm.LVM('gold', 'sudo', lvm_type='thin', executor=host)
    assert not any(line.startswith('lvcreate') for line in host.started)


def test_a_pool_that_another_process_makes_meanwhile(host):
    host.before(
        'lvcreate *',
        lambda: host.groups['gold'].volumes.update({'gold-pool': simulated.Volume(MEBI, 't')}),
    )
    assert lvm.LVM('gold', 'sudo', lvm_type='thin', executor=host).vg_thin_pool == 'gold-pool'


def test_a_pool_by_name(host, gold):
    with pytest.raises(exception.InvalidParameterValue, match='create_thin_pool'):
        gold.create_volume('t', '1g', 'thin')
    gold.create_thin_pool('puddle')
    assert gold.vg_thin_pool == 'puddle'
    gold.create_volume('t', '1g', lv_type='thin')
    gold.create_lv_snapshot('ts', 't', 'thin')
    assert not gold.lv_has_snapshot('t')
    gold.delete('t')
    assert names(host) == {'puddle', 'ts'}


def test_a_thin_volume_has_no_mirrors(host, thin):
    with pytest.raises(exception.InvalidParameterValue, match='mirror_count'):
        thin.create_volume('t', '1g', 'thin', 1)
    assert not host.started


def test_a_pool_that_is_gone_has_no_room(host, thin):
    thin.update_volume_group_info()
    assert thin.vg_thin_pool_size == 1.0
    host.groups['gold'].volumes.clear()
    thin.update_volume_group_info()
    assert (thin.vg_thin_pool_size, thin.vg_thin_pool_free_space) == (0.0, 0.0)


# A delete never removes another volume.


def test_an_origin_is_not_removed_with_its_snapshots(host, gold):
    gold.create_volume('a', '8m')
    gold.create_lv_snapshot('s', 'a')
    with pytest.raises(exception.VolumeInUse, match='snapshots'):
        gold.delete('a')
    assert names(host) == {'a', 's'}
    gold.delete('s')
    gold.delete('a')
    assert not names(host)


def test_a_volume_that_is_only_called_like_a_part_is_removed(host, gold):
    gold.create_volume('cp_cpool', '8m')
    gold.delete('cp_cpool')
    assert not names(host)


def test_a_pool_is_not_removed_with_its_volumes(host, thin):
    thin.create_volume('t', '1g', 'thin')
    with pytest.raises(exception.VolumeInUse, match='volumes in it'):
        thin.delete('gold-pool')
    assert names(host) == {'gold-pool', 't'}
    thin.delete('t')
    thin.delete('gold-pool')


@pytest.mark.parametrize('name', ['', None, 'gold/a', '@tag', '../x', '-f', 'a b', 'a\n', b'a', 7])
@pytest.mark.parametrize(
    'act',
    [
        lambda vg, name: vg.delete(name),
        lambda vg, name: vg.extend_volume(name, '1g'),
        lambda vg, name: vg.rename_volume(name, 'b'),
        lambda vg, name: vg.rename_volume('a', name),
        lambda vg, name: vg.activate_lv(name),
        lambda vg, name: vg.deactivate_lv(name),
        lambda vg, name: vg.create_volume(name, '8m'),
        lambda vg, name: vg.create_lv_snapshot(name, 'a'),
        lambda vg, name: vg.create_lv_snapshot('s', name),
        lambda vg, name: vg.lv_has_snapshot(name),
        lambda vg, name: vg.get_volume(name),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_anything_runs(host, gold, act, name):
    with pytest.raises(exception.InvalidParameterValue):
        act(gold, name)
    assert not host.started


@pytest.mark.parametrize(
    'name', ['snapshot-1', 'pvmove0', 'a_mlog', 'a_rimage_0', 'x_tdata', 'y_tmeta1']
)
@pytest.mark.parametrize(
    'act',
    [
        lambda vg, name: vg.create_volume(name, '8m'),
        lambda vg, name: vg.create_lv_snapshot(name, 'a'),
        lambda vg, name: vg.rename_volume('a', name),
        lambda vg, name: vg.create_thin_pool(name),
    ],
)
def test_a_reserved_name_is_not_given(host, gold, act, name):
    with pytest.raises(exception.InvalidParameterValue, match='reserves'):
        act(gold, name)
    assert not host.started


def test_activation_knows_snapshots_under_their_mangled_name(host, gold):
    host.groups['gold'].volumes['_snapshot-1'] = simulated.Volume(MEBI, active=False)
    gold.activate_lv('snapshot-1', is_snapshot=True)
    assert host.groups['gold'].volumes['_snapshot-1'].active
    gold.deactivate_lv('snapshot-1')
    assert not host.groups['gold'].volumes['_snapshot-1'].active
    with pytest.raises(exception.VolumeDeviceNotFound):
        gold.delete('snapshot-1')


@pytest.mark.parametrize(
    'size',
    ['', '0', '0g', '-1g', '10%FREE', '1e2', '4 m', 'xyz', None, True, -1, '9e', '١g', '1gg'],
)
def test_a_size_that_cannot_be_is_named(host, gold, size):
    for act in (
        lambda: gold.create_volume('a', size),
        lambda: gold.extend_volume('a', size),
    ):
        with pytest.raises(exception.InvalidParameterValue, match='size'):
            act()
    assert not host.started


@pytest.mark.parametrize('count', [-1, 1.5, '1', None, True, 99])
def test_a_number_of_mirrors_that_cannot_be(host, gold, count):
    for act in (
        lambda: gold.create_volume('a', '8m', mirror_count=count),
        lambda: gold.vg_mirror_size(count),
        lambda: gold.vg_mirror_free_space(count),
    ):
        with pytest.raises(exception.InvalidParameterValue, match='mirror_count'):
            act()
    assert not host.started


# What is missing, exported, in use.


def test_a_volume_that_is_missing(host, gold):
    for act in (
        lambda: gold.delete('a'),
        lambda: gold.extend_volume('a', '1g'),
        lambda: gold.rename_volume('a', 'b'),
        lambda: gold.activate_lv('a'),
        lambda: gold.deactivate_lv('a'),
        lambda: gold.lv_has_snapshot('a'),
        lambda: gold.revert('a'),
    ):
        with pytest.raises(exception.VolumeDeviceNotFound, match='gold/a'):
            act()
    assert gold.get_volume('a') is None
    assert gold.get_lv_info('sudo', 'gold', 'a') == []


def test_a_group_that_goes(host, gold):
    del host.groups['gold']
    for act in (
        lambda: gold.create_volume('a', '8m'),
        lambda: gold.delete('a'),
        lambda: gold.extend_volume('a', '1g'),
        lambda: gold.rename_volume('a', 'b'),
        lambda: gold.activate_lv('a'),
        lambda: gold.deactivate_lv('a'),
        lambda: gold.lv_has_snapshot('a'),
        lambda: gold.update_volume_group_info(),
        lambda: gold.create_thin_pool(),
    ):
        with pytest.raises(exception.VolumeGroupNotFound, match='gold'):
            act()
    assert gold.get_volumes() == []


@pytest.mark.parametrize(
    ('trouble', 'text'), [('exported', 'is exported'), ('missing', 'PVs are missing')]
)
def test_a_group_that_cannot_be_changed_says_why(host, gold, trouble, text):
    gold.create_volume('a', '8m')
    setattr(host.groups['gold'], trouble, True)
    for act in (
        lambda: gold.create_volume('b', '8m'),
        lambda: gold.extend_volume('a', '1g'),
        lambda: gold.rename_volume('a', 'b'),
        lambda: gold.create_lv_snapshot('s', 'a'),
    ):
        host.started.clear()
        with pytest.raises(processutils.ProcessExecutionError, match=text):
            act()
        assert len(host.started) <= 2  # Nothing is tried again.
    assert names(host) == {'a'}
