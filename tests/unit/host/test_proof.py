# SPDX-License-Identifier: Apache-2.0
"""The last proof of a device: that it takes I/O, and who its disks are right then."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick.core import wait
from os_brick.host import proof, scsi
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """sda and sdb are gold, below dm-0; sdc is silver."""
    with two_volumes.attached(tmp_path) as found:
        two_volumes.map_gold(found)
        yield found


def soon() -> wait.Deadline:
    return wait.Deadline.after(3)


def test_one_act_tells_all_of_a_map(host: Host) -> None:
    last, before = proof.Proof(['sda', 'sdb']), len(host.acts)
    wwid = host.maps['dm-0'].wwid
    assert last.why_not('dm-0', wwid, 5.0) is None
    found = last.answers(soon())
    assert {answer.identity.wwid for answer in found.reported.values()} == {wwid}
    assert [act.split()[0] for act in host.acts[before:]] == [
        'dm',
        '_read_start',
        'pages_or_errors',
    ]


def test_a_disk(host: Host) -> None:
    last = proof.Proof(['sdc'])
    assert last.why_not('sdc', '', 5.0) is None
    assert list(last.answers(soon()).reported) == ['sdc']


@pytest.mark.parametrize('how', ['suspended', 'no path', 'gone'])
def test_a_map_that_could_not_be_read_is_not_read(host: Host, how: str) -> None:
    """A read of it might never end."""
    found = host.maps['dm-0']
    wwid = found.wwid
    if how == 'suspended':
        found.is_suspended = True
    elif how == 'no path':
        for name in ('sda', 'sdb'):
            host.disks[name].state = 'offline'
    else:
        host.remove_map(found)
    why = proof.Proof(['sda']).why_not('dm-0', wwid, 5.0)
    assert why is not None
    assert {'suspended': 'suspended', 'no path': 'no path', 'gone': 'No such'}[how] in str(why)
    assert not any(act.startswith('_read_start') for act in host.acts)


def test_a_disk_that_has_not_answered_is_asked_again(host: Host) -> None:
    host.inquiry_fails = [(host.disks['sda'].address, 0x83)]
    last = proof.Proof(['sda', 'sdb'])
    assert last.why_not('dm-0', host.maps['dm-0'].wwid, 5.0) is None
    assert sorted(last.answers(soon()).reported) == ['sda', 'sdb']


def test_a_name_that_another_disk_has_got_meanwhile_is_asked_again(host: Host) -> None:
    last = proof.Proof(['sdc'])
    assert last.why_not('sdc', '', 5.0) is None
    old = host.disks['sdc']
    host.remove_disk(old)
    tin = old.session.target.luns[1] = array.Unit('tin')
    host.find_lun(old.session, 1)
    host.settle()
    (answer,) = last.answers(soon()).reported.values()
    assert answer.identity.wwid == tin.wwid == scsi.cached_identity('sdc').wwid


def test_one_at_whose_lun_there_is_nothing_any_more(host: Host) -> None:
    last = proof.Proof(['sdc'])

    def unmap(what: str) -> None:
        if what.startswith('pages_or_errors'):
            two_volumes.remap(host, 'sdc', None)
            host.before_act = lambda _what: None

    host.before_act = unmap
    assert last.why_not('sdc', '', 5.0) is None
    assert list(last.answers(soon()).unmapped) == ['sdc']
