# SPDX-License-Identifier: Apache-2.0
"""A new record by the pattern of an earlier one is what iscsiadm would have made."""

from collections.abc import Callable, Iterator
import os
import pathlib
import re

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import open_iscsi
from os_brick.model import addresses, iscsi_record
from os_brick.privileged import iscsi_pattern
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

Host = fake_host.Host
DEFAULTS = '/etc/iscsi/iscsid.conf'


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with Host(tmp_path) as found:
        found.tree.file(DEFAULTS, 'node.startup = manual\n')
        yield found


def attach(target: array.Target, number: int = 0) -> None:
    portal = target.portals[number]
    open_iscsi.log_in(target.iqn, where(portal), 'default', None, wait.Deadline.after(60))


def where(portal: array.Portal) -> addresses.Portal:
    return addresses.Portal(portal.address, portal.port)


def made(host: Host) -> int:
    """How often iscsiadm has made a record."""
    return sum('new' in argv for argv in host.commands)


def records(host: Host, target: array.Target) -> dict[str, str]:
    home = host.tree.at(f'/var/lib/iscsi/nodes/{target.iqn}')
    return {path.name: path.read_text() for path in home.iterdir()} if home.exists() else {}


def test_only_the_first_record_is_made_by_iscsiadm(host: Host) -> None:
    one, other = host.target('one', portals=2), host.target('other')
    attach(one)
    attach(one, 1)
    attach(other)
    assert made(host) == 1
    assert len(host.sessions) == 3
    first, second = (records(host, one)[f'{p.address},{p.port}'] for p in one.portals)
    for portal, target, text in ((one.portals[1], one, second), (other.portals[0], other, None)):
        text = text or records(host, target)[f'{portal.address},{portal.port}']
        assert iscsi_record.value(text, 'node.name') == target.iqn
        assert iscsi_record.value(text, 'node.conn[0].address') == portal.address
        assert iscsi_record.value(text, 'node.conn[0].port') == str(portal.port)
    same = [iscsi_record.name_of(line) for line in first.split('\n')]
    assert [iscsi_record.name_of(line) for line in second.split('\n')] == same


def test_such_a_record_is_ours_and_goes(host: Host) -> None:
    one, other = host.target('one'), host.target('other')
    attach(one)
    before = host.snapshot()
    attach(other)
    (session,) = (each for each in host.sessions.values() if each.target is other)
    host.log_out(session)
    open_iscsi.restore_node(other.iqn, where(other.portals[0]))
    assert host.snapshot() == before


def _changed(host: Host) -> None:
    host.tree.file(DEFAULTS, 'node.startup = automatic\n')


def _changed_in_place(host: Host) -> None:
    path = host.tree.at(DEFAULTS)
    before = path.stat()
    path.write_text('node.startup = automat\n')  # As long as it was.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _touched(host: Host) -> None:
    os.utime(host.tree.at(DEFAULTS), (1, 1))


def _with_iface(host: Host) -> None:
    host.tree.file('/etc/iscsi/ifaces/default', 'iface.mtu = 9000\n')


@pytest.mark.parametrize('change', [_changed, _changed_in_place, _touched, _with_iface])
def test_what_a_record_comes_of_has_changed(host: Host, change: Callable[[Host], None]) -> None:
    one, other = host.target('one'), host.target('other')
    attach(one)
    change(host)
    attach(other)
    assert made(host) == 2


def test_defaults_that_are_not_in_their_place_may_change_unseen(host: Host) -> None:
    host.tree.remove(DEFAULTS)
    one, other = host.target('one'), host.target('other')
    attach(one)
    attach(other)
    assert made(host) == 2


@pytest.mark.parametrize('by', ['pattern', 'iscsiadm'])
@pytest.mark.parametrize('startup', ['automatic', 'manual'])
def test_the_place_has_another_ifaces_record(host: Host, by: str, startup: str) -> None:
    """open-iscsi writes over it ("drop down to old style portal as config", usr/idbm.c)."""
    one, other = host.target('one'), host.target('other')
    attach(one)
    if by == 'iscsiadm':
        iscsi_pattern._patterns.clear()
    place = _with_record_of(host, one, other, '\nnode.session.scan = auto\n', startup)
    before = host.snapshot()
    with pytest.raises(exception.BrickException, match=f'{place}.*bnx2i.00.*portal group tag'):
        attach(other)
    open_iscsi.restore_node(other.iqn, where(other.portals[0]))
    open_iscsi.forget_nodes(other.iqn, {where(other.portals[0])})
    assert host.snapshot() == before


def test_the_place_has_a_record_that_an_attach_has_left(host: Host) -> None:
    """By another iface, in a service that was killed: nothing is lost with it."""
    one, other = host.target('one'), host.target('other')
    attach(one)
    before = host.snapshot()
    _with_record_of(host, one, other, '\nnode.session.scan = manual\n', 'manual')
    attach(other)
    assert made(host) == 2
    (session,) = (each for each in host.sessions.values() if each.target is other)
    host.log_out(session)
    open_iscsi.restore_node(other.iqn, where(other.portals[0]))
    assert host.snapshot() == before


def _with_record_of(
    host: Host, one: array.Target, other: array.Target, scan: str, startup: str
) -> str:
    """Have a record of another iface, without a portal group tag; where it is."""
    portal = other.portals[0]
    place = f'/var/lib/iscsi/nodes/{other.iqn}/{portal.address},{portal.port}'
    text = next(iter(records(host, one).values())).replace(one.iqn, other.iqn)
    text = text.replace('ifacename = default', 'ifacename = bnx2i.00')
    text = re.sub('\nnode.session.scan = .*\n', scan, text)
    text = re.sub('\nnode.startup = .*\n', f'\nnode.startup = {startup}\n', text)
    host.tree.file(place, text.replace('# Made by os-brick', '# Of'))
    return place


def test_what_is_kept_shows_no_secret(host: Host) -> None:
    host.tree.file(DEFAULTS, 'node.session.auth.password = SESAME\n')
    attach(host.target('one'))
    assert 'SESAME' not in repr(iscsi_pattern._patterns)


def test_an_existing_record_is_no_pattern(host: Host) -> None:
    """It may say anything: an operator has made it."""
    one, other = host.target('one'), host.target('other')
    attach(one)
    (session,) = host.sessions.values()
    host.log_out(session)
    attach(one)
    assert made(host) == 1
    portal = other.portals[0]
    host.tree.file(
        f'/var/lib/iscsi/nodes/{other.iqn}/{portal.address},{portal.port}',
        next(iter(records(host, one).values()))
        .replace(one.iqn, other.iqn)
        .replace(one.portals[0].address, portal.address)
        .replace(str(one.portals[0].port), str(portal.port))
        .replace('nr_sessions = 1', 'nr_sessions = 2')
        .partition('# Made by')[0],
    )
    attach(other)
    third = host.target('third')
    attach(third)
    assert 'nr_sessions = 1' in next(iter(records(host, third).values()))
