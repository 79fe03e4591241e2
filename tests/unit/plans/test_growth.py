# SPDX-License-Identifier: Apache-2.0
"""Plans of a growth, as a table: what there was and what the disks report, to steps."""

import json
from typing import Any

import pytest

from os_brick.model import vpd
from os_brick.plans import growth

OLD, NEW, LESS = 1 << 30, 2 << 30, 1 << 20
GOLD = '36001405ffffffffffffffffffffffff'
LIVE = ('sda', 'sdb')


def disk(name: str, number: int, size: int = OLD, above: str = GOLD) -> growth.FoundDisk:
    return growth.FoundDisk(name, number, vpd.identity(b'', b'', ''), above, size)


SINGLE = growth.Found((disk('sda', 7, above=''),))
MAPPED = growth.Found((disk('sda', 7), disk('sdb', 8)), growth.FoundMap('dm-0', GOLD, OLD))
GROWN = growth.Found((disk('sda', 7, NEW), disk('sdb', 8)), growth.FoundMap('dm-0', GOLD, NEW))
RESIZE = {'verb': 'resize map', 'device': 'dm-0', 'wwid': GOLD, 'size_bytes': NEW}


def test_each_disk_reads_its_capacity_before_anything_is_decided() -> None:
    plan = growth.read(MAPPED)
    assert plan.as_dict() == {
        'growth of': '/dev/dm-0',
        'steps': [
            {'verb': 'read capacity', 'device': 'sda', 'number': 7, 'wwid': GOLD},
            {'verb': 'read capacity', 'device': 'sdb', 'number': 8, 'wwid': GOLD},
            {'verb': 'wait until all have one size'},
        ],
    }
    assert str(plan).splitlines() == [
        'Growth of /dev/dm-0:',
        f'  read capacity device=sda number=7 wwid={GOLD}',
        f'  read capacity device=sdb number=8 wwid={GOLD}',
        '  wait until all have one size',
    ]


@pytest.mark.parametrize(
    ('found', 'size', 'sizes', 'live', 'steps'),
    [
        # One disk is its own device: the kernel has resized it with its capacity.
        (SINGLE, NEW, {'sda': NEW}, ('sda',), []),
        (MAPPED, NEW, {'sda': NEW, 'sdb': NEW}, LIVE, [RESIZE]),
        # An earlier extend has done it.
        (GROWN, NEW, {'sda': NEW, 'sdb': NEW}, LIVE, []),
        (MAPPED, OLD, {'sda': OLD, 'sdb': OLD}, LIVE, []),
        # A dead disk of the old size would have multipathd refuse.
        (
            *(MAPPED, NEW, {'sda': NEW, 'sdb': OLD}, ('sda',)),
            [{'verb': 'leave out of the map', 'device': 'dm-0', 'disks': [['sdb', 8]]}, RESIZE],
        ),
        # One that died after it had read the new size stays.
        (MAPPED, NEW, {'sda': NEW, 'sdb': NEW}, ('sda',), [RESIZE]),
        # There may be data behind the new end.
        (
            *(MAPPED, LESS, {'sda': LESS, 'sdb': LESS}, LIVE),
            [{'verb': 'refuse', 'device': '/dev/dm-0', 'size_bytes': LESS}],
        ),
        (
            *(SINGLE, LESS, {'sda': LESS}, ('sda',)),
            [{'verb': 'refuse', 'device': '/dev/sda', 'size_bytes': LESS}],
        ),
    ],
    ids=['one disk', 'map', 'done before', 'nothing new', 'dead', 'late', 'shrunk', 'shrunk disk'],
)
def test_what_follows_from_the_sizes(
    found: growth.Found,
    size: int,
    sizes: dict[str, int],
    live: tuple[str, ...],
    steps: list[dict[str, Any]],
) -> None:
    plan = growth.resize(found, size, sizes, live).as_dict()
    assert plan['steps'] == steps
    assert json.loads(json.dumps(plan)) == plan


def test_a_dead_disk_is_short_unless_it_has_the_size() -> None:
    sizes = {'sda': NEW, 'sdb': OLD}
    assert growth.short(MAPPED, NEW, sizes, ('sda',)) == ['sdb']
    assert growth.short(MAPPED, NEW, sizes, LIVE) == []
    assert growth.short(MAPPED, NEW, {'sda': NEW}, ('sda',)) == ['sdb']
