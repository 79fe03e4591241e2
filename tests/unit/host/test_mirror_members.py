# SPDX-License-Identifier: Apache-2.0
"""Which devices are a mirror's members: a table of superblocks."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import mirror_members
from os_brick.model import md_superblock
from tests.unit.fakehost import mirrors

ONE, TWO, THREE = 'nvme0n1', 'nvme1n1', 'nvme2n1'
OTHER = '33' * 16
MISSING = mirrors.MISSING


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[mirrors.Mirrors]:
    with mirrors.Mirrors(tmp_path) as found:
        yield found


def parsed(block: bytes) -> md_superblock.Superblock:
    return md_superblock.parse('1.2', block)


def identify(*blocks: bytes) -> mirror_members.Mirror:
    names = (ONE, TWO, THREE)[: len(blocks)]
    return mirror_members.identify('vol1', dict(zip(names, map(parsed, blocks), strict=True)))


@pytest.mark.parametrize(
    'blocks',
    [
        (mirrors.superblock(),),
        (mirrors.superblock(), mirrors.superblock(number=1)),
        (mirrors.superblock(name='vol1'),),
        (mirrors.superblock(name='somewhere:vol1'),),
        # One was away: the other one has given it up, and it does not know.
        (
            mirrors.superblock(events=90, roles=(0, MISSING)),
            mirrors.superblock(number=1, events=17),
        ),
    ],
    ids=['one', 'two', 'a name without a host', 'made elsewhere', 'one that was away'],
)
def test_members_of_one_mirror(blocks: tuple[bytes, ...]) -> None:
    found = identify(*blocks)
    assert len(found.members) == len(blocks)
    assert str(found) == f'array vol1 ({":".join(["11" * 4] * 4)})'


@pytest.mark.parametrize(
    ('blocks', 'device', 'words'),
    [
        ((mirrors.superblock(name='any:vol2'),), ONE, 'vol2'),
        ((mirrors.superblock(name='vol1:other'),), ONE, 'other'),
        ((mirrors.superblock(level=0),), ONE, 'vol1'),
        # The newest decides whose array it is.
        (
            (mirrors.superblock(events=5), mirrors.superblock(OTHER, number=1, events=9)),
            ONE,
            OTHER[:8],
        ),
        ((mirrors.superblock()[:100],), ONE, 'not understood'),
    ],
    ids=['another name', 'a host of that name', 'not a mirror', 'two arrays', 'damaged'],
)
def test_members_of_something_else(blocks: tuple[bytes, ...], device: str, words: str) -> None:
    with pytest.raises(exception.VolumeIdentityMismatch, match=words) as caught:
        identify(*blocks)
    assert f'/dev/{device}' in str(caught.value)


@pytest.mark.parametrize('third', [False, True])
def test_members_that_were_used_apart(third: bool) -> None:
    """Both have new data: whichever is copied, something is lost."""
    apart = [
        mirrors.superblock(roles=(0, MISSING), events=30),
        mirrors.superblock(number=1, roles=(MISSING, 1), events=40),
    ]
    with pytest.raises(exception.BrickException, match=f'{ONE}.*{TWO}.*(30|40).*Nothing was'):
        identify(*apart, *[mirrors.superblock(number=0, events=17)] * third)


def test_what_can_be_read(host: mirrors.Mirrors) -> None:
    host.member(ONE, mirrors.superblock())
    host.member(TWO)
    host.member(THREE, mirrors.superblock(number=1))
    host.broken = {THREE}
    deadline = wait.Deadline.after(60)
    found = mirror_members.superblocks('vol1', (THREE, TWO, ONE), deadline)
    assert list(found) == [TWO, ONE]
    assert found[TWO] is None
    assert str(found[ONE]).startswith('a member of md array any:vol1')
    with pytest.raises(exception.VolumeDeviceNotFound, match=f'vol1.*{THREE}'):
        mirror_members.superblocks('vol1', (THREE,), deadline)
    with pytest.raises(exception.VolumeDeviceNotFound, match='none is attached'):
        mirror_members.superblocks('vol1', (), deadline)


def test_only_a_blank_device_is_left_out(host: mirrors.Mirrors) -> None:
    """One with something on it is someone's data, and none of the mirror's."""
    host.member(TWO)
    deadline = wait.Deadline.after(60)
    volume = identify(mirrors.superblock())
    assert mirror_members.leave_out(volume, [TWO], deadline) == [TWO]
    host.write(TWO, b'data', at=8192)
    with pytest.raises(exception.VolumeIdentityMismatch, match=f'{TWO}.*data at byte'):
        mirror_members.leave_out(volume, [TWO], deadline)
