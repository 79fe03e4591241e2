# SPDX-License-Identifier: Apache-2.0
"""The command lines, by root functions and through a callable that the caller has brought."""

from typing import Any

from oslo_concurrency import processutils
import pytest

from os_brick import encryptors, exception
from os_brick.encryptors import luks as luks_encryptors
from os_brick.encryptors import nop
from tests.unit.encryptors import support
from tests.unit.encryptors.support import World
from tests.unit.fakehost import luks

KEY = support.PASSPHRASE.encode()
OPEN = ('cryptsetup', 'luksOpen', '--key-file=-', '/dev/sdx', 'crypt-os-brick+dev+sdx')
CLOSE = ('cryptsetup', 'luksClose', 'crypt-os-brick+dev+sdx')
RESIZE = ('cryptsetup', 'resize', '--key-file=-', 'crypt-os-brick+dev+sdx')


class Execute:
    """A caller's callable: it runs what the host has, and remembers how it was asked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.calls: list[tuple[tuple[str, ...], dict[str, Any]]] = []

    def __call__(self, *argv: str, **keywords: Any) -> tuple[str, str]:
        self.calls.append((argv, keywords))
        text = keywords.get('process_input')
        code, out, err = self._world.crypt(argv, stdin=text and text.encode())
        if code:
            raise processutils.ProcessExecutionError(out, err, code, ' '.join(argv))
        return out, err


@pytest.fixture
def execute(world: World) -> Execute:
    world.crypt.write('sdx', 0, luks.luks2(KEY))
    return Execute(world)


def _brought(world: World, execute: Execute, passphrase: str = support.PASSPHRASE) -> Any:
    return encryptors.get_volume_encryptor(
        'sudo', support.connection(world.link), support.KeyManager(passphrase), execute,
        **{**support.ENCRYPTION, 'provider': 'luks2'},
    )  # fmt: skip


def _life(brick: Any, world: World) -> None:
    brick.attach_volume(None, **support.ENCRYPTION)
    world.crypt.grow('sdx', 32)
    assert brick.extend_volume(None, **support.ENCRYPTION) == 16 << 20
    brick.detach_volume(**support.ENCRYPTION)


def test_command_lines_of_root_functions(world: World, execute: Execute) -> None:
    _life(support.encryptor(world.link, 'luks2'), world)
    assert world.crypt.started == [OPEN, RESIZE, CLOSE]
    assert execute.calls == []


def test_a_callable_of_the_caller_runs_the_same(world: World, execute: Execute) -> None:
    _life(_brought(world, execute), world)
    assert [argv for argv, _ in execute.calls] == [OPEN, RESIZE, CLOSE]
    for _, keywords in execute.calls:
        assert (keywords['run_as_root'], keywords['root_helper']) == (True, 'sudo')
        assert keywords.get('process_input') in (None, support.PASSPHRASE)


def test_a_callable_that_is_set_later(world: World, execute: Execute) -> None:
    brick = support.encryptor(world.link, 'luks2')
    brick.set_execute(execute)
    _life(brick, world)
    assert len(execute.calls) == 3


def test_a_wrong_passphrase_through_the_callable(world: World, execute: Execute) -> None:
    with pytest.raises(exception.WrongPassphrase) as caught:
        _brought(world, execute, support.WRONG).attach_volume(None, **support.ENCRYPTION)
    assert support.WRONG not in repr(caught.value)


@pytest.mark.parametrize('code', [None, -9])
def test_a_program_that_was_killed_is_an_error(world, execute, code) -> None:
    def killed(*argv: str, **keywords: Any) -> None:
        raise processutils.ProcessExecutionError('', 'killed', code, ' '.join(argv))

    with pytest.raises(processutils.ProcessExecutionError):
        _brought(world, killed).attach_volume(None, **support.ENCRYPTION)
    assert world.crypt.names() == []


def test_is_luks(world: World, execute: Execute) -> None:
    world.crypt.device('sdy')
    assert luks_encryptors.is_luks(None, '/dev/sdx')
    assert not luks_encryptors.is_luks(None, '/dev/sdy')
    assert not luks_encryptors.is_luks(None, '/dev/none')
    # A second header that is whole is enough for cryptsetup.
    world.crypt.write('sdx', 0, bytes(16384))
    assert luks_encryptors.is_luks(None, '/dev/sdx')


@pytest.mark.parametrize('code', [0, 1, 4, None])
def test_is_luks_through_a_callable(code: int | None) -> None:
    asked = []

    def run(*argv: str, **keywords: Any) -> tuple[str, str]:
        asked.append(argv)
        if code != 0:
            raise processutils.ProcessExecutionError('', '', code)
        return '', ''

    assert luks_encryptors.is_luks('sudo', '/dev/x', run) is (code == 0)
    assert asked == [('cryptsetup', 'isLuks', '--verbose', '/dev/x')]


@pytest.mark.parametrize(
    ('more', 'words'),
    [
        ({}, ()),
        ({'cipher': 'aes-xts-plain64'}, ('--cipher', 'aes-xts-plain64')),
        ({'key_size': 512}, ('--key-size', '512')),
        (
            {'cipher': 'a-b', 'key_size': '256'},
            ('--cipher', 'a-b', '--key-size', '256'),
        ),
    ],
)
def test_plain(world: World, more: dict[str, Any], words: tuple[str, ...]) -> None:
    name = 'crypt-os-brick+dev+sdx'
    brick = support.encryptor(world.link, 'plain')
    brick.attach_volume(None, **more)
    with pytest.raises(NotImplementedError):
        brick.extend_volume(None)
    assert world.where() == f'/dev/mapper/{name}'
    brick.detach_volume()
    create = ('cryptsetup', 'create', '--key-file=-', *words, name, '/dev/sdx')
    assert world.crypt.started == [create, CLOSE]


def test_plain_is_not_put_over_a_luks_header(world: World, execute: Execute) -> None:
    before = world.state()
    with pytest.raises(exception.VolumeIdentityMismatch, match='LUKS header'):
        support.encryptor(world.link, 'plain').attach_volume(None)
    assert world.state() == before


@pytest.mark.parametrize(
    ('provider', 'kind'),
    [
        *((name, kind) for name, kind in encryptors.LEGACY_PROVIDER_CLASS_TO_FORMAT_MAP.items()),
        *(('luks', 'luks'), ('luks2', 'luks2'), ('plain', 'plain'), (None, None)),
        *(('os_brick.encryptors.luks.Luks2Encryptor', 'luks2'),),
        ('os_brick.encryptors.nop.NoOpEncryptor', None),
    ],
)
@pytest.mark.parametrize('location', ['front-end', 'FRONT-END', 'back-end', None])
def test_providers(world: World, provider: Any, kind: str | None, location: Any) -> None:
    brick = encryptors.get_volume_encryptor(
        None, support.connection(world.link), None, control_location=location, provider=provider
    )
    found = f'{type(brick).__module__}.{type(brick).__name__}'
    is_front = location is not None and location.lower() == 'front-end'
    wanted = encryptors.FORMAT_TO_FRONTEND_ENCRYPTOR_MAP.get(str(kind)) if is_front else None
    assert found == (wanted or 'os_brick.encryptors.nop.NoOpEncryptor')


def test_an_unknown_provider_is_an_import_error(world: World) -> None:
    with pytest.raises(ImportError):
        support.encryptor(world.link, 'no.such.Encryptor')


def test_no_device_path_names_the_volume() -> None:
    with pytest.raises(exception.VolumeEncryptionNotSupported) as caught:
        support.encryptor('')
    assert (caught.value.volume_id, caught.value.volume_type) == ('volume-1', 'iscsi')


def test_nothing_is_done_for_a_volume_that_is_not_encrypted_here() -> None:
    brick = nop.NoOpEncryptor(None, {}, None)
    assert brick.attach_volume(None, cipher=1) is None
    assert brick.extend_volume(None) is None
    assert brick.detach_volume(provider=1) is None


class Api:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def get_volume_encryption_metadata(self, context: Any, volume_id: str) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_metadata() -> None:
    info = support.connection('/dev/x')
    get = encryptors.get_encryption_metadata
    assert get(None, Api({'provider': 'luks'}), 'v', info) == {'provider': 'luks'}
    assert get(None, Api(None), 'v', info) is None
    assert get(None, Api({'provider': 'luks'}), 'v', {'data': {}}) == {}
    assert get(None, Api({'provider': 'luks'}), 'v', {}) == {}
    with pytest.raises(KeyError):
        get(None, Api(KeyError('v')), 'v', info)
