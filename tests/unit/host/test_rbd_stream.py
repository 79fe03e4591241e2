# SPDX-License-Identifier: Apache-2.0
"""What is asked for ahead and written behind; that it is right is in test_linuxrbd_io."""

import hypothesis
from hypothesis import strategies as st
import pytest

from os_brick.host import rbd_image, rbd_stream
from tests.unit.initiator import fakeceph

UNIT = 16
SIZE = 64 * UNIT
MIB = 1 << 20


@pytest.fixture
def ceph() -> fakeceph.Cluster:
    cluster = fakeceph.Cluster()
    cluster.create('gold', SIZE, UNIT).data[:] = bytes(number % 256 for number in range(SIZE))
    return cluster


def image(ceph: fakeceph.Cluster) -> rbd_image.Image:
    client = fakeceph.Rados(ceph, rados_id='admin', conffile='')
    raw = fakeceph.Image(client.open_ioctx('rbd'), 'gold', None, read_only=False)
    return rbd_image.Image(raw, 'image')


@hypothesis.given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 100))
def test_pieces_cover_a_range_and_cross_no_boundary(start: int, length: int, unit: int) -> None:
    found = list(rbd_stream.pieces(start, start + length, unit))
    assert [each for begin, stop in found for each in range(begin, stop)] == list(
        range(start, start + length)
    )
    assert all(begin // unit == (stop - 1) // unit for begin, stop in found)


@pytest.mark.parametrize(
    ('object_bytes', 'unit', 'window'),
    [
        (4096, 4096, 32768),
        (MIB, MIB, 8 * MIB),
        (4 * MIB, 4 * MIB, 32 * MIB),
        (8 * MIB, 8 * MIB, 32 * MIB),
        (32 * MIB, 8 * MIB, 32 * MIB),
        (3 * 64 * MIB, 6 * MIB, 30 * MIB),
    ],
)
def test_the_window_is_bounded_for_each_size_of_objects(
    object_bytes: int, unit: int, window: int
) -> None:
    assert rbd_stream.unit_of(object_bytes) == unit
    assert rbd_stream.window_of(unit, 8) == window


def test_reading_ahead_doubles_and_ends_at_the_window(ceph: fakeceph.Cluster) -> None:
    reader = rbd_stream.Reader(image(ceph), UNIT)
    ahead = []
    for number in range(12):
        data = b''.join(reader.read(number * UNIT, (number + 1) * UNIT, SIZE))
        assert data == bytes((number * UNIT + each) % 256 for each in range(UNIT))
        begun = sum(call[0] == 'read' for call in ceph.calls) + len(ceph.images[0].begun)
        ahead.append(begun - number - 1)
    assert ahead == [0, 1, 2, 4, 4, 4, 4, 4, 4, 4, 4, 4]


def test_jumping_about_leaves_a_bounded_number_of_requests(ceph: fakeceph.Cluster) -> None:
    reader = rbd_stream.Reader(image(ceph), UNIT)
    for start in range(0, SIZE - 20 * UNIT, 8):
        for number in range(4):
            reader.read(start + number * 4, start + number * 4 + 4, SIZE)
        reader.read(start + 3, start + 4, SIZE)
    assert ceph.most <= rbd_stream.MOST_READS + 3


def test_writes_for_the_same_bytes_are_not_under_way_at_once(ceph: fakeceph.Cluster) -> None:
    opened = image(ceph)
    writer = rbd_stream.Writer(opened, UNIT)
    for letter in b'abcdefgh':
        writer.write(bytes([letter]) * UNIT, 0)
        writer.write(bytes([letter]) * UNIT, 3 * UNIT)
        assert len(opened.raw.begun) <= 2
    writer.flush()
    assert opened.raw.data[:UNIT] == opened.raw.data[3 * UNIT : 4 * UNIT] == b'h' * UNIT


def test_a_writer_is_clean_until_it_has_taken_something(ceph: fakeceph.Cluster) -> None:
    writer = rbd_stream.Writer(image(ceph), UNIT)
    assert writer.is_clean
    writer.write(b'a', 0)
    assert not writer.is_clean
    writer.settle()
    assert not writer.is_clean, 'written, and not yet safe'
    writer.flush()
    assert writer.is_clean


def test_small_writes_are_gathered_until_an_object_is_whole(ceph: fakeceph.Cluster) -> None:
    opened = image(ceph)
    writer = rbd_stream.Writer(opened, UNIT)
    for start in range(5, 3 * UNIT):
        writer.write(b'z', start)
    assert len(opened.raw.begun) == 3
    writer.flush()
    writes = sorted(call for call in ceph.calls if call[0] == 'write')
    assert writes == [('write', 5, UNIT - 5), ('write', UNIT, UNIT), ('write', 2 * UNIT, UNIT)]
