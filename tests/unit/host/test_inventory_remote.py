# SPDX-License-Identifier: Apache-2.0
"""Volumes that are no SCSI disk and no namespace: images of Ceph, shares, devices of one vendor."""

from collections.abc import Iterator
import pathlib
import shutil

from oslo_config import cfg
import pytest

from os_brick.host import inventory
from os_brick.initiator.connectors import rbd, remotefs, scaleio, storpool
from os_brick.model.inventory import State, Volume
from tests.doubles import powerflex
from tests.unit.fakehost import ceph, scini, shares
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost import storpool as fake_storpool
from tests.unit.fakehost.fixtures import host as host  # noqa: PLC0414 the fixture

ID = '8f0c2a4e-6d0b-4c31-9a55-3f0f5b0e7d11'
STATE = '/run/os-brick'


def noting(host: fake_host.Host | shares.Shares) -> None:
    """What is noted is on the fake host, too; the fixture of all tests takes this back."""
    cfg.CONF.set_override('state_path', str(host.tree.at(STATE)), group='os_brick')


def volumes() -> tuple[Volume, ...]:
    found = inventory.read()
    assert found.unread == ()
    return found.volumes


def only() -> Volume:
    [volume] = volumes()
    return volume


# Ceph.


@pytest.fixture
def ceph_host(tmp_path: pathlib.Path) -> Iterator[ceph.RbdHost]:
    with ceph.RbdHost(tmp_path) as found:
        yield found


def test_an_image_that_another_program_has_mapped(ceph_host: ceph.RbdHost) -> None:
    cluster = ceph_host.cluster()
    cluster.image(f'volume-{ID}', size=32 << 20)
    ceph_host.map_by_hand(cluster, f'volume-{ID}', 'ro')
    volume = only()
    assert (volume.device, volume.kind, volume.protocol) == ('rbd0', 'rbd', 'rbd')
    assert (volume.identity, volume.target) == (f'rbd/volume-{ID}', cluster.fsid)
    assert (volume.size_bytes, volume.is_read_only) == (32 << 20, True)
    assert (volume.volume_id, volume.name and volume.name.source) == (ID, 'target')
    assert (volume.paths, volume.state, volume.is_used) == ((), State.OK, False)


def test_namespace_and_snapshot_are_of_the_identity(ceph_host: ceph.RbdHost) -> None:
    cluster = ceph_host.cluster()
    image = cluster.image('gold', namespace='tenant', snapshots={'nightly': 4})
    made = ceph.Map(0, cluster, 'rbd', 'tenant', 'gold', 'nightly', image, 'x', read_only=True)
    ceph_host.rbd[0] = made
    ceph_host.show(made)
    assert only().identity == 'rbd/tenant/gold@nightly'


def test_a_map_whose_device_has_not_come_yet_is_no_volume(ceph_host: ceph.RbdHost) -> None:
    cluster = ceph_host.cluster()
    cluster.image('gold')
    ceph_host.map_by_hand(cluster, 'gold')
    ceph_host.tree.remove('/sys/class/block/rbd0')
    assert volumes() == ()


def test_images_are_in_the_order_of_their_numbers(ceph_host: ceph.RbdHost) -> None:
    cluster = ceph_host.cluster()
    for number in range(11):
        cluster.image(f'v{number}')
        ceph_host.map_by_hand(cluster, f'v{number}')
    assert [volume.device for volume in volumes()] == [f'rbd{number}' for number in range(11)]


def test_an_image_is_named_by_the_note_of_its_attach(ceph_host: ceph.RbdHost) -> None:
    cluster = ceph_host.cluster()
    cluster.image('gold')
    noting(ceph_host)
    local = rbd.RBDConnector(None, do_local_attach=True)
    local.connect_volume({**cluster.properties('rbd/gold'), 'volume_id': ID})
    volume = only()
    assert (volume.volume_id, volume.name and volume.name.source) == (ID, 'note')
    assert volume.trouble == ()


def test_a_note_names_no_image_of_another_cluster(ceph_host: ceph.RbdHost) -> None:
    """Two clusters may have images of one name."""
    one, two = ceph_host.cluster('one'), ceph_host.cluster('two')
    for cluster in (one, two):
        cluster.image('gold')
    noting(ceph_host)
    local = rbd.RBDConnector(None, do_local_attach=True)
    local.connect_volume({**one.properties('rbd/gold'), 'volume_id': ID})
    ceph_host.map_by_hand(two, 'gold')
    first, second = volumes()
    assert (first.target, first.volume_id) == (one.fsid, ID)
    assert (second.target, second.volume_id) == (two.fsid, '')


def test_a_note_names_no_image_that_got_its_device(ceph_host: ceph.RbdHost) -> None:
    """It was unmapped by another program, and the number was given again."""
    cluster = ceph_host.cluster()
    cluster.image('gold')
    cluster.image('other')
    noting(ceph_host)
    local = rbd.RBDConnector(None, do_local_attach=True)
    local.connect_volume({**cluster.properties('rbd/gold'), 'volume_id': ID})
    ceph_host.forget(ceph_host.rbd[0])
    ceph_host.map_by_hand(cluster, 'other')
    volume = only()
    assert (volume.device, volume.identity, volume.volume_id) == ('rbd0', 'rbd/other', '')


# Shares.


@pytest.fixture
def share_host(tmp_path: pathlib.Path) -> Iterator[shares.Shares]:
    with shares.Shares(tmp_path) as found:
        found.tree.directory('/sys/class/block')
        yield found


def test_a_share_is_one_volume_wherever_it_is_mounted(share_host: shares.Shares) -> None:
    share_host.mount('files.lab:/one', '/mnt/b')
    share_host.mount('files.lab:/one', '/mnt/a', options='ro')
    share_host.mount('/dev/vdb', '/srv', 'ext4')
    volume = only()
    assert (volume.device, volume.path) == ('files.lab:/one', 'files.lab:/one')
    assert (volume.kind, volume.protocol, volume.size_bytes) == ('share', 'nfs', None)
    assert [(user.kind, user.name, user.detail) for user in volume.users] == [
        ('mount', '/mnt/b', 'nfs4'),
        ('mount', '/mnt/a', 'nfs4'),
    ]
    assert (volume.is_read_only, volume.state, volume.is_used) == (False, State.OK, True)


@pytest.mark.parametrize(
    ('kind', 'protocol'),
    [
        ('nfs', 'nfs'),
        ('nfs4', 'nfs'),
        ('cifs', 'cifs'),
        ('smb3', 'smb3'),
        ('ceph', 'ceph'),
        ('fuse.ceph', 'ceph'),
        ('fuse.ceph-fuse', 'ceph'),
        ('fuse.glusterfs', 'glusterfs'),
        ('fuse.quobyte', 'quobyte'),
        ('fuse.vstorage', 'vstorage'),
        ('sofs', 'scality'),
        ('gpfs', 'gpfs'),
        ('lustre', 'lustre'),
        ('wekafs', 'wekafs'),
    ],
)
def test_each_remote_file_system(kind: str, protocol: str, share_host: shares.Shares) -> None:
    share_host.mount('source', '/mnt/a', kind)
    volume = only()
    assert (volume.kind, volume.protocol) == ('share', protocol)


def test_two_kinds_of_one_source_are_two_volumes(share_host: shares.Shares) -> None:
    share_host.mount('files.lab:/one', '/mnt/a', 'nfs4')
    share_host.mount('files.lab:/one', '/mnt/b', 'ceph')
    assert [volume.protocol for volume in volumes()] == ['nfs', 'ceph']


def test_what_is_mounted_in_the_namespace_of_the_host(share_host: shares.Shares) -> None:
    """A service's own mount namespace need not have it."""
    share_host.mount('files.lab:/one', '/mnt/a')
    share_host.tree.file('/proc/1/mountinfo', share_host.tree.at(shares.TABLE).read_text())
    share_host.tree.file(shares.TABLE, shares.ROOT + '\n')
    assert [user.name for user in only().users] == ['/mnt/a']


def test_a_share_is_not_touched(share_host: shares.Shares) -> None:
    """Its server may be away: then whatever looks at it hangs."""
    share_host.server('files.lab', '/one')
    share_host.mount('files.lab:/one', '/mnt/a')
    shutil.rmtree(share_host.tree.at('/mnt/a'))  # What touches it fails, and would be told.
    assert only().device == 'files.lab:/one'
    assert share_host.started == []


def test_names_of_shares_with_blanks(share_host: shares.Shares) -> None:
    share_host.mount('files.lab:/a b', '/mnt/x y')
    volume = only()
    assert (volume.device, volume.users[0].name) == ('files.lab:/a b', '/mnt/x y')


def test_a_process_below_a_share(share_host: shares.Shares) -> None:
    share_host.mount('files.lab:/one', '/mnt/a')
    share_host.mount('files.lab:/two', '/mnt/ab')
    share_host.tree.file('/proc/4711/comm', 'qemu-kvm\n')
    share_host.tree.file('/proc/4711/cmdline', 'qemu-kvm\0-name\0guest=instance-2a\0')
    share_host.tree.directory('/proc/4711/fd')
    share_host.tree.at('/proc/4711/fd/9').symlink_to('/mnt/ab/volume-1')
    one, two = volumes()
    assert one.users[0].users == ()
    [user] = two.users[0].users
    assert (user.kind, user.name, user.detail) == ('qemu', '4711', 'instance-2a')


def guest(*paths: tuple[str, str]) -> str:
    disks = ''.join(
        f"<disk type='file'><source file='{path}'/><serial>{name}</serial></disk>"
        for path, name in paths
    )
    return f'<domain><name>instance-2a</name><devices>{disks}</devices></domain>'


def test_the_volumes_of_guests_that_are_files_on_a_share(share_host: shares.Shares) -> None:
    share_host.mount('files.lab:/one', '/mnt/a')
    other = ID.replace('8f', '9f')
    text = guest((f'/mnt/a/volume-{ID}', ID), (f'/mnt/a/volume-{other}', other), ('/x', 'x'))
    share_host.tree.file('/run/libvirt/qemu/instance-2a.xml', text)
    volume = only()
    assert [name.volume_id for name in volume.names] == [ID, other]
    assert volume.volume_id == ''  # It is neither of the two.


def test_a_share_is_named_by_the_notes_of_what_is_on_it(share_host: shares.Shares) -> None:
    share_host.server('files.lab', '/one')
    share_host.server('other.lab', '/one')
    noting(share_host)
    connector = remotefs.RemoteFsConnector(
        'nfs', None, nfs_mount_point_base='/mnt/base', conn={'vers': '4.2'}
    )
    connector.connect_volume({'export': 'files.lab:/one', 'name': 'volume-1', 'volume_id': ID})
    share_host.mount('other.lab:/one', '/mnt/other')
    first, second = volumes()
    assert [(name.volume_id, name.source) for name in first.names] == [(ID, 'note')]
    assert second.names == ()
    # The share goes without us, and another one is mounted at its place.
    [place] = [mount.place for mount in share_host.mounts if mount.source == 'files.lab:/one']
    share_host.unmount(share_host.mounts[0].number)
    share_host.mount('other.lab:/one', place)
    assert only().names == ()


def test_a_note_and_a_guest_name_a_volume_of_a_share_once(share_host: shares.Shares) -> None:
    share_host.server('files.lab', '/one')
    noting(share_host)
    connector = remotefs.RemoteFsConnector('nfs', None, nfs_mount_point_base='/mnt/base')
    info = connector.connect_volume(
        {'export': 'files.lab:/one', 'name': 'volume-1', 'volume_id': ID}
    )
    text = guest((info['path'], ID))
    share_host.tree.file('/run/libvirt/qemu/instance-2a.xml', text)
    volume = only()
    assert [name.source for name in volume.names] == ['note']
    assert volume.volume_id == ID


# Devices of drivers of one vendor.


def test_powerflex(host: fake_host.Host) -> None:
    with powerflex.Gateway() as gateway:
        host.network.servers['127.0.0.1', gateway.port] = gateway.port
        assert gateway.certificate is not None
        host.tree.file(str(gateway.certificate.file), gateway.certificate.file.read_text())
        sdc = scini.Scini(host, gateway)
        gold, other = gateway.volume('gold'), gateway.volume('other')
        noting(host)
        brick = scaleio.ScaleIOConnector(None)
        brick.connect_volume({**gateway.properties(gold), 'volume_id': ID})
        volume = only()
        assert (volume.device, volume.kind, volume.protocol) == ('scinia', 'powerflex', 'powerflex')
        assert volume.identity == f'emc-vol-{gateway.system}-{gold.id}'
        assert volume.size_bytes == gold.size_kb << 10
        assert (volume.volume_id, volume.state) == (ID, State.OK)
        # The device's name is given to another volume.
        gold.mapped.clear()
        sdc.vanish(gold)
        sdc._next = 0
        sdc.appear(other)
        volume = only()
        assert (volume.device, volume.volume_id) == ('scinia', '')
        assert volume.identity == f'emc-vol-{gateway.system}-{other.id}'


def test_powerflex_before_udev_has_made_its_link(host: fake_host.Host) -> None:
    with powerflex.Gateway() as gateway:
        sdc = scini.Scini(host, gateway)
        gold = gateway.volume('gold')
        sdc.appear(gold)
        host.tree.remove(sdc.link(gold))
        volume = only()
    assert (volume.device, volume.identity) == ('scinia', '')


def test_storpool(host: fake_host.Host) -> None:
    with fake_storpool.on(host) as cluster:
        made = cluster.volume(size=8 << 20)
        brick = storpool.StorPoolConnector(None)
        noting(host)
        brick.connect_volume({**cluster.properties(), 'volume_id': ID})
        volume = only()
        assert volume.volume_id == ID
        assert (volume.device, volume.kind, volume.protocol) == ('sp-0', 'storpool', 'storpool')
        assert (volume.size_bytes, volume.state) == (8 << 20, State.OK)
        assert volume.identity == made.global_id


def block_device(host: fake_host.Host, name: str, sectors: int, **values: str) -> None:
    base = f'/sys/devices/virtual/block/{name}'
    host.tree.directory(f'{base}/holders')
    host.tree.value(f'{base}/size', sectors)
    for key, value in values.items():
        host.tree.value(f'{base}/{key}', value)
    host.tree.link(f'/sys/class/block/{name}', base)


def test_nbd_devices_that_are_connected(host: fake_host.Host) -> None:
    """The module makes 16 of them, of no size."""
    for number in range(16):
        block_device(host, f'nbd{number}', 0 if number != 3 else 2048, ro='1')
    volume = only()
    assert (volume.device, volume.kind, volume.protocol) == ('nbd3', 'nbd', 'nbd')
    assert (volume.size_bytes, volume.is_read_only, volume.state) == (1 << 20, True, State.OK)


@pytest.mark.parametrize('name', ['nbd3p1', 'sciniap1', 'sp-1p1', 'vda', 'zram0', 'loop1', 'md0'])
def test_other_block_devices_are_no_volumes(name: str, host: fake_host.Host) -> None:
    block_device(host, name, 2048)
    assert volumes() == ()
