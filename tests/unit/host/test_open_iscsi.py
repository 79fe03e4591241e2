# SPDX-License-Identifier: Apache-2.0
"""What open-iscsi is asked for: records, logins, discoveries; and what it reports."""

import threading

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import iscsi, machine, open_iscsi
from os_brick.model import addresses
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host


def where(portal: array.Portal) -> addresses.Portal:
    return addresses.Portal(portal.address, portal.port)


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
    if code == 'closed':
        target.close()
    with pytest.raises(kind) as caught:
        open_iscsi.log_in(
            target.iqn, portal, 'default', ('user', 'pa55-word'), wait.Deadline.after(60)
        )
    for word in (target.iqn, str(portal)):
        assert word in str(caught.value)
    assert 'pa55-word' not in str(caught.value)
    assert isinstance(caught.value, exception.FailedISCSITargetPortalLogin)


def test_a_record_that_is_there_keeps_what_it_says(host: fake_host.Host) -> None:
    target = host.target()
    portal = where(target.portals[0])
    open_iscsi.log_in(target.iqn, portal, 'default', None, wait.Deadline.after(60))
    (session,) = host.sessions.values()
    host.log_out(session)
    path = f'/var/lib/iscsi/nodes/{target.iqn}/{portal.address},{portal.port}'
    text = host.tree.at(path).read_text()
    host.tree.file(path, text.replace('nr_sessions = 1', 'nr_sessions = 2'))
    commands = len(host.commands)
    found = open_iscsi.log_in(target.iqn, portal, 'default', None, wait.Deadline.after(60))
    assert len(found) == 2
    assert len(host.commands) == commands + 1  # The login alone.
    assert 'node.session.nr_sessions = 2' in host.tree.at(path).read_text()


def test_only_the_records_of_these_portals_are_forgotten(host: fake_host.Host) -> None:
    target = host.target(portals=2)
    for portal in target.portals:
        open_iscsi.log_in(target.iqn, where(portal), 'default', None, wait.Deadline.after(60))
    base = f'/var/lib/iscsi/nodes/{target.iqn}'
    first, second = (f'{portal.address},{portal.port}' for portal in target.portals)
    open_iscsi.forget_nodes(target.iqn, set())
    assert {path.name for path in host.tree.at(base).iterdir()} == {first, second}
    open_iscsi.forget_nodes(target.iqn, {where(target.portals[0])})
    assert {path.name for path in host.tree.at(base).iterdir()} == {second}
    open_iscsi.forget_nodes(target.iqn, {where(target.portals[1])})
    assert not host.tree.at(base).exists()


def test_logout(host: fake_host.Host) -> None:
    target = host.target(portals=2)
    for portal in target.portals:
        host.log_in(target, portal)
    first, second = iscsi.sessions(target.iqn)
    open_iscsi.logout(first, wait.Deadline.after(60))
    assert iscsi.sessions(target.iqn) == [second]
    open_iscsi.logout(first, wait.Deadline.after(60))  # It has gone already.
    assert iscsi.sessions(target.iqn) == [second]


def test_discover(host: fake_host.Host) -> None:
    target = host.target(portals=2)
    found = open_iscsi.discover(where(target.portals[0]), 'default', None, wait.Deadline.after(60))
    assert found == [(where(portal), target.iqn) for portal in target.portals]
    target.portals[0].close()
    with pytest.raises(exception.TargetPortalNotFound, match=str(target.portals[0])):
        open_iscsi.discover(where(target.portals[0]), 'default', None, wait.Deadline.after(60))


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
    assert open_iscsi._discovered(line) == expected


@given(st.text(max_size=60))
def test_any_line_of_a_discovery(line: str) -> None:
    found = open_iscsi._discovered(line)
    assert found is None or found[1] in line


def test_initiator_name(host: fake_host.Host) -> None:
    assert machine.iscsi_name() == 'iqn.2026-11.org.lab:init'


def test_iface_transport(host: fake_host.Host) -> None:
    assert open_iscsi.iface_transport('default') == 'tcp'
    assert open_iscsi.iface_transport('none') is None


def _connect_twice(host: fake_host.Host) -> tuple[list[object], dict[str, bytes]]:
    target = host.target()
    portal = where(target.portals[0])
    found: list[object] = []

    def discover() -> None:
        try:
            secret = ('user', 'pa55-word')
            deadline = wait.Deadline.after(60)
            found.append(open_iscsi.discover(portal, 'default', secret, deadline))
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
    assert open_iscsi.discover(where(portal), 'default', ('user', 'pa55-word'), deadline)
    assert _records(host) == before


@pytest.mark.parametrize('text', ['GenerateName=yes\n', '', '# InitiatorName=iqn.x:y\n'])
def test_a_file_without_a_name_is_told_once_with_the_remedy(
    host: fake_host.Host, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As Debian installs it, before open-iscsi's service has run for the first time."""
    host.tree.file('/etc/iscsi/initiatorname.iscsi', text)
    assert machine.iscsi_name() is None
    (record,) = caplog.records
    assert record.levelname == 'WARNING'
    assert '/etc/iscsi/initiatorname.iscsi' in record.getMessage()
    assert 'iscsi-iname' in record.getMessage()


def test_a_host_without_the_file_is_not_meant_for_iscsi(
    host: fake_host.Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.tree.remove('/etc/iscsi/initiatorname.iscsi')
    assert machine.iscsi_name() is None
    assert not caplog.records


def test_a_name_that_cannot_be_read_is_told(
    host: fake_host.Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.tree.remove('/etc/iscsi/initiatorname.iscsi')
    host.tree.directory('/etc/iscsi/initiatorname.iscsi')
    assert machine.iscsi_name() is None
    assert '/etc/iscsi/initiatorname.iscsi cannot be read' in caplog.text
