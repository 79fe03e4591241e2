# SPDX-License-Identifier: Apache-2.0
"""Arrays by superblock and sysfs: members, and what a device has on it."""

from collections.abc import Iterator
import dataclasses
import pathlib

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.core import wait
from os_brick.host import md
from os_brick.model import md_superblock
from tests.unit.fakehost import mirrors
from tests.unit.fakehost.mirrors import ONE, TWO

UUID = ':'.join(['11' * 4] * 4)
# The first 256 bytes and the roles of an array of mdadm 4.4 on Linux 6.12.107.
RECORDED = bytes.fromhex(
    'fc4e2ba9010000000100000000000000bc2c5400fc4fe0b74fffb18d24e4dca3'
    '616e793a766f6c31000000000000000000000000000000000000000000000000'
    '2c49026b00000000010000000000000000f80100000000000000000002000000'
    '0800000000000000000000000000000000000000000000000000000000000000'
    '000800000000000000f80100000000000800000000000000' + '00' * 16 + '2ab4c6ea44ddb47e'
    'cd6d8b038de1fbde00000800100000002c49026b'
    + '00' * 20
    + 'c9f8e82080000000'
    + '00' * 32
    + '00000100'
    + 'ff' * 252
)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[mirrors.Mirrors]:
    with mirrors.Mirrors(tmp_path) as found:
        found.pair()
        yield found


def deadline() -> wait.Deadline:
    return wait.Deadline.after(60)


def test_fields() -> None:
    found = md_superblock.parse(
        '1.2', mirrors.superblock(events=5, roles=(0, mirrors.MISSING), number=1)
    )
    assert (found.array_uuid, found.name, found.events) == (UUID, 'any:vol1', 5)
    assert (found.level, found.raid_devices, found.role) == (1, 2, None)
    assert md_superblock.parse('1.2', mirrors.superblock(number=1)).role == 1


@pytest.mark.parametrize('at', [16, 32, 200, 300])
def test_a_damaged_superblock_says_nothing(at: int) -> None:
    raw = bytearray(mirrors.superblock())
    raw[at] ^= 1
    found = md_superblock.parse('1.2', bytes(raw))
    assert not found.array_uuid
    assert not found.is_called('vol1')
    assert 'not understood' in str(found)


@given(st.binary(max_size=600), st.integers(0, 2**32 - 1))
def test_any_bytes(data: bytes, count: int) -> None:
    raw = data[:220].ljust(220, b'\0') + count.to_bytes(4, 'little') + data[224:]
    assert not md_superblock.parse('1.2', raw).array_uuid or raw[16:32]
    md_superblock.parse('1.2', data)


@pytest.mark.parametrize(
    ('name', 'alias', 'matches'),
    [
        ('any:vol1', 'vol1', True),
        ('node7:vol1', 'vol1', True),
        ('vol1', 'vol1', True),
        ('a:b', 'a:b', True),
        ('any:a:b', 'a:b', True),
        ('any:vol1', 'vol', False),
        ('any:vol', 'vol1', False),
        ('any:vol10', 'vol1', False),
        ('any:', '', False),
        ('', '', False),
        ('any:vol1', 'any', False),
        ('x' * 31, 'x' * 32, True),
        ('x' * 31, 'x' * 31, True),
        ('x' * 31, 'x' * 30, False),
    ],
)
def test_names(name: str, alias: str, matches: bool) -> None:
    assert md_superblock.parse('1.2', mirrors.superblock(name=name)).is_called(alias) is matches


def test_who_has_given_up_whom() -> None:
    both = [md_superblock.parse('1.2', mirrors.superblock(number=number)) for number in range(2)]
    assert not both[0].has_given_up(both[1])
    alone = dataclasses.replace(both[0], roles=(0, mirrors.MISSING))
    assert alone.has_given_up(both[1])
    assert not both[1].has_given_up(alone)
    assert dataclasses.replace(both[0], roles=(0,)).has_given_up(both[1])
    assert dataclasses.replace(both[0], roles=(0, 0xFFFE)).has_given_up(both[1])


def test_whose_member(host: mirrors.Mirrors) -> None:
    """nvme0n1 is not a member of an array over nvme0n10."""
    host.member('nvme0n10')
    host.array(('nvme0n10',))
    host.tree.link('/sys/class/block/nvme1n1/holders/dm-0', '/sys/block/dm-0')
    assert md.array_over('nvme0n10') == 'md127'
    assert md.array_over(ONE) is None
    assert md.array_over(TWO) is None
    assert md.arrays_over([ONE, 'nvme0n10', TWO, 'nvme0n10']) == ('md127',)


def test_names_and_states(host: mirrors.Mirrors) -> None:
    array = host.array((ONE, TWO))
    assert md.array_named('vol1') == array
    assert md.array_named('vol2') is None
    assert md.paths_of(array) == ('/dev/md/vol1',)
    assert md.is_running(array)
    assert md.uuid(array) == UUID
    host.tree.link('/dev/md/sda', f'/dev/{ONE}')
    assert md.array_named('sda') is None
    host.tree.value('/sys/block/md127/md/array_state', 'clear')
    assert not md.is_running(array)


def test_uuid_of_an_array_that_waits(host: mirrors.Mirrors) -> None:
    array = host.array((ONE,), state='inactive')
    assert not md.is_running(array)
    assert md.uuid(array) == UUID
    host.broken = {ONE}
    assert md.uuid(array) == ''


def test_a_member_whose_device_has_gone(host: mirrors.Mirrors) -> None:
    array = host.array((ONE, TWO))
    host.tree.remove(f'/sys/block/{TWO}')
    one, two = md.members(array)
    assert one.is_usable
    assert not two.is_present
    assert not two.is_usable


@pytest.mark.parametrize(
    ('code', 'answer', 'seen'),
    [
        (0, 'DEVNAME=/dev/x\nTYPE=ext4\nUSAGE=filesystem\n', 'filesystem ext4'),
        (0, 'PTTYPE=gpt\n', 'a partition table (gpt)'),
        (0, 'TYPE=crypto_LUKS\nUSAGE=crypto\n', 'crypto crypto_LUKS'),
        (8, '', 'signature several signatures'),
        (2, '', ''),
    ],
)
def test_signature(host: mirrors.Mirrors, code: int, answer: str, seen: str) -> None:
    host.member('nvme2n1')
    host.blkid['nvme2n1'] = (code, answer)
    assert md.signature('nvme2n1') == seen


def test_signature_that_blkid_does_not_see(host: mirrors.Mirrors) -> None:
    assert UUID in md.signature(ONE)
    host.write(host.member('nvme2n1'), b'database', 8192)
    assert md.signature('nvme2n1') == 'unknown data at byte 8192'
    host.broken = {host.member('nvme3n1')}
    with pytest.raises(OSError, match='Input/output'):
        md.signature('nvme3n1')


def test_recorded() -> None:
    found = md_superblock.parse('1.2', RECORDED)
    assert found.array_uuid == 'bc2c5400:fc4fe0b7:4fffb18d:24e4dca3'
    assert found.device_uuid == '2ab4c6ea:44ddb47e:cd6d8b03:8de1fbde'
    assert (found.name, found.level, found.raid_devices, found.role) == ('any:vol1', 1, 2, 0)
