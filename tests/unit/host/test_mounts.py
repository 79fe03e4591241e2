# SPDX-License-Identifier: Apache-2.0
"""What is mounted, and looks below mounts: none waits for a server for longer than it may."""

from collections.abc import Iterator
import errno
import hashlib
import json
import os
import pathlib
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import bound, clock, undo, wait
from os_brick.host import mounts
from tests.unit.fakehost import shares as fake

# Root looks only below mount points that have such a name.
PLACE = f'/mnt/{hashlib.md5(b"nas:/srv/a").hexdigest()}'


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[fake.Shares]:
    """A share with the file volume-1, mounted at PLACE."""
    with fake.Shares(tmp_path) as found:
        found.server('nas', '/srv/a')
        found.mount('nas:/srv/a', PLACE)
        found.tree.file('/etc/passwd', 'root')
        found.tree.file('/mnt/other', 'x')
        yield found


def soon() -> wait.Deadline:
    return wait.Deadline.after(20)


def require(name: str) -> None:
    mounts.require_file(PLACE, name, soon())


def is_readable(path: str, *, as_root: bool = False) -> bool:
    return mounts.is_readable(path, soon(), as_root=as_root)


def test_what_is_reached_at_a_place(host: fake.Shares) -> None:
    assert [each.place for each in mounts.table()] == ['/', PLACE]
    first = mounts.at(PLACE)
    assert first is not None
    assert (first.kind, first.source) == ('nfs4', 'nas:/srv/a')
    assert mounts.at(f'{PLACE}x') is None
    above = host.mount('tmpfs', PLACE, 'tmpfs')
    assert mounts.at(PLACE) == above


def test_a_process_whose_table_cannot_be_read_shows_none(host: fake.Shares) -> None:
    host.tree.file('/proc/7/mountinfo', fake.ROOT + '\n')
    assert [each.place for each in mounts.of_process('7')] == ['/']
    assert mounts.of_process('8') == ()


def test_a_place_is_resolved_without_a_look_at_what_is_mounted_there(host: fake.Shares) -> None:
    host.tree.directory('/data/mnt')
    host.tree.link('/srv', '/data')
    assert mounts.resolved('/srv/mnt/x', soon()) == '/data/mnt/x'
    host.servers['nas'].is_away = True
    assert mounts.resolved(PLACE, soon()) == PLACE
    with pytest.raises(exception.OperationTimedOut, match=PLACE):
        mounts.resolved(f'{PLACE}/below', soon())


def test_a_directory_is_made_once_and_goes_if_it_is_empty(host: fake.Shares) -> None:
    assert mounts.make_directory('/mnt/new', soon())
    assert not mounts.make_directory('/mnt/new', soon())
    host.tree.file('/mnt/new/file')
    mounts.remove_directory('/mnt/new', 20.0)
    assert host.tree.at('/mnt/new/file').exists()
    host.tree.remove('/mnt/new/file')
    todo = undo.Undo()
    todo.add(mounts.remove_directory, '/mnt/new', 20.0)
    assert undo.replay(json.loads(json.dumps(todo.steps()))) == []
    assert not host.tree.at('/mnt/new').exists()


def test_taking_a_directory_back_ends_with_its_operation(host: fake.Shares) -> None:
    host.servers['nas'].is_away = True
    begun = host.clock.now
    with bound.until(clock.monotonic() + 3), pytest.raises(exception.OperationTimedOut):
        mounts.remove_directory(f'{PLACE}/x', 60.0)
    assert host.clock.now - begun <= 3.1


@pytest.mark.parametrize('name', ['volume-1', 'images', 'images/disk', 'link'])
def test_files_and_directories_of_the_share(host: fake.Shares, name: str) -> None:
    """Virtuozzo's images are directories."""
    host.tree.file(f'{PLACE}/images/disk', 'x')
    os.symlink('volume-1', host.tree.at(f'{PLACE}/link'))
    require(name)


@pytest.mark.parametrize('target', ['/etc/passwd', '../other', '/mnt'])
def test_a_link_that_leads_out_of_the_share(host: fake.Shares, target: str) -> None:
    """A share is another machine's."""
    inside = str(host.tree.at(target)) if target.startswith('/') else target
    os.symlink(inside, host.tree.at(f'{PLACE}/link'))
    with pytest.raises(exception.VolumeIdentityMismatch, match='a link that leads to'):
        require('link')


def test_a_pipe_is_not_a_volume(host: fake.Shares) -> None:
    """Nor is a device node, which would be a device of this host."""
    os.mkfifo(host.tree.at(f'{PLACE}/pipe'))
    with pytest.raises(exception.VolumeIdentityMismatch, match='device, a pipe'):
        require('pipe')
    assert not is_readable(f'{PLACE}/pipe')


def test_a_file_that_is_missing(host: fake.Shares) -> None:
    with pytest.raises(exception.VolumeDeviceNotFound, match=f'{PLACE}/volume-2'):
        require('volume-2')
    assert not is_readable(f'{PLACE}/volume-2')


def test_what_this_process_may_not_look_at(
    host: fake.Shares, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as being there; root is asked only where that is wanted."""
    inner = host.isolated

    def denied(call: Any, timeout: float) -> Any:
        if 'os_brick.host' in call.func.__module__:
            raise PermissionError(errno.EACCES, 'Permission denied')
        return inner(call, timeout)

    monkeypatch.setattr(host, 'isolated', denied)
    require('volume-1')
    require('volume-2')
    assert is_readable(f'{PLACE}/volume-1', as_root=True)
    assert not is_readable(f'{PLACE}/volume-1')
    assert not is_readable('/nowhere', as_root=True)


def test_whether_a_mounted_file_system_answers(host: fake.Shares) -> None:
    assert mounts.why_not_usable(PLACE, soon()) is None
    host.stale.add(host.mounts[0].number)
    why = mounts.why_not_usable(PLACE, soon())
    assert why is not None
    assert mounts.is_stale(why)
    assert not mounts.is_stale(OSError(errno.EIO, 'Input/output error'))


def test_a_server_that_is_away_costs_the_deadline_and_no_more(host: fake.Shares) -> None:
    host.servers['nas'].is_away = True
    for look in (
        lambda: mounts.why_not_usable(PLACE, soon()),
        lambda: require('volume-1'),
        lambda: mounts.make_directory(f'{PLACE}/x', soon()),
    ):
        begun = host.clock.now
        with pytest.raises(exception.OperationTimedOut, match=PLACE):
            look()
        assert host.clock.now - begun <= 20
    assert not is_readable(f'{PLACE}/volume-1')
