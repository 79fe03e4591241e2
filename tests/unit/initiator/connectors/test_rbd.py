# SPDX-License-Identifier: Apache-2.0
"""RBDConnector with images that the kernel maps, on a fake host."""

from collections.abc import Iterator
import contextlib
import logging
import pathlib
import traceback
from typing import Any

import pytest

from os_brick import exception
from os_brick.initiator.connectors import rbd
from os_brick.model import rbd as model
from os_brick.model import rbd_mark
from tests.unit.fakehost import ceph

SECRET = ceph.SECRET


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[ceph.RbdHost]:
    with ceph.RbdHost(tmp_path) as found:
        yield found


@pytest.fixture
def cluster(host: ceph.RbdHost) -> ceph.Cluster:
    found = host.cluster()
    found.image('v1')
    return found


@pytest.fixture
def local() -> rbd.RBDConnector:
    return rbd.RBDConnector(None, do_local_attach=True)


def test_the_life_of_a_volume(host: ceph.RbdHost, cluster: ceph.Cluster) -> None:
    connector = rbd.RBDConnector('sudo')
    given = cluster.properties('rbd/v1')
    before = host.snapshot()
    info = connector.connect_volume(given)
    assert info == {'type': 'block', 'path': '/dev/rbd0'}
    (told,) = host.written
    mark = model.Configuration.parse(told).mark
    assert rbd_mark.is_mark(mark)
    assert told == f'10.0.0.1:6789 name=cinder,key={mark},mount_timeout=30 rbd v1 -'
    assert not host.keyrings.keys
    assert connector.get_volume_paths(given) == ['/dev/rbd0']
    cluster.images['rbd', '', 'v1'].size = 32 << 20
    assert connector.extend_volume({**given, 'device_path': info['path']}) == 32 << 20
    connector.disconnect_volume(given, info)
    assert host.flushes == ['rbd0']
    assert host.written[1:] == ['0']
    assert host.snapshot() == before
    connector.disconnect_volume(given, info)
    assert host.snapshot() == before
    assert not host.commands


@pytest.mark.parametrize('single_major', [True, False])
def test_a_kernel_that_was_told_no_single_major(
    tmp_path: pathlib.Path, local: rbd.RBDConnector, single_major: bool
) -> None:
    with ceph.RbdHost(tmp_path, single_major=single_major) as host:
        cluster = host.cluster()
        cluster.image('v1')
        info = local.connect_volume(cluster.properties('rbd/v1'))
        local.disconnect_volume(cluster.properties('rbd/v1'), info)
        assert len(host.written) == 2


@pytest.mark.parametrize(
    ('monitors', 'where', 'option'),
    [
        (['[fd00::1]:6789'], '[fd00::1]:6789', ''),
        (['10.0.0.7:3300', '10.0.0.8:6789'], '10.0.0.8:6789', ''),
        (['10.0.0.7:3300', '[fd00::2]:3300'], '10.0.0.7:3300,[fd00::2]:3300', 'ms_mode=prefer-crc'),
    ],
)
def test_monitors(
    host: ceph.RbdHost, local: rbd.RBDConnector, monitors: list[str], where: str, option: str
) -> None:
    """IPv6 has its brackets; ports of one version of the protocol go together."""
    cluster = host.cluster('one', *monitors)
    cluster.image('v1')
    local.connect_volume(cluster.properties('rbd/v1'))
    told = host.written[0].split(' ')
    assert told[0] == where
    assert ('ms_mode' in told[1], option in told[1].split(',')) == (bool(option), bool(option))


@pytest.mark.parametrize(
    ('conf', 'where', 'mode'),
    [
        ('rbd_default_map_options = ms_mode=secure', '10.0.0.1:3300', 'secure'),
        ('rbd default map options = rw,ms_mode=prefer-secure', '10.0.0.1:3300', 'prefer-secure'),
        ('rbd_default_map_options = ms_mode=legacy', '10.0.0.1:6789', ''),
        ('rbd_default_map_options = ms_mode=other,x=y', '10.0.0.1:6789', ''),
        ('rbd_default_map_options = ms_mode=crc ro', '10.0.0.1:6789', ''),
        ('', '10.0.0.1:6789', ''),
    ],
)
def test_a_host_that_is_configured_for_a_transport(
    host: ceph.RbdHost, local: rbd.RBDConnector, conf: str, where: str, mode: str
) -> None:
    """Encryption to the cluster, where ceph.conf of this host asks for it; no other option."""
    cluster = host.cluster('one', '10.0.0.1:6789')
    cluster.image('v1')
    given = cluster.properties('rbd/v1')
    cluster.monitors.add('10.0.0.1:3300')
    host.tree.file('/etc/ceph/ceph.conf', f'[client]\n{conf}\n')
    info = local.connect_volume(given)
    told = host.written[0].split(' ')
    assert told[0] == where
    assert told[1].count(',') == 2 + bool(mode)
    assert (f'ms_mode={mode}' in told[1].split(',')) == bool(mode)
    local.disconnect_volume(given, info)
    assert not host.rbd


def test_names_of_monitors(host: ceph.RbdHost, local: rbd.RBDConnector) -> None:
    cluster = host.cluster()
    cluster.image('v1')
    host.network.names['mon-a'] = ['10.0.0.1']
    given = cluster.properties('rbd/v1', hosts=['MON-A', 'mon-b'], ports=[6789, '6789'])
    info = local.connect_volume(given)
    assert host.written[0].startswith('10.0.0.1:6789 ')
    local.disconnect_volume(given, info)
    host.network.names.clear()
    with pytest.raises(exception.VolumeDeviceNotFound, match='resolve'):
        local.connect_volume({**given, 'hosts': ['mon-c'], 'ports': ['6789']})


def test_pools_namespaces_and_snapshots_are_apart(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector
) -> None:
    cluster.image('v1', pool='other')
    cluster.image('v1', namespace='gold')
    cluster.images['rbd', '', 'v1'].snapshots['s'] = 4
    names = ['rbd/v1', 'other/v1', 'rbd/gold/v1', 'rbd/v1@s']
    infos = {name: local.connect_volume(cluster.properties(name)) for name in names}
    assert [info['path'] for info in infos.values()] == [f'/dev/rbd{n}' for n in range(4)]
    assert [each.read_only for each in host.rbd.values()] == [False, False, False, True]
    assert '_pool_ns=gold' in host.rbd[2].told
    local.disconnect_volume(cluster.properties('rbd/v1'), None)
    assert sorted(host.rbd) == [1, 2, 3]


def two_clusters(host: ceph.RbdHost) -> tuple[ceph.Cluster, ceph.Cluster]:
    one, two = host.cluster('one'), host.cluster('two')
    for each in (one, two):
        each.image('v1')
    return one, two


def test_two_clusters_with_one_name(host: ceph.RbdHost, local: rbd.RBDConnector) -> None:
    one, two = two_clusters(host)
    first, second = one.properties('rbd/v1'), two.properties('rbd/v1')
    info, info2 = local.connect_volume(first), local.connect_volume(second)
    assert [host.rbd[n].cluster for n in (0, 1)] == [one, two]
    assert (info['path'], info2['path']) == ('/dev/rbd0', '/dev/rbd1')
    assert local.connect_volume(first) == info
    assert local.connect_volume(second) == info2
    assert local.get_volume_paths(second) == ['/dev/rbd1']
    two.images['rbd', '', 'v1'].size = 1 << 30
    assert (local.extend_volume(first), local.extend_volume(second)) == (16 << 20, 1 << 30)
    local.disconnect_volume(first, None)
    assert list(host.rbd) == [1]
    local.disconnect_volume(first, None)
    local.disconnect_volume(first, info)
    assert list(host.rbd) == [1]
    with pytest.raises(exception.VolumePathsNotFound):
        local.extend_volume(first)


def test_other_monitors_by_now(host: ceph.RbdHost, local: rbd.RBDConnector) -> None:
    """A map whose monitors are not those of the properties: the cluster says whose it is."""
    one, two = two_clusters(host)
    given = one.properties('rbd/v1')
    info = local.connect_volume(given)
    one.monitors = {'10.0.0.77:6789'}
    moved = one.properties('rbd/v1')
    with pytest.raises(exception.VolumePathsNotFound):
        local.extend_volume(two.properties('rbd/v1'))
    assert local.connect_volume(moved) == info
    assert local.extend_volume(moved) == 16 << 20
    two.hung = True
    with pytest.raises(exception.OperationTimedOut):
        local.disconnect_volume(two.properties('rbd/v1'), None)
    assert list(host.rbd) == [0]
    local.disconnect_volume(moved, None)
    assert not host.rbd


def test_an_image_that_was_made_again_is_another_one(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector
) -> None:
    given = cluster.properties('rbd/v1')
    local.connect_volume(given)
    cluster.image('v1')
    assert local.connect_volume(given)['path'] == '/dev/rbd1'
    local.disconnect_volume(given, None)
    # What the first map is of may have another name by now, and be in use by it.
    assert list(host.rbd) == [0]


def _renamed_and_made_again(
    cluster: ceph.Cluster, local: rbd.RBDConnector
) -> tuple[dict[str, Any], dict[str, Any]]:
    """v1, which is v2 by now, and a new v1, both attached; what their attaches returned."""
    old = local.connect_volume(cluster.properties('rbd/v1'))
    cluster.images['rbd', '', 'v2'] = cluster.images.pop(('rbd', '', 'v1'))
    cluster.image('v1')
    return old, local.connect_volume(cluster.properties('rbd/v1'))


@pytest.mark.parametrize('force', [False, True])
@pytest.mark.parametrize('is_open', [False, True])
@pytest.mark.parametrize('is_said', [False, True])
def test_a_detach_leaves_an_image_that_once_had_the_name(
    host: ceph.RbdHost,
    cluster: ceph.Cluster,
    local: rbd.RBDConnector,
    force: bool,
    is_open: bool,
    is_said: bool,
) -> None:
    """The kernel keeps the name by which an image was mapped; Cinder's migration renames images."""
    old, new = _renamed_and_made_again(cluster, local)
    assert (old['path'], new['path']) == ('/dev/rbd0', '/dev/rbd1')
    host.rbd[0].is_open = is_open
    given = cluster.properties('rbd/v1')
    cluster.images['rbd', '', 'v1'].size = 64 << 20
    assert local.extend_volume(given) == 64 << 20
    local.disconnect_volume(given, new if is_said else None, force=force)
    assert list(host.rbd) == [0]
    # Again: the device that the caller had has gone, and what is left is not the volume.
    local.disconnect_volume(given, new, force=force)
    assert list(host.rbd) == [0]
    host.rbd[0].is_open = False
    local.disconnect_volume(cluster.properties('rbd/v2'), old)
    assert not host.rbd


@pytest.mark.parametrize('how', ['renamed', 'made again'])
def test_the_size_of_an_image_that_once_had_the_name_is_not_the_volumes(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector, how: str
) -> None:
    """The volume itself is not mapped here."""
    given = cluster.properties('rbd/v1')
    info = local.connect_volume(given)
    if how == 'renamed':
        cluster.images['rbd', '', 'v2'] = cluster.images.pop(('rbd', '', 'v1'))
    cluster.image('v1').size = 64 << 20
    with pytest.raises(exception.VolumePathsNotFound):
        local.extend_volume(given)
    assert list(host.rbd) == [0]
    # Its own device says which it is.
    assert local.extend_volume({**given, 'device_path': info['path']}) == 16 << 20


def test_a_renamed_volume_is_detached_by_its_device(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector
) -> None:
    old, new = _renamed_and_made_again(cluster, local)
    local.disconnect_volume(cluster.properties('rbd/v2'), new)
    assert list(host.rbd) == [0, 1]
    local.disconnect_volume(cluster.properties('rbd/v2'), old)
    assert list(host.rbd) == [1]


@pytest.mark.parametrize('path', ['<Handle image rbd/v1>', '/dev/sda', '/tmp/x', '/dev/rbd7', ''])
def test_a_text_that_is_no_device_does_not_unmap(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector, path: str
) -> None:
    """The caller has an open image; the map is another caller's."""
    given = cluster.properties('rbd/v1')
    local.connect_volume(given)
    given.pop('do_local_attach', None)
    rbd.RBDConnector(None).disconnect_volume(given, {'path': path})
    assert list(host.rbd) == [0]
    rbd.RBDConnector(None).disconnect_volume(given, {'path': '/dev/rbd0'})
    assert not host.rbd


@pytest.mark.parametrize('path', [5, ['/dev/rbd0'], object(), {'a': 1}])
def test_a_path_of_another_type_is_refused_by_its_name(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector, path: Any
) -> None:
    local.connect_volume(cluster.properties('rbd/v1'))
    with pytest.raises(exception.InvalidParameterValue, match='device_info: path'):
        local.disconnect_volume(cluster.properties('rbd/v1'), {'path': path})
    assert list(host.rbd) == [0]


def test_the_kernels_word_for_no_snapshot_is_not_a_snapshot(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector
) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='property name'):
        local.connect_volume(cluster.properties('rbd/v1@-'))
    assert not host.written


def test_a_map_of_the_operator(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector
) -> None:
    """It is used, unless it is read-only; it goes if it is the one that was handed out."""
    given = cluster.properties('rbd/v1')
    host.map_by_hand(cluster, 'v1', 'ro')
    info = local.connect_volume(given)
    assert info['path'] == '/dev/rbd1'
    local.disconnect_volume(given, None)
    assert list(host.rbd) == [0]
    host.map_by_hand(cluster, 'v1')
    info = local.connect_volume(given)
    assert info['path'] == '/dev/rbd1'
    local.disconnect_volume(given, info)
    assert list(host.rbd) == [0]


@pytest.mark.parametrize('path', [None, '/dev/rbd/rbd/v1', '/dev/rbd0'])
def test_a_map_of_an_older_release(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector, path: str | None
) -> None:
    """It has no mark, and a configuration file with the key, which goes with it."""
    host.map_by_hand(cluster, 'v1')
    conf = '/tmp/brickrbd_abc'
    host.tree.file(conf, SECRET)
    info = {'path': path, 'type': 'block', 'conf': conf} if path else None
    local.disconnect_volume(cluster.properties('rbd/v1', device_path=path), info)
    assert not host.rbd
    assert host.tree.at(conf).exists() == (path is None)


def test_the_conf_of_a_caller_is_no_way_to_remove_files(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector
) -> None:
    for path in (
        '/etc/passwd',
        '/tmp/brickrbd_/../../etc/passwd',
        '/tmp/brickrbd_x/y',
        'brickrbd_',
    ):
        host.tree.file('/etc/passwd', 'root')
        with pytest.raises(exception.InvalidParameterValue):
            local.disconnect_volume(cluster.properties('rbd/v1'), {'conf': path})
        assert host.tree.at('/etc/passwd').exists()


def test_in_use(host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector) -> None:
    given = cluster.properties('rbd/v1')
    info = local.connect_volume(given)
    host.claims.add('rbd0')
    with pytest.raises(exception.VolumeInUse, match='/dev/rbd0'):
        local.disconnect_volume(given, info)
    host.claims.clear()
    host.rbd[0].is_open = True
    with pytest.raises(exception.VolumeInUse, match='/dev/rbd0'):
        local.disconnect_volume(given, info)
    local.disconnect_volume(given, info, force=True)
    assert host.written[-1] == '0 force'
    assert not host.rbd


def test_one_that_udev_looks_at_is_unmapped_when_that_is_done(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector
) -> None:
    given = cluster.properties('rbd/v1')
    info = local.connect_volume(given)
    host.rbd[0].is_open = True
    made = host.rbd[0]
    host.clock.after(2.0, lambda: setattr(made, 'is_open', False))
    local.disconnect_volume(given, info)
    assert not host.rbd


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    'key': (
        {'keyring': f'[client.cinder]\n\tkey = {"AQAA" + SECRET[4:-8] + "AAAAAA=="}'},
        'reject',
    ),
    'user': ({'auth_username': 'nova', 'keyring': f'[client.nova]\nkey = {SECRET}'}, 'reject'),
    'image': ({'name': 'rbd/v2'}, 'no such pool, namespace, image'),
    'snapshot': ({'name': 'rbd/v1@s'}, 'no such pool'),
    'pool': ({'name': 'gold/v1'}, 'no such pool'),
    'namespace': ({'name': 'rbd/gold/v1'}, 'no such pool'),
    'monitors': ({'hosts': ['10.9.9.9']}, 'no monitor answers'),
    'features': ({'name': 'rbd/new'}, 'rbd feature disable'),
    'no key': ({'keyring': None}, r'no key of the user.*/etc/ceph/ceph\.client\.cinder\.keyring'),
    'no user': ({'keyring': None, 'auth_username': None}, 'needs a user'),
}


@pytest.mark.parametrize('what', CHANGES)
def test_what_cannot_be_mapped(
    host: ceph.RbdHost,
    cluster: ceph.Cluster,
    local: rbd.RBDConnector,
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    change, match = CHANGES[what]
    caplog.set_level(logging.DEBUG)
    cluster.image('new', supported=False)
    given = {**cluster.properties('rbd/v1'), **change}
    before = host.snapshot()
    with pytest.raises(exception.VolumeDeviceNotFound, match=match) as caught:
        local.connect_volume(given)
    assert host.snapshot() == before
    assert not host.keyrings.keys
    shown = ''.join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    assert SECRET not in shown
    assert str(given['keyring']).rpartition(' ')[2].strip() not in shown or not given['keyring']


def test_an_image_that_another_client_has_locked(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector
) -> None:
    cluster.images['rbd', '', 'v1'].locked = True
    with pytest.raises(exception.VolumeInUse, match=r'rbd/v1.*locked'):
        local.connect_volume(cluster.properties('rbd/v1'))


def test_a_key_of_this_host(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector
) -> None:
    given = cluster.properties('rbd/v1', keyring=None, cluster_name='gold', hosts=[], ports=[])
    with pytest.raises(exception.InvalidParameterValue, match='connection property hosts'):
        local.connect_volume(given)
    host.tree.file(
        '/etc/ceph/gold.conf', '[global]\nmon_host = [v2:10.0.0.1:3300,v1:10.0.0.1:6789]'
    )
    host.tree.file('/etc/ceph/gold.client.cinder.keyring', f'[client.cinder]\n key = {SECRET}\n')
    info = local.connect_volume(given)
    assert host.written[0].startswith('10.0.0.1:6789 name=cinder,')
    local.disconnect_volume(given, info)
    assert not host.rbd


def test_a_cluster_without_keys(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector
) -> None:
    cluster.users.clear()
    props = {
        'name': 'rbd/v1',
        'hosts': ['10.0.0.1'],
        'ports': ['6789'],
        'auth_username': None,
        'cluster_name': None,
    }
    info = local.connect_volume(props)
    assert local.connect_volume(props) == info
    by_hand = host.map_by_hand(cluster, 'v1').number
    host.fail(0, 'refused')
    local.disconnect_volume(props, info, force=True, ignore_errors=True)
    assert list(host.rbd) == [by_hand]


def _acts(host: ceph.RbdHost, local: rbd.RBDConnector, given: dict[str, Any]) -> int:
    began = len(host.acts)
    info = local.connect_volume(given)
    count = len(host.acts) - began
    local.disconnect_volume(given, info)
    return count


@pytest.mark.parametrize('others', [False, True], ids=['alone', 'beside another'])
@pytest.mark.parametrize('how', ['refused', 'hung', 'late', 'interrupted', 'interrupted late'])
def test_a_fault_in_each_step_of_an_attach(
    tmp_path: pathlib.Path, local: rbd.RBDConnector, how: str, others: bool
) -> None:
    """Whichever step fails: an error, and the host as it was; the next attach succeeds."""
    with ceph.RbdHost(tmp_path) as host:
        one, two = two_clusters(host)
        given = one.properties('rbd/v1')
        if others:
            local.connect_volume(two.properties('rbd/v1'))
        count = _acts(host, local, given)
        before = host.snapshot()
        for number in range(count):
            host.fail(number, how)
            with contextlib.suppress(*FAILURES):
                info = local.connect_volume(given)
                local.disconnect_volume(given, info)
            assert host.struck
            assert host.snapshot() == before, (number, host.struck)
            host.struck = ''
        _acts(host, local, given)


FAILURES = (exception.BrickException, OSError, KeyboardInterrupt)


@pytest.mark.parametrize('others', [False, True], ids=['alone', 'beside another'])
def test_killed_in_each_step_of_an_attach(
    tmp_path: pathlib.Path, local: rbd.RBDConnector, others: bool
) -> None:
    """What a killed process leaves goes with the detach, and none of another cluster."""
    with ceph.RbdHost(tmp_path) as host:
        one, two = two_clusters(host)
        given = one.properties('rbd/v1')
        if others:
            local.connect_volume(two.properties('rbd/v1'))
        count = _acts(host, local, given)
        before = host.snapshot()
        for number in range(count + 1):
            host.fail(number, 'killed')
            with contextlib.suppress(*FAILURES):
                local.connect_volume(given)
            host.revive()
            local.disconnect_volume(given, None)
            assert host.snapshot() == before, number


@pytest.mark.parametrize('how', ['refused', 'hung', 'late'])
def test_a_fault_in_each_step_of_a_detach(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector, how: str
) -> None:
    """The volume is there or gone after it; a second detach succeeds."""
    given = cluster.properties('rbd/v1')
    before = host.snapshot()
    for number in range(6):
        info = local.connect_volume(given)
        host.fail(number, how)
        with contextlib.suppress(*FAILURES):
            local.disconnect_volume(given, info)
        host.revive()
        local.disconnect_volume(given, info)
        assert host.snapshot() == before


def test_a_device_that_has_become_another_image_is_not_unmapped(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector
) -> None:
    """Between the look and the write: the number is another image's."""
    given = cluster.properties('rbd/v1')
    info = local.connect_volume(given)
    cluster.image('v2')

    def replace(what: str) -> None:
        if what.startswith('_remove') and host.rbd[0].name == 'v1':
            host.forget(host.rbd[0])
            host.map_by_hand(cluster, 'v2')

    host.before_act = replace
    local.disconnect_volume(given, info)
    assert host.rbd[0].name == 'v2'


def test_an_unreadable_device_is_not_handed_out(
    host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector
) -> None:
    before = host.snapshot()

    def fail(what: str) -> None:
        host.other_devices.discard('rbd0')

    host.before_act = fail
    with pytest.raises(exception.VolumeDeviceNotFound, match='cannot be read'):
        local.connect_volume(cluster.properties('rbd/v1'))
    assert host.snapshot() == before


def test_encrypted(host: ceph.RbdHost, cluster: ceph.Cluster, local: rbd.RBDConnector) -> None:
    given = cluster.properties('rbd/v1', encrypted=True)
    before = host.snapshot()
    info = local.connect_volume(given)
    assert info['path'] == '/dev/disk/by-id/os-brick+dev+rbd0'
    local.disconnect_volume({**given, 'device_path': info['path']}, None)
    assert host.snapshot() == before


BAD: list[tuple[dict[str, Any], str]] = [
    ({'name': None}, 'name'),
    ({'name': 'v1'}, 'name'),
    ({'name': 'a/b/c/d'}, 'name'),
    ({'name': 'rbd/v1@'}, 'name'),
    ({'name': '/v1'}, 'name'),
    ({'name': 'rbd/'}, 'name'),
    ({'name': 'rbd/v 1'}, 'name'),
    ({'name': 'rbd/v1\n0 force'}, 'name'),
    ({'name': b'rbd/v1'}, 'name'),
    ({'hosts': '10.0.0.1'}, 'hosts'),
    ({'hosts': ['10.0.0.1,x=y']}, 'hosts'),
    ({'hosts': ['10.0.0.1 ro']}, 'hosts'),
    ({'hosts': []}, 'hosts'),
    ({'ports': None}, 'ports'),
    ({'ports': ['x']}, 'ports'),
    ({'ports': [0]}, 'ports'),
    ({'ports': [65536]}, 'ports'),
    ({'ports': [True]}, 'ports'),
    ({'auth_username': 'a,ro'}, 'auth_username'),
    ({'auth_username': '../a'}, 'auth_username'),
    ({'auth_username': 'a\n'}, 'auth_username'),
    ({'auth_username': None}, 'auth_username'),
    ({'cluster_name': '../a'}, 'cluster_name'),
    ({'cluster_name': 7}, 'cluster_name'),
    ({'keyring': SECRET}, 'keyring'),
    ({'keyring': f'[client.nova]\nkey = {SECRET}'}, 'keyring'),
    ({'keyring': f'[client.cinder]\nkey = {SECRET[:-6]}'}, 'keyring'),
    ({'keyring': '[client.cinder]\nkey = no, secret'}, 'keyring'),
    ({'keyring': 7}, 'keyring'),
    ({'do_local_attach': 'perhaps'}, 'do_local_attach'),
]


@pytest.mark.parametrize(('change', 'key'), BAD, ids=[str(change) for change, _ in BAD])
def test_bad_properties(
    host: ceph.RbdHost,
    cluster: ceph.Cluster,
    local: rbd.RBDConnector,
    change: dict[str, Any],
    key: str,
) -> None:
    """The error names the key and shows no secret; nothing is done."""
    given = {**cluster.properties('rbd/v1'), **change}
    before = host.snapshot()
    with pytest.raises(
        exception.InvalidParameterValue, match=f'connection property {key}'
    ) as caught:
        local.connect_volume(given)
    assert SECRET[:-6] not in ''.join(traceback.format_exception(caught.value))
    assert host.snapshot() == before
    assert not host.acts


def test_what_is_said_of_a_connector() -> None:
    assert rbd.RBDConnector.get_connector_properties(None) == {'do_local_attach': False}
    assert rbd.RBDConnector.get_rbd_device_name('rbd', 'v1') == '/dev/rbd/rbd/v1'
    connector = rbd.RBDConnector(None)
    assert connector.do_local_attach is False
    assert connector.get_search_path() is None
    assert connector.get_all_available_volumes() == []
