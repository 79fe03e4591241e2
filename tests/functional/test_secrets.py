# SPDX-License-Identifier: Apache-2.0
"""Secrets: CHAP passwords appear in no log, error, `repr` or command line."""

import gc
import logging

import pytest

from os_brick import exception
from tests.functional import lab, support

SECRET = 'planted-secret-4711'
WRONG = 'mistaken-secret-0815'


def chap(password):
    """The keys of session CHAP."""
    return {'auth_method': 'CHAP', 'auth_username': 'user4711', 'auth_password': password}


def discovery_chap(password):
    """The keys of discovery CHAP."""
    return {f'discovery_{key}': value for key, value in chap(password).items()}


@pytest.fixture
def guarded(shelf):
    """A target that demands CHAP: (target, volume)."""
    volume = support.stamped(shelf, 'guarded')
    target = shelf.target('guarded', 2)
    target.map(1, volume)
    target.chap('user4711', SECRET)
    return target, volume


@pytest.mark.parametrize('multipath', [False, True])
@pytest.mark.parametrize('discovered', [False, True])
def test_right_secret(guarded, caplog, multipath, discovered):
    """CHAP passwords appear in no log at any level, no error, no `repr`, and no command line
    (`/proc/*/cmdline` watched during the attach). Both daemons' logs: the privileged daemon's
    lines come to the caller's log."""
    target, volume = guarded
    caplog.set_level(logging.DEBUG)
    connector = lab.bricks.ours(multipath=multipath)
    props = target.properties(1, plural=not discovered, **chap(SECRET))
    with lab.programs.watch_cmdlines(SECRET) as leaks:
        info = connector.connect_volume(props)
        support.assert_is(info['path'], volume)
        connector.extend_volume(props)
        connector.get_volume_paths(props)
        connector.disconnect_volume(props, info)
    assert any(record.name.startswith('os_brick') for record in caplog.records)
    support.assert_nowhere(SECRET, caplog, leaks, connector, info)


@pytest.mark.parametrize('multipath', [False, True])
def test_wrong_secret(guarded, caplog, multipath):
    """A wrong CHAP secret is named as such, and is in no log and no error either."""
    target, _volume = guarded
    caplog.set_level(logging.DEBUG)
    connector = lab.bricks.ours(multipath=multipath)
    props = target.properties(1, plural=True, **chap(WRONG))
    named = pytest.raises(exception.LoginRefused, match=r'(?i)chap|authenti|authoris')
    with lab.programs.watch_cmdlines(WRONG, SECRET) as leaks, named as caught:
        connector.connect_volume(props)
    assert target.iqn in str(caught.value)
    support.assert_nowhere(WRONG, caplog, leaks, caught.value, connector)
    support.assert_nowhere(SECRET, caplog, leaks, caught.value, connector)


def test_no_secret_where_one_is_needed(guarded, multi):
    """No secret at all: named in the same way."""
    target, _volume = guarded
    with pytest.raises(exception.LoginRefused, match=r'(?i)chap|authenti|authoris'):
        multi.connect_volume(target.properties(1, plural=True))


@pytest.mark.parametrize('password', [SECRET, WRONG])
def test_discovery_secret(shelf, multi, caplog, password):
    """The same for the secret of discovery, right and wrong."""
    caplog.set_level(logging.DEBUG)
    volume = support.stamped(shelf, 'dsecret')
    target = shelf.target('dsecret', 1)
    target.map(1, volume)
    lab.lio.discovery_chap('user4711', SECRET)
    props = target.properties(1, **discovery_chap(password))
    error = None
    try:
        with lab.programs.watch_cmdlines(SECRET, WRONG) as leaks:
            try:
                info = multi.connect_volume(props)
                multi.disconnect_volume(props, info)
            except exception.BrickException as caught:
                error = caught
    finally:
        lab.lio.discovery_chap()
    assert (error is None) == (password == SECRET)
    support.assert_nowhere(password, caplog, leaks, multi, *([error] if error else []))


def test_discovery_and_session_secret(shelf, multi):
    """Both at once, with different secrets for the two."""
    volume = support.stamped(shelf, 'both')
    target = shelf.target('both', 2)
    target.map(1, volume)
    target.chap('user4711', SECRET)
    lab.lio.discovery_chap('user4711', 'discovery-only-1')
    try:
        props = target.properties(1, **chap(SECRET), **discovery_chap('discovery-only-1'))
        info = multi.connect_volume(props)
        support.wait_disks(info['path'], 2)
        support.assert_is(info['path'], volume)
        multi.disconnect_volume(props, info)
    finally:
        lab.lio.discovery_chap()


def test_bad_properties_do_not_show_the_secret(single, caplog):
    """An error about the properties themselves names the key, not the secret."""
    caplog.set_level(logging.DEBUG)
    props = {'target_portal': '10.99.0.1:3260', 'target_lun': 1, **chap(SECRET)}
    with pytest.raises(Exception, match='target_iqn') as caught:
        single.connect_volume(props)
    support.assert_nowhere(SECRET, caplog, [], caught.value, single)


def test_no_object_shows_the_secret(guarded, multi):
    """No `repr` of anything of ours that lives during an attachment has the secret in it."""
    target, _volume = guarded
    props = target.properties(1, plural=True, **chap(SECRET))
    info = multi.connect_volume(props)
    mine = [o for o in gc.get_objects() if str(type(o).__module__).startswith('os_brick.')]
    shown = [type(o).__name__ for o in mine if SECRET in repr(o)]
    multi.disconnect_volume(props, info)
    assert shown == []
