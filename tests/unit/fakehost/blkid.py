# SPDX-License-Identifier: Apache-2.0
"""``blkid -p``: what libblkid 2.41 recognises, by the signatures that tests put on devices."""

from typing import Any

from tests.unit.fakehost.cryptsetup import Cryptsetup

# Type, place and bytes of a signature.
SIGNATURES = {
    'ext4': (1080, b'\x53\xef'),
    'xfs': (0, b'XFSB'),
    'btrfs': (0x10040, b'_BHRfS_M'),
    'LVM2_member': (536, b'LVM2 001'),
    'linux_raid_member': (4096, b'\xfc\x4e\x2b\xa9'),
    'swap': (4086, b'SWAPSPACE2'),
    'BitLocker': (3, b'-FVE-FS-'),
    'crypto_LUKS': (0, b'LUKS\xba\xbe'),
}


class Blkid:
    """``host.programs['blkid']``."""

    def __init__(self, devices: Cryptsetup) -> None:
        self._devices = devices
        devices.host.programs['blkid'] = self

    def __call__(self, argv: tuple[str, ...], **_keywords: Any) -> tuple[int, str, str]:
        assert argv[:-1] == ('blkid', '-p', '-o', 'export')
        name = argv[-1].removeprefix('/dev/')
        for kind, (place, magic) in SIGNATURES.items():
            if self._devices.read(name, place, len(magic)) == magic:
                uuid = self._devices.read(name, 168, 36).decode('latin-1')
                return 0, f'DEVNAME={argv[-1]}\nUUID={uuid}\nTYPE={kind}\n', ''
        if self._devices.read(name, 510, 2) == b'\x55\xaa':
            return 0, f'DEVNAME={argv[-1]}\nPTTYPE=dos\n', ''
        return 2, '', ''
