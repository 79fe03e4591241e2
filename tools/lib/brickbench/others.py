# SPDX-License-Identifier: Apache-2.0
"""The act on a host with many other volumes: scsi_debug's disks, and maps over some of them."""

from collections.abc import Callable, Iterator
import contextlib
import functools
import pathlib
import re

from brickbench import comparison, rows, scenarios
from tests.functional import lab, support

_LUN = 1
_FIGURE = 'others'
# Four hosts that show the same 64 units; and 500 units behind one host. Their pages do not tell the
# host, so that the disks of one unit are paths to it.
_SHARED = {'vpd_use_hostno': 0, 'dev_size_mb': 8}
_LEVELS = {
    'maps': {**_SHARED, 'add_host': 4, 'num_tgts': 1, 'max_luns': 64},
    '500': {**_SHARED, 'add_host': 1, 'num_tgts': 2, 'max_luns': 250},
}
_DISKS = {'maps': 256, '500': 500}
_MAPS = 64
_SECONDS = 400.0
_WWIDS = pathlib.Path('/etc/multipath/wwids')
# More rounds beside the others say little more and cost minutes in an emulated machine.
_FEW = 3
_REFERENCES = 1
# How often multipathd looks at a path by its own defaults. As often as the laboratory has it look
# otherwise it takes a fifth of a processor for 256 paths, before every other process.
_DEFAULTS = {'polling_interval': '5', 'max_polling_interval': '20'}


def beside(where: comparison.Comparison) -> None:
    """Attach, extend and detach with nothing beside, and beside 64 maps of 256 disks.

    With ``--slow`` beside 500 disks, too, which takes udev in the emulated guest ten minutes. With
    nothing beside once more at the end: minutes lie between, in which the machine may change.
    """
    with comparison.multipathd(**_DEFAULTS):
        lives = {paths: _life(where, paths) for paths in (1, 2)}
        _measure(where, lives, '')
        for level in _LEVELS if where.slow else ('maps',):
            with _others(level):
                _measure(where, lives, level)
        _measure(where, lives, '', again=True)


Life = tuple[lab.lio.Volume, comparison.Props, Iterator[int]]


def _life(where: comparison.Comparison, paths: int) -> Life:
    volume = where.testbed.volume(f'benchscale{paths}', scenarios.MEBIBYTES)
    target = where.testbed.target(f'benchscale{paths}', paths)
    target.map(_LUN, volume)
    props = target.properties(_LUN, plural=paths > 1)
    scenarios.warm_up(where, props, multipath=paths > 1)
    return volume, props, scenarios.sizes()


def _measure(
    where: comparison.Comparison, lives: dict[int, Life], level: str, *, again: bool = False
) -> None:
    """Each operation of each volume, and its point of the figure; the reference once."""
    for paths, life in lives.items():
        for number in range(min(where.rounds, _FEW)):
            for side in where.sides:
                if side is where.ours or (number < _REFERENCES and not again):
                    _one(where, side, level, paths, life)


def _one(
    where: comparison.Comparison, side: comparison.Side, level: str, paths: int, life: Life
) -> None:
    volume, props, sizes = life
    keep = functools.partial(_keep, where, side, level, paths)
    call = functools.partial(where.call, '', side, multipath=paths > 1)
    with where.clean(side):
        info = keep('attach', functools.partial(call, 'connect_volume', props))
        if paths > 1:
            support.wait_disks(info['path'], paths)
        volume.grow(next(sizes))
        lab.shell.settle()
        keep('extend', functools.partial(call, 'extend_volume', props))
        keep('detach', functools.partial(call, 'disconnect_volume', props, info))


def _keep(
    where: comparison.Comparison,
    side: comparison.Side,
    level: str,
    paths: int,
    act: str,
    call: Callable[[], comparison.Any],
) -> comparison.Any:
    answer = call()
    seconds = side.worker(multipath=paths > 1).elapsed
    how = '1 path' if paths == 1 else f'{paths} paths'
    where.point(_FIGURE, f'{side.name}: {act}, {how}', _DISKS.get(level, 0), seconds)
    column = {'': rows.EASIER, 'maps': rows.OURS}.get(level)
    if side is where.ours and column:
        where.add(f'scale-{act}-{paths}', column, rows.Sample(seconds))
    return answer


@contextlib.contextmanager
def _others(level: str) -> Iterator[None]:
    """The disks of a level, with maps over them or without, during the block."""
    old = _WWIDS.read_text() if _WWIDS.exists() else ''
    comparison.report(f'making {_DISKS[level]} disks of scsi_debug')
    try:
        words = [f'{name}={value}' for name, value in _LEVELS[level].items()]
        lab.shell.run('modprobe', 'scsi_debug', *words, timeout=_SECONDS)
        _await('disks', _DISKS[level], lambda: len(_disks()))
        if level == 'maps':
            _WWIDS.write_text(old + ''.join(f'/{wwid}/\n' for wwid in sorted(_wwids())))
            lab.daemons.ask('reconfigure', _SECONDS)
            _await('maps', _MAPS, lambda: len(_maps()))
        yield
    finally:
        comparison.report('removing them')
        _WWIDS.write_text(old)
        for path in _maps():
            lab.shell.run('multipath', '-f', lab.shell.read(path.with_name('name')), check=False)
        _unload()


def _await(what: str, count: int, number: Callable[[], int]) -> None:
    lab.shell.until(lambda: number() >= count, _SECONDS, f'{count} {what} of scsi_debug', pause=1)
    lab.shell.settle(int(_SECONDS))


def _disks() -> list[pathlib.Path]:
    disks = pathlib.Path('/sys/bus/pseudo/drivers/scsi_debug').glob(
        'adapter*/host*/*/*:*:*:*/block'
    )
    return list(disks)


def _wwids() -> set[str]:
    """The units' names as udev knows them, by which multipathd goes.

    The kernel's are others: it prefers a name by vendor to one that is assigned locally.
    """
    numbers = [lab.shell.read(name / 'dev') for disk in _disks() for name in disk.iterdir()]
    records = [lab.shell.read(f'/run/udev/data/b{number}') for number in numbers]
    return {name for text in records for name in re.findall(r'^E:ID_SERIAL=(.+)$', text, re.M)}


def _maps() -> list[pathlib.Path]:
    known = {f'mpath-{wwid}' for wwid in _wwids()}
    found = pathlib.Path('/sys/block').glob('dm-*/dm/uuid')
    return [path for path in found if lab.shell.read(path) in known]


def _unload() -> None:
    gone = pathlib.Path('/sys/module/scsi_debug')

    def removed() -> bool:
        lab.shell.run('rmmod', 'scsi_debug', check=False, timeout=_SECONDS)
        return not gone.exists()

    lab.shell.settle(60)
    lab.shell.until(removed, _SECONDS, 'scsi_debug is unloaded', pause=0.5)
    lab.shell.settle(int(_SECONDS))
