# SPDX-License-Identifier: Apache-2.0
"""Mappings of dm-crypt: whose they are, how they end, and what takes an opening back."""

import json
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import undo, wait
from os_brick.host import crypt
from os_brick.model import crypt_commands, luks
from tests.unit.encryptors.conftest import world  # noqa: F401
from tests.unit.encryptors.support import World
from tests.unit.fakehost import luks as fake_luks
from tests.unit.fakehost.fixtures import host  # noqa: F401

PLAIN_UUID = fake_luks.UUID.replace('-', '')
LUKS1, LUKS2 = f'CRYPT-LUKS1-{PLAIN_UUID}-c', f'CRYPT-LUKS2-{PLAIN_UUID}-c'
OTHER = f'CRYPT-LUKS1-{"0" * 32}-c'


def soon() -> wait.Deadline:
    return wait.Deadline.after(20)


def mapping(uuid: str, *devices: str) -> crypt.Mapping:
    return crypt.Mapping('c', 'dm-4', uuid, devices)


@pytest.fixture
def header(world: World) -> luks.Header:  # noqa: F811
    """That of the volume on sdx."""
    world.crypt.write('sdx', 0, fake_luks.luks1(b'key'))
    found = crypt.header('sdx', soon())
    assert found is not None
    return found


def test_a_device_without_a_header(world: World) -> None:  # noqa: F811
    assert crypt.header('sdx', soon()) is None


@pytest.mark.parametrize(
    'content', [{0: b'LUKS\xba\xbe\x00\x02 not a header'}, {16384: b'SKUL\xba\xbe\x00\x02'}]
)
def test_a_header_that_cannot_be_used_is_not_none(world: World, content: dict[int, bytes]) -> None:  # noqa: F811
    for place, data in content.items():
        world.crypt.write('sdx', place, data)
    with pytest.raises(luks.Damaged):
        crypt.header('sdx', soon())


@pytest.mark.parametrize('how', ['refused', 'gone'])
def test_a_header_that_cannot_be_read_is_not_none(world: World, how: str) -> None:  # noqa: F811
    if how == 'gone':
        world.host.tree.remove('/dev/sdx')
    else:
        world.host.fail(0, how)
    with pytest.raises(exception.VolumeDeviceNotFound, match='/dev/sdx is a LUKS volume'):
        crypt.header('sdx', soon())


@pytest.mark.parametrize(
    ('uuid', 'is_crypt', 'luks_uuid'),
    [
        (LUKS1, True, PLAIN_UUID),
        (LUKS2, True, PLAIN_UUID),
        ('CRYPT-PLAIN-c', True, ''),
        ('CRYPT-', True, ''),
        (f'mpath-LUKS1-{PLAIN_UUID}-c', False, ''),
        ('', False, ''),
    ],
)
def test_what_a_mapping_is(uuid: str, is_crypt: bool, luks_uuid: str) -> None:
    found = mapping(uuid, 'sdx')
    assert (found.is_crypt, found.luks_uuid) == (is_crypt, luks_uuid)
    assert str(found).endswith('over /dev/sdx')
    assert found.path == '/dev/mapper/c'


@pytest.mark.parametrize(
    ('uuid', 'has_header', 'is_of'),
    [
        (LUKS1, True, True),
        (LUKS1.upper(), True, True),
        (OTHER, True, False),
        ('CRYPT-PLAIN-c', True, False),
        ('CRYPT-PLAIN-c', False, True),
        (LUKS1, False, False),
        ('LVM-abc', True, False),
        ('LVM-abc', False, False),
    ],
)
def test_whose_a_mapping_is(header: luks.Header, uuid: str, has_header: bool, is_of: bool) -> None:
    assert mapping(uuid).is_of(header if has_header else None) is is_of


def test_a_mapping_is_found_by_its_name(world: World) -> None:  # noqa: F811
    assert crypt.find('c') is None
    world.crypt.map('c', 'sdx', LUKS1, 1 << 20)
    found = crypt.find('c')
    assert found is not None
    assert (found.devices, found.dm) == (('sdx',), world.crypt.dm('c'))
    assert crypt.of_device(found.dm) == found
    world.crypt.map('d', 'sdx', 'LVM-abc', 1 << 20)
    assert crypt.of_device(world.crypt.dm('d')) is None


def attempts(*codes: int) -> Any:
    """What cryptsetup ends in, one after the other, and the last again and again."""
    left = list(codes)
    return lambda: (left.pop(0) if len(left) > 1 else left[0], 'words')


def test_a_mapping_is_closed_when_udev_is_done_with_it(world: World) -> None:  # noqa: F811
    busy, done = crypt_commands.BUSY, crypt_commands.DONE
    crypt.require_closed(mapping(LUKS1), attempts(busy, busy, done), soon())
    crypt.require_closed(mapping(LUKS1), attempts(crypt_commands.NOT_THERE), soon())
    begun = world.host.clock.monotonic()
    with pytest.raises(exception.VolumeInUse, match='/dev/mapper/c.*a process') as caught:  # noqa: RUF043
        crypt.require_closed(mapping(LUKS1), attempts(busy), wait.Deadline.after(3))
    assert world.host.clock.monotonic() - begun <= 3.1
    assert caught.value.device == '/dev/mapper/c'
    with pytest.raises(exception.BrickException, match='cannot close /dev/mapper/c: 1, words'):
        crypt.require_closed(mapping(LUKS1), attempts(crypt_commands.BAD_PARAMETERS), soon())


def test_close(world: World) -> None:  # noqa: F811
    world.crypt.map('c', 'sdx', LUKS1, 1 << 20)
    found = crypt.find('c')
    assert found is not None
    world.crypt.busy.add('c')
    with pytest.raises(exception.VolumeInUse):
        crypt.close(found, soon())
    world.crypt.busy.clear()
    crypt.close(found, soon())
    assert world.crypt.names() == []
    crypt.close(found, soon())


@pytest.mark.parametrize(
    ('uuid', 'over', 'goes'),
    [
        (LUKS1, 'sdx', True),
        (LUKS1, 'sdy', True),  # The same volume by another path.
        (OTHER, 'sdx', True),
        (OTHER, 'sdy', False),
        ('CRYPT-PLAIN-c', 'sdx', True),
        ('CRYPT-PLAIN-c', 'sdy', False),
        ('LVM-abc', 'sdx', False),
    ],
)
def test_only_what_an_attach_has_opened_is_taken_back(
    world: World,  # noqa: F811
    uuid: str,
    over: str,
    goes: bool,
) -> None:
    world.crypt.device('sdy')
    todo = undo.Undo()
    todo.add(crypt.close_again, 'c', 'sdx', fake_luks.UUID, 20.0)
    steps = json.loads(json.dumps(todo.steps()))
    assert undo.replay(steps) == []  # It was not opened at all.
    world.crypt.map('c', over, uuid, 1 << 20)
    assert undo.replay(steps) == []
    assert world.crypt.names() == ([] if goes else ['c'])
