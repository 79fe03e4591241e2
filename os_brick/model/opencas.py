# SPDX-License-Identifier: Apache-2.0
"""What ``casadm --list-caches --output-format csv`` of Open CAS says.

After the heading there is a row for each cache, each followed by the rows of its cores::

    type,id,disk,status,write policy,device
    core pool,-,-,-,-,-
    core,-,/dev/sdd,Detached,-,-
    cache,1,/dev/nvme0n1,Running,wt,-
    core,1,/dev/sdb,Active,-,/dev/cas1-1

A core of the pool belongs to no cache. ``No caches running`` stands alone.
(casadm/cas_lib.c, list_caches; Open CAS 20 to 24)
"""

from __future__ import annotations

from collections.abc import Callable
import csv
import dataclasses

_HEADING = ['type', 'id', 'disk', 'status', 'write policy', 'device']
_NOTHING = 'No caches running'
_NONE = '-'


@dataclasses.dataclass(frozen=True, slots=True)
class Cache:
    """A cache instance.

    :ivar status: ``Running``, or what keeps it from that, such as ``Incomplete``.
    """

    number: int
    status: str


@dataclasses.dataclass(frozen=True, slots=True)
class Core:
    """A device that a cache instance makes faster.

    :ivar disk: the device below, by its node or, if that cannot be found, by another path.
    :ivar device: the device that is used instead; empty if there is none.
    """

    cache: int
    number: int
    disk: str
    status: str
    device: str


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """All cache instances of a host and their cores."""

    caches: tuple[Cache, ...] = ()
    cores: tuple[Core, ...] = ()

    def cache(self, number: int) -> Cache | None:
        """The instance with a number."""
        return next((cache for cache in self.caches if cache.number == number), None)

    def core(self, is_it: Callable[[Core], bool]) -> Core | None:
        """The first core that is the one."""
        return next(filter(is_it, self.cores), None)


def parse(text: str) -> Listing:
    """The list that casadm has printed.

    :raises ValueError: if it is not such a list.
    """
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if [_NOTHING] in rows and _HEADING not in rows:
        return Listing()
    if _HEADING not in rows:
        raise ValueError(f'casadm printed no list of caches: {text[:200]!r}')
    caches: list[Cache] = []
    cores: list[Core] = []
    for row in rows[rows.index(_HEADING) + 1 :]:
        if len(row) != len(_HEADING):
            raise ValueError(f'casadm printed a row that is not one: {",".join(row)[:200]!r}')
        _add(row, caches, cores)
    return Listing(tuple(caches), tuple(cores))


def _add(row: list[str], caches: list[Cache], cores: list[Core]) -> None:
    """Add what a row says.

    :raises ValueError: if it is of no cache, or its number is not one.
    """
    kind, number, disk, status, _policy, device = row
    if kind == 'cache':
        caches.append(Cache(int(number), status))
    elif kind == 'core' and number != _NONE:
        if not caches:
            raise ValueError(f'casadm printed a core without a cache: {",".join(row)[:200]!r}')
        cores.append(
            Core(caches[-1].number, int(number), disk, status, '' if device == _NONE else device)
        )
