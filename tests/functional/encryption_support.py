# SPDX-License-Identifier: Apache-2.0
"""What the tests of encryptors share: a key manager, the encryptor of a service, who sees what."""

from collections.abc import Iterable, Iterator
import contextlib
import os
import pathlib
import threading
from typing import Any
import uuid
import zlib

from tests.functional import lab, support

PASSPHRASE = 'planted-passphrase-4711'
WRONG = 'mistaken-passphrase-0815'
METADATA = {
    'control_location': 'front-end',
    'cipher': 'aes-xts-plain64',
    'key_size': 256,
    'encryption_key_id': 'key',
}
PREFIX = '/dev/disk/by-id/os-brick'
# Test volumes are opened often; how long a guess takes is not what is tested.
CHEAP = ('--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000')


class KeyManager:
    """castellan's key manager, and its managed object."""

    def __init__(self, passphrase: str) -> None:
        self._passphrase = passphrase

    def get(self, context: Any, key_id: str) -> 'KeyManager':
        """The one key."""
        return self

    def managed_type(self) -> str:
        """Its kind."""
        return 'passphrase'

    def get_encoded(self) -> bytes:
        """Its value."""
        return self._passphrase.encode()


def encryptor(
    path: str, provider: str = 'luks', passphrase: str = PASSPHRASE, volume_id: str = 'vol'
) -> Any:
    """The encryptor that nova or cinder gets for an attached volume."""
    from os_brick import encryptors

    info = {
        'driver_volume_type': 'iscsi',
        'serial': volume_id,
        'data': {'device_path': path, 'encrypted': True},
    }
    return encryptors.get_volume_encryptor(
        None, info, KeyManager(passphrase), **{**METADATA, 'provider': provider}
    )


def attach(path: str, provider: str = 'luks', **more: Any) -> Any:
    """Attach it; the encryptor."""
    found = encryptor(path, provider, **more)
    found.attach_volume(None, **METADATA)
    return found


def link_to(device: str) -> str:
    """The link of ours to a device that no connector has attached."""
    link = PREFIX + device.replace('/', '+')
    temporary = f'{link}.new'
    pathlib.Path(link).parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(device, temporary)
    os.rename(temporary, link)
    return link


def make_luks(device: str, kind: str = 'luks1', passphrase: str = PASSPHRASE) -> None:
    """Have a cheap LUKS volume on a device, made by cryptsetup alone."""
    argv = ('cryptsetup', '--batch-mode', 'luksFormat', '--type', kind, *CHEAP, '--key-file=-')
    lab.shell.run(*argv, device, stdin=passphrase)


def mappings() -> set[str]:
    """The names of the mappings of dm-crypt."""
    names = support.SYS.glob('block/dm-*/dm')
    return {
        lab.shell.read(each / 'name')
        for each in names
        if lab.shell.read(each / 'uuid').startswith('CRYPT-')
    }


def content(path: str) -> list[bytes]:
    """All that is on a device, past the cache, by mebibytes."""
    total, step = support.size(path), 1 << 20
    return [support.read(path, min(step, total - at), at) for at in range(0, total, step)]


def changed(path: str, before: list[bytes]) -> list[int]:
    """The mebibytes of a device that are not as they were. (To hash them takes seconds here.)"""
    pairs = zip(before, content(path), strict=True)
    return [number for number, (old, new) in enumerate(pairs) if old != new]


def forget() -> None:
    """Have this host remember nothing of volumes that have a new life."""
    for state in pathlib.Path('/var/lib/os-brick/luks-volumes').glob('*'):
        state.unlink()


@contextlib.contextmanager
def watch_processes(*secrets: str) -> Iterator[list[str]]:
    """Yield a list that holds, after the block, who had a secret on its command line, or in its
    environment."""
    leaks: list[str] = []
    end = threading.Event()
    wanted = [secret.encode() for secret in secrets]

    def check(pids: Iterable[str]) -> None:
        for path in (f'/proc/{pid}/{name}' for pid in pids for name in ('cmdline', 'environ')):
            with contextlib.suppress(OSError), open(path, 'rb', buffering=0) as file:
                data = file.read()
                leaks.extend(path for each in wanted if each in data)

    # Those that are there are looked at first and last, and all the time those that come: to read
    # everyone's takes a processor for itself under emulation.
    there = set(lab.shell.processes())
    check(there)

    def look() -> None:
        while not end.wait(0.02):
            check(set(lab.shell.processes()) - there)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield leaks
    finally:
        end.set()
        thread.join()
        check(lab.shell.processes())


def running(*words: str) -> int:
    """The PID of cryptsetup with these words on its command line; 0 if none runs."""
    for pid in lab.shell.processes():
        line = lab.shell.read(f'/proc/{pid}/cmdline').split('\0')
        if line[0].endswith('cryptsetup') and set(words) <= set(line):
            return int(pid)
    return 0


def wait_running(*words: str, seconds: float = 60) -> int:
    """Return as soon as it runs."""
    return lab.shell.until(lambda: running(*words), seconds, f'cryptsetup {words}', pause=0.002)


def partition_entry() -> bytes:
    """A partition of Linux in a table of the old kind, from 1 MiB on."""
    place = (2048).to_bytes(4, 'little') + (16384).to_bytes(4, 'little')
    return bytes(4) + b'\x83' + bytes(3) + place


def guid_table(size: int) -> list[tuple[int, bytes]]:
    """A GUID partition table without a partition (UEFI 2.10, 5.3): places and bytes."""
    sectors = size // 512
    entries = bytes(128 * 128)

    def header(mine: int, other: int, table: int) -> bytes:
        words = (mine, other, 34, sectors - 34)
        start = b'EFI PART' + (0x10000).to_bytes(4, 'little') + (92).to_bytes(4, 'little')
        rest = bytes(4) + b''.join(word.to_bytes(8, 'little') for word in words)
        rest += uuid.uuid4().bytes + table.to_bytes(8, 'little')
        counts = (128, 128, zlib.crc32(entries))
        rest += b''.join(count.to_bytes(4, 'little') for count in counts)
        check = zlib.crc32(start + bytes(4) + rest).to_bytes(4, 'little')
        return start + check + rest

    whole = bytes(4) + b'\xee' + bytes(3) + b'\1\0\0\0' + (sectors - 1).to_bytes(4, 'little')
    return [
        (446, whole),
        (510, b'\x55\xaa'),
        (512, header(1, sectors - 1, 2)),
        (size - 512, header(sectors - 1, 1, sectors - 33)),
    ]
