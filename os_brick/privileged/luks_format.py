# SPDX-License-Identifier: Apache-2.0
"""How root makes a LUKS volume of a new one.

cryptsetup writes the new header into memory, and never to the device. Root then looks at the device
once more, holds it for itself alone, and writes the header in the order in which a volume that is
left at any moment is either without a header or usable: the keys first, of LUKS2 the second
header, then the first. A header without its key is never there.

A header in memory is named by a token and lives as long as this daemon: nothing of it is in a file.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import secrets
from typing import Any

from os_brick import exception, privileged
from os_brick.core import kernel, process
from os_brick.model import crypt_commands, luks, names, signatures
from os_brick.privileged import block, check, cryptsetup
from os_brick.privileged.luks import LARGEST_NUMBER, reader

# Where the data begins: cryptsetup's own defaults, 4096 and 32768 sectors.
DATA_OFFSETS = {1: 2 << 20, 2: 16 << 20}
_MOST_HEADERS = 64
_MOST_AREAS = 64
# A device writes a sector as a whole, or not at all.
_SECTOR_BYTES, _MARK_DIGITS = 512, 32
_MARKS = names.Rule('list of digests', re.compile(r'(?:[0-9a-f]{32}){1,32768}'), 1 << 20)
_TOKEN = names.Rule('token', re.compile(r'[0-9a-f]{32}'), 32)
_DIGEST = names.Rule('digest', re.compile(r'[0-9a-f]{64}'), 64)

_headers: dict[str, int] = {}

Piece = tuple[int, bytes]
Seen = tuple[int, str, str]
# Where a part of a header begins, and a digest of each of its sectors.
Rests = tuple[tuple[int, str], ...]


def _rests(value: object) -> Rests:
    most = signatures.HEAD_BYTES
    return tuple(
        (check.number(start, most, 'place'), check.full(_MARKS, marks))
        for start, marks in check.pairs(value, _MOST_AREAS, 'places')
    )


@privileged.entrypoint
def look(device: str, number: int, besides: Rests, timeout: float) -> Seen:
    """Where content begins in the first 16 MiB or last MiB of a device, and what is known of it.

    :param number: the kernel's number of the device, see :func:`block.flush`.
    :param besides: what :func:`marks` returned of a header that was being written: each sector of
        it that is there does not count.
    :return: -1 if all is zero; what is known, in words; a digest of all that was read.
    :raises OperationTimedOut: if the device does not answer in time.
    :raises OSError: if it is another device by now, or cannot be read to the end.
    """
    path = f'/dev/{check.block(device)}'
    number = check.number(number, LARGEST_NUMBER, 'number of a device')
    places, limit = _rests(besides), check.seconds(timeout)
    return process.isolated(f'a read of {path}', limit, _look, path, number, places)


def _look(path: str, number: int, besides: Rests) -> Seen:
    with kernel.block_device(path, os.O_RDONLY | os.O_DIRECT) as descriptor:
        block.require_meant(path, number, kernel.number(descriptor))
        return _content(descriptor, besides)


def _content(descriptor: int, besides: Rests) -> Seen:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    page = luks.PAGE_BYTES
    if size < signatures.TAIL_BYTES:
        raise OSError(f'it has only {size} bytes')
    read = reader(descriptor)
    head = bytearray(read(0, min(size, signatures.HEAD_BYTES) // page * page))
    # To the very last byte, in whole pages where the size is not one of these.
    start = (size - signatures.TAIL_BYTES) // page * page
    tail = _to_the_end(descriptor, start, size)
    for first, marks in besides:
        _leave_out(head, first, marks)
    found = signatures.content(bytes(head))
    if found < 0:
        at = signatures.content(tail)
        found = start + at if at >= 0 else -1
    digest = hashlib.sha256(head + tail).hexdigest()
    return found, signatures.known(bytes(head), tail, size), digest


def _leave_out(head: bytearray, first: int, marks: str) -> None:
    """Take what has been written of an interrupted header for zeros, and nothing else."""
    for number in range(len(marks) // _MARK_DIGITS):
        place = slice(first + number * _SECTOR_BYTES, first + (number + 1) * _SECTOR_BYTES)
        sector = bytes(head[place])
        if _mark(sector) == marks[number * _MARK_DIGITS : (number + 1) * _MARK_DIGITS]:
            head[place] = bytes(len(sector))


def _mark(sector: bytes) -> str:
    return hashlib.sha256(sector).hexdigest()[:_MARK_DIGITS]


def _to_the_end(descriptor: int, start: int, size: int) -> bytes:
    room = -(-(size - start) // luks.PAGE_BYTES) * luks.PAGE_BYTES
    with mmap.mmap(-1, room) as buffer:
        done = os.preadv(descriptor, [buffer], start)
        if done != size - start:
            raise OSError(f'only {done} of {size - start} bytes at {start} could be read')
        return buffer[:done]


def new_token() -> str:
    """A name for a header in memory; the caller has it first, so that it can drop the header
    whatever becomes of the call that makes it.
    """
    return secrets.token_hex(16)


@privileged.entrypoint
def new_header(token: str) -> str:
    """Make room for a header in memory; return a path that other programs can open.

    :param token: of :func:`new_token`.
    :raises OSError: if there are too many.
    """
    name = check.full(_TOKEN, token)
    if name in _headers:
        raise exception.InvalidParameterValue(err='there is a header in memory of this token')
    if len(_headers) >= _MOST_HEADERS:
        raise OSError(f'{len(_headers)} volumes are being formatted already')
    descriptor = os.memfd_create('os-brick-luks', os.MFD_CLOEXEC)
    os.ftruncate(descriptor, max(DATA_OFFSETS.values()))
    _headers[name] = descriptor
    return _path(name)


def _path(token: str) -> str:
    return f'/proc/{os.getpid()}/fd/{_descriptor(token)}'


def _descriptor(token: str) -> int:
    found = _headers.get(str(token))
    if found is None:
        raise exception.InvalidParameterValue(err='there is no header in memory of this token')
    return found


@privileged.entrypoint
def drop_header(token: str) -> None:
    """Forget a header in memory; one that has gone is not an error."""
    found = _headers.pop(str(token), None)
    if found is not None:
        # A child that was forked meanwhile has the descriptor, too, and would keep the memory.
        os.ftruncate(found, 0)
        os.close(found)


@privileged.entrypoint
def make_header(
    token: str,
    device: str,
    number: int,
    version: int,
    passphrase: str,
    cipher: str | None,
    key_bits: int | None,
    timeout: float,
) -> tuple[int, str]:
    """Have cryptsetup make the header of a new volume in memory; the device is only looked at.

    :raises OSError: if it is another device by now.
    """
    secret, how = cryptsetup.passphrase_of(passphrase), cryptsetup.cipher_of(cipher, key_bits)
    kind = _version(version)
    path = cryptsetup.device_path(device, number)
    command = crypt_commands.format_luks(path, kind, how, _path(token), DATA_OFFSETS[kind])
    return cryptsetup.run(command, timeout, secret)


def _version(value: int) -> int:
    if check.number(value, 2, 'version of LUKS') not in DATA_OFFSETS:
        raise exception.InvalidParameterValue(err='0 is not a version of LUKS')
    return value


@privileged.entrypoint
def show_header(token: str) -> dict[str, Any]:
    """What a header in memory says, as :func:`os_brick.privileged.luks.header`."""
    return _made(_descriptor(token)).as_dict()


@privileged.entrypoint
def marks(token: str) -> Rests:
    """What tells the sectors of a header in memory: to be remembered before it is written."""
    return tuple(
        (
            start,
            ''.join(
                _mark(data[at : at + _SECTOR_BYTES]) for at in range(0, len(data), _SECTOR_BYTES)
            ),
        )
        for start, data in _pieces(_descriptor(token))
    )


def _made(descriptor: int) -> luks.Header:
    """The header in memory.

    :raises OSError: if it is not whole.
    """
    size = os.fstat(descriptor).st_size
    found = luks.find(lambda offset, count: os.pread(descriptor, count, offset), size)
    if found is None or not found.keys or not found.is_first:
        raise OSError('cryptsetup has made no header with a key')
    if found.data_offset != DATA_OFFSETS[found.version]:
        raise OSError(f'cryptsetup has put the data to byte {found.data_offset}')
    return found


@privileged.entrypoint
def write_header(
    token: str,
    device: str,
    number: int,
    besides: Rests,
    blank: bool,
    digest: str,
    timeout: float,
) -> Seen:
    """Write a header to a device that is still as it has to be, and read it back.

    :param besides: as of :func:`look`.
    :param blank: whether it has to be zero, or only without what is known.
    :param digest: what :func:`look` returned: nothing may have changed since.
    :return: what :func:`look` finds now; nothing has been written unless that has the same
        digest, and is as ``blank`` says.
    :raises OperationTimedOut: if the device does not take it in time.
    :raises OSError: ``EBUSY`` if something holds the device; if it does not take it, or returns
        something else afterwards.
    """
    path = f'/dev/{check.block(device)}'
    number = check.number(number, LARGEST_NUMBER, 'number of a device')
    places, limit = _rests(besides), check.seconds(timeout)
    pieces = _pieces(_descriptor(token))
    what = f'the write of a header to {path}'
    wanted = blank is not False, check.full(_DIGEST, digest)
    return process.isolated(what, limit, _write, path, number, places, *wanted, pieces)


def _pieces(descriptor: int) -> tuple[Piece, ...]:
    """What is to be written in this order; the rest of the room before the data stays as it is."""
    header = _made(descriptor)
    half = header.header_bytes // 2
    last = [(half, half), (0, half)] if header.version == 2 else [(0, header.header_bytes)]
    areas = [*header.keys, *last]
    return tuple((start, os.pread(descriptor, count, start)) for start, count in areas)


def _write(
    path: str,
    number: int,
    besides: Rests,
    blank: bool,
    digest: str,
    pieces: tuple[Piece, ...],
) -> Seen:
    flags = os.O_RDWR | os.O_DIRECT | os.O_DSYNC | os.O_EXCL
    with kernel.block_device(path, flags) as descriptor:
        block.require_meant(path, number, kernel.number(descriptor))
        seen = found, known, actual = _content(descriptor, besides)
        if known or (blank and found >= 0) or actual != digest:
            return seen
        _require_room(descriptor, pieces)
        read = reader(descriptor)
        before = [(start, read(start, len(data))) for start, data in pieces]
        try:
            _put(descriptor, pieces)
        except BaseException:
            _put(descriptor, tuple(reversed(before)))
            raise
    return seen


def _require_room(descriptor: int, pieces: tuple[Piece, ...]) -> None:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    version = int.from_bytes(pieces[-1][1][6:8], 'big')
    if size <= DATA_OFFSETS[version]:
        raise OSError(f'it has {size} bytes, and a header takes {DATA_OFFSETS[version]}')


def _put(descriptor: int, pieces: tuple[Piece, ...]) -> None:
    """Write each piece in one call, which no signal divides, and see that the device has it."""
    read = reader(descriptor)
    for start, data in pieces:
        with mmap.mmap(-1, len(data)) as buffer:
            buffer[:] = data
            done = os.pwritev(descriptor, [buffer], start)
        if done != len(data):
            raise OSError(f'only {done} of {len(data)} bytes at {start} could be written')
        if read(start, len(data)) != data:
            raise OSError(f'what was written at {start} is not what is read there')
