# SPDX-License-Identifier: Apache-2.0
"""Names of our links: those of older releases are read as ever, and none is ambiguous."""

from collections.abc import Iterator
import os
import pathlib
import tempfile
import threading

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.core import clock, files, undo
from os_brick.host import links


@pytest.mark.parametrize(
    ('device', 'link'),
    [
        ('/dev/sda', '/dev/disk/by-id/os-brick+dev+sda'),
        ('/dev/md/alias', '/dev/disk/by-id/os-brick+dev+md+alias'),
        ('/dev/a=b', '/dev/disk/by-id/os-brick+dev+a=b'),
        ('/dev/a+b=c', '/dev/disk/by-id/os-brick=+dev+a=2bb=3dc'),
    ],
)
def test_names(device: str, link: str) -> None:
    assert links.name_for(device) == link
    assert links.device_of(link) == device


@given(st.text('/ab+=23bd.', min_size=1))
def test_each_path_survives_being_a_link(tail: str) -> None:
    device = f'/{tail}'
    link = links.name_for(device)
    assert '/' not in link.removeprefix('/dev/disk/by-id/')
    assert links.device_of(link) == device


@pytest.mark.parametrize('path', ['/dev/sda', '', '/dev/disk/by-id/scsi-3600'])
def test_what_is_no_link_of_ours_stays(path: str) -> None:
    assert links.device_of(path) == path


@given(st.text('/ab+=23d.é', min_size=1), st.text('/ab+=23d.é', min_size=1))
def test_two_paths_have_two_links(one: str, other: str) -> None:
    assert (links.name_for(f'/{one}') == links.name_for(f'/{other}')) is (one == other)


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A host with the disk sda and the map dm-3."""
    (tmp_path / 'dev/mapper').mkdir(parents=True)
    (tmp_path / 'dev/disk/by-id').mkdir(parents=True)
    for name in ('sda', 'dm-3'):
        (tmp_path / 'dev' / name).touch()
    with files.use(str(tmp_path)):
        yield tmp_path


def _names(root: pathlib.Path) -> list[str]:
    return sorted(os.listdir(root / 'dev/disk/by-id'))


@pytest.mark.parametrize(
    'device',
    ['/dev/mapper/a+b', '/dev/mapper/a+b+c', '/dev/mapper/+', '/dev/mapper/=', '/dev/mapper/a=2b'],
)
def test_a_link_of_an_older_release_with_a_plus(root: pathlib.Path, device: str) -> None:
    """It wrote the ``+`` of a name as it is. What is there tells which reading is meant."""
    (root / device[1:]).symlink_to('../dm-3')
    former = links.PREFIX + device.replace('/', '+')
    assert links.device_of(former) == device
    assert links.device_of(links.make(device)) == device


def test_a_former_link_that_could_be_two(root: pathlib.Path) -> None:
    (root / 'dev/mapper/a').mkdir()
    for name in ('a/b+c', 'a+b+c'):
        (root / 'dev/mapper' / name).touch()
    assert links.device_of(f'{links.PREFIX}+dev+mapper+a+b+c') == '/dev/mapper/a/b/c'
    (root / 'dev/mapper/a+b+c').unlink()
    assert links.device_of(f'{links.PREFIX}+dev+mapper+a+b+c') == '/dev/mapper/a/b+c'


@pytest.mark.parametrize('name', ['+' * 200, '+dev' * 60, '', '+', 'x', '+dev+mapper+'])
def test_what_no_release_wrote_is_read_in_time(root: pathlib.Path, name: str) -> None:
    assert links.device_of(links.PREFIX + name) == name.replace('+', '/')


@pytest.mark.parametrize('length', [100, 127, 200, 240, 255])
@pytest.mark.parametrize('letter', ['a', '+', 'é'])
def test_a_name_that_is_too_long_is_made_of_the_node(
    root: pathlib.Path, length: int, letter: str
) -> None:
    name = (letter * length).encode()[: length - length % 2].decode()
    os.symlink('../dm-3', root / 'dev/mapper' / name)
    link = links.make(f'/dev/mapper/{name}')
    assert links.where(link) == '/dev/dm-3'
    assert files.realpath(links.device_of(link)) == '/dev/dm-3'
    assert len(_names(root)[0].encode()) <= 255
    # As long as it fits, the name that outlives a reboot is kept.
    longest = len(links.name_for(f'/dev/mapper/{name}').rpartition('/')[2].encode())
    assert (link == f'{links.PREFIX}+dev+dm-3') is (longest > 255)


def test_a_link_that_another_volume_has_made_meanwhile_stays(root: pathlib.Path) -> None:
    link = links.make('/dev/sda')
    seen = links.mark(link)
    links.make('/dev/sda')
    links.remove(link, seen)
    assert _names(root) == ['os-brick+dev+sda']
    links.remove(link)
    links.remove(link)
    links.remove(link, seen)
    assert _names(root) == []


def test_what_is_not_a_link_stays(root: pathlib.Path) -> None:
    (root / 'dev/disk/by-id/os-brick+dev+sda').touch()
    links.remove(f'{links.PREFIX}+dev+sda')
    assert _names(root) == ['os-brick+dev+sda']


def test_a_link_that_is_replaced_is_there_all_the_time(root: pathlib.Path) -> None:
    """And of what removes it by its mark, nothing is left, and no link of others is lost."""
    link = links.make('/dev/sda')
    missing: list[int] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            if not links.where(link):
                missing.append(1)

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(200):
        links.restore(link, f'/dev/mapper/crypt-{number}')
    ended.set()
    watcher.join()
    assert not missing
    assert links.where(link) == '/dev/mapper/crypt-199'
    assert _names(root) == ['os-brick+dev+sda']


@pytest.fixture
def devtmpfs() -> Iterator[pathlib.Path]:
    """As ``root``, on the file system that ``/dev`` is: it gives no number twice."""
    with tempfile.TemporaryDirectory(dir='/dev/shm') as place:
        (pathlib.Path(place) / 'dev/disk/by-id').mkdir(parents=True)
        with files.use(place):
            yield pathlib.Path(place)


def test_removals_and_new_links_of_one_name_side_by_side(devtmpfs: pathlib.Path) -> None:
    link = links.make('/dev/sda')
    old = links.mark(link)
    removers = [threading.Thread(target=links.remove, args=(link, old)) for _ in range(4)]
    makers = [threading.Thread(target=links.make, args=('/dev/sda',)) for _ in range(4)]
    for thread in (*removers[:2], *makers, *removers[2:]):
        thread.start()
    for thread in (*removers, *makers):
        thread.join()
    assert _names(devtmpfs) == ['os-brick+dev+sda']
    assert links.mark(link) != old


@pytest.mark.parametrize('before', ['', '/dev/mapper/crypt-gold'])
def test_a_link_is_again_what_it_was_before(root: pathlib.Path, before: str) -> None:
    link, node = links.plan('/dev/sda')
    if before:
        links.restore(link, before)
    steps = undo.Undo()
    steps.add(links.take_back, link, links.mark(link), links.where(link))
    links.make('/dev/sda')
    assert links.where(link) == node
    steps.take_back()
    assert links.where(link) == before


def test_a_link_that_was_not_made_stays_as_it_is(root: pathlib.Path) -> None:
    link = links.make('/dev/sda')
    links.take_back(link, links.mark(link), '/dev/sdb')
    assert links.where(link) == links.plan('/dev/sda')[1]


@pytest.mark.parametrize('operation', ['make', 'remove'])
def test_what_a_killed_daemon_has_left_goes_later(
    root: pathlib.Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    link = links.make('/dev/sda')
    place = root / 'dev/disk/by-id/.os-brick-1'
    place.symlink_to('/dev/sda')
    # An old link that another daemon moves aside now is still at work.
    os.utime(place, (1, 1), follow_symlinks=False)
    links.make('/dev/sdb')
    assert place.is_symlink()
    monkeypatch.setattr(clock, 'wall', lambda: place.lstat().st_ctime + 61)
    if operation == 'make':
        links.make('/dev/sda')
    else:
        links.remove(link)
    assert not place.is_symlink()
    assert ('os-brick+dev+sda' in _names(root)) is (operation == 'make')
