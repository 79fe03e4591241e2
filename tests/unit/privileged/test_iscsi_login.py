# SPDX-License-Identifier: Apache-2.0
"""Record and login are one act of root, and a caller that has given up leaves nothing of it."""

from collections.abc import Callable, Iterator
import pathlib
import threading
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import process
from os_brick.initiator.connectors import iscsi
from os_brick.privileged import iscsi_login
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

Host = fake_host.Host
LATE_SECONDS = iscsi_login.BEGIN_SECONDS + 1


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with Host(tmp_path) as found:
        yield found


class Interrupt(BaseException):
    """As that of a green thread that is killed."""


class SlowDatabase:
    """Programs as those of the host, but making a record takes a while."""

    def __init__(self, host: Host, before: Callable[[], object]) -> None:
        self._host = host
        self._before = before
        self.isolated = host.isolated

    def run(self, argv: tuple[str, ...], **keywords: Any) -> process.Result:
        if 'new' in argv:
            self._before()
        return self._host.run(argv, **keywords)


def _log_in(target: array.Target) -> tuple[int, str, str] | None:
    portal = target.portals[0]
    settings = {'node.session.scan': 'manual'}
    return iscsi_login.log_in(
        target.iqn, portal.address, portal.port, 'default', settings, timeout=70.0
    )


def test_a_login_is_not_begun_late(host: Host) -> None:
    target = host.target()
    slow = SlowDatabase(host, lambda: host.clock.sleep(LATE_SECONDS))
    with process.use(slow):
        assert _log_in(target) is None
        assert not host.sessions
        found = _log_in(target)  # The record is there by now.
    assert found is not None
    assert found[0] == 0
    assert len(host.sessions) == 1


def test_an_attach_calls_again_where_the_record_was_late(host: Host) -> None:
    target = host.target()
    target.luns[1] = array.Unit()
    with process.use(SlowDatabase(host, lambda: host.clock.sleep(LATE_SECONDS))):
        brick = iscsi.ISCSIConnector(None)
        info = brick.connect_volume(target.properties())
        assert sum('new' in argv for argv in host.commands) == 1
        brick.disconnect_volume(target.properties(), info)
    assert not host.sessions


@pytest.mark.parametrize(
    'error', [Interrupt(), exception.OperationTimedOut(what='the daemon', seconds=70), OSError(32)]
)
def test_a_caller_that_gives_up_takes_back_the_session_that_comes(
    host: Host, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon's thread goes on with the act after the caller has gone."""
    target = host.target()
    target.luns[1] = array.Unit()
    before = host.snapshot()
    act = iscsi_login.log_in
    threads: list[threading.Thread] = []

    def give_up(*arguments: Any) -> None:
        thread = threading.Thread(target=act, args=arguments, daemon=True)
        host.clock.after(1.0, thread.start)
        threads.append(thread)
        raise error

    monkeypatch.setattr(iscsi_login, 'log_in', give_up)
    with pytest.raises((exception.BrickException, Interrupt, OSError)):
        iscsi.ISCSIConnector(None).connect_volume(target.properties())
    for thread in threads:
        thread.join(20)
    assert not host.sessions
    assert host.snapshot() == before
