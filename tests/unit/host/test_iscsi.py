# SPDX-License-Identifier: Apache-2.0
"""iSCSI sessions as sysfs shows them."""

import pytest

from os_brick import exception
from os_brick.host import iscsi
from os_brick.model import addresses
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host


def where(portal: array.Portal) -> addresses.Portal:
    return addresses.Portal(portal.address, portal.port)


def test_sessions(host: fake_host.Host) -> None:
    assert iscsi.nexuses() == []
    one, two = host.target('t1', portals=2), host.target('t2')
    for portal in one.portals:
        host.log_in(one, portal)
    host.log_in(two, two.portals[0])
    assert [found.number for found in iscsi.nexuses()] == [1, 2, 3]
    assert [found.number for found in iscsi.sessions(one.iqn.upper())] == [1, 2]
    (found,) = iscsi.sessions_at(one.iqn, where(one.portals[1]))
    assert (found.number, found.host, found.target_id, found.iface) == (2, 4, 0, 'default')
    assert found.is_logged_in
    assert str(found) == f'session 2 to {one.iqn} at {one.portals[1]}'
    assert str(found.address(7)) == '4:0:0:7'
    assert iscsi.session(99) is None


def test_a_portal_in_another_spelling_is_the_same_session(host: fake_host.Host) -> None:
    target = host.target()
    session = host.log_in(target, target.portals[0])
    base = f'/sys/class/iscsi_connection/connection{session.number}:0'
    host.tree.value(f'{base}/persistent_address', 'FE80:0:0:0:0:0:0:1')
    host.tree.value(f'{base}/address', 'fe80::2')
    for text in ('[fe80::1]', '[fe80:0::1]', '[fe80::2]'):
        portal = addresses.Portal.parse(f'{text}:{target.portals[0].port}')
        assert len(iscsi.sessions_at(target.iqn, portal)) == 1
    other = addresses.Portal.parse(f'[fe80::3]:{target.portals[0].port}')
    assert iscsi.sessions_at(target.iqn, other) == []


def test_a_host_name_is_the_session_of_its_address(host: fake_host.Host) -> None:
    target = host.target()
    session = host.log_in(target, target.portals[0])
    host.network.names = {'portal.lab': ('10.0.0.1', '127.0.0.1'), 'hangs.lab': None}
    portal = addresses.Portal.parse(f'portal.lab:{target.portals[0].port}')
    assert len(iscsi.sessions_at(target.iqn, portal)) == 1
    for name in ('no-such-name.invalid', 'hangs.lab'):
        nowhere = addresses.Portal.parse(f'{name}:3260')
        with pytest.raises(exception.TargetPortalNotFound, match=name):
            iscsi.sessions_at(target.iqn, nowhere)
        assert not iscsi.sessions_of_record(target.iqn, nowhere)
    host.log_out(session)
    assert iscsi.sessions_at(target.iqn, nowhere) == []


@pytest.mark.parametrize('target_id', ['4294967295', '-1', '', 'x'])
def test_a_session_without_a_target_number_yet(host: fake_host.Host, target_id: str) -> None:
    target = host.target()
    session = host.log_in(target, target.portals[0])
    host.tree.value(f'{session.base}/iscsi_session/session1/target_id', target_id)
    (found,) = iscsi.nexuses()
    assert str(found.address(2)) == f'{session.host}:0:0:2'
    host.tree.value(f'{session.base}/iscsi_session/session1/target_id', '3')
    (found,) = iscsi.sessions(target.iqn)
    assert str(found.address(2)) == f'{session.host}:0:3:2'


def test_a_later_session_of_the_same_number_is_read_anew(host: fake_host.Host) -> None:
    """The kernel counts from 1 again when the module of its iSCSI transport was loaded again."""
    one, two = host.target('t1'), host.target('t2')
    session = host.log_in(one, one.portals[0])
    assert [each.target for each in iscsi.nexuses()] == [one.iqn]
    link = f'{session.base}/iscsi_session/session1'
    host.tree.value(f'{link}/targetname', two.iqn)
    assert [each.target for each in iscsi.nexuses()] == [one.iqn]
    host.tree.link('/sys/class/iscsi_session/session1', link)
    assert [each.target for each in iscsi.nexuses()] == [two.iqn]


def test_several_sessions_to_one_portal(host: fake_host.Host) -> None:
    target = host.target()
    for _ in range(2):
        host.log_in(target, target.portals[0])
    assert len(iscsi.sessions_at(target.iqn, where(target.portals[0]))) == 2


def test_reachable(host: fake_host.Host) -> None:
    target = host.target()
    assert iscsi.why_unreachable(where(target.portals[0])) is None
    target.close()
    assert iscsi.why_unreachable(where(target.portals[0]), 1.0)


def test_a_session_that_has_no_name_yet_is_read_again(host: fake_host.Host) -> None:
    """Another thread's login is under way: the kernel shows a session before its name."""
    target = host.target('t1')
    session = host.log_in(target, target.portals[0])
    place = f'/sys/class/iscsi_session/session{session.number}/targetname'
    host.tree.value(place, '(null)')
    assert iscsi.sessions(target.iqn) == []
    host.tree.value(place, target.iqn)
    assert [found.number for found in iscsi.sessions(target.iqn)] == [session.number]
