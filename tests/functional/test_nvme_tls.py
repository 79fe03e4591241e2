# SPDX-License-Identifier: Apache-2.0
"""NVMe over TCP with TLS: a real handshake with the kernel's target; the key is nowhere."""

import base64
import hashlib
import logging
import zlib

import pytest

from os_brick import exception
from os_brick.model import nvme_psk
from tests.functional import lab, nvme_support, support
from tests.functional.lab import nvmet, tls


def written(text):
    """A configured key in its written form, made of a text."""
    value = hashlib.sha256(text.encode()).digest()
    check = zlib.crc32(value).to_bytes(4, 'little')
    return f'NVMeTLSkey-1:01:{base64.b64encode(value + check).decode()}:'


KEY, WRONG = written('planted key for TLS'), written('mistaken key for TLS')


def body(key):
    """The part of a key that may be nowhere."""
    return key.split(':')[2]


@pytest.fixture(scope='module', autouse=True)
def daemon():
    with tls.daemon():
        yield


@pytest.fixture(params=[0, 1], ids=['today', 'older form'])
def guarded(shelf, request):
    """A subsystem that lets in over TLS only, and knows the key in one of its forms."""
    store, subsystem = nvme_support.served(shelf, 'guarded')
    tls.require(subsystem.ports[0])
    key = nvme_psk.Psk.parse(KEY).tls_keys(nvmet.host_identity()[0], subsystem.nqn)[request.param]
    with tls.known(key.identity, key.value):
        yield store, subsystem


def test_whole_life(guarded, nvme, caplog):
    """Attach, a second attach, grow, path cut and healed, detach. The controller alone has the
    key: it ends with it, and is on no command line and in no log at any level."""
    store, subsystem = guarded
    caplog.set_level(logging.DEBUG)
    before = tls.keys()
    props = subsystem.properties(1, tls_psk=KEY)
    with lab.programs.watch_cmdlines(body(KEY)) as leaks:
        info = nvme.connect_volume(props)
        (name,) = nvme_support.controllers(subsystem)
        assert nvme_support.attribute(name, 'tls_key')
        assert len(tls.keys()) == len(before) + 1
        support.assert_is(info['path'], store)
        assert nvme.connect_volume(props) == info
        assert nvme.extend_volume(props) == store.size
        nvme_support.hasten(subsystem)
        subsystem.cut(0)
        nvme_support.wait_cut(subsystem, 0)
        subsystem.heal(0)
        nvme_support.wait_state(subsystem, 0, 'live')
        support.assert_is(info['path'], store)
        nvme.disconnect_volume(props, info)
    lab.shell.until(lambda: tls.keys() == before, 10, 'the key has ended with the controller')
    assert any(record.name.startswith('os_brick') for record in caplog.records)
    support.assert_nowhere(body(KEY), caplog, leaks, nvme, info)


@pytest.mark.parametrize('guarded', [0], indirect=True, ids=['today'])
@pytest.mark.parametrize('given', [WRONG, None], ids=['wrong', 'none'])
def test_wrong_key(guarded, nvme, caplog, given):
    """A wrong key, or none: an error with the portal, soon, without the key; nothing is left."""
    _store, subsystem = guarded
    caplog.set_level(logging.DEBUG)
    before = tls.keys()
    named = pytest.raises(exception.VolumeDeviceNotFound, match='TLS' if given else subsystem.nqn)
    watch = lab.programs.watch_cmdlines(body(WRONG))
    with watch as leaks, support.Stopwatch() as timer, named as caught:
        nvme.connect_volume(subsystem.properties(1, tls_psk=given))
    assert timer.seconds < 20
    assert subsystem.ports[0].address in str(caught.value)
    assert not nvme_support.controllers(subsystem)
    lab.shell.until(lambda: tls.keys() == before, 10, 'no key of the attach is left')
    support.assert_nowhere(body(WRONG), caplog, leaks, caught.value, nvme)


@pytest.mark.parametrize('guarded', [0], indirect=True, ids=['today'])
def test_a_plain_controller_is_not_used(shelf, guarded, nvme):
    """A controller that someone has without TLS serves no attach over TLS, and stays."""
    store, subsystem = guarded
    plain = nvme_support.served(shelf, 'plain', lab.net.V4[1:2])[1]
    other = nvmet.connect(plain)
    try:
        with pytest.raises(exception.VolumeDeviceNotFound, match='without TLS'):
            nvme.connect_volume(plain.properties(1, tls_psk=KEY))
        assert list(nvme_support.controllers(plain)) == [other]
        props = subsystem.properties(1, tls_psk=KEY)
        info = nvme.connect_volume(props)
        support.assert_is(info['path'], store)
        nvme.disconnect_volume(props, info)
    finally:
        nvmet.disconnect(other)
