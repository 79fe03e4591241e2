# SPDX-License-Identifier: Apache-2.0
"""Copies of LUKS headers that root keeps, for ``cryptsetup luksHeaderRestore``."""

from __future__ import annotations

import contextlib
import os
import re
import secrets

from os_brick import privileged
from os_brick.core import files
from os_brick.model import crypt_commands, names
from os_brick.privileged import check, cryptsetup

DIRECTORY = '/var/lib/os-brick/luks-headers'
_UUID = names.Rule(
    'UUID of a LUKS volume', re.compile(r'[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'), 36
)
_LARGEST_SEQUENCE = 2**64 - 1


@privileged.entrypoint
def keep(device: str, number: int, uuid: str, sequence: int, timeout: float) -> str:
    """Keep the header of a LUKS volume, unless this state of it is kept; return the file's name.

    :param number: the kernel's number of the device, see :func:`block.flush`.
    :param sequence: what tells one state of a header from another.
    :raises OSError: if it is another device by now, or the copy cannot be written.
    """
    known, path = check.full(_UUID, uuid), cryptsetup.device_path(device, number)
    change = check.number(sequence, _LARGEST_SEQUENCE, 'number of a change')
    kept = f'{DIRECTORY}/{known.lower()}-{change}.img'
    if files.exists(kept):
        return kept
    directory = files.real(DIRECTORY)
    files.make_directories(directory, 0o700)
    os.chmod(directory, 0o700)
    temporary = f'{directory}/.{secrets.token_hex(8)}'
    try:
        code, words = cryptsetup.run(crypt_commands.keep_header(path, temporary), timeout)
        if code != crypt_commands.DONE:
            raise OSError(f'cryptsetup does not copy the header of {path}: {code}, {words}')
        os.chmod(temporary, 0o600)
        os.rename(temporary, files.real(kept))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    return kept
