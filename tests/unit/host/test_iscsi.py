# SPDX-License-Identifier: Apache-2.0
"""Sessions as sysfs shows them, and what open-iscsi says."""

from collections.abc import Iterator
import pathlib
import threading

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import iscsi
from os_brick.model import addresses
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[fake_host.Host]:
    with fake_host.Host(tmp_path) as found:
        yield found


def where(portal: array.Portal) -> addresses.Portal:
    return addresses.Portal(portal.address, portal.port)


def test_sessions(host: fake_host.Host) -> None:
    assert iscsi.sessions() == []
    one, two = host.target('t1', portals=2), host.target('t2')
    for portal in one.portals:
        host.log_in(one, portal)
    host.log_in(two, two.portals[0])
    assert [found.number for found in iscsi.sessions()] == [1, 2, 3]
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
    (found,) = iscsi.sessions()
    assert found.target_id == 0


def test_several_sessions_to_one_portal(host: fake_host.Host) -> None:
    target = host.target()
    for _ in range(2):
        host.log_in(target, target.portals[0])
    assert len(iscsi.sessions_at(target.iqn, where(target.portals[0]))) == 2


@pytest.mark.parametrize(
    ('code', 'kind'),
    [
        ('chap', exception.LoginRefused),
        ('unknown', exception.LoginRefused),
        ('closed', exception.FailedISCSITargetPortalLogin),
    ],
)
def test_a_login_that_fails(host: fake_host.Host, code: str, kind: type[Exception]) -> None:
    target = host.target()
    portal = where(target.portals[0])
    target.chap = ('user', 'other') if code == 'chap' else None
    target.knows_initiator = code != 'unknown'
    iscsi.ensure_node(target.iqn, portal, 'default', ('user', 'pa55-word'), wait.Deadline.after(9))
    if code == 'closed':
        target.close()
    with pytest.raises(kind) as caught:
        iscsi.login(target.iqn, portal, 'default', wait.Deadline.after(60))
    for word in (target.iqn, str(portal)):
        assert word in str(caught.value)
    assert 'pa55-word' not in str(caught.value)
    assert isinstance(caught.value, exception.FailedISCSITargetPortalLogin)


def test_a_record_that_is_there_keeps_what_it_says(host: fake_host.Host) -> None:
    target = host.target()
    portal = where(target.portals[0])
    iscsi.ensure_node(target.iqn, portal, 'default', None, wait.Deadline.after(9))
    path = f'/var/lib/iscsi/nodes/{target.iqn}/{portal.address},{portal.port}'
    text = host.tree.at(path).read_text()
    host.tree.file(path, text.replace('nr_sessions = 1', 'nr_sessions = 2'))
    commands = len(host.commands)
    iscsi.ensure_node(target.iqn, portal, 'default', None, wait.Deadline.after(9))
    assert len(host.commands) == commands
    assert 'node.session.nr_sessions = 2' in host.tree.at(path).read_text()
    assert len(iscsi.login(target.iqn, portal, 'default', wait.Deadline.after(60))) == 2


def test_only_the_records_of_these_portals_are_forgotten(host: fake_host.Host) -> None:
    target = host.target(portals=2)
    for portal in target.portals:
        iscsi.ensure_node(target.iqn, where(portal), 'default', None, wait.Deadline.after(9))
    base = f'/var/lib/iscsi/nodes/{target.iqn}'
    first, second = (f'{portal.address},{portal.port}' for portal in target.portals)
    iscsi.forget_nodes(target.iqn, set())
    assert {path.name for path in host.tree.at(base).iterdir()} == {first, second}
    iscsi.forget_nodes(target.iqn, {where(target.portals[0])})
    assert {path.name for path in host.tree.at(base).iterdir()} == {second}
    iscsi.forget_nodes(target.iqn, {where(target.portals[1])})
    assert not host.tree.at(base).exists()


def test_logout(host: fake_host.Host) -> None:
    target = host.target(portals=2)
    for portal in target.portals:
        host.log_in(target, portal)
    first, second = iscsi.sessions()
    iscsi.logout(first, wait.Deadline.after(60))
    assert iscsi.sessions() == [second]
    iscsi.logout(first, wait.Deadline.after(60))  # It has gone already.
    assert iscsi.sessions() == [second]


def test_discover(host: fake_host.Host) -> None:
    target = host.target(portals=2)
    found = iscsi.discover(where(target.portals[0]), 'default', None, wait.Deadline.after(60))
    assert found == [(where(portal), target.iqn) for portal in target.portals]
    target.portals[0].close()
    with pytest.raises(exception.TargetPortalNotFound, match=str(target.portals[0])):
        iscsi.discover(where(target.portals[0]), 'default', None, wait.Deadline.after(60))


@pytest.mark.parametrize(
    ('line', 'found'),
    [
        ('10.99.0.1:3260,1 iqn.2026-11.org.lab:t1', ('10.99.0.1:3260', 'iqn.2026-11.org.lab:t1')),
        ('[fe80::1]:3260,2 iqn.a:b', ('[fe80::1]:3260', 'iqn.a:b')),
        ('10.99.0.1:3260,1 eui.02004567A425678D', ('10.99.0.1:3260', 'eui.02004567A425678D')),
        ('', None),
        ('iscsiadm: No portals found', None),
        ('10.99.0.1:3260,1 x', None),
        ('x:y:z iqn.a:b', None),
    ],
)
def test_lines_of_a_discovery(line: str, found: tuple[str, str] | None) -> None:
    """The first is from iscsiadm 2.1.11."""
    expected = (addresses.Portal.parse(found[0]), found[1]) if found else None
    assert iscsi._discovered(line) == expected


@given(st.text(max_size=60))
def test_any_line_of_a_discovery(line: str) -> None:
    found = iscsi._discovered(line)
    assert found is None or found[1] in line


def test_reachable(host: fake_host.Host) -> None:
    target = host.target()
    assert iscsi.why_unreachable(where(target.portals[0])) is None
    target.close()
    assert iscsi.why_unreachable(where(target.portals[0]), 1.0)


def test_initiator_name(host: fake_host.Host) -> None:
    assert iscsi.initiator_name() == 'iqn.2026-11.org.lab:init'


def test_iface_transport(host: fake_host.Host) -> None:
    assert iscsi.iface_transport('default') == 'tcp'
    assert iscsi.iface_transport('none') is None


def _connect_twice(host: fake_host.Host) -> tuple[list[object], dict[str, bytes]]:
    target = host.target()
    portal = where(target.portals[0])
    found: list[object] = []

    def discover() -> None:
        try:
            secret = ('user', 'pa55-word')
            deadline = wait.Deadline.after(60)
            found.append(iscsi.discover(portal, 'default', secret, deadline))
        except Exception as error:
            found.append(error)

    before = _records(host)
    threads = [threading.Thread(target=discover) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all('pa55-word' in text for text in host.discovered_with)
    assert _records(host) == before
    return found, before


def _records(host: fake_host.Host) -> dict[str, bytes]:
    home = host.tree.at('/var/lib/iscsi')
    return {str(path): path.read_bytes() for path in home.rglob('*') if path.is_file()}


def test_discoveries_with_credentials_side_by_side(host: fake_host.Host) -> None:
    """One deleted the record that another was about to use: "No records found" (defect 14)."""
    found, before = _connect_twice(host)
    assert before == {}
    assert found[0]
    assert found == [found[0]] * 4


def test_discoveries_keep_an_operators_credentials(host: fake_host.Host) -> None:
    target = host.target()
    portal = target.portals[0]
    host.tree.file(
        f'/var/lib/iscsi/send_targets/{portal.address},{portal.port}/st_config',
        'discovery.type = sendtargets\ndiscovery.sendtargets.auth.password = operators-own\n',
    )
    deadline = wait.Deadline.after(60)
    before = _records(host)
    assert before
    assert iscsi.discover(where(portal), 'default', ('user', 'pa55-word'), deadline)
    assert _records(host) == before
