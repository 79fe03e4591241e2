# SPDX-License-Identifier: Apache-2.0
"""Plans of an NVMe growth, as a table: what there was and what the subsystem reports, to steps."""

import json
from typing import Any

import pytest

from os_brick.model import fabrics
from os_brick.plans import nvme_growth as growth
from os_brick.plans.nvme_removal import FoundArray

OLD, NEW, LESS = 1 << 30, 2 << 30, 1 << 20
GOLD = fabrics.NamespaceIdentity(nsid=1, uuid='0a0f5d5e-0b1c-4d5e-9c55-0123456789ab')


def path(name: str, controller: str, why: str = '') -> growth.FoundPath:
    return growth.FoundPath(fabrics.Path(name, controller, GOLD), why)


LIVE = (path('nvme0c0n1', 'nvme0'), path('nvme0c1n1', 'nvme1'))
LAME = (LIVE[0], path('nvme0c1n1', 'nvme1', 'controller nvme1 is connecting'))


def found(size: int = OLD, paths: tuple[growth.FoundPath, ...] = LIVE, **more: int) -> growth.Found:
    heads = {'nvme0n1': size, **more}
    every = (growth.FoundHead(name, number, heads[name]) for number, name in enumerate(heads, 7))
    return growth.Found(GOLD, paths, tuple(every))


RESCANS = [{'verb': 'rescan', 'device': 'nvme0'}, {'verb': 'rescan', 'device': 'nvme1'}]
AWAIT = {'verb': 'wait for size', 'device': 'nvme0n1', 'number': 7, 'size_bytes': NEW}


def test_paths_that_take_io_are_asked_for_the_size() -> None:
    plan = growth.read(found(paths=LAME))
    assert plan.as_dict() == {
        'growth of': '/dev/nvme0n1',
        'steps': [
            {
                'verb': 'ask for size',
                'device': 'nvme0n1',
                'path': 'nvme0c0n1',
                'identity': str(GOLD),
            }
        ],
    }
    assert str(plan).splitlines() == [
        'Growth of /dev/nvme0n1:',
        f'  ask for size device=nvme0n1 path=nvme0c0n1 identity={GOLD}',
    ]


def test_without_a_path_no_one_is_asked() -> None:
    plan = growth.read(growth.Found(GOLD, LAME[1:], ()))
    assert plan.as_dict() == {'growth of': f'namespace {GOLD}', 'steps': []}


@pytest.mark.parametrize(
    ('before', 'size', 'steps'),
    [
        (found(), NEW, [*RESCANS, AWAIT]),
        # The kernel has been told by an event, or an earlier extend has done it.
        (found(NEW), NEW, []),
        (found(), OLD, []),
        # A controller that reconnects looks anew by itself; one that is back by then is told.
        (found(paths=LAME), NEW, [*RESCANS, AWAIT]),
        # Without native multipath each path has its own device, and one has been told.
        (
            *(found(NEW, nvme1n1=OLD), NEW),
            [*RESCANS, AWAIT, {**AWAIT, 'device': 'nvme1n1', 'number': 8}],
        ),
        # There may be data behind the new end.
        (found(), LESS, [{'verb': 'refuse', 'device': 'nvme0n1', 'size_bytes': LESS}]),
        (
            *(found(LESS, nvme1n1=OLD), LESS),
            [{'verb': 'refuse', 'device': 'nvme1n1', 'size_bytes': LESS}],
        ),
    ],
    ids=['grown', 'done before', 'nothing new', 'lame', 'two devices', 'shrunk', 'one shrunk'],
)
def test_what_follows_from_the_size(
    before: growth.Found, size: int, steps: list[dict[str, Any]]
) -> None:
    plan = growth.resize(before, size).as_dict()
    assert plan['steps'] == steps
    assert json.loads(json.dumps(plan)) == plan


def test_an_array_grows_by_its_own_name() -> None:
    plan = growth.array(FoundArray('md127', 9, '6f5d'))
    assert plan.as_dict() == {
        'growth of': '/dev/md127',
        'steps': [{'verb': 'resize array', 'device': 'md127', 'number': 9, 'uuid': '6f5d'}],
    }
