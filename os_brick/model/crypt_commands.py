# SPDX-License-Identifier: Apache-2.0
"""Command lines of cryptsetup, and what its exit codes mean.

The passphrase goes through standard input, all of it: ``--key-file=-`` keeps line ends, too.
"""

from __future__ import annotations

import dataclasses
import re

from os_brick.model import names

# cryptsetup(8), return codes.
DONE, BAD_PARAMETERS, NO_PERMISSION, NO_MEMORY, NOT_THERE, BUSY = 0, 1, 2, 3, 4, 5

STANDARD_INPUT = '--key-file=-'

# Names below /dev/mapper that libdevmapper does not rewrite; DM_NAME_LEN with its NUL: 128.
NAME = names.Rule(
    'name of a dm-crypt mapping',
    re.compile(r'[A-Za-z0-9][A-Za-z0-9#+.:=@_-]*'),
    127,
    'it has to be of letters, digits and "#+-.:=@_"',
)
# cryptsetup 2.8: aes-xts-plain64, capi:xts(aes)-plain64, aes-cbc-essiv:sha256.
CIPHER = names.Rule(
    'cipher', re.compile(r'[A-Za-z0-9][A-Za-z0-9_:.,()+-]*'), 100, 'such as aes-xts-plain64'
)
MOST_KEY_BITS = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Cipher:
    """How a volume is encrypted; ``None`` leaves it to cryptsetup."""

    name: str | None = None
    key_bits: int | None = None

    def words(self) -> tuple[str, ...]:
        """As options of cryptsetup."""
        cipher = () if self.name is None else ('--cipher', self.name)
        bits = () if self.key_bits is None else ('--key-size', str(self.key_bits))
        return (*cipher, *bits)


def open_luks(device: str, name: str) -> tuple[str, ...]:
    """Decrypt a LUKS volume."""
    return 'cryptsetup', 'luksOpen', STANDARD_INPUT, device, name


def test_luks(device: str) -> tuple[str, ...]:
    """Try a passphrase, and decrypt nothing."""
    return 'cryptsetup', 'luksOpen', '--test-passphrase', STANDARD_INPUT, device


def open_plain(device: str, name: str, cipher: Cipher) -> tuple[str, ...]:
    """Decrypt a volume that has no header."""
    return 'cryptsetup', 'create', STANDARD_INPUT, *cipher.words(), name, device


def close(name: str) -> tuple[str, ...]:
    """End a mapping of any kind."""
    return 'cryptsetup', 'luksClose', name


def resize(name: str) -> tuple[str, ...]:
    """Have a mapping take all of its device; LUKS2 wants the passphrase for it."""
    return 'cryptsetup', 'resize', STANDARD_INPUT, name


def is_luks(device: str) -> tuple[str, ...]:
    """Ask whether a device is a LUKS volume."""
    return 'cryptsetup', 'isLuks', '--verbose', device


def keep_header(device: str, file: str) -> tuple[str, ...]:
    """Copy the header of a LUKS volume to a new file, which cryptsetup makes readable for root."""
    return 'cryptsetup', 'luksHeaderBackup', device, '--header-backup-file', file


def format_luks(
    device: str, version: int, cipher: Cipher, header: str, data_offset: int
) -> tuple[str, ...]:
    """Make the header of a new LUKS volume in a file; the device is only looked at."""
    return (
        *('cryptsetup', '--batch-mode', 'luksFormat', '--type', f'luks{version}', STANDARD_INPUT),
        *cipher.words(),
        *('--header', header, '--offset', str(data_offset // 512), device),
    )
