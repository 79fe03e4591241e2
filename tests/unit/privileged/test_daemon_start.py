# SPDX-License-Identifier: Apache-2.0
"""By which command the daemon is started."""

import os
import pathlib
import subprocess
import sys

import pytest

from os_brick.privileged import daemon_start

REST = ['--privsep_context', 'os_brick.privileged.default', '--privsep_sock_path', '/tmp/x']
DEFAULT = ['sudo', 'privsep-helper', *REST]


def _as(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr(os, 'geteuid', lambda: uid)


@pytest.mark.parametrize(
    ('program', 'has_helper', 'first'),
    [
        ('python3', True, 'python3'),
        ('python3', False, 'python3'),
        ('uwsgi', True, 'privsep-helper'),
        ('uwsgi', False, 'uwsgi'),
    ],
)
def test_root_needs_no_sudo(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    program: str,
    has_helper: bool,
    first: str,
) -> None:
    """In a container without sudo nothing worked; and the helper is this Python's own."""
    _as(monkeypatch, 0)
    monkeypatch.setattr(sys, 'executable', str(tmp_path / program))
    if has_helper:
        (tmp_path / 'privsep-helper').touch(0o755)
    found = daemon_start.for_root(list(DEFAULT))
    assert found[-len(REST) :] == REST
    assert found[0] == str(tmp_path / first)
    assert len(found) == len(REST) + (1 if first == 'privsep-helper' else 3)


@pytest.mark.parametrize(
    'command',
    [
        ['sudo', 'nova-rootwrap', '/etc/nova/rootwrap.conf', 'privsep-helper', *REST],
        ['privsep-helper', '--config-file', '/etc/brick.conf', *REST],
        ['sudo', '-E', 'privsep-helper', *REST],
    ],
)
def test_what_is_configured_stays(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    _as(monkeypatch, 0)
    assert daemon_start.for_root(list(command)) == command


def test_another_user_needs_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    _as(monkeypatch, 1000)
    assert daemon_start.for_root(list(DEFAULT)) == DEFAULT


def test_what_the_helper_of_root_imports() -> None:
    """Not eventlet's resolver, whose import takes a third of the daemon's start."""
    code = daemon_start._HELPER.replace('helper_main()', 'print("dns" in sys.modules)')
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', f'import sys; {code}'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == 'False'
