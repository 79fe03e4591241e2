# SPDX-License-Identifier: Apache-2.0
"""NVMe over Fabrics: never the wrong namespace."""

import os

import pytest

from os_brick import exception
from tests.functional import lab, nvme_support, support


def replaced(shelf, name, ports=1):
    """A subsystem with one volume, and another volume: (old, new, subsystem)."""
    old, subsystem = nvme_support.served(shelf, f'{name}old', ports)
    new = shelf.store(f'{name}new', 48)
    support.stamp(new)
    return old, new, subsystem


@pytest.mark.parametrize('key', ['volume_nguid', 'vol_uuid'])
def test_reused_nsid(shelf, nvme, options, key):
    """The namespace id belongs to another volume than the caller asked for: the error has both
    identities, and nothing is left."""
    options(scan_timeout=3)
    old, new, subsystem = replaced(shelf, 'reused')
    asked = subsystem.properties(1, by=(key, 'ns_id'))
    subsystem.remap(1, new)
    with support.Stopwatch() as watch, pytest.raises(exception.VolumeIdentityMismatch) as caught:
        nvme.connect_volume(asked)
    assert watch.seconds < 8
    attribute = 'nguid' if key == 'volume_nguid' else 'uuid'
    assert getattr(old, attribute) in str(caught.value)
    assert getattr(new, attribute) in str(caught.value)
    assert not nvme_support.controllers(subsystem)


@pytest.mark.parametrize('down', [False, True])
def test_replaced_volume_that_was_never_detached(shelf, nvme, options, down):
    """The array puts another volume behind a namespace id that the host still has (told, or
    while every path was down): attach returns the new one, and never again the old. The link of the
    old one, which is encrypted, does not lead to it, and goes with the detach of the old one."""
    options(scan_timeout=5)
    old, new, subsystem = replaced(shelf, 'stale', 2)
    asked = subsystem.properties(1, by=('volume_nguid', 'ns_id'))
    left = {**asked, 'encrypted': True}
    kept = nvme.connect_volume(left)
    nvme_support.hasten(subsystem)
    if down:
        for number in (0, 1):
            subsystem.cut(number)
            nvme_support.wait_cut(subsystem, number)
    subsystem.remap(1, new)
    for number in (0, 1) if down else ():
        subsystem.heal(number)
    props = subsystem.properties(1, by=('volume_nguid', 'ns_id'))
    info = nvme.connect_volume(props)
    support.assert_is(info['path'], new)
    assert os.path.realpath(kept['path']) != info['path']
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        nvme.connect_volume(asked)
    assert old.nguid in str(caught.value)
    assert new.nguid in str(caught.value)
    support.assert_is(info['path'], new)
    nvme.disconnect_volume(left, kept)
    assert not os.path.lexists(kept['path'])
    support.assert_is(info['path'], new)
    nvme.disconnect_volume(props, info)


def test_uuid_that_the_array_does_not_have(shelf, nvme):
    """An array without UUIDs: one that the caller gives does not hide the right NGUID."""
    store = shelf.store('nouuid', uuid='00000000-0000-0000-0000-000000000000')
    support.stamp(store)
    subsystem = shelf.subsystem('nouuid')
    subsystem.map(1, store)
    given = '0e5c2d0a-9a3f-4c38-8d0b-0123456789ab'
    props = subsystem.properties(1, vol_uuid=given)
    info = nvme.connect_volume(props)
    support.assert_is(info['path'], store)
    nvme.disconnect_volume(props, info)


def test_names_that_disagree(shelf, nvme, options):
    """The UUID of one volume and the NGUID of another: neither is returned."""
    options(scan_timeout=3)
    first, subsystem = nvme_support.served(shelf, 'left')
    second = shelf.store('right')
    support.stamp(second)
    subsystem.map(2, second)
    props = subsystem.properties(1, vol_uuid=first.uuid, volume_nguid=second.nguid)
    with pytest.raises(exception.BrickException) as caught:
        nvme.connect_volume(props)
    assert first.uuid in str(caught.value)
    assert second.nguid in str(caught.value)
    assert not nvme_support.controllers(subsystem)


def test_numbers_of_controllers_and_heads_differ(shelf, nvme):
    """The second subsystem's head is not named like its controllers: the right one is
    returned, rescanned for its growth, and taken away."""
    first, one = nvme_support.served(shelf, 'numbers1', 2)
    second, two = nvme_support.served(shelf, 'numbers2', ['10.99.0.3', '10.99.0.4'])
    near, far = one.properties(1), two.properties(1)
    info, other = nvme.connect_volume(near), nvme.connect_volume(far)
    bigger = second.grow(48, announce=False)
    assert nvme.extend_volume(far) == bigger
    assert nvme.extend_volume(near) == first.size
    nvme.disconnect_volume(near, info)
    assert not nvme_support.controllers(one)
    support.assert_is(other['path'], second)
    nvme.disconnect_volume(far, other)


def test_path_that_has_become_another_volume(shelf, nvme):
    """device_path of the properties is now another volume's (after a reboot, say): extend and
    detach find the right one, or refuse; they never touch the other."""
    first, one = nvme_support.served(shelf, 'mine', 1)
    second, two = nvme_support.served(shelf, 'theirs', ['10.99.0.3'], megabytes=48)
    near, far = one.properties(1), two.properties(1)
    info, other = nvme.connect_volume(near), nvme.connect_volume(far)
    wrong = {**near, 'device_path': other['path']}
    assert nvme.extend_volume(wrong) == first.size
    kept = nvme_support.controllers(two)
    try:
        nvme.disconnect_volume(wrong, None)
    except exception.BrickException:
        nvme.disconnect_volume(near, info)
    assert nvme_support.controllers(two) == kept
    support.assert_is(other['path'], second)
    assert not nvme_support.controllers(one)
    nvme.disconnect_volume(far, {**other, 'path': info['path']})
    assert not nvme_support.controllers(two)


def test_two_spellings_of_one_portal(shelf, nvme):
    """The same portal twice, and an IPv6 address in three spellings, is one controller each; it
    is found again by the next spelling, and taken away by another."""
    store, subsystem = nvme_support.served(shelf, 'spelt', ['fd00:99::1', '10.99.0.1'])
    spellings = ['fd00:99::1', 'FD00:0099:0000::0001', 'fd00:99:0:0:0:0:0:1']
    with lab.net.names(lab_portal='10.99.0.1'):
        hosts = ['10.99.0.1', 'lab-portal', 'lab-portal']
        shapes = [
            subsystem.properties(1, portals=[(six, 4420, 'tcp'), (four, '4420', 'tcp')] * 2)
            for six, four in zip(spellings, hosts, strict=True)
        ]
        info = nvme.connect_volume(shapes[0])
        kept = nvme_support.controllers(subsystem)
        assert len(kept) == 2
        assert nvme.connect_volume(shapes[1]) == info
        assert nvme_support.controllers(subsystem) == kept
        support.assert_is(info['path'], store)
        nvme.disconnect_volume(shapes[2], info)
        assert not nvme_support.controllers(subsystem)
        info = nvme.connect_volume(shapes[2])
        assert len(nvme_support.controllers(subsystem)) == 2
        nvme.disconnect_volume(shapes[0], info)
    assert not nvme_support.controllers(subsystem)
