# SPDX-License-Identifier: Apache-2.0
"""Acts on arrays: stopped, completed, grown; only those that are meant, and with mdadm's words."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick import exception
from os_brick.core import files, wait
from os_brick.host import md, md_acts
from tests.unit.fakehost import mirrors
from tests.unit.fakehost.mirrors import ONE, TWO

UUID = ':'.join(['11' * 4] * 4)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[mirrors.Mirrors]:
    with mirrors.Mirrors(tmp_path) as found:
        found.pair()
        yield found


def deadline() -> wait.Deadline:
    return wait.Deadline.after(60)


def test_stopped(host: mirrors.Mirrors) -> None:
    array = host.array((ONE, TWO))
    md_acts.stop(array, deadline())
    md_acts.stop(array, deadline())
    assert host.started == ['mdadm --stop /dev/md127']
    assert not files.is_link('/dev/md/vol1')


def test_another_array_of_that_name_is_not_stopped(host: mirrors.Mirrors) -> None:
    """The one that is meant has gone, and its name was given again."""
    array = host.array((ONE, TWO))
    md_acts.stop(array, deadline(), uuid_meant='22222222:22222222:22222222:22222222')
    assert md.is_running(array)
    assert not host.started
    md_acts.stop(array, deadline(), uuid_meant=md.uuid(array))
    assert not md.is_array(array)


def test_not_stopped(host: mirrors.Mirrors) -> None:
    array = host.array((ONE, TWO))
    host.opened = {array}
    with pytest.raises(exception.VolumeInUse, match='open'):
        md_acts.stop(array, deadline())
    host.refuses['--stop'] = 'Fail to write'
    host.opened = set()
    with pytest.raises(exception.BrickException, match='Fail to write'):
        md_acts.stop(array, deadline())
    host.refuses['--stop'] = 'hangs'
    with pytest.raises(exception.BrickException, match=r'md127.*Killed'):
        md_acts.stop(array, deadline())
    assert md.is_running(array)


def test_links_that_stay_are_an_error(host: mirrors.Mirrors) -> None:
    array = host.array((ONE, TWO))
    host.udev_links = False
    with pytest.raises(exception.OperationTimedOut, match='/dev/md/vol1'):
        md_acts.stop(array, deadline())


def test_what_udev_begins_anew_is_stopped(host: mirrors.Mirrors) -> None:
    array = host.array((ONE, TWO))
    host.tree.file('/run/udev/queue')

    def happens() -> None:
        host.array((ONE,), state='inactive')
        host.tree.remove('/run/udev/queue')

    host.after = [lambda: None, happens]
    md_acts.stop(array, deadline())
    assert not md.arrays_over([ONE, TWO])


@pytest.mark.parametrize(
    ('over', 'going', 'is_left'),
    [((ONE,), {ONE}, False), ((ONE, TWO), {ONE, TWO}, False), ((ONE, TWO), {TWO}, True)],
)
def test_what_udev_makes_of_members_that_go(
    host: mirrors.Mirrors, over: tuple[str, ...], going: set[str], is_left: bool
) -> None:
    """An array of theirs alone is stopped, when udev is done; one with another member stays."""
    host.tree.file('/run/udev/queue')

    def happens() -> None:
        host.array(over)
        host.tree.remove('/run/udev/queue')

    host.after = [lambda: None, happens]
    md_acts.stop_auto_assembled(going, deadline())
    assert bool(md.arrays_over([ONE, TWO])) is is_left


def test_no_mdadm(host: mirrors.Mirrors) -> None:
    array = host.array((ONE, TWO))
    blank = (host.member('nvme8n1'), host.member('nvme9n1'))
    host.is_installed = False
    for act in (
        lambda: md_acts.stop(array, deadline()),
        lambda: md_acts.assemble('vol1', UUID, (ONE,), 9.0),
        lambda: md_acts.create('vol1', blank, 9.0),
        lambda: md_acts.take_back(array, ONE, 9.0),
        lambda: md_acts.grow(array, deadline()),
    ):
        with pytest.raises(exception.BrickException, match=r"No such file.*'mdadm'"):
            act()


def test_taken_back_as_a_whole(host: mirrors.Mirrors) -> None:
    array = host.array((ONE,))
    host.refuses['--re-add'] = 'not possible'
    md_acts.take_back(array, TWO, 9.0)
    assert host.members_of(array) == [ONE, TWO]
    host.refuses['--add'] = 'neither'
    with pytest.raises(exception.BrickException, match=r'nvme1n1.*neither'):
        md_acts.take_back(array, TWO, 9.0)


@pytest.mark.parametrize('now', ['blank', 'another array'])
def test_only_a_member_is_taken_back(host: mirrors.Mirrors, now: str) -> None:
    """It was one when it was looked at, and is another device by now: nothing is written to it."""
    array = host.array((ONE,))
    other = b'' if now == 'blank' else mirrors.superblock('22' * 16)
    host.write(host.member(TWO), other.ljust(4096, b'\0'), 4096)
    before = host.raw(TWO)
    with pytest.raises(exception.VolumeIdentityMismatch, match=f'{TWO}.*member of array'):
        md_acts.take_back(array, TWO, 9.0)
    assert host.members_of(array) == [ONE]
    assert host.raw(TWO) == before


def test_dropped(host: mirrors.Mirrors) -> None:
    array = host.array((ONE, TWO))
    md_acts.drop(array, md.members(array)[1], deadline())
    assert host.members_of(array) == [ONE]
    md_acts.drop(array, md.Member('nvme9n1', frozenset(), is_present=True), deadline())


def test_grown(host: mirrors.Mirrors) -> None:
    array = host.array((ONE, TWO))
    host.tree.value(f'/sys/class/block/{ONE}/size', 40960)
    host.tree.value(f'/sys/class/block/{TWO}/size', 32768)
    assert md_acts.grow(array, deadline()) == (32768 - 2048) * 512


@pytest.mark.parametrize('left', [16384, 0])
def test_an_array_is_not_cut(host: mirrors.Mirrors, left: int) -> None:
    """A member has become smaller, or shows no size."""
    array = host.array((ONE, TWO))
    host.tree.value(f'/sys/class/block/{ONE}/size', 40960)
    host.tree.value(f'/sys/class/block/{TWO}/size', left)
    host.tree.value(f'/sys/block/{array}/md/component_size', (40960 - 2048) // 2)
    size = (40960 - 2048) * 512
    with pytest.raises(
        exception.BrickException, match=f'{size} bytes.*{max(left - 2048, 0) * 512}'
    ):
        md_acts.grow(array, deadline())
    assert not host.started


def test_not_grown(host: mirrors.Mirrors, monkeypatch: pytest.MonkeyPatch) -> None:
    array = host.array((ONE, TWO))
    monkeypatch.setattr(host, 'resize', lambda array: None)
    for member in (ONE, TWO):
        host.tree.value(f'/sys/class/block/{member}/size', 40960)
    with pytest.raises(exception.BrickException, match='md127 has'):
        md_acts.grow(array, deadline())
    host.refuses['--grow'] = 'no'
    with pytest.raises(exception.BrickException, match=r'did not grow.*no'):
        md_acts.grow(array, deadline())
