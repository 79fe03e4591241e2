# SPDX-License-Identifier: Apache-2.0
"""Options of mount: read from flags, refused where they are something else, secrets apart."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import mount_options

SECRET = 'hunter2-4711'


@pytest.mark.parametrize(
    ('text', 'flags', 'words'),
    [
        (None, [], []),
        ('', (), []),
        ('vers=3,,ro', [], ['vers=3', 'ro']),
        ('hard', ['-o', 'vers=4.2,nosuid'], ['hard', 'vers=4.2', 'nosuid']),
        (None, ['-overs=3'], ['vers=3']),
        (None, ['--options', 'a=b', '--options=c'], ['a=b', 'c']),
        (None, ['-r', '-v', '-n', '-w'], ['ro', 'rw']),
        ('context="system_u:s0:c1,c2",ro', [], ['context="system_u:s0:c1,c2"', 'ro']),
        ('fsc=tag,sec=krb5p,lookupcache=none', [], ['fsc=tag', 'sec=krb5p', 'lookupcache=none']),
        ('x-systemd.requires=nas,_netdev', [], ['x-systemd.requires=nas', '_netdev']),
        ('log-file=/var/log/gluster.log', [], ['log-file=/var/log/gluster.log']),
    ],
)
def test_read(text: Any, flags: Any, words: list[str]) -> None:
    assert mount_options.parse('nfs', text, flags).words == tuple(words)


@pytest.mark.parametrize(
    ('text', 'flags'),
    [
        *((option, []) for option in ('bind', 'rbind', 'move', 'remount', 'REMOUNT', 'loop=/x')),
        *(
            (option, [])
            for option in ('X-mount.mkdir', 'x-mount.subdir=a', 'helper=sh', 'source=x')
        ),
        *((option, []) for option in ('a b=c', '=x', '-o', 'a=\0', 'a=b\nc', 'ro"', 'a="b', ';')),
        *((option, []) for option in ('log-file=/etc/passwd', 'log-file=/var/log/../../etc/x')),
        *((option, []) for option in ('fsc="/etc/x"', 'x=/', 'vers=' + '4' * 2000)),
        *((None, flags) for flags in (['--bind'], ['-t', 'ext4'], ['-o'], ['/dev/sda'], ['-a'])),
        *(
            (None, flags)
            for flags in (['vers=3'], ['--'], ['-B'], [7], ['-o', None], ['--make-private'])
        ),
    ],
)
def test_refused(text: Any, flags: Any) -> None:
    with pytest.raises(ValueError, match=r'.'):
        mount_options.parse('nfs', text, flags)


@given(st.text(), st.lists(st.text()))
def test_whatever_is_taken_is_data(text: str, flags: list[str]) -> None:
    try:
        found = mount_options.parse('nfs', text, flags)
    except ValueError:
        return
    for word in found.words:
        assert word[0] not in '-,='
        assert not {'\0', '\n'} & set(word)
        assert mount_options.require(word) == word
        assert word.partition('=')[0].lower() not in ('bind', 'remount', 'move', 'loop')


@pytest.mark.parametrize(
    'text',
    [
        f'username=u,password={SECRET},vers=3.0',
        f'user=u,pass={SECRET},dom=D,vers=3.0',
        f'username=D/u%{SECRET},vers=3.0',
        f'PASSWORD="{SECRET}",vers=3.0',
        f'password2={SECRET},vers=3.0',
    ],
)
def test_secrets_are_apart(text: str) -> None:
    found = mount_options.parse('cifs', text, ['-o', 'uid=5'])
    assert found.words == ('vers=3.0', 'uid=5')
    assert any(SECRET in line for line in found.credentials)
    assert SECRET not in repr(found)


def test_a_user_without_a_secret_is_an_option() -> None:
    found = mount_options.parse('cifs', 'username=u,credentials=/etc/smb.cred', [])
    assert found.words == ('username=u', 'credentials=/etc/smb.cred')
    assert found.credentials == ()


@pytest.mark.parametrize(
    ('kind', 'text'),
    [
        *(('nfs', f'password={SECRET}'), ('glusterfs', f'ro,PASS={SECRET}')),
        *(('cifs', f'password="{SECRET}'), ('cifs', f'password=a\n{SECRET}')),
        ('cifs', f'password={SECRET}\0'),
    ],
)
def test_no_error_shows_a_secret(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r'(?i)pass|quote') as caught:
        mount_options.parse(kind, text, [])
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ('text', 'has'),
    [('vers=3', True), ('nfsvers=4', True), ('v4.1', True), ('v3', True), ('verity=x', False),
     ('minorversion=1', False), ('versx', True), ('hard', False)],
)  # fmt: skip
def test_versions(text: str, has: bool) -> None:
    assert mount_options.parse('nfs', text, []).has_version is has


def test_another_version() -> None:
    options = mount_options.parse('nfs', 'hard,minorversion=1,ro', [])
    assert options.with_version('vers=4', 'minorversion=2').words == (
        *('hard', 'ro', 'vers=4', 'minorversion=2'),
    )
    assert options.with_version().words == ('hard', 'ro')


def test_questions() -> None:
    options = mount_options.parse('nfs', 'ro,port=1,port=2,rw,tcp', [])
    assert not options.is_read_only
    assert mount_options.parse('nfs', 'rw,ro', []).is_read_only
    assert options.value('port') == '2'
    assert options.value('proto', 'x') is None
    assert options.value('tcp') == ''


@pytest.mark.parametrize(
    'words',
    [
        [],
        ['-u', 'nova', '-g', 'qemu', '-m', '0770', '-l', '/var/log/a b'],
        ['-r'],
        ['--ro', '--x=/y'],
    ],
)
def test_flags_of_virtuozzo(words: list[str]) -> None:
    assert mount_options.require_pstorage(words) == tuple(words)


@pytest.mark.parametrize(
    'words',
    [['-c', 'other'], ['--cluster=x'], ['/etc'], ['-u', 'a', 'b'], ['-u', '\0'], ['--', 'x'], [7],
     ['-u\n'], 'abc', None, ['-r'] * 100],
)  # fmt: skip
def test_flags_that_are_not_of_virtuozzo(words: Any) -> None:
    with pytest.raises(ValueError, match=r'.'):
        mount_options.require_pstorage(words)
