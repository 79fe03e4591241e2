# SPDX-License-Identifier: Apache-2.0
"""What a caller passes to an encryptor, and what is wrong with it."""

from typing import Any

import pytest

from os_brick import encryptors, exception
from os_brick.request import encryption

SECRET = 'top-secret'


class Key:
    def __init__(self, encoded: bytes, kind: str = 'passphrase') -> None:
        self._encoded, self._kind = encoded, kind

    def get_encoded(self) -> bytes:
        return self._encoded

    def managed_type(self) -> str:
        return self._kind


def test_passphrases() -> None:
    assert encryption.passphrase(Key('gehéim\n'.encode()), 'k') == 'gehéim\n'
    assert encryption.passphrase(Key(b'\x00\xff', 'symmetric'), 'k') == '00ff'


def test_a_passphrase_that_is_not_text_is_not_shown() -> None:
    with pytest.raises(exception.InvalidParameterValue, match='key-1') as caught:
        encryption.passphrase(Key(SECRET.encode() + b'\xff'), 'key-1')
    shown: BaseException | None = caught.value
    while shown is not None:
        assert SECRET not in repr(shown)
        assert SECRET not in str(vars(shown))
        shown = shown.__cause__ or shown.__context__


def test_no_key_is_named() -> None:
    with pytest.raises(exception.InvalidParameterValue, match='key-1'):
        encryption.passphrase(None, 'key-1')


@pytest.mark.parametrize('raw', [None, 7, {}, {'data': None}, {'data': []}])
def test_a_connection_without_properties_is_named(raw: Any) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='connection_info'):
        encryption.Volume.parse(raw)


@pytest.mark.parametrize('path', ['sda', '/etc/passwd', '/dev/a\0b', '/dev/\udcff', 7, ['/dev/x']])
def test_what_is_not_a_path_is_named(path: Any) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='device_path'):
        encryption.Volume.parse({'data': {'device_path': path}})


@pytest.mark.parametrize(
    'bits', [' 2_5_6 ', '+256', '', -1, 0, 1, 100, 4097, True, 2.5, [256], '٣']
)
def test_what_is_not_a_size_of_a_key_is_named(bits: Any) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='key_size'):
        encryption.cipher({'key_size': bits})


@pytest.mark.parametrize('bits', [256, '512'])
def test_sizes_of_keys(bits: Any) -> None:
    assert encryption.cipher({'key_size': bits}).key_bits == int(bits)


@pytest.mark.parametrize('provider', ['LUKS', 'foo', '', 7, ['luks'], 'a.b.', '/a.b', 'no.such.X'])
def test_a_provider_that_is_not_known_is_an_import_error(provider: Any) -> None:
    with pytest.raises(ImportError):
        encryptors.get_volume_encryptor(
            None, {'data': {}}, None, control_location='front-end', provider=provider
        )
