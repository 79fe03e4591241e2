# SPDX-License-Identifier: Apache-2.0
"""Volumes that are files of a share, from attach to detach."""

from collections.abc import Iterator
import hashlib
import logging
import os
import pathlib
from typing import Any

import pytest

from os_brick import exception
from os_brick.initiator import connector, properties
from os_brick.initiator.connectors import remotefs
from tests.unit.fakehost import shares as fake

SHARE = 'nas:/srv/a'
PLACE = f'/mnt/{hashlib.md5(SHARE.encode()).hexdigest()}'
PATH = f'{PLACE}/volume-1'
PROPS: properties.RemoteFS = {'export': SHARE, 'name': 'volume-1', 'options': '-o vers=4.2'}
SECRET = 'hunter2-4711'


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[fake.Shares]:
    with fake.Shares(tmp_path) as found:
        found.server('nas', '/srv/a')
        yield found


@pytest.fixture
def brick(host: fake.Shares) -> Any:
    return remotefs.RemoteFsConnector('nfs', 'sudo helper', nfs_mount_point_base='/mnt')


def test_life(host: fake.Shares, brick: Any) -> None:
    """A detach leaves the share mounted, as services expect it to be."""
    assert brick.get_volume_paths(PROPS) == []
    assert host.started == []
    info = brick.connect_volume(PROPS)
    assert info == {'path': PATH}
    assert host.started == [f'mount -t nfs -o vers=4.2,retry=0 {SHARE} {PLACE}']
    assert brick.connect_volume({**PROPS, 'options': None}) == info
    assert brick.get_volume_paths(PROPS) == [PATH]
    assert brick.check_valid_device(PATH)
    assert not brick.check_valid_device(f'{PLACE}/other')
    with pytest.raises(NotImplementedError):
        brick.extend_volume(PROPS)
    for device in (info, None, {}):
        brick.disconnect_volume(PROPS, device, force=True, ignore_errors=True)
    assert len(host.mounts) == len(host.started) == 1
    assert brick.get_search_path() == '/mnt'
    assert brick.get_all_available_volumes() == [PLACE]
    assert brick.get_connector_properties(None, multipath=True) == {}


def test_from_the_factory(host: fake.Shares) -> None:
    """As cinder's callers make it, with the connection of a volume."""
    conn = {'data': PROPS, 'mount_point_base': '/mnt'}
    one = connector.InitiatorConnector.factory('nfs', 'sudo helper', conn=conn, execute=None)
    assert isinstance(one, remotefs.RemoteFsConnector)
    assert one.connect_volume(PROPS) == {'path': PATH}


@pytest.mark.parametrize(
    ('kind', 'prefix'),
    [(kind, kind) for kind in ('nfs', 'glusterfs', 'scality', 'quobyte', 'vzstorage')],
)
def test_the_directory(kind: str, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    """What the caller's keyword says wins over the connection; one of them is needed."""
    key = f'{prefix}_mount_point_base'
    conn = {'mount_point_base': '/of/conn'}
    assert remotefs.RemoteFsConnector(kind, None, conn=conn).get_search_path() == '/of/conn'
    both = remotefs.RemoteFsConnector(kind, None, conn=conn, **{key: '/of/caller'})
    assert both.get_search_path() == '/of/caller'
    for conn in ({}, {'mount_point_base': None}, None, 'x'):  # type: ignore[assignment]
        with pytest.raises(exception.InvalidParameterValue, match=key):
            remotefs.RemoteFsConnector(kind, None, conn=conn)
    assert 'No connection' in caplog.text


def test_the_callable_of_the_caller(host: fake.Shares, brick: Any) -> None:
    calls: list[Any] = []

    def execute(*words: str, **keywords: Any) -> Any:
        calls.append(words[0])
        return host.execute(*words, **keywords)

    brick.set_execute(execute)
    brick.connect_volume(PROPS)
    assert calls == ['mount']
    host.unmount(host.mounts[0].number)
    other = remotefs.RemoteFsConnector(
        'nfs', 'sudo helper', execute=execute, nfs_mount_point_base='/mnt'
    )
    other.connect_volume(PROPS)
    assert calls == ['mount', 'mount']


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        *(('export', value) for value in (None, '', 7, 'nas', '-o:/x', 'nas:/a/../b', 'nas:/a\0')),
        *(('name', value) for value in (None, '', 7, '..', '../x', '/etc/passwd', 'a\0', 'a/../b')),
        *(('options', value) for value in (7, ['-o', 'ro'], '--bind', 'ro', '-o remount', '-o')),
    ],
)
def test_bad_properties_are_named(host: fake.Shares, brick: Any, key: str, value: Any) -> None:
    before = host.tree.snapshot()
    props = {**PROPS, key: value}
    for method in (brick.connect_volume, brick.get_volume_paths):
        with pytest.raises(exception.InvalidParameterValue, match=f'connection property {key}'):
            method(props)
    with pytest.raises(exception.InvalidParameterValue):
        brick.connect_volume(value)
    assert host.started == []
    assert host.tree.snapshot() == before
    brick.disconnect_volume(props, None)


def test_a_file_that_is_missing(host: fake.Shares, brick: Any) -> None:
    """What this attach has mounted is unmounted again; what was mounted before is not."""
    props = {**PROPS, 'name': 'volume-2'}
    with pytest.raises(exception.VolumeDeviceNotFound, match=f'{PLACE}/volume-2'):
        brick.connect_volume(props)
    assert host.mounts == []
    assert not host.tree.at(PLACE).exists()
    brick.connect_volume(PROPS)
    with pytest.raises(exception.VolumeDeviceNotFound):
        brick.connect_volume(props)
    assert len(host.mounts) == 1
    assert brick.get_volume_paths(props) == []


def test_a_mount_that_is_in_use_by_then_stays(host: fake.Shares, brick: Any) -> None:
    host.after = lambda _argv: host.busy.update(each.number for each in host.mounts)
    with pytest.raises(exception.VolumeDeviceNotFound):
        brick.connect_volume({**PROPS, 'name': 'volume-2'})
    assert len(host.mounts) == 1


def test_a_directory_is_a_volume(host: fake.Shares, brick: Any) -> None:
    """Virtuozzo's images are directories."""
    host.servers['nas'].exports['/srv/a']['ploop/root.hds'] = b'x'
    assert brick.connect_volume({**PROPS, 'name': 'ploop'}) == {'path': f'{PLACE}/ploop'}
    inner = {**PROPS, 'name': 'ploop/root.hds'}
    assert brick.connect_volume(inner) == {'path': f'{PLACE}/ploop/root.hds'}


def test_a_link_that_leads_out_of_the_share(host: fake.Shares, brick: Any) -> None:
    """A share is another machine's."""
    host.tree.file('/etc/passwd', 'root')
    brick.connect_volume(PROPS)
    os.symlink(host.tree.at('/etc/passwd'), host.tree.at(f'{PLACE}/link'))
    with pytest.raises(exception.VolumeIdentityMismatch, match='link'):
        brick.connect_volume({**PROPS, 'name': 'link'})
    assert brick.get_volume_paths({**PROPS, 'name': 'link'}) == []


def test_a_pipe_is_not_a_volume(host: fake.Shares, brick: Any) -> None:
    """Nor is a device node, which would be a device of this host."""
    brick.connect_volume(PROPS)
    os.mkfifo(host.tree.at(f'{PLACE}/pipe'))
    with pytest.raises(exception.VolumeIdentityMismatch, match='device, a pipe'):
        brick.connect_volume({**PROPS, 'name': 'pipe'})
    assert not brick.check_valid_device(f'{PLACE}/pipe')


def test_a_share_that_hangs(host: fake.Shares, brick: Any) -> None:
    brick.connect_volume(PROPS)
    host.servers['nas'].is_away = True
    for method in (brick.connect_volume, brick.get_volume_paths):
        begun = host.clock.now
        with pytest.raises(exception.OperationTimedOut, match=PLACE):
            method(PROPS)
        assert host.clock.now - begun <= 120
    assert not brick.check_valid_device(PATH)
    assert len(host.mounts) == 1


def test_a_stale_handle(host: fake.Shares, brick: Any) -> None:
    brick.connect_volume(PROPS)
    host.stale.add(host.mounts[0].number)
    assert brick.connect_volume(PROPS) == {'path': PATH}
    assert len(host.mounts) == 1


def test_scality(host: fake.Shares) -> None:
    """The shares of Scality are directories of its one file system."""
    host.tree.directory('/mnt/sofs')
    one = remotefs.RemoteFsConnector('scality', None, scality_mount_point_base='/mnt/sofs')
    host.mount('/etc/sfused.conf', '/mnt/sofs', 'sofs')
    host.tree.file('/mnt/sofs/vol/00/volume-1')
    props = {'export': 'vol', 'name': 'volume-1'}
    assert one.connect_volume(props) == {'path': '/mnt/sofs/vol/00/volume-1'}
    for export in ('../x', '/etc', 'a/../..'):
        with pytest.raises(exception.InvalidParameterValue, match='export'):
            one.connect_volume({**props, 'export': export})


def test_virtuozzo(host: fake.Shares, caplog: pytest.LogCaptureFixture) -> None:
    """As nova calls it: options are those of pstorage-mount; the password shows nowhere."""
    caplog.set_level(logging.DEBUG)
    share = f'm1,m2:/c1:{SECRET}'
    place = f'/mnt/{hashlib.md5(share.encode()).hexdigest()}'
    host.after = lambda argv: host.tree.file(f'{place}/v1') if 'mount' in argv[0] else None
    one = remotefs.RemoteFsConnector('vzstorage', None, vzstorage_mount_point_base='/mnt')
    options = '-u nova -g qemu -m 0770 -l /var/log/c1.log.gz'
    info = one.connect_volume({'export': share, 'name': 'v1', 'options': options})
    assert info == {'path': f'{place}/v1'}
    assert host.started[-1] == f'pstorage-mount -c c1 {options} {place}'
    assert SECRET not in caplog.text
    with pytest.raises(exception.VolumeDeviceNotFound) as caught:
        one.connect_volume({'export': share, 'name': 'v2', 'options': options})
    assert SECRET not in str(caught.value) + caplog.text


class TestValidDevice:
    """What cinder asks after an attach."""

    def test_root_is_asked_only_where_this_process_may_not_read(
        self, host: fake.Shares, brick: Any
    ) -> None:
        brick.connect_volume(PROPS)
        inner = host.isolated

        def denied(call: Any, timeout: float) -> Any:
            if 'os_brick.host' in call.func.__module__:
                raise PermissionError(13, 'Permission denied')
            return inner(call, timeout)

        host.isolated = denied  # type: ignore[method-assign]
        assert brick.check_valid_device(PATH)
        assert not brick.check_valid_device(PATH, run_as_root=False)
        assert not brick.check_valid_device('/etc/passwd')
        # What this process may not look at counts as being there.
        assert brick.connect_volume(PROPS) == {'path': PATH}

    def test_other_paths(self, host: fake.Shares, brick: Any) -> None:
        host.tree.directory('/dir')
        assert brick.check_valid_device(os.fsencode('/dir'))
        assert not brick.check_valid_device('/nowhere')
