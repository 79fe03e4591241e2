# SPDX-License-Identifier: Apache-2.0
"""The extend of a volume, and the disk that was dead meanwhile: it comes back if it is the same."""

from collections.abc import Callable, Iterator
import pathlib
import time

import pytest

from os_brick.core import background
from os_brick.paths import path_set, scsi_extend
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes
from tests.unit.paths import disk_paths


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """The map dm-0 over sda and sdb, which are gold; sdc is silver."""
    monkeypatch.setattr(path_set, 'RETRY_PAUSES', background.Pauses(0.02, 0.1))
    with two_volumes.attached(tmp_path) as found:
        two_volumes.map_gold(found)
        yield found
        background.stop(disk_paths.KEY)


def comes_true(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether other threads bring it about in time, in real seconds."""
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.01)
    return condition()


def grow(host: Host) -> int:
    """An extend of gold, which has grown."""
    host.disks['sda'].unit.megabytes = 96
    with disk_paths.begin() as op:
        return scsi_extend.grow(['sda', 'sdb'], op)


def works() -> list[str]:
    return [str(work) for work in background._of([disk_paths.KEY])]


def mapped(host: Host) -> set[str]:
    return {disk.name for disk in host.maps['dm-0'].disks}


def test_disks_and_map_have_the_new_size(host: Host) -> None:
    assert grow(host) == 96 << 20
    for name in ('sda', 'sdb', 'dm-0'):
        assert host.tree.at(f'/sys/class/block/{name}/size').read_text() == f'{96 * 2048}\n'
    assert works() == []


def test_a_dead_disk_leaves_the_map_and_comes_back(host: Host) -> None:
    dead = host.disks['sdb']
    host.set_state(dead, 'transport-offline')
    assert grow(host) == 96 << 20
    assert mapped(host) == {'sda'}
    assert len(works()) == 1
    host.set_state(dead, 'running')
    assert comes_true(lambda: mapped(host) == {'sda', 'sdb'})
    assert host.tree.at('/sys/class/block/sdb/size').read_text() == f'{96 * 2048}\n'
    assert comes_true(lambda: works() == [])


def test_one_that_is_another_volume_by_then_does_not(host: Host) -> None:
    dead = host.disks['sdb']
    host.set_state(dead, 'transport-offline')
    grow(host)
    host.disks['sdb'].session.target.luns[1] = array.Unit('tin')
    host.set_state(dead, 'running')
    assert comes_true(lambda: works() == [])
    assert mapped(host) == {'sda'}


@pytest.mark.parametrize('gone', ['map', 'disk'])
def test_there_is_nothing_to_come_back_to(host: Host, gone: str) -> None:
    host.set_state(host.disks['sdb'], 'transport-offline')
    grow(host)
    if gone == 'map':
        host.remove_map(host.maps['dm-0'])
    else:
        host.remove_disk(host.disks['sdb'])
    assert comes_true(lambda: works() == [])
