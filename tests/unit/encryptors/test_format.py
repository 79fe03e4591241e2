# SPDX-License-Identifier: Apache-2.0
"""New volumes: what is formatted, what never is, and what a format that ends anywhere leaves."""

from collections.abc import Iterator
import contextlib
import logging
import os
from typing import Any

from oslo_concurrency import processutils
from oslo_config import cfg
import pytest

from os_brick import encryptors, exception
from os_brick.privileged import luks_format, luks_states
from tests import breadth
from tests.unit.encryptors import support
from tests.unit.encryptors.support import World
from tests.unit.fakehost import blkid, luks
from tests.unit.fakehost.contents import KNOWN, UNKNOWN

SIZE = support.SIZE
VERSIONS = pytest.mark.parametrize('version', ['luks', 'luks2'])
KEY = support.PASSPHRASE.encode()
FAILURES = (
    *(OSError, exception.BrickException, KeyboardInterrupt),
    processutils.ProcessExecutionError,
)


@pytest.fixture(autouse=True)
def _blkid(world: World) -> None:
    blkid.Blkid(world.crypt)


@pytest.fixture
def option() -> Iterator[Any]:
    with contextlib.ExitStack() as stack:

        def configure(name: str, value: object) -> None:
            cfg.CONF.set_override(name, value, group='os_brick')
            stack.callback(cfg.CONF.clear_override, name, group='os_brick')

        yield configure


def attach(world: World, version: str = 'luks', **more: Any) -> Any:
    brick = support.encryptor(world.link, version, **more)
    brick.attach_volume(None, **support.ENCRYPTION)
    return brick


def formats(world: World) -> list[tuple[str, ...]]:
    return [argv for argv in world.crypt.started if 'luksFormat' in argv]


@VERSIONS
def test_a_blank_volume_is_formatted_and_opened(world: World, version: str) -> None:
    before = world.host.snapshot()
    brick = attach(world, version)
    assert world.crypt.read('sdx', 0, 8) == b'LUKS\xba\xbe' + bytes([0, 2 if '2' in version else 1])
    assert world.where() == f'/dev/mapper/{world.name}'
    (argv,) = formats(world)
    header = argv[argv.index('--header') + 1]
    offset = '32768' if version == 'luks2' else '4096'
    kind = 'luks2' if version == 'luks2' else 'luks1'
    assert argv == (
        *('cryptsetup', '--batch-mode', 'luksFormat', '--type', kind, '--key-file=-'),
        *('--cipher', 'aes-xts-plain64', '--key-size', '256'),
        *('--header', header, '--offset', offset, '/dev/sdx'),
    )
    assert not os.path.exists(header)
    brick.detach_volume()
    support.link_to(world.host, 'sdx')
    left = set(world.host.snapshot().items()) - set(before.items())
    assert all(path.startswith('/var/lib/os-brick') for path, _ in left)
    attach(world, version)
    assert len(formats(world)) == 1


def memory() -> list[str]:
    """The headers in memory that this process, which is the daemon here, has open."""
    found = []
    for each in os.listdir('/proc/self/fd'):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f'/proc/self/fd/{each}'))
    return [each for each in found if 'memfd:os-brick-luks' in each]


def test_an_interrupt_after_room_for_a_header_was_made_leaves_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon has room for 64 of them, and lives as long as its service."""
    real = luks_format.new_header

    def interrupted(*words: Any) -> Any:
        real(*words)
        assert memory()
        raise KeyboardInterrupt

    before = world.state()
    monkeypatch.setattr(luks_format, 'new_header', interrupted)
    with pytest.raises(KeyboardInterrupt):
        attach(world, 'luks2')
    assert not memory()
    assert world.state() == before
    monkeypatch.undo()
    attach(world, 'luks2')
    assert not memory()


def test_only_header_and_keys_are_written(world: World) -> None:
    attach(world, 'luks2')
    data = world.crypt.read('sdx', 0, SIZE)
    used = 32768 + 258048
    assert data[32768:used].strip(b'\0')
    assert not data[used:].strip(b'\0')


@pytest.mark.parametrize('found', [*KNOWN, *UNKNOWN])
@pytest.mark.parametrize('direct', [False, True])
def test_nothing_is_formatted_that_has_anything_on_it(world, found, direct) -> None:
    for place, data in {**KNOWN, **UNKNOWN}[found].items():
        world.crypt.write('sdx', place, data)
    before = world.state()
    brick = support.encryptor(world.link, 'luks' if direct else 'luks2')
    if found in ('luks1', 'luks2'):
        kind = exception.VolumeIdentityMismatch if direct else exception.WrongPassphrase
        refused: Any = pytest.raises(kind)
    else:
        refused = pytest.raises(exception.NotLUKS, match='/dev/sdx')
    with refused as caught:
        if direct:
            brick._format_volume(support.PASSPHRASE, **support.ENCRYPTION)
        else:
            brick.attach_volume(None, **support.ENCRYPTION)
    assert world.state() == before
    assert formats(world) == []
    assert ('luks_format = unsigned' in str(caught.value)) == (found in UNKNOWN)


@pytest.mark.parametrize('found', ['xfs', 'gpt at the end', 'luks2'])
def test_unsigned_refuses_what_a_probe_knows(world: World, option: Any, found: str) -> None:
    """All of these are in ``host/test_blank``."""
    option('luks_format', 'unsigned')
    for place, data in {0: os.urandom(1 << 16), **KNOWN[found]}.items():
        world.crypt.write('sdx', place, data)
    before = world.state()
    with pytest.raises((exception.NotLUKS, exception.WrongPassphrase)):
        attach(world, 'luks2')
    assert world.state() == before


@pytest.mark.parametrize('found', UNKNOWN)
def test_unsigned_formats_what_no_probe_knows(world, option, found) -> None:
    option('luks_format', 'unsigned')
    for place, data in UNKNOWN[found].items():
        world.crypt.write('sdx', place, data)
    attach(world, 'luks2').detach_volume()
    support.link_to(world.host, 'sdx')
    attach(world, 'luks2')


@pytest.mark.parametrize('place', [0, 5000, (16 << 20) - 1, SIZE - 1])
def test_zeros_that_turn_into_data(world: World, place: int) -> None:
    """A device-mapper table that is replaced, or a path that comes back with another LUN."""

    def turn(what: str) -> None:
        if what.startswith('_write'):
            world.crypt.write('sdx', place, b'data')

    world.host.before_act = turn
    with pytest.raises(exception.NotLUKS, match=f'data at byte {place}'):
        attach(world)
    world.host.before_act = lambda what: None
    assert world.crypt.read('sdx', place, 4)[:1] == b'd'
    world.crypt.write('sdx', place, bytes(4)[: SIZE - place])
    assert not world.crypt.read('sdx', 0, SIZE).strip(b'\0')


@pytest.mark.parametrize('found', ['ext4', 'xfs', 'random', 'the last byte'])
def test_unsigned_refuses_what_changes_between_the_looks(world, option, found: str) -> None:
    """Found by an attack: the second look knew fewer signatures than the first."""
    option('luks_format', 'unsigned')
    world.crypt.write('sdx', 0, os.urandom(1 << 20))

    def turn(what: str) -> None:
        if 'luksFormat' in what:
            for place, data in {**KNOWN, **UNKNOWN}[found].items():
                world.crypt.write('sdx', place, data)

    world.host.before_act = turn
    with pytest.raises(exception.NotLUKS, match='has changed between'):
        attach(world)
    world.host.before_act = lambda what: None
    before = world.state()
    assert world.crypt.read('sdx', 0, 6) != b'LUKS\xba\xbe'
    assert world.state() == before


def test_the_two_looks_are_apart(world: World) -> None:
    times = []

    def look(what: str) -> None:
        if what.startswith(('_look', '_write')):
            times.append(world.host.clock.monotonic())

    world.host.before_act = look
    attach(world)
    assert times[1] - times[0] >= 1.0


@pytest.mark.parametrize('version', ['luks', 'luks2'] if breadth.EVERYTHING else ['luks2'])
@pytest.mark.parametrize('how', ['refused', 'late', 'killed', 'interrupted', 'interrupted late'])
def test_a_first_attach_that_goes_wrong_at_any_step(world: World, version: str, how: str) -> None:
    """The volume is blank or usable afterwards, and the next attach succeeds."""
    struck = []
    for number in range(40):
        world.crypt.device(f'n{number}', 20)
        link = support.link_to(world.host, f'n{number}')
        info = support.connection(link)
        info['serial'] = f'volume-n{number}'
        world.host.struck = ''
        world.host.fail(number, how)
        with contextlib.suppress(*FAILURES):
            _of(info, version).attach_volume(None, **support.ENCRYPTION)
        if not world.host.struck:
            break
        struck.append(world.host.struck)
        start = world.crypt.read(f'n{number}', 0, 32768)
        assert not start.strip(b'\0') or luks.opens(start, KEY), world.host.struck
        world.host.fail(10_000, 'refused')
        support.link_to(world.host, f'n{number}')
        _of(info, version).attach_volume(None, **support.ENCRYPTION)
    assert any('luksFormat' in each for each in struck)
    assert any('_write' in each for each in struck)


def _of(info: dict[str, Any], version: str) -> Any:
    return encryptors.get_volume_encryptor(
        None, info, support.KeyManager(), **{**support.ENCRYPTION, 'provider': version}
    )


def _killed_while_writing(world: World, version: str) -> bytes:
    """Have the service killed just before it writes; return the header that it had made."""
    made = []
    run = world.crypt

    def keep(argv: tuple[str, ...], stdin: bytes | None, **keywords: Any) -> Any:
        answer = run(argv, stdin=stdin, **keywords)
        if 'luksFormat' in argv:
            with open(argv[argv.index('--header') + 1], 'rb') as file:
                made.append(file.read())
        return answer

    world.host.programs['cryptsetup'] = keep

    def stop(what: str) -> None:
        if what.startswith('_write'):
            raise OSError('killed')

    world.host.before_act = stop
    with pytest.raises(exception.BrickException):
        attach(world, version)
    world.host.before_act = lambda what: None
    world.host.programs['cryptsetup'] = run
    return made[0]


@VERSIONS
@pytest.mark.parametrize(
    'written', ['nothing', 'half a key', 'keys', 'second', 'torn first', 'all']
)
def test_killed_between_two_writes(world: World, version: str, written: str) -> None:
    """What the kernel had been given by then is there; the next attach takes up again."""
    made = _killed_while_writing(world, version)
    start = 4096 if version == 'luks' else 32768
    pieces = {
        'nothing': [],
        'half a key': [(start, made[start : start + 8192])],
        'keys': [(start, made[start : start + 249_856])],
        'second': [(start, made[start : start + 258_048]), (16384, made[16384:32768])],
        'torn first': [(start, made[start : start + 258_048]), (0, made[:512])],
        'all': [(0, made[: start + 258_048])],
    }
    if version == 'luks' and written in ('second', 'torn first'):
        return  # There is one header, in one sector.
    for place, data in pieces[written]:
        world.crypt.write('sdx', place, data)
    world.crypt.repairs = True
    attach(world, version)
    assert luks.opens(world.crypt.read('sdx', 0, 32768), KEY)
    assert len(formats(world)) == (1 if written in ('second', 'all') else 2)


@pytest.mark.parametrize('place', [0, 4096, 32768, 33280, 300_000, SIZE - 1])
@pytest.mark.parametrize('written', [0, 512, 8192])
def test_what_is_not_of_an_interrupted_header_is_data(world, place: int, written: int) -> None:
    """Found by an attack: all at the places of the header was taken for the header."""
    made = _killed_while_writing(world, 'luks2')
    world.crypt.write('sdx', 32768, made[32768 : 32768 + written])
    world.crypt.write('sdx', place, b'precious'[: SIZE - place])
    before = world.state()
    with pytest.raises(exception.NotLUKS):
        attach(world, 'luks2')
    assert world.state() == before


@pytest.mark.parametrize('uuid', ['same', 'other'])
def test_a_damaged_header_is_not_that_of_an_interrupted_format(world: World, uuid: str) -> None:
    made = _killed_while_writing(world, 'luks2')
    start = bytearray(made[:512])
    start[20] ^= 1
    if uuid == 'other':
        start[170] ^= 1
    world.crypt.write('sdx', 0, bytes(start))
    before = world.state()
    with pytest.raises(exception.NotLUKS):
        attach(world, 'luks2')
    assert world.state() == before


def test_rests_of_a_header_that_no_one_remembers_are_data(world: World) -> None:
    made = _killed_while_writing(world, 'luks2')
    world.crypt.write('sdx', 32768, made[32768:40960])
    luks_states.save('volume-volume-1', {})
    with pytest.raises(exception.NotLUKS, match='byte 32768'):
        attach(world, 'luks2')


@VERSIONS
@pytest.mark.parametrize('first', ['formatted', 'was one'])
def test_a_volume_that_had_a_header_is_not_blank(world, option, version, first) -> None:
    if first == 'was one':
        world.crypt.write('sdx', 0, luks.luks1(KEY) if version == 'luks' else luks.luks2(KEY))
    attach(world, version).detach_volume()
    world.crypt.write('sdx', 0, bytes(17 << 20))
    support.link_to(world.host, 'sdx')
    with pytest.raises(exception.NotLUKS, match='luks_format_again'):
        attach(world, version)
    assert not world.crypt.read('sdx', 0, SIZE).strip(b'\0')
    option('luks_format_again', True)
    attach(world, version)


def test_what_cannot_be_remembered_is_not_formatted(world: World) -> None:
    world.host.tree.file('/var/lib/os-brick', 'a file in the place of the directory')
    with pytest.raises((exception.BrickException, OSError), match='os-brick'):
        attach(world)
    assert not world.crypt.read('sdx', 0, SIZE).strip(b'\0')


def test_a_reboot_that_empties_the_directory_of_locks(world: World) -> None:
    """Found by an attack: the memory lay beside the lock files, which are on a tmpfs often."""
    attach(world).detach_volume()
    world.crypt.write('sdx', 0, bytes(SIZE))
    for file in (world.host.place / 'locks').iterdir():
        file.unlink()
    support.link_to(world.host, 'sdx')
    with pytest.raises(exception.NotLUKS, match='luks_format_again'):
        attach(world)


def test_a_device_that_something_holds(world: World) -> None:
    world.host.claims.add('sdx')
    with pytest.raises(exception.VolumeInUse):
        attach(world)
    assert not world.crypt.read('sdx', 0, SIZE).strip(b'\0')


def test_a_device_whose_name_is_another_ones_by_now(world: World) -> None:
    world.host.node_numbers['sdx'] = '1:2'
    with pytest.raises(exception.BrickException, match='another device'):
        attach(world)
    assert not world.crypt.read('sdx', 0, SIZE).strip(b'\0')


@pytest.mark.parametrize('megabytes', [1, 2, 16])
def test_a_device_that_is_too_small(world: World, megabytes: int) -> None:
    world.crypt.device('small', megabytes)
    world.link = support.link_to(world.host, 'small')
    version = 'luks2' if megabytes == 16 else 'luks'
    with pytest.raises(exception.BrickException, match='header takes'):
        attach(world, version)
    assert not world.crypt.read('small', 0, megabytes << 20).strip(b'\0')


def test_cryptsetup_that_makes_no_header(world: World) -> None:
    world.crypt.format_code = 1
    before = world.state()
    with pytest.raises(exception.BrickException, match='cannot make a LUKS1 header'):
        attach(world)
    assert world.state() == before


@VERSIONS
def test_nova_formats_and_opens_nothing(world: World, version: str) -> None:
    support.encryptor(world.link, version)._format_volume(support.PASSPHRASE, **support.ENCRYPTION)
    assert world.crypt.names() == []
    assert world.where() == '/dev/sdx'
    attach(world, version)
    assert len(formats(world)) == 1


def test_the_passphrase_of_a_format_is_nowhere(world, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    brick = support.encryptor(world.link, 'luks2')
    world.crypt.format_code = 1
    with pytest.raises(exception.BrickException) as caught:
        brick.attach_volume(None, **support.ENCRYPTION)
    world.crypt.format_code = 0
    brick.attach_volume(None, **support.ENCRYPTION)
    shown = [caplog.text, repr(caught.value), str(vars(brick)), str(world.crypt.started)]
    secret = (support.PASSPHRASE, repr(support.PASSPHRASE)[1:-1])
    assert not [text for text in shown if any(each in text for each in secret)]


@VERSIONS
@pytest.mark.parametrize('is_on', [False, True])
def test_copies_of_headers(world: World, option: Any, version: str, is_on: bool) -> None:
    """One for each state of a header, made before it is opened, for root alone; off by default."""
    if is_on:
        option('luks_header_backup', True)
    attach(world, version).detach_volume()
    support.link_to(world.host, 'sdx')
    attach(world, version)
    place = world.host.tree.at('/var/lib/os-brick/luks-headers')
    kept = list(place.iterdir()) if place.exists() else []
    assert len(kept) == is_on
    acts = [next(word for word in argv[1:] if word[0] != '-') for argv in world.crypt.started]
    programs = [act for act in acts if act != 'luksClose']
    copy = ['luksHeaderBackup'] if is_on else []
    assert programs == ['luksFormat', *copy, 'luksOpen', 'luksOpen']
    for file in kept:
        assert (place.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
        assert file.read_bytes()[:4096] == world.crypt.read('sdx', 0, 4096)


def test_a_refused_format_forgets_no_header(world: World) -> None:
    """Found by an attack: two formats by two links; the loser erased what the winner had saved."""
    header = luks.luks1(KEY)

    def other(what: str) -> None:
        if 'luksFormat' in what:
            world.crypt.write('sdx', 0, header)
            luks_states.save('volume-volume-1', {'header': luks.UUID})

    world.host.before_act = other
    with pytest.raises(exception.NotLUKS, match='LUKS header'):
        attach(world)
    world.host.before_act = lambda what: None
    assert luks_states.load('volume-volume-1') == {'header': luks.UUID}


def test_what_another_process_has_formatted_meanwhile_is_used(world: World) -> None:
    header = luks.luks1(KEY)
    looks = []

    def other(what: str) -> None:
        looks.extend([what] if what.startswith('_header') else [])
        if len(looks) == 2:
            world.crypt.write('sdx', 0, header)

    world.host.before_act = other
    attach(world)
    assert formats(world) == []
    assert luks_states.load('volume-volume-1') == {'header': luks.UUID}
