# SPDX-License-Identifier: Apache-2.0
"""The acts with volumes: attach, grow, detach, as the rows of the table say."""

import functools
import pathlib
import time

from brickbench import comparison, rows, scenarios
from tests.functional import lab, support

_LUN = 1
_SIXTEEN = 16
# One call of the reference with a dead portal: its limit is minutes, ours to wait is not.
_HOLE_SECONDS = 150.0
# More rounds of these say little more and cost minutes in an emulated machine.
_FEW = 2
# Debian's defaults, which the laboratory's short timers otherwise replace.
_PATIENT = {
    'node.conn[0].timeo.login_timeout': '15',
    'node.session.initial_login_retry_max': '8',
    'node.session.timeo.replacement_timeout': '120',
}


def floor(where: comparison.Comparison) -> None:
    """What iscsiadm and the kernel alone need for a new session and one LUN."""
    target = _target(where, 'floor', 1)
    props = target.properties(_LUN)
    lab.daemons.iscsid_default('node.session.scan', 'manual')
    try:
        for _ in range(where.rounds):
            with where.clean(where.ours):
                disk = _raw_attach(where, props)
                lab.shell.write(pathlib.Path('/sys/block') / disk / 'device' / 'delete', 1)
                support.logout(props)
    finally:
        lab.daemons.start_iscsid()


def _raw_attach(where: comparison.Comparison, props: comparison.Props) -> str:
    """Attach by hand and return the disk, which no one else may bring meanwhile."""
    before = support.disks()
    node = ('iscsiadm', '-m', 'node', '-T', props['target_iqn'], '-p', props['target_portal'])
    with comparison.recorded() as programs:
        began = time.monotonic()
        lab.shell.run(*node, '--op', 'new')
        lab.shell.run(*node, '--login')
        support.scan(props['target_iqn'], _LUN)
        new = functools.partial(lambda: support.disks() - before)
        found = lab.shell.until(new, 10, 'the disk is there', pause=0.01)
        (disk,) = found
        lab.shell.until(pathlib.Path(f'/dev/{disk}').exists, 10, 'its node is there', pause=0.01)
        seconds = time.monotonic() - began
    where.add('floor', rows.OURS, rows.Sample(seconds, tuple(programs)))
    return disk


def one(where: comparison.Comparison) -> None:
    """Attach with a new session, extend, detach the last LUN; one path."""
    _lives(where, 'one', 1)


def four(where: comparison.Comparison) -> None:
    """The same over four portals with multipath."""
    _lives(where, 'four', 4)


def _lives(where: comparison.Comparison, name: str, portals: int) -> None:
    volume = where.testbed.volume(f'bench{name}', scenarios.MEBIBYTES)
    target = where.testbed.target(f'bench{name}', portals)
    target.map(_LUN, volume)
    props = target.properties(_LUN, plural=portals > 1)
    scenarios.run(where, f'{{}}-{portals}', volume, props, paths=portals)


def _target(where: comparison.Comparison, name: str, portals: int, luns: int = 1) -> lab.lio.Target:
    """A target with so many volumes, from LUN 1 on."""
    volumes = [where.testbed.volume(f'bench{name}{n}', scenarios.MEBIBYTES) for n in range(luns)]
    target = where.testbed.target(f'bench{name}', portals)
    for number, volume in enumerate(volumes, _LUN):
        target.map(number, volume)
    return target


def stays(where: comparison.Comparison) -> None:
    """Attach and detach one LUN while another of the same target is attached."""
    target = _target(where, 'stays', 1, luns=2)
    other, props = target.properties(_LUN), target.properties(_LUN + 1)
    scenarios.warm_up(where, props)
    for side in where.turns():
        with where.clean(side):
            held = where.call('', side, 'connect_volume', other)
            info = where.call('attach-stays', side, 'connect_volume', props)
            where.call('detach-stays', side, 'disconnect_volume', props, info)
            where.call('', side, 'disconnect_volume', other, held)


def sixteen(where: comparison.Comparison) -> None:
    """Attach sixteen volumes of one target in sixteen threads."""
    target = _target(where, 'sixteen', 1, luns=_SIXTEEN)
    every = [target.properties(lun) for lun in range(_LUN, _LUN + _SIXTEEN)]
    scenarios.warm_up(where, every[0])
    for side in where.turns(min(where.rounds, _FEW)):
        with where.clean(side):
            _sixteen(where, side, every)


def _sixteen(
    where: comparison.Comparison, side: comparison.Side, every: list[comparison.Props]
) -> None:
    worker = side.worker(multipath=False)
    with comparison.recorded() as programs:
        infos = worker.many('connect_volume', [[props] for props in every])
    where.add('sixteen', side.name, rows.Sample(worker.elapsed, tuple(programs)))
    lab.shell.settle()
    calls = [[props, info] for props, info in zip(every, infos, strict=True)]
    worker.many('disconnect_volume', calls)
    comparison.report(f'sixteen {side.name}: detach of all at once {worker.elapsed:.2f} s')


def hole(where: comparison.Comparison) -> None:
    """Attach while one of four portals swallows every packet, with Debian's own timers."""
    target = _target(where, 'hole', 4)
    props = target.properties(_LUN, plural=True)
    dead = target.portals[2].partition(':')[0]
    scenarios.warm_up(where, props, multipath=True)
    for name, value in _PATIENT.items():
        lab.daemons.iscsid_default(name, value)
    try:
        for _ in range(where.rounds):
            _healthy(where, props)
            _with_hole(where, where.ours, props, dead)
        if where.slow and where.reference:
            _with_hole(where, where.reference, props, dead)
    finally:
        lab.net.heal_all()
        lab.daemons.start_iscsid()


def _healthy(where: comparison.Comparison, props: comparison.Props) -> None:
    worker = where.ours.worker(multipath=True)
    with where.clean(where.ours):
        lab.shell.settle()
        info = worker.call('connect_volume', props)
        where.add('hole', rows.EASIER, rows.Sample(worker.elapsed))
        worker.call('disconnect_volume', props, info)


def _with_hole(
    where: comparison.Comparison, side: comparison.Side, props: comparison.Props, dead: str
) -> None:
    worker = side.worker(multipath=True)
    with where.clean(side):
        lab.shell.settle()
        lab.net.cut(dead)
        try:
            info = worker.call('connect_volume', props, seconds=_HOLE_SECONDS)
            where.add('hole', side.name, rows.Sample(worker.elapsed))
            worker.call('disconnect_volume', props, info, seconds=_HOLE_SECONDS)
        except TimeoutError:
            where.add('hole', side.name, rows.Sample(_HOLE_SECONDS, at_least=True))
            side.forget()
        finally:
            lab.net.heal(dead)
