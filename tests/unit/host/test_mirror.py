# SPDX-License-Identifier: Apache-2.0
"""A mirror's array: made of blank members, started whatever udev does meanwhile, completed."""

from collections.abc import Iterator
import contextlib
import pathlib

import pytest

from os_brick import exception
from os_brick.core import process, wait
from os_brick.core import undo as core_undo
from os_brick.host import md, md_acts, mirror, mirror_members
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


def running(
    undo: core_undo.Undo, members: tuple[str, ...], before: tuple[str, ...] | None = None
) -> str:
    """The array over members, made if they are blank."""
    deadline = wait.Deadline.after(60)
    found = {member: md.superblock(member) for member in members}
    own = {member: each for member, each in found.items() if each is not None}
    if not own:
        return mirror.make('vol1', members, 2, undo, deadline)
    return mirror.start(mirror_members.identify('vol1', own), undo, deadline, before)


def bring(members: tuple[str, ...] = MEMBERS, before: tuple[str, ...] | None = None) -> str:
    with core_undo.Undo() as undo:
        return running(undo, members, before)


def failing(members: tuple[str, ...] = MEMBERS, before: tuple[str, ...] | None = None) -> None:
    """An attach that fails after the array is there."""
    with contextlib.suppress(ZeroDivisionError), core_undo.Undo() as undo:
        running(undo, members, before)
        raise ZeroDivisionError


def test_made_of_blank_members(host: mirrors.Mirrors) -> None:
    for member in MEMBERS:
        host.member(member)
    assert bring() == 'md127'
    assert md.array_named('vol1') == 'md127'
    # Asked for the error's text, and by root itself before it lets mdadm overwrite them.
    assert host.verbs() == ['-p'] * 4 + ['--create']
    assert '--assume-clean' not in host.started[-1]
    assert not host.flushed


def test_blkid_that_fails_is_no_blank_member(host: mirrors.Mirrors) -> None:
    host.member(ONE)
    host.member(TWO)
    host.blkid[TWO] = (4, '')
    with pytest.raises(Exception, match='blkid'):
        bring()
    assert '--create' not in host.verbs()


def test_mdadm_that_makes_nothing(host: mirrors.Mirrors) -> None:
    for member in MEMBERS:
        host.member(member)
    host.refuses['--create'] = 'cannot open'
    with pytest.raises(exception.BrickException, match=r'vol1.*cannot open'):
        bring()
    host.refuses.clear()
    host.is_installed = False
    with pytest.raises(Exception, match='No such file'):
        bring()


def test_a_new_array_is_stopped_when_the_attach_fails(host: mirrors.Mirrors) -> None:
    for member in MEMBERS:
        host.member(member)
    failing()
    assert not md.arrays_over(MEMBERS)
    assert bring() == 'md127', 'and started by the next one'
    assert host.verbs().count('--create') == 1


def test_the_path_of_another_array_is_not_taken(host: mirrors.Mirrors) -> None:
    for member in MEMBERS:
        host.member(member)
    host.array((host.member('nvme7n1', mirrors.superblock(OTHER)),), uuid=OTHER)
    with pytest.raises(exception.VolumeIdentityMismatch, match='vol1'):
        bring()


@pytest.mark.parametrize('there', [MEMBERS, (ONE,), (TWO,)])
@pytest.mark.usefixtures('members')
def test_started(host: mirrors.Mirrors, there: tuple[str, ...]) -> None:
    assert bring(there) == 'md127'
    assert host.members_of('md127') == list(there)
    assert host.verbs() == ['--assemble']


def test_a_stale_member_is_taken_back(host: mirrors.Mirrors) -> None:
    host.member(ONE, mirrors.superblock(events=30, roles=(0, mirrors.MISSING)))
    host.member(TWO, mirrors.superblock(number=1))
    bring()
    assert host.verbs() == ['--assemble', '--re-add']
    assert host.members_of('md127') == [ONE, TWO]
    md_acts.stop('md127', wait.Deadline.after(60))
    host.refuses['--re-add'] = 'not possible'
    bring()
    assert host.verbs()[-3:] == ['--assemble', '--re-add', '--add']
    md_acts.stop('md127', wait.Deadline.after(60))
    host.refuses['--add'] = 'neither'
    assert bring() == 'md127', 'one member will do'


@pytest.mark.usefixtures('members')
def test_a_member_that_came_back_to_a_running_array(host: mirrors.Mirrors) -> None:
    host.array(MEMBERS)
    host.tree.value(f'/sys/block/md127/md/dev-{TWO}/state', 'faulty')
    assert bring() == 'md127'
    assert host.verbs() == ['--re-add']


@pytest.mark.usefixtures('members')
def test_a_member_that_came_back_under_another_name(host: mirrors.Mirrors) -> None:
    host.array(MEMBERS)
    host.tree.remove(f'/sys/block/{TWO}')
    host.member('nvme5n1', mirrors.superblock(number=1))
    assert bring((ONE, 'nvme5n1')) == 'md127'
    assert host.members_of('md127') == [ONE, 'nvme5n1']


def test_a_member_used_apart_from_what_runs_is_left_out(host: mirrors.Mirrors) -> None:
    host.member(ONE, mirrors.superblock(events=30, roles=(0, mirrors.MISSING)))
    host.member(TWO, mirrors.superblock(events=40, roles=(mirrors.MISSING, 1), number=1))
    host.array((ONE,))
    with pytest.raises(exception.BrickException):
        bring()
    assert not host.started


@pytest.mark.usefixtures('members')
def test_half_assembled_by_udev(host: mirrors.Mirrors) -> None:
    host.array((ONE,), state='inactive')
    host.array((TWO,), array='md126', state='inactive')
    assert bring() == 'md127'
    assert host.members_of('md127') == [ONE, TWO]
    assert host.verbs() == ['--stop', '--stop', '--assemble']


@pytest.mark.usefixtures('members')
def test_udev_is_faster(host: mirrors.Mirrors) -> None:
    """It takes a member just before mdadm, and starts the array just before it is asked again."""
    host.after = [lambda: host.array(MEMBERS, state='inactive')]
    assert bring() == 'md127'
    assert md.is_running('md127')
    assert host.members_of('md127') == [ONE, TWO]


@pytest.mark.usefixtures('members')
def test_running_under_its_name(host: mirrors.Mirrors) -> None:
    host.array(MEMBERS)
    assert bring() == 'md127'
    assert not host.started


@pytest.mark.usefixtures('members')
def test_udev_makes_the_link_late(host: mirrors.Mirrors) -> None:
    host.udev_links = False
    host.array(MEMBERS)
    link = ('/dev/md/vol1', '/dev/md127')
    host.after = [*[lambda: None] * 9, lambda: host.tree.link(*link)]
    assert bring() == 'md127'
    assert not host.started


@pytest.mark.usefixtures('members')
def test_running_under_another_name(host: mirrors.Mirrors) -> None:
    host.array(MEMBERS, 'vol1_0', array='md126')
    assert bring() == 'md127'
    assert host.verbs() == ['--stop', '--assemble']
    md_acts.stop('md127', wait.Deadline.after(60))
    host.array(MEMBERS, 'vol1_0', array='md126')
    host.opened = {'md126'}
    with pytest.raises(exception.VolumeInUse, match='md126'):
        bring()


@pytest.mark.usefixtures('members')
def test_running_twice(host: mirrors.Mirrors) -> None:
    host.array((ONE,))
    host.array((TWO,), 'vol1_0', array='md126')
    with pytest.raises(exception.BrickException, match='more than once'):
        bring()


@pytest.mark.usefixtures('members')
def test_does_not_start(host: mirrors.Mirrors) -> None:
    """Bounded, with what mdadm said, and without hundreds of programs."""
    host.refuses['--assemble'] = 'not enough to start'
    begun = host.clock.now
    with pytest.raises(exception.BrickException, match=r'vol1.*not enough to start'):
        bring()
    assert host.clock.now - begun < 30
    assert len(host.started) < 12


@pytest.mark.usefixtures('members')
def test_an_array_that_cannot_be_read(host: mirrors.Mirrors) -> None:
    host.broken = {'md127'}
    with pytest.raises(exception.VolumeDeviceNotFound, match='md127'):
        bring()
    assert not md.arrays_over(MEMBERS)


@pytest.mark.usefixtures('members')
def test_only_what_this_attach_started_is_stopped(host: mirrors.Mirrors) -> None:
    failing()
    assert not md.arrays_over(MEMBERS)
    host.array(MEMBERS)
    failing()
    failing(before=(ONE,))
    assert md.arrays_over(MEMBERS) == ('md127',), 'it ran before'
    failing(before=())
    assert not md.arrays_over(MEMBERS), 'udev had started it for this attach'


@pytest.mark.usefixtures('members')
def test_a_member_taken_back_is_given_up_when_the_attach_fails(host: mirrors.Mirrors) -> None:
    host.array((ONE,))
    failing()
    host.react()
    assert host.members_of('md127') == [ONE]


@pytest.mark.parametrize('error', [KeyboardInterrupt, process.TimeLimit])
@pytest.mark.usefixtures('members')
def test_a_member_that_mdadm_takes_back_before_it_ends_badly_is_given_up(
    host: mirrors.Mirrors, error: type[BaseException]
) -> None:
    """The service is ended meanwhile, or mdadm hangs after it has done it."""
    host.array((ONE,))
    taken: list[str] = []

    def take(names: tuple[str, ...], options: dict[str, str]) -> tuple[int, str]:
        array, member = names
        host.join(array, member, 'spare')
        taken.append(member)
        raise error

    host._take = take  # type: ignore[method-assign]
    with contextlib.suppress(KeyboardInterrupt):
        failing()
    host.react()
    assert taken == [TWO]
    assert host.members_of('md127') == [ONE]
