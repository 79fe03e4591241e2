# SPDX-License-Identifier: Apache-2.0
"""Attach, extend and detach, turn by turn: what the acts of several protocols share."""

from collections.abc import Iterator
import functools
import itertools

from brickbench import comparison
from tests.functional import lab, support

MEBIBYTES = 32
_STEP = 8


def sizes() -> Iterator[int]:
    """What to grow a volume to, in MiB, turn by turn."""
    return itertools.count(MEBIBYTES + _STEP, _STEP)


def warm_up(
    where: comparison.Comparison,
    props: comparison.Props,
    *,
    multipath: bool = False,
    protocol: str = 'ISCSI',
    extend: bool = True,
) -> None:
    """One round that is not counted: daemons import what they need when they first need it."""
    for side in where.sides:
        with where.clean(side):
            call = functools.partial(where.call, multipath=multipath, protocol=protocol)
            info = call('', side, 'connect_volume', props)
            if extend:
                call('', side, 'extend_volume', props)
            call('', side, 'disconnect_volume', props, info)


def run(
    where: comparison.Comparison,
    row: str,
    volume: lab.lio.Volume,
    props: comparison.Props,
    *,
    paths: int,
    protocol: str = 'ISCSI',
) -> None:
    """Attach, extend and detach one volume, round after round, and count each operation.

    With multipath if it has several paths.

    :param row: the names of the rows, with ``{}`` for ``attach``, ``extend`` and ``detach``.
    """
    multipath = paths > 1
    warm_up(where, props, multipath=multipath, protocol=protocol)
    bigger = sizes()
    for side in where.turns():
        call = functools.partial(where.call, multipath=multipath, protocol=protocol)
        with where.clean(side):
            info = call(row.format('attach'), side, 'connect_volume', props)
            if multipath:
                support.wait_disks(info['path'], paths)
            volume.grow(next(bigger))
            call(row.format('extend'), side, 'extend_volume', props)
            if support.size(info['path']) != volume.size:
                comparison.report(f'{row.format("extend")} {side.name}: the device has not grown')
            call(row.format('detach'), side, 'disconnect_volume', props, info)
