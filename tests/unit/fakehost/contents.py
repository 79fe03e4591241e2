# SPDX-License-Identifier: Apache-2.0
"""What may be on a device, by place: what a probe knows, and what none does."""

import os

from os_brick.model import luks as model
from tests.unit.fakehost import blkid, luks

SIZE = 20 << 20
GPT_AT_THE_END = {SIZE - 512: b'EFI PART'}
KNOWN: dict[str, dict[int, bytes]] = {
    **{kind: {place: magic} for kind, (place, magic) in blkid.SIGNATURES.items()},
    'dos': {510: b'\x55\xaa'},
    'gpt at the end': GPT_AT_THE_END,
    'gpt at the end, 4 KiB blocks': {SIZE - 4096: b'EFI PART'},
    'md 0.90': {SIZE - (64 << 10): b'\xfc\x4e\x2b\xa9'},
    'md 1.0': {SIZE - 8192: b'\xfc\x4e\x2b\xa9'},
    **{
        f'second header at {place}': {place: b'SKUL\xba\xbe\x00\x02'}
        for place in (model.SIZES[0], model.SIZES[-1])
    },
    'luks1': {0: luks.luks1(b'other')},
    'luks2': {0: luks.luks2(b'other')},
}
UNKNOWN: dict[str, dict[int, bytes]] = {
    'random': {0: os.urandom(1 << 20)},
    'one byte': {0: b'\x01'},
    'at 2 MiB': {(2 << 20) - 1: b'\x01'},
    'before the data of LUKS2': {(16 << 20) - 1: b'\x01'},
    'at the last MiB': {SIZE - (1 << 20): b'\x01'},
    'the last byte': {SIZE - 1: b'\x01'},
    'all ones': {0: b'\xff' * (1 << 20)},
}
