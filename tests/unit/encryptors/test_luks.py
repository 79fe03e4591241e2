# SPDX-License-Identifier: Apache-2.0
"""Existing LUKS volumes: attached, extended, detached; and what has to be refused."""

import contextlib
import logging

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from tests import breadth
from tests.unit.encryptors import support
from tests.unit.encryptors.support import World
from tests.unit.fakehost import luks

VERSIONS = pytest.mark.parametrize('version', ['luks', 'luks2'])
FAILURES = (
    *(OSError, exception.BrickException, KeyboardInterrupt),
    processutils.ProcessExecutionError,
)
KEY = support.PASSPHRASE.encode()


def put(world: World, version: str) -> str:
    """Have a LUKS volume on the device; return the provider."""
    data = luks.luks1(KEY) if version == 'luks' else luks.luks2(KEY)
    world.crypt.write('sdx', 0, data)
    return version


@VERSIONS
def test_a_whole_life(world: World, version: str) -> None:
    brick = support.encryptor(world.link, put(world, version))
    offset = luks.LUKS1_DATA if version == 'luks' else luks.LUKS2_DATA
    brick.attach_volume(None, **support.ENCRYPTION)
    assert world.crypt.names() == [world.name]
    assert world.where() == f'/dev/mapper/{world.name}'
    assert len(world.crypt.started) == 1
    world.crypt.grow('sdx', 32)
    assert brick.extend_volume(None, **support.ENCRYPTION) == (32 << 20) - offset
    assert world.crypt.size(world.name) == (32 << 20) - offset
    # Another process detaches: its object is made while the link leads to the mapping.
    support.encryptor(world.link, version).detach_volume(**support.ENCRYPTION)
    assert world.crypt.names() == []
    # The link is the connector's to remove.
    assert world.where() == f'/dev/mapper/{world.name}'
    brick.detach_volume(**support.ENCRYPTION)


@VERSIONS
def test_a_wrong_passphrase_is_named_and_nothing_changes(world: World, version: str) -> None:
    brick = support.encryptor(world.link, put(world, version), support.WRONG)
    before = world.state()
    with pytest.raises(exception.WrongPassphrase, match='/dev/sdx'):
        brick.attach_volume(None, **support.ENCRYPTION)
    assert world.state() == before


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ({0: b'LUKS\xba\xbe\x00\x02 not a header'}, 'LUKS header that cannot be used'),
        ({0: b'LUKS\xba\xbe\x00\x09'}, 'LUKS header that cannot be used'),
        ({16384: b'SKUL\xba\xbe\x00\x02'}, 'LUKS header that cannot be used'),
    ],
)
def test_a_damaged_header_is_not_a_wrong_passphrase(world, content, said) -> None:
    for place, data in content.items():
        world.crypt.write('sdx', place, data)
    before = world.state()
    with pytest.raises(exception.NotLUKS, match=said):
        support.encryptor(world.link).attach_volume(None, **support.ENCRYPTION)
    assert world.state() == before


def test_a_stale_mapping_over_another_device_is_refused(world: World) -> None:
    put(world, 'luks')
    world.crypt.device('sdy')
    uuid = luks.UUID.replace('-', '')
    world.crypt.map(world.name, 'sdy', f'CRYPT-LUKS1-{uuid}-{world.name}', 1 << 20)
    before = world.state()
    with pytest.raises(exception.VolumeIdentityMismatch, match='sdy'):
        support.encryptor(world.link).attach_volume(None, **support.ENCRYPTION)
    with pytest.raises(exception.VolumeIdentityMismatch, match='sdy'):
        support.encryptor(world.link).detach_volume(**support.ENCRYPTION)
    with pytest.raises(exception.VolumeIdentityMismatch, match='sdy'):
        support.encryptor(world.link).extend_volume(None, **support.ENCRYPTION)
    assert world.state() == before


@pytest.mark.parametrize('uuid', ['CRYPT-LUKS1-' + '0' * 32, 'CRYPT-PLAIN', 'LVM-abc', ''])
def test_a_stale_mapping_of_another_volume_over_the_device_is_refused(world, uuid) -> None:
    put(world, 'luks')
    world.crypt.map(world.name, 'sdx', f'{uuid}-{world.name}' if uuid else '', 1 << 20)
    before = world.state()
    with pytest.raises(exception.VolumeIdentityMismatch, match='left by another attachment'):
        support.encryptor(world.link).attach_volume(None, **support.ENCRYPTION)
    assert world.state() == before


@pytest.mark.parametrize('version', ['luks', 'luks2'] if breadth.EVERYTHING else ['luks2'])
@pytest.mark.parametrize('how', ['refused', 'late', 'killed', 'interrupted', 'interrupted late'])
def test_an_attach_that_goes_wrong_at_any_step(world: World, version: str, how: str) -> None:
    """It closes what it has opened, or the next one does; each step of it is struck once."""
    put(world, version)
    before = world.state()
    for number in range(20):
        world.host.struck = ''
        world.host.fail(number, how)
        brick = support.encryptor(world.link, version)
        with contextlib.suppress(*FAILURES):
            brick.attach_volume(None, **support.ENCRYPTION)
        if not world.host.struck:
            break
        if how != 'killed' and 'luksClose' not in world.host.struck:
            attached = world.crypt.names()
            assert attached in ([], [world.name])
        world.host.fail(10_000, 'refused')
        support.link_to(world.host, 'sdx')
        brick = support.encryptor(world.link, version)
        brick.attach_volume(None, **support.ENCRYPTION)
        assert world.where() == f'/dev/mapper/{world.name}'
        brick.detach_volume()
        support.link_to(world.host, 'sdx')
        assert world.state() == before
    assert number > 1


def test_attach_twice_needs_the_passphrase_again(world: World) -> None:
    put(world, 'luks')
    support.encryptor(world.link).attach_volume(None, **support.ENCRYPTION)
    world.crypt.busy.add(world.name)
    before = world.state()
    support.encryptor(world.link).attach_volume(None, **support.ENCRYPTION)
    with pytest.raises(exception.WrongPassphrase):
        support.encryptor(world.link, passphrase=support.WRONG).attach_volume(None)
    assert world.state() == before


def test_a_wrong_passphrase_ends_nothing_that_is_attached(world: World) -> None:
    put(world, 'luks')
    support.encryptor(world.link).attach_volume(None, **support.ENCRYPTION)
    before = world.state()
    with pytest.raises(exception.WrongPassphrase):
        support.encryptor(world.link, passphrase=support.WRONG).attach_volume(None)
    assert world.state() == before


def test_detach_of_a_mapping_in_use_names_the_user(world: World) -> None:
    put(world, 'luks')
    brick = support.encryptor(world.link)
    brick.attach_volume(None, **support.ENCRYPTION)
    world.crypt.busy.add(world.name)
    number = world.host.tree.at(f'/sys/block/{world.crypt.dm(world.name)}/dev').read_text().strip()
    world.host.tree.file(
        '/proc/self/mountinfo', f'1 0 {number} / /srv/db rw - ext4 /dev/mapper/x rw\n'
    )
    with pytest.raises(exception.VolumeInUse, match='/srv/db'):
        brick.detach_volume(**support.ENCRYPTION)
    assert world.crypt.names() == [world.name]


def test_extend_of_what_has_shrunk_is_refused(world: World) -> None:
    brick = support.encryptor(world.link, put(world, 'luks2'))
    brick.attach_volume(None, **support.ENCRYPTION)
    world.crypt.grow('sdx', 18)
    with pytest.raises(exception.VolumeHasShrunk):
        brick.extend_volume(None, **support.ENCRYPTION)
    assert world.crypt.size(world.name) == support.SIZE - luks.LUKS2_DATA


def test_extend_of_what_is_not_open_says_so(world: World) -> None:
    brick = support.encryptor(world.link, put(world, 'luks'))
    with pytest.raises(exception.VolumeDeviceNotFound, match='not open'):
        brick.extend_volume(None, **support.ENCRYPTION)


@pytest.mark.parametrize('name', ['os-brick+dev+sdx', '36001405abc'])
def test_the_mapping_of_an_older_release_is_found(world: World, name: str) -> None:
    put(world, 'luks')
    uuid = luks.UUID.replace('-', '')
    world.crypt.map(name, 'sdx', f'CRYPT-LUKS1-{uuid}-{name}', 1 << 20)
    brick = support.encryptor(world.link, data={'multipath_id': '36001405abc'})
    assert brick.dev_name == name
    brick.detach_volume()
    assert world.crypt.names() == []


def test_a_path_that_is_not_a_link_of_ours_is_refused(world: World) -> None:
    put(world, 'luks')
    before = world.state()
    with pytest.raises(exception.InvalidParameterValue, match='device_path'):
        support.encryptor('/dev/sdx').attach_volume(None, **support.ENCRYPTION)
    assert world.state() == before


@pytest.mark.parametrize(
    ('key', 'value'),
    [('cipher', '--help'), ('cipher', 'a b'), ('key_size', 'big'), ('key_size', 0)],
)
def test_a_bad_option_is_named_before_anything_happens(world: World, key, value) -> None:
    brick = support.encryptor(world.link, put(world, 'luks'))
    with pytest.raises(exception.InvalidParameterValue, match=key):
        brick.attach_volume(None, **{**support.ENCRYPTION, key: value})
    assert world.host.acts == []


def test_a_very_long_name(world: World) -> None:
    link = '/dev/disk/by-id/os-brick+dev+' + 'x' * 200
    world.host.tree.at(link).symlink_to('/dev/sdx')
    put(world, 'luks')
    brick = support.encryptor(link)
    brick.attach_volume(None, **support.ENCRYPTION)
    assert len(brick.dev_name) < 60
    assert str(world.host.tree.at(link).readlink()) == f'/dev/mapper/{brick.dev_name}'
    support.encryptor(link).detach_volume()
    assert world.crypt.names() == []


def test_the_passphrase_is_nowhere(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    put(world, 'luks2')
    for passphrase in (support.PASSPHRASE, support.WRONG):
        brick = support.encryptor(world.link, 'luks2', passphrase)
        errors = []
        for act in (brick.attach_volume, brick.extend_volume):
            try:
                act(None, **support.ENCRYPTION)
            except exception.BrickException as error:
                errors.append(
                    f'{error!r} {error} {error.__notes__ if hasattr(error, "__notes__") else ""}'
                )
        brick.detach_volume()
        shown = [caplog.text, repr(brick), str(vars(brick)), str(errors), str(world.crypt.started)]
        assert not [text for text in shown if passphrase in text or repr(passphrase)[1:-1] in text]
    assert len(caplog.records) > 5


def test_a_mapping_of_another_program_is_not_ended(world: World) -> None:
    """Found by an attack: the last part of any path was the name of a mapping to be closed."""
    uuid = luks.UUID.replace('-', '')
    world.crypt.map('adminvol', 'sdx', f'CRYPT-LUKS1-{uuid}-adminvol', 1 << 20)
    support.encryptor('/dev/mapper/adminvol').detach_volume()
    assert world.crypt.names() == ['adminvol']


def test_what_is_not_dm_crypt_under_our_name_is_left_and_told(world: World, caplog) -> None:
    world.crypt.map(world.name, 'sdx', 'LVM-abc', 1 << 20)
    support.encryptor(world.link).detach_volume()
    assert world.crypt.names() == [world.name]
    assert 'not a mapping of dm-crypt' in caplog.text


def test_integrity_is_refused_before_anything_is_opened(world: World) -> None:
    """Found by an attack: the failed attach left two mappings."""
    described = luks.luks2_description(KEY, luks.LUKS2_DATA, 512)
    described['segments']['0']['integrity'] = {'type': 'hmac(sha256)'}
    world.crypt.write('sdx', 0, luks.luks2_binary(described, 0))
    before = world.state()
    with pytest.raises(exception.BrickException, match='integrity'):
        support.encryptor(world.link, 'luks2').attach_volume(None, **support.ENCRYPTION)
    assert world.state() == before
