# SPDX-License-Identifier: Apache-2.0
"""Configuration files with a key: who can read them, and when they go."""

from collections.abc import Iterator
import os
import pathlib
import signal
import stat
import tempfile

import pytest

from os_brick import exception
from os_brick.core import files
from os_brick.host import ceph_conf
from os_brick.model import addresses

SECRET = 'AQAAAAAAAAAAABAAZ2VoZWltIDQ3MTEgaGVyZQ=='
MONITORS = [addresses.Portal('10.0.0.1', 6789), addresses.Portal('fd00::1', 6789)]


@pytest.fixture
def root(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    monkeypatch.setattr(tempfile, 'tempdir', '/tmp')
    (tmp_path / 'tmp').mkdir()
    with files.use(str(tmp_path)):
        yield tmp_path


def test_a_file(root: pathlib.Path) -> None:
    file = ceph_conf.write(MONITORS, 'cinder', 'ceph', SECRET)
    real = root / file.path.lstrip('/')
    assert real.read_text() == (
        f'[global]\nmon_host = 10.0.0.1:6789,[fd00::1]:6789\n[client.cinder]\nkey = {SECRET}\n'
    )
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert stat.S_IMODE(real.parent.stat().st_mode) == 0o700
    file.remove()
    file.remove()
    assert not list((root / 'tmp').iterdir())


def test_without_a_user_there_is_no_key(root: pathlib.Path) -> None:
    file = ceph_conf.write(MONITORS, '', 'ceph', None)
    assert 'client' not in (root / file.path.lstrip('/')).read_text()
    file.remove()


def test_a_key_of_this_host(root: pathlib.Path) -> None:
    with pytest.raises(
        exception.BrickException, match=r'/etc/ceph/gold\.client\.cinder\.keyring: No such file'
    ):
        ceph_conf.write(MONITORS, 'cinder', 'gold', None)
    (root / 'etc/ceph').mkdir(parents=True)
    keyring = root / 'etc/ceph/gold.client.cinder.keyring'
    keyring.write_text('[client.nova]\nkey = x\n')
    with pytest.raises(exception.BrickException, match=r'no key of client\.cinder'):
        ceph_conf.write(MONITORS, 'cinder', 'gold', None)
    assert not list((root / 'tmp').iterdir())
    keyring.write_text(f'[client.cinder]\nkey = {SECRET}\n')
    file = ceph_conf.write(MONITORS, 'cinder', 'gold', None)
    assert SECRET in (root / file.path.lstrip('/')).read_text()
    file.remove()


def test_those_of_killed_processes_go(root: pathlib.Path) -> None:
    """And no other: neither one that is in use, nor what is merely called so."""
    kept = ceph_conf.write(MONITORS, 'cinder', 'ceph', SECRET)
    (root / 'tmp/brickrbd_file').write_text('')
    (root / 'tmp/brickrbd_link').symlink_to('..')
    child = os.fork()
    if child == 0:
        ceph_conf.write(MONITORS, 'cinder', 'ceph', SECRET)
        kept.remove()  # A forked child has no say in what is its parent's.
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(list((root / 'tmp').iterdir())) == 4
    ceph_conf.write(MONITORS, 'cinder', 'ceph', SECRET).remove()
    names = {path.name for path in (root / 'tmp').iterdir()}
    assert names == {kept.path.split('/')[2], 'brickrbd_file', 'brickrbd_link'}
    kept.remove()
