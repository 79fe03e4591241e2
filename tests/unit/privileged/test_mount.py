# SPDX-License-Identifier: Apache-2.0
"""mount and umount as root: what is run, and what is refused whatever the caller has seen."""

from collections.abc import Iterator
import hashlib
import os
import pathlib
from typing import Any

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.privileged import mount
from tests.unit.fakehost import shares as fake

SHARE = 'nas:/srv/a'
PLACE = f'/mnt/{hashlib.md5(SHARE.encode()).hexdigest()}'
SECRET = 'hunter2-4711'


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[fake.Shares]:
    with fake.Shares(tmp_path) as found:
        found.server('nas', '/srv/a')
        found.tree.directory(PLACE)
        yield found


def test_life(host: fake.Shares) -> None:
    mount.mount('nfs', SHARE, PLACE, ('vers=4.2', 'ro'), (), 9.0)
    number = host.mounts[0].number
    assert mount.is_readable(f'{PLACE}/volume-1', 9.0)
    mount.unmount(PLACE, number, 9.0)
    assert host.mounts == []
    assert host.started == [
        f'mount -t nfs -o vers=4.2,ro {SHARE} {PLACE}',
        f'umount -i -c {PLACE}',
    ]


def test_another_mount_is_not_unmounted(host: fake.Shares) -> None:
    """The one that is meant is named by its ID; what came above it is another."""
    first = host.mount(SHARE, PLACE)
    second = host.mount('tmpfs', PLACE, 'tmpfs')
    for number in (first.number, second.number + 1, 22):
        with pytest.raises(FileNotFoundError, match=PLACE):
            mount.unmount(PLACE, number, 9.0)
    assert host.started == []
    host.busy.add(second.number)
    with pytest.raises(processutils.ProcessExecutionError, match='busy'):
        mount.unmount(PLACE, second.number, 9.0)
    assert len(host.mounts) == 2


@pytest.mark.parametrize('place', ['/etc', '/', '/mnt', f'/etc/{PLACE[5:]}', f'/usr/x{PLACE}'])
def test_places(host: fake.Shares, place: str) -> None:
    host.tree.directory(place)
    for call in (
        lambda: mount.mount('nfs', SHARE, place, (), (), 9.0),
        lambda: mount.unmount(place, 22, 9.0),
        lambda: mount.mount_virtuozzo('c1', place, (), 9.0),
    ):
        with pytest.raises(exception.InvalidParameterValue):
            call()
    assert host.started == []


def test_a_place_of_another_share(host: fake.Shares) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='nas:/srv/b'):
        mount.mount('nfs', 'nas:/srv/b', PLACE, (), (), 9.0)
    assert host.started == []


def test_a_link_on_the_way(host: fake.Shares) -> None:
    """Else one who may write to the mount base could have a share mounted anywhere."""
    host.tree.remove(PLACE)
    host.tree.directory('/etc/ssh')
    os.symlink(host.tree.at('/etc/ssh'), host.tree.at(PLACE))
    with pytest.raises(exception.InvalidParameterValue, match='link'):
        mount.mount('nfs', SHARE, PLACE, (), (), 9.0)
    assert host.started == []


@pytest.mark.parametrize('kind', ['ext4', 'scality', 'vzstorage', 'bind', '', '-a', None])
def test_kinds(host: fake.Shares, kind: Any) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='type'):
        mount.mount(kind, SHARE, PLACE, (), (), 9.0)
    assert host.started == []


@pytest.mark.parametrize('lines', [('password=a\nb',), ('path=/x',), (f'{SECRET}',), (7,)])
def test_credentials(host: fake.Shares, lines: Any) -> None:
    with pytest.raises(exception.InvalidParameterValue) as caught:
        mount.mount('cifs', '//h/s', PLACE, (), lines, 9.0)
    assert SECRET not in str(caught.value)
    assert host.started == []


def test_what_is_read_lies_in_a_share(host: fake.Shares) -> None:
    host.tree.file('/etc/shadow', 'root')
    host.tree.file(f'{PLACE}/before', 'x')
    for path in ('/etc/shadow', f'{PLACE}/before', f'{PLACE}/../x', PLACE):
        with pytest.raises(exception.InvalidParameterValue):
            mount.is_readable(path, 9.0)
    host.mount(SHARE, PLACE)
    os.symlink(host.tree.at('/etc/shadow'), host.tree.at(f'{PLACE}/link'))
    os.mkfifo(host.tree.at(f'{PLACE}/pipe'))
    assert not mount.is_readable(f'{PLACE}/pipe', 9.0)
    with pytest.raises(OSError, match='link'):
        mount.is_readable(f'{PLACE}/link', 9.0)


def test_messages_are_english(host: fake.Shares, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('LC_ALL', 'de_DE.UTF-8')
    seen: list[Any] = []
    inner = host.run
    host.run = lambda argv, **k: seen.append(k['env']['LC_ALL']) or inner(argv, **k)  # type: ignore[method-assign, func-returns-value]
    mount.mount('nfs', SHARE, PLACE, (), (), 9.0)
    assert seen == ['C']
