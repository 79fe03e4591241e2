# SPDX-License-Identifier: Apache-2.0
"""StorPool's configuration: which file and which section counts, and what a bad one says."""

from collections.abc import Iterator
import os
import pathlib
import platform

import pytest

from os_brick import exception
from os_brick.core import files
from os_brick.host import storpool_conf
from os_brick.initiator import storpool_utils
from tests.unit.fakehost import tree as fake_tree

SECRET = '1556129910218014736'
FILE, DIRECTORY = '/etc/storpool.conf', '/etc/storpool.conf.d'


@pytest.fixture
def tree(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_tree.Tree]:
    for name in storpool_utils.ENV_OVERRIDE:
        monkeypatch.delenv(name, raising=False)
    with files.use(str(tmp_path)):
        yield fake_tree.Tree(tmp_path)


def test_what_counts_more(tree: fake_tree.Tree) -> None:
    """A host's section, whichever file it is in, more than what is set for all."""
    tree.file(FILE, 'A=file\nB=file\nC=file\n[h1]\nA=own\nD=own\n[h2]\nA=other\n')
    tree.file(f'{DIRECTORY}/a.conf', 'A=a\nB=a\nC=a\n')
    tree.file(f'{DIRECTORY}/b.conf', 'B=b\n[h1]\nD=b\n')
    assert storpool_conf.read('h1') == {'A': 'own', 'B': 'b', 'C': 'a', 'D': 'b'}
    assert storpool_conf.read('h2') == {'A': 'other', 'B': 'b', 'C': 'a'}
    assert storpool_conf.read('none') == {'A': 'a', 'B': 'b', 'C': 'a'}


def test_files_that_do_not_count(tree: fake_tree.Tree) -> None:
    """Hidden ones, such as an editor's, and those of other endings."""
    tree.file(FILE, 'A=1\n')
    for name in ('.a.conf', 'a.conf.bak', 'a.conf~', 'conf', '.conf'):
        tree.file(f'{DIRECTORY}/{name}', 'A=2\n')
    assert storpool_conf.read('') == {'A': '1'}


@pytest.mark.parametrize(
    ('content', 'why'),
    [
        (f'SP_AUTH_TOKEN={SECRET}\n={SECRET}\n', 'line 2'),
        (f'SP_AUTH_TOKEN={SECRET}\n[{SECRET}\n', 'line 2'),
        (f'SP_AUTH_TOKEN={SECRET}\n'.encode() + b'\xff\xfe', 'UTF-8'),
        (b'#' * (1 << 20) + b'##', 'more than'),
    ],
)
@pytest.mark.parametrize('path', [FILE, f'{DIRECTORY}/x.conf'])
def test_file_that_cannot_be_used(
    tree: fake_tree.Tree, path: str, content: str | bytes, why: str
) -> None:
    tree.file(FILE, 'A=1\n')
    tree.file(path, content)
    with pytest.raises(exception.BrickException, match=why) as caught:
        storpool_conf.read('h1')
    assert path in str(caught.value)
    assert SECRET not in f'{caught.value!r}{caught.value.__cause__!r}'


def test_file_that_is_missing(tree: fake_tree.Tree) -> None:
    with pytest.raises(exception.HostNotReady, match=f'{FILE}, is missing'):
        storpool_conf.read('h1')


@pytest.mark.parametrize('kind', ['directory', 'fifo'])
def test_something_else_than_a_file(tree: fake_tree.Tree, kind: str) -> None:
    tree.directory('/etc')
    if kind == 'fifo':
        os.mkfifo(tree.at(FILE))
    else:
        tree.directory(FILE)
    with pytest.raises(exception.BrickException, match=r'Not a regular file|Is a directory'):
        storpool_conf.read('h1')


def test_get_conf(tree: fake_tree.Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.file(FILE, f'X=%(a)s 100%\nV\nSP_AUTH_TOKEN=1\n[{platform.node()}]\nSP_OURID=5\n')
    known = {'SP_API_HTTP_HOST': '127.0.0.1', 'SP_API_HTTP_PORT': '81', 'SP_AUTH_TOKEN': '1'}
    rest = {'X': '%(a)s 100%', 'V': None}
    assert storpool_utils.get_conf() == {**known, **rest, 'SP_OURID': '5'}
    assert storpool_utils.get_conf(section='other') == {**known, **rest}
    monkeypatch.setenv('SP_API_HTTP_PORT', '8181')
    monkeypatch.setenv('SP_AUTH_TOKEN', '2')
    monkeypatch.setenv('SP_OURID', '9')
    found = storpool_utils.get_conf()
    assert (found['SP_API_HTTP_PORT'], found['SP_AUTH_TOKEN'], found['SP_OURID']) == (
        *('8181', '2'),
        '5',
    )
    assert storpool_utils.get_conf(use_env=False)['SP_API_HTTP_PORT'] == '81'
