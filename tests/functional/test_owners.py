# SPDX-License-Identifier: Apache-2.0
"""One owner at a time: what is left of one operation takes nothing from the next one."""

import contextlib
import ctypes
import os
import pathlib
import signal
import threading

import pytest

from os_brick import exception
from tests.functional import lab, support


def thaw_iscsid():
    """Have iscsid go on."""
    for pid in lab.daemons.pids('iscsid'):
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def frozen_iscsid():
    """Logins hang: iscsid is given the order and does not get to it."""
    for pid in lab.daemons.pids('iscsid'):
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        thaw_iscsid()


def never(probe, seconds):
    """Nothing happens for so long."""
    with pytest.raises(AssertionError, match='not within'):
        lab.shell.until(probe, seconds, 'it happens', 0.02)


def logins():
    """The iscsiadm processes that log in."""
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b'\0')
            if words[0].endswith(b'iscsiadm') and b'--login' in words:
                found.append(path)
    return found


def broken_off(connector, props):
    """Begin an attach, and interrupt it while its login is under way; return its thread."""
    ended = []

    def attach():
        try:
            ended.append(connector.connect_volume(props))
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=attach)
    thread.start()
    lab.shell.until(logins, 20, 'a login is under way')
    interrupt = ctypes.py_object(KeyboardInterrupt)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), interrupt)
    return thread, ended


@pytest.mark.parametrize('multipath', [False, True])
def test_second_attach_keeps_its_device(shelf, options, multipath):
    """The first attach is broken off (Ctrl-C, a time-out of its caller) while its login is under
    way; the second one follows at once. Its device stays until it is detached."""
    options(operation_timeout=60)
    volume = support.stamped(shelf, 'owned')
    target = shelf.target('owned', 1)
    target.map(1, volume)
    props = target.properties(1, plural=multipath)
    connector = lab.bricks.ours(multipath=multipath)
    with frozen_iscsid():
        thread, ended = broken_off(connector, props)
        timer = threading.Timer(2, thaw_iscsid)
        timer.start()
        info = connector.connect_volume(props)
        timer.join()
    assert support.is_multipath(info['path']) is multipath
    thread.join(60)
    assert isinstance(ended[0], KeyboardInterrupt)
    never(lambda: not os.path.exists(info['path']), 3)
    support.assert_is(info['path'], volume)
    assert support.session_count(target.iqn) == 1
    connector.disconnect_volume(props, info)


def test_nothing_comes_after_a_detach(shelf, multi):
    """One portal is cut off at the attach, the volume is detached at once, and the portal is back:
    no record, no session and no disk of it comes."""
    target = shelf.target('over', 2)
    target.map(1, support.stamped(shelf, 'over'))
    props = target.properties(1, plural=True)
    lab.net.cut('10.99.0.2')
    info = multi.connect_volume(props)
    multi.disconnect_volume(props, info)
    lab.net.heal('10.99.0.2')
    records = pathlib.Path('/var/lib/iscsi/nodes') / target.iqn

    def what_came():
        return support.session_count(target.iqn) or records.exists()

    never(what_came, 4)


def test_late_lun_while_the_session_ends(shelf, single, options):
    """A LUN that is late loses its session to the detach of the target's last other volume: the
    attach logs in again."""
    options(scan_timeout=20)
    first, late = support.stamped(shelf, 'first'), support.stamped(shelf, 'late')
    target = shelf.target('shared', 1)
    target.map(1, first)
    info = single.connect_volume(target.properties(1))
    found = []

    def attach():
        with contextlib.suppress(exception.BrickException):
            found.append(single.connect_volume(target.properties(2)))

    thread = threading.Thread(target=attach)
    thread.start()
    threading.Event().wait(2)
    single.disconnect_volume(target.properties(1), info)
    target.map(2, late)
    thread.join(60)
    assert found
    support.assert_is(found[0]['path'], late)
    single.disconnect_volume(target.properties(2), found[0])
