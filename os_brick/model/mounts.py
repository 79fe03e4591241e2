# SPDX-License-Identifier: Apache-2.0
"""The kernel's table of mounts, ``/proc/PID/mountinfo``, and what a path leads to by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import dataclasses
import functools
import os
import re

# Longer tables, of hosts with thousands of containers, are not kept in memory.
_LARGEST_KEPT_BYTES = 256 * 1024
# fs/proc_namespace.c, mangle(), and fs/nfs/super.c: blank, tab, newline, backslash, and "#" in a
# source since Linux 5.17.
_ESCAPED = re.compile(rb'\\([0-3][0-7]{2})')


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    """One line of the table.

    :ivar number: its ID, which the kernel gives to another mount once this one has gone.
    :ivar parent: the ID of the mount that it is mounted on.
    :ivar device: the number of its file system, ``major:minor``.
    :ivar root: which directory of the file system is mounted; a bind mount may show another
        one than ``/``.
    :ivar place: where, as this process sees it.
    :ivar options: of the mount, such as ``ro``.
    :ivar kind: the type of the file system, such as ``nfs4``.
    :ivar source: what is mounted, such as ``host:/path``.
    :ivar super_options: of the file system.
    """

    number: int
    parent: int
    device: str
    root: str
    place: str
    options: tuple[str, ...]
    kind: str
    source: str
    super_options: tuple[str, ...]

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written through it."""
        return 'ro' in self.options or 'ro' in self.super_options


def parse(table: bytes) -> tuple[Mount, ...]:
    """The mounts of a table, in its order; a line of another form is left out.

    By bytes and single blanks: the names in it may hold whatever Python takes for white space or
    the end of a line, and the source of a mount may be empty.
    """
    if len(table) > _LARGEST_KEPT_BYTES:
        return tuple(_mounts(table))
    return _parsed(table)


@functools.lru_cache(maxsize=2)
def _parsed(table: bytes) -> tuple[Mount, ...]:
    """The same of a table that may be read again: it seldom changes between two operations."""
    return tuple(_mounts(table))


def _mounts(table: bytes) -> Iterator[Mount]:
    for line in table.split(b'\n'):
        fields = line.split(b' ')
        # Any number of tags ("shared:1") stands before the "-".
        if len(fields) < 10 or b'-' not in fields[6:-3]:
            continue
        end = fields.index(b'-', 6)
        if len(fields) < end + 4 or not (fields[0].isdigit() and fields[1].isdigit()):
            continue
        device, root, place, options = (_text(field) for field in fields[2:6])
        kind, source, more = (_text(field) for field in fields[end + 1 : end + 4])
        yield Mount(
            *(int(fields[0]), int(fields[1]), device, root, place),
            *(tuple(options.split(',')), kind, source, tuple(more.split(','))),
        )


def _text(field: bytes) -> str:
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), field))


def at(mounts: Iterable[Mount], path: str) -> Mount | None:
    """The mount that is reached at ``path``; ``None`` if it is not a place where one is.

    One that another hides, at the same place or above it, is not reached.

    :param path: absolute, normal and without symbolic links.
    """
    table = tuple(mounts)
    on: dict[tuple[int, str], int] = {(m.parent, m.place): m.number for m in table}
    known = {mount.number: mount for mount in table}
    current, before = _outermost(table), -1
    for prefix in _prefixes(path):
        before, current = current, _topmost(on, current, prefix)
    return known.get(current) if current != before else None


def _outermost(table: tuple[Mount, ...]) -> int:
    """The ID of what the first mounts are on: not in the table, or the root itself."""
    numbers = {mount.number for mount in table}
    for mount in table:
        if mount.parent not in numbers:
            return mount.parent
    return next((mount.parent for mount in table if mount.parent == mount.number), 0)


def _topmost(on: dict[tuple[int, str], int], number: int, place: str) -> int:
    seen = {number}
    while (above := on.get((number, place), number)) not in seen:
        seen.add(above)
        number = above
    return number


def _prefixes(path: str) -> Iterator[str]:
    yield '/'
    parts = [part for part in path.split('/') if part]
    for count in range(1, len(parts) + 1):
        yield '/' + '/'.join(parts[:count])
