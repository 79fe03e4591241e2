# SPDX-License-Identifier: Apache-2.0
"""NVMe over Fabrics: in-band authentication (DH-HMAC-CHAP); its keys are in no log."""

import logging

import pytest

from os_brick import exception
from tests.functional import lab, nvme_support, support
from tests.functional.lab import nvmet

KEY, CTRL_KEY = nvmet.secret('planted host key'), nvmet.secret('planted controller key')
WRONG = nvmet.secret('mistaken key')
NO_KEY = 'planted-4711'


def body(key):
    """The part of a key that may be nowhere."""
    return key.split(':')[2]


@pytest.fixture
def guarded(shelf):
    """A subsystem that wants the key: (store, subsystem, names of the keys it wants)."""
    store, subsystem = nvme_support.served(shelf, 'guarded', 2)
    return store, subsystem, nvmet.host_identity()[0]


@pytest.mark.parametrize('mutual', [False, True])
def test_right_key(guarded, nvme, caplog, mutual):
    """One-way and mutual: attach, grow and detach; the keys are on no command line, in no log
    at any level (the privileged daemon's included) and in no representation."""
    store, subsystem, host = guarded
    caplog.set_level(logging.DEBUG)
    subsystem.allow(host, KEY, CTRL_KEY if mutual else '')
    more = {'dhchap_ctrl_secret': CTRL_KEY} if mutual else {}
    props = subsystem.properties(1, dhchap_secret=KEY, **more)
    with lab.programs.watch_cmdlines(body(KEY), body(CTRL_KEY)) as leaks:
        info = nvme.connect_volume(props)
        nvme_support.wait_paths(info['path'], 2)
        support.assert_is(info['path'], store)
        assert nvme.extend_volume(props) == store.size
        nvme.disconnect_volume(props, info)
    assert any(record.name.startswith('os_brick') for record in caplog.records)
    for key in (KEY, CTRL_KEY):
        support.assert_nowhere(body(key), caplog, leaks, nvme, info)


@pytest.mark.parametrize('given', ['wrong', 'none', 'wrong controller'])
def test_wrong_key(guarded, nvme, caplog, given):
    """A wrong key, none at all, a subsystem that cannot prove itself: named as such, with the
    portal, and without the key; nothing is left."""
    _store, subsystem, host = guarded
    caplog.set_level(logging.DEBUG)
    subsystem.allow(host, KEY, CTRL_KEY)
    keys = {
        'wrong': {'dhchap_secret': WRONG},
        'none': {},
        'wrong controller': {'dhchap_secret': KEY, 'dhchap_ctrl_secret': WRONG},
    }
    named = pytest.raises(exception.BrickException, match=r'(?i)authenti|dhchap|dh-hmac|key')
    watch = lab.programs.watch_cmdlines(body(WRONG), body(KEY))
    with watch as leaks, support.Stopwatch() as timer, named as caught:
        nvme.connect_volume(subsystem.properties(1, **keys[given]))
    assert timer.seconds < 15
    assert any(port.address in str(caught.value) for port in subsystem.ports)
    assert not nvme_support.controllers(subsystem)
    for key in (WRONG, KEY):
        support.assert_nowhere(body(key), caplog, leaks, caught.value, nvme)


def test_bad_key_is_named_and_not_shown(guarded, nvme, caplog):
    """A key that is none: the property is named, its value is not shown."""
    _store, subsystem, _host = guarded
    caplog.set_level(logging.DEBUG)
    with pytest.raises(exception.InvalidParameterValue, match='dhchap_secret') as caught:
        nvme.connect_volume(subsystem.properties(1, dhchap_secret=NO_KEY))
    support.assert_nowhere(NO_KEY, caplog, [], caught.value, nvme)
