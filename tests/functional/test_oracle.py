# SPDX-License-Identifier: Apache-2.0
"""The check after each test: whatever is left is seen, and can be taken away."""

import fcntl
import pathlib
import re

import pytest

from tests.functional import lab, support


def _kinds(before: lab.oracle.Snapshot) -> set[str]:
    text = lab.oracle.difference(before, lab.oracle.snapshot())
    return set(re.findall(r'^\+ (\w+):', text, re.MULTILINE))


def test_what_an_attach_leaves(shelf, multi, clean_host):
    """Disks, map, sessions, records, links, multipathd's paths and WWID: all is named, and the
    host is as it was when it was put right."""
    target = shelf.target('left', 2)
    target.map(1, support.stamped(shelf, 'left'))
    info = multi.connect_volume(target.properties(1, plural=True, encrypted=True))
    support.wait_disks(info['path'], 2)
    lab.shell.settle()
    left = {'disk', 'map', 'session', 'record', 'link', 'multipathd', 'wwid'}
    assert _kinds(clean_host) >= left
    with pytest.raises(AssertionError, match='the host is not as it was'):
        lab.oracle.assert_same(clean_host, 0)
    lab.oracle.put_right(clean_host)
    lab.oracle.assert_same(clean_host)


def test_an_nvme_controller(shelf, clean_host):
    """A controller that someone has connected, with its subsystem."""
    subsystem = shelf.subsystem('left', 1)
    subsystem.map(1, shelf.store('left'))
    lab.nvmet.connect(subsystem)
    lab.shell.until(lambda: 'disk' in _kinds(clean_host), 20, 'the namespace')
    assert _kinds(clean_host) >= {'disk', 'controller', 'subsystem'}
    lab.oracle.put_right(clean_host)
    lab.oracle.assert_same(clean_host)


def test_a_held_lock_and_a_mount(clean_host, tmp_path):
    """A lock on a file of the library, as long as it is held; a mount."""
    file = pathlib.Path(lab.oracle.lock_paths[0]) / 'left'
    with file.open('w') as out:
        fcntl.lockf(out, fcntl.LOCK_EX)
        assert _kinds(clean_host) == {'lock'}
    assert _kinds(clean_host) == set()
    file.unlink()
    lab.shell.run('mount', '-t', 'tmpfs', 'left', str(tmp_path))
    assert _kinds(clean_host) == {'mount'}
    lab.oracle.put_right(clean_host)
    lab.oracle.assert_same(clean_host)
