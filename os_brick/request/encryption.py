# SPDX-License-Identifier: Apache-2.0
"""What a caller passes to an encryptor: the connection of a volume, and how it is encrypted."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import hashlib
import re
from typing import Any

from os_brick import exception
from os_brick.model import crypt_commands, names

Raw = Mapping[str, Any]

_PREFIX = 'crypt-'
_LINKS = '/dev/disk/'
_NUMBER = re.compile(r'[0-9]{1,6}')


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """A volume whose device is to be encrypted.

    :ivar device_path: the path that the volume's user opens.
    :ivar volume_id: what the caller calls the volume; empty if it says nothing.
    :ivar multipath_id: the WWID of the multipath map that the connector has returned; or empty.
    """

    device_path: str
    volume_id: str = ''
    multipath_id: str = ''

    @classmethod
    def parse(cls, raw: Raw) -> Volume:
        """Read the connection of a volume.

        :raises VolumeEncryptionNotSupported: if it has no path of a device.
        """
        data = _data(raw)
        volume_id = data.get('volume_id') or raw.get('serial')
        path = data.get('device_path')
        if not path:
            raise exception.VolumeEncryptionNotSupported(
                volume_id=volume_id, volume_type=raw.get('driver_volume_type')
            )
        if not _is_device_path(path):
            raise exception.InvalidParameterValue(
                err=f'device_path: {names.shown(path)} is not a valid path of a device'
            )
        return cls(path, str(volume_id or ''), str(data.get('multipath_id') or ''))

    @property
    def basename(self) -> str:
        """The last part of its path."""
        return self.device_path.rpartition('/')[2]

    @property
    def mapping_name(self) -> str:
        """What its decrypted device is called below ``/dev/mapper``."""
        name = f'{_PREFIX}{self.basename}'
        if crypt_commands.NAME.why_not(name) is None:
            return name
        # Too long for device-mapper, or with a character that it would rewrite.
        return f'{_PREFIX}{hashlib.sha256(self.basename.encode()).hexdigest()[:32]}'

    @property
    def former_names(self) -> list[str]:
        """What older releases called it: an attachment outlives an upgrade.

        They pointed udev's links to it. What is not such a link may be another program's mapping.
        """
        if not self.device_path.startswith(_LINKS):
            return []
        found = [self.basename, self.multipath_id]
        return [name for name in found if name and crypt_commands.NAME.why_not(name) is None]


def _data(raw: object) -> Raw:
    """The connection properties in the connection of a volume."""
    if not isinstance(raw, Mapping):
        kind = type(raw).__name__
        raise exception.InvalidParameterValue(
            err=f'connection_info: expected a dictionary, got {kind}'
        )
    data = raw.get('data')
    if not isinstance(data, Mapping):
        kind = type(data).__name__
        raise exception.InvalidParameterValue(
            err=f'connection_info: data: expected a dictionary, got {kind}'
        )
    return data


def _is_device_path(path: object) -> bool:
    return (
        isinstance(path, str)
        and path.startswith('/dev/')
        and '\0' not in path
        and path == path.encode(errors='ignore').decode()
    )


def cipher(metadata: Raw) -> crypt_commands.Cipher:
    """Read how a volume is encrypted.

    :raises InvalidParameterValue: naming the key that is wrong.
    """
    name, bits = metadata.get('cipher'), metadata.get('key_size')
    return crypt_commands.Cipher(
        None if name is None else _cipher_name(name), None if bits is None else _key_bits(bits)
    )


def _cipher_name(value: object) -> str:
    try:
        return crypt_commands.CIPHER.parse(value)
    except ValueError as error:
        raise exception.InvalidParameterValue(err=f'cipher: {error}') from None


def _key_bits(value: object) -> int:
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ''
    bits = int(text) if _NUMBER.fullmatch(text) else 0
    if 0 < bits <= crypt_commands.MOST_KEY_BITS and bits % 8 == 0:
        return bits
    raise exception.InvalidParameterValue(
        err=f'key_size: {names.shown(value)} is not a valid number of bits (a multiple '
        f'of 8 up to {crypt_commands.MOST_KEY_BITS})'
    )


def passphrase(key: Any, key_id: object) -> str:
    """What a managed object of the key manager means as a passphrase.

    :raises InvalidParameterValue: naming the key, never its content.
    """
    if key is None:
        raise exception.InvalidParameterValue(
            err=f'encryption_key_id: the key manager has no key {names.shown(key_id)}'
        )
    encoded: bytes = key.get_encoded()
    if key.managed_type() != 'passphrase':
        return encoded.hex()
    text = encoded.decode('utf-8', 'ignore')
    if text.encode() != encoded:
        raise exception.InvalidParameterValue(
            err=f'encryption_key_id: the passphrase {names.shown(key_id)} of the key manager is '
            'not text in UTF-8'
        )
    return text
