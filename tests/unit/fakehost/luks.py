# SPDX-License-Identifier: Apache-2.0
"""Headers of LUKS volumes as cryptsetup writes them, after the On-Disk Format Specifications.

The key material is random; whether a passphrase opens a slot is told by a digest in its salt.
"""

import hashlib
import json
import os

KEY_BYTES, STRIPES = 64, 4000
LUKS1_DATA, LUKS2_DATA = 2 << 20, 16 << 20
UUID = '424aa596-fa61-4a91-9918-619d0110c933'


def salt(passphrase: bytes) -> bytes:
    return hashlib.sha256(b'slot ' + passphrase).digest()


def luks1(passphrase: bytes, uuid: str = UUID, data: int = LUKS1_DATA) -> bytes:
    """All that lies before the data, of a volume with one key."""
    header = b'LUKS\xba\xbe' + (1).to_bytes(2, 'big')
    for text in ('aes', 'xts-plain64', 'sha256'):
        header += text.encode().ljust(32, b'\0')
    header += (data // 512).to_bytes(4, 'big') + KEY_BYTES.to_bytes(4, 'big')
    header += bytes(20 + 32) + (1000).to_bytes(4, 'big') + uuid.encode().ljust(40, b'\0')
    assert len(header) == 208
    for number in range(8):
        active, mark = (0xAC71F3, salt(passphrase)) if number == 0 else (0xDEAD, bytes(32))
        header += active.to_bytes(4, 'big') + (1000).to_bytes(4, 'big') + mark
        header += (8 + number * 504).to_bytes(4, 'big') + STRIPES.to_bytes(4, 'big')
    assert len(header) == 592
    return header.ljust(4096, b'\0') + os.urandom(8 * 504 * 512).ljust(data - 4096, b'\0')


def luks2_description(passphrase: bytes, data: int, sector: int) -> dict:
    area = {'type': 'raw', 'offset': '32768', 'size': '258048', 'encryption': 'aes-xts-plain64'}
    segment = {'type': 'crypt', 'offset': str(data), 'size': 'dynamic', 'sector_size': sector}
    slot = {'type': 'luks2', 'key_size': KEY_BYTES, 'area': area}
    slot['kdf'] = {'type': 'pbkdf2', 'salt': salt(passphrase).hex()}
    return {'keyslots': {'0': slot}, 'segments': {'0': segment}, 'config': {'json_size': '12288'}}


def luks2_binary(described: dict, place: int, uuid: str = UUID, size: int = 16384) -> bytes:
    """One of the two headers."""
    magic = b'SKUL\xba\xbe' if place else b'LUKS\xba\xbe'
    header = magic + (2).to_bytes(2, 'big') + size.to_bytes(8, 'big') + (3).to_bytes(8, 'big')
    header += bytes(48) + b'sha256'.ljust(32, b'\0') + bytes(64) + uuid.encode().ljust(40, b'\0')
    header += bytes(48) + place.to_bytes(8, 'big') + bytes(184)
    assert len(header) == 0x1C0
    whole = header.ljust(4096, b'\0') + json.dumps(described).encode().ljust(size - 4096, b'\0')
    check = hashlib.sha256(whole).digest()
    return whole[:0x1C0] + check + whole[0x1C0 + len(check) :]


def luks2(passphrase: bytes, uuid: str = UUID, data: int = LUKS2_DATA, sector: int = 512) -> bytes:
    """All that lies before the data, of a volume with one key."""
    described = luks2_description(passphrase, data, sector)
    headers = luks2_binary(described, 0, uuid) + luks2_binary(described, 16384, uuid)
    return headers + os.urandom(data - len(headers))


def opens(start: bytes, passphrase: bytes) -> bool:
    """Whether a passphrase opens the volume that begins so."""
    mark = salt(passphrase)
    if int.from_bytes(start[6:8], 'big') == 1:
        return start[208 + 8 : 208 + 8 + 32] == mark
    return mark.hex().encode() in start[:32768]
