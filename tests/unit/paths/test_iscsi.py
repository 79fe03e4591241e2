# SPDX-License-Identifier: Apache-2.0
"""Late paths: no one waits for them, they join when they can, and never too late."""

from collections.abc import Callable
import time

import pytest

from os_brick import exception
from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

Host = fake_host.Host


@pytest.fixture
def target(host: Host) -> array.Target:
    """A target on three portals with one volume, LUN 1."""
    found = host.target('t1', portals=3)
    found.luns[1] = array.Unit('gold')
    return found


def connector() -> iscsi.ISCSIConnector:
    return iscsi.ISCSIConnector(None, use_multipath=True)


def comes_true(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether other threads bring it about in time, in real seconds."""
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.01)
    return condition()


def test_a_slow_login_joins_later(host: Host, target: array.Target) -> None:
    before = host.snapshot()
    host.login_seconds = {str(target.portals[2]): 18.0}
    brick = connector()
    props = target.properties(plural=True)
    begun = host.clock.monotonic()
    info = brick.connect_volume(props)
    assert host.clock.monotonic() - begun < 17
    found = host.maps['dm-0']
    assert comes_true(lambda: len(found.disks) == 3)
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_a_closed_portal_joins_when_it_is_back(host: Host, target: array.Target) -> None:
    before = host.snapshot()
    target.portals[1].close()
    brick = connector()
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    found = host.maps['dm-0']
    assert len(found.disks) == 2
    target.portals[1].open()
    assert comes_true(lambda: len(found.disks) == 3)
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_a_slow_login_comes_to_a_detached_volume(host: Host, target: array.Target) -> None:
    """Its session, its disk and its record go as they came."""
    before = host.snapshot()
    host.login_seconds = {str(target.portals[2]): 18.0}
    brick = connector()
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_a_slow_login_comes_to_an_attach_that_failed(host: Host, target: array.Target) -> None:
    before = host.snapshot()
    host.login_seconds = {str(target.portals[2]): 18.0}
    props = target.properties(plural=True, expected_wwid=array.Unit().wwid)
    with pytest.raises(exception.VolumeIdentityMismatch):
        connector().connect_volume(props)
    assert host.snapshot() == before


def test_a_portal_that_is_back_with_another_volume_does_not_join(
    host: Host, target: array.Target
) -> None:
    """While a portal was away its array has mapped another volume to the LUN."""
    other = host.target('t2')
    other.luns[1] = target.luns[1]
    props = target.properties(plural=True)
    for key, value in (('portals', str(other.portals[0])), ('iqns', other.iqn), ('luns', 1)):
        props[f'target_{key}'] = [*props[f'target_{key}'], value]  # type: ignore[misc]
    before = host.snapshot()
    other.portals[0].close()
    brick = connector()
    info = brick.connect_volume(props)
    # A busy machine may take even a path whose portal is there for a late path.
    assert comes_true(lambda: len(host.maps['dm-0'].disks) == len(target.portals))
    attached = host.snapshot()
    other.luns[1] = array.Unit('another')
    asked = len(host.acts)
    other.portals[0].open()
    assert comes_true(lambda: any('--logout' in act for act in host.acts[asked:]))
    assert comes_true(lambda: host.tree.snapshot() == attached)
    assert {disk.unit.name for disk in host.disks.values()} == {'gold'}
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before


def test_a_dead_path_is_back_in_the_map_after_it_has_grown(
    host: Host, target: array.Target
) -> None:
    before = host.snapshot()
    brick = connector()
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    found = host.maps['dm-0']
    dead = found.disks[0]
    host.set_state(dead, 'transport-offline')
    target.luns[1].megabytes = 96
    assert brick.extend_volume(props) == 96 << 20
    assert dead not in found.disks
    host.set_state(dead, 'running')
    assert comes_true(lambda: dead in found.disks)
    assert host.tree.at('/sys/block/' + dead.name + '/size').read_text() == f'{96 * 2048}\n'
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before
