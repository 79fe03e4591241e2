# SPDX-License-Identifier: Apache-2.0
"""Portals with host names, and name servers that are away."""

import contextlib

import pytest

from os_brick import exception
from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host


def _named(target: array.Target, name: str = 'portal.lab') -> dict[str, object]:
    return target.properties(target_portal=f'{name}:{target.portals[0].port}')


@pytest.fixture
def target(host: fake_host.Host) -> array.Target:
    """A target whose volume was attached by its portal's address."""
    found = host.target()
    found.luns[1] = array.Unit('gold')
    iscsi.ISCSIConnector(None).connect_volume(found.properties())
    return found


@pytest.mark.parametrize('name', ['unknown.lab', 'hangs.lab'])
@pytest.mark.parametrize('force', [False, True])
def test_detach_does_not_take_an_unknown_name_for_a_volume_that_is_not_here(
    host: fake_host.Host, target: array.Target, name: str, force: bool
) -> None:
    host.network.names['hangs.lab'] = None
    before = host.snapshot()
    with pytest.raises(exception.BrickException, match=name):
        iscsi.ISCSIConnector(None).disconnect_volume(_named(target, name), None, force=force)
    assert host.snapshot() == before


@pytest.mark.parametrize('name', ['unknown.lab', 'hangs.lab'])
def test_extend_names_what_does_not_resolve(
    host: fake_host.Host, target: array.Target, name: str
) -> None:
    host.network.names['hangs.lab'] = None
    with pytest.raises(exception.TargetPortalNotFound, match=name):
        iscsi.ISCSIConnector(None).extend_volume(_named(target, name))


@pytest.mark.parametrize('name', ['unknown.lab', 'hangs.lab'])
@pytest.mark.parametrize('multipath', [False, True])
def test_attach_names_what_does_not_resolve_and_leaves_nothing(
    host: fake_host.Host, target: array.Target, name: str, multipath: bool
) -> None:
    host.network.names['hangs.lab'] = None
    before = host.snapshot()
    connector = iscsi.ISCSIConnector(None, use_multipath=multipath)
    props = target.properties(
        target_portals=[f'{name}:3260'], target_iqns=[target.iqn], target_luns=[1]
    )
    with pytest.raises(exception.BrickException, match=name):
        connector.connect_volume(props)
    assert host.snapshot() == before


def test_the_session_of_a_names_address_is_found(
    host: fake_host.Host, target: array.Target
) -> None:
    host.network.names['portal.lab'] = (target.portals[0].address,)
    connector = iscsi.ISCSIConnector(None)
    assert connector.extend_volume(_named(target)) == 64 << 20
    connector.disconnect_volume(_named(target), None)
    assert not host.sessions
    assert not host.disks


def test_a_target_without_a_session_is_not_here_whatever_its_name_means(
    host: fake_host.Host,
) -> None:
    """Nothing is looked up for it, so a detach that is tried again does not depend on DNS."""
    iscsi.ISCSIConnector(None).disconnect_volume(_named(host.target()), None)
    assert host.network.lookups == []


def test_a_name_is_looked_up_once_an_operation(host: fake_host.Host, target: array.Target) -> None:
    with pytest.raises(exception.TargetPortalNotFound):
        iscsi.ISCSIConnector(None).extend_volume(_named(target))
    with contextlib.suppress(exception.BrickException):
        iscsi.ISCSIConnector(None).connect_volume(_named(target))
    assert len(host.network.lookups) <= 2
