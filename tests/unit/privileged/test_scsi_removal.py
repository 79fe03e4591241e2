# SPDX-License-Identifier: Apache-2.0
"""Calls that do several steps of a removal: each step as it is alone, and none after one fails."""

from collections.abc import Iterator
import errno
import pathlib
from typing import Any

import pytest

from os_brick import exception
from os_brick.host import block, scsi
from os_brick.privileged import scsi_removal, wwids
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes

# The acts of a flush with a deletion, in their order.
LOOK, FLUSH, DELETE, ASK = range(4)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """sda and sdb are gold, sdc is silver."""
    with two_volumes.attached(tmp_path) as found:
        yield found


def take(
    name: str = 'sdc', gone: tuple[str, ...] = (), above: str = '', **numbers: int
) -> tuple[tuple[str, ...] | None, Any]:
    """Flush and delete a disk, with 30 s of which the flush may take 10."""
    found = numbers.get('block', block.inode(name)), numbers.get('device', scsi.number_of(name))
    unit = (str(scsi.address_of(name)), *scsi.cached_pages(name))
    return scsi_removal.flush_and_delete(name, found, unit, above, gone, 20.0, 30.0)


def test_a_disk_is_flushed_and_goes(host: Host) -> None:
    silver, gold = (two_volumes.unit(host, name).wwid for name in ('sdc', 'sda'))
    wwids.add(gold)
    others, (errors, known, listed) = take(gone=(silver, gold))
    assert (others, errors, listed) == ((), (), (gold,))
    assert [each.partition('\n')[0] for each in known] == ['fail']
    assert host.flushes == ['sdc']
    assert two_volumes.units(host) == {'sda': 'gold', 'sdb': 'gold'}


@pytest.mark.parametrize('now', ['tin', 'nothing', 'silent'])
def test_what_is_in_question_is_not_flushed_and_stays(host: Host, now: str) -> None:
    if now == 'silent':
        two_volumes.unit(host, 'sdc').unresponsive = True
    else:
        two_volumes.remap(host, 'sdc', array.Unit('tin') if now == 'tin' else None)
    before = host.snapshot()
    assert take() == (None, None)
    assert host.snapshot() == before
    assert not host.flushes


def test_a_disk_below_another_volumes_map_stays(host: Host) -> None:
    assert take(above=two_volumes.unit(host, 'sda').wwid) == (None, None)
    assert not host.flushes
    assert 'sdc' in host.disks


def strike(host: Host, act: str) -> None:
    """At an act the array gives the LUN to another volume."""

    def remap(what: str) -> None:
        if what.startswith(act):
            two_volumes.remap(host, 'sdc', array.Unit('tin'))

    host.before_act = remap


def test_a_lun_that_changes_before_the_disk_is_open(host: Host) -> None:
    strike(host, '_flush')
    assert take() == (None, None)
    assert not host.flushes
    assert 'sdc' in host.disks


def test_a_lun_that_changes_while_it_is_flushed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller is told, and the disk stays for it."""
    address, flushed = str(scsi.address_of('sdc')), host.flushed

    def remap(name: str) -> None:
        flushed(name)
        two_volumes.remap(host, 'sdc', array.Unit('tin'))

    monkeypatch.setattr(host, 'flushed', remap)
    assert take() == ((address,), None)
    assert 'sdc' in host.disks


def test_another_disk_that_gets_the_name_before_it_goes_stays(host: Host) -> None:
    session = host.disks['sdc'].session

    def replace(what: str) -> None:
        if what.startswith('_write'):
            host.before_act = lambda what: None
            host.remove_disk(host.disks['sdc'])
            session.target.luns[2] = array.Unit('tin')
            host.find_lun(session, 2)

    host.before_act = replace
    others, (errors, _, _) = take()
    assert (others, errors) == ((), ())
    assert two_volumes.units(host)['sdc'] == 'tin'


def test_numbers_of_other_devices(host: Host) -> None:
    with pytest.raises(OSError, match='another device') as caught:
        take(block=block.inode('sdc') + 1)
    assert caught.value.errno == errno.ENODEV
    assert not host.flushes
    others, (errors, _, _) = take(device=scsi.number_of('sda'))
    assert (others, errors, host.flushes) == ((), (), ['sdc'])
    assert 'sdc' in host.disks


def test_a_flush_that_hangs_leaves_time_and_the_disk(host: Host) -> None:
    host.fail(FLUSH, 'hung')
    begun = host.clock.monotonic()
    with pytest.raises(exception.OperationTimedOut, match='flush of /dev/sdc'):
        take()
    assert 9 < host.clock.monotonic() - begun < 11
    assert 'sdc' in host.disks


def test_a_flush_that_fails_leaves_the_disk(host: Host) -> None:
    host.fail(FLUSH, 'refused')
    with pytest.raises(OSError, match='Input/output error'):
        take()
    assert 'sdc' in host.disks


@pytest.mark.parametrize(
    ('how', 'number', 'text'), [('refused', errno.EIO, 'error'), ('hung', errno.ETIMEDOUT, 's')]
)
def test_a_deletion_that_fails_is_told(host: Host, how: str, number: int, text: str) -> None:
    host.fail(DELETE, how)
    others, (errors, known, _) = take()
    ((name, found, why),) = errors
    assert (others, name, found) == ((), 'sdc', number)
    assert text in why
    assert known is not None
    assert host.flushes == ['sdc']


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


ALL = ('sda', 'sdb', 'sdc')


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


def test_a_claim_that_is_not_known_is_none(host: Host) -> None:
    """As where it is asked alone: a device that does not open holds no detach up."""
    host.fail(0, 'hung')
    begun = host.clock.monotonic()
    assert scsi_removal.forget_unclaimed('sdc', scsi.number_of('sdc'), 7.0) == (False, 0)
    assert host.clock.monotonic() - begun < 3
