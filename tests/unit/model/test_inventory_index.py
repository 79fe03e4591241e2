# SPDX-License-Identifier: Apache-2.0
"""The grammar of WHAT: each name of each thing, the start of an ID, and what is ambiguous."""

import dataclasses

import pytest

from os_brick.model.inventory import Host, Link, Name, Path, Volume
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


def volume(device: str, volume_id: str = '', *, map_name: str = '', disk: str = '') -> Volume:
    names = (Name(volume_id, 'target'),) if volume_id else ()
    paths = (Path(disk, 0, 'iscsi'),) if disk else ()
    return Volume(device, 0, 'multipath', 'iscsi', names=names, paths=paths, map_name=map_name)


@pytest.mark.parametrize('what', [GOLD, GOLD[:-1], GOLD[:8], GOLD[:4]])
def test_two_volumes_of_one_id_are_two(what: str) -> None:
    index = Index(Host('h', '', (volume('dm-1', GOLD), volume('dm-2', GOLD))))
    with pytest.raises(Ambiguous) as caught:
        index.one(what)
    assert caught.value.candidates == ('volume /dev/dm-1', 'volume /dev/dm-2')


@pytest.mark.parametrize(
    ('what', 'name'),
    [
        ('sdb', 'sdb'),
        ('/dev/sdb', 'sdb'),
        ('/dev/mapper/sdb', '/dev/dm-1'),
        ('/dev/mapper/dm-2', '/dev/dm-1'),
        ('dm-2', '/dev/dm-2'),
    ],
)
def test_a_map_that_is_called_as_a_device_is_not_taken_for_it(what: str, name: str) -> None:
    called = 'dm-2' if 'dm-2' in what else 'sdb'
    volumes = (volume('dm-1', map_name=called), volume('dm-2', disk='sdb'))
    assert Index(Host('h', '', volumes)).one(what).name == name


def test_a_path_below_dev_is_no_other_name() -> None:
    index = Index(Host('h', '', (volume('dm-1', GOLD, map_name='gold'),)))
    for what in ('/dev/gold', f'/dev/{GOLD}', f'/dev/{GOLD[:8]}', '/dev/mapper/dm-1'):
        with pytest.raises(NotFound):
            index.one(what)
    assert index.one('gold').name == index.one('/dev/mapper/gold').name == '/dev/dm-1'


def test_a_volume_is_not_preferred_to_what_carries_another() -> None:
    named = dataclasses.replace(volume('dm-1'), names=(Name('x', 'libvirt', 'session7'),))
    other = dataclasses.replace(volume('dm-2'), paths=(Path('sdz', 0, 'iscsi', link='session7'),))
    index = Index(Host('h', '', (named, other), (Link('session7', 'iscsi', '', ''),)))
    with pytest.raises(Ambiguous):
        index.one('session7')
