# SPDX-License-Identifier: Apache-2.0
"""An open RBD image and requests to it."""

import errno
from typing import Any
from unittest import mock

import pytest

from os_brick.host import rbd_image
from tests.unit.initiator import fakeceph


@pytest.fixture
def ceph() -> fakeceph.Cluster:
    cluster = fakeceph.Cluster()
    cluster.create('gold', 100, 16).data[:] = bytes(range(100))
    return cluster


def raw(ceph: fakeceph.Cluster, *, read_only: bool = False) -> fakeceph.Image:
    client = fakeceph.Rados(ceph, rados_id='admin', conffile='')
    return fakeceph.Image(client.open_ioctx('rbd'), 'gold', None, read_only=read_only)


def test_requests_have_their_results(ceph: fakeceph.Cluster) -> None:
    image = rbd_image.Image(raw(ceph), 'image rbd/gold')
    assert image.object_bytes == 16
    writing = image.write(b'abc', 3)
    reading = image.read(20, 25)
    assert not writing.is_done
    assert not reading.is_done
    assert writing.result() == b''
    assert reading.result() == bytes(range(20, 25))
    assert writing.is_done
    assert reading.is_done
    assert (writing.start, writing.end, reading.start, reading.end) == (3, 6, 20, 25)
    assert image.read(0, 8).result() == b'\0\1\2abc\6\7'


@pytest.mark.parametrize('number', [errno.EIO, errno.ETIMEDOUT, errno.ENOSPC])
def test_a_failed_request_says_which(ceph: fakeceph.Cluster, number: int) -> None:
    ceph.fail = lambda _what, _offset: number
    image = rbd_image.Image(raw(ceph), 'image rbd/gold')
    with pytest.raises(OSError, match='read of 5 bytes at 7 of image rbd/gold') as caught:
        image.read(7, 12).result()
    assert caught.value.errno == number
    with pytest.raises(OSError, match='write of 2 bytes at 7 of image rbd/gold'):
        image.write(b'ab', 7).result()


def test_a_write_to_a_read_only_image_fails(ceph: fakeceph.Cluster) -> None:
    image = rbd_image.Image(raw(ceph, read_only=True), 'image rbd/gold')
    with pytest.raises(OSError, match=f'Errno {errno.EROFS}'):
        image.write(b'ab', 7).result()


def test_the_size_is_asked_for_again_behind_the_end(ceph: fakeceph.Cluster) -> None:
    opened = raw(ceph)
    image = rbd_image.Image(opened, 'image')
    assert image.size_for(50) == 100
    opened.data.extend(bytes(20))
    assert image.size_for(100) == 100
    assert image.size_for(101) == 120
    image.resize(60)
    assert image.size_for(50) == 60


def test_errors_of_the_bindings_become_those_of_python() -> None:
    def raises(error: Exception) -> Any:
        return mock.Mock(side_effect=error)

    with pytest.raises(TimeoutError):
        rbd_image.asked(raises(fakeceph.RbdError('text', errno.ETIMEDOUT)))
    closed = fakeceph.InvalidArgument('RBD invalid argument (image is closed)')
    with pytest.raises(OSError, match='closed') as caught:
        rbd_image.asked(raises(closed))
    assert caught.value.errno == errno.EBADF
    assert rbd_image.is_closed(caught.value)
    assert caught.value.__cause__ is closed
    with pytest.raises(OSError, match='odd'):
        rbd_image.asked(raises(fakeceph.RbdError('odd')))
    with pytest.raises(KeyError):
        rbd_image.asked(raises(KeyError('not of the bindings')))


@pytest.mark.parametrize(
    'stat', [mock.Mock(), mock.Mock(return_value={}), mock.Mock(return_value={'obj_size': '4'})]
)
def test_one_that_tells_no_object_size_is_called_directly(stat: Any) -> None:
    opened = mock.Mock(stat=stat)
    opened.read.return_value = b'data'
    image = rbd_image.Image(opened, 'image')
    assert image.object_bytes is None
    assert image.read(3, 7).result() == b'data'
    opened.read.assert_called_once_with(3, 4)
    assert image.write(b'ab', 9).is_done
    opened.write.assert_called_once_with(b'ab', 9)
