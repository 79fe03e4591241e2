# SPDX-License-Identifier: Apache-2.0
"""The link that encrypted volumes are returned by."""

import os

import pytest

from tests.functional import lab, support

PREFIX = '/dev/disk/by-id/os-brick'


@pytest.fixture(params=[False, True], ids=['single', 'multipath'])
def encrypted(request, shelf):
    """An encrypted volume, attached: (connector, volume, props, info)."""
    volume = support.stamped(shelf, 'locked')
    target = shelf.target('locked', 2)
    target.map(1, volume)
    connector = lab.bricks.ours(multipath=request.param)
    props = target.properties(1, plural=True, encrypted=True)
    return connector, volume, props, connector.connect_volume(props)


def test_link(encrypted):
    """Encrypted link: there, points to the device, gone after the detach."""
    connector, volume, props, info = encrypted
    assert os.path.islink(info['path'])
    real = os.path.realpath(info['path'])
    assert info['path'] == PREFIX + real.replace('/', '+')
    support.assert_is(info['path'], volume)
    connector.disconnect_volume(props, info)
    assert not os.path.lexists(info['path'])


def test_extend(encrypted):
    """Extend returns the size of the raw device; the link stays."""
    connector, volume, props, info = encrypted
    bigger = volume.grow(48)
    given = {**props, 'device_path': info['path']}
    assert connector.extend_volume(given) == bigger
    assert os.path.islink(info['path'])
    connector.disconnect_volume(props, info)


def test_link_moved_to_the_decrypted_device(encrypted):
    """Encryptors replace the link by one to the decrypted device; when that is closed, detach
    finds the raw device by the link's name and removes both."""
    connector, _volume, props, info = encrypted
    raw = os.path.realpath(info['path'])
    key = ('--key-file', '/dev/zero', '--keyfile-size', '32')
    plain = ('--type', 'plain', '--cipher', 'aes-xts-plain64', '--key-size', '256')
    lab.shell.run('cryptsetup', 'open', *plain, *key, raw, 'labcrypt')
    os.unlink(info['path'])
    os.symlink('/dev/mapper/labcrypt', info['path'])
    lab.shell.run('cryptsetup', 'close', 'labcrypt')
    connector.disconnect_volume(props, info)
    assert not os.path.lexists(info['path'])
    assert not os.path.exists(raw)


@pytest.mark.parametrize('given', ['device_path', 'info'])
def test_detach_by_device_path(encrypted, given):
    """nova passes no device_info, but device_path in the properties."""
    connector, _volume, props, info = encrypted
    if given == 'info':
        connector.disconnect_volume(props, {**info, 'path': info['path']})
    else:
        connector.disconnect_volume({**props, 'device_path': info['path']}, None)
    assert not os.path.lexists(info['path'])


def test_stale_link_is_replaced(shelf, single, multipathd):
    """A link of the same name that an earlier crash left is replaced."""
    multipathd(find_multipaths='strict')
    volume = support.stamped(shelf, 'stale')
    target = shelf.target('stale', 1)
    target.map(1, volume)
    props = target.properties(1, encrypted=True)
    info = single.connect_volume(props)
    os.unlink(info['path'])
    os.symlink('/dev/null', info['path'])
    again = single.connect_volume(props)
    assert again == info
    support.assert_is(again['path'], volume)
    single.disconnect_volume(props, again)
