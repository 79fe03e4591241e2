# SPDX-License-Identifier: Apache-2.0
"""Which errors of a look say that nothing is there."""

import errno
import os
import pathlib
from typing import Any

import pytest

from os_brick.core import files, glance

LOOKS = ('open', 'scandir', 'stat', 'lstat')
UNKNOWN = (errno.EIO, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ESTALE, errno.EMFILE)
NOTHING: dict[Any, Any] = {
    files.read_or: '',
    files.names: [],
    files.exists: False,
    files.is_directory: False,
    files.is_link: False,
    files.inode: 0,
    files.link_mark: '',
}


def _failing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(path: Any, *args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number), path)

    for name in LOOKS:
        monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize('ask', NOTHING)
@pytest.mark.parametrize('number', UNKNOWN)
def test_what_cannot_be_read_is_an_error_that_names_it(
    ask: Any, number: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    with files.use(str(tmp_path)):
        _failing(monkeypatch, number)
        with pytest.raises(OSError, match='/sys/block/sda') as caught:
            ask('/sys/block/sda')
        assert caught.value.errno == number


@pytest.mark.parametrize('ask', NOTHING)
@pytest.mark.parametrize('number', [errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO])
def test_what_has_gone_is_nothing(
    ask: Any, number: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with files.use(str(tmp_path)):
        _failing(monkeypatch, number)
        assert ask('/sys/block/sda') == NOTHING[ask]


@pytest.mark.parametrize('ask', NOTHING)
def test_what_is_closed_to_an_ordinary_user_is_nothing_to_it(
    ask: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    with files.use(str(tmp_path)):
        _failing(monkeypatch, errno.EACCES)
        assert ask('/etc/ceph/ceph.conf') == NOTHING[ask]


@pytest.mark.parametrize('number', [errno.EINVAL, errno.ENOTCONN, errno.EBUSY, errno.EOPNOTSUPP])
def test_a_live_device_may_have_no_value(
    number: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with files.use(str(tmp_path)):
        _failing(monkeypatch, number)
        assert files.read_or('/sys/block/sda/device/wwid', 'none') == 'none'
        with pytest.raises(OSError, match='/sys/block/sda'):
            files.names('/sys/block/sda/holders')


@pytest.mark.parametrize('ask', [glance.read_or, glance.names, glance.exists, glance.inode])
def test_who_only_looks_passes_over_what_is_closed(
    ask: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with files.use(str(tmp_path)):
        _failing(monkeypatch, errno.EACCES)
        assert not ask('/etc/iscsi/nodes')


def test_a_link_that_cannot_be_followed_has_no_other_name(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'dev').mkdir()
    with files.use(str(tmp_path)):
        _failing(monkeypatch, errno.EIO)
        with pytest.raises(OSError, match='/dev/disk/by-id/scsi-1'):
            files.realpath('/dev/disk/by-id/scsi-1')
