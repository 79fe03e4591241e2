# SPDX-License-Identifier: Apache-2.0
"""Every single step of an attach, an extend or a detach goes wrong once, in each of three ways.

After an attach that failed the host is as before. After one that did not fail, and after a detach
that failed, one more detach leaves the host as before.
"""

from collections.abc import Callable
import contextlib
import pathlib
import re
from typing import Any

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.initiator.connectors import iscsi
from tests import breadth
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

# What a caller may have to catch; anything else is a bug.
ERRORS = (exception.BrickException, processutils.ProcessExecutionError, OSError)
HOWS = ('refused', 'hung', 'late')
# More acts than an operation of these tests has: then the fault no longer strikes.
MANY = 200

Course = Callable[[fake_host.Host, Any, dict[str, Any]], str]


# The rest of sysfs comes and goes with these.
TELLING = re.compile(r'/sys/class/iscsi_session/|/sys/block/|/sys/bus/scsi|/etc/|/var/|/dev/')


def _difference(before: dict[str, str], after: dict[str, str]) -> list[str]:
    names = sorted(before.keys() | after.keys())
    changed = [name for name in names if before.get(name) != after.get(name)]
    return [
        f'  {name}: {str(before.get(name))[:60]!r} -> {str(after.get(name))[:60]!r}'
        for name in changed
        if TELLING.match(name)
    ] or changed


def attach(host: fake_host.Host, connector: Any, props: dict[str, Any]) -> str:
    """The attach itself meets the fault."""
    try:
        info = connector.connect_volume(props)
    except ERRORS as error:
        host._fault = None
        return f'attach: {error}'
    host._fault = None
    connector.disconnect_volume(props, info)
    return ''


def attach_beside(host: fake_host.Host, connector: Any, props: dict[str, Any]) -> str:
    """The same, and the sessions are there already with another volume: they stay."""
    return attach(host, connector, props)


def detach(host: fake_host.Host, connector: Any, props: dict[str, Any]) -> str:
    """The detach meets the fault; the next one cleans up."""
    fault, host._fault = host._fault, None
    info = connector.connect_volume(props)
    assert fault is not None
    host.fail(fault.number, fault.how)
    try:
        connector.disconnect_volume(props, info)
    except ERRORS as error:
        host._fault = None
        connector.disconnect_volume(props, info)
        return f'detach: {error}'
    return ''


def extend(host: fake_host.Host, connector: Any, props: dict[str, Any]) -> str:
    """The extend meets the fault; the next one tells the size."""
    fault, host._fault = host._fault, None
    info = connector.connect_volume(props)
    host.targets[0].luns[1].megabytes = 96
    assert fault is not None
    host.fail(fault.number, fault.how)
    try:
        said = ''
        assert connector.extend_volume(props) == 96 << 20
    except ERRORS as error:
        host._fault = None
        said = f'extend: {error}'
        assert connector.extend_volume(props) == 96 << 20
    host._fault = None
    connector.disconnect_volume(props, info)
    return said


def killed_then_detached(host: fake_host.Host, connector: Any, props: dict[str, Any]) -> str:
    """The process is killed in an attach; another one detaches."""
    with contextlib.suppress(*ERRORS):
        info = connector.connect_volume(props)
        host._fault = None
        connector.disconnect_volume(props, info)
    host.settle()
    host._fault = None
    connector.disconnect_volume(props, None)
    return ''


def killed_then_attached(host: fake_host.Host, connector: Any, props: dict[str, Any]) -> str:
    """The process is killed in an attach; another one attaches."""
    with contextlib.suppress(*ERRORS):
        connector.connect_volume(props)
    host.settle()
    host._fault = None
    info = connector.connect_volume(props)
    assert info['scsi_wwn'] == host.targets[0].luns[1].wwid
    connector.disconnect_volume(props, info)
    return ''


def killed_in_detach(host: fake_host.Host, connector: Any, props: dict[str, Any]) -> str:
    """The process is killed in a detach; another one detaches."""
    return detach(host, connector, props)


def _round(
    place: pathlib.Path, course: Course, number: int, how: str, *, multipath: bool
) -> tuple[str, list[str]]:
    """What the fault struck, if anything, and what is left."""
    place.mkdir()
    with fake_host.Host(place) as host:
        # Beside another volume there is one path: where there are more, the detach would tidy up.
        target = host.target(portals=1 if course is attach_beside else 2)
        target.luns[1] = array.Unit()
        if course is attach_beside:
            target.luns[2] = array.Unit()
            other = iscsi.ISCSIConnector(None, use_multipath=multipath)
            other.connect_volume(target.properties(2, plural=True))
        before = host.snapshot()
        connector = iscsi.ISCSIConnector(None, use_multipath=multipath)
        host.fail(number, how)
        fault = host._fault
        assert fault is not None
        said = course(host, connector, target.properties(plural=True))
        left = _difference(before, host.snapshot())
        notes = [f'{how} at act {number}, {host.struck}', said, *left] if left else []
        return host.struck, notes


# One path has few steps of its own.
CASES = [
    *((course, True, how) for course in (attach, detach) for how in HOWS),
    (extend, True, 'late'),
    *((attach, False, how) for how in HOWS),
    *((attach_beside, multipath, 'late') for multipath in (False, True)),
    (detach, False, 'late'),
    (killed_then_detached, False, 'killed'),
    (killed_then_attached, True, 'killed'),
    (killed_in_detach, True, 'killed'),
]


@pytest.mark.parametrize(('course', 'multipath', 'how'), CASES)
def test_nothing_is_left(tmp_path: pathlib.Path, course: Course, multipath: bool, how: str) -> None:
    bad: list[str] = []
    number = 0
    for number in breadth.acts(CASES.index((course, multipath, how)), 2, MANY):
        what, left = _round(tmp_path / str(number), course, number, how, multipath=multipath)
        bad += left
        if not what:
            break
    assert number > 1, 'the operation has hardly a step: the fault never struck'
    assert number < MANY - 2
    assert not bad, '\n'.join(bad)
