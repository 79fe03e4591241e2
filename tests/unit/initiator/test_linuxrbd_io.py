# SPDX-License-Identifier: Apache-2.0
"""An RBD image as a file: what io promises, and what is under way behind it."""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import errno
import gc
import io
import logging
import os
import sys
import threading
from typing import Any
from unittest import mock
import warnings

import hypothesis
from hypothesis import strategies as st
import pytest

from os_brick import opts
from os_brick.core import clock, wait
from os_brick.host import rbd_stream
from os_brick.initiator import linuxrbd
from tests import breadth
from tests.unit.initiator import fakeceph, forked

OBJECT = 64
IMAGE = 16 * OBJECT + 10
PATTERN = bytes(number * 7 % 251 for number in range(IMAGE))


@pytest.fixture
def ceph() -> Iterator[fakeceph.Cluster]:
    cluster = fakeceph.Cluster()
    cluster.create('gold', IMAGE, OBJECT).data[:] = PATTERN
    yield cluster
    gc.collect()
    cluster.assert_closed()


def opened(ceph: fakeceph.Cluster, name: str = 'gold', **more: Any) -> linuxrbd.RBDVolumeIOWrapper:
    client = linuxrbd.RBDClient('cinder', 'rbd', conffile='/c', rados=ceph.rados, rbd=ceph.rbd)
    volume = linuxrbd.RBDVolume(client, name, **more)
    meta = linuxrbd.RBDImageMetadata(volume, 'rbd', 'cinder', '/c')
    return linuxrbd.RBDVolumeIOWrapper(meta)


def content(ceph: fakeceph.Cluster) -> bytes:
    return bytes(ceph.pools['rbd', '']['gold'].data)


# What io promises


def test_it_is_a_whole_raw_io_object(ceph: fakeceph.Cluster) -> None:
    with opened(ceph) as file:
        assert isinstance(file, io.RawIOBase)
        assert (file.readable(), file.writable(), file.seekable()) == (True, True, True)
        with pytest.raises(io.UnsupportedOperation):
            file.fileno()
        assert (file.rbd_user, file.rbd_pool, file.rbd_conf) == ('cinder', 'rbd', '/c')
        assert file.rbd_image.name == 'gold'
    assert file.closed
    file.close()


def test_each_call_on_a_closed_one_says_so(ceph: fakeceph.Cluster) -> None:
    file = opened(ceph)
    file.close()
    calls: list[Any] = [file.read, file.readall, file.tell, file.flush, file.truncate]
    calls += [lambda: file.write(b'x'), lambda: file.seek(0), lambda: file.readinto(bytearray(1))]
    calls += [file.readable, file.writable, file.seekable, file.__enter__]
    for call in calls:
        with pytest.raises(ValueError, match='closed'):
            call()
    assert file.rbd_pool == 'rbd'


@pytest.mark.parametrize('buffer', [7, OBJECT, 4096])
def test_the_buffered_classes_of_python_work_on_it(ceph: fakeceph.Cluster, buffer: int) -> None:
    with io.BufferedRandom(opened(ceph), buffer) as file:
        assert file.read(5) == PATTERN[:5]
        file.seek(100)
        file.write(b'hello')
        assert file.tell() == 105
        assert file.read(3) == PATTERN[105:108]
        file.seek(-4, os.SEEK_END)
        assert file.read() == PATTERN[-4:]
    assert content(ceph) == PATTERN[:100] + b'hello' + PATTERN[105:]


@pytest.mark.parametrize(
    ('offset', 'whence', 'found'),
    [(5, 0, 5), (-3, 1, 7), (0, 1, 10), (0, 2, IMAGE), (-1, 2, IMAGE - 1), (9, 2, IMAGE + 9)],
)
def test_seek_returns_where_it_is(
    ceph: fakeceph.Cluster, offset: int, whence: int, found: int
) -> None:
    with opened(ceph) as file:
        file.seek(10)
        assert file.seek(offset, whence) == found == file.tell()


@pytest.mark.parametrize(('offset', 'whence'), [(-1, 0), (-11, 1), (-IMAGE - 1, 2), (0, 3)])
def test_a_bad_seek_is_an_os_error_and_stays(
    ceph: fakeceph.Cluster, offset: int, whence: int
) -> None:
    with opened(ceph) as file:
        file.seek(10)
        with pytest.raises(OSError, match=f'Errno {errno.EINVAL}'):
            file.seek(offset, whence)
        assert file.tell() == 10


@pytest.mark.parametrize('length', [None, -1, IMAGE, 10 * IMAGE])
def test_read_without_a_length_reads_all(ceph: fakeceph.Cluster, length: int | None) -> None:
    with opened(ceph) as file:
        assert file.read(length) == PATTERN
        assert file.tell() == IMAGE
        assert file.read() == file.read(1) == b''
        file.seek(IMAGE + 5)
        assert file.read(1) == b''


@pytest.mark.parametrize('data', [b'abc', bytearray(b'abc'), memoryview(b'abc')])
def test_it_takes_any_buffer_and_returns_its_length(ceph: fakeceph.Cluster, data: Any) -> None:
    with opened(ceph) as file:
        assert file.write(data) == 3
        assert file.tell() == 3
    assert content(ceph) == b'abc' + PATTERN[3:]


def test_a_buffer_of_the_caller_may_change_after_the_write(ceph: fakeceph.Cluster) -> None:
    buffer = bytearray(b'a' * OBJECT)
    with opened(ceph) as file:
        for letter in b'bcd':
            file.write(buffer)
            buffer[:] = bytes([letter]) * OBJECT
    assert content(ceph)[: 3 * OBJECT] == b'a' * OBJECT + b'b' * OBJECT + b'c' * OBJECT


@pytest.mark.parametrize(('offset', 'length'), [(IMAGE - 3, 4), (IMAGE, 1), (IMAGE + 5, 1)])
def test_a_write_behind_the_end_writes_nothing(
    ceph: fakeceph.Cluster, offset: int, length: int
) -> None:
    """librbd cuts such a write and reports it as done."""
    with opened(ceph) as file:
        file.seek(offset)
        with pytest.raises(OSError, match=f'Errno {errno.ENOSPC}.*ends before byte'):
            file.write(b'x' * length)
        assert file.tell() == offset
        assert file.write(b'') == 0
    assert content(ceph) == PATTERN


def test_it_grows_with_the_image(ceph: fakeceph.Cluster) -> None:
    """glance extends the volume while it writes it, and cinder resizes by the image."""
    with opened(ceph) as file:
        file.seek(0, os.SEEK_END)
        with pytest.raises(OSError, match='ends before byte'):
            file.write(b'more')
        file.rbd_image.resize(IMAGE + 4)
        assert file.write(b'more') == 4
        file.seek(-4, os.SEEK_END)
        assert file.read() == b'more'


@pytest.mark.parametrize('size', [0, 5, IMAGE, IMAGE + 100])
def test_truncate_resizes_the_image(ceph: fakeceph.Cluster, size: int) -> None:
    with opened(ceph) as file:
        file.write(b'begun')
        assert file.truncate(size) == size
        assert file.tell() == 5
        assert file.seek(0, os.SEEK_END) == size
        file.seek(0)
        expected = (b'begun' + PATTERN[5:]).ljust(size, b'\0')[:size]
        assert file.read() == expected
        file.seek(min(3, size))
        assert file.truncate() == min(3, size) == len(content(ceph))
        with pytest.raises(OSError, match='not a size'):
            file.truncate(-1)


def test_an_image_that_is_read_only_says_so_at_once(ceph: fakeceph.Cluster) -> None:
    with opened(ceph, read_only=True) as file:
        assert not file.writable()
        with pytest.raises(io.UnsupportedOperation):
            file.write(b'x')
        with pytest.raises(io.UnsupportedOperation):
            file.truncate(1)
        file.flush()
        assert file.readall() == PATTERN


OPERATIONS = st.one_of(
    st.tuples(st.just('read'), st.integers(-1, 5 * OBJECT)),
    st.tuples(st.just('readinto'), st.integers(0, 3 * OBJECT)),
    st.tuples(st.just('write'), st.binary(max_size=5 * OBJECT)),
    st.tuples(st.just('seek'), st.integers(0, IMAGE + 5)),
    st.tuples(st.just('end'), st.integers(-IMAGE, 5)),
    st.tuples(st.sampled_from(['flush', 'image']), st.just(0)),
    st.tuples(st.just('truncate'), st.integers(0, 20 * OBJECT)),
)


def _read_into(file: Any, length: int) -> bytes:
    buffer = bytearray(length)
    return bytes(buffer[: file.readinto(buffer)])


def _write(file: Any, model: io.BytesIO, data: bytes) -> None:
    if data and model.tell() + len(data) > len(model.getvalue()):
        with pytest.raises(OSError, match='ends before byte'):
            file.write(data)
    else:
        assert file.write(data) == model.write(data)


def _seek_from_end(file: Any, model: io.BytesIO, offset: int) -> None:
    where = max(0, len(model.getvalue()) + offset)
    assert file.seek(where - len(model.getvalue()), os.SEEK_END) == model.seek(where)


def _truncate(file: Any, model: io.BytesIO, size: int) -> None:
    file.truncate(size)
    model.truncate(size)
    with model.getbuffer() as held:
        missing = size - len(held)
    position = model.tell()
    model.seek(0, os.SEEK_END)
    model.write(bytes(missing))
    model.seek(position)


def _same_image(file: Any, model: io.BytesIO, _word: object) -> None:
    assert bytes(file.rbd_image.data) == model.getvalue()


def _same_read(file: Any, model: io.BytesIO, length: int) -> None:
    assert file.read(length) == model.read(length)


def _same_read_into(file: Any, model: io.BytesIO, length: int) -> None:
    assert _read_into(file, length) == _read_into(model, length)


def _same_seek(file: Any, model: io.BytesIO, offset: int) -> None:
    assert file.seek(offset) == model.seek(offset)


ACTS: dict[str, Any] = {
    'read': _same_read,
    'readinto': _same_read_into,
    'write': _write,
    'seek': _same_seek,
    'end': _seek_from_end,
    'truncate': _truncate,
    'flush': lambda file, _model, _word: file.flush(),
    'image': _same_image,
}


@hypothesis.settings(max_examples=breadth.examples(300, 3000), deadline=None)
@hypothesis.given(st.lists(OPERATIONS, max_size=25), st.integers(0, 1 << 30))
def test_it_behaves_as_a_file_whatever_is_under_way(
    operations: list[tuple[str, Any]], seed: int
) -> None:
    """Requests end in any order; a read sees each write before it."""
    ceph = fakeceph.Cluster(seed)
    ceph.create('gold', IMAGE, OBJECT).data[:] = PATTERN
    model = io.BytesIO(PATTERN)
    with opened(ceph) as file:
        for what, word in operations:
            ACTS[what](file, model, word)
            assert file.tell() == model.tell()
    assert content(ceph) == model.getvalue()
    # What is read ahead, besides what one call asks for.
    assert ceph.most_bytes <= (rbd_stream.MOST_WRITES + 22) * OBJECT
    ceph.assert_closed()


@pytest.mark.parametrize('buffered', [False, True])
@pytest.mark.parametrize(('offset', 'length'), [(0, 8), (IMAGE - 3, 8), (IMAGE, 8), (IMAGE + 9, 1)])
def test_a_read_at_an_offset_leaves_the_position(
    ceph: fakeceph.Cluster, buffered: bool, offset: int, length: int
) -> None:
    with opened(ceph) as file:
        if buffered:
            assert file.read(5) == PATTERN[:5]
            assert file.read(5) == PATTERN[5:10]
        file.write(b'new')
        where = file.tell()
        expected = PATTERN[: where - 3] + b'new' + PATTERN[where:]
        assert file.read_at(offset, length) == expected[offset : offset + length]
        assert file.tell() == where
        assert file.read() == PATTERN[where:]


# Requests that are under way


@pytest.mark.parametrize('chunk', [7, 24, OBJECT, 100])
def test_a_stream_in_is_written_object_by_object(ceph: fakeceph.Cluster, chunk: int) -> None:
    data = PATTERN[::-1]
    with opened(ceph) as file:
        for start in range(0, IMAGE, chunk):
            file.write(data[start : start + chunk])
    assert content(ceph) == data
    writes = sorted((start, size) for what, start, size in ceph.calls if what == 'write')
    assert writes == [(start, min(OBJECT, IMAGE - start)) for start in range(0, IMAGE, OBJECT)]
    assert ceph.most == rbd_stream.MOST_WRITES


@pytest.mark.parametrize('chunk', [7, 24, OBJECT, 100])
def test_a_stream_out_is_read_ahead(ceph: fakeceph.Cluster, chunk: int) -> None:
    with opened(ceph) as file:
        assert b''.join(iter(lambda: file.read(chunk), b'')) == PATTERN
    assert 4 <= ceph.most <= rbd_stream.MOST_READS + 2
    read = sum(size for what, _start, size in ceph.calls if what == 'read')
    assert read == IMAGE, 'each byte is read once'


def test_a_single_read_asks_for_no_more(ceph: fakeceph.Cluster) -> None:
    """Headers are looked at in a few bytes at a few places."""
    with opened(ceph) as file:
        for start in (0, 500, 100):
            file.seek(start)
            assert file.read(4) == PATTERN[start : start + 4]
    assert [call for call in ceph.calls if call[0] == 'read'] == [
        ('read', 0, 4),
        ('read', 500, 4),
        ('read', 100, 4),
    ]


def test_a_large_read_is_one_request(ceph: fakeceph.Cluster) -> None:
    with opened(ceph) as file:
        data = file.read(12 * OBJECT)
    assert data == PATTERN[: 12 * OBJECT]
    assert ceph.calls[0] == ('read', 0, 12 * OBJECT)


@pytest.mark.parametrize('last', ['write', 'flush', 'close', 'truncate'])
@pytest.mark.parametrize('failing', [0, 3, 15])
def test_a_write_that_fails_behind_is_raised_by_what_follows(
    ceph: fakeceph.Cluster, last: str, failing: int
) -> None:
    ceph.fail = lambda what, offset: (
        errno.EIO if (what, offset) == ('write', failing * OBJECT) else 0
    )
    file = opened(ceph)
    calls: dict[str, Any] = {
        'write': lambda: [file.seek(0), file.write(b'x' * OBJECT), file.seek(0), file.write(b'y')],
        'flush': file.flush,
        'close': file.close,
        'truncate': lambda: file.truncate(OBJECT),
    }

    def play() -> None:
        for start in range(0, 16 * OBJECT, OBJECT):
            file.write(PATTERN[start : start + OBJECT])
        calls[last]()
        file.close()

    with pytest.raises(OSError, match=f'write of 64 bytes at {failing * OBJECT} of image rbd/gold'):
        play()
    with contextlib.suppress(OSError):
        file.close()
    ceph.assert_closed()


def test_each_failed_write_is_raised_once(ceph: fakeceph.Cluster) -> None:
    failing = True
    ceph.fail = lambda what, _offset: errno.ENOSPC if what == 'write' and failing else 0
    with opened(ceph) as file:
        file.write(b'a' * OBJECT)
        with pytest.raises(OSError, match=f'Errno {errno.ENOSPC}'):
            file.flush()
        failing = False
        file.seek(0)
        file.write(b'b' * OBJECT)
        file.flush()
    assert content(ceph)[:OBJECT] == b'b' * OBJECT


def test_a_failed_flush_closes_the_image_all_the_same(ceph: fakeceph.Cluster) -> None:
    file = opened(ceph)
    file.write(b'data')
    ceph.fail = lambda what, _offset: errno.ETIMEDOUT if what == 'flush' else 0
    with pytest.raises(TimeoutError):
        file.close()
    assert file.closed
    ceph.assert_closed()


def test_a_failed_flush_and_a_failed_close_are_both_told(
    ceph: fakeceph.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    file = opened(ceph)
    file.write(b'data')
    ceph.fail = lambda what, _offset: {'flush': errno.EIO, 'close': errno.ETIMEDOUT}.get(what, 0)
    with pytest.raises(OSError, match='flushing'):
        file.close()
    assert 'closing it has failed, too: ' in caplog.text
    ceph.assert_closed()


def test_a_write_into_an_image_made_smaller_meanwhile_is_told(ceph: fakeceph.Cluster) -> None:
    """librbd reports a write that it has cut as done."""
    file = opened(ceph)
    file.seek(IMAGE - 8)
    file.write(b'x' * 8)
    del ceph.pools['rbd', '']['gold'].data[IMAGE - 4 :]
    with pytest.raises(OSError, match=f'Errno {errno.ENOSPC}'):
        file.close()


def test_a_read_that_fails_stays_where_it_is_and_can_be_tried_again(
    ceph: fakeceph.Cluster,
) -> None:
    failing = True
    ceph.fail = lambda what, offset: (
        errno.ETIMEDOUT if what == 'read' and failing and offset >= 5 * OBJECT else 0
    )
    with opened(ceph) as file:
        found = file.read(4 * OBJECT) + file.read(OBJECT)
        with pytest.raises(TimeoutError, match=f'at {5 * OBJECT} of image rbd/gold'):
            file.read(OBJECT)
        assert file.tell() == 5 * OBJECT
        failing = False
        assert found + file.read() == PATTERN


@pytest.mark.parametrize('left', [0, 10, OBJECT + 3])
def test_an_image_made_smaller_ends_where_it_ends_now(ceph: fakeceph.Cluster, left: int) -> None:
    with opened(ceph) as file:
        assert file.read(10) == PATTERN[:10]
        del ceph.pools['rbd', '']['gold'].data[left:]
        assert file.read(10 * OBJECT) == PATTERN[10:left]
        assert file.read(1) == b''


def test_a_read_sees_what_another_client_has_written_when_it_comes_back(
    ceph: fakeceph.Cluster,
) -> None:
    with opened(ceph) as file:
        file.read(8)
        file.read(8)
        ceph.pools['rbd', '']['gold'].data[0:4] = b'news'
        file.seek(0)
        assert file.read(4) == b'news'


def test_what_was_read_ahead_is_dropped_by_a_write(ceph: fakeceph.Cluster) -> None:
    with opened(ceph) as file:
        for _number in range(3):
            file.read(OBJECT)
        ceph.images[0].do_until(None)  # what is under way arrives before the write
        file.write(b'newer')
        file.seek(3 * OBJECT)
        assert file.read(7) == b'newer' + PATTERN[3 * OBJECT + 5 : 3 * OBJECT + 7]
        file.truncate(3 * OBJECT + 7)
        assert file.read(1) == b''


# How it is closed


def test_an_image_closed_by_its_holder_is_no_error_if_nothing_was_written(
    ceph: fakeceph.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    file = opened(ceph)
    file.read(3)
    file.rbd_image.close()
    file.close()
    assert 'was closed before this file' in caplog.text


def test_an_image_closed_before_what_was_written_is_an_error(ceph: fakeceph.Cluster) -> None:
    file = opened(ceph)
    volume = file.rbd_image
    file.write(b'lost')
    volume.close()
    with pytest.raises(OSError, match='image is closed'):
        file.close()


def test_the_holder_finds_what_was_written_in_the_image(ceph: fakeceph.Cluster) -> None:
    with opened(ceph) as file:
        file.write(b'seen')
        assert hasattr(file, 'rbd_image')
        assert bytes(file.rbd_image.data[:4]) == b'seen'


def test_one_that_is_dropped_is_written_and_closed(
    ceph: fakeceph.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    files = [opened(ceph)]
    files[0].write(b'kept')
    with pytest.warns(ResourceWarning, match='unclosed <RBDVolumeIOWrapper image rbd/gold>'):
        files.clear()
    assert content(ceph)[:4] == b'kept'
    ceph.assert_closed()

    files = [opened(ceph)]
    files[0].write(b'lost')
    ceph.fail = lambda what, _offset: errno.EIO if what == 'write' else 0
    caplog.set_level(logging.ERROR)
    with pytest.warns(ResourceWarning):
        files.clear()
    assert 'image rbd/gold was not closed; what was written last may be lost' in caplog.text


@pytest.mark.parametrize('use', ['nothing', 'read', 'seek', 'flush'])
@pytest.mark.parametrize('is_closed_first', [False, True])
def test_one_to_which_nothing_was_written_asks_nothing_when_it_closes(
    ceph: fakeceph.Cluster, use: str, is_closed_first: bool
) -> None:
    """The cluster may not answer by then, and the holder of the image may have closed it."""
    client = linuxrbd.RBDClient('cinder', 'rbd', conffile='/c', rados=ceph.rados, rbd=ceph.rbd)
    volume = linuxrbd.RBDVolume(client, 'gold')
    file = linuxrbd.RBDVolumeIOWrapper(linuxrbd.RBDImageMetadata(volume, 'rbd', 'cinder', '/c'))
    calls: dict[str, Any] = {
        'nothing': lambda: None,
        'read': lambda: file.read(3),
        'seek': lambda: file.seek(0, os.SEEK_END),
        'flush': file.flush,
    }
    calls[use]()
    if is_closed_first:
        volume.close()

    def times_out(*_args: object) -> None:
        raise fakeceph.RbdError('timed out', errno.ETIMEDOUT)

    for each in ('stat', 'size', 'flush', 'aio_read', 'aio_write'):
        setattr(volume.image, each, times_out)
    file.close()
    assert file.closed


def test_a_flush_that_has_failed_is_tried_again(ceph: fakeceph.Cluster) -> None:
    """librbd keeps what it could not write; a second flush that asks nothing would be a lie."""
    file = opened(ceph)
    file.write(b'data')
    ceph.fail = lambda what, _offset: errno.ETIMEDOUT if what == 'flush' else 0
    for call in (file.flush, file.flush, file.close):
        with pytest.raises(TimeoutError):
            call()


def test_what_the_holder_writes_is_flushed(ceph: fakeceph.Cluster) -> None:
    file = opened(ceph)
    file.rbd_image.aio_write(b'mine', 0, lambda _completion: None)
    ceph.fail = lambda what, _offset: errno.EIO if what == 'flush' else 0
    with pytest.raises(OSError, match='flushing'):
        file.close()
    assert content(ceph)[:4] == b'mine'


@pytest.mark.native
def test_threads_that_close_it_at_once_close_it_once(ceph: fakeceph.Cluster) -> None:
    """The connection ends after the image has been closed, and none of them gets an error."""
    file = opened(ceph)
    file.write(b'kept')
    ceph.close_takes = lambda: clock.sleep(0.2)
    barrier = threading.Barrier(4)
    errors: list[BaseException] = []

    def close() -> None:
        barrier.wait(30)
        try:
            file.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=close) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert content(ceph)[:4] == b'kept'
    assert [call for call in ceph.calls if call[0] == 'flush'] == [('flush', 0, 0)]


@pytest.mark.native
def test_what_a_thread_writes_while_another_closes_is_written_or_refused(
    ceph: fakeceph.Cluster,
) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _number in range(5):
            _write_and_close(ceph)
    finally:
        sys.setswitchinterval(interval)


def _write_and_close(ceph: fakeceph.Cluster) -> None:
    ceph.pools['rbd', '']['gold'].data[:] = bytes(IMAGE)
    file = opened(ceph)
    taken: list[int] = []

    def write() -> None:
        with contextlib.suppress(ValueError):
            for _byte in range(IMAGE):
                file.write(b'x')
                taken.append(1)

    thread = threading.Thread(target=write)
    thread.start()
    file.close()
    thread.join()
    assert content(ceph).count(b'x') == len(taken)


@contextlib.contextmanager
def _another_thread_in_a_call(ceph: fakeceph.Cluster, file: Any) -> Iterator[None]:
    # Lists: an event of eventlet's works in one operating system thread.
    inside: list[bool] = []
    goes_on: list[bool] = []

    def waits(what: str, _offset: int) -> int:
        if what == 'read':
            inside.append(True)
            assert wait.holds(lambda: bool(goes_on), wait.Deadline.after(30))
            assert not ceph.images[0].is_closed
        return 0

    ceph.fail = waits
    thread = threading.Thread(target=file.read, args=(3,))
    thread.start()
    assert wait.holds(lambda: bool(inside), wait.Deadline.after(30))
    try:
        yield
    finally:
        goes_on.append(True)
        thread.join()


@pytest.mark.native
def test_it_stays_open_while_another_thread_is_in_a_call(
    ceph: fakeceph.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """librbd crashes if an image is closed under a call."""
    short = dataclasses.replace(opts.current(), operation_seconds=0.05)
    monkeypatch.setattr(opts, 'current', lambda: short)
    file = opened(ceph)
    with _another_thread_in_a_call(ceph, file):
        with pytest.raises(TimeoutError, match='image rbd/gold is in use by another thread'):
            file.close()
        assert not file.closed
    file.close()


def _closes(file: Any) -> None:
    file.close()
    assert file.closed
    file.close()


def _drops(file: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        file.__del__()


def _ends_block(file: Any) -> None:
    with file:
        pass


def _uses(file: Any) -> None:
    calls: list[Any] = [file.read, file.flush, file.truncate, lambda: file.rbd_image.size()]
    calls += [
        lambda: file.write(b'x'),
        lambda: file.seek(0, 2),
        lambda: file.readinto(bytearray(1)),
    ]
    for call in calls:
        with pytest.raises(OSError, match='was opened before this process was forked'):
            call()


def _drops_buffered(file: Any) -> None:
    with contextlib.suppress(OSError):
        io.BufferedRandom(file).close()


@pytest.mark.parametrize('act', [_closes, _drops, _ends_block, _uses, _drops_buffered])
@pytest.mark.parametrize('is_busy', [False, True])
@pytest.mark.native
def test_a_forked_process_leaves_it_to_the_one_that_has_opened_it(
    ceph: fakeceph.Cluster, act: Callable[[Any], None], is_busy: bool
) -> None:
    """librbd's threads are not in it: a call would never return, or write the data again."""
    file = opened(ceph)
    file.write(b'once')
    image = ceph.images[0]

    def child() -> None:
        def never(*_args: object) -> None:
            raise AssertionError('librbd is called')

        for each in ('close', 'flush', 'stat', 'size', 'aio_read', 'aio_write'):
            setattr(image, each, never)
        act(file)
        assert not image.client.is_shut_down

    # A thread that is not in the forked process has the turn.
    with _another_thread_in_a_call(ceph, file) if is_busy else contextlib.nullcontext():
        assert forked.status(child) == 0
    file.close()
    assert content(ceph)[:4] == b'once'


@pytest.mark.parametrize('buffer', [b'abc', memoryview(b'abc'), memoryview(bytearray(6))[::2]])
def test_a_buffer_that_cannot_be_filled_moves_nothing(ceph: fakeceph.Cluster, buffer: Any) -> None:
    with opened(ceph) as file:
        file.seek(7)
        with pytest.raises(TypeError):
            file.readinto(buffer)
        assert file.tell() == 7
        assert ceph.calls == []
        assert file.read(3) == PATTERN[7:10]


@pytest.mark.parametrize('size', [2**63, 2**64, 2**70])
def test_a_size_that_no_image_has_is_an_os_error(ceph: fakeceph.Cluster, size: int) -> None:
    with opened(ceph) as file:
        with pytest.raises(OSError, match=f'Errno {errno.EFBIG}'):
            file.truncate(size)
        file.seek(size)
        with pytest.raises(OSError, match=f'Errno {errno.EFBIG}'):
            file.truncate()
        assert file.read(1) == b''
    assert content(ceph) == PATTERN


def test_threads_take_turns(ceph: fakeceph.Cluster) -> None:
    parts: list[bytes] = []
    with opened(ceph) as file:

        def take() -> None:
            while part := file.read(9):
                parts.append(part)

        threads = [threading.Thread(target=take) for _number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(b''.join(parts)) == sorted(PATTERN)
    assert all(part in PATTERN for part in parts)


# What cinder's tests, and others, hand in


def test_an_object_with_read_write_and_size_is_enough() -> None:
    data = bytearray(PATTERN)
    image = mock.Mock()
    image.size.return_value = IMAGE
    image.read.side_effect = lambda offset, length: bytes(data[offset : offset + length])

    def write(part: bytes, offset: int) -> None:
        data[offset : offset + len(part)] = part

    image.write.side_effect = write
    meta = linuxrbd.RBDImageMetadata(image, 'pool', 'user', 'conf')
    file = linuxrbd.RBDVolumeIOWrapper(meta)
    assert file.read(10) == PATTERN[:10]
    file.write(b'now')
    assert data[10:13] == b'now', 'at once: there is nothing to wait for'
    image.flush.assert_not_called()
    file.flush()
    image.flush.assert_called_once_with()
    file.close()
    image.close.assert_called_once_with()
    assert file.rbd_image is image


def test_errors_of_such_an_object_are_its_own() -> None:
    image = mock.Mock(spec=['read', 'write', 'size', 'flush', 'close'])
    image.size.return_value = 5
    image.read.side_effect = KeyError('odd')
    file = linuxrbd.RBDVolumeIOWrapper(linuxrbd.RBDImageMetadata(image, '', '', ''))
    with pytest.raises(KeyError):
        file.read(3)
    assert file.tell() == 0
    file.close()
