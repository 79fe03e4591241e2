# SPDX-License-Identifier: Apache-2.0
"""Files of the host, through a root that a test may set."""

from collections.abc import Iterator
import os
import pathlib

import pytest

from os_brick.core import files


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    (tmp_path / 'etc').mkdir()
    with files.use(str(tmp_path)):
        yield tmp_path


def test_write_needs_a_file_and_never_makes_one(root: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write('/etc/scan', '1')
    assert os.listdir(root / 'etc') == []
    (root / 'etc/scan').write_text('')
    files.write('/etc/scan', '0 0 1')
    assert (root / 'etc/scan').read_text() == '0 0 1'


def test_read(root: pathlib.Path) -> None:
    (root / 'etc/x').write_bytes(b' a\xffb \n')
    assert files.read('/etc/x') == 'a\N{REPLACEMENT CHARACTER}b'
    assert files.read_bytes('/etc/x') == b' a\xffb \n'
    assert files.read_or('/etc/x') == files.read('/etc/x')
    assert files.read_or('/etc/none') == ''
    assert files.read_or('/etc', 'it is a directory') == 'it is a directory'
    with pytest.raises(FileNotFoundError):
        files.read('/etc/none')


def test_paths_are_the_hosts(root: pathlib.Path) -> None:
    (root / 'sys/devices/sda').mkdir(parents=True)
    (root / 'sys/block').mkdir()
    (root / 'sys/block/sda').symlink_to('../devices/sda')
    (root / 'sys/block/gone').symlink_to('../devices/gone')
    assert files.realpath('/sys/block/sda') == '/sys/devices/sda'
    assert files.realpath('/sys/block/none') == '/sys/block/none'
    assert files.readlink('/sys/block/sda') == '../devices/sda'
    assert files.glob('/sys/block/*') == ['/sys/block/gone', '/sys/block/sda']
    assert files.names('/sys/block') == ['gone', 'sda']
    assert files.names('/sys/none') == []
    assert files.exists('/sys/block/sda')
    assert not files.exists('/sys/block/gone')
    assert files.is_link('/sys/block/gone')
    assert files.is_directory('/sys/block/sda')
    assert files.real('/x') == f'{root}/x'


def test_the_root_comes_back(tmp_path: pathlib.Path) -> None:
    with files.use(str(tmp_path)):
        assert files.names('/') == []
    assert files.names('/') == sorted(os.listdir('/'))
    assert files.real('/x') == '/x'
