# SPDX-License-Identifier: Apache-2.0
"""Which volume a device is, asked of each of its paths: hosts, and the answer or the error."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import identity
from tests.unit.fakehost import array
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes

ANOTHER, UNPROVED = exception.VolumeIdentityMismatch, exception.VolumeDeviceNotFound


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """sda and sdb are gold, sdc is silver, and dm-0 is the map over sda and sdb."""
    with two_volumes.attached(tmp_path) as found:
        two_volumes.map_gold(found)
        yield found


def prove(device: str) -> str:
    return identity.prove(device, wait.Deadline.after(60))


def test_all_paths_agree(host: Host) -> None:
    before = host.snapshot()
    gold, silver = host.disks['sda'].unit.wwid, host.disks['sdc'].unit.wwid
    assert {name: prove(name) for name in ('dm-0', 'sda', 'sdb', 'sdc')} == {
        'dm-0': f'wwid-{gold}',
        'sda': f'wwid-{gold}',
        'sdb': f'wwid-{gold}',
        'sdc': f'wwid-{silver}',
    }
    assert host.snapshot() == before


CASES = [
    # What is at the LUNs of sda and sdb now, and what the map and sda are then.
    ('gold', 'silent', None, None),
    ('silent', 'gold', None, UNPROVED),
    ('silent', 'silent', UNPROVED, UNPROVED),
    ('gold', 'tin', ANOTHER, None),
    ('tin', 'gold', ANOTHER, ANOTHER),
    ('nothing', 'gold', ANOTHER, ANOTHER),
    ('silent', 'nothing', ANOTHER, UNPROVED),
    ('nameless', 'gold', ANOTHER, None),
]


@pytest.mark.parametrize(('first', 'second', 'of_map', 'of_disk'), CASES)
def test_one_path_is_enough_to_prove_it_and_one_to_refute_it(
    host: Host,
    first: str,
    second: str,
    of_map: type[Exception] | None,
    of_disk: type[Exception] | None,
) -> None:
    session = host.disks['sdb'].session
    # The second path leads to a target of its own from now on.
    session.target = array.Target('gold-2', 0)
    session.target.luns[1] = host.disks['sdb'].unit
    for disk, now in (('sda', first), ('sdb', second)):
        known = host.disks[disk].unit
        two_volumes.remap(
            host,
            disk,
            {
                'gold': known,
                'tin': array.Unit('tin'),
                'nothing': None,
                'silent': array.Unit('gold', unresponsive=True),
                'nameless': array.Unit('gold', names=[], number=known.number),
            }[now],
        )
    for device, error in (('dm-0', of_map), ('sda', of_disk)):
        if error is None:
            assert prove(device) in (f'wwid-{host.maps["dm-0"].wwid}', '')
        else:
            with pytest.raises(error, match=f'/dev/{device}'):
                prove(device)


@pytest.mark.parametrize('uuid', ['LVM-abc', 'CRYPT-LUKS2-0011-x', ''])
def test_a_device_without_paths_is_what_its_maker_called_it(host: Host, uuid: str) -> None:
    base = '/sys/devices/virtual/block/dm-7'
    host.tree.directory(f'{base}/slaves')
    host.tree.value(f'{base}/dm/uuid', uuid)
    host.tree.link('/sys/class/block/dm-7', base)
    host.tree.link('/sys/block/dm-7', base)
    assert prove('dm-7') == uuid


def test_a_device_that_is_not_there_has_no_identity(host: Host) -> None:
    assert prove('sdz') == ''
