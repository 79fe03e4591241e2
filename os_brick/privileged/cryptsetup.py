# SPDX-License-Identifier: Apache-2.0
"""What root does with ``cryptsetup``: an act a function, the passphrase through standard input.

An exit code and what was printed are returned. oslo.privsep logs what a root function returns and
the errors that it raises, and never its arguments; a passphrase is only ever one of these.
"""

from __future__ import annotations

from os_brick import exception, privileged
from os_brick.core import files, process
from os_brick.model import crypt_commands
from os_brick.privileged import block, check, luks

_MOST_PASSPHRASE_BYTES = 8192
_LONGEST_MESSAGE = 1000
_OURS = 'CRYPT-'

Ended = tuple[int, str]


def passphrase_of(value: object) -> bytes:
    """``value`` if it is a passphrase.

    :raises InvalidParameterValue: if it is not; without the value.
    """
    data = value.encode(errors='ignore') if isinstance(value, str) else b''
    if value == data.decode() and 0 < len(data) <= _MOST_PASSPHRASE_BYTES:
        return data
    raise exception.InvalidParameterValue(
        err=f'the passphrase has to be of 1 to {_MOST_PASSPHRASE_BYTES} bytes'
    )


def _name(name: str) -> str:
    return check.full(crypt_commands.NAME, name)


def cipher_of(name: str | None, key_bits: int | None) -> crypt_commands.Cipher:
    """How a volume is encrypted, checked."""
    cipher = None if name is None else check.full(crypt_commands.CIPHER, name)
    most = crypt_commands.MOST_KEY_BITS
    bits = None if key_bits is None else check.number(key_bits, most, 'size of a key in bits')
    return crypt_commands.Cipher(cipher, bits)


def device_path(device: str, number: int) -> str:
    """The path of a block device that still is the one that is meant.

    :raises OSError: ``ENODEV`` if it has gone, or its name is another device's by now.
    """
    path = f'/dev/{check.block(device)}'
    known = files.read_or(f'/sys/class/block/{device}/dev')
    block.require_meant(path, check.number(number, luks.LARGEST_NUMBER, 'number'), known)
    return path


def run(argv: tuple[str, ...], timeout: float, secret: bytes | None = None) -> Ended:
    """Run cryptsetup to whatever end it comes; of long words the end, which has the reason.

    :raises OperationTimedOut: if it does not end in time; its command line names the device.
    """
    limit = check.seconds(timeout)
    try:
        result = process.run(*argv, ok=None, timeout=limit, stdin=secret)
    except exception.ExecutionTimeout:
        raise exception.OperationTimedOut(
            what=f'the end of "{" ".join(argv)}"', seconds=round(limit, 1)
        ) from None
    return result.exit_code, ' '.join(result.stderr.split())[-_LONGEST_MESSAGE:]


@privileged.entrypoint
def open_luks(device: str, number: int, name: str, passphrase: str, timeout: float) -> Ended:
    """Decrypt a LUKS volume as ``/dev/mapper/NAME``.

    :param number: the kernel's number of the device, see :func:`block.flush`.
    :raises OSError: if it is another device by now.
    """
    name, secret = _name(name), passphrase_of(passphrase)
    command = crypt_commands.open_luks(device_path(device, number), name)
    return run(command, timeout, secret)


@privileged.entrypoint
def test_luks(device: str, number: int, passphrase: str, timeout: float) -> Ended:
    """Try a passphrase of a LUKS volume, and decrypt nothing.

    :raises OSError: if it is another device by now.
    """
    secret = passphrase_of(passphrase)
    return run(crypt_commands.test_luks(device_path(device, number)), timeout, secret)


@privileged.entrypoint
def open_plain(
    device: str,
    number: int,
    name: str,
    passphrase: str,
    cipher: str | None,
    key_bits: int | None,
    timeout: float,
) -> Ended:
    """Decrypt a volume that has no header as ``/dev/mapper/NAME``.

    :raises OSError: if it is another device by now.
    """
    name, secret, how = _name(name), passphrase_of(passphrase), cipher_of(cipher, key_bits)
    command = crypt_commands.open_plain(device_path(device, number), name, how)
    return run(command, timeout, secret)


@privileged.entrypoint
def close(name: str, dm: str, timeout: float) -> Ended:
    """End a mapping of dm-crypt; the kernel refuses while it is open.

    :param dm: the device that it has been found to be, such as ``dm-4``.
    :raises InvalidParameterValue: if it is something else.
    """
    return run(crypt_commands.close(_mapping(name, dm)), timeout)


@privileged.entrypoint
def resize(name: str, dm: str, passphrase: str, timeout: float) -> Ended:
    """Have a mapping of dm-crypt take all of its device.

    :param dm: the device that it has been found to be, such as ``dm-4``.
    :raises InvalidParameterValue: if it is something else.
    """
    secret = passphrase_of(passphrase)
    return run(crypt_commands.resize(_mapping(name, dm)), timeout, secret)


def _mapping(name: str, dm: str) -> str:
    """``name`` if that is the mapping of dm-crypt which is the device ``dm``; gone is as good."""
    base = f'/sys/class/block/{check.block(dm)}/dm'
    found, uuid = files.read_or(f'{base}/name'), files.read_or(f'{base}/uuid')
    if _name(name) != (found or name) or not (uuid or _OURS).startswith(_OURS):
        raise exception.InvalidParameterValue(err=f'/dev/{dm} is not the dm-crypt mapping {name}')
    return name
