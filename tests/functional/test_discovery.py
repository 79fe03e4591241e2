# SPDX-License-Identifier: Apache-2.0
"""Targets that are found by sendtargets, and what discovery must not touch."""

import pytest

from os_brick import exception
from tests.functional import lab, support


def test_discovery_finds_every_portal(shelf, multi):
    """Discovered: singular keys, a multipath connector, four portals of which one is named."""
    volume = support.stamped(shelf, 'found')
    target = shelf.target('found', 4)
    target.map(1, volume)
    props = target.properties(1)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 4)
    support.assert_is(info['path'], volume)
    multi.disconnect_volume(props, info)


def test_discovery_leaves_records_of_others_alone(shelf, multi):
    """Sendtargets must not rewrite the records of other volumes on the same portal: their
    start-up, CHAP and scan settings stay."""
    mine, theirs = support.stamped(shelf, 'mine'), support.stamped(shelf, 'theirs')
    target, other = shelf.target('mine', 1), shelf.target('theirs', 1)
    target.map(1, mine)
    other.map(1, theirs)
    base = ('iscsiadm', '-m', 'node', '-T', other.iqn, '-p', other.portals[0])
    lab.shell.run(*base, '--op', 'new')
    settings = {'node.session.auth.username': 'neighbour', 'node.session.scan': 'manual'}
    for name, value in settings.items():
        lab.shell.run(*base, '--op', 'update', '-n', name, '-v', value)
    before = lab.shell.run(*base, '--op', 'show')
    try:
        info = multi.connect_volume(target.properties(1))
        assert lab.shell.run(*base, '--op', 'show') == before
        multi.disconnect_volume(target.properties(1), info)
        assert lab.shell.run(*base, '--op', 'show') == before
    finally:
        lab.shell.run(*base, '--op', 'delete', check=False)


def test_only_our_target_of_a_shared_portal(shelf, multi):
    """A portal that serves several targets: only ours is logged in to, so that the LUN of the
    same number of another target is never attached (nor merged into our map)."""
    mine, theirs = support.stamped(shelf, 'ours'), support.stamped(shelf, 'foreign')
    target, other = shelf.target('ours', 2), shelf.target('foreign', 1)
    target.map(1, mine)
    other.map(1, theirs)
    props = target.properties(1)
    info = multi.connect_volume(props)
    support.assert_is(info['path'], mine)
    support.wait_disks(info['path'], 2)
    assert support.session_count(other.iqn) == 0
    multi.disconnect_volume(props, info)


def test_one_path_of_a_discovered_target_gone(shelf, multi):
    """A portal that discovery names but that refuses: the map of the others is returned."""
    volume = support.stamped(shelf, 'partly')
    target = shelf.target('partly', 3, apart=True)
    target.map(1, volume)
    target.groups[2].chap('somebody', 'else-entirely-9')
    props = target.properties(1)
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2)
    support.assert_is(info['path'], volume)
    multi.disconnect_volume(props, info)


def test_discovery_chap(shelf, multi):
    """CHAP one-way and discovery CHAP: the secrets of discovery are used for discovery."""
    volume = support.stamped(shelf, 'dchap')
    target = shelf.target('dchap', 2)
    target.map(1, volume)
    lab.lio.discovery_chap('finder', 'finder-secret-1')
    try:
        props = target.properties(
            1,
            discovery_auth_method='CHAP',
            discovery_auth_username='finder',
            discovery_auth_password='finder-secret-1',
        )
        info = multi.connect_volume(props)
        support.wait_disks(info['path'], 2)
        support.assert_is(info['path'], volume)
        multi.disconnect_volume(props, info)
    finally:
        lab.lio.discovery_chap()


def test_wrong_discovery_secret(shelf, multi):
    """Discovery that is refused is an error that names the portal, and leaves nothing."""
    volume = support.stamped(shelf, 'dwrong')
    target = shelf.target('dwrong', 1)
    target.map(1, volume)
    lab.lio.discovery_chap('finder', 'finder-secret-1')
    try:
        props = target.properties(
            1,
            discovery_auth_method='CHAP',
            discovery_auth_username='finder',
            discovery_auth_password='wrong-secret-22',
        )
        with pytest.raises(exception.BrickException) as caught:
            multi.connect_volume(props)
        assert target.portals[0] in str(caught.value)
        assert 'wrong-secret-22' not in support.text_of(caught.value)
    finally:
        lab.lio.discovery_chap()


def test_target_that_is_not_there(shelf, multi):
    """The portal answers, but does not know the target: an error that names both."""
    target = shelf.target('known', 1)
    props = target.properties(1, target_iqn='iqn.2026-11.org.lab:unknown')
    with support.Stopwatch() as watch, pytest.raises(exception.BrickException) as caught:
        multi.connect_volume(props)
    assert 'iqn.2026-11.org.lab:unknown' in str(caught.value)
    assert watch.seconds < 30


def test_refusing_portal(shelf, multi, single):
    """No one listens at the portal: an error that names it, at once."""
    target = shelf.target('nobody', 1)
    portal = lab.net.portal(lab.net.REFUSING)
    props = target.properties(1, target_portal=portal)
    for connector in (multi, single):
        with pytest.raises(exception.BrickException) as caught:
            connector.connect_volume(props)
        assert portal in str(caught.value)
