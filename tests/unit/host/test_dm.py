# SPDX-License-Identifier: Apache-2.0
"""Device-mapper: recorded status lines, any text, and whose map is whose."""

import json
import pathlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.core import files
from os_brick.host import dm
from os_brick.model import dm_status
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost import tree as fake_tree

MAP: dict[str, Any] = json.loads(
    (pathlib.Path(__file__).parents[1] / 'fakehost/recorded/guest.json').read_text()
)['iscsi']['map']
WORDS = st.sampled_from(
    ['multipath', '0', '1', '2', '3', '-1', 'A', 'F', '8:0', '8:16', 'E', 'D', '999999999', 'x', '']
)


@pytest.mark.parametrize(
    ('state', 'active', 'queues', 'suspended'),
    [
        ('all active', 2, False, False),
        ('one failed', 1, False, False),
        ('all failed', 0, False, False),
        ('queueing', 0, True, False),
        ('again', 2, False, False),
        ('suspended', 2, False, True),
    ],
)
def test_recorded_status(state: str, active: int, queues: bool, suspended: bool) -> None:
    """Linux 6.12.107, a map of multipath-tools 0.11.1 over two iSCSI disks."""
    opened, is_suspended, now, table = MAP['status'][state]
    assert dm_status.active_paths(now) == active
    assert ('queue_if_no_path' in table) is queues
    assert is_suspended is suspended
    assert opened == 0


@pytest.mark.parametrize(
    ('text', 'active'),
    [
        ('', 0),
        ('linear ', 0),
        ('multipath', 0),
        # dm-mpath.c, without and with features, a handler, two groups.
        ('multipath 2 0 0 0 1 1 A 0 1 2 8:0 A 0 0 1 ', 1),
        ('multipath 2 0 1 0 2 1 A 0 2 2 8:0 A 0 0 1 8:16 F 3 0 1 E 0 1 2 8:32 A 0 0 1 ', 2),
        ('multipath 2 0 0 2 x y 1 1 A 0 1 2 8:0 A 0 0 1 ', 1),
        ('multipath 2 0 0 0 2 1 D 0 0 2 A 0 1 2 8:0 A 0 0 1 ', 1),
        # service-time, queue-length and round-robin say 2, 1 and 0 words a path.
        ('multipath 2 0 0 0 1 1 A 0 2 0 8:0 A 0 8:16 A 0 ', 2),
        ('multipath 2 0 0 0 1 1 A 0 2 1 8:0 F 0 0 8:16 A 0 0 ', 1),
        ('multipath 2 0 0 0 0 0 ', 0),
    ],
)
def test_active_paths(text: str, active: int) -> None:
    assert dm_status.active_paths(text) == active


@given(
    st.text(max_size=60)
    | st.lists(WORDS, max_size=30).map(' '.join)
    | st.lists(WORDS, max_size=30).map(lambda words: ' '.join(['multipath', *words]))
)
def test_any_text_is_some_number(text: str) -> None:
    assert 0 <= dm_status.active_paths(text) <= len(text.split())


def test_no_wwid_is_no_map(tmp_path: pathlib.Path) -> None:
    tree = fake_tree.Tree(tmp_path)
    tree.value('/sys/block/dm-0/dm/uuid', 'LVM-abc')
    with files.use(str(tmp_path)):
        assert dm.multipath_of('') is None


def test_the_maps_of_this_host(tmp_path: pathlib.Path) -> None:
    tree = fake_tree.Tree(tmp_path)
    for name, uuid, map_name in (
        ('dm-0', 'LVM-abc', 'vg-lv'),
        ('dm-1', 'mpath-36001', 'mpatha'),
        ('dm-2', 'part1-mpath-36001', 'mpatha1'),
        ('dm-3', 'CRYPT-LUKS2-x', 'secret'),
        ('dm-4', '', 'plain'),
        ('dm-5', 'mpath-36002', 'mpathb'),
    ):
        base = f'/sys/devices/virtual/block/{name}'
        tree.value(f'{base}/dm/uuid', uuid)
        tree.value(f'{base}/dm/name', map_name)
        tree.directory(f'{base}/holders')
        tree.link(f'/sys/block/{name}', base)
        tree.link(f'/sys/class/block/{name}', base)
    for disk, holders in (('sda', ['dm-0', 'dm-1']), ('sdb', ['dm-3']), ('sdc', [])):
        tree.directory(f'/sys/class/block/{disk}/holders')
        for holder in holders:
            tree.directory(f'/sys/class/block/{disk}/holders/{holder}')
    tree.directory('/sys/class/block/dm-1/holders/dm-2')
    with files.use(str(tmp_path)):
        assert dm.wwid('dm-1') == '36001'
        assert [dm.wwid(f'dm-{number}') for number in (0, 2, 3, 4, 99)] == [''] * 5
        assert dm.multipath_over(['sdc', 'sda']) == 'dm-1'
        assert dm.multipath_over(['sdb', 'sdc', 'sdq']) is None
        assert dm.multipath_of('36002') == 'dm-5'
        assert dm.multipath_of('3600') is None
        assert dm.partition_maps('dm-1') == ['dm-2']
        assert dm.name('dm-1') == 'mpatha'


def test_status_asks_the_kernel(tmp_path: pathlib.Path) -> None:
    """Through the kernel's own structures, by UUID."""
    with fake_host.Host(tmp_path) as host:
        target = host.target()
        target.luns[1] = array.Unit()
        session = host.log_in(target, target.portals[0])
        host.tree.file(f'/sys/class/scsi_host/host{session.host}/scan', '0 0 1')
        host.snapshot()
        assert host.claim('sda')
        found = host.maps['dm-0']
        uuid = dm.uuid_of(found.wwid)
        found.open_count, found.is_suspended = 3, True
        assert dm.status(uuid) == dm.Status(open_count=3, is_suspended=True, active_paths=1)
        host.maps.clear()
        with pytest.raises(OSError, match='No such device'):
            dm.status(uuid)
        host.maps['dm-0'] = found
