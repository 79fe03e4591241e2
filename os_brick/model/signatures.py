# SPDX-License-Identifier: Apache-2.0
"""What the two ends of a block device show of its content, without I/O.

blkid sees most formats, but not a GPT of which only the copy at the end is left, and not the second
header of LUKS2 without the first. Where zeros are asked for these are found anyway; where an
operator has others than zeros formatted, they are the reason not to.
"""

from __future__ import annotations

from os_brick.model import luks

# All that lies before the data of a LUKS2 volume: what a new header may cover. File systems, RAID,
# swap space and volume managers have their signatures in the first 2 MiB, or in the last one.
HEAD_BYTES = 16 << 20
TAIL_BYTES = 1 << 20

_GPT = b'EFI PART'
# UEFI 2.10, 5.3.1: in the last block, whatever its size is.
_BLOCK_SIZES = (512, 4096)
# include/uapi/linux/raid/md_p.h, little and big endian.
_MD = ((0xA92B4EFC).to_bytes(4, 'little'), (0xA92B4EFC).to_bytes(4, 'big'))
_MD_RESERVED_BYTES = 64 << 10


def content(data: bytes) -> int:
    """Where the first byte is that is not zero; -1 if all are."""
    rest = data.lstrip(b'\0')
    return len(data) - len(rest) if rest else -1


def known(head: bytes, tail: bytes, size: int) -> str:
    """What is known of a device by its two ends; empty if it has none of these signatures.

    :param size: of the device, in bytes.
    """
    found = [
        *(['a LUKS header'] if head.startswith(luks.MAGIC) else []),
        *(f'a second LUKS header at byte {at}' for at in luks.SIZES if _is_second(head, at)),
        *(['a GUID partition table at the end'] if _has_gpt(tail) else []),
        *(['an md superblock at the end'] if _has_md(tail, size) else []),
    ]
    return ', '.join(found)


def _is_second(head: bytes, place: int) -> bool:
    return head[place : place + len(luks.SECOND_MAGIC)] == luks.SECOND_MAGIC


def _has_gpt(tail: bytes) -> bool:
    return any(tail[-block:].startswith(_GPT) for block in _BLOCK_SIZES)


def _has_md(tail: bytes, size: int) -> bool:
    """Whether there is one of version 0.90 or 1.0; the others are at the beginning."""
    places = (
        ((size // 512 - 16) & ~7) * 512,
        size // _MD_RESERVED_BYTES * _MD_RESERVED_BYTES - _MD_RESERVED_BYTES,
    )
    starts = [place - (size - len(tail)) for place in places]
    return any(start >= 0 and tail[start : start + 4] in _MD for start in starts)
