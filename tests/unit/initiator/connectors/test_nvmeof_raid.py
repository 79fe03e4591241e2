# SPDX-License-Identifier: Apache-2.0
"""Mirrors of attached members: made, started, completed, ended; nothing by guess."""

from collections.abc import Callable, Iterator
import json
import pathlib
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import observe, teardown, wait
from os_brick.core import undo as core_undo
from os_brick.host import md, mirror_undo, nvme_removal, nvme_survey
from os_brick.initiator.connectors import nvmeof_raid
from os_brick.plans import mirror as mirror_plans
from os_brick.plans import nvme_removal as plans
from tests.unit import planned
from tests.unit.fakehost import mirrors
from tests.unit.fakehost.mirrors import MEMBERS, ONE, TWO

OTHER = '33' * 16


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[mirrors.Mirrors]:
    with mirrors.Mirrors(tmp_path) as found:
        yield found


@pytest.fixture
def members(host: mirrors.Mirrors) -> None:
    """Both members of the array vol1."""
    host.pair()


def bring(
    members: tuple[str, ...] = MEMBERS, alias: str = 'vol1', before: tuple[str, ...] | None = None
) -> str:
    with core_undo.Undo() as undo:
        deadline = wait.Deadline.after(60)
        return nvmeof_raid.bring(alias, members, 2, undo, deadline, attached_before=before)


def single(member: str, alias: str | None) -> str:
    with core_undo.Undo() as undo:
        return nvmeof_raid.single(member, alias, undo, wait.Deadline.after(60))


def end(array: str, *, force: bool = False) -> None:
    steps = teardown.Teardown(teardown.OnError.of(force, False))
    removal = plans.plan((), nvme_survey.array(array))
    nvme_removal.run(removal, steps, wait.Deadline.after(60), force=force)
    steps.end()


@pytest.mark.parametrize(
    'alias', [None, '', '../etc', 'a/b', '-a', '.', 'a..b', 'x' * 65, 'a\n', 7]
)
def test_alias(host: mirrors.Mirrors, alias: str) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='alias'):
        nvmeof_raid.require_alias(alias)
    with pytest.raises(exception.InvalidParameterValue, match='alias'):
        bring(alias=alias)
    assert nvmeof_raid.require_alias('vol-1:a.b_c') == 'vol-1:a.b_c'


# A new array.


@pytest.mark.parametrize('kind', ['ext4', 'unknown', 'end', 'unreadable', 'held', 'old metadata'])
def test_never_made_of_a_member_with_something_on_it(host: mirrors.Mirrors, kind: str) -> None:
    host.member(ONE)
    host.member(TWO)
    error: type[Exception] = exception.VolumeIdentityMismatch
    if kind == 'ext4':
        host.blkid[TWO] = (0, 'TYPE=ext4\nUSAGE=filesystem\n')
    elif kind == 'unknown':
        host.write(TWO, b'x', 700)
    elif kind == 'end':
        host.write(TWO, b'x', (3 << 20) - 1)
    elif kind == 'old metadata':
        host.write(TWO, mirrors.superblock(), (3 << 20) - 65536)
    elif kind == 'held':
        host.tree.value('/sys/class/block/dm-0/dm/uuid', 'LVM-x')
        host.tree.link(f'/sys/class/block/{TWO}/holders/dm-0', '/sys/class/block/dm-0')
        error = exception.VolumeInUse
    else:
        host.broken = {TWO}
        error = exception.VolumeDeviceNotFound
    seen = host.tree.snapshot()
    with pytest.raises(error, match='vol1' if kind == 'unreadable' else TWO):
        bring()
    assert host.tree.snapshot() == seen
    assert '--create' not in host.verbs()


def test_too_few_members_for_a_new_array(host: mirrors.Mirrors) -> None:
    host.member(ONE)
    with pytest.raises(exception.VolumeDeviceNotFound, match=r'vol1.*1 of 2'):
        bring((ONE,))
    with pytest.raises(exception.VolumeDeviceNotFound, match='vol1'):
        bring(())


# Started.


@pytest.mark.usefixtures('members')
def test_a_member_that_cannot_be_read_is_left_out(host: mirrors.Mirrors) -> None:
    host.broken = {ONE}
    assert bring() == 'md127'
    assert host.members_of('md127') == [TWO]
    end('md127')
    host.broken = {ONE, TWO}
    with pytest.raises(exception.VolumeDeviceNotFound, match=r'vol1.*Input/output'):
        bring()


def test_members_used_apart(host: mirrors.Mirrors) -> None:
    host.member(ONE, mirrors.superblock(events=30, roles=(0, mirrors.MISSING)))
    host.member(TWO, mirrors.superblock(events=40, roles=(mirrors.MISSING, 1), number=1))
    seen = host.tree.snapshot()
    with pytest.raises(exception.BrickException, match=r'nvme0n1 and nvme1n1.*without the other'):
        bring()
    assert host.tree.snapshot() == seen
    assert not host.started


@pytest.mark.parametrize(
    ('block', 'what'),
    [
        (mirrors.superblock(OTHER, number=1), OTHER[:8]),
        (mirrors.superblock(name='any:vol2', number=1), 'vol2'),
        (mirrors.superblock(level=5, number=1), 'vol1'),
        (mirrors.superblock().replace(b'vol1', b'vol2'), 'not understood'),
    ],
)
def test_a_member_of_another_array(host: mirrors.Mirrors, block: bytes, what: str) -> None:
    host.member(ONE, mirrors.superblock(events=20))
    host.member(TWO, block)
    seen = host.tree.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch, match=TWO) as caught:
        bring()
    assert what in str(caught.value)
    assert host.tree.snapshot() == seen
    assert not host.started


def test_a_member_without_a_superblock_beside_one_with(host: mirrors.Mirrors) -> None:
    host.member(ONE, mirrors.superblock())
    host.member(TWO)
    bring()
    assert host.members_of('md127') == [ONE]
    end('md127')
    host.write(TWO, b'database')
    with pytest.raises(exception.VolumeIdentityMismatch, match=TWO):
        bring()


def written_down(course: Callable[[core_undo.Undo], object]) -> list[Any]:
    """The undo steps of an attach whose process has ended before it ran them."""
    undo = core_undo.Undo()
    course(undo)
    return json.loads(json.dumps(undo.steps()))  # type: ignore[no-any-return]


@pytest.mark.parametrize('case', ['new', 'started', 'by udev', 'completed', 'members'])
def test_another_process_takes_back_what_an_attach_has_done(
    host: mirrors.Mirrors, case: str
) -> None:
    """By what was written down; nothing of the process that attached is needed."""
    for number, member in enumerate(MEMBERS):
        host.member(member, b'' if case == 'new' else mirrors.superblock(number=number))
    if case == 'completed':
        host.array((ONE,))
    before: tuple[str, ...] | None = None

    def course(undo: core_undo.Undo) -> None:
        nonlocal before
        if case == 'members':
            undo.add(mirror_undo.stop_auto_assembled, mirror_undo.numbered(MEMBERS), 9.0)
        if case in ('by udev', 'members'):
            host.array(MEMBERS)
            before = ()
        nvmeof_raid.bring('vol1', MEMBERS, 2, undo, wait.Deadline.after(60), attached_before=before)

    steps = written_down(course)
    assert md.arrays_over(MEMBERS) == ('md127',)
    assert {step['verb'] for step in steps} <= core_undo.verbs()
    assert core_undo.replay(steps) == []
    host.react()
    if case == 'completed':
        assert host.members_of('md127') == [ONE], 'it ran before'
    else:
        assert not md.arrays_over(MEMBERS)


@pytest.mark.parametrize('case', ['new', 'started', 'completed'])
def test_what_is_taken_back_late_is_not_another_volumes(host: mirrors.Mirrors, case: str) -> None:
    """The names of the members, and of the array, are another volume's by then."""
    for number, member in enumerate(MEMBERS):
        host.member(member, b'' if case == 'new' else mirrors.superblock(number=number))
    if case == 'completed':
        host.array((ONE,))
    deadline = wait.Deadline.after(60)
    steps = written_down(lambda undo: nvmeof_raid.bring('vol1', MEMBERS, 2, undo, deadline))
    host.remove('md127')
    for member in MEMBERS:
        # The kernel gives no number of a directory twice; a file system does.
        host.tree.at(f'/sys/class/block/{member}').rename(host.tree.at(f'/sys/{member}'))
        host.member(member, mirrors.superblock('55' * 16, 'any:vol5'))
    host.array(MEMBERS, 'vol5', uuid='55' * 16)
    assert core_undo.replay(steps) == []
    host.react()
    assert host.members_of('md127') == list(MEMBERS)
    assert md.is_running('md127')


# One replica.


def test_single(host: mirrors.Mirrors) -> None:
    host.member(ONE)
    assert single(ONE, 'vol1') == ONE
    assert single(ONE, None) == ONE
    assert not host.started
    host.write(ONE, mirrors.superblock(), 4096)
    assert single(ONE, 'vol1') == 'md127'
    assert single(ONE, None) == 'md127'
    assert host.verbs() == ['--assemble']


@pytest.mark.parametrize('name', ['any:vol2', 'vol2', 'x' * 31])
def test_single_of_another_array(host: mirrors.Mirrors, name: str) -> None:
    host.member(ONE, mirrors.superblock(name=name))
    with pytest.raises(exception.VolumeIdentityMismatch, match=ONE):
        single(ONE, 'vol1')


@pytest.mark.parametrize('alias', ['vol1', None])
def test_an_array_inside_the_volume_is_content(host: mirrors.Mirrors, alias: str | None) -> None:
    host.member(ONE, mirrors.superblock(name='guest:0'))
    assert single(ONE, alias) == ONE
    host.member(ONE)
    host.write(ONE, b'\xfc\x4e\x2b\xa9', (3 << 20) - 65536)
    assert single(ONE, alias) == ONE


def test_single_that_cannot_be_read(host: mirrors.Mirrors) -> None:
    host.broken = {host.member(ONE)}
    with pytest.raises(exception.VolumeDeviceNotFound, match=ONE):
        single(ONE, None)


# Which array it is, and its end.


@pytest.mark.usefixtures('members')
def test_array_of(host: mirrors.Mirrors) -> None:
    assert nvmeof_raid.array_of('vol1', MEMBERS) is None
    host.array((ONE,))
    for members in (MEMBERS, (ONE,), (TWO,)):
        assert nvmeof_raid.array_of('vol1', members) == 'md127'
    assert nvmeof_raid.array_of('vol2', MEMBERS) is None
    assert nvmeof_raid.array_of('../md127', ()) is None
    foreign = host.member('nvme9n1', mirrors.superblock(OTHER))
    assert nvmeof_raid.array_of('vol1', (foreign,)) is None
    assert nvmeof_raid.array_of('vol1', (host.member('nvme8n1'),)) is None


@pytest.mark.parametrize(
    ('member', 'array', 'is_own'),
    [
        (mirrors.superblock(), '11' * 16, True),
        (mirrors.superblock(name='vol1'), '11' * 16, True),
        # Made by a guest, or by an operator on this very device.
        (mirrors.superblock(name='guest:data'), '11' * 16, False),
        (mirrors.superblock(), '33' * 16, False),
        (b'', '11' * 16, False),
        (None, '11' * 16, False),
    ],
    ids=['made here', 'long name', 'made elsewhere', 'another one', 'no superblock', 'unreadable'],
)
def test_array_of_a_volume_whose_alias_is_not_known(
    host: mirrors.Mirrors, member: bytes | None, array: str, is_own: bool
) -> None:
    """The member itself says so; another array over it is one of its users."""
    host.member(ONE, member or b'')
    host.broken = {ONE} if member is None else set()
    host.array((ONE,), uuid=array)
    assert nvmeof_raid.array_of(None, (ONE,)) == ('md127' if is_own else None)


@pytest.mark.usefixtures('members')
def test_array_by_its_name_alone(host: mirrors.Mirrors) -> None:
    """Only where its members have gone: any other one is someone else's, of the same name."""
    host.array((ONE,))
    assert nvmeof_raid.array_of('vol1', ()) is None
    host.tree.remove(f'/sys/class/block/{ONE}')
    assert nvmeof_raid.array_of('vol1', ()) == 'md127'


@pytest.mark.usefixtures('members')
def test_array_of_an_array_without_a_link(host: mirrors.Mirrors) -> None:
    host.array((ONE,), state='inactive')
    assert nvmeof_raid.array_of('vol1', MEMBERS) == 'md127'
    assert nvmeof_raid.array_of('vol2', MEMBERS) is None
    host.broken = {ONE, TWO}
    assert nvmeof_raid.array_of('vol1', MEMBERS) == 'md127'


@pytest.mark.usefixtures('members')
def test_ended(host: mirrors.Mirrors) -> None:
    host.array(MEMBERS)
    end('md127')
    assert host.flushed == ['md127']
    assert not md.arrays_over(MEMBERS)
    assert not host.tree.at('/dev/md/vol1').is_symlink()


@pytest.mark.usefixtures('members')
def test_in_use(host: mirrors.Mirrors) -> None:
    host.array(MEMBERS)
    host.tree.file('/proc/self/mountinfo', '1 1 9:127 / /mnt rw - ext4 /dev/md127 rw\n')
    with pytest.raises(exception.VolumeInUse, match='/mnt'):
        end('md127')
    assert not host.flushed
    assert not host.started
    host.opened = {'md127'}
    with pytest.raises(exception.ExceptionChainer, match='/mnt'):
        end('md127', force=True)
    assert md.is_running('md127')


@pytest.mark.usefixtures('members')
def test_data_that_cannot_be_written_keeps_the_array(host: mirrors.Mirrors) -> None:
    host.array(MEMBERS)
    host.broken = {'md127'}
    with pytest.raises(OSError, match='Input/output'):
        end('md127')
    assert md.is_running('md127')
    with pytest.raises(exception.ExceptionChainer):
        end('md127', force=True)
    assert not md.arrays_over(MEMBERS)


@pytest.mark.usefixtures('members')
def test_all_members_have_gone(host: mirrors.Mirrors) -> None:
    host.array(MEMBERS)
    for member in MEMBERS:
        host.tree.remove(f'/sys/block/{member}')
    host.broken = {'md127'}
    end('md127')
    assert not md.is_array('md127')


@pytest.mark.parametrize('is_made', [True, False])
def test_the_steps_are_told_by_the_verbs_of_the_plan(
    host: mirrors.Mirrors, members: None, *, is_made: bool
) -> None:
    if not is_made:
        for member in MEMBERS:
            host.member(member)

    def run() -> None:
        with observe.told(observe.Course('attach', 'vol1')):
            bring()

    last = mirror_plans.Verb.RUN if is_made else mirror_plans.Verb.MAKE
    assert planned.steps_of(run) == [mirror_plans.Verb.READ_MEMBERS, last]
