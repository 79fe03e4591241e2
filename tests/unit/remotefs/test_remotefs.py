# SPDX-License-Identifier: Apache-2.0
"""Clients of remote file systems: what is mounted where, by which programs, and what is not."""

import hashlib
import logging
import pathlib
import shutil
import threading
from typing import Any

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.core import process
from os_brick.remotefs import remotefs
from tests.unit.fakehost import shares as fake

SHARE = 'nas:/srv/a'
BASE = '/mnt'
SECRET = 'hunter2-4711'


def place_of(share: str, base: str = BASE) -> str:
    return f'{base}/{hashlib.md5(share.encode()).hexdigest()}'


PLACE = place_of(SHARE)


def client(kind: str = 'nfs', **keywords: Any) -> remotefs.RemoteFsClient:
    prefix = 'smbfs' if kind == 'cifs' else kind
    return remotefs.RemoteFsClient(
        kind, 'sudo helper', **{f'{prefix}_mount_point_base': BASE, **keywords}
    )


def mounted(host: fake.Shares) -> list[tuple[str, str, str]]:
    return [(each.kind, each.source, each.place) for each in host.mounts]


def test_mounts_once(host: fake.Shares) -> None:
    """A share that is mounted costs no program."""
    host.server('nas', '/srv/a')
    one = client()
    one.mount(SHARE)
    assert mounted(host) == [('nfs4', SHARE, PLACE)]
    assert host.started == [f'mount -t nfs -o vers=4,minorversion=2,retry=0 {SHARE} {PLACE}']
    one.mount(SHARE, ['-o', 'ro'])
    client().mount(SHARE)
    assert len(host.started) == 1
    assert (one.get_mount_base(), one.get_mount_point(SHARE)) == (BASE, PLACE)
    assert one._read_mounts() == {'/': '/dev/vda1', PLACE: SHARE}


@pytest.mark.parametrize(
    ('versions', 'tries'),
    [
        (('4.2',), ['vers=4,minorversion=2,']),
        (('4.1',), ['vers=4,minorversion=2,', 'vers=4,minorversion=1,']),
        (('3',), ['vers=4,minorversion=2,', 'vers=4,minorversion=1,', '']),
    ],
)
def test_versions_in_turn(host: fake.Shares, versions: Any, tries: list[str]) -> None:
    host.server('nas', '/srv/a', versions=versions)
    client().mount(SHARE)
    assert host.started == [f'mount -t nfs -o {words}retry=0 {SHARE} {PLACE}' for words in tries]
    assert len(host.mounts) == 1


@pytest.mark.parametrize(
    ('options', 'flags', 'given'),
    [
        ('vers=3,nolock', [], 'vers=3,nolock,retry=0'),
        ('hard', ['-o', 'vers=4.1'], 'hard,vers=4.1,retry=0'),
        (None, ['-o', 'nfsvers=3,retry=2'], 'nfsvers=3,retry=2'),
        ('hard,minorversion=1', None, 'hard,vers=4,minorversion=2,retry=0'),
    ],
)
def test_options(host: fake.Shares, options: Any, flags: Any, given: str) -> None:
    """A version that is named is the only one tried, and -o stands once."""
    host.server('nas', '/srv/a', versions=('3', '4.1', '4.2'))
    client(nfs_mount_options=options).mount(SHARE, flags)
    assert host.started == [f'mount -t nfs -o {given} {SHARE} {PLACE}']


def test_a_version_that_the_server_has_not(host: fake.Shares) -> None:
    host.server('nas', '/srv/a', versions=('3',))
    with pytest.raises(exception.BrickException, match=r'vers=4.*not supported'):
        client().mount(SHARE, ['-o', 'vers=4.2'])
    assert len(host.started) == 1
    assert mounted(host) == []
    assert not host.tree.at(PLACE).exists()


def test_all_versions_fail(host: fake.Shares) -> None:
    """Each error is told; the directory that was made goes again."""
    host.server('nas', '/other')
    with pytest.raises(exception.BrickException, match=r'minorversion=2.*=1.*any version') as e:
        client().mount(SHARE)
    assert str(e.value).count('No such file or directory') == 3
    assert not host.tree.at(PLACE).exists()


def test_what_another_version_does_not_change_is_not_tried_again(host: fake.Shares) -> None:
    host.server('nas', '/srv/a', denies=True)
    with pytest.raises(exception.BrickException, match='access denied'):
        client().mount(SHARE)
    assert len(host.started) == 1


@pytest.mark.parametrize('state', ['is_away', 'is_stopped'])
def test_a_server_that_does_not_answer_is_found_out_soon(host: fake.Shares, state: str) -> None:
    setattr(host.server('nas', '/srv/a'), state, True)
    begun = host.clock.now
    with pytest.raises(exception.BrickException, match=r'nas:/srv/a.*does not answer.*port 2049'):
        client().mount(SHARE)
    assert host.clock.now - begun < 10
    assert host.started == []
    assert not host.tree.at(PLACE).exists()


@pytest.mark.parametrize(
    ('options', 'connected'),
    [
        (None, [('nas', 2049)]),
        ('port=2050', [('nas', 2050)]),
        ('proto=tcp6', [('nas', 2049)]),
        ('proto=rdma', []),
        ('rdma', []),
        ('udp,vers=3', []),
        ('port=0', [('nas', 2049)]),
        ('port=\u0662', [('nas', 2049)]),
    ],
)
def test_where_the_server_is_looked_for(host: fake.Shares, options: Any, connected: Any) -> None:
    host.server('nas', '/srv/a')
    if options == 'port=2050':
        with pytest.raises(exception.BrickException, match='port 2050'):
            client(nfs_mount_options=options).mount(SHARE)
    else:
        client(nfs_mount_options=options).mount(SHARE)
    assert host.connected == connected


@pytest.mark.parametrize(
    ('options', 'ports'),
    [(None, [2049, 111]), ('vers=3', [2049, 111]), ('vers=4.2', [2049]), ('v4', [2049])],
)
def test_version_4_has_no_portmapper(host: fake.Shares, options: Any, ports: list[int]) -> None:
    host.server('nas', '/srv/a', is_away=True)
    with pytest.raises(exception.BrickException, match='port 2049'):
        client(nfs_mount_options=options).mount(SHARE)
    assert host.connected == [('nas', port) for port in ports]


def test_an_unknown_host(host: fake.Shares) -> None:
    with pytest.raises(exception.BrickException, match='Name or service not known'):
        client().mount(SHARE)
    assert host.started == []


def test_a_server_that_goes_away_in_the_mount(host: fake.Shares) -> None:
    """mount is killed at the deadline, and there is time left to take back what it has done."""
    server = host.server('nas', '/srv/a')
    host.before = lambda _argv: setattr(server, 'is_away', True)
    begun = host.clock.now
    with pytest.raises(exception.OperationTimedOut, match=r'mount of nas:/srv/a'):
        client().mount(SHARE)
    assert host.clock.now - begun <= 120
    assert not host.tree.at(PLACE).exists()


def test_a_mount_that_is_killed_when_it_was_done_is_taken_back(host: fake.Shares) -> None:
    host.server('nas', '/srv/a')

    def killed(argv: tuple[str, ...]) -> None:
        if argv[0] == 'mount':
            raise process.TimeLimit

    host.after = killed
    with pytest.raises(exception.OperationTimedOut):
        client().mount(SHARE)
    assert mounted(host) == []
    assert not host.tree.at(PLACE).exists()


def test_another_process_is_faster(host: fake.Shares) -> None:
    """One without our lock: both succeed, with one mount, which is not taken back."""
    host.server('nas', '/srv/a')
    host.before = lambda argv: host.mount(SHARE, PLACE) and None if argv[0] == 'mount' else None
    client().mount(SHARE)
    assert mounted(host) == [('nfs4', SHARE, PLACE)]
    assert len(host.started) == 1


def test_busy_or_already_mounted_may_mean_not_mounted(host: fake.Shares) -> None:
    host.server('nas', '/srv/a')
    host._mount_nfs = lambda *_a: (32, 'mount.nfs: x is busy or already mounted')  # type: ignore[method-assign]
    with pytest.raises(exception.BrickException, match='busy or already mounted'):
        client().mount(SHARE)


def test_threads_mount_once(host: fake.Shares) -> None:
    host.server('nas', '/srv/a')
    errors: list[BaseException] = []

    def run() -> None:
        try:
            client().mount(SHARE)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    assert len(host.mounts) == len(host.started) == 1


@pytest.mark.parametrize(
    ('kind', 'source'),
    [
        *(('nfs4', 'nas:/srv/ab'), ('nfs4', 'nas:/srv'), ('nfs', 'nas2:/srv/a')),
        *(('ext4', '/dev/sdb1'), ('tmpfs', SHARE), ('nfs4', 'nas:/srv/a/sub')),
    ],
)
def test_something_else_is_mounted_there(host: fake.Shares, kind: str, source: str) -> None:
    host.server('nas', '/srv/a')
    host.mount(source, PLACE, kind)
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        client().mount(SHARE)
    assert (caught.value.device, host.started) == (PLACE, [])
    assert source in str(caught.value)
    assert mounted(host) == [(kind, source, PLACE)]


def test_something_else_above_the_share(host: fake.Shares) -> None:
    """What hides the share is what is reached."""
    host.server('nas', '/srv/a')
    host.mount(SHARE, PLACE)
    host.mount('tmpfs', PLACE, 'tmpfs')
    with pytest.raises(exception.VolumeIdentityMismatch, match='tmpfs'):
        client().mount(SHARE)


def test_a_place_that_begins_alike_is_another(host: fake.Shares) -> None:
    host.server('nas', '/srv/a')
    host.mount(SHARE, f'{PLACE}x')
    client().mount(SHARE)
    assert len(host.mounts) == 2


def test_other_spellings_of_the_share_that_is_mounted(host: fake.Shares) -> None:
    host.server('[fd00::1]', '/srv/a')
    share = '[FD00::0:1]://srv//a/'
    host.mount('[fd00::1]:/srv/a', place_of(share))
    client().mount(share)
    assert host.started == []


def test_names_with_blanks(host: fake.Shares) -> None:
    """The kernel writes them with escapes."""
    share, base = 'nas:/srv/a b\\c', '/mnt/base with blanks'
    host.server('nas', '/srv/a b\\c')
    for _ in range(2):
        client(nfs_mount_point_base=base).mount(share)
    assert mounted(host) == [('nfs4', share, place_of(share, base))]


def test_a_link_on_the_way_to_the_base(host: fake.Shares) -> None:
    host.server('nas', '/srv/a')
    host.tree.directory('/data/mnt')
    host.tree.link('/srv', '/data')
    for _ in range(2):
        client(nfs_mount_point_base='/srv/mnt').mount(SHARE)
    assert mounted(host) == [('nfs4', SHARE, place_of(SHARE, '/data/mnt'))]
    assert len(host.started) == 1


def test_other_options_are_told_and_used(
    host: fake.Shares, caplog: pytest.LogCaptureFixture
) -> None:
    host.server('nas', '/srv/a')
    host.mount(SHARE, PLACE, options='ro,vers=4.1')
    client().mount(SHARE, ['-o', 'vers=4.2'])
    assert host.started == []
    assert 'read-only' in caplog.text
    assert 'another version than 4.2' in caplog.text


@pytest.mark.parametrize('version', ['4', '4.2', '3'])
def test_the_version_that_is_asked_for(
    host: fake.Shares, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    host.server('nas', '/srv/a')
    host.mount(SHARE, PLACE, options=f'rw,vers={"4.2" if version[0] == "4" else "3"}')
    client().mount(SHARE, ['-o', f'vers={version}'])
    assert 'another version' not in caplog.text


def test_a_client_without_a_version(host: fake.Shares) -> None:
    """Its kernel calls 4.2 an incorrect option; the others are tried."""
    host.server('nas', '/srv/a')
    inner = host._mount_nfs

    def old(source: str, place: str, options: str, timeout: float | None) -> tuple[int, str]:
        if 'minorversion=2' in options:
            return 32, 'mount.nfs: an incorrect mount option was specified'
        return inner(source, place, options, timeout)

    host._mount_nfs = old  # type: ignore[method-assign]
    client().mount(SHARE)
    assert len(host.started) == 2


def test_a_mounted_share_that_hangs(host: fake.Shares) -> None:
    server = host.server('nas', '/srv/a')
    client().mount(SHARE)
    server.is_away = True
    begun = host.clock.now
    with pytest.raises(exception.OperationTimedOut, match=PLACE):
        client().mount(SHARE)
    assert host.clock.now - begun <= 120
    assert len(host.mounts) == 1


def test_a_stale_handle_is_mounted_anew(host: fake.Shares) -> None:
    host.server('nas', '/srv/a')
    client().mount(SHARE)
    host.stale.add(host.mounts[0].number)
    client().mount(SHARE)
    assert len(host.mounts) == 1
    assert not host.stale & {each.number for each in host.mounts}
    assert [line.split()[0] for line in host.started] == ['mount', 'umount', 'mount']


def test_a_stale_handle_that_is_in_use(host: fake.Shares) -> None:
    host.server('nas', '/srv/a')
    client().mount(SHARE)
    host.stale.add(host.mounts[0].number)
    host.busy.add(host.mounts[0].number)
    with pytest.raises(exception.VolumeInUse, match=r'nas:/srv/a is stale'):
        client().mount(SHARE)
    assert len(host.mounts) == 1


def test_a_stale_mount_of_something_else_is_left_alone(host: fake.Shares) -> None:
    host.server('nas', '/srv/a')
    host.stale.add(host.mount('nas:/other', PLACE).number)
    with pytest.raises(exception.VolumeIdentityMismatch):
        client().mount(SHARE)
    assert host.started == []


def test_a_mount_point_that_cannot_be_made(host: fake.Shares) -> None:
    host.server('nas', '/srv/a')
    host.tree.file('/mnt/file')
    with pytest.raises(exception.BrickException, match='mount point'):
        client(nfs_mount_point_base='/mnt/file').mount(SHARE)
    assert host.started == []


@pytest.mark.parametrize(
    ('share', 'flags', 'named'),
    [
        *(
            (share, None, 'share')
            for share in ('', 'nas', '-o:/x', 'nas:/../x', 'nas:/x\0', None, 7)
        ),
        *((SHARE, flags, 'options') for flags in (['--bind'], ['-o', 'remount'], 'ro', ['x'], [7])),
    ],
)
def test_bad_input_is_named_first(host: fake.Shares, share: Any, flags: Any, named: str) -> None:
    before = host.tree.snapshot()
    with pytest.raises(exception.InvalidParameterValue, match=named):
        client().mount(share, flags)
    assert host.started == []
    assert host.tree.snapshot() == before


@pytest.mark.parametrize('base', ['relative', '/', '/mnt/\0', '/mnt/\n'])
def test_a_bad_base(host: fake.Shares, base: str) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='nfs_mount_point_base'):
        client(nfs_mount_point_base=base).mount(SHARE)


@pytest.mark.parametrize('options', [7, ['ro'], 'bind', 'a b'])
def test_bad_options_are_named_when_they_are_used(host: fake.Shares, options: Any) -> None:
    one = client(nfs_mount_options=options)
    with pytest.raises(exception.InvalidParameterValue, match='nfs_mount_options'):
        one.mount(SHARE)


@pytest.mark.parametrize('kind', ['NFS', 'ext4', '', None])
def test_unknown_types(kind: Any) -> None:
    with pytest.raises(exception.ProtocolNotSupported):
        remotefs.RemoteFsClient(kind, None, nfs_mount_point_base='/mnt')


@pytest.mark.parametrize(
    ('kind', 'prefix'),
    [
        *(('nfs', 'nfs'), ('cifs', 'smbfs'), ('glusterfs', 'glusterfs'), ('quobyte', 'quobyte')),
        *(('vzstorage', 'vzstorage'), ('scality', 'scality')),
    ],
)
def test_the_base_is_needed(kind: str, prefix: str) -> None:
    for keywords in ({}, {f'{prefix}_mount_point_base': ''}, {'other_mount_point_base': '/mnt'}):
        with pytest.raises(exception.InvalidParameterValue, match=f'{prefix}_mount_point_base'):
            remotefs.RemoteFsClient(kind, None, **keywords)


def test_a_share_in_another(host: fake.Shares) -> None:
    """cinder's Nexenta driver mounts shares below the mount point of the one they lie in."""
    host.server('nas', '/srv/a', '/srv/a/v1')
    one = client()
    one.mount(SHARE)
    inner = f'{PLACE}/v1'
    for _ in range(2):
        one._mount_nfs('nas:/srv/a/v1', inner, ['-o', 'vers=4.2'])
    assert mounted(host)[1] == ('nfs4', 'nas:/srv/a/v1', inner)
    assert len(host.started) == 2
    for place in ('/etc', PLACE, f'{PLACE}/../x', f'/other/{PLACE}', BASE):
        with pytest.raises(exception.InvalidParameterValue, match='mount_path'):
            one._mount_nfs('nas:/srv/a/v1', place, [])


def test_glusterfs(host: fake.Shares) -> None:
    share = 'h1,h2:/vol'
    one = client('glusterfs', glusterfs_mount_options='log-level=ERROR')
    one.mount(share)
    one.mount(share)
    assert host.started == [f'mount -t glusterfs -o log-level=ERROR {share} {place_of(share)}']
    assert host.connected == []


def test_other_kinds_raise_what_the_program_ended_in(host: fake.Shares) -> None:
    host.after = lambda _argv: host.unmount(host.mounts[-1].number) if host.mounts else None
    host._mount = lambda *_a: (1, 'Mount failed.')  # type: ignore[method-assign]
    with pytest.raises(processutils.ProcessExecutionError, match=r'Mount failed'):
        client('glusterfs').mount('h1:/vol')
    assert not host.tree.at(place_of('h1:/vol')).exists()


@pytest.mark.parametrize('brings', [False, True])
def test_credentials_of_cifs(
    host: fake.Shares, caplog: pytest.LogCaptureFixture, brings: bool
) -> None:
    """They are in a file that only its owner can read, and that goes; nowhere else."""
    caplog.set_level(logging.DEBUG)
    share = '//h/share'
    options = f'username=u,password={SECRET},vers=3.0'
    one = client('cifs', smbfs_mount_options=options, execute=host.execute if brings else None)
    one.mount(share)
    assert host.credentials == [f'username=u\npassword={SECRET}\n']
    assert len(host.started) == 1
    assert host.started[0].startswith('mount -t cifs -o vers=3.0,credentials=/')
    assert SECRET not in host.started[0] + caplog.text + repr(one.__dict__)
    assert not [path for path in host.tree.snapshot() if 'credentials' in path]


@pytest.mark.parametrize('brings', [False, True])
def test_credentials_that_a_killed_process_has_left(host: fake.Shares, brings: bool) -> None:
    """They go with the next mount; those of one that is under way stay."""
    options = f'username=u,password={SECRET},vers=3.0'
    one = client('cifs', smbfs_mount_options=options, execute=host.execute if brings else None)
    kept = host.tree.root.parent / 'kept'
    places: list[pathlib.Path] = []

    def keep(argv: tuple[str, ...]) -> None:
        found = argv[4].partition('credentials=')[2].partition(',')[0]
        directory = host.tree.at(found).parent
        places.append(directory)
        if len(places) == 1:
            shutil.copytree(directory, kept)
        elif len(places) == 2:
            two = client('cifs', smbfs_mount_options=options)
            two.mount('//h/third')
            assert (directory / 'credentials').exists()

    host.before = keep
    one.mount('//h/first')
    shutil.copytree(kept, places[0])
    one.mount('//h/second')
    assert len(places) == 3
    assert not [path for path in host.tree.snapshot() if 'credentials' in path]


def test_a_failing_mount_shows_no_credentials(host: fake.Shares) -> None:
    host._mount = lambda *_a: (32, f'mount error(13): {SECRET}')  # type: ignore[method-assign]
    with pytest.raises(processutils.ProcessExecutionError) as caught:
        client('cifs', smbfs_mount_options=f'user=u,pass={SECRET}').mount('//h/share')
    assert SECRET not in str(caught.value)
    assert not [path for path in host.tree.snapshot() if 'credentials' in path]


class TestExecuteOfTheCaller:
    """Programs run by what the caller has brought."""

    def test_mounts(self, host: fake.Shares) -> None:
        host.server('nas', '/srv/a', versions=('4.1',))
        one = client(execute=host.execute)
        one.mount(SHARE)
        one.mount(SHARE)
        assert host.started == [
            f'mount -t nfs -o vers=4,minorversion=2,retry=0 {SHARE} {PLACE}',
            f'mount -t nfs -o vers=4,minorversion=1,retry=0 {SHARE} {PLACE}',
        ]

    def test_set_later(self, host: fake.Shares) -> None:
        host.server('nas', '/srv/a')
        one = client()
        calls: list[Any] = []
        one.set_execute(lambda *words, **_k: calls.append(words) or host.execute(*words, **_k))
        one.mount(SHARE)
        assert [words[0] for words in calls] == ['mount']

    def test_stale(self, host: fake.Shares) -> None:
        host.server('nas', '/srv/a')
        one = client(execute=host.execute)
        one.mount(SHARE)
        host.stale.add(host.mounts[0].number)
        one.mount(SHARE)
        assert [line.split()[0] for line in host.started] == ['mount', 'umount', 'mount']

    def test_one_that_hangs_is_left_behind(self, host: fake.Shares) -> None:
        """The operation ends; the share's lock is kept until the program has ended, and what it
        has mounted by then is unmounted."""
        host.server('nas', '/srv/a')
        host.tree.file(f'{PLACE}/written while nothing was mounted')
        go_on = threading.Event()

        def execute(*words: str, **keywords: Any) -> Any:
            if words[0] == 'mount':
                host.clock.now += 110
                assert go_on.wait(20)
            return host.execute(*words, **keywords)

        with pytest.raises(exception.OperationTimedOut, match='mount to end'):
            client(execute=execute).mount(SHARE)
        assert mounted(host) == []
        go_on.set()
        client(execute=host.execute).mount(SHARE)
        assert [line.split()[0] for line in host.started] == ['mount', 'umount', 'mount']
        assert len(host.mounts) == 1


class TestVirtuozzo:
    """Clusters of Virtuozzo Storage."""

    SHARE = f'm1:2510,m2:/c1:{SECRET}'

    def client(self, **keywords: Any) -> remotefs.VZStorageRemoteFSClient:
        return remotefs.VZStorageRemoteFSClient(
            'vzstorage', 'sudo helper', vzstorage_mount_point_base=BASE, **keywords
        )

    @pytest.mark.parametrize('brings', [False, True])
    @pytest.mark.parametrize('known', [False, True])
    def test_mounts(
        self, host: fake.Shares, caplog: pytest.LogCaptureFixture, brings: bool, known: bool
    ) -> None:
        caplog.set_level(logging.DEBUG)
        if known:
            host.tree.file('/etc/pstorage/clusters/c1/bs_list', 'old\n')
        one = self.client(execute=host.execute if brings else None)
        for _ in range(2):
            one.mount(self.SHARE, ['-u', 'nova'])
        place = place_of(self.SHARE)
        ran = [line for line in host.started if line.split()[0] not in ('cp', 'chown')]
        assert ran == ['pstorage -c c1 auth-node -P', f'pstorage-mount -c c1 -u nova {place}']
        assert SECRET.encode() in [
            data.encode() if isinstance(data, str) else data for data in host.stdin
        ]
        assert host.tree.at('/etc/pstorage/clusters/c1/bs_list').read_text() == 'm1:2510\nm2\n'
        assert SECRET not in ' '.join(host.started) + caplog.text + repr(one.__dict__)
        assert not [path for path in host.tree.snapshot() if path.startswith('/tmp/vz')]

    def test_the_cluster_alone(self, host: fake.Shares) -> None:
        self.client().mount('c1')
        assert host.started == [f'pstorage-mount -c c1 {place_of("c1")}']

    @pytest.mark.parametrize('share', [f'bad name:/{SECRET}', '', None, f'c1:{SECRET}\0'])
    def test_bad_shares(self, host: fake.Shares, share: Any) -> None:
        with pytest.raises(exception.InvalidParameterValue, match='share') as caught:
            self.client().mount(share)
        assert SECRET not in str(caught.value)

    def test_bad_flags(self, host: fake.Shares) -> None:
        with pytest.raises(exception.InvalidParameterValue, match='options'):
            self.client().mount('c1', ['-c', 'c2'])
        assert host.started == []


class TestScality:
    """Scality's file system is one, and its shares are directories."""

    def test_mounts(self, host: fake.Shares) -> None:
        one = remotefs.ScalityRemoteFsClient('scality', None, scality_mount_point_base='/mnt/sofs/')
        assert (one.get_mount_base(), one.get_mount_point('vol')) == (
            '/mnt/sofs',
            '/mnt/sofs/vol/00',
        )
        for share in ('vol', 'other'):
            one.mount(share)
        assert host.started == ['mount -t sofs /etc/sfused.conf /mnt/sofs']

    def test_a_directory_with_something_in_it(self, host: fake.Shares) -> None:
        host.tree.file('/mnt/sofs/something')
        one = remotefs.ScalityRemoteFsClient('scality', None, scality_mount_point_base='/mnt/sofs')
        with pytest.raises(exception.InvalidParameterValue, match='not empty'):
            one.mount('vol')
        assert host.started == []
        assert host.tree.at('/mnt/sofs/something').exists()
