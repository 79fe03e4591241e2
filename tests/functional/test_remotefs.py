# SPDX-License-Identifier: Apache-2.0
"""Volumes on a real NFS server, which is in namespaces of its own and can be cut off."""

from collections.abc import Callable, Iterator
import contextlib
import os
import pathlib
import socket
import subprocess
import threading
import time
from typing import Any

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.model import shares
from os_brick.remotefs import remotefs
from tests.functional import lab

NOLOCK = 'nolock'  # Of NFS 3: there is no statd here.
TIMEOUT = 5


@pytest.fixture(scope='module')
def whole_server(testbed: lab.Testbed) -> Iterator[lab.nfs.Server]:
    server = lab.nfs.Server('a', 'b', 'with blank')
    yield server
    server.close()


@pytest.fixture
def server(whole_server: lab.nfs.Server, clean_host: object) -> Iterator[lab.nfs.Server]:
    for name in ('a', 'b', 'with blank'):
        whole_server.file(name, 'volume-1', 'gold')
    yield whole_server
    lab.net.heal_all()


@pytest.fixture
def base(server: lab.nfs.Server, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory to mount below; what is mounted there after the test, as a detach leaves it, is
    unmounted."""
    yield tmp_path
    lab.net.heal_all()
    for place in reversed(mounted(tmp_path)):
        lab.shell.until(lambda place=place: unmounted(place), 20, f'{place} is unmounted')


def unmounted(place: str) -> bool:
    lab.shell.run('umount', '-i', '-c', place, check=False, timeout=20)
    return place not in lab.shell.read('/proc/self/mounts')


def mounted(base: pathlib.Path) -> list[str]:
    """The places below a directory where something is mounted."""
    lines = lab.shell.read('/proc/self/mounts').splitlines()
    places = [line.split()[1].replace('\\040', ' ') for line in lines]
    return [place for place in places if place.startswith(f'{base}/')]


def ours(base: pathlib.Path, **more: Any) -> Any:
    return lab.bricks.ours('NFS', nfs_mount_point_base=str(base), **more)


def props(share: str, options: str = '-o vers=4.2', name: str = 'volume-1') -> dict[str, Any]:
    return {'export': share, 'name': name, 'options': options}


def place_of(base: pathlib.Path, share: str) -> str:
    return f'{base}/{shares.digest(share)}'


# For 10 s after its start the server waits for clients of before: only then files are
# opened by NFS 4.
# Tests that open none come first.


def test_two_processes_at_once(server, base, workers):
    """Both succeed, with one mount, which one program has made."""
    both = [workers(), workers()]
    for worker in both:
        worker.make('NFS', nfs_mount_point_base=str(base))
    wanted = props(server.export('a'))
    with lab.programs.Recorder() as recorder:
        for worker in both:
            worker.begin('connect_volume', wanted)
        first, second = (worker.finish() for worker in both)
    assert first == second
    assert len(mounted(base)) == 1
    assert [each.name for each in recorder.everything()].count('mount') == 1


def test_what_others_have_mounted(server, base):
    """The share itself is used; another share, or a directory of this host, is an error."""
    share = server.export('a')
    place = place_of(base, share)
    os.mkdir(place)
    mount = ('mount', '-t', 'nfs', '-o', 'vers=4.1')
    lab.shell.run(*mount, f'{share}/', place)
    assert ours(base).connect_volume(props(share)) == {'path': f'{place}/volume-1'}
    lab.shell.run('umount', place)
    for words in ((*mount, server.export('b'), place), ('mount', '--bind', '/run', place)):
        lab.shell.run(*words)
        with pytest.raises(exception.VolumeIdentityMismatch, match=place):
            ours(base).connect_volume(props(share))
        lab.shell.run('umount', place)
    lab.shell.run(*mount, share, place)
    lab.shell.run('mount', '-t', 'tmpfs', 'tmpfs', place)
    with pytest.raises(exception.VolumeIdentityMismatch, match='tmpfs'):
        ours(base).connect_volume(props(share))
    assert len(mounted(base)) == 2


@pytest.mark.parametrize(
    ('make', 'error'),
    [
        ('true', exception.VolumeDeviceNotFound),
        ('mknod /srv/a/odd b 7 0', exception.VolumeIdentityMismatch),
        ('ln -s /etc/passwd /srv/a/odd', exception.VolumeIdentityMismatch),
    ],
    ids=['missing', 'device', 'link'],
)
def test_a_file_that_is_not_a_volume(server, base, make, error):
    """Nothing is left of the attach."""
    server.run(make)
    try:
        with pytest.raises(error, match='odd'):
            ours(base).connect_volume(props(server.export('a'), name='odd'))
    finally:
        server.run('rm -f /srv/a/odd')
    assert list(base.iterdir()) == []


@pytest.mark.parametrize(
    ('options', 'address'),
    [
        ('vers=4.2', lab.nfs.V4),
        ('vers=4.1', lab.nfs.V6),
        ('vers=4.0', lab.nfs.V4),
        (f'vers=3,{NOLOCK}', lab.nfs.V4),
        (f'v3,{NOLOCK}', lab.nfs.V6),
    ],
)
def test_life(server, base, options, address):
    """Mounted, used, mounted already (no program is run), and left mounted by the detach."""
    share = server.export('a', address)
    wanted = props(share, f'-o {options}')
    brick = ours(base)
    assert brick.get_volume_paths(wanted) == []
    info = brick.connect_volume(wanted)
    assert info == {'path': f'{place_of(base, share)}/volume-1'}
    path = pathlib.Path(info['path'])
    assert path.read_text() == 'gold'
    path.write_text('silver')
    assert server.run('cat /srv/a/volume-1') == 'silver'
    with lab.programs.Recorder() as recorder:
        assert brick.connect_volume(wanted) == info
    assert recorder.ours() == []
    assert brick.get_volume_paths(wanted) == [info['path']]
    assert brick.check_valid_device(info['path'])
    brick.disconnect_volume(wanted, info)
    assert mounted(base) == [place_of(base, share)]


def test_version_that_the_server_has(server, base):
    """4.2 and 4.1 are tried by name, and then what mount.nfs finds out: 3 here."""
    server.stop()
    server.start('-N 4')
    try:
        share = server.export('a')
        assert ours(base).connect_volume(props(share, f'-o {NOLOCK}'))
        with pytest.raises(exception.BrickException, match=r'vers=4\.2'):
            ours(base).connect_volume(props(server.export('b')))
    finally:
        server.stop()
        server.start()
    assert mounted(base) == [place_of(base, share)]


def test_names_with_blanks(server, base):
    share = server.export('with blank')
    for _ in range(2):
        info = ours(base / 'more blanks').connect_volume(props(share))
    assert pathlib.Path(info['path']).read_text() == 'gold'
    assert len(mounted(base)) == 1


def test_a_file_that_another_host_has_just_made(server, base):
    """The client of NFS remembers that a name was not there."""
    brick, wanted = ours(base), props(server.export('a'), name='new')
    brick.connect_volume({**wanted, 'name': 'volume-1'})
    try:
        with pytest.raises(exception.VolumeDeviceNotFound):
            brick.connect_volume(wanted)
        server.file('a', 'new', 'x')
        assert brick.connect_volume(wanted)
    finally:
        server.run('rm -f /srv/a/new')


def test_a_server_that_is_away(server, base):
    """An error that names it, in seconds; and the same share once it is back."""
    share = server.export('a')
    lab.net.cut(lab.nfs.V4)
    seconds, _ = lab.bricks.timed(_fails, base, share, 'does not answer')
    assert seconds < 10
    assert list(base.iterdir()) == []
    lab.net.heal(lab.nfs.V4)
    server.stop()
    try:
        seconds, _ = lab.bricks.timed(_fails, base, share, 'refused')
        assert seconds < 5
    finally:
        server.start()
    assert ours(base).connect_volume(props(share))


def _fails(base: pathlib.Path, share: str, why: str) -> None:
    with pytest.raises(exception.BrickException, match=why) as caught:
        ours(base).connect_volume(props(share))
    assert share in str(caught.value)


def test_a_server_that_says_nothing(server, base, options):
    """It takes connections and never answers: mount is ended at the deadline."""
    options(operation_timeout=TIMEOUT)
    share = f'{lab.net.V4[0]}:/srv/a'
    with contextlib.closing(socket.create_server((lab.net.V4[0], 2049))):
        begun = time.monotonic()
        with pytest.raises(exception.OperationTimedOut, match=share):
            ours(base).connect_volume(props(share))
        assert time.monotonic() - begun < TIMEOUT + 4
    assert list(base.iterdir()) == []


def test_a_mounted_share_that_hangs(server, base, options):
    """The look at it is in a child: the caller is never in uninterruptible sleep, and goes on."""
    share = server.export('a')
    wanted = props(share, '-o vers=4.2,actimeo=0')
    brick = ours(base)
    info = brick.connect_volume(wanted)
    options(operation_timeout=TIMEOUT)
    lab.net.cut(lab.nfs.V4)
    begun = time.monotonic()
    with pytest.raises(exception.OperationTimedOut, match=place_of(base, share)):
        brick.connect_volume(wanted)
    assert time.monotonic() - begun < TIMEOUT + 4
    begun = time.monotonic()
    assert brick.check_valid_device(info['path']) is False
    assert time.monotonic() - begun < TIMEOUT + 4
    lab.net.heal(lab.nfs.V4)
    options(operation_timeout=60)
    assert brick.connect_volume(wanted) == info


class Watched(threading.Thread):
    """A call in a thread of its own, whose state is looked at all the time.

    :ivar error: what it has raised.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.error: Exception | None = None
        self._call = call
        self.start()

    def run(self) -> None:
        try:
            self._call()
        except Exception as error:
            self.error = error

    def end(self, seconds: float) -> None:
        """Wait for its end; it must come in time, and never be in uninterruptible sleep."""
        until = time.monotonic() + seconds
        stat = f'/proc/self/task/{self.native_id}/stat'
        asleep = 0
        while self.is_alive():
            assert time.monotonic() < until, f'it takes more than {seconds} s'
            # A moment of it is normal: a page that is read, a file that is renamed.
            asleep = asleep + 1 if lab.shell.read(stat).rpartition(')')[2][1:2] == 'D' else 0
            assert asleep < 20, 'the caller is in uninterruptible sleep'
            time.sleep(0.05)


def test_a_server_that_goes_while_a_volume_is_used(server, base, options):
    """A write that waits for it holds up neither the caller nor a detach; it goes on afterwards."""
    share = server.export('a')
    wanted = props(share)
    brick = ours(base)
    info = brick.connect_volume(wanted)
    options(operation_timeout=TIMEOUT)
    writing = ['dd', 'if=/dev/zero', f'of={info["path"]}', 'bs=64k', 'count=16', 'oflag=direct']
    lab.net.cut(lab.nfs.V4)
    with subprocess.Popen(writing, stderr=subprocess.DEVNULL) as writer:
        try:
            for call in (
                lambda: brick.get_volume_paths(wanted),
                lambda: brick.disconnect_volume(wanted, info),
            ):
                Watched(call).end(TIMEOUT + 4)
            assert writer.poll() is None
        finally:
            lab.net.heal(lab.nfs.V4)
        assert writer.wait(60) == 0
    assert server.run('stat -c %s /srv/a/volume-1') == str(1 << 20)


@pytest.mark.parametrize('moment', ['mount', 'unmount'])
def test_a_server_that_goes_while_its_share_is(server, base, options, moment):
    """The attach ends in time and names the share; nothing of it is left once the server is back.

    The file is missing, so that what was mounted is unmounted.
    """
    share = server.export('b')
    place = place_of(base, share)
    options(operation_timeout=TIMEOUT)
    brick = ours(base)
    call = Watched(lambda: brick.connect_volume(props(share, name='missing')))
    has_begun = {'mount': lambda: os.path.isdir(place), 'unmount': lambda: bool(mounted(base))}
    while call.is_alive() and not has_begun[moment]():
        time.sleep(0.001)
    lab.net.cut(lab.nfs.V4)
    call.end(3 * TIMEOUT)
    assert isinstance(call.error, exception.BrickException)
    assert share in str(call.error) or place in str(call.error)
    lab.net.heal(lab.nfs.V4)
    lab.shell.until(lambda: not mounted(base), 60, 'what was mounted is unmounted')
    lab.shell.until(lambda: not list(base.iterdir()), 20, 'the mount point goes')


def test_a_stale_handle(server, base):
    """The share was made anew on its server: mounted again if nothing uses it, else an error."""
    share = server.export('b')
    wanted = props(share, '-o vers=4.2,actimeo=0')
    brick = ours(base)
    info = brick.connect_volume(wanted)
    user = os.open(place_of(base, share), os.O_RDONLY | os.O_DIRECTORY)
    try:
        _make_anew(server)
        with pytest.raises(exception.VolumeInUse, match='stale'):
            brick.connect_volume(wanted)
    finally:
        os.close(user)
    assert brick.connect_volume(wanted) == info
    assert pathlib.Path(info['path']).read_text() == 'new'
    assert len(mounted(base)) == 1


def _make_anew(server: lab.nfs.Server) -> None:
    server.run('exportfs -ua; rm -rf /srv/b; mkdir /srv/b; exportfs -ra')
    server.file('b', 'volume-1', 'new')


def test_the_callable_of_the_caller(server, base):
    """As cinder's drivers bring one: mounted once, and a share that is not there leaves nothing."""

    def execute(*words, run_as_root, root_helper, **keywords):
        assert (run_as_root, root_helper) == (True, 'sudo')
        return processutils.execute(*words, **keywords)

    share = server.export('a')
    one = remotefs.RemoteFsClient('nfs', 'sudo', execute=execute, nfs_mount_point_base=str(base))
    for flags in ([], ['-o', 'vers=4.1']):
        one.mount(share, flags)
    assert mounted(base) == [one.get_mount_point(share)]
    assert one._read_mounts()[one.get_mount_point(share)] == share
    with pytest.raises(exception.BrickException, match='No such file or directory'):
        one.mount(server.export('c'))
    assert len(list(base.iterdir())) == 1
