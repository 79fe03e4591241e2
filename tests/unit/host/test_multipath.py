# SPDX-License-Identifier: Apache-2.0
"""Multipath maps are removed, resumed and told to fail by whose they are, not by their number."""

from collections.abc import Iterator
import errno
import pathlib

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import multipath, scsi
from tests.unit.fakehost import host as fake_host
from tests.unit.host import two_volumes

Host = fake_host.Host


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with two_volumes.behind_one_port(tmp_path) as found:
        yield found


def take_number(host: Host) -> None:
    """The map goes, and the other volume's gets its number."""
    found = host.maps['dm-0']
    if found.wwid == host.disks['sda'].unit.wwid:
        host.remove_map(found)
        assert host.claim('sdb')
    assert host.maps['dm-0'].disks == [host.disks['sdb']]


@pytest.mark.parametrize('runs', [True, False])
def test_a_map_that_gets_the_number_meanwhile_stays(host: Host, runs: bool) -> None:
    """Between the look at dm-0 and each single act on it."""
    host.multipathd_runs = runs
    gold = host.disks['sda'].unit.wwid
    number = 0
    while True:
        start = len(host.acts)

        def strike(_what: str, at: int = start + number) -> None:
            if len(host.acts) - 1 == at:
                take_number(host)

        host.before_act = strike
        multipath.release('dm-0', gold, wait.Deadline.after(30), give_up_io=True)
        host.before_act = lambda what: None
        if 'dm-0' not in host.maps:  # The removal was over before.
            break
        found = host.maps['dm-0']
        assert (found.wwid, len(found.disks)) == (host.disks['sdb'].unit.wwid, 1)
        host.remove_map(found)
        assert host.claim('sda')
        number += 1
    assert number >= 3


def test_another_map_of_the_number_is_left_alone(host: Host) -> None:
    take_number(host)
    before = host.snapshot()
    acts = len(host.acts)
    multipath.release('dm-0', host.disks['sda'].unit.wwid, wait.Deadline.after(30), give_up_io=True)
    assert host.snapshot() == before
    assert len(host.acts) == acts


@pytest.fixture
def bare(tmp_path: pathlib.Path) -> Iterator[Host]:
    """The same disks without maps; udev has written down what they are, and told no one."""
    with two_volumes.attached(tmp_path) as found:
        found.multipathd_is_greedy = False
        yield found


def test_what_multipathd_takes_is_found_by_its_answer(bare: Host) -> None:
    """By then a look came each 0.1 s, and one was waited for after each offer."""
    offered: list[float] = []

    def note(what: str) -> None:
        if what.startswith('multipathd add path'):
            offered.append(bare.clock.monotonic())

    bare.before_act = note
    naps: list[float] = []
    sleep = bare.clock.sleep

    def counted(seconds: float) -> None:
        naps.append(seconds)
        sleep(seconds)

    bare.clock.sleep = counted
    deadline = wait.Deadline.after(30)
    found = multipath.build(scsi.cached_identity('sda'), ['sda'], deadline)
    assert found == 'dm-0'
    assert multipath.join(found, ['sda', 'sdb'], deadline) == set()
    assert len(offered) == 2
    assert naps == []


def test_a_multipathd_that_does_not_answer_is_not_asked_beyond_the_deadline(bare: Host) -> None:
    """Each disk that is missing in a map was offered for 5 s, after the deadline too."""
    found = multipath.build(scsi.cached_identity('sda'), ['sda'], wait.Deadline.after(30))
    asked: list[str] = []

    def hang(what: str) -> None:
        if what.startswith('multipathd add path'):
            asked.append(what)
            bare.clock.sleep(5)
            raise OSError(errno.ETIMEDOUT, 'timed out')

    bare.before_act = hang
    missing = {f'sd{letter}' for letter in 'bcdefgh'}
    assert multipath.join(found, missing, wait.Deadline.after(4)) == missing
    assert len(asked) == 1


def test_an_interrupt_before_there_is_a_map_leaves_no_wwid(bare: Host) -> None:
    """No undo forgets it where the disks were there before."""
    before = bare.snapshot()
    bare.fail(1, 'interrupted')
    with pytest.raises(KeyboardInterrupt):
        multipath.build(scsi.cached_identity('sda'), ['sda'], wait.Deadline.after(30))
    assert 'add path' in bare.struck
    assert bare.snapshot() == before


def test_an_open_map_stays(host: Host) -> None:
    host.maps['dm-0'].open_count = 2
    wwid = host.maps['dm-0'].wwid
    with pytest.raises(exception.VolumeInUse, match='2 process'):
        multipath.release('dm-0', wwid, wait.Deadline.after(30), give_up_io=True)
    assert list(host.maps) == ['dm-0']


def test_a_map_of_which_it_is_not_known_whether_it_is_open_stays(host: Host) -> None:
    found = host.maps['dm-0']
    host.fail(0, 'hung from here')
    with pytest.raises(exception.OperationTimedOut, match='not known'):
        multipath.release('dm-0', found.wwid, wait.Deadline.after(60), give_up_io=False)
    assert list(host.maps) == ['dm-0']
