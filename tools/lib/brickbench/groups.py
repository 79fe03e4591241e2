# SPDX-License-Identifier: Apache-2.0
"""Lists of a volume group of LVM, beside LVM's own tool."""

import functools

from brickbench import comparison, rows
from tests.functional import lab

_VOLUMES = 500
# LVM gives a volume whole extents of 4 MiB.
_MEBIBYTES = _VOLUMES * 4 + 64
_NAME = 'lab-many'
# What the library asks.
_RAW = (
    *(
        'lvs',
        '--config',
        'log { prefix = "" command_names = 0 } report { prefixes = 0 compact_output = 0 }',
        '--reportformat',
        'json',
        '--units',
        'b',
        '--nosuffix',
    ),
    *('-o', 'vg_name,lv_name,lv_size', '--readonly', _NAME),
)


def listed(where: comparison.Comparison) -> None:
    """``get_volumes`` of many volumes, and the same question put to ``lvs``."""
    lab.lvm.forget()
    group = lab.lvm.Group(_NAME, 1, _MEBIBYTES)
    try:
        group.create()
        group.fill(_VOLUMES)
        _list(where, group)
    finally:
        group.close()


def _list(where: comparison.Comparison, group: lab.lvm.Group) -> None:
    for side in where.sides:
        worker = side.worker(multipath=False, protocol=comparison.LVM)
        worker.group(_NAME, lvm_conf=str(group.conf), suppress_fd_warn=True)
        worker.call('get_volumes')
    for side in where.turns():
        raw, _text = lab.bricks.timed(functools.partial(group.run, *_RAW))
        where.add('lvm-over-raw', rows.EASIER, rows.Sample(raw))
        worker = side.worker(multipath=False, protocol=comparison.LVM)
        with comparison.recorded() as programs:
            found = worker.call('get_volumes')
            seconds = worker.elapsed
        if len(found) != _VOLUMES:
            comparison.report(f'{side.name} lists {len(found)} of {_VOLUMES} volumes')
        # `env` becomes the tool: one process.
        started = tuple(line for line in programs if not line.startswith('env '))
        where.add('lvm-list', side.name, rows.Sample(seconds, started))
        if side is where.ours:
            where.add('lvm-over-raw', side.name, rows.Sample(seconds))
