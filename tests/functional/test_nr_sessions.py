# SPDX-License-Identifier: Apache-2.0
"""`nr_sessions` above 1: several sessions to one portal."""

import pytest

from tests.functional import lab, support


@pytest.fixture
def two_sessions(clean_host):
    """Node records that are made during the test ask for two sessions a portal."""
    lab.daemons.iscsid_default('node.session.nr_sessions', '2')
    yield
    lab.daemons.start_iscsid()


@pytest.mark.parametrize('portals', [1, 2])
def test_every_session_is_used(shelf, multi, two_sessions, portals):
    """`nr_sessions` above 1: all sessions are scanned on attach, all disks extended, all
    removed."""
    volume = support.stamped(shelf, 'sessions')
    target = shelf.target('sessions', portals)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2 * portals)
    assert support.session_count(target.iqn) == 2 * portals
    support.assert_is(info['path'], volume)
    bigger = volume.grow(48)
    assert multi.extend_volume(props) == bigger
    assert {support.size(f'/dev/{disk}') for disk in support.disks_of(info['path'])} == {bigger}
    multi.disconnect_volume(props, info)
    assert support.session_count(target.iqn) == 0


def test_single_path(shelf, single, two_sessions):
    """The same without multipath: one disk is returned, and detach removes both."""
    volume = support.stamped(shelf, 'sess1')
    target = shelf.target('sess1', 1)
    target.map(1, volume)
    props = target.properties(1)
    info = single.connect_volume(props)
    assert support.read(info['path']).startswith(b'sess1 ')
    single.disconnect_volume(props, info)
    assert support.session_count(target.iqn) == 0
