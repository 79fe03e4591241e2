# SPDX-License-Identifier: Apache-2.0
"""A namespace as a volume: in use, flushed, gone; never another one than was looked at."""

from collections.abc import Callable

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import block, nvme_volume
from os_brick.model import fabrics
from tests.unit.fakehost import nvme as fake_nvme
from tests.unit.host.one_namespace import Here


def deadline(seconds: float = 5) -> wait.Deadline:
    return wait.Deadline.after(seconds)


def flush(here: Here) -> None:
    nvme_volume.flush(here.head, here.number, here.paths, 5, deadline())


FLUSHES: dict[str, tuple[Callable[[fake_nvme.StrikingFabric, Here], object], bool]] = {
    'as it was': (lambda fabric, here: None, True),
    'one path is lost': (lambda fabric, here: fabric.becomes(here.names[0], 'connecting'), True),
    'another volume by now, behind one path': (
        lambda fabric, here: here.subsystem.namespaces.update({1: fake_nvme.Volume('silver')}),
        False,
    ),
}


@pytest.mark.parametrize('case', FLUSHES)
def test_flushed(fabric: fake_nvme.StrikingFabric, here: Here, case: str) -> None:
    happen, is_flushed = FLUSHES[case]
    happen(fabric, here)
    flush(here)
    assert fabric.flushed == [here.head] * is_flushed


def test_nothing_to_flush_to(fabric: fake_nvme.StrikingFabric, here: Here) -> None:
    for name in here.names:
        fabric.becomes(name, 'connecting')
    with pytest.raises(
        exception.VolumeDeviceNotFound, match='nvme0 is connecting; controller nvme1'
    ):
        flush(here)
    assert not fabric.flushed


def test_the_device_is_another_one_by_now(fabric: fake_nvme.StrikingFabric, here: Here) -> None:
    """Same names, same volume, a later device: what was written to the first one is not in it."""
    fabric.lose(*here.names)
    fabric._heads()
    for each in sorted(here.subsystem.portals):
        fabric.by_hand(here.subsystem, each)
    assert block.exists(here.head)
    with pytest.raises(OSError, match=here.head):
        flush(here)
    assert not fabric.flushed


@pytest.mark.parametrize(
    ('known', 'words'),
    [(None, 'mount on /srv'), ((), ''), (('mount on /gone',), 'mount on /srv')],
    ids=['not looked at', 'idle a moment ago', 'in use a moment ago'],
)
def test_in_use(
    fabric: fake_nvme.StrikingFabric, here: Here, known: tuple[str, ...] | None, words: str
) -> None:
    """A user that has gone meanwhile is no reason; the look is repeated for that."""
    fabric.file(f'/sys/class/block/{here.head}/dev', '259:7')
    fabric.file('/proc/self/mountinfo', '1 1 259:7 / /srv rw - ext4 /dev/x rw\n')
    if not words:
        nvme_volume.refuse_users(here.head, deadline(0.3), known=known)
        return
    with pytest.raises(exception.VolumeInUse, match=words):
        nvme_volume.refuse_users(here.head, deadline(0.3), known=known)


def test_open(fabric: fake_nvme.StrikingFabric, here: Here) -> None:
    nvme_volume.refuse_users(here.head, deadline(0.3))
    fabric.file('/proc/77/comm', 'dd')
    (fabric.root / 'proc/77/fd').mkdir()
    (fabric.root / 'proc/77/fd/3').symlink_to(f'/dev/{here.head}')
    with pytest.raises(exception.VolumeInUse, match=r'process 77 \(dd\)'):
        nvme_volume.refuse_users(here.head, deadline(0.3), known=())


def flush_unused(here: Here, known: tuple[str, ...] | None = None) -> None:
    asked = (here.head, here.number, here.paths)
    nvme_volume.flush_unused(*asked, 5, deadline(0.3), known)


@pytest.mark.parametrize('case', FLUSHES)
def test_idle_and_flushed(fabric: fake_nvme.StrikingFabric, here: Here, case: str) -> None:
    happen, is_flushed = FLUSHES[case]
    happen(fabric, here)
    flush_unused(here, known=())
    assert fabric.flushed == [here.head] * is_flushed


@pytest.mark.parametrize(
    ('known', 'words'),
    [(None, 'mount on /srv'), ((), ''), (('mount on /gone',), 'mount on /srv')],
    ids=['not looked at', 'idle a moment ago', 'in use a moment ago'],
)
@pytest.mark.parametrize('has_path', [True, False])
def test_not_flushed_where_it_is_in_use(
    fabric: fake_nvme.StrikingFabric,
    here: Here,
    known: tuple[str, ...] | None,
    words: str,
    has_path: bool,
) -> None:
    """Nor where no path takes I/O; that it is used is what is told of both."""
    fabric.file(f'/sys/class/block/{here.head}/dev', '259:7')
    fabric.file('/proc/self/mountinfo', '1 1 259:7 / /srv rw - ext4 /dev/x rw\n')
    for name in () if has_path else here.names:
        fabric.becomes(name, 'connecting')
    if words:
        with pytest.raises(exception.VolumeInUse, match=words):
            flush_unused(here, known)
    elif not has_path:
        with pytest.raises(exception.VolumeDeviceNotFound, match='nvme0 is connecting'):
            flush_unused(here, known)
    else:
        flush_unused(here, known)
    assert fabric.flushed == [here.head] * (has_path and not words)


@pytest.mark.parametrize('partition', ['', 'p1'])
def test_not_flushed_where_it_is_open(
    fabric: fake_nvme.StrikingFabric, here: Here, partition: str
) -> None:
    fabric.file(f'/sys/block/{here.head}/{here.head}p1/partition', '1')
    fabric.file('/proc/77/comm', 'dd')
    (fabric.root / 'proc/77/fd').mkdir()
    (fabric.root / 'proc/77/fd/3').symlink_to(f'/dev/{here.head}{partition}')
    with pytest.raises(exception.VolumeInUse, match=r'process 77 \(dd\)'):
        flush_unused(here, known=())
    assert not fabric.flushed
    flush(here)
    assert fabric.flushed == [here.head]


def test_not_flushed_where_it_is_claimed(fabric: fake_nvme.StrikingFabric, here: Here) -> None:
    fabric.claimed.add(here.head)
    with pytest.raises(exception.VolumeInUse, match=f'has claimed {here.head}'):
        flush_unused(here, known=())
    assert not fabric.flushed


def test_controllers_that_do_not_answer_keep_nothing_from_being_flushed(
    fabric: fake_nvme.StrikingFabric, here: Here, caplog: pytest.LogCaptureFixture
) -> None:
    """What the kernel has is all that there is to go by; a number it does not have is said."""
    del here.subsystem.namespaces[1]
    flush_unused(here, known=())
    assert fabric.flushed == [here.head]
    assert caplog.text.count('does not report its identity') == 2


@pytest.mark.parametrize('is_checked', [True, False])
def test_no_node_in_dev(
    fabric: fake_nvme.StrikingFabric, here: Here, caplog: pytest.LogCaptureFixture, is_checked: bool
) -> None:
    (fabric.root / 'dev' / here.head).unlink()
    (flush_unused if is_checked else flush)(here)
    assert f'{here.head} has no node in /dev' in caplog.text


@pytest.mark.parametrize('stays', [True, False])
def test_gone(
    fabric: fake_nvme.StrikingFabric, here: Here, stays: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Another controller's path keeps it, which is not a reason to wait."""
    for name in here.names[: 1 if stays else 2]:
        fabric.delete(name)
    assert block.exists(here.head) is stays
    nvme_volume.wait_gone(here.head, here.number, deadline())
    assert 'still has' not in caplog.text


def test_a_device_that_stays_is_named(
    fabric: fake_nvme.StrikingFabric, here: Here, caplog: pytest.LogCaptureFixture
) -> None:
    """A process has it open: without paths it stays until that ends."""
    head = fabric.root / 'sys/class/block' / here.head
    kept = head.rename(head.with_name('kept'))
    for name in here.names:
        fabric.delete(name)
    kept.rename(head)
    nvme_volume.wait_gone(here.head, here.number, deadline(0.2))
    assert f'still has the device {here.head}' in caplog.text


def test_readable_and_still_the_same(fabric: fake_nvme.StrikingFabric, here: Here) -> None:
    nvme_volume.wait_readable(here.paths[0], deadline())
    here.subsystem.namespaces[1] = fake_nvme.Volume('silver')
    with pytest.raises(exception.VolumeIdentityMismatch):
        nvme_volume.wait_readable(here.paths[0], deadline())


@pytest.mark.parametrize(
    ('happen', 'words'),
    [
        (lambda fabric, head: (fabric.root / 'dev' / head).unlink(), 'node in /dev'),
        (lambda fabric, head: fabric.file(f'/sys/class/block/{head}/size', '0'), 'size 0'),
        (lambda fabric, head: (fabric.root / 'dev' / head).write_bytes(b'x' * 9), '9 of the first'),
        (lambda fabric, head: fabric.lose(*fabric.controllers), 'it has no path'),
    ],
    ids=['no node', 'no capacity', 'a short read', 'no path'],
)
def test_not_readable(
    fabric: fake_nvme.StrikingFabric,
    here: Here,
    happen: Callable[[fake_nvme.StrikingFabric, str], object],
    words: str,
) -> None:
    happen(fabric, here.head)
    path = fabrics.Path(here.paths[0].name, here.paths[0].controller, here.paths[0].identity)
    with pytest.raises(exception.VolumeDeviceNotFound, match=words):
        nvme_volume.wait_readable(path, deadline(0.2))
