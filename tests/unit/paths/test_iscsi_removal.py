# SPDX-License-Identifier: Apache-2.0
"""What takes iSCSI paths away leaves what other volumes use."""

import pytest

from os_brick.core import wait
from os_brick.host import iscsi, open_iscsi
from os_brick.model import addresses
from os_brick.paths import iscsi_removal
from os_brick.request.iscsi import IscsiPath
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

Host = fake_host.Host


@pytest.fixture
def target(host: Host) -> array.Target:
    """A target with the volumes gold (LUN 1) and silver (LUN 2), and a record that is ours."""
    found = host.target('t1')
    found.luns |= {1: array.Unit('gold'), 2: array.Unit('silver')}
    deadline = wait.Deadline.after(30)
    open_iscsi.log_in(found.iqn, where(found), 'default', None, deadline)
    return found


def where(target: array.Target) -> addresses.Portal:
    return addresses.Portal(target.portals[0].address, target.portals[0].port)


def bring(host: Host, *luns: int) -> None:
    (session,) = host.sessions.values()
    for lun in luns:
        host.find_lun(session, lun)
    host.settle()


def leave(target: array.Target, lun: int = 1) -> None:
    path = IscsiPath(where(target), target.iqn, lun)
    own = [(session, lun) for session in iscsi.sessions(target.iqn)]
    iscsi_removal.leave([path], own, wait.Deadline.after(60), is_forced=False)


def end_login(target: array.Target, before: list[int]) -> None:
    portal = where(target)
    iscsi_removal.end_login(target.iqn, portal.address, portal.port, 1, before, 30.0)


def records(host: Host, target: array.Target) -> list[str]:
    home = host.tree.at(f'/var/lib/iscsi/nodes/{target.iqn}')
    return sorted(path.name for path in home.iterdir()) if home.exists() else []


def test_a_session_without_another_volume_ends_with_its_record(
    host: Host, target: array.Target
) -> None:
    leave(target)
    assert not host.sessions
    assert records(host, target) == []


def test_a_session_with_another_volume_stays_with_its_record(
    host: Host, target: array.Target
) -> None:
    bring(host, 2)
    leave(target)
    assert len(host.sessions) == 1
    assert len(records(host, target)) == 1


def test_a_record_without_a_session_goes(host: Host, target: array.Target) -> None:
    (session,) = host.sessions.values()
    host.log_out(session)
    leave(target)
    assert records(host, target) == []


def test_an_undo_ends_the_login_that_was_made(host: Host, target: array.Target) -> None:
    end_login(target, [])
    assert not host.sessions
    assert records(host, target) == []


def test_an_undo_leaves_a_session_that_was_there_before(host: Host, target: array.Target) -> None:
    end_login(target, [each.number for each in iscsi.nexuses()])
    assert len(host.sessions) == 1
    assert len(records(host, target)) == 1


def test_an_undo_leaves_a_session_that_another_volume_has_got(
    host: Host, target: array.Target
) -> None:
    bring(host, 2)
    end_login(target, [])
    assert len(host.sessions) == 1


def test_an_undo_removes_the_disk_that_a_scan_has_brought(host: Host, target: array.Target) -> None:
    bring(host, 1, 2)
    (session,) = iscsi.nexuses()
    iscsi_removal.delete_disk(session.number, 1, 30.0)
    assert [disk.lun for disk in host.disks.values()] == [2]
    iscsi_removal.delete_disk(session.number, 1, 30.0)  # It has gone already.
    iscsi_removal.delete_disk(99, 1, 30.0)  # So has its session.
    assert [disk.lun for disk in host.disks.values()] == [2]
