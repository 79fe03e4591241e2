# SPDX-License-Identifier: Apache-2.0
"""What root asks of a device before it is taken for blank.

That blkid recognises nothing proves nothing: it reports the same for a device that cannot be
read, and does not know every format. So the device's ends are read as well.
"""

from __future__ import annotations

import mmap
import os

from os_brick import privileged
from os_brick.core import kernel, process
from os_brick.privileged import check

# blkid(8): 2 if nothing was found, 8 if several signatures were.
_FOUND, _NOTHING, _AMBIVALENT = 0, 2, 8
_EDGE_BYTES = 1 << 20
_PAGE_BYTES = 4096
# What an NVMe namespace may answer for blocks that were never written (DLFEAT).
_FILLINGS = b'\x00', b'\xff'


@privileged.entrypoint
def probe(device: str, timeout: float) -> str:
    """What blkid sees on a device past its cache, a line ``NAME=value`` each; empty if nothing.

    :raises OSError: if it is not a block device.
    :raises ProcessExecutionError: if it cannot be asked.
    """
    path = f'/dev/{check.block(device)}'
    limit = check.seconds(timeout)
    process.isolated(f'a look at {path}', limit, _require_block, path)
    result = process.run(
        *('blkid', '-p', '-o', 'export', path),
        ok=(_FOUND, _NOTHING, _AMBIVALENT),
        timeout=limit,
    )
    if result.exit_code == _AMBIVALENT:
        return 'TYPE=several signatures\n'
    return result.stdout


def why_not_blank(device: str, timeout: float) -> str | None:
    """What makes a device not blank now, or ``None``; for root functions that overwrite one.

    :raises OperationTimedOut: if the device does not answer in time.
    :raises OSError: if it cannot be opened or read.
    :raises ProcessExecutionError: if blkid cannot be asked.
    """
    content = first_content(device, timeout)
    if content >= 0:
        return f'there is data at byte {content}'
    seen = probe(device, timeout)
    if 'TYPE=' in seen:  # PTTYPE as well.
        return f'blkid recognises {", ".join(seen.split())}'
    return None


@privileged.entrypoint
def first_content(device: str, timeout: float) -> int:
    """Where content begins in the first or last MiB of a device; -1 if they have none.

    :raises OperationTimedOut: if the device does not answer in time.
    :raises OSError: if it cannot be opened or read.
    """
    path = f'/dev/{check.block(device)}'
    return process.isolated(f'a read of {path}', check.seconds(timeout), _first_content, path)


def _require_block(path: str) -> None:
    with kernel.block_device(path, os.O_PATH):
        return


def _first_content(path: str) -> int:
    buffer = mmap.mmap(-1, _EDGE_BYTES)
    with kernel.block_device(path, os.O_RDONLY | os.O_DIRECT) as descriptor:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        # Rounded up: what lies between the two ends is not looked at, the very last bytes are.
        last = -(-max(0, size - _EDGE_BYTES) // _PAGE_BYTES) * _PAGE_BYTES
        for start in sorted({0, last}):
            count = os.preadv(descriptor, [buffer], start)
            if count < min(_EDGE_BYTES, size - start):
                raise OSError(f'only {count} bytes at {start} could be read')
            at = _content_in(buffer[:count])
            if at >= 0:
                return start + at
    return -1


def _content_in(data: bytes) -> int:
    filling = data[:1]
    if filling not in _FILLINGS:
        return 0 if data else -1
    rest = data.lstrip(filling)
    return len(data) - len(rest) if rest else -1
