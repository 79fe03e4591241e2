# SPDX-License-Identifier: Apache-2.0
"""Commands to multipathd, through its own socket and without a program.

The socket speaks length-prefixed texts (multipath-tools, libmpathcmd). multipathd answers
``ok``, ``fail``, ``timeout`` or the text that was asked for; what it answers is handed on as it is.
"""

from __future__ import annotations

import re
import socket
import struct

from os_brick import privileged
from os_brick.core import files, kernel, wait
from os_brick.privileged import check, dm, scsi

_ABSTRACT = '\0/org/kernel/linux/storage/multipathd'
_LENGTH = struct.Struct('@N')
_MOST_DISKS = 4096
_LARGEST_ANSWER = 16 * 1024 * 1024
# libdevmapper writes characters of a name that it finds unsafe into the kernel as hexadecimal.
_MANGLED = re.compile(r'\\x([0-9a-f]{2})')
_PLAIN = re.compile(r'[A-Za-z0-9][A-Za-z0-9._:+=@~-]*')


def _receive(connection: socket.socket, size: int, ends: wait.Deadline) -> bytes:
    pieces = b''
    while len(pieces) < size:
        connection.settimeout(ends.limit())
        piece = connection.recv(min(65536, size - len(pieces)))
        if not piece:
            raise OSError('multipathd closed its socket in the middle of an answer')
        pieces += piece
    return pieces


def _ask(command: str, timeout: float) -> str:
    return _ask_until(command, wait.Deadline.after(check.seconds(timeout)))


def _ask_until(command: str, ends: wait.Deadline) -> str:
    with kernel.connect(_ABSTRACT, ends.limit()) as connection:
        text = command.encode() + b'\0'
        connection.sendall(_LENGTH.pack(len(text)) + text)
        (size,) = _LENGTH.unpack(_receive(connection, _LENGTH.size, ends))
        if not 0 < size <= _LARGEST_ANSWER:
            raise OSError(f'multipathd announced an answer of {size} bytes')
        return _receive(connection, size, ends).rstrip(b'\0').decode('utf-8', 'replace').strip()


@privileged.entrypoint
def daemon_status(timeout: float) -> str:
    """What multipathd reports of itself, such as ``pid 42 idle``.

    :raises OSError: if it does not run.
    """
    return _ask('show daemon', timeout)


@privileged.entrypoint
def paths(timeout: float) -> str:
    """The disks multipathd knows, a line each: disk, WWID, checker's state, map's WWID.

    :raises OSError: if multipathd does not answer.
    """
    return _ask('show paths raw format "%d %w %T %m"', timeout)


@privileged.entrypoint
def paths_as(layout: str, timeout: float) -> str:
    """The disks multipathd knows, a line each in a format of multipathd's, such as ``%d %w``.

    :raises OSError: if multipathd does not answer.
    """
    return _ask(f'show paths raw format "{check.layout(layout)}"', timeout)


@privileged.entrypoint
def path_states(disks: tuple[str, ...], timeout: float) -> tuple[str, ...]:
    """What multipathd answers about each of some disks: ``running``, or ``fail`` without it.

    Unlike :func:`paths` the answers do not grow with the host's other disks.

    :param timeout: for all of them, in seconds.
    :raises OSError: if multipathd does not answer.
    """
    names = [check.disk(disk) for disk in check.items(disks, _MOST_DISKS, 'disks')]
    return states_until(names, wait.Deadline.after(check.seconds(timeout)))


def states_until(names: list[str], ends: wait.Deadline) -> tuple[str, ...]:
    """The same for another root function, of disks whose names it has checked."""
    return tuple(_ask_until(f'show path {name}', ends) for name in names)


@privileged.entrypoint
def maps_as(layout: str, timeout: float) -> str:
    """The maps multipathd has, a line each in a format of multipathd's, such as ``%w|%Q``.

    :raises OSError: if multipathd does not answer.
    """
    return _ask(f'show maps raw format "{check.layout(layout)}"', timeout)


@privileged.entrypoint
def devices(timeout: float) -> str:
    """The block devices multipathd knows of, a line each with what its blacklist makes of them.

    :raises OSError: if multipathd does not answer.
    """
    return _ask('show devices', timeout)


@privileged.entrypoint
def reconfigure(timeout: float) -> str:
    """Have multipathd read its configuration anew, for every map.

    :raises OSError: if multipathd does not answer.
    """
    return _ask('reconfigure', timeout)


@privileged.entrypoint
def add_path(disk: str, timeout: float) -> str:
    """Offer a disk to multipathd.

    :raises PermissionError: if it is not a disk of iSCSI or Fibre Channel.
    :raises OSError: if multipathd does not answer.
    """
    scsi.require_remote_if_there(disk)
    return _ask(f'add path {disk}', timeout)


@privileged.entrypoint
def add_map(wwid: str, timeout: float) -> str:
    """Have multipathd make a map of the disks that it knows with a WWID.

    :raises OSError: if multipathd does not answer.
    """
    return _ask(f'add map {_map(check.wwid(wwid))}', timeout)


@privileged.entrypoint
def remove_path(disk: str, timeout: float) -> str:
    """Have multipathd forget a disk, and take it out of its map.

    :raises PermissionError: if it is not a disk of iSCSI or Fibre Channel.
    :raises OSError: if multipathd does not answer.
    """
    scsi.require_remote_if_there(disk)
    return _ask(f'del path {disk}', timeout)


def _map(name: str) -> str:
    """The word for a map, given its name in the kernel.

    Operators give maps aliases with blanks and more. multipathd takes any name in quotes, where
    two quotes stand for one (multipath-tools, ``alloc_strvec``).
    """
    parts = _MANGLED.split(check.map_name(name))
    pieces = [
        bytes.fromhex(part) if number % 2 else part.encode() for number, part in enumerate(parts)
    ]
    found = check.map_name(b''.join(pieces).decode('utf-8', 'replace'))
    if _PLAIN.fullmatch(found):
        return found
    quoted = found.replace('"', '""')
    return f'"{quoted}"'


@privileged.entrypoint
def remove_paths(disks: tuple[tuple[str, int], ...], timeout: float) -> None:
    """Have multipathd forget disks, unless another disk has the name of one by now.

    :param disks: name and number (the inode of its device in sysfs) of each.
    :param timeout: for all of them, in seconds.
    :raises PermissionError: if one of them is not a disk of iSCSI or Fibre Channel.
    :raises OSError: if multipathd does not answer.
    """
    ends = wait.Deadline.after(check.seconds(timeout))
    pairs = check.pairs(disks, _MOST_DISKS, 'disks and their numbers')
    forget(
        [(check.disk(d), check.number(n, 2**64 - 1, 'number of a device')) for d, n in pairs], ends
    )


def forget(disks: list[tuple[str, int]], ends: wait.Deadline) -> None:
    """The same for another root function, of names and numbers that it has checked."""
    for disk, _ in disks:
        scsi.require_remote_if_there(disk)
    for disk, number in disks:
        if files.inode(f'/sys/block/{disk}/device') in (number, 0):
            _ask_until(f'del path {disk}', ends)


@privileged.entrypoint
def remove_map(wwid: str, name: str, parts: tuple[str, ...], timeout: float) -> str:
    """Have multipathd remove the map of a WWID, if neither it nor one of its partitions is open.

    Its partitions' maps go before it, so nothing is begun that would stop in the middle.

    :param name: its name in the kernel, for a version of multipathd that knows no WWIDs (it looks
        for ``dm-N``, then for the name, then for the WWID: find_mp_by_str). A name of the
        operator's may be given to another map, a WWID may not.
    :param parts: the UUIDs of the maps of its partitions, which have it open themselves.
    :return: multipathd's answer, or why there is none; empty if a map is open and it was not asked.
    :raises OSError: if it is not known whether a map is open.
    """
    uuid, ends = (
        check.map_uuid(f'mpath-{check.wwid(wwid)}'),
        wait.Deadline.after(check.seconds(timeout)),
    )
    called = _map(name)
    uuids = [check.map_uuid(each) for each in check.items(parts, _MOST_DISKS, 'maps')]
    counts = [count for each in uuids if (count := dm.open_count(each)) is not None]
    own = dm.open_count(uuid)
    if own is None:
        return 'ok'
    if own > len(counts) or any(counts):
        return ''
    try:
        answer = _ask_until(f'del map {_map(wwid)}', ends)
        if answer.startswith('fail') and name != wwid:
            answer = _ask_until(f'del map {called}', ends)
    except OSError as error:
        return f'multipathd: {error}'
    return answer


@privileged.entrypoint
def resize_map(name: str, timeout: float) -> str:
    """Have multipathd give a map the size of its disks.

    :raises OSError: if multipathd does not answer.
    """
    return _ask(f'resize map {_map(name)}', timeout)


@privileged.entrypoint
def disable_queueing(name: str, timeout: float) -> str:
    """Have a map fail its I/O while it has no path, and multipathd not change that again.

    :raises OSError: if multipathd does not answer.
    """
    return _ask(f'disablequeueing map {_map(name)}', timeout)
