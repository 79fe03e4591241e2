# SPDX-License-Identifier: Apache-2.0
"""Calls that do several steps of a removal: each step as it is alone, and none after one fails."""

from collections.abc import Iterator
import errno
import pathlib

import pytest

from os_brick.host import scsi
from os_brick.privileged import scsi_removal, wwids
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes

ALL = ('sda', 'sdb', 'sdc')


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """sda and sdb are gold, sdc is silver."""
    with two_volumes.attached(tmp_path) as found:
        yield found


def test_a_disk_goes(host: Host) -> None:
    silver, gold = (two_volumes.unit(host, name).wwid for name in ('sdc', 'sda'))
    wwids.add(gold, 5.0)
    disks = (('sdc', scsi.number_of('sdc')),)
    errors, known, listed = scsi_removal.delete(disks, (silver, gold), 30.0)
    assert (errors, listed) == ((), (gold,))
    assert known is not None
    assert [each.partition('\n')[0] for each in known] == ['fail']
    assert two_volumes.units(host) == {'sda': 'gold', 'sdb': 'gold'}


def test_another_disk_with_the_name_stays(host: Host) -> None:
    errors, _, _ = scsi_removal.delete((('sdc', scsi.number_of('sda')),), (), 30.0)
    assert errors == ()
    assert set(host.disks) == set(ALL)


@pytest.mark.parametrize(
    ('how', 'number', 'text'), [('refused', errno.EIO, 'error'), ('hung', errno.ETIMEDOUT, 's')]
)
def test_a_deletion_that_fails_is_told(host: Host, how: str, number: int, text: str) -> None:
    host.fail(0, how)
    ((name, found, why),), known, _ = scsi_removal.delete(
        (('sdc', scsi.number_of('sdc')),), (), 30.0
    )
    assert (name, found) == ('sdc', number)
    assert text in why
    assert known is not None


def test_what_multipathd_answers(host: Host) -> None:
    number = scsi.number_of('sdc')
    host.fail(1, 'hung')
    assert scsi_removal.delete((('sdc', number),), (), 30.0) == ((), None, ())
    host.multipathd_runs = False
    assert scsi_removal.delete((('sdc', number),), (), 30.0) == ((), (), ())


def test_a_file_of_wwids_that_cannot_be_read_may_have_them(host: Host) -> None:
    host.tree.remove('/etc/multipath/wwids')
    assert scsi_removal.delete((), ('36001405',), 30.0)[2] == ()
    host.tree.directory('/etc/multipath/wwids')
    assert scsi_removal.delete((), ('36001405',), 30.0)[2] == ('36001405',)


def test_what_is_claimed_is_not_forgotten(host: Host) -> None:
    host.paths_known = dict.fromkeys(ALL, 'x')
    number = scsi.number_of('sdc')
    host.claims.add('sdc')
    assert scsi_removal.forget_unclaimed('sdc', number, 7.0) == (True, 0)
    assert 'sdc' in host.paths_known
    host.claims.clear()
    assert scsi_removal.forget_unclaimed('sdc', number + 1, 7.0) == (False, 0)
    assert 'sdc' in host.paths_known
    assert scsi_removal.forget_unclaimed('sdc', number, 7.0) == (False, 0)
    assert set(host.paths_known) == {'sda', 'sdb'}


def test_a_multipathd_that_is_not_told(host: Host) -> None:
    number = scsi.number_of('sdc')
    host.fail(1, 'hung')
    begun = host.clock.monotonic()
    is_claimed, why = scsi_removal.forget_unclaimed('sdc', number, 7.0)
    assert not is_claimed
    assert why not in (0, errno.ECONNREFUSED)
    assert host.clock.monotonic() - begun < 5.5
    host.multipathd_runs = False
    assert scsi_removal.forget_unclaimed('sdc', number, 7.0) == (False, errno.ECONNREFUSED)


def test_a_claim_that_is_not_known_is_none_and_nothing_follows(host: Host) -> None:
    """A device that does not open holds no detach up; but its caller may have gone meanwhile."""
    host.paths_known = dict.fromkeys(ALL, 'x')
    host.fail(0, 'hung')
    begun = host.clock.monotonic()
    answer = scsi_removal.forget_unclaimed('sdc', scsi.number_of('sdc'), 7.0)
    assert answer == (False, errno.EAGAIN)
    assert host.clock.monotonic() - begun < 3
    assert set(host.paths_known) == set(ALL)
