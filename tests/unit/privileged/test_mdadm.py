# SPDX-License-Identifier: Apache-2.0
"""mdadm as root: what it is asked, what it may not be asked, superblocks wherever they lie."""

from collections.abc import Callable, Iterator
import pathlib
from typing import Any

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.core import files
from os_brick.privileged import blkid, mdadm
from tests.unit.fakehost import mirrors
from tests.unit.fakehost.mirrors import ONE, TWO

UUID = ':'.join(['11' * 4] * 4)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[mirrors.Mirrors]:
    with mirrors.Mirrors(tmp_path) as found:
        found.pair()
        yield found


def test_command_lines(host: mirrors.Mirrors) -> None:
    """mdadm's options as the reference uses them, but for --assume-clean and --failfast."""
    for member in (ONE, TWO):
        host.member(member)
    assert mdadm.create('vol1', (ONE, TWO), 9.0)[0] == 0
    assert mdadm.stop('md127', 9.0) == (0, '')
    mdadm.assemble('vol1', ':'.join(['22' * 4] * 4), (ONE,), 9.0)
    mdadm.re_add('md127', TWO, 9.0)
    mdadm.grow('md127', 9.0)
    mdadm.add('md127', TWO, 9.0)
    two = '/dev/nvme1n1'
    assert [line for line in host.started if 'blkid' not in line] == [
        'mdadm --create /dev/md/vol1 --config=none --run --quiet --level=1 --metadata=1.2 '
        f'--name=vol1 --homehost=any --bitmap=internal --raid-devices=2 /dev/nvme0n1 {two}',
        'mdadm --stop /dev/md127',
        'mdadm --assemble /dev/md/vol1 --config=none --homehost=any --run '
        '--uuid=22222222:22222222:22222222:22222222 /dev/nvme0n1',
        f'mdadm /dev/md127 --re-add {two}',
        'mdadm --grow /dev/md127 --size=max',
        f'mdadm /dev/md127 --add {two}',
    ]


def test_what_it_says(host: mirrors.Mirrors) -> None:
    host.array((ONE,))
    host.opened = {'md127'}
    code, said = mdadm.stop('md127', 9.0)
    assert code == 1
    assert 'Device or resource busy' in said


def test_copying_goes_on_after_a_growth_that_fails(host: mirrors.Mirrors) -> None:
    host.array((ONE, TWO))
    host.refuses['--grow'] = 'hangs'
    with pytest.raises(exception.ExecutionTimeout):
        mdadm.grow('md127', 9.0)
    assert files.read('/sys/block/md127/md/sync_action').startswith('idle')


def test_members_are_marked(host: mirrors.Mirrors) -> None:
    host.array((ONE, TWO))
    mdadm.fail('md127', TWO)
    assert files.read('/sys/block/md127/md/dev-nvme1n1/state').startswith('faulty')
    mdadm.drop('md127', TWO)
    host.react()
    assert host.members_of('md127') == [ONE]
    with pytest.raises(FileNotFoundError):
        mdadm.drop('md127', TWO)


def test_not_installed(host: mirrors.Mirrors) -> None:
    host.is_installed = False
    with pytest.raises(processutils.ProcessExecutionError, match="'mdadm'"):
        mdadm.stop('md127', 9.0)


HOSTILE = ['', '-a', '..', '../x', 'a/b', 'a b', 'a\n', 'a..b', 'x' * 65, None, '--stop']
ACTS: list[Callable[[Any], object]] = [
    lambda text: mdadm.create(text, (ONE, TWO), 9.0),
    lambda text: mdadm.create('vol1', (ONE, text), 9.0),
    lambda text: mdadm.assemble(text, UUID, (ONE,), 9.0),
    lambda text: mdadm.assemble('vol1', text, (ONE,), 9.0),
    lambda text: mdadm.assemble('vol1', UUID, (text,), 9.0),
    lambda text: mdadm.stop(text, 9.0),
    lambda text: mdadm.re_add(text, ONE, 9.0),
    lambda text: mdadm.re_add('md127', text, 9.0),
    lambda text: mdadm.add('md127', text, 9.0),
    lambda text: mdadm.fail('md127', text),
    lambda text: mdadm.fail(text, ONE),
    lambda text: mdadm.drop('md127', text),
    lambda text: mdadm.grow(text, 9.0),
    lambda text: mdadm.superblock(text, 9.0),
    lambda text: blkid.probe(text, 9.0),
    lambda text: blkid.first_content(text, 9.0),
]


@pytest.mark.parametrize('act', ACTS)
@pytest.mark.parametrize('text', HOSTILE)
def test_hostile(host: mirrors.Mirrors, act: Callable[[Any], object], text: Any) -> None:
    before = host.tree.snapshot()
    with pytest.raises(exception.InvalidParameterValue):
        act(text)
    assert host.started == []
    assert host.tree.snapshot() == before


@pytest.mark.parametrize('name', ['sda', 'nvme0n1', 'md', 'md12345678', 'mdx'])
def test_only_arrays_are_stopped(host: mirrors.Mirrors, name: str) -> None:
    with pytest.raises(exception.InvalidParameterValue):
        mdadm.stop(name, 9.0)


@pytest.mark.parametrize(
    ('version', 'at'),
    [
        ('1.2', 4096),
        ('1.1', 0),
        # md_p.h and super1.c: 8 to 12 KiB before the end; super0.c: the last 64 KiB but one.
        ('1.0', (8 << 20) - 8192),
        ('0.90', (8 << 20) - 65536),
    ],
)
def test_superblocks_wherever_they_lie(host: mirrors.Mirrors, version: str, at: int) -> None:
    member = host.member('nvme2n1', megabytes=8)
    assert mdadm.superblock(member, 9.0) == ('', b'')
    host.write(member, mirrors.superblock(), at)
    assert mdadm.superblock(member, 9.0) == (version, mirrors.superblock())


def test_a_member_that_cannot_be_read(host: mirrors.Mirrors) -> None:
    host.broken = {ONE}
    for look in (mdadm.superblock, blkid.first_content):
        with pytest.raises(OSError, match='Input/output error'):
            look(ONE, 9.0)


@pytest.mark.parametrize(
    ('at', 'data', 'found'),
    [
        (0, b'', -1),
        (511, b'x', 511),
        ((1 << 20) - 1, b'x', (1 << 20) - 1),
        ((8 << 20) - 1, b'x', (8 << 20) - 1),
        (7 << 20, b'\xff', (7 << 20) + 1),
        (0, b'x', 0),
        (0, b'\xff' * (8 << 20), -1),
        (4 << 20, b'x', -1),
    ],
)
def test_content_at_the_ends(host: mirrors.Mirrors, at: int, data: bytes, found: int) -> None:
    member = host.member('nvme2n1', megabytes=8)
    host.write(member, data, at)
    assert blkid.first_content(member, 9.0) == found


@pytest.mark.parametrize('size', [4096, 8192, (1 << 20) + 4096, (2 << 20) - 512])
def test_content_of_small_devices(host: mirrors.Mirrors, size: int) -> None:
    host.member('nvme2n1')
    host.tree.file('/dev/nvme2n1', bytes(size))
    assert blkid.first_content('nvme2n1', 9.0) == -1
    host.tree.file('/dev/nvme2n1', bytes(size - 1) + b'x')
    assert blkid.first_content('nvme2n1', 9.0) == size - 1


def test_blkid(host: mirrors.Mirrors) -> None:
    assert blkid.probe(ONE, 9.0) == ''
    host.blkid[ONE] = (0, 'DEVNAME=/dev/nvme0n1\nTYPE=ext4\n')
    assert 'TYPE=ext4' in blkid.probe(ONE, 9.0)
    host.blkid[ONE] = (8, '')
    assert 'several' in blkid.probe(ONE, 9.0)
    host.blkid[ONE] = (4, '')
    with pytest.raises(processutils.ProcessExecutionError):
        blkid.probe(ONE, 9.0)


@pytest.mark.parametrize('index', [0, 1])
@pytest.mark.parametrize('kind', ['superblock', 'data', 'end', 'blkid', 'gone', 'no block device'])
def test_nothing_is_made_over_what_is_not_blank_now(
    host: mirrors.Mirrors, kind: str, index: int
) -> None:
    """Whatever the caller has seen before: root looks itself."""
    members = host.member('nvme8n1'), host.member('nvme9n1')
    member = members[index]
    if kind == 'superblock':
        host.write(member, mirrors.superblock(), 4096)
    elif kind == 'data':
        host.write(member, b'x', 900_000)
    elif kind == 'end':
        host.write(member, b'x', (3 << 20) - 1)
    elif kind == 'blkid':
        host.blkid[member] = (0, 'PTTYPE=dos\n')
    elif kind == 'gone':
        host.tree.remove(f'/dev/{member}')
    else:
        host.tree.remove(f'/sys/class/block/{member}')
    with pytest.raises((exception.VolumeIdentityMismatch, OSError), match=member):
        mdadm.create('vol9', members, 9.0)
    assert not [line for line in host.started if line.startswith('mdadm')]


@pytest.mark.parametrize(
    ('block', 'is_taken'),
    [
        (b'', True),
        (mirrors.superblock(number=1), True),
        (mirrors.superblock('33' * 16, number=1), False),
        (b'database', False),
    ],
)
def test_what_is_added_is_blank_or_was_a_member(
    host: mirrors.Mirrors, block: bytes, *, is_taken: bool
) -> None:
    host.array((ONE,))
    host.member(TWO, block)
    if is_taken:
        mdadm.add('md127', TWO, 9.0)
    else:
        with pytest.raises(exception.VolumeIdentityMismatch, match=TWO):
            mdadm.add('md127', TWO, 9.0)
    assert any('--add' in line for line in host.started) is is_taken
