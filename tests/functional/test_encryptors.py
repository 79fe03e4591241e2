# SPDX-License-Identifier: Apache-2.0
"""Encryptors on the real cryptsetup: the whole life, and what must never be formatted."""

import contextlib
import logging
import os
import pathlib
import signal
import threading

import pytest

from os_brick import exception
from tests import breadth
from tests.functional import encryption_support as crypto
from tests.functional import lab, support

MIB = 1 << 20
PLAIN_TEXT = b'in clear text '.ljust(support.BLOCK, b'.')


@pytest.fixture(autouse=True)
def _forgotten(clean_host):
    """No volume of another test is remembered."""
    crypto.forget()
    yield
    for name in crypto.mappings():
        lab.shell.run('cryptsetup', 'close', name, check=False)
    for link in pathlib.Path('/dev/disk/by-id').glob('os-brick*'):
        link.unlink()


@pytest.fixture(params=['iscsi', 'fc', 'nvme'])
def attached(request, shelf):
    """A blank volume of 48 MiB with several paths: (connector, props, info, volume)."""
    if request.param == 'iscsi':
        volume = shelf.volume('locked', 48)
        target = shelf.target('locked', 2)
        target.map(1, volume)
        connector = lab.bricks.ours(multipath=True)
        props = target.properties(1, plural=True, encrypted=True)
    elif request.param == 'fc':
        fabric = request.getfixturevalue('fabric')
        volume = shelf.volume('locked', 48)
        fabric.map(1, volume)
        connector = lab.bricks.ours('FIBRE_CHANNEL', multipath=True)
        props = fabric.properties(1, encrypted=True)
    else:
        volume = shelf.store('locked', 48)
        subsystem = shelf.subsystem('locked', 2, 'tcp')
        subsystem.map(1, volume)
        connector = lab.bricks.ours('NVMEOF', multipath=True)
        props = subsystem.properties(1, encrypted=True)
    info = connector.connect_volume(props)
    yield connector, props, info, volume
    connector.disconnect_volume(props, info, force=True, ignore_errors=True)


def _use(path, volume):
    support.write(path, PLAIN_TEXT, MIB)
    assert support.read(path, support.BLOCK, MIB) == PLAIN_TEXT
    size = support.size(os.path.realpath(path))
    for offset in range(0, size, 4 * MIB):
        assert PLAIN_TEXT not in volume.read(min(4 * MIB, size - offset), offset)


@pytest.mark.parametrize(
    'attached', ['iscsi', 'nvme', *(['fc'] if breadth.EVERYTHING else [])], indirect=True, ids=str
)
def test_whole_life(attached, request, caplog):
    """Formatted by the first attach, used, detached, attached again as after a reboot, both layers
    grown, a wrong key refused; the passphrase is in no log, error, command line or environment."""
    connector, props, info, volume = attached
    caplog.set_level(logging.DEBUG)
    provider = 'luks' if 'iscsi' in request.node.name else 'luks2'
    path, offset = info['path'], (2 if provider == 'luks' else 16) * MIB
    with crypto.watch_processes(crypto.PASSPHRASE, crypto.WRONG) as leaks:
        brick = crypto.attach(path, provider)
        assert volume.read(8)[:6] == b'LUKS\xba\xbe'
        _use(path, volume)
        brick.detach_volume(**crypto.METADATA)
        assert crypto.mappings() == set()
        connector.disconnect_volume(props, info)
        assert not os.path.lexists(path)
        again = connector.connect_volume(props)
        info.clear()
        info.update(again)
        with pytest.raises(exception.WrongPassphrase) as wrong:
            crypto.attach(path, provider, passphrase=crypto.WRONG)
        brick = crypto.attach(info['path'], provider)
        assert support.read(info['path'], support.BLOCK, MIB) == PLAIN_TEXT
        bigger = volume.grow(64)
        assert connector.extend_volume({**props, 'device_path': info['path']}) == bigger
        assert brick.extend_volume(None, **crypto.METADATA) == bigger - offset
        assert support.size(info['path']) == bigger - offset
        support.write(info['path'], PLAIN_TEXT, bigger - offset - support.BLOCK)
        brick.detach_volume(**crypto.METADATA)
    support.assert_nowhere(crypto.PASSPHRASE, caplog, leaks, wrong.value, brick)
    support.assert_nowhere(crypto.WRONG, caplog, leaks, wrong.value, brick)
    connector.disconnect_volume(props, info)
    assert not os.path.lexists(info['path'])


@pytest.fixture
def device(shelf, single, multipathd):
    """A blank volume of 32 MiB with one path: (path of the device, our link, volume)."""
    multipathd(find_multipaths='strict')
    volume = shelf.volume('blank', 32)
    target = shelf.target('blank', 1)
    target.map(1, volume)
    props = target.properties(1, encrypted=True)
    info = single.connect_volume(props)
    real = os.path.realpath(info['path'])
    yield real, info['path'], volume
    crypto.link_to(real)
    single.disconnect_volume(props, info, force=True, ignore_errors=True)


def _ext4(device):
    lab.shell.run('mke2fs', '-q', '-F', '-t', 'ext4', device)


def _lvm(device):
    lab.shell.run('pvcreate', '-ff', '-y', '--config', 'devices{use_devicesfile=0}', device)


def _md(version):
    def make(device):
        argv = ('mdadm', '--create', '/dev/md/labpay', '--run', '--level=1', '--force')
        lab.shell.run(*argv, '--raid-devices=1', f'--metadata={version}', device)
        lab.shell.run('mdadm', '--stop', '/dev/md/labpay')

    return make


def _swap(device):
    lab.shell.run('mkswap', device)


def _luks(kind):
    return lambda device: crypto.make_luks(device, kind, crypto.WRONG)


def _bytes(*pieces):
    def make(device):
        with open(device, 'r+b') as file:
            for offset, data in pieces:
                file.seek(offset if offset >= 0 else 32 * MIB + offset)
                file.write(data)
            os.fsync(file.fileno())

    return make


# Signatures as the formats' documents have them, where the guest has no tool that makes one.
_XFS = _bytes((0, b'XFSB' + (4096).to_bytes(4, 'big') + bytes(92) + (0xB4A5).to_bytes(2, 'big')))
_BTRFS = _bytes((0x10040, b'_BHRfS_M'))
_BITLOCKER = _bytes((0, b'\xeb\x58\x90-FVE-FS-'), (510, b'\x55\xaa'))
# What a probe knows, so that `unsigned` refuses it, too; and what only is not blank.
KNOWN = {
    'ext4': _ext4,
    'LVM PV': _lvm,
    'md 1.2': _md('1.2'),
    'md 1.0': _md('1.0'),
    'md 0.90': _md('0.90'),
    'GPT': _bytes(*crypto.guid_table(32 * MIB)),
    'MBR': _bytes((446, crypto.partition_entry()), (510, b'\x55\xaa')),
    'LUKS1': _luks('luks1'),
    'LUKS2': _luks('luks2'),
    'swap': _swap,
    'GPT, the copy alone': _bytes((-512, b'EFI PART')),
}
UNKNOWN = {
    'xfs': _XFS,
    'btrfs': _BTRFS,
    'bitlocker': _BITLOCKER,
    'random': _bytes((0, os.urandom(MIB))),
    'data in the last MiB': _bytes((-4096, b'data')),
}

IN_CI = ('ext4', 'LVM PV', 'LUKS2', 'data in the last MiB')


def test_nothing_with_content_is_formatted(device, options):
    """Each payload is byte for byte the same after a refused format, by an attach, by nova's
    `_format_volume`, and with `luks_format = unsigned` whatever a probe knows."""
    real, link, _volume = device
    for name, make in {**KNOWN, **UNKNOWN}.items():
        if not breadth.EVERYTHING and name not in IN_CI:
            continue
        _bytes((0, bytes(17 * MIB)), (-MIB, bytes(MIB)))(real)
        make(real)
        lab.shell.settle()
        before = crypto.content(real)
        for how in ('blank', 'unsigned')[: 2 if name in KNOWN else 1]:
            options(luks_format=how)
            brick = crypto.encryptor(crypto.link_to(real))
            refused = pytest.raises((exception.NotLUKS, exception.WrongPassphrase))
            with refused as caught:
                brick.attach_volume(None, **crypto.METADATA)
            with pytest.raises((exception.NotLUKS, exception.VolumeIdentityMismatch)):
                brick._format_volume(crypto.PASSPHRASE, **crypto.METADATA)
            assert crypto.changed(real, before) == [], f'{name}, {how}: {caught.value}'
            assert isinstance(caught.value, exception.NotLUKS) == ('LUKS' not in name), name
        lab.shell.run('vgchange', '-an', check=False)
        # udev may have the node of an array open that it has just seen stop, which keeps it.
        lab.shell.settle()
        lab.shell.run('mdadm', '--stop', '--scan', check=False)
    assert os.readlink(link) == real
    _bytes((0, bytes(17 * MIB)), (-MIB, bytes(MIB)))(real)


def test_a_table_that_is_replaced_between_the_two_reads(device):
    """A device-mapper device reads as zeros, then is another volume: refused, and nothing of the
    other is changed."""
    real, _link, _volume = device
    _bytes((0, os.urandom(MIB)))(real)
    before = crypto.content(real)
    sectors = support.size(real) // 512
    lab.shell.run('dmsetup', 'create', 'labswap', '--table', f'0 {sectors} zero')
    try:
        link = crypto.link_to(os.path.realpath('/dev/mapper/labswap'))

        def swap():
            crypto.wait_running('luksFormat')
            table = f'0 {sectors} linear {real} 0'
            lab.shell.run('dmsetup', 'load', 'labswap', '--table', table)
            lab.shell.run('dmsetup', 'resume', 'labswap')

        thread = threading.Thread(target=swap)
        thread.start()
        with pytest.raises(exception.NotLUKS, match='data at byte 0'):
            crypto.attach(link)
        thread.join()
    finally:
        lab.shell.run('dmsetup', 'remove', '--retry', 'labswap')
    assert crypto.changed(real, before) == []
    _bytes((0, bytes(MIB)))(real)


def test_a_header_that_has_gone_is_not_a_new_volume(device, options):
    """A volume that this host has seen a header on is not formatted, until an option says so."""
    real, _link, _volume = device
    crypto.make_luks(real)
    crypto.attach(crypto.link_to(real)).detach_volume()
    _bytes((0, bytes(17 * MIB)))(real)
    before = crypto.content(real)
    with pytest.raises(exception.NotLUKS, match='luks_format_again'):
        crypto.attach(crypto.link_to(real))
    assert crypto.changed(real, before) == []


def test_stale_mapping_and_a_mapping_in_use(device):
    """A mapping of our name over another device is refused; one in use is not ended, and its user
    is named."""
    real, _link, _volume = device
    crypto.make_luks(real)
    name = f'crypt-os-brick{real.replace("/", "+")}'
    sectors = support.size(real) // 512
    lab.shell.run('dmsetup', 'create', 'labother', '--table', f'0 {sectors} zero')
    options = ('--type', 'plain', '--cipher', 'aes-xts-plain64', '--key-size', '256')
    key = ('--key-file', '/dev/zero', '--keyfile-size', '32')
    lab.shell.run('cryptsetup', 'open', *options, *key, '/dev/mapper/labother', name)
    with pytest.raises(exception.VolumeIdentityMismatch, match='left by another'):
        crypto.attach(crypto.link_to(real))
    lab.shell.run('cryptsetup', 'close', name)
    lab.shell.run('dmsetup', 'remove', 'labother')
    brick = crypto.attach(crypto.link_to(real))
    with open(f'/dev/mapper/{name}', 'rb'), pytest.raises(exception.VolumeInUse, match='process'):
        brick.detach_volume()
    brick.detach_volume()
    brick.detach_volume()
    assert crypto.mappings() == set()


def _killed(worker, real, provider, moment):
    """Begin a first attach in a process and kill it at a moment, its daemon with it."""
    worker.begin_encryption('attach_volume', crypto.link_to(real), provider, crypto.PASSPHRASE)
    moment(worker)
    with contextlib.suppress(OSError, EOFError):
        worker.kill()
    lab.shell.until(lambda: not crypto.running(), 90, 'no cryptsetup runs')


def _kill_the_program(word):
    def moment(worker):
        os.kill(crypto.wait_running(word), signal.SIGKILL)

    return moment


def _while_running(word):
    return lambda worker: crypto.wait_running(word)


def _when(condition):
    def moment(worker):
        lab.shell.until(condition, 60, 'the moment to be killed', pause=0.0005)

    return moment


MOMENTS = {
    'cryptsetup makes the header': _while_running('luksFormat'),
    'cryptsetup is killed itself': _kill_the_program('luksFormat'),
    'cryptsetup opens it': _while_running('luksOpen'),
    'the mapping is there': _when(crypto.mappings),
}


# A header of LUKS2 takes cryptsetup 10 s here: its whole life is enough of it in CI.
@pytest.mark.parametrize('provider', ['luks', 'luks2'] if breadth.EVERYTHING else ['luks'])
def test_killed_in_the_first_attach(device, workers, provider):
    """Whenever it is killed the volume is blank or usable, and the next attach succeeds."""
    real, _link, volume = device

    def has_key():
        return any(volume.read(4096, 8192 if provider == 'luks' else 65536))

    moments = {**MOMENTS, 'the keys are written': _when(has_key)}
    for name, moment in moments.items():
        if not breadth.EVERYTHING and name != 'cryptsetup makes the header':
            continue
        _bytes((0, bytes(17 * MIB)))(real)
        crypto.forget()
        worker = workers()
        worker.make()
        _killed(worker, real, provider, moment)
        start = support.read(real, MIB)
        brick = crypto.attach(crypto.link_to(real), provider)
        if any(start[:8]):
            assert support.read(real, MIB) == start, name
        support.write(brick.symlink_path, PLAIN_TEXT)
        brick.detach_volume()
        assert crypto.mappings() == set(), name
