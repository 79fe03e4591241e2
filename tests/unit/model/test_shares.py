# SPDX-License-Identifier: Apache-2.0
"""Names of shares: valid ones, hostile ones, and which mean one share."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import shares

NFS = shares.KINDS['nfs']
VALID = {
    'nfs': [
        *('10.0.0.1:/srv', 'nas.example.org:/', 'NAS_1:/a b,c', '[fd00::1]:/srv', 'h://pool/fs/v'),
        *('[fe80::1%eth0]:/x', 'h:/a..b/..c', 'h:/größe', 'h:/it\'s "x"', 'h:/a:/b'),
    ],
    'cifs': ['//h/share', r'\\h\share\dir', '//[fd00::1]/s/a b'],
    'glusterfs': ['h:/vol', 'h:vol', 'h1,h2:/vol/sub', '10.0.0.1:/vol'],
    'quobyte': ['quobyte://r1:7861,r2/vol', 'r1/vol', '[fd00::1]/vol'],
    'scality': ['cinder/volumes', 'vol'],
}
HOSTILE = [
    *('', 'h', '-o:/x', '--help', 'h:/x\n', 'h:/\0', 'h:/..', 'h:/a/../b', 'h:/a/..', '../x', '..'),
    *(
        '/etc',
        '//h/..',
        '//h/s/../x',
        r'\\h\s\..\x',
        ' h:/x',
        'h:/a\u2028',
        'h:/\udcff',
        'h:/\x1b[0m',
    ),
    'h:/' + 'x' * 5000,
]


@pytest.mark.parametrize('kind', VALID)
def test_valid(kind: str) -> None:
    rule = shares.KINDS[kind].share
    assert rule is not None
    assert [rule.parse(share) for share in VALID[kind]] == VALID[kind]


@pytest.mark.parametrize('kind', VALID)
@pytest.mark.parametrize('share', HOSTILE)
def test_hostile(kind: str, share: str) -> None:
    rule = shares.KINDS[kind].share
    assert rule is not None
    if not (kind in ('quobyte', 'scality') and share == 'h'):
        assert rule.why_not(share) is not None


@pytest.mark.parametrize(
    ('share', 'shown'),
    [
        ('h:/a/', 'h:/a'),
        ('h://a//b', 'h:/a/b'),
        ('H.Example.org:/a', 'h.example.org:/a'),
        ('[FD00::0:1]:/a', '[fd00::1]:/a'),
        ('h:/', 'h:/'),
        ('h:/a:/b', 'h:/a:/b'),
    ],
)
def test_one_share(share: str, shown: str) -> None:
    for kind in ('nfs', 'nfs4'):
        assert NFS.is_same(share, kind, shown)


@pytest.mark.parametrize(
    ('kind', 'shown'),
    [
        *(
            ('nfs4', each)
            for each in ('h:/ab', 'h:/', 'h:/A', 'hh:/a', 'h:/a/b', 'h', '', 'x h:/a')
        ),
        *((each, 'h:/a') for each in ('ext4', 'tmpfs', 'fuse', 'nfsd', '')),
    ],
)
def test_another_share(kind: str, shown: str) -> None:
    assert not NFS.is_same('h:/a', kind, shown)


def test_other_kinds() -> None:
    cifs, gluster = shares.KINDS['cifs'], shares.KINDS['glusterfs']
    assert cifs.is_same(r'\\H\Share\Dir', 'cifs', '//h/share/Dir')
    assert not cifs.is_same('//h/share/Dir', 'cifs', '//h/share/dir')
    assert gluster.is_same('h1,h2:/vol', 'fuse.glusterfs', 'h2:vol')
    assert not gluster.is_same('h1:/vol', 'fuse.glusterfs', 'h1:/volume')
    # The kernel does not show what these have mounted.
    assert shares.KINDS['vzstorage'].is_same('cluster', 'fuse', 'anything')


LABEL = st.text('abcXYZ019', min_size=1, max_size=5)
NAME = st.text(st.characters(exclude_characters='/', exclude_categories=['C', 'Z']), min_size=1)
PATH = st.lists(NAME.filter(lambda name: name not in ('.', '..')), max_size=4)


@given(LABEL, PATH, LABEL, PATH)
def test_only_slashes_and_case_of_the_host_are_spelling(
    host: str, path: list[str], other: str, others: list[str]
) -> None:
    one, two = f'{host}:/{"/".join(path)}', f'{other}:/{"/".join(others)}'
    same = host.lower() == other.lower() and path == others
    assert NFS.is_same(one, 'nfs4', two) is same
    assert NFS.is_same(f'{host.upper()}:///{"//".join(path)}//', 'nfs', one)


@given(st.text())
def test_a_file_name_stays_below(name: str) -> None:
    if shares.FILE.why_not(name) is None:
        assert not name.startswith('/')
        assert not {'', '.', '..'} & set(name.split('/'))
        assert '\0' not in name


@pytest.mark.parametrize(
    'name', ['', '/x', '..', '../x', 'a/../b', 'a//b', 'a/', '.', './a', 'a\0', 'a\nb', 'x' * 5000]
)
def test_a_file_name_that_is_none(name: str) -> None:
    assert shares.FILE.why_not(name) is not None


@pytest.mark.parametrize('name', ['volume-1', 'a/b', '..a', 'a..', '-x', 'a b', 'größe', '...'])
def test_a_file_name(name: str) -> None:
    assert shares.FILE.why_not(name) is None


DIGEST = hashlib.md5(b'h:/a').hexdigest()


def test_places() -> None:
    assert shares.digest('h:/a') == DIGEST
    for place in (f'/mnt/{DIGEST}', f'/a b/{DIGEST}/volume-1'):
        assert shares.PLACE.why_not(place) is None
    for place in (
        *(DIGEST, f'/{DIGEST}', '/etc', f'/mnt/../{DIGEST}', f'/mnt/{DIGEST}/..', f'//{DIGEST}'),
        *(f'/mnt/{DIGEST}x', f'/mnt/{DIGEST.upper()}', f'/mnt/{DIGEST}\n', f'mnt/{DIGEST}'),
    ):
        assert shares.PLACE.why_not(place) is not None, place
    assert shares.is_of_another(f'/mnt/{DIGEST}', 'h:/b')
    assert not shares.is_of_another(f'/mnt/{DIGEST}', 'h:/a')
    assert not shares.is_of_another(f'/mnt/{DIGEST}/volume-1', 'h:/a/volume-1')


@pytest.mark.parametrize(
    ('share', 'expected'),
    [
        ('c1', ('c1', (), None)),
        ('c1:s3cret', ('c1', (), 's3cret')),
        ('m1:/c1', ('c1', ('m1',), None)),
        ('m1:2510,10.0.0.2:/c-1:pw:x', ('c-1', ('m1:2510', '10.0.0.2'), 'pw:x')),
    ],
)
def test_virtuozzo(share: str, expected: object) -> None:
    found = shares.virtuozzo(share)
    assert (found.cluster, found.servers, found.password) == expected
    assert 's3cret' not in repr(found)


@pytest.mark.parametrize('share', ['', 'bad name:/x', '-c', 'c1:a b', 'c1\n', ':/c', None])
def test_not_of_virtuozzo(share: object) -> None:
    """A part of it is not taken for the whole, and it is not shown: it may have a password."""
    with pytest.raises(ValueError, match=r'expected') as caught:
        shares.virtuozzo(share)
    assert not share or str(share) not in str(caught.value)
