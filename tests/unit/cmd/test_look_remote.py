# SPDX-License-Identifier: Apache-2.0
"""tree, list and show of images of Ceph and of shares; tree by session and by adapter."""

from collections.abc import Iterator
import os
import pathlib

import pytest

from os_brick.cmd.exits import Exit
from tests.unit.cmd.test_look import Command
from tests.unit.cmd.test_look import command as command  # noqa: PLC0414 the fixture
from tests.unit.fakehost import array, ceph, fabric, shares
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost import nvme as fake_nvme
from tests.unit.fakehost.fixtures import host as host  # noqa: PLC0414 the fixture
from tests.unit.host.test_inventory import mapped
from tests.unit.host.test_inventory_remote import ID, guest

OTHER = ID.replace('8f', '9f')


@pytest.fixture
def ceph_host(tmp_path: pathlib.Path) -> Iterator[ceph.RbdHost]:
    with ceph.RbdHost(tmp_path) as found:
        cluster = found.cluster()
        cluster.image(f'volume-{ID}', size=32 << 20)
        found.map_by_hand(cluster, f'volume-{ID}')
        yield found


@pytest.fixture
def share_host(tmp_path: pathlib.Path) -> Iterator[shares.Shares]:
    with shares.Shares(tmp_path) as found:
        found.tree.directory('/sys/class/block')
        found.mount('files.lab:/one', '/mnt/a')
        yield found


# Ceph.


def test_the_tree_of_an_image(ceph_host: ceph.RbdHost, command: Command) -> None:
    code, text = command('tree')
    assert (code, command.error) == (Exit.OK, '')
    assert text == (
        f'{os.uname().nodename}: 1 volume, 0 paths\n'
        '\n'
        f'{ID}  32 MiB  /dev/rbd0  rbd\n'
        f'│  rbd/volume-{ID}  (named by target)\n'
        '└─ not in use\n'
    )


def test_the_row_of_an_image(ceph_host: ceph.RbdHost, command: Command) -> None:
    columns = ('-c', 'volume', '-c', 'device', '-c', 'protocol', '-c', 'paths', '-c', 'state')
    assert command('list', '-f', 'value', *columns) == (Exit.OK, f'{ID} rbd0 rbd  ok\n')
    [row] = command('tree', '-f', 'csv')[1].splitlines()[1:]
    assert row.replace('"', '').startswith(f'{ID},rbd0,')


@pytest.mark.parametrize(
    'what', ['rbd0', '/dev/rbd0', ID, ID[:5], f'rbd/volume-{ID}', 'one', '{fsid}']
)
def test_what_an_image_is_called_by(what: str, ceph_host: ceph.RbdHost, command: Command) -> None:
    fsid = ceph_host.clusters[0].fsid
    if what == 'one':
        assert command('show', what)[0] == Exit.NOT_THERE
        return
    [volume] = command.json('show', what.format(fsid=fsid))['volumes']
    assert (volume['device'], volume['target']) == ('rbd0', fsid)


def test_every_fact_of_an_image_says_where_it_was_read(
    ceph_host: ceph.RbdHost, command: Command
) -> None:
    facts = {each['fact']: each for each in command.json('show', 'rbd0')['facts']}
    assert facts['identity']['value'] == f'rbd/volume-{ID}'
    for each in facts.values():
        if each['read_in'].startswith('/sys'):
            assert ceph_host.tree.at(each['read_in']).exists(), each
    assert facts['identity']['read_in']
    assert facts['target']['read_in']


# Shares.


def test_the_tree_of_a_share(share_host: shares.Shares, command: Command) -> None:
    code, text = command('tree')
    assert (code, command.error) == (Exit.OK, '')
    assert text.splitlines()[2:] == [
        '?  files.lab:/one  nfs',
        '└─ mounted on /mnt/a (nfs4)',
    ]


def test_the_volumes_on_a_share(share_host: shares.Shares, command: Command) -> None:
    paths = [(f'/mnt/a/volume-{name}', name) for name in (ID, OTHER)]
    share_host.tree.file('/run/libvirt/qemu/instance-2a.xml', guest(*paths))
    text = command('tree')[1]
    assert text.splitlines()[2:] == [
        '?  files.lab:/one  nfs',
        f'├─ volume {ID} (instance-2a), named by libvirt',
        f'├─ volume {OTHER} (instance-2a), named by libvirt',
        '└─ mounted on /mnt/a (nfs4)',
    ]
    for name in (ID, OTHER, OTHER[:4], 'files.lab:/one', '/mnt/a'):
        [volume] = command.json('tree', name)['volumes']
        assert (volume['device'], volume['volume_id']) == ('files.lab:/one', None)
    [volume] = command.json('show', OTHER)['volumes']
    assert [each['volume_id'] for each in volume['names']] == [ID, OTHER]


def test_the_one_volume_on_a_share(share_host: shares.Shares, command: Command) -> None:
    share_host.tree.file('/run/libvirt/qemu/instance-2a.xml', guest((f'/mnt/a/volume-{ID}', ID)))
    text = command('tree')[1]
    assert text.splitlines()[2:4] == [f'{ID}  files.lab:/one  nfs', '│  (named by libvirt)']


@pytest.mark.parametrize('name', ['tree', 'list'])
@pytest.mark.parametrize('form', ['tree', 'table', 'json', 'yaml', 'value', 'csv'])
def test_a_share_in_every_format(
    name: str, form: str, share_host: shares.Shares, command: Command
) -> None:
    share_host.mount('files.lab:/a b', '/mnt/x\ny')
    code, text = command(name, '-f', form)
    assert (code, command.error) == (Exit.OK, '')
    assert 'files.lab:/one' in text
    assert not any(line.startswith('y') for line in text.splitlines())


def test_show_a_share(share_host: shares.Shares, command: Command) -> None:
    facts = {each['fact']: each for each in command.json('show', 'files.lab:/one')['facts']}
    assert facts['path']['value'] == 'files.lab:/one'
    assert facts['path']['read_in'] == '/proc/self/mountinfo'
    assert command('show', 'files.lab:/one')[0] == Exit.OK


# By session, and by adapter.


def lines(text: str) -> list[str]:
    return [line.strip(' ├└─│') for line in text.splitlines()]


def test_by_session(host: fake_host.Host, command: Command) -> None:
    unit = mapped(host, f'volume-{ID}')
    bare = host.target('bare')
    host.log_in(bare, bare.portals[0])
    one, two = (str(portal) for portal in host.targets[0].portals)
    iqn = host.targets[0].iqn
    code, text = command('tree', '--by', 'session')
    assert code == Exit.OK
    assert lines(text)[1:] == [
        '',
        f'session1  iscsi  LOGGED_IN  → {one}  {iqn}',
        f'sda  3:0:0:1  running  LUN 1 of {iqn}  /dev/dm-0 {ID}',
        '',
        f'session2  iscsi  LOGGED_IN  → {two}  {iqn}',
        f'sdb  4:0:0:1  running  LUN 1 of {iqn}  /dev/dm-0 {ID}',
        '',
        f'session3  iscsi  LOGGED_IN  → {bare.portals[0]}  {bare.iqn}',
        'carries no volume',
    ]
    assert unit.wwid not in text


def test_by_session_of_one_volume(host: fake_host.Host, command: Command) -> None:
    """The sessions that carry others are left out, as the volumes are."""
    mapped(host, f'volume-{ID}', portals=1)
    mapped(host, f'volume-{OTHER}', portals=1, lun=2)
    text = command('tree', '--by', 'session', OTHER)[1]
    assert 'session1' not in text
    assert 'session2' in text
    text = command('tree', '--by', 'host', OTHER)[1]
    assert 'host3' not in text
    assert 'host4' in text


def test_by_session_that_is_lost(host: fake_host.Host, command: Command) -> None:
    mapped(host)
    host.cut(next(iter(host.sessions.values())))
    code, text = command('tree', '--by', 'session')
    assert code == Exit.WARNINGS
    assert 'session1  iscsi  FAILED' in text
    assert 'transport-offline, session1 FAILED' in text


def test_by_adapter(host: fake_host.Host, command: Command) -> None:
    mapped(host, f'volume-{ID}')
    iqn = host.targets[0].iqn
    assert lines(command('tree', '--by', 'host')[1])[1:] == [
        '',
        'host3',
        f'sda  3:0:0:1  running  LUN 1 of {iqn}  /dev/dm-0 {ID}',
        '',
        'host4',
        f'sdb  4:0:0:1  running  LUN 1 of {iqn}  /dev/dm-0 {ID}',
    ]


def test_fibre_channel_by_each(tmp_path: pathlib.Path, command: Command) -> None:
    with fabric.FabricHost(tmp_path) as host:
        storage = host.storage(ports=1)
        adapter, idle = host.adapter(storage), host.adapter(storage)
        storage.luns[9] = array.Unit()
        host.find_lun(adapter.remotes[0], 9)
        host.settle()
        by_session = command('tree', '--by', 'session')[1]
        by_host = command('tree', '--by', 'host')[1]
    assert f'rport-2:0-0  fc  Online  → {storage.ports[0]}' in by_session
    assert by_session.count('─ sda  ') == by_host.count('─ sda  ') == 1
    assert f'host2  fc  Online  {adapter.wwpn}' in by_host
    assert f'host{idle.host}  fc  Online  {idle.wwpn}' in by_host
    assert lines(by_host)[-1] == 'carries no volume'


def test_nvme_by_session(tmp_path: pathlib.Path, command: Command) -> None:
    with fake_nvme.configured(tmp_path) as root, fake_nvme.Fabric(root) as host:
        subsystem = host.subsystem('s1', portals=2)
        subsystem.namespaces[3] = fake_nvme.Volume('gold')
        first, second = [host.by_hand(subsystem, each) for each in sorted(subsystem.portals)]
        host.becomes(second, 'connecting')
        code, text = command('tree', '--by', 'session')
    assert code == Exit.WARNINGS
    assert f'{first}  rdma  live  → 10.0.0.1:4420  {subsystem.nqn}' in text
    assert f'{second}  rdma  connecting  → 10.0.0.2:4420' in text
    assert text.count('/dev/nvme50n3') == 2
    assert f'{second} connecting' in text


@pytest.mark.parametrize('by', ['session', 'host'])
def test_volumes_that_nothing_carries_are_told(
    by: str, ceph_host: ceph.RbdHost, command: Command
) -> None:
    """An image and a share have no session: they would be gone from the tree without a word."""
    text = command('tree', '--by', by)[1]
    assert lines(text)[1:] == ['', 'carried by none of these', f'/dev/rbd0  rbd  {ID}']
