# SPDX-License-Identifier: Apache-2.0
"""The grammar of WHAT: each name of each thing, the start of an ID, and what is ambiguous."""

import pytest

from os_brick.model.inventory_index import Ambiguous, Index, NotFound
from tests.unit.cmd.sample import GOLD, HOST, IQN, NQN, SILVER, WWID

INDEX = Index(HOST)


@pytest.mark.parametrize(
    ('what', 'kind', 'name'),
    [
        *((what, 'volume', '/dev/dm-4') for what in (GOLD, GOLD.upper(), 'gold', 'mpatha', WWID)),
        *((what, 'volume', '/dev/dm-4') for what in ('dm-4', '/dev/dm-4', GOLD[:9], f'{IQN}/1')),
        *((what, 'path', 'sdc') for what in ('sdc', '/dev/sdc', '4:0:0:1')),
        *((what, 'volume', '/dev/sdf') for what in ('sdf', '7:0:0:9', 'instance-0000002f')),
        *((what, 'volume', '/dev/sdf') for what in ('50060e8010203041/9',)),
        ('7c1e0cb4-3b8f-4a43-8d40-0123456789ab', 'volume', '/dev/nvme2n3'),
        (f'{NQN}/3', 'volume', '/dev/nvme2n3'),
        ('nvme2c1n3', 'path', 'nvme2c1n3'),
        ('session:65', 'link', 'session65'),
        ('session65', 'link', 'session65'),
        ('nvme1', 'link', 'nvme1'),
        ('rport-7:0-3', 'link', 'rport-7:0-3'),
        ('10.99.0.1:3260', 'link', 'session65'),
        ('50060e8010203041', 'link', 'rport-7:0-3'),
        ('host7', 'port', 'host7'),
        ('21000024ff0a1b2d', 'port', 'host7'),
        (IQN, 'target', IQN),
        (NQN, 'target', NQN),
        ('crypt-gold', 'device', 'dm-9'),
        ('dm-9', 'device', 'dm-9'),
        ('10.0.0.9:/vol1', 'volume', '10.0.0.9:/vol1'),
        ('/var/lib/nova/mnt/abc', 'volume', '10.0.0.9:/vol1'),
    ],
)
def test_a_name(what: str, kind: str, name: str) -> None:
    found = INDEX.one(what)
    assert (found.kind, found.name) == (kind, name)


@pytest.mark.parametrize('what', ['nothing', 'dm-44', '8f0', 'sess', '', '/dev/'])
def test_what_is_not_a_name(what: str) -> None:
    with pytest.raises(NotFound):
        INDEX.named(what)


def test_the_start_of_two_ids() -> None:
    with pytest.raises(Ambiguous) as caught:
        INDEX.named('8f0c')
    assert caught.value.candidates == (GOLD, SILVER)


def test_a_target_is_all_of_its_volumes() -> None:
    assert [volume.device for volume in INDEX.volumes(IQN)] == ['dm-4']
    assert [volume.device for volume in INDEX.volumes('host7')] == ['sdf']


def test_every_volume_is_found_by_every_name_that_is_printed() -> None:
    for volume in HOST.volumes:
        for name in filter(None, (volume.volume_id, volume.device, volume.path, volume.identity)):
            assert INDEX.volumes(name) == (volume,)
